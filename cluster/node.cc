// SPDX-License-Identifier: Apache-2.0
#include "cluster/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log_line.h"
#include "base/sabotage.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

// A peer that owes an answer and says nothing for so long is left out of new requests.
constexpr int64_t kSuspectMs = 300;
constexpr size_t kInboxMax = 100'000;  // records of a peer that are being joined
constexpr uint64_t kRequestSeed = 0x7265717565737473;
constexpr int kRequestSpareBits = 8;  // above what is drawn: so many can be counted on from there

}  // namespace

Node::Node(const Clock& clock, Links& links, NodeHost& host, uint64_t random_seed,
           NodeOptions options)
    : clock_(clock),
      links_(links),
      host_(host),
      random_(random_seed),
      options_(std::move(options)),
      serving_pace_(options_.serving_p99_ms_max),
      repairs_(clock),
      writes_([this](const std::vector<uint16_t>& partitions,
                     const RequestQuorum& quorum) { return TargetsOf(partitions, quorum); },
              [this](const Id128& peer, uint64_t place, std::string_view record,
                     const Id128& hinted_for) {
                wire::Events events;
                events.request_id = place;
                events.view_epoch = document_->epoch;
                events.hinted_for = hinted_for;
                events.record = record;
                return links_.Send(peer, events) == SendResult::kQueued;
              },
              [this](const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) {
                host_.WriteSettled(waiter, outcome);
              },
              [this](const EventId& event) {
                const Place& place = PlaceOf(event.partition);
                int wanted = std::max(place.write_old.needed, place.write_new.needed);
                return exchange_ && exchange_->WritersHaving(event) + 1 >= wanted;
              }),
      first_request_(Random(random_seed ^ kRequestSeed).Next() >> kRequestSpareBits),
      next_request_(first_request_) {
  writes_.NumberLinksFrom(first_request_);
}

Node::~Node() = default;

bool Node::IsMember(const Id128& id) const {
  return document_ && document_->Find(NodeId{id}).has_value();
}

bool Node::InRing(const Id128& id) const {
  std::optional<MemberIndex> found =
      document_ ? document_->Find(NodeId{id}) : std::optional<MemberIndex>();
  return found && document_->members[*found].in_ring();
}

// --- who is there ---

bool Node::Healthy(const Id128& peer) const {
  if (peer == self_) return engine_ != nullptr;
  auto it = peers_.find(peer);
  return it != peers_.end() && it->second.up && !it->second.suspect;
}

bool Node::Shares(const Id128& peer, uint64_t capability) const {
  if (peer == self_) return (options_.capabilities & capability) != 0;
  auto it = peers_.find(peer);
  if (it == peers_.end()) return false;
  return (options_.capabilities & it->second.capabilities & capability) != 0;
}

void Node::OnPeerUp(const wire::Hello& hello) {
  PeerHealth& health = peers_[hello.node_id];
  health = {.up = true,
            .heard_ms = NowMs(),
            .ring_epoch = hello.ring_epoch,
            .actor = hello.actor,
            .capabilities = hello.capabilities};
  LogNotice("Peer " + hello.ring_address + " is connected");
  if (forming_) links_.Send(hello.node_id, forming_->Message());
  if (candidate_ && !document_) OfferSelf(hello.node_id);
  if (!document_) return;
  if (hello.ring_epoch > document_->epoch) {
    links_.Send(hello.node_id, wire::RingGet{document_->epoch});
  }
  LinkMembers();
  HealthChanged();
}

// Others stand in for those that have gone, or need to do so no more.
void Node::HealthChanged() {
  fallbacks_.clear();
  if (document_ && engine_) writes_.Refresh(NowMs());
}

uint64_t Node::EpochOf(const Id128& peer) const {
  auto it = peers_.find(peer);
  return it != peers_.end() && it->second.up ? it->second.ring_epoch : 0;
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
  peers_[peer].up = peers_[peer].linked = false;
  peers_[peer].early_ack = 0;
  peers_[peer].down_since_ms = NowMs();
  candidates_.erase(peer);
  LogNotice("Peer " + Id128Digits(peer) + " is gone: " + std::string(LinkDownText(reason)));
  writes_.LinkDown(peer);
  inbox_.LinkDown(peer);
  if (exchange_) exchange_->PeerDown(peer);
  if (merkle_) merkle_->PeerDown(peer);
  if (fresh_reads_) fresh_reads_->LinkDown(peer);
  if (fresh_partitions_) fresh_partitions_->LinkDown(peer);
  std::vector<uint64_t> lost;
  for (const auto& [id, forward] : forwards_) {
    if (forward.peer == peer) lost.push_back(id);
  }
  for (uint64_t id : lost) EndForward(id, {ForwardOutcome::kUnknown, {}});
  HealthChanged();
}

void Node::UpdateSuspects() {
  int64_t now_ms = NowMs();
  bool changed = false;
  std::map<Id128, int64_t> owed_since;
  for (const auto& [id, forward] : forwards_) owed_since.try_emplace(forward.peer, forward.sent_ms);
  for (auto& [id, health] : peers_) {
    int64_t since = writes_.OwedSince(id);
    auto note = [&since](int64_t other) {
      if (other > 0 && (since == 0 || other < since)) since = other;
    };
    if (fresh_reads_) note(fresh_reads_->OwedSince(id));
    if (fresh_partitions_) note(fresh_partitions_->OwedSince(id));
    if (auto it = owed_since.find(id); it != owed_since.end()) note(it->second);
    bool silent = since > 0 && now_ms - std::max(since, health.heard_ms) > kSuspectMs;
    if (silent && !health.suspect) {
      LogNotice("Peer " + Id128Digits(id) + " does not answer: requests go round it");
    }
    changed = changed || health.suspect != silent;
    health.suspect = silent;
  }
  if (changed) HealthChanged();
}

// --- what others think ---

Status Node::On(const Id128& peer, const wire::PingReq& message) {
  return detector_ && InRing(peer) ? detector_->On(peer, message) : Status::Ok();
}

Status Node::On(const Id128& peer, const wire::PingReqReply& message) {
  return detector_ && InRing(peer) ? detector_->On(peer, message) : Status::Ok();
}

Status Node::On(const Id128& peer, const wire::Gossip& message) {
  LearnEpoch(peer, message.ring_epoch);
  return detector_ && InRing(peer) ? detector_->On(peer, message) : Status::Ok();
}

void Node::LogOpinion(const Id128& id, const FailureDetector::Opinion& opinion) const {
  std::optional<MemberIndex> index = document_->Find(NodeId{id});
  std::string name = index ? document_->members[*index].ring_address.ToString() : Id128Digits(id);
  switch (opinion.state) {
    case wire::MemberState::kAlive: LogNotice("Node " + name + " is alive again"); break;
    case wire::MemberState::kSuspect:
      LogNotice("Node " + name + " is suspect: none of those asked can reach it");
      break;
    case wire::MemberState::kDown:
      LogWarning("Node " + name +
                 " is down, as far as all members that were asked can tell. Start it again, or "
                 "see RING.REPLACE");
      break;
  }
}

// --- peers' events and questions ---

Status Node::On(const Id128& peer, const wire::Events& message) {
  inbox_.Received(peer, message.request_id);
  auto refuse = [&](wire::EventsStatus status) {
    inbox_.Refused(peer, message.request_id);
    uint64_t epoch = document_ ? document_->epoch : 0;
    links_.Send(peer, wire::EventsAck{message.request_id, status, epoch});
    return Status::Ok();
  };
  if (!engine_ || !document_ || removed_ || !IsMember(peer)) {
    return refuse(wire::EventsStatus::kFailed);
  }
  bool hint = message.hinted_for != Id128{};
  if (inbox_.waiting(peer) >= kInboxMax || (hint && !guests_->MayTake(message.record.size()))) {
    return refuse(wire::EventsStatus::kOverload);
  }
  JoinEvents(peer, message);
  return Status::Ok();
}

void Node::JoinEvents(const Id128& peer, const wire::Events& message) {
  uint64_t place = message.request_id, bytes = message.record.size();
  bool hint = message.hinted_for != Id128{};
  engine_->AcceptRecord(message.record, [this, peer, place, bytes, hint](const Accepted& accepted) {
    if (accepted.own_actor_rotated) {
      Introduce();
      if (exchange_) exchange_->SelfRotated();
    }
    if (accepted.status.ok() && !accepted.dot_conflict) {
      events_joined_++;
      bool whole = accepted.lacks_base.empty() || LeftOut(Sabotage::kBaseUnheeded);
      if (whole || hint || !exchange_) {
        inbox_.Joined(peer, place, accepted.position);
      } else {
        FetchBases(peer, place, accepted.lacks_base);
      }
      for (const EventId& event : accepted.events) {
        bool guest = guests_ && !PlaceOf(event.partition).self_writes;
        if (guest) guests_->Taken(event.partition, bytes / accepted.events.size(), NowMs());
      }
      return;
    }
    inbox_.Refused(peer, place);
    wire::EventsAck ack{place, wire::EventsStatus::kFailed, document_ ? document_->epoch : 0};
    if (accepted.dot_conflict) ack.status = wire::EventsStatus::kDotConflict;
    links_.Send(peer, ack);
    LogWarning(
        "Events of peer " + Id128Digits(peer) + " are refused: " +
        (accepted.dot_conflict ? "a dot is known with other contents" : accepted.status.message()));
  });
}

// What an event hangs on has not come from its coordinator yet, which gave it up in time, say. With
// that one's disk both would be lost, although this one was acknowledged: so it is fetched first.
void Node::FetchBases(const Id128& peer, uint64_t place, std::vector<uint16_t> partitions) {
  uint16_t partition = partitions.back();
  partitions.pop_back();
  exchange_->PullNow(peer, partition, [this, peer, place, partitions](const Status& status) {
    if (status.ok() && engine_ && exchange_) {
      if (!partitions.empty()) return FetchBases(peer, place, partitions);
      inbox_.Joined(peer, place, engine_->NewestPosition());
      return;
    }
    inbox_.Refused(peer, place);
    uint64_t epoch = document_ ? document_->epoch : 0;
    links_.Send(peer, wire::EventsAck{place, wire::EventsStatus::kOverload, epoch});
  });
}

Status Node::On(const Id128& peer, const wire::EventsAck& message) {
  if (message.status == wire::EventsStatus::kApplied ||
      message.status == wire::EventsStatus::kDuplicate) {
    if (document_ && message.view_epoch > document_->epoch) {
      PeerHealth& health = peers_[peer];
      health.early_ack = std::max(health.early_ack, message.request_id);
      health.early_ack_epoch = message.view_epoch;
      links_.Send(peer, wire::RingGet{document_->epoch});
      return Status::Ok();
    }
    writes_.Acknowledged(peer, message.request_id);
    return Status::Ok();
  }
  writes_.Refused(peer, message.request_id);
  if (message.status != wire::EventsStatus::kDotConflict || !engine_) return Status::Ok();
  LogWarning("A peer knows one of this node's dots with other contents: the actor is rotated");
  Status rotated = engine_->RotateActor();
  if (!rotated.ok()) LogWarning("The actor cannot be rotated: " + rotated.message());
  Introduce();
  if (exchange_) exchange_->SelfRotated();
  return Status::Ok();
}

Status Node::On(const Id128& peer, const wire::Read& message) {
  wire::ReadReply reply;
  reply.request_id = message.request_id;
  reply.view_epoch = document_ ? document_->epoch : 0;
  if (!engine_ || removed_ || int(message.database) >= options_.databases) {
    reply.flags = wire::ReadReply::kFailed;
    links_.Send(peer, reply);
    return Status::Ok();
  }
  int database = int(message.database);
  auto answer = [this, peer, reply, database](std::string_view key, bool failed) mutable {
    reply.flags = failed ? wire::ReadReply::kFailed : 0;
    if (!failed && engine_->HasManyRows(database, key)) {
      reply.flags = wire::ReadReply::kUnhashed;
    } else if (!failed) {
      reply.hash = engine_->KeyStateHash(database, key);
    }
    links_.Send(peer, reply);
  };
  KeyRef ref{database, message.key, ElementNeed::kNone};
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

// A peer's answer was made under this ring document.
void Node::LearnEpoch(const Id128& peer, uint64_t epoch) {
  if (document_ && epoch > document_->epoch) links_.Send(peer, wire::RingGet{document_->epoch});
}

Status Node::OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) {
  peers_[peer].heard_ms = NowMs();
  if (CapabilitiesFor(kind) & ~options_.capabilities) {
    return Corruption(std::string(MessageName(kind)) + " came, which this node cannot understand");
  }
  return VisitMessage(kind, payload, [&](const auto& message) {
    if constexpr (requires { exchange_->On(peer, message); }) {
      return exchange_ ? exchange_->On(peer, message) : Status::Ok();
    } else if constexpr (requires { merkle_->On(peer, message); }) {
      return merkle_ ? merkle_->On(peer, message) : Status::Ok();
    } else if constexpr (requires { fresh_reads_->On(peer, message); }) {
      LearnEpoch(peer, message.view_epoch);
      return fresh_reads_ ? fresh_reads_->On(peer, message) : Status::Ok();
    } else if constexpr (requires { fresh_partitions_->On(peer, message); }) {
      if constexpr (requires { message.view_epoch; }) LearnEpoch(peer, message.view_epoch);
      return fresh_partitions_ ? fresh_partitions_->On(peer, message) : Status::Ok();
    } else if constexpr (requires { membership_->On(peer, message, NowMs()); }) {
      return membership_ && IsMember(peer) ? membership_->On(peer, message, NowMs()) : Status::Ok();
    } else {
      return On(peer, message);
    }
  });
}

// --- the loop ---

void Node::TurnWritten() {
  writes_.SendNew(NowMs());
  SampleWrite();
  LogAdvanced();
}

// One of this node's writes at a time is followed to its quorum.
void Node::SampleWrite() {
  if (sampled_write_ > 0 && writes_.Settled(sampled_write_)) {
    serving_pace_.NoteWrite(NowMs() - sampled_ms_);
    sampled_write_ = 0;
  }
  if (sampled_write_ == 0 && writes_.last_number() > last_sampled_) {
    sampled_write_ = last_sampled_ = writes_.last_number();
    sampled_ms_ = NowMs();
  }
}

void Node::LogAdvanced() {
  if (!engine_ || !document_) return;
  uint64_t safe =
      LeftOut(Sabotage::kAckBeforeDurable) ? engine_->NewestPosition() : engine_->ReplyPosition();
  if (exchange_) exchange_->LogAdvanced(safe);
  if (transfer_) transfer_->LogAdvanced(safe);
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
  if (membership_) membership_->Tick(now_ms);
  bool news = transfer_ && transfer_->finished().size() != said_finished_;
  if (news || now_ms >= next_progress_ms_) SayProgress(now_ms);
  writes_.Expire(now_ms);
  ThickenThin(now_ms);
  std::vector<uint64_t> late;
  for (const auto& [id, forward] : forwards_) {
    if (forward.sent_ms + forward.timeout_ms + kSuspectMs <= now_ms) late.push_back(id);
  }
  for (uint64_t id : late) EndForward(id, {ForwardOutcome::kUnknown, {}});
  UpdateSuspects();
  if (detector_) detector_->Tick(now_ms);
  if (fresh_reads_) fresh_reads_->Tick(now_ms);
  if (fresh_partitions_) fresh_partitions_->Tick(now_ms);
  serving_pace_.Tick(now_ms);
  if (exchange_) exchange_->Tick(now_ms);
  if (guests_) guests_->Tick(now_ms);
  if (transfer_) transfer_->Tick(now_ms);
  if (merkle_) merkle_->Tick(now_ms);
}

}  // namespace redynamo
