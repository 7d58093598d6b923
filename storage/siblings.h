// SPDX-License-Identifier: Apache-2.0
// Concurrent versions of a string (siblings, Dynamo 4.4) as a client meets them, and what it has
// seen of them. A *context* says which versions a client has read: a write that brings one replaces
// those, and no other (RING.GET and RING.PUT).
//
//   a and b were written on two sides of a cut     GET k     → ["b", "a"], context {b, a}
//   k was read before b was written                PUT k {a} c    c replaces a, b stays beside it
//   one who has read both                          PUT k {a, b} d    d is alone
//
// A version that has since been changed in place (INCR, or APPEND to a long string) is not what the
// client has read: it stays, too. Contexts are opaque to clients, and the same on every node:
//
//   context := version:8 count (actor:16 n beside:8)* crc32c:4        count and n: varint
//   beside  := hash of the dots of totals and fragments of that version; 0: none
//
// The checksum covers namespace and key as well, so that a context of another key is refused. No
// bytes at all are the context of one who has seen nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/replica_clock.h"

namespace redynamo {

inline constexpr size_t kSiblingsMax = 100;          // of a key, that RING.PUT makes
inline constexpr size_t kContextBytesMax = 1 << 20;  // joins can make more siblings than that

struct Siblings {
  std::vector<std::string> values;  // the shown one first
  std::string context;              // of all of them
};

struct SeenVersion {
  PortableDot dot;
  uint64_t beside = 0;
  bool operator==(const SeenVersion&) const = default;
};

std::string EncodeContext(uint16_t ns, std::string_view key, const std::vector<SeenVersion>& seen);
// kInvalidArgument, for a client's eyes, when the bytes are no context of that key.
Result<std::vector<SeenVersion>> DecodeContext(uint16_t ns, std::string_view key,
                                               std::string_view context);

}  // namespace redynamo
