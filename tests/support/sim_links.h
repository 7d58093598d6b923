// SPDX-License-Identifier: Apache-2.0
// Links over nothing: any number of nodes in one thread, whose messages a seed delays, and whose
// links a test breaks. Messages travel encoded, so that codecs are exercised.
//
//   SimNetwork network({.seed = 7});
//   Links& a = network.Add(hello_of_a, &node_a);       all nodes are linked with each other
//   Links& b = network.Add(hello_of_b, &node_b);
//   network.RunUntilQuiet();
//   network.Cut(a_id, b_id);                           some of what is under way is lost
//   network.Heal(a_id, b_id);
//   network.Remove(a_id);                              as if its process were gone
//
// One Step is one event: one node hears that a link is up or down, or gets one message. Which one
// is drawn from the seed among all that may be next. The same seed and calls give the same history.
// LinkEvents are called from Step only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "cluster/handshake.h"
#include "cluster/links.h"

namespace redynamo {

struct SimLinksOptions {
  uint64_t seed = 1;
  // Of 100 deliveries, how many take a later message of the link first, as when two connections
  // overlap; and of 100 Events sent, how many find the queue full.
  uint64_t overtakes_percent = 0;
  uint64_t drops_percent = 0;
};

class SimNetwork {
 public:
  explicit SimNetwork(SimLinksOptions options) : options_(options), random_(options.seed) {}
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // `events` must live until Remove; so long lives what this gives. Connect and Forget do nothing
  // there: everybody knows everybody. A `process` of 0 becomes a new one.
  Links& Add(const wire::Hello& hello, LinkEvents* events);
  void Remove(const Id128& node);
  // Both directions, until Heal. Each side hears of it in a later step.
  void Cut(const Id128& a, const Id128& b);
  void Heal(const Id128& a, const Id128& b);
  void HealAll();
  // What `from` sends to `to` stays under way, until Flow: as with packets lost in one direction,
  // or a receiver that stands still. Links know nothing of it; a test that lets time go by cuts
  // them.
  void Stall(const Id128& from, const Id128& to) { stalls_.insert({from, to}); }
  void Flow(const Id128& from, const Id128& to) { stalls_.erase({from, to}); }

  // False when nothing is left to happen.
  bool Step();
  // False when that takes more steps.
  bool RunUntilQuiet(uint64_t steps_max = 10'000'000);

  uint64_t delivered() const { return delivered_; }  // messages
  uint64_t lost() const { return lost_; }
  // Of all that was delivered, in its order: the same for the same history.
  uint64_t digest() const { return digest_; }

 private:
  using Pair = std::pair<Id128, Id128>;
  struct Event {
    enum Kind : uint8_t { kUp, kDown, kMessage } kind = kMessage;
    MessageKind message = MessageKind::kHello;
    std::string payload;  // kUp: the Hello
    uint64_t link = 0;    // kUp: its number
  };
  // All that one node has yet to see of another one.
  struct Way {
    std::deque<Event> queue;
    uint64_t link = 0;  // behind the last event of the queue; 0: none
    uint64_t seen = 0;  // by the receiver, in front of the first one
  };
  struct End;

  static Pair Unordered(const Id128& a, const Id128& b) { return a < b ? Pair(a, b) : Pair(b, a); }
  void LinkAll();
  void Break(const Id128& a, const Id128& b);
  void BreakWay(Way* way);
  Event TakeNext(Way* way);
  void Deliver(const Pair& pair, Way* way, const Event& event);

  const SimLinksOptions options_;
  Random random_;
  std::map<Id128, std::unique_ptr<End>> ends_;
  std::map<Pair, Way> ways_;  // (from, to)
  std::set<Pair> cuts_, stalls_;
  uint64_t digest_ = 0;
  uint64_t processes_ = 0, links_ = 0, delivered_ = 0, lost_ = 0;
};

struct SimNetwork::End : public Links {
  End(SimNetwork* network, LinkEvents* events) : network(network), events(events) {}

  void SetSelf(const wire::Hello& hello) override {
    uint64_t process = self.process;
    self = hello;
    self.process = process;
    // Also behind the Hello of a link that this end has not seen yet.
    for (auto& [pair, way] : network->ways_) {
      if (pair.first == self.node_id && way.link != 0) Queue(&way, self);
    }
  }
  void Connect(const std::string&) override {}
  void Forget(const std::string&) override {}
  SendResult Send(const Id128& peer, Message message) override {
    if (!IsUp(peer)) return SendResult::kNotConnected;
    bool full = message.kind() == MessageKind::kEvents &&
                network->random_.Below(100) < network->options_.drops_percent;
    if (full) return network->lost_++, SendResult::kDropped;
    Push(peer, message);
    return SendResult::kQueued;
  }
  bool IsUp(const Id128& peer) const override {
    auto at = network->ways_.find({peer, self.node_id});
    return at != network->ways_.end() && at->second.seen != 0;
  }
  // The link comes again.
  void Disconnect(const Id128& peer) override {
    network->Break(self.node_id, peer);
    network->LinkAll();
  }
  std::vector<LinkReport> Report() const override {
    std::vector<LinkReport> all;
    for (const auto& [id, end] : network->ends_) {
      if (IsUp(id)) all.push_back({.hello = end->self, .address = ShortId(id)});
    }
    return all;
  }
  LinkStats Stats() const override { return {.links_up = Report().size()}; }

  // What is sent over a link that is broken, unknown to this end, is lost.
  void Push(const Id128& peer, Message message) {
    Way& way = network->ways_[{self.node_id, peer}];
    if (way.link != network->ways_[{peer, self.node_id}].seen) {
      network->lost_++;
      return;
    }
    Queue(&way, message);
  }
  static void Queue(Way* way, Message message) {
    Event event{.kind = Event::kMessage, .message = message.kind(), .payload = {}};
    message.EncodeTo(&event.payload);
    way->queue.push_back(std::move(event));
  }

  SimNetwork* network;
  LinkEvents* events;
  wire::Hello self;
};

inline Links& SimNetwork::Add(const wire::Hello& hello, LinkEvents* events) {
  auto end = std::make_unique<End>(this, events);
  end->self = hello;
  if (end->self.process == 0) end->self.process = ++processes_;
  auto [at, added] = ends_.emplace(hello.node_id, std::move(end));
  CHECK_THAT(added);
  LinkAll();
  return *at->second;
}

inline void SimNetwork::Remove(const Id128& node) {
  for (auto& [id, end] : ends_) {
    if (id != node) Break(node, id);
  }
  std::erase_if(ways_, [&](const auto& entry) { return entry.first.second == node; });
  ends_.erase(node);
}

inline void SimNetwork::Cut(const Id128& a, const Id128& b) {
  cuts_.insert(Unordered(a, b));
  Break(a, b);
}

inline void SimNetwork::Heal(const Id128& a, const Id128& b) {
  cuts_.erase(Unordered(a, b));
  LinkAll();
}

inline void SimNetwork::HealAll() {
  cuts_.clear();
  stalls_.clear();
  LinkAll();
}

inline void SimNetwork::LinkAll() {
  for (auto& [a, one] : ends_) {
    for (auto& [b, other] : ends_) {
      if (!(a < b) || cuts_.contains({a, b}) || ways_[{a, b}].link != 0) continue;
      uint64_t link = ++links_;
      for (auto [from, to] : {std::pair(one.get(), b), std::pair(other.get(), a)}) {
        Way& way = ways_[{from->self.node_id, to}];
        Event up{.kind = Event::kUp, .payload = {}, .link = link};
        from->self.EncodeTo(&up.payload);
        way.queue.push_back(std::move(up));
        way.link = link;
      }
    }
  }
}

inline void SimNetwork::Break(const Id128& a, const Id128& b) {
  BreakWay(&ways_[{a, b}]);
  BreakWay(&ways_[{b, a}]);
}

// What is under way is lost from some event on; then the receiver sees the link go, if it has seen
// it at all.
inline void SimNetwork::BreakWay(Way* way) {
  if (way->link == 0) return;
  size_t kept = size_t(random_.Below(way->queue.size() + 1));
  uint64_t seen = way->seen;
  for (size_t i = 0; i < way->queue.size(); ++i) {
    const Event& event = way->queue[i];
    if (i >= kept) {
      lost_ += event.kind == Event::kMessage;
    } else if (event.kind != Event::kMessage) {
      seen = event.link;
    }
  }
  way->queue.resize(kept);
  if (seen != 0) way->queue.push_back({.kind = Event::kDown, .payload = {}});
  way->link = 0;
}

inline bool SimNetwork::Step() {
  std::vector<std::pair<const Pair, Way>*> ready;
  for (auto& entry : ways_) {
    if (!entry.second.queue.empty() && !stalls_.contains(entry.first)) ready.push_back(&entry);
  }
  if (ready.empty()) return false;
  auto& [pair, way] = *ready[random_.Below(ready.size())];
  Event event = TakeNext(&way);
  Deliver(Pair(pair), &way, event);
  return true;
}

inline SimNetwork::Event SimNetwork::TakeNext(Way* way) {
  size_t last = 0;  // of the messages that may go first
  while (last < way->queue.size() && way->queue[last].kind == Event::kMessage) last++;
  size_t taken = 0;
  if (last > 1 && random_.Below(100) < options_.overtakes_percent) taken = random_.Below(last);
  Event event = std::move(way->queue[taken]);
  way->queue.erase(way->queue.begin() + ptrdiff_t(taken));
  return event;
}

inline void SimNetwork::Deliver(const Pair& pair, Way* way, const Event& event) {
  LinkEvents& events = *ends_.at(pair.second)->events;
  digest_ = digest_ * 0x9e3779b97f4a7c15 + std::hash<std::string>()(event.payload) +
            std::hash<std::string>()(ShortId(pair.first) + ShortId(pair.second)) +
            uint64_t(event.kind) * 256 + uint64_t(event.message);
  if (event.kind == Event::kDown) {
    way->seen = 0;
    return events.OnPeerDown(pair.first, LinkDown::kClosed);
  }
  wire::Hello hello;
  bool is_hello = event.kind == Event::kUp || event.message == MessageKind::kHello;
  if (is_hello) CHECK_THAT(wire::Hello::Decode(event.payload, &hello).ok());
  if (event.kind == Event::kUp) {
    way->seen = event.link;
    return events.OnPeerUp(hello);
  }
  delivered_++;
  if (is_hello) return events.OnPeerChanged(hello);
  Status status = events.OnMessage(pair.first, event.message, event.payload);
  CHECK_THAT(status.ok());  // the same code has made it
}

inline bool SimNetwork::RunUntilQuiet(uint64_t steps_max) {
  while (steps_max-- > 0) {
    if (!Step()) return true;
  }
  return false;
}

}  // namespace redynamo
