// SPDX-License-Identifier: Apache-2.0
// The views: thin fronts of the engine's lookups and verbs.
#include "storage/keyspace.h"

#include <algorithm>
#include <cstring>

#include "base/number.h"
#include "storage/engine_impl.h"
#include "storage/long_string.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

// Redis' thresholds between its string encodings.
constexpr size_t kEmbeddedStringMax = 44;
constexpr uint64_t kScanPackedShare = 64;

std::string_view Shown(const Collection::Element& e, char* digits) {
  if (!e.counter) return e.value;
  return {digits, FormatInt64(CounterCell(e.value).value(), digits)};
}

thread_local char t_digits[24];  // what Find and Sample render a counter field into

}  // namespace

ObjectType KeyView::type() const { return row_ ? row_->object_type() : ObjectType::kNone; }

int64_t KeyView::deadline_ms() const {
  return row_ && row_->Has(Row::kHasDeadline) ? row_->deadline().at_ms : kNoDeadline;
}

const char* KeyView::encoding() const {
  switch (row_->object_type()) {
    case ObjectType::kString: {
      if (row_->row_form() == RowForm::kCounter) return "int";
      if (row_->row_form() == RowForm::kLong) return "raw";
      int64_t ignored;
      if (row_->Has(Row::kRaw)) return "raw";
      if (ParseInt64(row_->value(), &ignored)) return "int";
      return row_->value_len <= kEmbeddedStringMax ? "embstr" : "raw";
    }
    case ObjectType::kSet:
      if (row_->collection()->only_integers()) return "intset";
      return row_->collection()->native() ? "hashtable" : "listpack";
    default: return row_->collection()->native() ? "hashtable" : "listpack";
  }
}

uint64_t KeyView::memory_bytes() const {
  const RowTable& rows = engine_->Slot(ns_, slot_)->rows;
  uint64_t bytes = RowMemory(row_) + rows.memory_bytes() / rows.size();
  if (row_->row_form() == RowForm::kCollection) bytes += row_->collection()->memory_bytes();
  if (row_->row_form() == RowForm::kLong) bytes += row_->long_string()->memory_bytes();
  return bytes;
}

uint64_t KeyView::copy_log_bytes(size_t key_bytes) const {
  if (!row_) return 0;
  if (row_->row_form() == RowForm::kLong) return row_->text().size() + key_bytes + 64;
  if (row_->row_form() != RowForm::kCollection) return row_->value_len + key_bytes + 64;
  // Tag, lengths and dots of an effect take less than what memory has beside the payload, and 24
  // bytes more than make up for the packed form, which has little.
  const Collection* c = row_->collection();
  return c->memory_bytes() + c->size() * (key_bytes + (c->native() ? 0 : 24)) + key_bytes + 64;
}

uint64_t StringView::change_log_bytes(uint64_t bytes, uint64_t end) const {
  uint64_t length = std::max<uint64_t>(value().size(), end);
  if (length <= kFragmentBytes || (row_ && row_->row_form() == RowForm::kCounter)) {
    return length + key_.size() + 64;
  }
  uint64_t fragments = bytes / kFragmentBytes + 2;
  return fragments * (kFragmentBytes + 64) + 2 * key_.size();
}

int64_t KeyView::idle_seconds() const { return engine_->IdleSeconds(row_); }
int KeyView::frequency() const { return engine_->Frequency(row_); }
void KeyView::SetDeadline(int64_t at_ms) { engine_->WriteDeadline(this, at_ms); }

bool KeyView::Persist() {
  if (!row_ || !row_->Has(Row::kHasDeadline)) return false;
  engine_->DropDeadline(this);
  return true;
}

bool KeyView::Remove() {
  if (!row_) return false;
  engine_->RemoveKey(this);
  return true;
}

// --- string ---

std::string_view StringView::value() const {
  if (!row_) return {};
  if (row_->row_form() == RowForm::kPlain) return row_->value();
  if (row_->row_form() == RowForm::kLong) return row_->text();
  return {number_, FormatInt64(CounterCell(row_->value()).value(), number_)};
}

bool StringView::is_plain() const { return !row_ || row_->row_form() != RowForm::kCounter; }

void StringView::Set(std::string_view value, DeadlineChange deadline, bool raw) {
  engine_->WriteBase(this, value, deadline, raw);
}

Result<int64_t> StringView::Add(int64_t increment) {
  return engine_->AddToCounter(this, increment);
}

void StringView::Overwrite(uint64_t offset, std::string_view bytes) {
  if (engine_->WriteFragments(this, offset, bytes)) return;
  std::string edited(value());
  if (edited.size() < offset + bytes.size()) edited.resize(offset + bytes.size(), '\0');
  std::memcpy(edited.data() + offset, bytes.data(), bytes.size());
  engine_->WriteBase(this, edited, DeadlineChange::Keep(), true);
}

void StringView::Append(std::string_view bytes) {
  bool was_absent = !exists();
  if (!was_absent && engine_->WriteFragments(this, value().size(), bytes)) return;
  std::string edited(value());
  edited.append(bytes);
  engine_->WriteBase(this, edited, DeadlineChange::Keep(), !was_absent);
}

Siblings StringView::siblings() const { return engine_->replica_->SiblingsOf(*this); }

Result<std::string> StringView::PutSibling(std::string_view context, std::string_view value) {
  return engine_->replica_->PutSibling(this, context, value);
}

// --- hash ---

uint64_t HashView::size() const { return row_ ? row_->collection()->size() : 0; }

std::optional<std::string_view> HashView::Find(std::string_view field) const {
  Collection::Element e;
  if (!row_ || !engine_->FindElement(row_, field, &e)) return std::nullopt;
  return Shown(e, t_digits);
}

bool HashView::Set(std::string_view field, std::string_view value) {
  return engine_->PutElement(this, ObjectType::kHash, field, value);
}

bool HashView::Remove(std::string_view field) { return engine_->RemoveElement(this, field); }

Result<int64_t> HashView::Add(std::string_view field, int64_t increment) {
  return engine_->AddToField(this, field, increment);
}

void HashView::ForEach(const std::function<bool(std::string_view, std::string_view)>& fn) const {
  if (!row_) return;
  char digits[24];
  engine_->Whole(row_)->ForEach(
      [&](const Collection::Element& e) { return fn(e.key, Shown(e, digits)); });
}

// A packed collection is given whole, as Redis does; a native one in element hash order, the cursor
// being the next 48-bit hash.
uint64_t HashView::Scan(uint64_t cursor, uint64_t count,
                        const std::function<void(std::string_view, std::string_view)>& fn) const {
  if (!row_) return 0;
  char digits[24];
  Collection* c = row_->collection();
  if (!c->native()) {
    c->ForEach([&](const Collection::Element& e) {
      fn(e.key, Shown(e, digits));
      return true;
    });
    return 0;
  }
  std::vector<Collection::Element> found;
  uint64_t next = engine_->ScanElements(row_, cursor, count, &found);
  for (const auto& e : found) fn(e.key, Shown(e, digits));
  return next;
}

std::pair<std::string_view, std::string_view> HashView::Sample(Random& random) const {
  Collection::Element e = engine_->SampleElement(row_, random);
  return {e.key, Shown(e, t_digits)};
}

// --- set ---

uint64_t SetView::size() const { return row_ ? row_->collection()->size() : 0; }

bool SetView::Contains(std::string_view member) const {
  Collection::Element e;
  return row_ && engine_->FindElement(row_, member, &e);
}

bool SetView::Add(std::string_view member) {
  return engine_->PutElement(this, ObjectType::kSet, member, {});
}

bool SetView::Remove(std::string_view member) { return engine_->RemoveElement(this, member); }

void SetView::ForEach(const std::function<bool(std::string_view)>& fn) const {
  if (!row_) return;
  engine_->Whole(row_)->ForEach([&](const Collection::Element& e) { return fn(e.key); });
}

uint64_t SetView::Scan(uint64_t cursor, uint64_t count,
                       const std::function<void(std::string_view)>& fn) const {
  if (!row_) return 0;
  Collection* c = row_->collection();
  if (!c->native()) {
    ForEach([&](std::string_view member) {
      fn(member);
      return true;
    });
    return 0;
  }
  std::vector<Collection::Element> found;
  uint64_t next = engine_->ScanElements(row_, cursor, count, &found);
  for (const auto& e : found) fn(e.key);
  return next;
}

std::string_view SetView::Sample(class Random& random) const {
  return engine_->SampleElement(row_, random).key;
}

// --- keyspace ---

KeyView Keyspace::Find(std::string_view key) {
  KeyView view;
  engine_->Lookup(database_, key, renews_access_, &view);
  return view;
}

KeyView Keyspace::Peek(std::string_view key) {
  KeyView view;
  engine_->Lookup(database_, key, false, &view);
  return view;
}

template <typename View>
View Keyspace::FindTyped(std::string_view key, ObjectType type) {
  View view;
  engine_->Lookup(database_, key, renews_access_, &view);
  view.wrong_type_ = view.row_ && view.row_->object_type() != type;
  return view;
}

StringView Keyspace::String(std::string_view key) {
  return FindTyped<StringView>(key, ObjectType::kString);
}
HashView Keyspace::Hash(std::string_view key) {
  return FindTyped<HashView>(key, ObjectType::kHash);
}
SetView Keyspace::Set(std::string_view key) { return FindTyped<SetView>(key, ObjectType::kSet); }

namespace {

struct KeyCounts {
  uint64_t live = 0, resident = 0;
};

KeyCounts CountKeys(const Namespace& space, const PartitionSet* share) {
  KeyCounts counts;
  if (!share) return {space.live, space.resident};
  for (int p = share->NextFrom(0); p < PartitionCount(); p = share->NextFrom(p + 1)) {
    for (int slot = p * SlotsPerPartition(); slot < (p + 1) * SlotsPerPartition(); slot++) {
      const SlotTable* table = space.slots[size_t(slot)].get();
      if (!table) continue;
      counts.live += table->live;
      counts.resident += table->resident;
    }
  }
  return counts;
}

// Evenly of all slots, or of those of the share.
uint16_t DrawSlot(const PartitionSet* share, Random& random) {
  if (!share) return uint16_t(random.Below(kSlotCount));
  int first = share->Nth(size_t(random.Below(share->size()))) * SlotsPerPartition();
  return uint16_t(uint64_t(first) + random.Below(uint64_t(SlotsPerPartition())));
}

}  // namespace

uint64_t Keyspace::size() const {
  return CountKeys(engine_->Ns(engine_->NamespaceOf(database_)), share_).live;
}

uint64_t Keyspace::slot_size(uint16_t slot) const {
  const SlotTable* table = engine_->Ns(engine_->NamespaceOf(database_)).slots[slot].get();
  return table ? table->live : 0;
}

int64_t Keyspace::average_ttl_ms() const {
  const Namespace& space = engine_->Ns(engine_->NamespaceOf(database_));
  double left_ms = space.average_deadline_ms - double(engine_->now_ms_);
  return volatile_keys() > 0 && left_ms > 0 ? int64_t(left_ms) : 0;
}

uint64_t Keyspace::volatile_keys() const {
  const Namespace& space = engine_->Ns(engine_->NamespaceOf(database_));
  int64_t keys = int64_t(space.volatiles) + space.cold_volatiles;
  return keys > 0 ? uint64_t(keys) : 0;
}

std::optional<std::string> Keyspace::RandomKey(class Random& random) {
  Namespace& space = engine_->Ns(engine_->NamespaceOf(database_));
  KeyCounts counts = CountKeys(space, share_);
  if (counts.resident < counts.live && random.Below(counts.live) >= counts.resident) {
    if (auto cold = engine_->RandomColdKey(space.id, share_, random)) return cold;
  }
  auto drawable = [&](uint16_t slot) {
    bool used = space.slots[slot] && space.slots[slot]->resident > 0;
    return used && (!share_ || share_->ContainsSlot(slot));
  };
  constexpr int kTries = 200;  // absent rows are passed over, expired keys go
  for (int i = 0; i < kTries && CountKeys(space, share_).resident > 0; i++) {
    // Slots are drawn evenly until one is used; with few keys that takes a walk instead.
    uint16_t slot = DrawSlot(share_, random);
    for (int step = 0; step < kSlotCount; step++, slot = uint16_t((slot + 1) % kSlotCount)) {
      if (drawable(slot)) break;
    }
    Row* row = space.slots[slot]->rows.Sample(random);
    if (!row->live()) continue;
    std::string key(row->key());
    KeyView view;
    engine_->Lookup(database_, key, false, &view);
    if (view.exists()) return key;
  }
  return std::nullopt;
}

uint64_t Keyspace::Scan(uint64_t cursor, uint64_t count,
                        const std::function<void(const WalkedKey&)>& fn) {
  KeyWalk walk{KeyWalk::Kind::kScan, database_, cursor, count, {}, share_};
  return engine_->WalkKeys(walk, fn);
}

void Keyspace::ForEachKey(std::string_view pattern,
                          const std::function<void(const WalkedKey&)>& fn) {
  KeyWalk walk{KeyWalk::Kind::kAll, database_, 0, UINT64_MAX, pattern, share_};
  engine_->WalkKeys(walk, [&](const WalkedKey& walked) {
    if (WalkMatches(pattern, walked.key)) fn(walked);
  });
}

void Keyspace::Copy(std::string_view from, int to_database, std::string_view to) {
  KeyView source, target;
  engine_->Lookup(database_, from, false, &source);
  engine_->Lookup(to_database, to, false, &target);
  engine_->CopyKey(source, &target);
}

void Keyspace::Clear() { engine_->ClearDatabase(database_, share_); }

}  // namespace redynamo
