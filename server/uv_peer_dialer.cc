// SPDX-License-Identifier: Apache-2.0
#include "server/uv_peer_dialer.h"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log_line.h"

namespace redynamo {

struct UvPeerDialer::Lookup {
  uv_getaddrinfo_t request;
  UvPeerDialer* dialer;  // null: it is gone
  std::string address;
};

UvPeerDialer::UvPeerDialer(uv_loop_t* loop, const Clock& clock, LinkTimes times, uint64_t seed,
                           Hooks hooks)
    : loop_(loop), clock_(clock), times_(times), random_(seed), hooks_(std::move(hooks)) {}

UvPeerDialer::~UvPeerDialer() {
  for (Lookup* lookup : lookups_) {
    lookup->dialer = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&lookup->request));
  }
}

UvPeerDialer::Target* UvPeerDialer::Find(const std::string& address) {
  auto at = targets_.find(address);
  return at == targets_.end() ? nullptr : &at->second;
}

void UvPeerDialer::Add(const std::string& address) {
  if (Find(address)) return;
  Result<HostPort> parts = SplitHostPort(address);
  if (!parts.ok()) return LogWarning("Ring: cannot dial: " + parts.status().message());
  Target& target = targets_[address];
  target.next_us = clock_.MonotonicUs();
}

void UvPeerDialer::Tick() {
  int64_t now_us = clock_.MonotonicUs();
  std::vector<std::string> due;
  for (auto& [address, target] : targets_) {
    if (target.self || target.busy || now_us < target.next_us) continue;
    if (target.node && hooks_.is_up(*target.node)) continue;
    due.push_back(address);
  }
  for (const std::string& address : due) Start(address, Find(address));
}

void UvPeerDialer::Start(const std::string& address, Target* target) {
  target->busy = true;
  target->tries++;
  HostPort parts = *SplitHostPort(address);  // Add has tried it
  sockaddr_storage where{};
  if (NumericAddress(parts, &where)) {
    return hooks_.dial(address, reinterpret_cast<const sockaddr*>(&where));
  }
  auto* lookup = new Lookup{.request = {}, .dialer = this, .address = address};
  lookup->request.data = lookup;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  auto done = [](uv_getaddrinfo_t* request, int error, addrinfo* found) {
    auto* lookup = static_cast<Lookup*>(request->data);
    if (UvPeerDialer* self = lookup->dialer) {
      self->lookups_.erase(lookup);
      self->LookedUp(lookup->address, error, found);
    }
    uv_freeaddrinfo(found);
    delete lookup;
  };
  std::string port = std::to_string(parts.port);
  int error =
      uv_getaddrinfo(loop_, &lookup->request, done, parts.host.c_str(), port.c_str(), &hints);
  if (error == 0) {
    lookups_.insert(lookup);
    return;
  }
  delete lookup;
  Failed(address, uv_strerror(error));
}

// A name may have several addresses: each try takes the next one.
void UvPeerDialer::LookedUp(const std::string& address, int error, const addrinfo* found) {
  Target* target = Find(address);
  if (!target || !target->busy) return;
  if (error != 0 || !found) return Failed(address, error != 0 ? uv_strerror(error) : "no address");
  size_t count = 0;
  for (const addrinfo* at = found; at; at = at->ai_next) count++;
  for (size_t skip = target->tries % count; skip > 0; --skip) found = found->ai_next;
  hooks_.dial(address, found->ai_addr);
}

void UvPeerDialer::Wait(Target* target, bool longest) {
  int64_t doubled = longest ? times_.backoff_max_ms : target->backoff_ms * 2;
  target->backoff_ms = std::clamp(doubled, times_.backoff_min_ms, times_.backoff_max_ms);
  double part = 1 - random_.Unit() / 4;
  target->next_us = clock_.MonotonicUs() + int64_t(double(target->backoff_ms) * 1000 * part);
  target->busy = false;
}

void UvPeerDialer::Failed(const std::string& address, std::string_view why) {
  Target* target = Find(address);
  if (!target) return;
  Wait(target, false);
  if (std::exchange(target->failure_told, true)) return;
  LogNotice(fmt::format("Ring: cannot reach {}: {}; it is tried again", address, why));
}

void UvPeerDialer::Refused(const std::string& address) {
  if (Target* target = Find(address)) Wait(target, true);
}

void UvPeerDialer::MetSelf(const std::string& address) {
  Target* target = Find(address);
  if (!target) return;
  target->busy = false;
  if (std::exchange(target->self, true)) return;
  LogNotice("Ring: " + address + " is this node itself");
}

void UvPeerDialer::Met(const std::string& address, const Id128& node) {
  Target* target = Find(address);
  if (!target) return;
  target->node = node;
  target->busy = false;
  target->failure_told = false;
}

// A link that did not live long counts as a failed try: two nodes that cannot get on with each
// other must not dial ten times a second.
void UvPeerDialer::Lost(const Id128& node, int64_t lived_ms) {
  for (auto& [address, target] : targets_) {
    if (target.node != node || target.busy) continue;
    if (lived_ms >= times_.backoff_max_ms) target.backoff_ms = 0;
    Wait(&target, false);
  }
}

}  // namespace redynamo
