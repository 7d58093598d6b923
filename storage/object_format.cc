// SPDX-License-Identifier: Apache-2.0
#include "storage/object_format.h"

#include <cstring>

#include "base/bytes.h"
#include "storage/collection.h"
#include "storage/counter.h"
#include "storage/long_string.h"
#include "storage/row_sum.h"

namespace redynamo {
namespace {

constexpr uint8_t kHeadVersion = 1;
constexpr uint8_t kPackedBody = 0;
constexpr uint8_t kNativeBody = 1;

Row* MakeDecoded(std::string_view key, size_t value_len, bool has_deadline) {
  Row* row = NewRow(key, value_len, has_deadline);
  row->flags |= Row::kOnDisk;
  return row;
}

}  // namespace

std::string EncodeHead(const Row* row) {
  std::string out;
  out.reserve(48 + row->value_len);
  out.push_back(char(kHeadVersion));
  out.push_back(char(row->type));
  out.push_back(char(row->form));
  PutFixed16(&out, row->flags & kStoredFlags);
  PutFixed64(&out, row->hlc);
  PutFixed64(&out, row->dot);
  if (row->Has(Row::kHasDeadline)) {
    Deadline d = row->deadline();
    PutFixed64(&out, uint64_t(d.at_ms));
    PutFixed64(&out, d.dot);
    PutFixed64(&out, d.hlc);
  }
  if (row->row_form() == RowForm::kLong) {
    out.append(row->long_string()->Base());
    return out;
  }
  if (row->row_form() != RowForm::kCollection) {
    out.append(row->value());
    return out;
  }
  const Collection* c = row->collection();
  out.push_back(char(c->native() ? kNativeBody : kPackedBody));
  out.push_back(char(c->only_integers()));
  if (c->native()) {
    PutVarint(&out, c->size());
  } else {
    c->packed().EncodeTo(&out);
  }
  return out;
}

std::string EncodeElement(const Row* row) {
  std::string out;
  out.reserve(17 + row->value_len);
  out.push_back(char(row->form));
  PutFixed64(&out, row->hlc);
  PutFixed64(&out, row->dot);
  out.append(row->value());
  return out;
}

Result<DecodedHead> DecodeHead(std::string_view key, std::string_view payload, uint64_t seed) {
  ByteReader in(payload);
  uint8_t version = in.Byte();
  uint8_t type = in.Byte();
  uint8_t form = in.Byte();
  uint16_t flags = in.Fixed16();
  uint64_t hlc = in.Fixed64();
  Dot dot = in.Fixed64();
  Deadline deadline{};
  if (flags & Row::kHasDeadline) {
    deadline.at_ms = int64_t(in.Fixed64());
    deadline.dot = in.Fixed64();
    deadline.hlc = in.Fixed64();
  }
  bool collection = form == uint8_t(RowForm::kCollection);
  bool known_type =
      type == uint8_t(ObjectType::kString)
          ? !collection
          : collection && (type == uint8_t(ObjectType::kHash) || type == uint8_t(ObjectType::kSet));
  bool known_form = form < uint8_t(RowForm::kAbsent) || form == uint8_t(RowForm::kLong);
  if (!in.ok() || version != kHeadVersion || !known_form || !known_type) {
    return Corruption("malformed head record");
  }
  DecodedHead head;
  bool has_deadline = flags & Row::kHasDeadline;
  if (!collection) {
    std::string_view body = in.rest();
    if (form == uint8_t(RowForm::kCounter) && !CounterCell::Valid(body)) {
      return Corruption("malformed counter in a head record");
    }
    head.row = MakeDecoded(key, body.size(), has_deadline);
    std::memcpy(head.row->value_data(), body.data(), body.size());
    bool long_form = form == uint8_t(RowForm::kLong);
    if (long_form) form = uint8_t(RowForm::kPlain);  // until a fragment has been installed
    head.may_have_fragments =
        long_form || (form == uint8_t(RowForm::kPlain) && body.size() > kUnmarkedBaseMax);
  } else {
    uint8_t kind = in.Byte();
    bool integers = in.Byte() != 0;
    auto fresh = std::make_unique<Collection>(integers);
    if (kind == kNativeBody) {
      head.native = true;
      head.element_count = in.Varint();
    } else if (kind != kPackedBody || !fresh->packed().Load(in.rest())) {
      return Corruption("malformed collection in a head record");
    }
    if (!in.ok()) return Corruption("head record ends early");
    if (head.native) fresh->MakeNative(seed);
    Collection* c = fresh.release();
    head.row = MakeDecoded(key, sizeof c, has_deadline);
    std::memcpy(head.row->value_data(), &c, sizeof c);
    if (head.native) head.row->flags |= Row::kHasRows;
  }
  head.row->type = type;
  head.row->form = form;
  head.row->flags |= flags & (Row::kRaw | Row::kImplicit);
  head.row->hlc = hlc;
  head.row->dot = dot;
  if (has_deadline) head.row->set_deadline(deadline);
  RowHasher::SetCrc(head.row);
  return head;
}

Status ReadHeadSummary(std::string_view payload, ObjectType* type, int64_t* deadline_ms) {
  ByteReader in(payload);
  uint8_t version = in.Byte();
  *type = ObjectType(in.Byte());
  in.Byte();
  uint16_t flags = in.Fixed16();
  in.Fixed64();
  in.Fixed64();
  *deadline_ms = flags & Row::kHasDeadline ? int64_t(in.Fixed64()) : kNoDeadline;
  bool known =
      *type == ObjectType::kString || *type == ObjectType::kHash || *type == ObjectType::kSet;
  if (!in.ok() || version != kHeadVersion || !known) return Corruption("malformed head record");
  return Status::Ok();
}

std::string EncodeFragment(const StoredFragment& fragment) {
  std::string out;
  out.reserve(24 + fragment.bytes.size());
  PutFixed64(&out, fragment.base);
  PutFixed64(&out, fragment.hlc);
  PutFixed64(&out, fragment.dot);
  out.append(fragment.bytes);
  return out;
}

Result<StoredFragment> DecodeFragment(uint64_t index, std::string_view payload) {
  ByteReader in(payload);
  StoredFragment fragment;
  fragment.base = in.Fixed64();
  fragment.hlc = in.Fixed64();
  fragment.dot = in.Fixed64();
  fragment.bytes = in.rest();
  bool fits = !fragment.bytes.empty() && fragment.bytes.size() <= kFragmentBytes;
  if (!in.ok() || !fits || index >= kFragmentsMax || DotCounter(fragment.dot) == 0) {
    return Corruption("malformed fragment row");
  }
  return fragment;
}

void FreeWholeRow(Row* row) {
  if (row->row_form() == RowForm::kCollection) delete row->collection();
  if (row->row_form() == RowForm::kLong) delete row->long_string();
  FreeRow(row);
}

Result<Row*> DecodeElement(std::string_view element, std::string_view payload) {
  ByteReader in(payload);
  uint8_t form = in.Byte();
  uint64_t hlc = in.Fixed64();
  Dot dot = in.Fixed64();
  std::string_view value = in.rest();
  bool counter = form == uint8_t(RowForm::kCounter);
  if (!in.ok() || (!counter && form != uint8_t(RowForm::kPlain)) ||
      (counter && !CounterCell::Valid(value))) {
    return Corruption("malformed element row");
  }
  Row* row = MakeDecoded(element, value.size(), false);
  std::memcpy(row->value_data(), value.data(), value.size());
  row->form = form;
  row->hlc = hlc;
  row->dot = dot;
  RowHasher::SetCrc(row);
  return row;
}

}  // namespace redynamo
