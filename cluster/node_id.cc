// SPDX-License-Identifier: Apache-2.0
#include "cluster/node_id.h"

#include <algorithm>

#include "base/number.h"

namespace redynamo {

bool ValidHost(std::string_view host) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  return std::ranges::all_of(
      host, [](char c) { return c > ' ' && c < 0x7f && c != '[' && c != ']' && c != ','; });
}

std::string RingAddress::ToString() const {
  bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool RingAddress::Parse(std::string_view text, RingAddress* out) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  bool brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  bool has_colon = host.find(':') != std::string_view::npos;
  uint64_t port = 0;
  if (brackets != has_colon || !ValidHost(host)) return false;
  if (!ParseUint64(text.substr(colon + 1), &port) || port == 0 || port > 0xffff) return false;
  out->host = std::string(host);
  out->port = uint16_t(port);
  return true;
}

}  // namespace redynamo
