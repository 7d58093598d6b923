// SPDX-License-Identifier: Apache-2.0
// SCAN, KEYS and RANDOMKEY over positions (storage/key_walk.h): a cursor is the next position (53
// bits), so it needs no state here and no key is missed however the tables change.
#include <algorithm>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr size_t kHeadsPerTask = 8192;  // then other cold reads have their turn
constexpr uint64_t kRandomHeads = 16;

uint64_t PositionOf(uint16_t slot, uint64_t hash) {
  return uint64_t(slot) << kPositionHashBits | hash >> (64 - kPositionHashBits);
}
uint16_t SlotOf(uint64_t position) { return uint16_t(position >> kPositionHashBits); }
uint64_t HashAt(uint64_t position) { return position << (64 - kPositionHashBits); }

// The first position at or after `position` that belongs to the share; kPositionCount: none.
uint64_t NextOf(const PartitionSet& share, uint64_t position) {
  int partition = PartitionOfSlot(SlotOf(position));
  int next = share.NextFrom(partition);
  if (next == partition) return position;
  return next == PartitionCount() ? kPositionCount
                                  : PositionOf(uint16_t(next * SlotsPerPartition()), 0);
}

bool InShare(const KeyWalk& walk, uint32_t slot) {
  return !walk.share || walk.share->ContainsSlot(uint16_t(slot));
}

// The keys at positions [from, to).
std::span<const ColdKey> Between(const std::vector<ColdKey>& keys, uint64_t from, uint64_t to) {
  auto before = [](const ColdKey& k, uint64_t position) { return k.position < position; };
  auto begin = std::lower_bound(keys.begin(), keys.end(), from, before);
  auto end = std::lower_bound(begin, keys.end(), to, before);
  return {begin, end};
}

}  // namespace

void KeyListing::Settle() {
  if (notes.empty()) return;
  std::erase_if(keys, [&](const ColdKey& k) { return notes.contains(k.key); });
  for (auto& [key, note] : notes) {
    if (note) keys.push_back(std::move(*note));
  }
  notes.clear();
  std::sort(keys.begin(), keys.end());
}

// Where reading must begin for the walk; nothing when the tables know all that it will give.
std::optional<uint64_t> EngineImpl::ReadFrom(const KeyWalk& walk) const {
  const Namespace& space = *namespaces_[NamespaceOf(walk.database)];
  if (space.live == space.resident || walk.cursor >= kPositionCount) return std::nullopt;
  if (walk.kind != KeyWalk::Kind::kScan) return 0;
  uint64_t given = 0;
  for (uint32_t slot = SlotOf(walk.cursor); slot < kSlotCount && given < walk.count; slot++) {
    const SlotTable* table = space.slots[slot].get();
    if (!table || table->live == 0 || !InShare(walk, slot)) continue;
    if (table->cold() > 0) return std::max(walk.cursor, PositionOf(uint16_t(slot), 0));
    given += table->resident;
  }
  return std::nullopt;
}

KeyListing* EngineImpl::ListingFor(const KeyWalk& walk, const KeyListings* listings) const {
  if (!listings) return nullptr;
  uint16_t ns = NamespaceOf(walk.database);
  for (const auto& listing : listings->listings) {
    bool stands = listing->epoch == namespaces_[ns]->epoch && listing->until != 0;
    if (stands && listing->Is(walk, ns)) return listing.get();
  }
  return nullptr;
}

bool EngineImpl::WalksReady(std::span<const KeyWalk> walks, const KeyListings* listings) const {
  return std::all_of(walks.begin(), walks.end(), [&](const KeyWalk& walk) {
    std::optional<uint64_t> from = ReadFrom(walk);
    if (!from) return true;
    const KeyListing* listing = ListingFor(walk, listings);
    // Keys below its begin may have been paged out since; at cursor 0 the walk could not say so.
    return listing && (walk.kind == KeyWalk::Kind::kRandom || listing->from <= *from);
  });
}

void EngineImpl::PrepareWalks(
    std::span<const KeyWalk> walks,
    std::function<void(const Status&, std::shared_ptr<KeyListings>)> done) {
  auto prepared = std::make_shared<KeyListings>();
  std::erase_if(listings_, [](const auto& listing) { return listing.expired(); });
  for (const KeyWalk& walk : walks) {
    std::optional<uint64_t> from = ReadFrom(walk);
    if (!from) continue;
    auto listing = std::make_shared<KeyListing>();
    listing->kind = walk.kind;
    listing->ns = NamespaceOf(walk.database);
    listing->epoch = namespaces_[listing->ns]->epoch;
    listing->cursor = walk.cursor;
    listing->count = walk.count;
    listing->pattern = walk.pattern;
    if (walk.share) listing->share = *walk.share;
    listing->from = *from;
    if (walk.kind == KeyWalk::Kind::kRandom) listing->from = random_.Below(kPositionCount);
    prepared->listings.push_back(listing);
    listings_.push_back(listing);
  }
  ReadListings({prepared, std::move(done), 0, {}});
}

// Reads one task's worth of heads of the listings, then asks for the next.
void EngineImpl::ReadListings(ListingTask task) {
  background_->Post([this, task = std::move(task)]() mutable {
    auto& listings = task.result->listings;
    Status status;
    if (task.index < listings.size()) {
      bool more = false;
      status = ReadHeads(listings[task.index].get(), &task.next, &more);
      if (!more) {
        task.index++;
        task.next.clear();
      }
      if (status.ok() && !stopping_) return ReadListings(std::move(task));
    }
    PostToDataThread([task = std::move(task), status] {
      for (const auto& listing : task.result->listings) listing->until = listing->read_until;
      task.done(status, task.result);
    });
  });
}

Status EngineImpl::ReadHeads(KeyListing* listing, std::string* next, bool* more) const {
  bool random = listing->kind == KeyWalk::Kind::kRandom;
  uint64_t most = random ? kRandomHeads : listing->count;
  uint64_t begin = listing->wrapped ? 0 : listing->from;
  KeyRange range = PositionRange(listing->ns, begin, kPositionCount - 1);
  auto it = store_->NewHeadIterator(next->empty() ? range.lower : *next, range.upper);
  size_t read = 0;
  for (; it->Valid(); read++) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    if (!head.ok()) return head.status();
    // Keys of one position are given together.
    bool cut = listing->keys.size() >= most && head->position != listing->keys.back().position;
    if (cut) {
      listing->read_until = listing->keys.back().position + 1;
      return Status::Ok();
    }
    if (read == kHeadsPerTask) {
      next->assign(it->key());
      *more = true;
      return Status::Ok();
    }
    uint64_t next_shared =
        listing->share ? NextOf(*listing->share, head->position) : head->position;
    if (next_shared == kPositionCount) break;
    if (next_shared != head->position) {
      it->Seek(PositionRange(listing->ns, next_shared, kPositionCount - 1).lower);
      continue;
    }
    if (listing->kind == KeyWalk::Kind::kAll && !WalkMatches(listing->pattern, head->key)) {
      it->Next();
      continue;
    }
    ColdKey key{head->position, std::string(head->key), ObjectType::kNone, kNoDeadline};
    Status status = ReadHeadSummary(it->value(), &key.type, &key.deadline_ms);
    if (!status.ok()) return status;
    listing->keys.push_back(std::move(key));
    it->Next();
  }
  listing->read_until = kPositionCount;
  if (random && !listing->wrapped && listing->keys.size() < most) {
    listing->wrapped = *more = true;
    next->clear();
  }
  return it->status();
}

void EngineImpl::NoteForListings(uint16_t ns, uint16_t slot, uint64_t hash, const Row* row) {
  std::optional<ColdKey> cold;
  if (row->live()) {
    cold = {PositionOf(slot, hash), std::string(row->key()), row->object_type(),
            row->Has(Row::kHasDeadline) ? row->deadline().at_ms : kNoDeadline};
  }
  for (const auto& entry : listings_) {
    auto listing = entry.lock();
    if (!listing || listing->ns != ns) continue;
    bool by_pattern = listing->kind == KeyWalk::Kind::kAll;
    if (by_pattern && !WalkMatches(listing->pattern, row->key())) continue;
    listing->notes[std::string(row->key())] = cold;
  }
}

uint64_t EngineImpl::WalkKeys(const KeyWalk& walk,
                              const std::function<void(const WalkedKey&)>& fn) {
  uint16_t ns = NamespaceOf(walk.database);
  if (walk.cursor >= kPositionCount) return 0;
  KeyListing* listing = ListingFor(walk, walk_listings_);
  if (listing) listing->Settle();
  uint64_t given = 0;
  for (uint32_t slot = SlotOf(walk.cursor); slot < kSlotCount; slot++) {
    SlotTable* table = Slot(ns, uint16_t(slot));
    if (!table || table->live == 0 || !InShare(walk, slot)) continue;
    uint64_t first = std::max(walk.cursor, PositionOf(uint16_t(slot), 0));
    uint64_t end = (uint64_t(slot) + 1) << kPositionHashBits;
    bool cold = table->cold() > 0;
    // Beyond what has been read the next call goes on.
    if (cold && (!listing || first < listing->from || first >= listing->until)) return first;
    uint64_t limit = cold ? std::min(end, listing->until) : end;
    uint64_t next = WalkSlot(ns, *table, cold ? listing : nullptr, first, limit, walk.count - given,
                             &given, fn);
    if (next != end || given >= walk.count) return next == kPositionCount ? 0 : next;
  }
  return 0;
}

// Gives the slot's keys at positions [first, limit), or fewer when that is enough; where to go on.
uint64_t EngineImpl::WalkSlot(uint16_t ns, SlotTable& table, const KeyListing* listing,
                              uint64_t first, uint64_t limit, uint64_t count, uint64_t* given,
                              const std::function<void(const WalkedKey&)>& fn) {
  uint16_t slot = SlotOf(first);
  std::vector<Row*> rows;
  uint64_t cut = table.rows.Collect(HashAt(first), count, &rows);
  if (cut != 0) limit = std::min(limit, PositionOf(slot, cut));
  for (Row* row : rows) {
    (*given)++;
    if (!row->live() || Expired(row)) continue;
    uint64_t hash = RowTable::HashOf(row->key(), seed_, kPositionHashBits);
    if (PositionOf(slot, hash) < limit) fn({row->key(), row->object_type()});
  }
  (*given) += rows.empty();
  if (!listing) return limit;
  for (const ColdKey& cold : Between(listing->keys, first, limit)) {
    (*given)++;
    if (table.rows.Find(HashAt(cold.position), cold.key)) continue;
    if (cold.deadline_ms != kNoDeadline && cold.deadline_ms <= now_ms_) continue;
    fn({cold.key, cold.type});
  }
  return limit;
}

std::optional<std::string> EngineImpl::RandomColdKey(uint16_t ns, const PartitionSet* share,
                                                     Random& random) {
  KeyWalk walk{KeyWalk::Kind::kRandom, DatabaseOf(ns), 0, 0, {}, share};
  KeyListing* listing = ListingFor(walk, walk_listings_);
  if (!listing) return std::nullopt;
  listing->Settle();
  std::vector<const ColdKey*> good;
  for (const ColdKey& cold : listing->keys) {
    SlotTable* table = Slot(ns, SlotOf(cold.position));
    if (!table || table->cold() == 0 || !InShare(walk, SlotOf(cold.position))) continue;
    if (table->rows.Find(HashAt(cold.position), cold.key)) continue;
    if (cold.deadline_ms == kNoDeadline || cold.deadline_ms > now_ms_) good.push_back(&cold);
  }
  if (good.empty()) return std::nullopt;
  return good[random.Below(good.size())]->key;
}

// fn takes over each cold object of the slot, read on this thread: only joins of other nodes'
// events, and DEBUG DIGEST, may block like that.
void EngineImpl::ForEachColdNow(uint16_t ns, uint16_t slot, const std::function<void(Row*)>& fn) {
  uint64_t first = PositionOf(slot, 0);
  KeyRange range = PositionRange(ns, first, first + (1ull << kPositionHashBits) - 1);
  Status status;
  auto it = store_->NewHeadIterator(range.lower, range.upper);
  for (; it->Valid(); it->Next()) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    status = head.status();
    if (!status.ok()) break;
    if (Slot(ns, slot)->rows.Find(HashAt(head->position), head->key)) continue;
    Result<Row*> built = BuildObject(ns, head->position, head->key, it->value());
    status = built.status();
    if (!status.ok()) break;
    fn(*built);
  }
  if (status.ok()) status = it->status();
  if (!status.ok()) LogWarning("cold keys could not be read: " + status.message());
}

}  // namespace redynamo
