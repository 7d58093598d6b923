// SPDX-License-Identifier: Apache-2.0
// What replicas compare of keys and of what their clocks do not say. Hashes depend on no local
// index, on no seed, and not on the form that rows have in memory.
//
// A key's hash is the sum of its dots' hashes, so a few rows are compared at once; of a set of a
// million members it would take a second. Who reads such a key compares clocks of its partition
// instead (Node::ReadFresh), and who watches it the place of its slot's last change in the log:
// HasManyRows tells the two apart.
#include "base/hash.h"
#include "storage/long_string.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

void PutId(std::string* out, const Id128& id) {
  out->append(reinterpret_cast<const char*>(id.data()), id.size());
}

}  // namespace

// The row's place in its key, spelt for the hashes of its dots.
void ReplicaSide::PutPlace(const RowPlace& place, std::string* bytes) const {
  bytes->push_back(char(place.kind));
  PutLengthPrefixed(bytes, place.element);
  PutVarint(bytes, DotCounter(place.base));
  if (place.base) PutId(bytes, IdOf(DotActor(place.base)));
  bool owned = place.kind == RowKind::kTotal || place.kind == RowKind::kFieldTotal;
  if (owned) PutId(bytes, IdOf(place.actor));
}

// `bytes`: the key, where it is not implied, and the row's place in it; the same afterwards.
uint64_t ReplicaSide::HashOfDot(std::string* bytes, Dot dot, uint64_t seed) const {
  size_t size = bytes->size();
  PutId(bytes, IdOf(DotActor(dot)));
  PutFixed64(bytes, DotCounter(dot));
  uint64_t hash = StableHash(*bytes, seed);
  bytes->resize(size);
  return hash;
}

// A sum over dots, since their order here is that of local indexes.
uint64_t ReplicaSide::HashOfDots(std::string_view prefix, const RowId& id, const RowState& state,
                                 Dots which, int partition) const {
  constexpr uint64_t kLiveSeed = 1, kGoneSeed = 2;
  std::string bytes(prefix);
  PutPlace({id.kind, id.element, id.base, id.actor}, &bytes);
  uint64_t sum = 0;
  for (const auto& [dot, version] : state.live) {
    if (which == Dots::kUnseen && engine_.InClock(partition, dot)) continue;
    sum += HashOfDot(&bytes, dot, kLiveSeed);
  }
  if (which == Dots::kLive) return sum;
  for (Dot dot : state.gone) sum += HashOfDot(&bytes, dot, kGoneSeed);
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

const KeyRows* ReplicaSide::Held(const EngineImpl::Spot& spot) const {
  const auto& index = engine_.partitions_[PartitionOfSlot(spot.slot)].irregular;
  return index ? index->Find(spot.ns, spot.slot, spot.key) : nullptr;
}

EngineImpl::Spot ReplicaSide::SpotOf(int database, std::string_view key) const {
  return {engine_.NamespaceOf(database), KeySlot(key),
          RowTable::HashOf(key, engine_.seed_, kPositionHashBits), key};
}

bool ReplicaSide::HasManyRows(int database, std::string_view key) const {
  EngineImpl::Spot spot = SpotOf(database, key);
  uint64_t most = engine_.options_.hashed_rows_max;
  const KeyRows* held = Held(spot);
  if (held && held->rows.size() > most) return true;
  const Row* row = engine_.FindLive(spot);
  if (!row) return false;
  if (row->row_form() == RowForm::kCollection) {
    return row->collection()->sparse() || row->collection()->size() > most;
  }
  return row->row_form() == RowForm::kLong && row->long_string()->fragments().size() > most;
}

// Of a live row none of whose rows is irregular, without making KeyRows of it; the same sum.
uint64_t ReplicaSide::HashOfShown(const Row* row) const {
  constexpr uint64_t kLiveSeed = 1;
  std::string bytes;
  auto hash = [&](const RowPlace& place, Dot dot) {
    bytes.clear();
    PutPlace(place, &bytes);
    return HashOfDot(&bytes, dot, kLiveSeed);
  };
  uint64_t sum = 0;
  Dot base = 0;
  if (row->row_form() == RowForm::kCollection) {
    RowKind kind = row->object_type() == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
    engine_.Whole(row)->ForEach([&](const Collection::Element& e) {
      sum += hash({kind, e.key}, e.dot);
      if (e.counter) {
        CounterCell cell(e.value);
        for (int i = 0; i < cell.count(); i++) {
          Dot dot = cell.total(i).dot;
          sum += hash({RowKind::kFieldTotal, e.key, e.dot, DotActor(dot)}, dot);
        }
      }
      return true;
    });
  } else {
    base = row->dot;
    sum += hash({RowKind::kBase}, base);
    if (row->row_form() == RowForm::kCounter) {
      CounterCell cell(row->value());
      for (int i = 0; i < cell.count(); i++) {
        Dot dot = cell.total(i).dot;
        sum += hash({RowKind::kTotal, {}, base, DotActor(dot)}, dot);
      }
    } else if (row->row_form() == RowForm::kLong) {
      for (const auto& [index, fragment] : row->long_string()->fragments()) {
        if (!fragment.live()) continue;
        RowId id = FragmentRow(base, index);
        sum += hash({RowKind::kFragment, id.element, base}, fragment.dot);
      }
    }
  }
  if (row->Has(Row::kHasDeadline)) sum += hash({RowKind::kDeadline, {}, base}, row->deadline().dot);
  return sum;
}

uint64_t ReplicaSide::HashOfKey(int database, std::string_view key, Dots which) const {
  EngineImpl::Spot spot = SpotOf(database, key);
  if (!Held(spot) && PrepareOnTheSpot(spot.ns, key, RowKind::kBase, {}).ok()) {
    const Row* row = engine_.FindLive(spot);
    return row ? HashOfShown(row) : 0;
  }
  KeyRows rows;
  RowsOf(database, key, &rows);
  uint64_t sum = 0;
  for (const auto& [id, state] : rows.rows) sum += HashOfDots({}, id, state, which, 0);
  return sum;
}

uint64_t ReplicaSide::KeyStateHash(int database, std::string_view key) {
  return HashOfKey(database, key, Dots::kAll);
}

// A position is one of this node's log, and may be forgotten by its next start: the log has grown
// by then if anything has changed.
uint64_t ReplicaSide::KeyVersion(int database, std::string_view key) {
  if (!HasManyRows(database, key)) return HashOfKey(database, key, Dots::kLive);
  if (first_version_at_ == 0) first_version_at_ = engine_.log_->appended() + 1;
  std::string bytes;
  PutId(&bytes, IdOf(engine_.self_));
  PutFixed64(&bytes, first_version_at_);
  PutFixed64(&bytes, engine_.last_position_[KeySlot(key)]);
  return StableHash(bytes, 4);
}

}  // namespace redynamo
