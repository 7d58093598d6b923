// SPDX-License-Identifier: Apache-2.0
// What replicas compare, and what a key's versions look like. Nothing here depends on local
// indexes, on seeds, or on the form that rows have in memory.
#include <algorithm>

#include "base/hash.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

void PutId(std::string* out, const Id128& id) {
  out->append(reinterpret_cast<const char*>(id.data()), id.size());
}

}  // namespace

const Id128& ReplicaSide::IdOf(uint16_t actor) const {
  static const Id128 kUnknown{};  // from a damaged disk only
  const auto& actors = engine_.identity_.actors;
  return actor < actors.size() ? actors[actor] : kUnknown;
}

PortableDot ReplicaSide::Portable(Dot dot) const { return {IdOf(DotActor(dot)), DotCounter(dot)}; }

ReplicaClock ReplicaSide::Portable(const PartitionClock& clock) const {
  ReplicaClock out;
  for (const auto& [actor, set] : clock.actors()) {
    if (!set.intervals().empty()) out.actors[IdOf(actor)] = set;
  }
  return out;
}

PartitionClock ReplicaSide::Local(const ReplicaClock& clock) const {
  PartitionClock out;
  const auto& known = engine_.identity_.actors;
  for (size_t i = 0; i < known.size(); i++) {
    auto it = clock.actors.find(known[i]);
    if (it == clock.actors.end()) continue;
    for (const auto& interval : it->second.intervals()) {
      out.AddRange(uint16_t(i), interval.first, interval.last);
    }
  }
  return out;
}

ReplicaClock ReplicaSide::ClockOf(int partition) const {
  return Portable(engine_.ClockOf(partition));
}

void ReplicaSide::SetPartitions(int count) {
  index_ = std::vector<std::unique_ptr<DotIndex>>(size_t(count));
  versions_.assign(size_t(count), 0);
  hashes_.assign(size_t(count), HashCache());
}

ReplicaSide::HashCache& ReplicaSide::Fresh(int partition) {
  HashCache& cache = hashes_[size_t(partition)];
  const Partition& p = engine_.partitions_[partition];
  bool fresh = cache.own_n == p.own_n && cache.version == versions_[size_t(partition)] &&
               cache.self == engine_.self_;
  if (fresh) return cache;
  cache = {p.own_n, versions_[size_t(partition)], ClockOf(partition).Hash(),
           CountIrregular(partition), engine_.self_};
  return cache;
}

ReplicaClock ReplicaSide::HandoverClock(int partition) const {
  return Portable(KnownOf(partition));
}

uint64_t ReplicaSide::ClockHash(int partition) { return Fresh(partition).clock; }
uint64_t ReplicaSide::IrregularHash(int partition) { return Fresh(partition).irregular; }

// A sum over dots, since their order here is that of local indexes.
uint64_t ReplicaSide::HashOfDots(std::string_view prefix, const RowId& id, const RowState& state,
                                 Dots which, int partition) const {
  std::string bytes(prefix);
  bytes.push_back(char(id.kind));
  PutLengthPrefixed(&bytes, id.element);
  PutVarint(&bytes, DotCounter(id.base));
  if (id.base) PutId(&bytes, IdOf(DotActor(id.base)));
  bool owned = id.kind == RowKind::kTotal || id.kind == RowKind::kFieldTotal;
  if (owned) PutId(&bytes, IdOf(id.actor));
  size_t size = bytes.size();
  uint64_t sum = 0;
  auto add = [&](Dot dot, uint64_t seed) {
    bytes.resize(size);
    PutId(&bytes, IdOf(DotActor(dot)));
    PutFixed64(&bytes, DotCounter(dot));
    sum += StableHash(bytes, seed);
  };
  for (const auto& [dot, version] : state.live) {
    if (which != Dots::kUnseen || !engine_.InClock(partition, dot)) add(dot, 1);
  }
  if (which == Dots::kLive) return sum;
  for (Dot dot : state.gone) add(dot, 2);
  return sum;
}

uint64_t ReplicaSide::CountIrregular(int partition) const {
  const auto& index = engine_.partitions_[partition].irregular;
  if (!index) return 0;
  uint64_t sum = 0;
  auto add_clear = [&](const UnfinishedClear& clear, std::string_view key) {
    if (clear.scope == ClearScope::kSlotSync) return;  // of rows here, not of the partition
    std::string bytes(1, char(clear.scope));
    bytes.push_back(char(clear.cleared_kind));
    PutVarint(&bytes, clear.scope == ClearScope::kPartition ? 0 : clear.ns);
    PutLengthPrefixed(&bytes, key);
    Portable(clear.rest).EncodeTo(&bytes);
    sum += StableHash(bytes, 3);
  };
  for (const UnfinishedClear& clear : index->clears) add_clear(clear, {});
  for (const auto& [at, held] : index->keys) {
    for (const UnfinishedClear& clear : held.clears) add_clear(clear, at.key);
    std::string prefix;
    PutVarint(&prefix, at.ns);
    PutLengthPrefixed(&prefix, at.key);
    for (const auto& [id, state] : held.rows) {
      sum += HashOfDots(prefix, id, state, Dots::kUnseen, partition);
    }
  }
  return sum;
}

// --- one key ---

void ReplicaSide::RowsOf(int database, std::string_view key, KeyRows* out) const {
  uint16_t ns = engine_.NamespaceOf(database);
  if (!PrepareOnTheSpot(ns, key, RowKind::kBase, {}).ok()) return;
  EngineImpl::Spot spot{ns, KeySlot(key), RowTable::HashOf(key, engine_.seed_, kPositionHashBits),
                        key};
  const auto& index = engine_.partitions_[PartitionOfSlot(spot.slot)].irregular;
  if (const KeyRows* held = index ? index->Find(ns, spot.slot, key) : nullptr) *out = *held;
  const Row* row = engine_.FindLive(spot);
  if (!row) return;
  if (row->row_form() == RowForm::kCollection) {
    engine_.PullAll(row, out);
  } else if (!out->HoldsString()) {
    engine_.PullString(row, out);
  }
}

uint64_t ReplicaSide::HashOfKey(int database, std::string_view key, Dots which) const {
  KeyRows rows;
  RowsOf(database, key, &rows);
  uint64_t sum = 0;
  for (const auto& [id, state] : rows.rows) sum += HashOfDots({}, id, state, which, 0);
  return sum;
}

uint64_t ReplicaSide::KeyStateHash(int database, std::string_view key) {
  return HashOfKey(database, key, Dots::kAll);
}

uint64_t ReplicaSide::KeyVersion(int database, std::string_view key) {
  return HashOfKey(database, key, Dots::kLive);
}

RowReport ReplicaSide::ReportOf(const RowId& id, const RowState& state, int partition) const {
  RowReport report;
  report.kind = id.kind;
  if (id.kind == RowKind::kFragment) {
    report.index = FragmentIndex(id);
  } else {
    report.element = id.element;
  }
  if (id.base) report.base = Portable(id.base);
  bool owned = id.kind == RowKind::kTotal || id.kind == RowKind::kFieldTotal;
  if (owned) report.owner = IdOf(id.actor);
  const auto* winner = engine_.Winner(state);
  for (const auto& [dot, version] : state.live) {
    report.unseen |= !engine_.InClock(partition, dot);
    RowVersionReport v{Portable(dot), version.hlc, version.implicit, version.value, version.number};
    bool first = winner && winner->first == dot;
    report.live.insert(first ? report.live.begin() : report.live.end(), std::move(v));
  }
  for (Dot dot : state.gone) report.gone.push_back(Portable(dot));
  return report;
}

std::vector<RowReport> ReplicaSide::ExplainKey(int database, std::string_view key,
                                               size_t max_rows) {
  KeyRows rows;
  RowsOf(database, key, &rows);
  int partition = PartitionOfSlot(KeySlot(key));
  std::vector<RowReport> out;
  for (bool plain : {false, true}) {
    for (const auto& [id, state] : rows.rows) {
      if (out.size() == max_rows) return out;
      if (state.empty() || engine_.Regular(partition, state) != plain) continue;
      out.push_back(ReportOf(id, state, partition));
    }
  }
  return out;
}

}  // namespace redynamo
