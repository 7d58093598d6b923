// SPDX-License-Identifier: Apache-2.0
// The dot index, and answers to pulls: which of the dots that a replica lacks go into the next
// batch, with the rows that they wrote as these are now (replica_batch.h).
#include <algorithm>

#include "storage/replica_side.h"

namespace redynamo {
namespace {

constexpr size_t kDotsMax = 4096;  // of one batch
constexpr int kLoadRounds = 3;     // then what is still missing is read on the spot
constexpr uint64_t kIrregularBytesMax = 8 << 20;

bool OfString(const RowId& id) {
  return id.kind == RowKind::kBase || id.kind == RowKind::kTotal || id.kind == RowKind::kFragment ||
         (id.kind == RowKind::kDeadline && id.base != 0);
}

RowKind ElementKindOf(const RowId& id) {
  return id.kind == RowKind::kMember ? RowKind::kMember : RowKind::kField;
}

}  // namespace

// --- the index ---

DotIndex& ReplicaSide::IndexOf(int partition) {
  auto& index = index_[size_t(partition)];
  if (!index) index = std::make_unique<DotIndex>();
  return *index;
}

void ReplicaSide::AddToIndex(int partition, const std::function<void(DotIndex*)>& change) {
  DotIndex& index = IndexOf(partition);
  dots_ -= index.dots().size();
  rows_ -= index.row_count();
  bytes_ -= index.bytes();
  change(&index);
  dots_ += index.dots().size();
  rows_ += index.row_count();
  bytes_ += index.bytes();
  if (index.dots().empty()) index_[size_t(partition)].reset();
}

void ReplicaSide::KeepDots(bool on) {
  keep_ = on;
  engine_.collects_own_ = keep_ || engine_.hooks_.on_own_record;
  if (on) return;
  for (auto& index : index_) index.reset();
  dots_ = rows_ = bytes_ = 0;
}

void ReplicaSide::ForgetDots(int partition, const ReplicaClock& everyone_has) {
  if (!index_[size_t(partition)]) return;
  PartitionClock clock = Local(everyone_has);
  AddToIndex(partition, [&](DotIndex* index) { index->Forget(clock); });
}

DotIndexStats ReplicaSide::DotStats() const { return {dots_, rows_, bytes_, dropped_}; }

// Who has been away for longer than the index remembers needs a full sync.
void ReplicaSide::KeepIndexSmall() {
  uint64_t most = engine_.options_.dot_index_bytes_max;
  while (most > 0 && bytes_ > most) {
    size_t largest = 0;
    auto bytes_of = [&](size_t p) { return index_[p] ? index_[p]->bytes() : 0; };
    for (size_t p = 1; p < index_.size(); p++) {
      if (bytes_of(p) > bytes_of(largest)) largest = p;
    }
    uint64_t before = dots_;
    AddToIndex(int(largest), [](DotIndex* index) { index->DropOldHalf(); });
    dropped_ += before - dots_;
    if (before == dots_) return;
  }
}

std::string ReplicaSide::EncodeDots(int partition) const {
  std::string out;
  if (const auto& index = index_[size_t(partition)]) index->EncodeTo(&out);
  return out;
}

bool ReplicaSide::DecodeDots(int partition, std::string_view bytes) {
  if (!keep_) return true;
  ByteReader in(bytes);
  bool good = false;
  AddToIndex(partition, [&](DotIndex* index) { good = DotIndex::Decode(&in, index); });
  return good && in.empty();
}

// --- answering ---

void ReplicaSide::Pull(int partition, const ReplicaClock& theirs, uint64_t max_bytes,
                       std::function<void(PullAnswer)> done) {
  const Id128& own = engine_.identity_.actors[engine_.self_];
  auto mine = theirs.actors.find(own);
  if (mine != theirs.actors.end() && ShowsAmnesia(partition, own, mine->second.max())) {
    PullAnswer answer;
    answer.status = RotateActor();
    if (!answer.status.ok()) return done(answer);
  }
  Answer(partition, theirs, max_bytes, 0, std::move(done));
}

void ReplicaSide::Answer(int partition, const ReplicaClock& theirs, uint64_t max_bytes, int round,
                         std::function<void(PullAnswer)> done) {
  Selection selection;
  Select(partition, theirs, &selection);
  std::shared_ptr<Needs> needs = NeedsOf(selection);
  if (round == kLoadRounds || Ready(*needs)) {
    return done(Build(partition, selection, max_bytes));
  }
  // What is selected may be another after that: the choice is made anew.
  WhenReady(needs, [this, partition, theirs, max_bytes, round,
                    done = std::move(done)](const Status& status) {
    if (status.ok()) return Answer(partition, theirs, max_bytes, round + 1, done);
    PullAnswer answer;
    answer.status = status;
    done(answer);
  });
}

void ReplicaSide::Select(int partition, const ReplicaClock& theirs, Selection* out) const {
  PartitionClock missing = engine_.ClockOf(partition).Minus(Local(theirs));
  const DotIndex* index = index_[size_t(partition)].get();
  for (const auto& [actor, set] : missing.actors()) {
    for (const auto& interval : set.intervals()) {
      for (uint64_t n = interval.first; n <= interval.last; n++) {
        Dot dot = MakeDot(actor, n);
        const DotIndex::Entry* entry = index ? index->Find(dot) : nullptr;
        if (!entry || out->dots.size() == kDotsMax) {
          out->more = true;
          out->need_full = out->dots.empty();
          return;
        }
        out->dots.push_back({dot, entry});
      }
    }
  }
}

PullAnswer ReplicaSide::Build(int partition, const Selection& selection, uint64_t max_bytes) const {
  PullAnswer answer;
  if (selection.need_full) {
    answer.kind = PullAnswer::kNeedFull;
    return answer;
  }
  BatchWriter writer(partition, engine_.identity_.actors);
  std::map<const DotIndex::OwedRow*, uint32_t> numbers;
  answer.more = selection.more;
  for (const Selection::Item& item : selection.dots) {
    if (writer.bytes() >= max_bytes && !writer.empty()) {
      answer.more = true;
      break;
    }
    std::vector<uint32_t> rows, clears;
    for (const DotIndex::OwedRow* owed : item.entry->rows) {
      auto [it, is_new] = numbers.try_emplace(owed);
      if (is_new) {
        answer.status = AddRow(*owed, &writer, &it->second);
        if (!answer.status.ok()) return answer;
      }
      rows.push_back(it->second);
    }
    if (item.entry->clears) {
      for (const OwedClear& clear : *item.entry->clears) clears.push_back(writer.AddClear(clear));
    }
    writer.AddDot(item.dot, item.entry->crc, rows, clears);
  }
  if (!answer.more) AddIrregular(partition, &writer);
  if (writer.empty()) return answer;
  answer.kind = PullAnswer::kBatch;
  answer.bytes = writer.Finish();
  return answer;
}

Status ReplicaSide::AddRow(const DotIndex::OwedRow& owed, BatchWriter* writer,
                           uint32_t* number) const {
  uint16_t ns;
  std::string_view key;
  RowId id;
  CHECK_THAT(ReadPlace(owed.place, &ns, &key, &id));  // made here, or checked when decoded
  if (ns >= engine_.namespaces_.size()) {
    return Corruption("the dot index speaks of a database that this node does not have");
  }
  Status status = PrepareOnTheSpot(ns, key, id.kind, id.element);
  if (!status.ok()) return status;
  EngineImpl::Spot spot{ns, KeySlot(key), RowTable::HashOf(key, engine_.seed_, kPositionHashBits),
                        key};
  *number = writer->AddRow(ns, key, id, owed.removed, CurrentRow(spot, id));
  return Status::Ok();
}

RowState ReplicaSide::CurrentRow(const EngineImpl::Spot& spot, const RowId& id) const {
  const auto& index = engine_.partitions_[PartitionOfSlot(spot.slot)].irregular;
  if (const KeyRows* held = index ? index->Find(spot.ns, spot.slot, spot.key) : nullptr) {
    auto it = held->rows.find(id);
    if (it != held->rows.end()) return it->second;
    bool element = !OfString(id) && id.kind != RowKind::kDeadline;
    if (OfString(id) && held->HoldsString()) return {};
    if (element && held->HoldsElement(ElementKindOf(id), id.element)) return {};
  }
  const Row* row = engine_.FindLive(spot);
  if (!row) return {};
  KeyRows rows;
  bool is_string = row->object_type() == ObjectType::kString;
  if (id.kind == RowKind::kFragment) {
    if (is_string && row->dot == id.base) engine_.PullFragment(row, id, &rows);
  } else if (OfString(id)) {
    if (is_string) engine_.PullString(row, &rows);
  } else if (!is_string && id.kind == RowKind::kDeadline) {
    engine_.PullDeadline(row, &rows);
  } else if (!is_string && ElementKind(row) == ElementKindOf(id)) {
    engine_.PullElement(row, id.element, &rows);
  }
  auto it = rows.rows.find(id);
  return it == rows.rows.end() ? RowState() : std::move(it->second);
}

void ReplicaSide::AddClears(int partition, BatchWriter* writer) const {
  const auto& index = engine_.partitions_[partition].irregular;
  if (!index) return;
  for (const UnfinishedClear& clear : index->clears) {
    if (clear.scope == ClearScope::kSlotSync) continue;  // of rows here, not of the partition
    writer->AddClear({clear.scope, clear.cleared_kind, clear.ns, {}, clear.rest});
  }
  for (const IrregularIndex::Key& at : index->clearing) {
    for (const UnfinishedClear& clear : index->keys.at(at).clears) {
      writer->AddClear({clear.scope, clear.cleared_kind, at.ns, at.key, clear.rest});
    }
  }
}

// What is known here beyond the clock: it may be all that is left of an event whose node is lost.
void ReplicaSide::AddIrregular(int partition, BatchWriter* writer) const {
  const auto& index = engine_.partitions_[partition].irregular;
  if (!index) return;
  AddClears(partition, writer);
  size_t begin = writer->bytes();
  for (const auto& [at, held] : index->keys) {
    for (const auto& [id, state] : held.rows) {
      bool unseen = std::any_of(state.live.begin(), state.live.end(), [&](const auto& version) {
        return !engine_.InClock(partition, version.first);
      });
      if (unseen || !state.gone.empty()) writer->AddRow(at.ns, at.key, id, {}, state);
    }
    if (writer->bytes() - begin > kIrregularBytesMax) return;
  }
}

}  // namespace redynamo
