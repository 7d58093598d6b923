// SPDX-License-Identifier: Apache-2.0
#include "cluster/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log_line.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

// A peer that owes an answer and says nothing for so long is left out of new requests.
constexpr int64_t kSuspectMs = 300;
constexpr int64_t kRemovalDelayPerRankMs = 60'000;
constexpr size_t kInboxMax = 100'000;  // records of a peer that are being joined

int Bounded(int wanted, size_t homes) { return std::clamp(wanted, 1, std::max(1, int(homes))); }

}  // namespace

Node::Node(const Clock& clock, Links& links, NodeHost& host, uint64_t random_seed,
           NodeOptions options)
    : clock_(clock),
      links_(links),
      host_(host),
      random_(random_seed),
      options_(std::move(options)),
      writes_(
          [this](const Id128& peer, uint64_t number, std::string_view record) {
            wire::Events events;
            events.request_id = number;
            events.view_epoch = document_->epoch;
            events.record = record;
            return links_.Send(peer, events) == SendResult::kQueued;
          },
          [this](const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) {
            host_.WriteSettled(waiter, outcome);
          }) {}

Node::~Node() = default;

bool Node::IsMember(const Id128& id) const {
  return document_ && document_->Find(NodeId{id}).has_value();
}

// --- becoming a member ---

void Node::Form(const Forming::Self& self, uint32_t expected) {
  self_ = self.node_id;
  forming_ = std::make_unique<Forming>(self, expected);
  Introduce();
}

Status Node::Join(Engine* engine, RingDocument document) {
  engine_ = engine;
  self_ = engine->NodeId();
  if (!document.Find(NodeId{self_})) {
    return InvalidArgument("this node is not a member of the ring that its data directory names");
  }
  Adopt(std::move(document));
  return Status::Ok();
}

void Node::Adopt(RingDocument document) {
  forming_.reset();
  document_ = std::move(document);
  homes_.assign(document_->views.size(), {});
  for (size_t p = 0; p < homes_.size(); p++) {
    for (MemberIndex m : document_->views[p].homes) {
      homes_[p].push_back(document_->members[m].id.bytes);
    }
  }
  for (const Member& member : document_->members) {
    if (member.id.bytes != self_) links_.Connect(member.ring_address.ToString());
  }
  SetEngine(engine_);
  Introduce();
}

void Node::SetEngine(Engine* engine) {
  engine_ = engine;
  if (fresh_reads_) fresh_reads_->FailAll();
  exchange_.reset();
  fresh_reads_.reset();
  if (!engine || !document_) return;
  engine->KeepDots(document_->members.size() > 1);
  auto others = [this](int partition) {
    std::vector<Id128> homes = HomesOf(partition);
    std::erase(homes, self_);
    return homes;
  };
  exchange_ = std::make_unique<Exchange>(*engine, links_, others, int(homes_.size()));
  fresh_reads_ = std::make_unique<FreshReads>(*engine, links_, *exchange_);
  for (const auto& [peer, health] : peers_) {
    if (!health.up || !IsMember(peer)) continue;
    writes_.LinkUp(peer, NowMs());
    exchange_->PeerUp(peer, health.actor);
  }
}

void Node::Introduce() {
  wire::Hello hello;
  hello.node_id = self_;
  if (engine_) hello.actor = engine_->Actor();
  if (document_) {
    hello.cluster_id = document_->cluster_id;
    hello.ring_epoch = document_->epoch;
  }
  hello.partitions = uint32_t(kPartitionCount);
  hello.databases = uint32_t(options_.databases);
  hello.ring_address = options_.ring_address;
  hello.client_address = options_.client_address;
  links_.SetSelf(hello);
}

Status Node::On(const Id128& peer, const wire::Bootstrap& message) {
  if (document_) {
    SendDocument(peer);
    return Status::Ok();
  }
  if (!forming_) return Status::Ok();
  Result<bool> news = forming_->Learn(message);
  if (!news.ok()) {
    LogWarning("The ring cannot form: " + news.status().message());
    return Status::Ok();
  }
  if (!*news) return Status::Ok();
  for (const auto& [id, member] : forming_->members()) {
    if (id != self_) links_.Connect(member.ring_address);
  }
  for (const auto& [id, health] : peers_) {
    if (health.up) links_.Send(id, forming_->Message());
  }
  TryForming();
  return Status::Ok();
}

void Node::TryForming() {
  if (!forming_->complete() || !forming_->leads()) return;
  Result<RingDocument> document = FirstDocument(*forming_, options_.n, random_);
  if (!document.ok()) {
    LogWarning("The ring cannot form: " + document.status().message());
    return;
  }
  Status kept = host_.KeepDocument(*document);
  if (!kept.ok()) {
    LogWarning("The ring cannot form: " + kept.message());
    return;
  }
  Adopt(std::move(*document));
  LogNotice(fmt::format("Ring {} is formed: {} nodes", Id128Digits(document_->cluster_id),
                        document_->members.size()));
  for (const auto& [id, health] : peers_) {
    if (health.up) SendDocument(id);
  }
}

void Node::SendDocument(const Id128& peer) {
  std::string bytes = EncodeRingDocument(*document_);
  wire::RingDocument message;
  message.epoch = document_->epoch;
  message.document = bytes;
  links_.Send(peer, message);
}

Status Node::On(const Id128& peer, const wire::RingGet& message) {
  if (document_ && document_->epoch > message.have_epoch) SendDocument(peer);
  return Status::Ok();
}

Status Node::On(const Id128& peer, const wire::RingDocument& message) {
  Result<RingDocument> document = DecodeRingDocument(message.document);
  if (!document.ok()) return document.status();
  if (document_) {
    bool ours = document->cluster_id == document_->cluster_id;
    if (!ours || document->epoch <= document_->epoch) return Status::Ok();
  } else {
    bool lists_known = forming_ && document->members.size() == forming_->members().size();
    for (const Member& member : document->members) {
      lists_known = lists_known && forming_->members().contains(member.id.bytes);
    }
    if (!lists_known || !document->Find(NodeId{self_})) {
      LogWarning("A ring document came that does not list the nodes of ring-bootstrap: ignored");
      return Status::Ok();
    }
  }
  Status kept = host_.KeepDocument(*document);
  if (!kept.ok()) {
    LogWarning("The ring document cannot be kept: " + kept.message());
    return Status::Ok();
  }
  Adopt(std::move(*document));
  LogNotice(fmt::format("Ring {} has {} nodes, epoch {}", Id128Digits(document_->cluster_id),
                        document_->members.size(), document_->epoch));
  return Status::Ok();
}

// --- who is there ---

std::vector<Id128> Node::HomesOf(int partition) const { return homes_[size_t(partition)]; }

std::optional<Id128> Node::CoordinatorOf(int partition) const {
  for (const Id128& home : homes_[size_t(partition)]) {
    if (Healthy(home)) return home;
  }
  return std::nullopt;
}

int Node::WritesOf() const { return Bounded(options_.w, homes_.empty() ? 1 : homes_[0].size()); }

int Node::ReadsOf() const { return Bounded(options_.r, homes_.empty() ? 1 : homes_[0].size()); }

bool Node::Healthy(const Id128& peer) const {
  if (peer == self_) return engine_ != nullptr;
  auto it = peers_.find(peer);
  return it != peers_.end() && it->second.up && !it->second.suspect;
}

void Node::OnPeerUp(const wire::Hello& hello) {
  PeerHealth& health = peers_[hello.node_id];
  health = {true, false, NowMs(), hello.ring_epoch, hello.actor};
  LogNotice("Peer " + hello.ring_address + " is connected");
  if (forming_) links_.Send(hello.node_id, forming_->Message());
  if (!document_) return;
  if (hello.ring_epoch > document_->epoch)
    links_.Send(hello.node_id, wire::RingGet{document_->epoch});
  if (!IsMember(hello.node_id)) return;
  writes_.LinkUp(hello.node_id, NowMs());
  if (exchange_) exchange_->PeerUp(hello.node_id, hello.actor);
}

void Node::OnPeerChanged(const wire::Hello& hello) {
  PeerHealth& health = peers_[hello.node_id];
  health.ring_epoch = hello.ring_epoch;
  bool rotated = health.actor != hello.actor;
  health.actor = hello.actor;
  if (rotated && exchange_ && IsMember(hello.node_id)) {
    exchange_->PeerUp(hello.node_id, hello.actor);
  }
  uint64_t epoch = document_ ? document_->epoch : 0;
  if (hello.ring_epoch > epoch) links_.Send(hello.node_id, wire::RingGet{epoch});
}

void Node::OnPeerDown(const Id128& peer, LinkDown reason) {
  peers_[peer].up = false;
  LogNotice("Peer " + Id128Digits(peer) + " is gone: " + std::string(LinkDownText(reason)));
  writes_.LinkDown(peer);
  inbox_.LinkDown(peer);
  if (exchange_) exchange_->PeerDown(peer);
  if (fresh_reads_) fresh_reads_->LinkDown(peer);
  std::vector<uint64_t> lost;
  for (const auto& [id, forward] : forwards_) {
    if (forward.peer == peer) lost.push_back(id);
  }
  for (uint64_t id : lost) EndForward(id, {ForwardOutcome::kUnknown, {}});
}

void Node::UpdateSuspects() {
  int64_t now_ms = NowMs();
  std::map<Id128, int64_t> owed_since;
  for (const auto& [id, forward] : forwards_) owed_since.try_emplace(forward.peer, forward.sent_ms);
  for (auto& [id, health] : peers_) {
    int64_t since = writes_.OwedSince(id);
    auto note = [&since](int64_t other) {
      if (other > 0 && (since == 0 || other < since)) since = other;
    };
    if (fresh_reads_) note(fresh_reads_->OwedSince(id));
    if (auto it = owed_since.find(id); it != owed_since.end()) note(it->second);
    bool silent = since > 0 && now_ms - std::max(since, health.heard_ms) > kSuspectMs;
    if (silent && !health.suspect) {
      LogNotice("Peer " + Id128Digits(id) + " does not answer: requests go round it");
    }
    health.suspect = silent;
  }
}

// --- commands ---

Node::Route Node::RouteOf(std::span<const uint16_t> slots, bool writes, bool may_pass_on) {
  Route route;
  if (!document_ || document_->members.size() == 1) return route;
  int needed = writes ? WritesOf() : ReadsOf();
  std::optional<Id128> coordinator;
  bool home_of_all = true, several = false;
  for (uint16_t slot : slots) {
    const std::vector<Id128>& homes = homes_[size_t(PartitionOfSlot(slot))];
    auto healthy = [this](const Id128& id) { return Healthy(id); };
    auto first = std::find_if(homes.begin(), homes.end(), healthy);
    int reachable = int(std::count_if(homes.begin(), homes.end(), healthy));
    if (reachable < needed || first == homes.end()) {
      route.kind = Route::kRefuse;
      route.error = fmt::format(
          "NOREPLICAS {} of the {} replicas of the key can be reached, {} are needed to {} "
          "(ring-{}). Nothing was changed",
          reachable, homes.size(), needed, writes ? "write" : "read", writes ? 'w' : 'r');
      return route;
    }
    home_of_all = home_of_all && std::count(homes.begin(), homes.end(), self_) > 0;
    if (coordinator && *coordinator != *first) several = true;
    if (!coordinator) coordinator = *first;
  }
  bool here = !coordinator || *coordinator == self_ || several || !may_pass_on;
  if (here && home_of_all) return route;
  if (several || !may_pass_on) {
    route.kind = Route::kRefuse;
    route.error = several ? "CROSSSLOT Keys in request don't hash to the same slot"
                          : "TRYAGAIN this node is no replica of the key any more";
    return route;
  }
  route.kind = Route::kForward;
  route.peer = *coordinator;
  return route;
}

void Node::ReadFresh(std::span<const KeyName> keys, FreshReads::Done done) {
  std::vector<FreshReads::Key> wanted;
  for (const KeyName& key : keys) {
    int partition = PartitionOfSlot(key.slot);
    FreshReads::Key& read = wanted.emplace_back();
    read.database = key.database;
    read.name = key.name;
    read.partition = partition;
    for (const Id128& home : homes_[size_t(partition)]) {
      if (home != self_ && Healthy(home)) read.replicas.push_back(home);
    }
  }
  int64_t now_ms = NowMs();
  fresh_reads_->Start(std::move(wanted), ReadsOf() - 1, now_ms, now_ms + options_.timeout_ms,
                      std::move(done));
}

void Node::OnOwnRecord(const OwnRecord& record) {
  if (!document_ || document_->members.size() == 1) return;
  std::vector<PendingWrites::HomeSet> sets;
  for (const EventId& event : record.events) {
    PendingWrites::HomeSet set;
    set.peers = homes_[event.partition];
    size_t self = std::erase(set.peers, self_);
    set.needed = WritesOf() - int(self);
    if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(std::move(set));
  }
  last_record_ = writes_.Add(record.bytes, std::move(sets), NowMs() + options_.timeout_ms);
}

void Node::Await(uint64_t record, const PendingWrites::Waiter& waiter) {
  writes_.Await(record, waiter);
}

int64_t Node::RemovalDelayMs(int partition) const {
  if (!document_) return 0;
  const std::vector<Id128>& homes = homes_[size_t(partition)];
  auto rank = std::find(homes.begin(), homes.end(), self_) - homes.begin();
  return rank * kRemovalDelayPerRankMs;
}

// --- forwarded commands ---

void Node::SendForward(const Id128& peer, wire::Forward command, bool writes, ForwardDone done) {
  command.request_id = next_request_++;
  command.view_epoch = document_->epoch;
  command.flags |= wire::Forward::kHopped;
  forwards_sent_++;
  forwards_[command.request_id] = {peer, NowMs(), writes, std::move(done)};
  links_.Send(peer, command);  // a link that goes ends it by OnPeerDown
}

void Node::EndForward(uint64_t request_id, const ForwardOutcome& outcome) {
  auto node = forwards_.extract(request_id);
  if (!node.empty()) node.mapped().done(outcome);
}

Status Node::On(const Id128& peer, const wire::Forward& message) {
  host_.ForwardArrived(peer, message);
  return Status::Ok();
}

void Node::AnswerForward(const Id128& to, uint64_t request_id, wire::ForwardStatus status,
                         std::string_view reply) {
  wire::ForwardReply message;
  message.request_id = request_id;
  message.status = status;
  message.view_epoch = document_ ? document_->epoch : 0;
  message.reply = reply;
  links_.Send(to, message);
}

Status Node::On(const Id128&, const wire::ForwardReply& message) {
  ForwardOutcome outcome;
  outcome.bytes = message.reply;
  if (message.status != wire::ForwardStatus::kDone) outcome.kind = ForwardOutcome::kNotDone;
  EndForward(message.request_id, outcome);
  return Status::Ok();
}

// --- peers' events and questions ---

Status Node::On(const Id128& peer, const wire::Events& message) {
  if (!engine_ || !document_ || !IsMember(peer)) {
    links_.Send(peer, wire::EventsAck{message.request_id, wire::EventsStatus::kFailed, 0});
    return Status::Ok();
  }
  if (inbox_.waiting(peer) >= kInboxMax) {
    links_.Send(
        peer, wire::EventsAck{message.request_id, wire::EventsStatus::kOverload, document_->epoch});
    return Status::Ok();
  }
  JoinEvents(peer, message);
  return Status::Ok();
}

void Node::JoinEvents(const Id128& peer, const wire::Events& message) {
  uint64_t number = message.request_id;
  uint64_t token = inbox_.Received(peer, number);
  engine_->AcceptRecord(message.record, [this, peer, number, token](const Accepted& accepted) {
    if (accepted.own_actor_rotated) Introduce();
    if (accepted.status.ok() && !accepted.dot_conflict) {
      events_joined_++;
      inbox_.Joined(peer, token, accepted.position);
      return;
    }
    inbox_.Refused(peer, token);
    wire::EventsAck ack{number, wire::EventsStatus::kFailed, document_ ? document_->epoch : 0};
    if (accepted.dot_conflict) ack.status = wire::EventsStatus::kDotConflict;
    links_.Send(peer, ack);
    LogWarning(
        "Events of peer " + Id128Digits(peer) + " are refused: " +
        (accepted.dot_conflict ? "a dot is known with other contents" : accepted.status.message()));
  });
}

Status Node::On(const Id128& peer, const wire::EventsAck& message) {
  if (message.status == wire::EventsStatus::kApplied ||
      message.status == wire::EventsStatus::kDuplicate) {
    writes_.Acknowledged(peer, message.request_id);
    return Status::Ok();
  }
  writes_.Refused(peer, message.request_id);
  if (message.status != wire::EventsStatus::kDotConflict || !engine_) return Status::Ok();
  LogWarning("A peer knows one of this node's dots with other contents: the actor is rotated");
  Status rotated = engine_->RotateActor();
  if (!rotated.ok()) LogWarning("The actor cannot be rotated: " + rotated.message());
  Introduce();
  return Status::Ok();
}

Status Node::On(const Id128& peer, const wire::Read& message) {
  wire::ReadReply reply;
  reply.request_id = message.request_id;
  if (!engine_ || int(message.database) >= options_.databases) {
    reply.flags = wire::ReadReply::kFailed;
    links_.Send(peer, reply);
    return Status::Ok();
  }
  int database = int(message.database);
  auto answer = [this, peer, reply, database](std::string_view key, bool failed) mutable {
    reply.flags = failed ? wire::ReadReply::kFailed : 0;
    if (!failed) reply.hash = engine_->KeyStateHash(database, key);
    links_.Send(peer, reply);
  };
  KeyRef ref{database, message.key};
  if (engine_->Resident({&ref, 1})) {
    answer(message.key, false);
    return Status::Ok();
  }
  engine_->Load({&ref, 1}, [answer, key = std::string(message.key)](const Status& status) mutable {
    answer(key, !status.ok());
  });
  return Status::Ok();
}

template <typename Message>
Status Node::On(const Id128&, const Message&) {
  return Status::Ok();  // for later versions
}

Status Node::OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) {
  peers_[peer].heard_ms = NowMs();
  return VisitMessage(kind, payload, [&](const auto& message) {
    using Message = std::decay_t<decltype(message)>;
    if constexpr (requires { exchange_->On(peer, message); }) {
      return exchange_ ? exchange_->On(peer, message) : Status::Ok();
    } else if constexpr (std::is_same_v<Message, wire::ReadReply>) {
      return fresh_reads_ ? fresh_reads_->On(peer, message) : Status::Ok();
    } else {
      return On(peer, message);
    }
  });
}

// --- the loop ---

void Node::TurnWritten() {
  writes_.SendNew(NowMs());
  LogAdvanced();
}

void Node::LogAdvanced() {
  if (!engine_ || !document_) return;
  uint64_t safe = engine_->ReplyPosition();
  if (exchange_) exchange_->LogAdvanced(safe);
  for (const auto& [peer, health] : peers_) {
    std::optional<uint64_t> up_to = inbox_.Acknowledgeable(peer, safe);
    if (up_to)
      links_.Send(peer, wire::EventsAck{*up_to, wire::EventsStatus::kApplied, document_->epoch});
  }
}

void Node::Tick() {
  int64_t now_ms = NowMs();
  if (forming_) {
    for (const auto& [id, health] : peers_) {
      if (health.up) links_.Send(id, forming_->Message());
    }
  }
  writes_.Expire(now_ms);
  std::vector<uint64_t> late;
  for (const auto& [id, forward] : forwards_) {
    if (forward.sent_ms + options_.timeout_ms + kSuspectMs <= now_ms) late.push_back(id);
  }
  for (uint64_t id : late) EndForward(id, {ForwardOutcome::kUnknown, {}});
  UpdateSuspects();
  if (fresh_reads_) fresh_reads_->Tick(now_ms);
  if (exchange_) exchange_->Tick(now_ms);
}

}  // namespace redynamo
