// SPDX-License-Identifier: Apache-2.0
// Peers' records that are being joined here, and what may be acknowledged of them: a record counts
// once it is joined and its log position is safe ("ack only when durable"), and acknowledgements
// are cumulative, so the first one that is not ready holds back those behind it.
//
// A record comes with its place: which link of its sender (a generation), and the how manieth
// record on it, from 1. So one that another connection to the same peer has carried ahead of its
// elders (links.h) does not vouch for them.
//
//   places that came     1  2  4  3      ready and safe     1  2  -  4      acknowledged: 2
//
// One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "storage/identity.h"

namespace redynamo {

// A place is a generation and, in its low bits, a count.
inline constexpr int kPlaceBits = 40;

class EventInbox {
 public:
  // A record has come.
  void Received(const Id128& peer, uint64_t place) {
    auto [it, fresh] = peers_.try_emplace(peer);
    Peer& from = it->second;
    uint64_t generation = place >> kPlaceBits;
    if (fresh || generation > from.next >> kPlaceBits) {
      from = {generation << kPlaceBits | 1, {}};
    }
    if (place >= from.next) from.waiting.try_emplace(place, kNotJoined);
  }
  // It is in the log up to `position`. Nothing when its link is gone.
  void Joined(const Id128& peer, uint64_t place, uint64_t position) { Set(peer, place, position); }
  // It was refused, and has been answered for itself.
  void Refused(const Id128& peer, uint64_t place) { Set(peer, place, kRefused); }

  // The newest place up to which all is safe now; nullopt when there is no news.
  std::optional<uint64_t> Acknowledgeable(const Id128& peer, uint64_t safe_position) {
    auto it = peers_.find(peer);
    if (it == peers_.end()) return std::nullopt;
    Peer& from = it->second;
    std::optional<uint64_t> up_to;
    while (!from.waiting.empty()) {
      auto first = from.waiting.begin();
      if (first->first != from.next || first->second > safe_position) break;
      up_to = from.next++;
      from.waiting.erase(first);
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
  struct Peer {
    uint64_t next = 0;                     // place that has to come or to become safe
    std::map<uint64_t, uint64_t> waiting;  // place -> position
  };
  void Set(const Id128& peer, uint64_t place, uint64_t position) {
    auto it = peers_.find(peer);
    if (it == peers_.end()) return;
    auto waiting = it->second.waiting.find(place);
    if (waiting != it->second.waiting.end()) waiting->second = position;
  }

  std::map<Id128, Peer> peers_;
};

}  // namespace redynamo
