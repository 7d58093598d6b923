// SPDX-License-Identifier: Apache-2.0
#include "storage/checkpoint_meta.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"

namespace redynamo {
namespace {

constexpr uint8_t kMetaVersion = 5;
constexpr uint8_t kVersionWithoutCounters = 4;
constexpr uint8_t kFirstVersionWithSums = 2;
constexpr uint8_t kFirstVersionWithDeadlines = 3;
constexpr uint8_t kFirstVersionThatCountsDeadlines = 4;
constexpr uint8_t kDeadlinesBit = 0x10, kGuessBit = 0x20;  // of a sum's tag
enum SumTag : uint8_t { kUnknownSum = 0, kZeroSum = 1, kSumFollows = 2 };
constexpr char kCheckpointKey[] = "checkpoint";
constexpr char kClocksKey[] = "clocks";
constexpr char kSlotsPrefix[] = "slots";
constexpr char kIrregularKey[] = "irregular";
constexpr char kDotsKey[] = "dots";
constexpr char kCountersKey[] = "counters";

std::string SlotsKey(size_t ns) {
  std::string key = kSlotsPrefix;
  PutBig(&key, ns, 2);
  return key;
}

std::string KeyOf(std::string key, uint64_t partition) {
  PutBig(&key, partition, 2);
  return key;
}

Status Malformed(const std::string& what) {
  return Corruption("checkpoint record '" + what + "' is malformed; restore from a backup");
}

bool ReadSum(ByteReader* in, uint8_t version, CapturedSlot* slot) {
  uint8_t tag = in->Byte();
  bool some = false, counted = version >= kFirstVersionThatCountsDeadlines;
  if (version >= kFirstVersionWithDeadlines) {
    some = tag & kDeadlinesBit;
    slot->deadlines_known = counted ? !(tag & kGuessBit) : !some;
    tag &= uint8_t(~(counted ? kDeadlinesBit | kGuessBit : kDeadlinesBit));
  }
  slot->sum_known = tag != kUnknownSum;
  if (tag == kSumFollows) slot->sum = in->Fixed64();
  if (counted && some) slot->deadlines = in->Varint();
  return tag <= kSumFollows && slot->deadlines <= slot->live;
}

void PutSum(const CapturedSlot& slot, std::string* out) {
  uint8_t tag = !slot.sum_known ? kUnknownSum : slot.sum == 0 ? kZeroSum : kSumFollows;
  out->push_back(
      char(tag | (slot.deadlines ? kDeadlinesBit : 0) | (slot.deadlines_known ? 0 : kGuessBit)));
  if (tag == kSumFollows) PutFixed64(out, slot.sum);
  if (slot.deadlines) PutVarint(out, slot.deadlines);
}

Status LoadSlots(RowStore* store, size_t ns, uint8_t version, std::vector<CapturedSlot>* out) {
  auto bytes = store->GetMeta(SlotsKey(ns));
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return Status::Ok();
  out->resize(kSlotCount);
  ByteReader in(**bytes);
  for (CapturedSlot& slot : *out) {
    slot.live = in.Varint();
    slot.position = in.Varint();
    slot.deadlines_known = slot.live == 0;  // unless it is known better
    if (version < kFirstVersionWithSums) {
      slot.sum_known = slot.live == 0 && slot.position == 0;
    } else if (!ReadSum(&in, version, &slot)) {
      return Malformed(kSlotsPrefix);
    }
  }
  return in.ok() && in.empty() ? Status::Ok() : Malformed(kSlotsPrefix);
}

Status LoadClocks(RowStore* store, std::vector<PartitionClock>* out) {
  auto bytes = store->GetMeta(kClocksKey);
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return Status::Ok();
  ByteReader in(**bytes);
  while (!in.empty()) {
    PartitionClock clock;
    if (!PartitionClock::Decode(&in, &clock)) return Malformed(kClocksKey);
    out->push_back(std::move(clock));
  }
  return Status::Ok();
}

// A list of partitions under `name`, each with a record of its own.
Status LoadRecords(RowStore* store, const char* name, std::map<uint16_t, std::string>* out) {
  auto bytes = store->GetMeta(name);
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return Status::Ok();
  ByteReader in(**bytes);
  while (!in.empty()) {
    uint64_t partition = in.Varint();
    if (!in.ok() || partition > 0xffff) return Malformed(name);
    auto record = store->GetMeta(KeyOf(name, partition));
    if (!record.ok()) return record.status();
    if (!*record) return Malformed(name);
    (*out)[uint16_t(partition)] = std::move(**record);
  }
  return Status::Ok();
}

Status LoadCounters(RowStore* store, std::map<uint16_t, OwnCounter>* out) {
  auto bytes = store->GetMeta(kCountersKey);
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return Status::Ok();
  ByteReader in(**bytes);
  while (!in.empty()) {
    uint64_t partition = in.Varint(), actor = in.Varint();
    OwnCounter counter{uint16_t(actor), in.Varint(), in.Varint()};
    bool good = in.ok() && partition <= 0xffff && actor <= 0xffff && counter.floor <= counter.n &&
                counter.n >> kDotCounterBits == 0;
    if (!good) return Malformed(kCountersKey);
    (*out)[uint16_t(partition)] = counter;
  }
  return Status::Ok();
}

Status PutCounters(const std::map<uint16_t, OwnCounter>& counters, IngestBatch* batch) {
  if (counters.empty()) return batch->DeleteMeta(kCountersKey);
  std::string out;
  for (const auto& [partition, counter] : counters) {
    PutVarint(&out, partition);
    PutVarint(&out, counter.actor);
    PutVarint(&out, counter.n);
    PutVarint(&out, counter.floor);
  }
  return batch->PutMeta(kCountersKey, out);
}

// Partitions that have none any more leave the list; their old records are never read again.
Status PutRecords(const std::map<uint16_t, std::string>& records, const char* name,
                  IngestBatch* batch) {
  std::string list;
  for (const auto& [partition, record] : records) {
    PutVarint(&list, partition);
    Status status = batch->PutMeta(KeyOf(name, partition), record);
    if (!status.ok()) return status;
  }
  return batch->PutMeta(name, list);
}

}  // namespace

Result<CheckpointMeta> LoadCheckpointMeta(RowStore* store, int databases) {
  CheckpointMeta meta;
  auto bytes = store->GetMeta(kCheckpointKey);
  if (!bytes.ok()) return bytes.status();
  uint8_t version = kMetaVersion;
  if (*bytes) {
    ByteReader in(**bytes);
    version = in.Byte();
    if (version > kMetaVersion) {
      return Status(StatusCode::kUnsupported,
                    "the last checkpoint has format " + std::to_string(version) +
                        ", newer than this build reads; start a newer redynamo-server");
    }
    meta.position = in.Fixed64();
    meta.database_ns_position = in.Fixed64();
    uint64_t count = in.Varint();
    std::vector<bool> seen(std::min<uint64_t>(count, in.rest().size()));
    for (uint64_t i = 0; i < count && in.ok(); i++) {
      uint64_t ns = in.Varint();
      if (ns >= seen.size() || seen[ns]) return Malformed(kCheckpointKey);  // each one once
      seen[ns] = true;
      meta.database_ns.push_back(uint16_t(ns));
    }
    if (!in.ok() || !in.empty()) return Malformed(kCheckpointKey);
  }
  if (size_t(databases) < meta.database_ns.size()) {
    return InvalidArgument("'databases' is " + std::to_string(databases) +
                           ", but the data directory holds " +
                           std::to_string(meta.database_ns.size()) + "; set it to that or more");
  }
  while (meta.database_ns.size() < size_t(databases)) {
    meta.database_ns.push_back(uint16_t(meta.database_ns.size()));
  }
  meta.slots.resize(meta.database_ns.size());
  for (size_t ns = 0; ns < meta.slots.size(); ns++) {
    Status status = LoadSlots(store, ns, version, &meta.slots[ns]);
    if (!status.ok()) return status;
  }
  Status status = LoadClocks(store, &meta.clocks);
  if (status.ok()) status = LoadRecords(store, kIrregularKey, &meta.irregular);
  if (status.ok()) status = LoadRecords(store, kDotsKey, &meta.dots);
  if (status.ok()) status = LoadCounters(store, &meta.counters);
  if (!status.ok()) return status;
  return meta;
}

Status PutCheckpointMeta(const CheckpointMeta& meta, IngestBatch* batch) {
  std::string out;
  out.push_back(char(meta.counters.empty() ? kVersionWithoutCounters : kMetaVersion));
  PutFixed64(&out, meta.position);
  PutFixed64(&out, meta.database_ns_position);
  PutVarint(&out, meta.database_ns.size());
  for (uint16_t ns : meta.database_ns) PutVarint(&out, ns);
  Status status = batch->PutMeta(kCheckpointKey, out);
  for (size_t ns = 0; ns < meta.slots.size() && status.ok(); ns++) {
    out.clear();
    bool used = std::any_of(meta.slots[ns].begin(), meta.slots[ns].end(),
                            [](const CapturedSlot& s) { return s.live > 0 || s.position > 0; });
    if (!used) continue;  // once used, a namespace stays so
    for (const CapturedSlot& slot : meta.slots[ns]) {
      PutVarint(&out, slot.live);
      PutVarint(&out, slot.position);
      PutSum(slot, &out);
    }
    status = batch->PutMeta(SlotsKey(ns), out);
  }
  if (!status.ok()) return status;
  out.clear();
  for (const PartitionClock& clock : meta.clocks) clock.EncodeTo(&out);
  status = batch->PutMeta(kClocksKey, out);
  if (status.ok()) status = PutRecords(meta.irregular, kIrregularKey, batch);
  if (status.ok()) status = PutRecords(meta.dots, kDotsKey, batch);
  if (status.ok()) status = PutCounters(meta.counters, batch);
  return status;
}

}  // namespace redynamo
