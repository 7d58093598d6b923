// SPDX-License-Identifier: Apache-2.0
#include "server/uv_address.h"

#include <netdb.h>

#include <cstring>

#include "base/number.h"

namespace redynamo {

std::string AddressText(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = "?";
  if (address.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    uv_ip6_name(&v6, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  uv_ip4_name(&v4, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(v4.sin_port));
}

bool IsLoopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  }
  if (address.ss_family != AF_INET6) return false;
  auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return v6.sin6_addr.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

void DescribePeer(const uv_handle_t* any, const std::string& unix_path, SessionIdentity* who) {
  uv_os_fd_t fd;
  if (uv_fileno(any, &fd) == 0) who->fd = fd;
  who->unix_socket = any->type == UV_NAMED_PIPE;
  if (who->unix_socket) {
    who->address = who->local_address = unix_path + ":0";
    who->loopback = true;
    return;
  }
  auto* handle = reinterpret_cast<const uv_tcp_t*>(any);
  sockaddr_storage address{};
  int size = sizeof address;
  if (uv_tcp_getpeername(handle, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    who->address = AddressText(address);
    who->loopback = IsLoopback(address);
  }
  size = sizeof address;
  if (uv_tcp_getsockname(handle, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    who->local_address = AddressText(address);
  }
}

void SetTcpOptions(uv_tcp_t* handle, int64_t keepalive_seconds) {
  uv_tcp_nodelay(handle, 1);
  if (keepalive_seconds > 0) uv_tcp_keepalive(handle, 1, unsigned(keepalive_seconds));
}

Result<BindAddress> ResolveBindAddress(const std::string& word, int port) {
  BindAddress bound;
  std::string host = word;
  if (!host.empty() && host[0] == '-') {
    bound.optional = true;
    host.erase(0, 1);
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&bound.address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&bound.address);
  if (host == "*") host = "0.0.0.0";
  if (host == "::*") host = "::";
  if (uv_ip4_addr(host.c_str(), port, v4) == 0) return bound;
  if (uv_ip6_addr(host.c_str(), port, v6) == 0) return bound;
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return InvalidArgument(gai_strerror(error));
  std::memcpy(&bound.address, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return bound;
}

Result<HostPort> SplitHostPort(const std::string& text) {
  size_t colon = text.rfind(':');
  HostPort parts;
  if (colon != std::string::npos) {
    parts.host = text.substr(0, colon);
    int64_t port = 0;
    bool number = ParseInt64(std::string_view(text).substr(colon + 1), &port);
    if (number && port > 0 && port <= 65535) parts.port = int(port);
  }
  bool bracketed = parts.host.starts_with('[') && parts.host.ends_with(']');
  if (bracketed) parts.host = parts.host.substr(1, parts.host.size() - 2);
  bool bare_v6 = !bracketed && parts.host.find(':') != std::string::npos;
  if (parts.host.empty() || parts.port == 0 || bare_v6) {
    return InvalidArgument("'" + text + "' is not host:port");
  }
  return parts;
}

bool NumericAddress(const HostPort& from, sockaddr_storage* address) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(address);
  return uv_ip4_addr(from.host.c_str(), from.port, v4) == 0 ||
         uv_ip6_addr(from.host.c_str(), from.port, v6) == 0;
}

}  // namespace redynamo
