// SPDX-License-Identifier: Apache-2.0
#include "server/ring_pubsub.h"

#include "base/number.h"
#include "server/server.h"

namespace redynamo {

RingPubSub::RingPubSub(Server& server) : server_(server) { server.pubsub().SetPeers(this); }

RingPubSub::~RingPubSub() { server_.pubsub().SetPeers(nullptr); }

void RingPubSub::Published(bool sharded, std::string_view channel, std::string_view message) {
  if (peers_.empty()) return;
  waiting_.push_back({UINT64_MAX, 0, sharded, std::string(channel), std::string(message)});
}

void RingPubSub::KeyEvent(int database, uint32_t notify_class, std::string_view event,
                          std::string_view key) {
  std::string number = FormatInt64(database);
  if (asked_ & kNotifyKeyspace) {
    waiting_.push_back({UINT64_MAX, notify_class | kNotifyKeyspace, false,
                        "__keyspace@" + number + "__:" + std::string(key), std::string(event)});
  }
  if (asked_ & kNotifyKeyevent) {
    waiting_.push_back({UINT64_MAX, notify_class | kNotifyKeyevent, false,
                        "__keyevent@" + number + "__:" + std::string(event), std::string(key)});
  }
}

Status RingPubSub::OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) {
  if (kind == MessageKind::kPublish) {
    wire::Publish message;
    Status status = wire::Publish::Decode(payload, &message);
    if (!status.ok()) return status;
    received_++;
    ChannelKind channels = message.sharded ? ChannelKind::kShard : ChannelKind::kChannel;
    server_.pubsub().Deliver(channels, message.channel, message.message);
    return Status::Ok();
  }
  wire::KeyEventsWanted message;
  Status status = wire::KeyEventsWanted::Decode(payload, &message);
  auto it = peers_.find(peer);
  if (!status.ok() || it == peers_.end()) return status;
  it->second = message.classes;
  Learn();
  return Status::Ok();
}

void RingPubSub::PeerUp(const Id128& peer) {
  peers_[peer] = 0;
  Learn();
  if (told_ != 0) links_->Send(peer, wire::KeyEventsWanted{told_});
}

void RingPubSub::PeerDown(const Id128& peer) {
  peers_.erase(peer);
  Learn();
}

void RingPubSub::Learn() {
  asked_ = 0;
  for (const auto& [peer, classes] : peers_) asked_ |= classes;
  server_.pubsub().SetPeerClasses(asked_);
}

uint32_t RingPubSub::WantedHere() const {
  return server_.pubsub().hears_key_events() ? server_.config().notify_keyspace_events : 0;
}

void RingPubSub::TurnWritten() {
  uint64_t newest = server_.has_engine() ? server_.engine().NewestPosition() : 0;
  for (auto it = waiting_.rbegin(); it != waiting_.rend() && it->position == UINT64_MAX; ++it) {
    it->position = newest;
  }
  uint32_t wanted = WantedHere();
  if (wanted == told_) return;
  told_ = wanted;
  for (const auto& [peer, classes] : peers_) links_->Send(peer, wire::KeyEventsWanted{told_});
}

void RingPubSub::Flush(uint64_t position) {
  for (; !waiting_.empty() && waiting_.front().position <= position; waiting_.pop_front()) {
    const Waiting& first = waiting_.front();
    wire::Publish message{first.sharded, first.channel, first.message};
    for (const auto& [peer, classes] : peers_) {
      if ((classes & first.wanted_bits) != first.wanted_bits) continue;
      bool queued = links_->Send(peer, message) == SendResult::kQueued;
      sent_ += queued;
      dropped_ += !queued;
    }
  }
}

}  // namespace redynamo
