// SPDX-License-Identifier: Apache-2.0
// Channels and who listens: SUBSCRIBE and its kin, PUBLISH, keyspace notifications, MONITOR.
//
// Messages are rendered into the listeners' outputs at once, but leave with the position of the
// command or event that caused them (Server::Touch, Server::CommitTouched).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/session.h"

namespace redynamo {

class RingPubSub;
class Server;

enum class ChannelKind : uint8_t { kChannel, kPattern, kShard };

class PubSub {
 public:
  explicit PubSub(Server& server) : server_(server) {}

  // Each writes its confirmation to the session. Unsubscribe with no name takes all of that kind,
  // and confirms once with nil if there were none.
  void Subscribe(Session& session, ChannelKind kind, std::string_view name);
  void Unsubscribe(Session& session, ChannelKind kind, std::string_view name);
  void UnsubscribeAll(Session& session, ChannelKind kind);
  // Silently: the client goes, or RESET.
  void Forget(Session& session);

  // To this node's clients and, on a ring, to those of the others. Gives the number of clients of
  // this node that got it (once per match of a pattern).
  int64_t Publish(std::string_view channel, std::string_view message);
  int64_t PublishShard(std::string_view channel, std::string_view message);
  // To this node's clients only. `kind` is no kPattern.
  int64_t Deliver(ChannelKind kind, std::string_view channel, std::string_view message);

  // The NotifyClass bits that the configuration asks for, or another node of the ring.
  uint32_t asked_classes() const;
  // A keyspace event of one NotifyClass bit, if anybody asks for it.
  void NotifyKeyspace(int database, uint32_t notify_class, std::string_view event,
                      std::string_view key);

  // PUBSUB
  std::vector<std::string_view> Channels(ChannelKind kind, std::string_view glob) const;
  int64_t SubscriberCount(ChannelKind kind, std::string_view name) const;
  size_t channel_count() const { return channels_.size(); }
  size_t pattern_count() const { return patterns_.size(); }
  size_t shard_channel_count() const { return shard_channels_.size(); }

  // Whether some client of this node may get keyspace events by its subscriptions.
  bool hears_key_events() const { return key_event_listeners_ > 0; }
  // Null when there is no ring; and the classes that its other nodes ask for.
  void SetPeers(RingPubSub* peers) { peers_ = peers; }
  void SetPeerClasses(uint32_t classes) { peer_classes_ = classes; }

  // MONITOR
  void AddMonitor(Session& session);
  void RemoveMonitor(Session& session);
  bool has_monitors() const { return !monitors_.empty(); }
  void FeedMonitors(const Session& session, std::span<const std::string_view> args,
                    int64_t wall_us);

 private:
  using Listeners = std::vector<Session*>;  // in the order of their subscriptions
  using Names = std::map<std::string, Listeners, std::less<>>;
  Names& NamesOf(ChannelKind kind);
  const Names& NamesOf(ChannelKind kind) const;
  static std::set<std::string, std::less<>>& OwnNames(Session& session, ChannelKind kind);
  void Confirm(Session& session, ChannelKind kind, bool subscribed, const std::string_view* name);
  int64_t DeliverShard(std::string_view channel, std::string_view message);
  void RemoveListener(Session& session, ChannelKind kind, std::string_view name);

  Server& server_;
  Names channels_, patterns_, shard_channels_;
  size_t key_event_listeners_ = 0;
  RingPubSub* peers_ = nullptr;
  uint32_t peer_classes_ = 0;
  std::vector<Session*> monitors_;
};

}  // namespace redynamo
