// SPDX-License-Identifier: Apache-2.0
#include "server/pubsub.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/glob.h"
#include "base/number.h"
#include "server/ring_pubsub.h"
#include "server/server.h"

namespace redynamo {
namespace {

// A message rendered at most once per protocol version, however many listen.
class RenderedPush {
 public:
  explicit RenderedPush(std::span<const std::string_view> parts) : parts_(parts) {}
  const std::string& For(RespVersion version) {
    std::string& bytes = bytes_[version == RespVersion::kResp3];
    if (bytes.empty()) {
      AppendPushHeader(parts_.size(), version, &bytes);
      for (std::string_view part : parts_) AppendBulk(part, &bytes);
    }
    return bytes;
  }

 private:
  std::span<const std::string_view> parts_;
  std::string bytes_[2];
};

void Send(Server& server, Session& session, RenderedPush& push) {
  if (session.state == SessionState::kClosing) return;
  server.Touch(session);
  session.output.Tail()->append(push.For(session.version()));
}

// By how the name begins: a pattern, up to its first special character.
bool MayHearKeyEvents(ChannelKind kind, std::string_view name) {
  constexpr std::string_view kBegin = "__key";
  if (kind == ChannelKind::kShard) return false;
  if (kind == ChannelKind::kChannel) return name.starts_with(kBegin);
  std::string_view plain = name.substr(0, name.find_first_of("*?[\\"));
  size_t shared = std::min(plain.size(), kBegin.size());
  return plain.substr(0, shared) == kBegin.substr(0, shared);
}

std::string_view VerbOf(ChannelKind kind, bool subscribed) {
  switch (kind) {
    case ChannelKind::kChannel: return subscribed ? "subscribe" : "unsubscribe";
    case ChannelKind::kPattern: return subscribed ? "psubscribe" : "punsubscribe";
    case ChannelKind::kShard: return subscribed ? "ssubscribe" : "sunsubscribe";
  }
  return "";
}

}  // namespace

PubSub::Names& PubSub::NamesOf(ChannelKind kind) {
  if (kind == ChannelKind::kChannel) return channels_;
  return kind == ChannelKind::kPattern ? patterns_ : shard_channels_;
}

const PubSub::Names& PubSub::NamesOf(ChannelKind kind) const {
  return const_cast<PubSub*>(this)->NamesOf(kind);
}

std::set<std::string, std::less<>>& PubSub::OwnNames(Session& session, ChannelKind kind) {
  SubscriptionState& own = session.subscriptions;
  if (kind == ChannelKind::kChannel) return own.channels;
  return kind == ChannelKind::kPattern ? own.patterns : own.shard_channels;
}

void PubSub::Confirm(Session& session, ChannelKind kind, bool subscribed,
                     const std::string_view* name) {
  Reply push = Reply::Push();
  push.AddView(VerbOf(kind, subscribed));
  push.Add(name ? Reply::View(*name) : Reply::Nil());
  const SubscriptionState& own = session.subscriptions;
  push.AddInteger(int64_t(kind == ChannelKind::kShard ? own.shard_channels.size() : own.count()));
  session.WritePush(push);
}

void PubSub::Subscribe(Session& session, ChannelKind kind, std::string_view name) {
  if (OwnNames(session, kind).emplace(name).second) {
    NamesOf(kind)[std::string(name)].push_back(&session);
    key_event_listeners_ += MayHearKeyEvents(kind, name);
  }
  Confirm(session, kind, true, &name);
}

void PubSub::RemoveListener(Session& session, ChannelKind kind, std::string_view name) {
  Names& names = NamesOf(kind);
  auto it = names.find(name);
  if (it == names.end()) return;
  key_event_listeners_ -= MayHearKeyEvents(kind, name);
  std::erase(it->second, &session);
  if (it->second.empty()) names.erase(it);
}

void PubSub::Unsubscribe(Session& session, ChannelKind kind, std::string_view name) {
  auto& own = OwnNames(session, kind);
  if (auto it = own.find(name); it != own.end()) {
    own.erase(it);
    RemoveListener(session, kind, name);
  }
  Confirm(session, kind, false, &name);
}

void PubSub::UnsubscribeAll(Session& session, ChannelKind kind) {
  std::set<std::string, std::less<>> names = OwnNames(session, kind);
  for (const std::string& name : names) Unsubscribe(session, kind, name);
  if (names.empty()) Confirm(session, kind, false, nullptr);
}

void PubSub::Forget(Session& session) {
  for (ChannelKind kind : {ChannelKind::kChannel, ChannelKind::kPattern, ChannelKind::kShard}) {
    auto& own = OwnNames(session, kind);
    for (const std::string& name : own) RemoveListener(session, kind, name);
    own.clear();
  }
  RemoveMonitor(session);
}

int64_t PubSub::Publish(std::string_view channel, std::string_view message) {
  if (peers_) peers_->Published(false, channel, message);
  return Deliver(ChannelKind::kChannel, channel, message);
}

int64_t PubSub::PublishShard(std::string_view channel, std::string_view message) {
  if (peers_) peers_->Published(true, channel, message);
  return Deliver(ChannelKind::kShard, channel, message);
}

int64_t PubSub::Deliver(ChannelKind kind, std::string_view channel, std::string_view message) {
  if (kind == ChannelKind::kShard) return DeliverShard(channel, message);
  int64_t receivers = 0;
  if (auto it = channels_.find(channel); it != channels_.end()) {
    const std::string_view parts[] = {"message", channel, message};
    RenderedPush push(parts);
    for (Session* listener : it->second) Send(server_, *listener, push);
    receivers += int64_t(it->second.size());
  }
  for (const auto& [pattern, listeners] : patterns_) {
    if (!GlobMatch(pattern, channel)) continue;
    const std::string_view parts[] = {"pmessage", pattern, channel, message};
    RenderedPush push(parts);
    for (Session* listener : listeners) Send(server_, *listener, push);
    receivers += int64_t(listeners.size());
  }
  return receivers;
}

int64_t PubSub::DeliverShard(std::string_view channel, std::string_view message) {
  auto it = shard_channels_.find(channel);
  if (it == shard_channels_.end()) return 0;
  const std::string_view parts[] = {"smessage", channel, message};
  RenderedPush push(parts);
  for (Session* listener : it->second) Send(server_, *listener, push);
  return int64_t(it->second.size());
}

uint32_t PubSub::asked_classes() const {
  return server_.config().notify_keyspace_events | peer_classes_;
}

void PubSub::NotifyKeyspace(int database, uint32_t notify_class, std::string_view event,
                            std::string_view key) {
  if (peer_classes_ & notify_class) peers_->KeyEvent(database, notify_class, event, key);
  uint32_t asked = server_.config().notify_keyspace_events;
  if (!(asked & notify_class) || key_event_listeners_ == 0) return;
  std::string number = FormatInt64(database);
  if (asked & kNotifyKeyspace) {
    Deliver(ChannelKind::kChannel, "__keyspace@" + number + "__:" + std::string(key), event);
  }
  if (asked & kNotifyKeyevent) {
    Deliver(ChannelKind::kChannel, "__keyevent@" + number + "__:" + std::string(event), key);
  }
}

std::vector<std::string_view> PubSub::Channels(ChannelKind kind, std::string_view glob) const {
  std::vector<std::string_view> found;
  for (const auto& [name, listeners] : NamesOf(kind)) {
    if (glob.empty() || GlobMatch(glob, name)) found.push_back(name);
  }
  return found;
}

int64_t PubSub::SubscriberCount(ChannelKind kind, std::string_view name) const {
  const Names& names = NamesOf(kind);
  auto it = names.find(name);
  return it == names.end() ? 0 : int64_t(it->second.size());
}

void PubSub::AddMonitor(Session& session) {
  if (session.monitoring) return;
  session.monitoring = true;
  monitors_.push_back(&session);
}

void PubSub::RemoveMonitor(Session& session) {
  if (!session.monitoring) return;
  session.monitoring = false;
  std::erase(monitors_, &session);
}

namespace {

// A quoted argument with what is not printable escaped, as MONITOR shows it.
void AppendQuoted(std::string_view bytes, std::string* out) {
  out->push_back('"');
  for (char c : bytes) {
    switch (c) {
      case '\\':
      case '"': *out += '\\', *out += c; break;
      case '\n': *out += "\\n"; break;
      case '\r': *out += "\\r"; break;
      case '\t': *out += "\\t"; break;
      case '\a': *out += "\\a"; break;
      case '\b': *out += "\\b"; break;
      default:
        if (c >= ' ' && c <= '~') {
          *out += c;
        } else {
          *out += fmt::format("\\x{:02x}", uint8_t(c));
        }
    }
  }
  out->push_back('"');
}

}  // namespace

void PubSub::FeedMonitors(const Session& session, std::span<const std::string_view> args,
                          int64_t wall_us) {
  const SessionIdentity& who = session.identity;
  std::string line = fmt::format(
      "+{}.{:06} [{} {}]", wall_us / 1'000'000, wall_us % 1'000'000, session.database,
      who.unix_socket ? "unix:" + who.address.substr(0, who.address.rfind(':')) : who.address);
  for (size_t i = 0; i < args.size(); ++i) {
    line += ' ';
    bool hidden = std::ranges::find(session.redacted, i) != session.redacted.end();
    AppendQuoted(hidden ? "(redacted)" : args[i], &line);
  }
  line += "\r\n";
  for (Session* monitor : monitors_) {
    if (monitor->state == SessionState::kClosing) continue;
    server_.Touch(*monitor);
    monitor->output.Tail()->append(line);
  }
}

}  // namespace redynamo
