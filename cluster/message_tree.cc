// SPDX-License-Identifier: Apache-2.0
// Messages of trees (cluster/merkle.h): see cluster/message.h.
#include "cluster/message.h"
#include "cluster/message_fields.h"

namespace redynamo::wire {

void TreeGet::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutFixed64(out, root);
  PutFixed64(out, irregular_hash);
  PutLengthPrefixed(out, clock);
}

Status TreeGet::Decode(std::string_view payload, TreeGet* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = in.Partition();
  out->root = in.Hash();
  out->irregular_hash = in.Hash();
  out->clock = in.Bytes();
  return in.Finish(kKind);
}

void Leaves::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutVarint(out, uint64_t(answer));
  PutLengthPrefixed(out, clock);
  PutVarint(out, leaves.size());
  for (const Leaf& leaf : leaves) {
    PutVarint(out, leaf.ns);
    PutVarint(out, leaf.slot);
    PutVarint(out, leaf.comparable);
    PutFixed64(out, leaf.sum);
  }
}

Status Leaves::Decode(std::string_view payload, Leaves* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = in.Partition();
  out->answer = in.Choice(TreeAnswer::kNotNow);
  out->clock = in.Bytes();
  out->leaves.resize(in.Count(kLeavesMax, 1 + 1 + 1 + 8));
  for (Leaf& leaf : out->leaves) {
    leaf.ns = uint16_t(in.Number(kDatabaseMax));
    leaf.slot = uint16_t(in.Number(kPartitionsMax - 1));
    leaf.comparable = in.Flag();
    leaf.sum = in.Hash();
  }
  return in.Finish(kKind);
}

void LeafRows::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, ns);
  PutVarint(out, slot);
  PutVarint(out, flags);
  PutVarint(out, repaired);
  PutLengthPrefixed(out, rows);
}

Status LeafRows::Decode(std::string_view payload, LeafRows* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->ns = uint16_t(in.Number(kDatabaseMax));
  out->slot = uint16_t(in.Number(kPartitionsMax - 1));
  out->flags = uint32_t(in.Number(UINT32_MAX));
  out->repaired = in.Number();
  out->rows = in.Bytes();
  return in.Finish(kKind);
}

}  // namespace redynamo::wire
