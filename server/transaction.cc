// SPDX-License-Identifier: Apache-2.0
#include "server/transaction.h"

#include <algorithm>

#include "server/server.h"

namespace redynamo {

void WatchTable::Watch(Session& session, int database, std::string_view key, bool existed,
                       int64_t deadline_ms) {
  for (const WatchedKey& watched : session.watched) {
    if (watched.database == database && watched.key == key) return;
  }
  if (session.watched.empty()) watching_clients_++;
  session.watched.push_back({database, std::string(key), existed, deadline_ms});
  watchers_[Place(database, std::string(key))].push_back(&session);
}

void WatchTable::WatchElsewhere(Session& session, int database, std::string_view key,
                                uint64_t version) {
  for (const WatchedKey& watched : session.watched) {
    if (watched.database == database && watched.key == key) return;
  }
  if (session.watched.empty()) watching_clients_++;
  session.watched.push_back({database, std::string(key), version != 0, kNoDeadline, true, version});
}

void WatchTable::UnwatchAll(Session& session) {
  for (const WatchedKey& watched : session.watched) {
    auto it = watchers_.find(std::pair<int, std::string_view>(watched.database, watched.key));
    if (it == watchers_.end()) continue;
    std::erase(it->second, &session);
    if (it->second.empty()) watchers_.erase(it);
  }
  if (!session.watched.empty()) watching_clients_--;
  session.watched.clear();
  session.transaction.watch_failed = false;
}

void WatchTable::Touch(int database, std::string_view key) {
  auto it = watchers_.find(std::pair<int, std::string_view>(database, key));
  if (it == watchers_.end()) return;
  for (Session* session : it->second) session->transaction.watch_failed = true;
}

void WatchTable::DatabaseCleared(int database) {
  // Walk the sessions' own lists: they know which keys there were.
  for (const auto& [place, sessions] : watchers_) {
    if (place.first != database) continue;
    for (Session* session : sessions) {
      for (const WatchedKey& watched : session->watched) {
        if (watched.database == database && watched.existed && watched.key == place.second) {
          session->transaction.watch_failed = true;
        }
      }
    }
  }
}

void WatchTable::DatabasesSwapped(int a, int b,
                                  const std::function<bool(std::string_view key)>& exists) {
  for (const auto& [place, sessions] : watchers_) {
    if (place.first != a && place.first != b) continue;
    if (!exists(place.second)) continue;
    for (Session* session : sessions) session->transaction.watch_failed = true;
  }
}

bool WatchTable::Failed(const Session& session, int64_t now_ms) {
  if (session.transaction.watch_failed) return true;
  return std::ranges::any_of(session.watched, [&](const WatchedKey& watched) {
    return watched.deadline_ms != kNoDeadline && watched.deadline_ms <= now_ms;
  });
}

void DiscardTransaction(Server& server, Session& session) {
  session.transaction = TransactionState();
  server.watches().UnwatchAll(session);
}

}  // namespace redynamo
