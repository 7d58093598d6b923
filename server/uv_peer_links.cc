// SPDX-License-Identifier: Apache-2.0
#include "server/uv_peer_links.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/log_line.h"
#include "cluster/handshake.h"
#include "server/uv_peer_connection.h"

namespace redynamo {
namespace {

constexpr uint64_t kTickMs = 50;
constexpr uint32_t kStrangerFrameBytes = 4096;  // a Hello is a tenth of it
constexpr int64_t kRefusalQuietUs = 60 * 1'000'000;
constexpr size_t kRefusalLinesMax = 64;
constexpr size_t kSkewsMax = 1024;

}  // namespace

// A connection and what it is to us.
class UvPeerLinks::Link : public UvPeerConnection::Owner {
 public:
  Link(UvPeerLinks* links, std::string target)
      : target(std::move(target)),
        connection(new UvPeerConnection(links->loop_, this)),
        links_(*links) {
    phase_since_us = heard_us = links->clock_.MonotonicUs();
  }
  ~Link() override {
    if (connection) connection->Close();
  }

  void OnDialled(int uv_error) override {
    if (uv_error == 0) return links_.StartGreeting(this);
    links_.End(this, LinkDown::kClosed, uv_strerror(uv_error));
  }
  void OnFrame(const FramedMessage& framed) override { links_.HandleFrame(this, framed); }
  void OnBroken(bool bad_bytes, std::string detail) override {
    if (bad_bytes) links_.stats_.bad_streams++;
    links_.End(this, bad_bytes ? LinkDown::kBadBytes : LinkDown::kClosed, detail);
  }

  // For log lines, the same for each connection of a peer: of an accepted one the port is
  // accidental.
  std::string Name() const {
    std::string where = dialled() ? target : hello.ring_address;
    if (where.empty()) where = address.substr(0, address.rfind(':'));
    return fmt::format("node {} at {}", ShortId(hello.node_id), where);
  }
  bool dialled() const { return !target.empty(); }
  const Id128& peer() const { return hello.node_id; }
  // By which of the two nodes this connection is to be kept in a double dial.
  bool preferred(const Id128& self) const {
    return dialled() ? KeepsDialOf(self, peer()) : KeepsDialOf(peer(), self);
  }

  const std::string target;      // the address that was dialled; empty: it was accepted
  UvPeerConnection* connection;  // null from kEnded on
  Phase phase = Phase::kDialling;
  int64_t phase_since_us;
  int64_t heard_us;  // when the last byte came
  uint64_t heard_bytes = 0;
  std::string address = "?";
  wire::Hello hello;  // theirs, from kUp and kSpare on
  int64_t skew_ms = 0;
  int64_t up_since_ms = 0;
  uint64_t pings = 0;
  int64_t next_ping_us = 0;
  int64_t round_trip_us = -1;
  uint64_t messages_in = 0, messages_out = 0;
  std::optional<LinkDown> doom;  // waits for its end

 private:
  UvPeerLinks& links_;
};

// A listening socket; deletes itself when closed.
struct UvPeerLinks::Listener {
  uv_tcp_t handle;
  UvPeerLinks* links;
  void Close() {
    uv_close(reinterpret_cast<uv_handle_t*>(&handle),
             [](uv_handle_t* closed) { delete static_cast<Listener*>(closed->data); });
  }
};

UvPeerLinks::UvPeerLinks(uv_loop_t* loop, const Clock& clock, LinkEvents& events, uint64_t process,
                         WantFlush want_flush, PeerLinksOptions options)
    : loop_(loop),
      clock_(clock),
      events_(events),
      process_(process),
      want_flush_(std::move(want_flush)),
      options_(options),
      dialer_(loop, clock, options.times, options.seed,
              {.dial = [this](auto& address, auto* where) { DialNow(address, where); },
               .is_up = [this](const Id128& node) { return IsUp(node); }}),
      timer_(new uv_timer_t),
      last_tick_us_(clock.MonotonicUs()) {
  CHECK_THAT(process != 0);
  uv_timer_init(loop, timer_);
  timer_->data = this;
  auto tick = [](uv_timer_t* timer) { static_cast<UvPeerLinks*>(timer->data)->Tick(); };
  uv_timer_start(timer_, tick, kTickMs, kTickMs);
}

UvPeerLinks::~UvPeerLinks() {
  for (Listener* listener : listeners_) listener->Close();
  uv_close(reinterpret_cast<uv_handle_t*>(timer_),
           [](uv_handle_t* timer) { delete reinterpret_cast<uv_timer_t*>(timer); });
}

// --- how connections come about ---

Status UvPeerLinks::Listen(const sockaddr_storage& address, int backlog) {
  auto* listener = new Listener{.handle = {}, .links = this};
  uv_tcp_init(loop_, &listener->handle);
  listener->handle.data = listener;
  unsigned flags = address.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
  int error = uv_tcp_bind(&listener->handle, reinterpret_cast<const sockaddr*>(&address), flags);
  auto on_connection = [](uv_stream_t* server, int status) {
    if (status == 0) return static_cast<Listener*>(server->data)->links->Accepted(server);
    LogWarning(std::string("Ring: accepting a connection: ") + uv_strerror(status));
  };
  auto* stream = reinterpret_cast<uv_stream_t*>(&listener->handle);
  if (error == 0) error = uv_listen(stream, backlog, on_connection);
  if (error != 0) {
    listener->Close();
    return {StatusCode::kIoError, "Could not create the ring's listening socket " +
                                      AddressText(address) + ": " + uv_strerror(error)};
  }
  listeners_.push_back(listener);
  sockaddr_storage bound{};
  int size = sizeof bound;
  uv_tcp_getsockname(&listener->handle, reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(reinterpret_cast<sockaddr_in&>(bound).sin_port);  // the same place in v6
  return Status::Ok();
}

void UvPeerLinks::Accepted(uv_stream_t* server) {
  links_.push_back(std::make_unique<Link>(this, ""));
  Link* link = links_.back().get();
  if (uv_accept(server, link->connection->stream()) != 0) {
    return End(link, LinkDown::kClosed, "not accepted");
  }
  StartGreeting(link);
  if (Count(Phase::kGreeting) > options_.bounds.strangers) {
    RefusalLine("Ring: too many connections that have not said who they are; closing the newest");
    End(link, LinkDown::kClosed, "too many strangers");
  }
}

void UvPeerLinks::Connect(const std::string& address) {
  dialer_.Add(address);
  dialer_.Tick();
}

void UvPeerLinks::Forget(const std::string& address) { dialer_.Remove(address); }

void UvPeerLinks::DialNow(const std::string& address, const sockaddr* where) {
  links_.push_back(std::make_unique<Link>(this, address));
  Link* link = links_.back().get();
  int error = link->connection->Dial(where);
  if (error != 0) End(link, LinkDown::kClosed, uv_strerror(error));
}

void UvPeerLinks::StartGreeting(Link* link) {
  link->phase = Phase::kGreeting;
  link->phase_since_us = link->heard_us = clock_.MonotonicUs();
  link->address = link->connection->address();
  link->connection->Open(options_.times.silence_ms, kStrangerFrameBytes);
  SendHello(link);
}

void UvPeerLinks::SendHello(Link* link) {
  wire::Hello hello = self_;
  hello.wall_ms = clock_.WallMs();
  Queue(link, hello);
}

// --- what peers say ---

void UvPeerLinks::HandleFrame(Link* link, const FramedMessage& framed) {
  link->messages_in++;
  stats_.messages_in++;
  Status status = HandleMessage(link, framed);
  if (status.ok() || link->phase == Phase::kEnded) return;
  stats_.bad_streams++;
  End(link, LinkDown::kBadBytes, status.message());
}

// Not ok: the stream is not worth reading on.
Status UvPeerLinks::HandleMessage(Link* link, const FramedMessage& framed) {
  auto kind = MessageKind(framed.kind);
  if (kind == MessageKind::kHello) {
    wire::Hello hello;
    Status status = wire::Hello::Decode(framed.payload, &hello);
    return status.ok() ? HandleHello(link, hello) : status;
  }
  if (link->phase == Phase::kGreeting) return Corruption("the first message is not a Hello");
  if (kind == MessageKind::kPing) {
    wire::Ping ping;
    Status status = wire::Ping::Decode(framed.payload, &ping);
    if (status.ok()) Queue(link, wire::Ack{.sequence = ping.sequence, .sent_us = ping.sent_us});
    return status;
  }
  if (kind == MessageKind::kAck) {
    wire::Ack ack;
    Status status = wire::Ack::Decode(framed.payload, &ack);
    if (status.ok() && ack.sequence == link->pings) {
      link->round_trip_us = std::max<int64_t>(0, clock_.MonotonicUs() - ack.sent_us);
    }
    return status;
  }
  if (!IsKnownMessageKind(framed.kind)) {
    stats_.unknown_messages++;
    return Status::Ok();
  }
  Id128 peer = link->peer();  // the link may end while the node acts
  return events_.OnMessage(peer, kind, framed.payload);
}

Status UvPeerLinks::HandleHello(Link* link, const wire::Hello& hello) {
  HelloCheck check = CheckHello(self_, hello);
  link->skew_ms = hello.wall_ms - clock_.WallMs();
  bool first = link->phase == Phase::kGreeting;
  if (!first && (hello.node_id != link->peer() || hello.process != link->hello.process)) {
    return Corruption("it is suddenly another node");
  }
  if (check.verdict == HelloVerdict::kWelcome) {
    link->hello = hello;
    if (first) {
      Welcome(link);
    } else if (link->phase == Phase::kUp) {
      events_.OnPeerChanged(hello);
    }
    return Status::Ok();
  }
  if (check.verdict == HelloVerdict::kSelf) {
    dialer_.MetSelf(link->target);
  } else {
    stats_.refused_handshakes++;
    link->hello = hello;
    RefusalLine(fmt::format("Ring: no link with {}: {}", link->Name(), check.reason));
    dialer_.Refused(link->target);
  }
  End(link, LinkDown::kRefused, check.reason);
  return Status::Ok();
}

void UvPeerLinks::Welcome(Link* link) {
  dialer_.Met(link->target, link->peer());
  link->connection->AllowLongFrames();
  auto at = up_.find(link->peer());
  if (at == up_.end()) return BecomeUp(link);
  Link* other = at->second;
  if (other->hello.process != link->hello.process) {
    End(other, LinkDown::kRestarted, "");
    return BecomeUp(link);
  }
  if (link->preferred(self_.node_id) && !other->preferred(self_.node_id)) {
    TakeOver(link, other);
  } else {
    BecomeSpare(link);
  }
}

void UvPeerLinks::TakeOver(Link* link, Link* from) {
  link->phase = Phase::kUp;
  link->phase_since_us = from->phase_since_us;
  link->up_since_ms = from->up_since_ms;
  up_[link->peer()] = link;
  wire::Hello said = from->hello;
  said.wall_ms = link->hello.wall_ms;
  bool changed = said != link->hello;
  BecomeSpare(from);
  if (changed) events_.OnPeerChanged(link->hello);
}

void UvPeerLinks::BecomeUp(Link* link) {
  link->phase = Phase::kUp;
  link->phase_since_us = clock_.MonotonicUs();
  link->up_since_ms = clock_.WallMs();
  up_[link->peer()] = link;
  stats_.links_up = up_.size();
  LogNotice(fmt::format("Ring: linked with {}, which {}", link->Name(),
                        link->dialled() ? "was dialled" : "has dialled"));
  WarnOfSkew(link);
  events_.OnPeerUp(link->hello);
}

void UvPeerLinks::BecomeSpare(Link* link) {
  link->phase = Phase::kSpare;
  link->phase_since_us = clock_.MonotonicUs();
  size_t spares = 0;
  for (auto& other : links_) {
    spares += other->phase == Phase::kSpare && other->peer() == link->peer();
  }
  if (spares > options_.bounds.spares) End(link, LinkDown::kClosed, "too many connections");
}

// A Hello that was long on its way looks like a clock that is behind, so the node that sees the
// other one ahead says it.
void UvPeerLinks::WarnOfSkew(Link* link) {
  if (link->skew_ms <= options_.times.skew_warning_ms) return;
  if (skew_told_.size() >= kSkewsMax) skew_told_.clear();
  if (std::exchange(skew_told_[link->peer()], link->hello.process) == link->hello.process) return;
  LogWarning(fmt::format(
      "Ring: the clock of {} is {} ms ahead of this node's; of concurrent writes the one with the "
      "later clock is shown, so have both follow a time server",
      link->Name(), link->skew_ms));
}

// The same line comes again and again while a refused node dials: once a minute is enough.
void UvPeerLinks::RefusalLine(const std::string& line) {
  int64_t now_us = clock_.MonotonicUs();
  auto at = refusal_lines_.find(line);
  if (at != refusal_lines_.end() && now_us - at->second < kRefusalQuietUs) return;
  if (refusal_lines_.size() >= kRefusalLinesMax) refusal_lines_.clear();
  refusal_lines_[line] = now_us;
  LogWarning(line);
}

// --- what the node says ---

void UvPeerLinks::SetSelf(const wire::Hello& self) {
  wire::Hello now = self;
  now.process = process_;
  now.wall_ms = 0;
  if (now == self_) return;
  self_ = now;
  for (auto& link : links_) {
    if (link->phase == Phase::kDialling || link->phase == Phase::kEnded) continue;
    SendHello(link.get());
    if (link->phase == Phase::kGreeting) continue;
    HelloCheck check = CheckHello(self_, link->hello);
    if (check.verdict == HelloVerdict::kWelcome) continue;
    RefusalLine(fmt::format("Ring: no link with {} any more: {}", link->Name(), check.reason));
    EndLater(link.get(), LinkDown::kRefused);
  }
}

SendResult UvPeerLinks::Send(const Id128& peer, Message message) {
  auto at = up_.find(peer);
  if (at == up_.end() || at->second->doom) return SendResult::kNotConnected;
  Link* link = at->second;
  uint64_t queued = link->connection->queued_bytes();
  if (queued > options_.bounds.queue_bytes) {
    if (message.kind() == MessageKind::kEvents || message.kind() == MessageKind::kPublish) {
      stats_.dropped_events++;
      return SendResult::kDropped;
    }
    stats_.control_over_bound++;
    if (queued > options_.bounds.queue_bytes_closing) {
      EndLater(link, LinkDown::kNotReading);
      return SendResult::kNotConnected;
    }
  }
  Queue(link, message);
  return SendResult::kQueued;
}

void UvPeerLinks::Queue(Link* link, const Message& message) {
  link->connection->Queue(message);
  link->messages_out++;
  stats_.messages_out++;
  AskForFlush();
}

void UvPeerLinks::Disconnect(const Id128& peer) {
  auto at = up_.find(peer);
  if (at != up_.end()) EndLater(at->second, LinkDown::kDisconnected);
}

void UvPeerLinks::AskForFlush() {
  if (!std::exchange(flush_asked_, true)) want_flush_();
}

void UvPeerLinks::Flush() {
  flush_asked_ = false;
  if (doomed_) EndDoomed();
  for (size_t i = 0; i < links_.size(); ++i) {  // an event may add links
    Link* link = links_[i].get();
    if (link->phase == Phase::kDialling || link->phase == Phase::kEnded) continue;
    if (!link->connection->Flush()) End(link, LinkDown::kClosed, "it cannot be written to");
  }
  Sweep();
}

// --- how links end ---

void UvPeerLinks::EndLater(Link* link, LinkDown reason) {
  if (!link->doom) link->doom = reason;
  doomed_ = true;
  AskForFlush();
}

void UvPeerLinks::EndDoomed() {
  doomed_ = false;
  for (size_t i = 0; i < links_.size(); ++i) {
    if (links_[i]->doom) End(links_[i].get(), *links_[i]->doom, "");
  }
}

// The object stays until Sweep, since its own functions may be running.
void UvPeerLinks::End(Link* link, LinkDown reason, const std::string& detail) {
  if (link->phase == Phase::kEnded) return;
  Phase before = std::exchange(link->phase, Phase::kEnded);
  ended_ = true;
  AskForFlush();
  stats_.bytes_in += link->connection->bytes_in();
  stats_.bytes_out += link->connection->bytes_out();
  std::exchange(link->connection, nullptr)->Close();
  if (before == Phase::kDialling || before == Phase::kGreeting) {
    if (reason != LinkDown::kRefused) dialer_.Failed(link->target, detail);
    return;
  }
  if (before != Phase::kUp) return;
  up_.erase(link->peer());
  stats_.links_up = up_.size();
  stats_.links_lost++;
  std::string_view text = LinkDownText(reason);
  LogNotice(fmt::format("Ring: link with {} lost: {}{}{}", link->Name(), text,
                        detail.empty() ? "" : ": ", detail));
  dialer_.Lost(link->peer(), (clock_.MonotonicUs() - link->phase_since_us) / 1000);
  bool over = reason == LinkDown::kRefused || reason == LinkDown::kRestarted ||
              reason == LinkDown::kDisconnected;
  if (over) EndSpares(link->peer());
  events_.OnPeerDown(link->peer(), reason);
  if (up_.contains(link->peer())) return;
  if (Link* spare = SpareOf(link->hello)) BecomeUp(spare);
}

void UvPeerLinks::EndSpares(const Id128& peer) {
  for (auto& link : links_) {
    if (link->phase == Phase::kSpare && link->peer() == peer)
      End(link.get(), LinkDown::kClosed, "");
  }
}

UvPeerLinks::Link* UvPeerLinks::SpareOf(const wire::Hello& hello) const {
  for (const auto& link : links_) {
    bool same = link->peer() == hello.node_id && link->hello.process == hello.process;
    if (link->phase == Phase::kSpare && same && !link->doom) return link.get();
  }
  return nullptr;
}

void UvPeerLinks::Sweep() {
  if (!std::exchange(ended_, false)) return;
  std::erase_if(links_, [](const auto& link) { return link->phase == Phase::kEnded; });
}

// --- time ---

// Silence and handshakes are counted in time that this thread was awake: when it was held up
// itself, what the peers have said meanwhile is still in the sockets.
void UvPeerLinks::Tick() {
  int64_t now_us = clock_.MonotonicUs();
  int64_t held_up_us = now_us - last_tick_us_ - 2 * int64_t(kTickMs) * 1000;
  last_tick_us_ = now_us;
  for (size_t i = 0; i < links_.size(); ++i) {
    Link* link = links_[i].get();
    bool handshake = link->phase == Phase::kDialling || link->phase == Phase::kGreeting;
    if (held_up_us > 0) (handshake ? link->phase_since_us : link->heard_us) += held_up_us;
    TickLink(link, now_us);
  }
  dialer_.Tick();
}

void UvPeerLinks::TickLink(Link* link, int64_t now_us) {
  if (link->phase == Phase::kEnded) return;
  int64_t phase_ms = (now_us - link->phase_since_us) / 1000;
  const LinkTimes& times = options_.times;
  if (link->phase == Phase::kDialling || link->phase == Phase::kGreeting) {
    if (phase_ms < times.handshake_ms) return;
    return End(link, LinkDown::kSilent, "no answer in time");
  }
  if (link->heard_bytes != link->connection->bytes_in()) {
    link->heard_bytes = link->connection->bytes_in();
    link->heard_us = now_us;
  }
  if (now_us - link->heard_us >= times.silence_ms * 1000) {
    return End(link, LinkDown::kSilent, "");
  }
  if (link->phase == Phase::kSpare) {
    if (link->dialled() && phase_ms >= times.settle_ms) End(link, LinkDown::kClosed, "");
    return;
  }
  if (now_us < link->next_ping_us) return;
  link->next_ping_us = now_us + times.ping_ms * 1000;
  Queue(link, wire::Ping{.sequence = ++link->pings, .sent_us = now_us});
}

// --- figures ---

size_t UvPeerLinks::Count(Phase phase) const {
  return size_t(std::ranges::count_if(links_, [=](auto& link) { return link->phase == phase; }));
}

std::vector<LinkReport> UvPeerLinks::Report() const {
  std::vector<LinkReport> all;
  for (const auto& [id, link] : up_) {
    all.push_back({.hello = link->hello,
                   .address = link->address,
                   .dialled = link->dialled(),
                   .up_since_ms = link->up_since_ms,
                   .round_trip_us = link->round_trip_us,
                   .clock_skew_ms = link->skew_ms,
                   .queued_bytes = link->connection->queued_bytes(),
                   .messages_in = link->messages_in,
                   .messages_out = link->messages_out,
                   .bytes_in = link->connection->bytes_in(),
                   .bytes_out = link->connection->bytes_out()});
  }
  return all;
}

LinkStats UvPeerLinks::Stats() const {
  LinkStats all = stats_;
  for (const auto& link : links_) {
    if (link->phase == Phase::kEnded) continue;
    all.connections++;
    all.bytes_in += link->connection->bytes_in();
    all.bytes_out += link->connection->bytes_out();
  }
  return all;
}

}  // namespace redynamo
