// SPDX-License-Identifier: Apache-2.0
// MULTI's end and WATCH: which sessions want to know of a change of which key. The engine's hooks
// call in, so the price of nobody watching is one comparison.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/session.h"

namespace redynamo {

class WatchTable {
 public:
  // `existed` and `deadline_ms`: as the key is now.
  void Watch(Session& session, int database, std::string_view key, bool existed,
             int64_t deadline_ms);
  // A key that another node has: nothing tells of its changes, EXEC compares the version.
  void WatchElsewhere(Session& session, int database, std::string_view key, uint64_t version);
  void UnwatchAll(Session& session);

  // From the engine's hooks.
  void KeyChanged(int database, std::string_view key) {
    if (__builtin_expect(!watchers_.empty(), 0)) Touch(database, key);
  }
  // FLUSHDB: watchers of keys that existed fail.
  void DatabaseCleared(int database);
  // SWAPDB: watchers of either database fail whose key exists in one of them.
  void DatabasesSwapped(int a, int b, const std::function<bool(std::string_view key)>& exists);

  // Has a watched key changed, or expired since it was watched?
  static bool Failed(const Session& session, int64_t now_ms);

  size_t watched_keys() const { return watchers_.size(); }
  size_t watching_clients() const { return watching_clients_; }

 private:
  using Place = std::pair<int, std::string>;
  struct PlaceLess {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      if (a.first != b.first) return a.first < b.first;
      return std::string_view(a.second) < std::string_view(b.second);
    }
  };
  void Touch(int database, std::string_view key);

  std::map<Place, std::vector<Session*>, PlaceLess> watchers_;
  size_t watching_clients_ = 0;
};

// Forgets the queue and the watched keys: DISCARD, and every end of EXEC.
void DiscardTransaction(Server& server, Session& session);

}  // namespace redynamo
