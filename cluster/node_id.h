// SPDX-License-Identifier: Apache-2.0
// How a node is named: by its id, minted once per data directory (REPLICATION.md section 2), or by
// its ring address, where other nodes reach it. Pure values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/id128.h"

namespace redynamo {

// 128 random bits, shown as the 40 hex digits of CLUSTER NODES (base/id128.h says how).
struct NodeId {
  Id128 bytes{};

  auto operator<=>(const NodeId&) const = default;  // by bytes, the first one counts most
  std::string digits() const { return Id128Digits(bytes); }
  // False, and *out is left alone, unless `text` is the digits of an id, in either case.
  static bool Parse(std::string_view text, NodeId* out) {
    return ParseId128Digits(text, &out->bytes);
  }
};

inline constexpr size_t kHostBytesMax = 255;  // of a host name or address (RFC 1035: 253)

// "host:port"; an IPv6 address stands in brackets, as in "[::1]:17001", and is kept without them.
struct RingAddress {
  std::string host;
  uint16_t port = 0;

  auto operator<=>(const RingAddress&) const = default;
  std::string ToString() const;
  // False, and *out is left alone, unless host is 1 to kHostBytesMax printable bytes without
  // spaces, brackets or commas and port is 1 to 65535. A host with a ':' needs its brackets.
  static bool Parse(std::string_view text, RingAddress* out);
};

// Whether `host` may stand in an address: the rule above, a ':' allowed.
bool ValidHost(std::string_view host);

}  // namespace redynamo
