// SPDX-License-Identifier: Apache-2.0
// Replies that wait for more than this node's log: for other replicas to have a write, or for a
// peer to answer what was forwarded to it. Bytes leave in order, so what comes after the first of
// them waits here, too. OutputBuffer makes one of these when it needs it, which on a ring of one
// is never.
//
//   held:  SET a (waits)  | GET b (committed) | SET c (waits)
//   SET a resolved:  SET a and GET b go on to the log's marks; SET c stays
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace redynamo {

class HeldReplies {
 public:
  struct Entry {
    uint64_t id = 0;
    std::string bytes;
    uint64_t position = 0;
    bool committed = false;  // rendered whole
    bool resolved = true;
  };

  // The reply that is being rendered; another one begins after each commit.
  std::string* Tail() {
    if (entries_.empty() || entries_.back().committed) entries_.emplace_back().id = 0;
    return &entries_.back().bytes;
  }
  // What is rendered from here to the next commit waits for Resolve(id).
  void Begin(uint64_t id) {
    if (!entries_.empty() && !entries_.back().committed) entries_.back().committed = true;
    Entry& entry = entries_.emplace_back();
    entry.id = id;
    entry.resolved = false;
  }
  void Commit(uint64_t position) {
    if (entries_.empty() || entries_.back().committed) return;
    entries_.back().committed = true;
    entries_.back().position = position;
  }
  // False when there is none with that id.
  bool Resolve(uint64_t id) {
    Entry* entry = Find(id);
    if (entry) entry->resolved = true;
    return entry != nullptr;
  }
  bool ResolveWith(uint64_t id, std::string_view bytes) {
    Entry* entry = Find(id);
    if (!entry) return false;
    entry->bytes.assign(bytes);
    return entry->resolved = true;
  }
  // The first one, when it may go on; else null.
  Entry* Ready() {
    bool ready = !entries_.empty() && entries_.front().committed && entries_.front().resolved;
    return ready ? &entries_.front() : nullptr;
  }
  void Pop() { entries_.pop_front(); }
  bool empty() const { return entries_.empty(); }
  uint64_t bytes() const {
    uint64_t total = 0;
    for (const Entry& entry : entries_) total += entry.bytes.size() + sizeof(Entry);
    return total;
  }

 private:
  Entry* Find(uint64_t id) {
    for (Entry& entry : entries_) {
      if (entry.id == id) return &entry;
    }
    return nullptr;
  }
  std::deque<Entry> entries_;
};

}  // namespace redynamo
