// SPDX-License-Identifier: Apache-2.0
// What a command handler sees of the data: typed views of keys in one database.
//
// A view is found once, read, and changed through its own verbs. Each change takes effect at once
// (the same command reads what it wrote) and is recorded as row effects of this command's events;
// the engine appends them to the log as one record when the command ends. So a handler never
// thinks of rows, dots, logs or replicas.
//
//   HashView hash = keys.Hash(key);
//   if (hash.wrong_type()) return WrongType();
//   if (hash.Set("field", "value")) added++;
//
// Rules:
//  - Every key (and, for a large collection on disk, every element) that a command names has been
//    made resident before its handler runs: see CommandRow in server/command.h. What is needed
//    beyond that is read from disk at once, which blocks.
//  - Expired keys do not exist here.
//  - string_views given out live until the next change of that key.
//  - A collection that becomes empty is removed with its last element.
//  - A view of a key taken before a change of that key through another view must be taken again.
//  - Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/random.h"
#include "base/status.h"

namespace redynamo {

class EngineImpl;
class PartitionSet;
struct Row;
struct Siblings;

enum class ObjectType : uint8_t { kNone, kString, kList, kSet, kSortedSet, kHash, kStream };

inline constexpr int64_t kNoDeadline = -1;

// What a SET-like write does to the key's deadline.
struct DeadlineChange {
  enum class Kind : uint8_t { kClear, kKeep, kAt };
  Kind kind = Kind::kClear;
  int64_t at_ms = 0;
  static DeadlineChange Clear() { return {}; }
  static DeadlineChange Keep() { return {Kind::kKeep, 0}; }
  static DeadlineChange At(int64_t ms) { return {Kind::kAt, ms}; }
};

// One key, of whatever type. The base of the typed views.
class KeyView {
 public:
  bool exists() const { return row_ != nullptr; }
  ObjectType type() const;  // kNone when absent
  std::string_view key() const { return key_; }
  int64_t deadline_ms() const;    // Unix ms, or kNoDeadline
  const char* encoding() const;   // as OBJECT ENCODING names it; REQUIRES exists()
  uint64_t memory_bytes() const;  // as MEMORY USAGE; REQUIRES exists()
  // At most so many bytes of log to write the same under a key of that length; 0 when absent.
  uint64_t copy_log_bytes(size_t key_bytes) const;
  int64_t idle_seconds() const;  // OBJECT IDLETIME; REQUIRES exists()
  int frequency() const;         // OBJECT FREQ (logarithmic counter of LFU)

  void SetDeadline(int64_t at_ms);  // REQUIRES exists(); for a past one call Remove
  bool Persist();                   // false when there was no deadline
  bool Remove();                    // false when absent

 protected:
  friend class Keyspace;
  friend class EngineImpl;
  EngineImpl* engine_ = nullptr;
  uint16_t ns_ = 0;
  uint16_t slot_ = 0;
  uint64_t hash_ = 0;  // XXH3 of the key under the data directory's seed
  std::string_view key_;
  Row* row_ = nullptr;  // the resident, live object, or none
  bool wrong_type_ = false;
};

class StringView : public KeyView {
 public:
  bool wrong_type() const { return wrong_type_; }
  // The bytes; empty when absent. A counter is rendered into this view's own buffer, so the view
  // must outlive what value() gave (Reply::View of it: make it Bulk unless is_plain()).
  std::string_view value() const;
  bool is_plain() const;  // value() points into the store itself

  // Replaces whatever the key held, of any type. `raw` is for OBJECT ENCODING's eyes only.
  void Set(std::string_view value, DeadlineChange deadline = DeadlineChange::Clear(),
           bool raw = false);
  // INCR and its kin: adds to the counter. InvalidArgument with Redis' error text when the value is
  // not an integer or the sum overflows; then nothing has changed.
  Result<int64_t> Add(int64_t increment);
  // Replaces value()[offset, offset + bytes.size()), growing with zero bytes. Keeps the deadline.
  void Overwrite(uint64_t offset, std::string_view bytes);
  void Append(std::string_view bytes);
  // At most so many bytes of log for one of these that writes `bytes` up to offset `end`.
  uint64_t change_log_bytes(uint64_t bytes, uint64_t end) const;

  // All concurrent versions, with the context that covers them: see storage/siblings.h.
  // REQUIRES: not wrong_type().
  Siblings siblings() const;
  // Writes a version that replaces those that the context covers, and stands beside others; gives
  // the context of the new one. Within one command (MULTI) a later version of a key replaces an
  // earlier one. No deadline. InvalidArgument, with an error reply's text, when the context is none
  // of this key or there are too many versions: then nothing has changed.
  // REQUIRES: not wrong_type(); `value` is no part of the string.
  Result<std::string> PutSibling(std::string_view context, std::string_view value);

 private:
  friend class Keyspace;
  mutable char number_[24];
};

// Hash: field -> value.
class HashView : public KeyView {
 public:
  bool wrong_type() const { return wrong_type_; }
  uint64_t size() const;
  // A counter field is rendered into the engine's scratch: valid until the next call on any view.
  std::optional<std::string_view> Find(std::string_view field) const;
  bool Set(std::string_view field, std::string_view value);  // true when the field is new
  bool Remove(std::string_view field);                       // false when absent
  // HINCRBY; InvalidArgument with HINCRBY's texts, then nothing has changed.
  Result<int64_t> Add(std::string_view field, int64_t increment);
  // Calls fn(field, value) for all; fn returns false to stop. No change of the hash inside. The
  // views of a counter's value live only during that call.
  void ForEach(const std::function<bool(std::string_view, std::string_view)>& fn) const;
  // Elements from `cursor` on, about `count` of them; gives the next cursor, 0 at the end.
  // Whatever is there during a whole iteration is given at least once.
  uint64_t Scan(uint64_t cursor, uint64_t count,
                const std::function<void(std::string_view, std::string_view)>& fn) const;
  // A uniformly random field and its value. REQUIRES: exists().
  std::pair<std::string_view, std::string_view> Sample(Random& random) const;

 private:
  friend class Keyspace;
};

// Set: members.
class SetView : public KeyView {
 public:
  bool wrong_type() const { return wrong_type_; }
  uint64_t size() const;
  bool Contains(std::string_view member) const;
  bool Add(std::string_view member);     // true when new
  bool Remove(std::string_view member);  // false when absent
  void ForEach(const std::function<bool(std::string_view)>& fn) const;
  uint64_t Scan(uint64_t cursor, uint64_t count,
                const std::function<void(std::string_view)>& fn) const;
  std::string_view Sample(Random& random) const;  // REQUIRES: exists()

 private:
  friend class Keyspace;
};

// A key as a walk over the database gives it: its value need not be in memory.
struct WalkedKey {
  std::string_view key;
  ObjectType type;
};

class Keyspace {
 public:
  Keyspace(EngineImpl* engine, int database) : engine_(engine), database_(database) {}
  int database() const { return database_; }
  Keyspace In(int database) const {
    Keyspace other = *this;
    other.database_ = database;
    return other;
  }

  // Lookups renew the last access (LRU/LFU) unless they say Peek, or this was switched off.
  Keyspace RenewingAccess(bool renews) const {
    Keyspace other = *this;
    other.renews_access_ = renews;
    return other;
  }
  // For what concerns all keys (counts, walks, Clear): only those of these partitions; null: all.
  // The set must outlive this.
  Keyspace Within(const PartitionSet* share) const {
    Keyspace other = *this;
    other.share_ = share;
    return other;
  }
  const PartitionSet* share() const { return share_; }
  KeyView Find(std::string_view key);
  KeyView Peek(std::string_view key);
  StringView String(std::string_view key);
  HashView Hash(std::string_view key);
  SetView Set(std::string_view key);

  uint64_t size() const;                    // DBSIZE
  uint64_t slot_size(uint16_t slot) const;  // of one slot
  uint64_t volatile_keys() const;           // keys with a deadline, in memory or on disk
  int64_t average_ttl_ms() const;  // of those, as the expiry sweeps have met them; 0 when none

  // Walks. While keys are on disk only, each needs what Engine::PrepareWalks has read for the
  // KeyWalk that says the same (storage/key_walk.h).
  //
  // A random live key; nullopt when the database is empty.
  std::optional<std::string> RandomKey(Random& random);
  // Keys of positions from `cursor` on, about `count`; the next cursor, 0 at the end. Stateless,
  // with Redis' guarantee: what is there during a whole iteration is given at least once.
  uint64_t Scan(uint64_t cursor, uint64_t count, const std::function<void(const WalkedKey&)>& fn);
  // All keys that match the glob `pattern`.
  void ForEachKey(std::string_view pattern, const std::function<void(const WalkedKey&)>& fn);

  // Gives `to` (in `to_database`) the content and deadline of `from` with fresh dots, replacing
  // what was there. REQUIRES: `from` exists, and the two are not the same key.
  void Copy(std::string_view from, int to_database, std::string_view to);
  void Clear();  // FLUSHDB

 private:
  template <typename View>
  View FindTyped(std::string_view key, ObjectType type);
  EngineImpl* engine_;
  int database_;
  bool renews_access_ = true;
  const PartitionSet* share_ = nullptr;
};

}  // namespace redynamo
