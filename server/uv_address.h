// SPDX-License-Identifier: Apache-2.0
// Socket addresses as text, and text as socket addresses.
#pragma once

#include <netinet/in.h>
#include <uv.h>

#include <string>

#include "base/status.h"
#include "server/session.h"

namespace redynamo {

// "127.0.0.1:6379", "[::1]:6379".
std::string AddressText(const sockaddr_storage& address);
bool IsLoopback(const sockaddr_storage& address);
// All but the id of a client whose connected socket, TCP or unix, this is. `unix_path` is where the
// unix socket listens.
void DescribePeer(const uv_handle_t* handle, const std::string& unix_path, SessionIdentity* who);

// What every client's connection has: no delay, and probes of silence every so many seconds.
void SetTcpOptions(uv_tcp_t* handle, int64_t keepalive_seconds);

// One word of `bind`: a numeric address, a host name, "*" or "::*". May wait for a name server:
// only at start and in CONFIG SET.
struct BindAddress {
  sockaddr_storage address{};
  bool optional = false;  // a leading '-': it may be missing on this machine
};
Result<BindAddress> ResolveBindAddress(const std::string& word, int port);

// "host:port" or "[v6]:port", for connecting. kInvalidArgument names what is wrong.
struct HostPort {
  std::string host;  // without brackets
  int port = 0;      // 1..65535
};
Result<HostPort> SplitHostPort(const std::string& text);
// False when the host is a name, which would have to be looked up.
bool NumericAddress(const HostPort& from, sockaddr_storage* address);

}  // namespace redynamo
