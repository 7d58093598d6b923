// SPDX-License-Identifier: Apache-2.0
// The clients that are connected: by id, in the order of their arrival; CLIENT LIST's lines and
// filters; CLIENT PAUSE.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/session.h"

namespace redynamo {

// CLIENT KILL's filters; an unset one matches all.
struct ClientFilter {
  std::optional<uint64_t> id;
  std::optional<std::string> address, local_address, user;
  std::optional<std::string> type;  // "normal", "pubsub", "master", "replica"
  bool Matches(const Session& session, int64_t now_ms) const;
};

enum class PauseScope : uint8_t { kNone, kWrites, kAll };

class ClientRegistry {
 public:
  uint64_t NextId() { return ++last_id_; }
  void Add(Session* session) { sessions_[session->id()] = session; }
  void Remove(uint64_t id) { sessions_.erase(id); }
  Session* Find(uint64_t id) const;
  size_t size() const { return sessions_.size(); }
  const std::map<uint64_t, Session*>& all() const { return sessions_; }
  std::vector<Session*> Matching(const ClientFilter& filter, int64_t now_ms) const;

  // One line of CLIENT LIST and CLIENT INFO, without a line break.
  static std::string Describe(const Session& session, int64_t now_ms);
  // What the client's buffers and its queued transaction take: tot-mem of CLIENT LIST.
  static uint64_t MemoryOf(const Session& session);
  static std::string_view TypeOf(const Session& session);  // "normal" or "pubsub"

  // CLIENT PAUSE: holds commands of the scope back until the deadline. A second pause may widen and
  // lengthen the first, as in Redis.
  void Pause(PauseScope scope, int64_t until_ms);
  void Unpause() {
    pause_ = PauseScope::kNone;
    pause_until_ms_ = 0;
  }
  PauseScope pause(int64_t now_ms) const {
    return pause_ != PauseScope::kNone && now_ms < pause_until_ms_ ? pause_ : PauseScope::kNone;
  }
  bool pause_set() const { return pause_ != PauseScope::kNone; }
  int64_t pause_until_ms() const { return pause_until_ms_; }

  // Clients that wait for something: INFO's blocked_clients.
  uint64_t deferred_count = 0;

 private:
  std::map<uint64_t, Session*> sessions_;
  uint64_t last_id_ = 0;
  PauseScope pause_ = PauseScope::kNone;
  int64_t pause_until_ms_ = 0;
};

}  // namespace redynamo
