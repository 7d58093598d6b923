// SPDX-License-Identifier: Apache-2.0
// Clocks and actors as other nodes know them, and what a key's versions look like.
#include "storage/replica_side.h"

namespace redynamo {
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

// --- one key ---

void ReplicaSide::RowsOf(int database, std::string_view key, KeyRows* out) const {
  EngineImpl::Spot spot = SpotOf(database, key);
  if (!PrepareOnTheSpot(spot.ns, key, RowKind::kBase, {}).ok()) return;
  if (const KeyRows* held = Held(spot)) *out = *held;
  const Row* row = engine_.FindLive(spot);
  if (!row) return;
  if (row->row_form() == RowForm::kCollection) {
    engine_.PullAll(row, out);
  } else if (!out->HoldsString()) {
    engine_.PullString(row, out);
  }
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
