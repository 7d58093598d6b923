// SPDX-License-Identifier: Apache-2.0
// The cluster port's rule: is a command served here, or is its client told where to go
// (REPLICATION.md 4.1)? Pure values; the dispatcher asks the node for them (dispatcher_face.cc).
//
//   a write, or WATCH      where the coordinator is, which is the node that CLUSTER SLOTS names
//   a read                 at any home, if it then sees what the coordinator has answered: when
//                          R + W > N, or after READONLY, which says that it need not
//   anything else          -MOVED slot host:port
//   the same slot again    within a second after a MOVED: served. The client cannot reach the
//                          coordinator, which this node can (a gray failure)
//
// Two homes never send a client to and fro: each sends on only to one that stands before it in the
// ring document's order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace redynamo {

// Of a slot, as this node sees the ring now.
struct SlotPlaces {
  bool reachable = false;              // some node coordinates it
  bool coordinated_here = false;       // this one does
  bool home_here = false;              // this one has its keys
  bool coordinator_announced = false;  // the one that does has a cluster port
  bool reads_overlap = false;          // R + W > N: any home's reads see all answered writes
};

struct FaceCommand {
  bool follows_writes = false;  // a write, or WATCH: to be where the slot's writes are
  bool stays = false;           // of a transaction: it cannot be run elsewhere for the client
  bool reads_anywhere = false;  // after READONLY: an older value will do
};

enum class FaceVerdict : uint8_t {
  kServe,      // as on the plain port: here, by the coordinator for this client, or refused
  kServeHere,  // by this home, although another one coordinates
  kMoved,
};

// `moved_lately`: this client was sent elsewhere for this slot a moment ago, and is here again.
FaceVerdict JudgeOnFace(const FaceCommand& command, const SlotPlaces& places, bool moved_lately);

// For which slots a client was answered MOVED within the last second. A client of many connections'
// worth of slots may push some out; it then gets one more MOVED for them.
class RecentMoves {
 public:
  static constexpr int64_t kLatelyMs = 1000;

  // Times are monotonic.
  bool Lately(uint16_t slot, int64_t now_ms) const {
    const Move& move = moves_[slot % kKept];
    return move.used && move.slot == slot && now_ms - move.at_ms <= kLatelyMs;
  }
  void Note(uint16_t slot, int64_t now_ms) { moves_[slot % kKept] = {now_ms, slot, true}; }

 private:
  static constexpr size_t kKept = 256;
  struct Move {
    int64_t at_ms = 0;
    uint16_t slot = 0;
    bool used = false;
  };
  std::array<Move, kKept> moves_{};
};

}  // namespace redynamo
