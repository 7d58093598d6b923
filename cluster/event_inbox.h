// SPDX-License-Identifier: Apache-2.0
// Peers' records that are being joined here, and what may be acknowledged of them: a record counts
// once it is joined and its log position is safe ("ack only when durable"), and acknowledgements
// are cumulative per link, so the first one that is not ready holds back those behind it.
//
// One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "storage/identity.h"

namespace redynamo {

class EventInbox {
 public:
  // A record has come; gives a token for Joined.
  uint64_t Received(const Id128& peer, uint64_t number) {
    Peer& from = peers_[peer];
    from.waiting.push_back({number, next_token_, kNotJoined});
    return next_token_++;
  }
  // It is in the log up to `position`. A token of a link that is gone is ignored.
  void Joined(const Id128& peer, uint64_t token, uint64_t position) { Set(peer, token, position); }
  // It was refused, and has been answered for itself.
  void Refused(const Id128& peer, uint64_t token) { Set(peer, token, kRefused); }

  // The newest number up to which all is safe now; nullopt when there is no news.
  std::optional<uint64_t> Acknowledgeable(const Id128& peer, uint64_t safe_position) {
    auto it = peers_.find(peer);
    if (it == peers_.end()) return std::nullopt;
    Peer& from = it->second;
    std::optional<uint64_t> up_to;
    while (!from.waiting.empty() && from.waiting.front().position <= safe_position) {
      up_to = from.waiting.front().number;
      from.waiting.pop_front();
    }
    return up_to;
  }
  void LinkDown(const Id128& peer) { peers_.erase(peer); }
  size_t waiting(const Id128& peer) const {
    auto it = peers_.find(peer);
    return it == peers_.end() ? 0 : it->second.waiting.size();
  }

 private:
  static constexpr uint64_t kNotJoined = UINT64_MAX;
  static constexpr uint64_t kRefused = 0;  // holds nothing back
  struct Waiting {
    uint64_t number, token, position;
  };
  struct Peer {
    std::deque<Waiting> waiting;
  };
  void Set(const Id128& peer, uint64_t token, uint64_t position) {
    auto it = peers_.find(peer);
    if (it == peers_.end() || it->second.waiting.empty()) return;
    uint64_t first = it->second.waiting.front().token;
    for (Waiting& waiting : it->second.waiting) {
      if (token < first) return;
      if (waiting.token == token) waiting.position = position;
      if (waiting.token >= token) return;
    }
  }

  uint64_t next_token_ = 1;
  std::map<Id128, Peer> peers_;
};

}  // namespace redynamo
