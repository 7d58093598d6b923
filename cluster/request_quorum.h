// SPDX-License-Identifier: Apache-2.0
// How many replicas one request shall meet, where it differs from the ring's own n, r and w
// (Dynamo 4.5: "applications tune N, R and W"). A client says it for its connection (RING.QUORUM),
// an operator for keys (ring-policy); it travels with a command that is forwarded.
//
//   ring n 3, r 2, w 2                   counted           read needs   write needs
//   request {}                           homes 0 1 2       2            2
//   request {n 1, r 1, w 1}              home 0            1            1
//   request {w 3, strict}                homes 0 1 2       2            3, stand-ins do not count
//
// `n` says who is counted, not who gets the events: all homes do, always, and so the next request
// may ask for more. Of a sloppy request the first n homes that can be reached are counted, of a
// strict one the first n.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cluster/view.h"

namespace redynamo {

struct RequestQuorum {
  enum Sloppiness : uint8_t { kAsRing, kSloppy, kStrict };
  static constexpr int kPackedBits = 14;

  uint8_t n = 0, r = 0, w = 0;  // up to kReplicasMax; 0: as the ring
  Sloppiness sloppiness = kAsRing;

  bool usual() const { return *this == RequestQuorum{}; }
  bool operator==(const RequestQuorum&) const = default;

  // What this does not say, as `other` does.
  RequestQuorum Or(const RequestQuorum& other) const {
    return {n ? n : other.n, r ? r : other.r, w ? w : other.w,
            sloppiness != kAsRing ? sloppiness : other.sloppiness};
  }

  // For the wire: kPackedBits of a number. What does not fit there means as the ring.
  uint32_t Pack() const { return n | r << 4 | w << 8 | sloppiness << 12; }
  static RequestQuorum Unpack(uint32_t bits) {
    auto count = [&](int shift) {
      uint8_t value = bits >> shift & 15;
      return value <= kReplicasMax ? value : uint8_t(0);
    };
    auto sloppiness = Sloppiness(std::min(bits >> 12 & 3, uint32_t(kStrict)));
    return {count(0), count(4), count(8), sloppiness};
  }
};

}  // namespace redynamo
