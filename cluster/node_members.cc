// SPDX-License-Identifier: Apache-2.0
// The node's part in the ring document: how it comes into a ring, takes over newer documents, and
// has them changed.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log_line.h"
#include "cluster/node.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr int64_t kSayMs = 500;    // between two words about progress, or of a blank node
constexpr int64_t kSaidMs = 2000;  // then it may be blank no more
constexpr uint64_t kRequestsPerEngine = 1ull << 40;
constexpr int kMovesAtOnce = 256, kMovesAtOncePerReceiver = 64;

ClaimantOptions ClaimantOptionsOf(const NodeOptions& options) {
  return {.r = options.r,
          .w = options.w,
          .moves_at_once = kMovesAtOnce,
          .moves_at_once_per_receiver = kMovesAtOncePerReceiver};
}

}  // namespace

// --- becoming a member ---

void Node::Form(const Forming::Self& self, uint32_t expected) {
  self_ = self.node_id;
  forming_ = std::make_unique<Forming>(self, expected);
  Introduce();
}

void Node::AwaitRing(const Forming::Self& self, bool asks) {
  self_ = self.node_id;
  candidate_ = self;
  asks_ = asks;
  Introduce();
}

Status Node::Join(Engine* engine, RingDocument document, std::string_view vote) {
  engine_ = engine;
  self_ = engine->NodeId();
  MakeMembership();
  Status status = vote.empty() ? Status::Ok() : membership_->Restore(vote);
  if (!status.ok()) return status;
  Adopt(std::move(document));
  return Status::Ok();
}

void Node::MakeMembership() {
  Membership::Surroundings& around = *this;
  membership_ = std::make_unique<Membership>(self_, around, random_, ClaimantOptionsOf(options_));
}

void Node::Adopt(RingDocument document) {
  bool first = !document_;
  forming_.reset();
  document_ = std::move(document);
  if (!membership_) MakeMembership();
  membership_->SetDocument(*document_);
  placement_ = Placement(*document_, self_, options_.r, options_.w);
  if (bool removed = !InRing(self_); removed != removed_) {
    removed_ = removed;
    if (removed) {
      LogWarning(
          "This node is no member of the ring any more: it takes no commands. To have it back, "
          "start it with an empty data directory and ring-join");
    }
  }
  for (const Member& member : document_->members) {
    std::string address = member.ring_address.ToString();
    if (member.id.bytes != self_ && member.in_ring()) links_.Connect(address);
    if (!member.in_ring() && document_->Find(address) == document_->Find(member.id)) {
      links_.Forget(address);
    }
  }
  if (first) {
    SetEngine(engine_);
  } else {
    ViewsChanged();
  }
  Introduce();
}

// Members whose links are up, and that have not been told so yet.
void Node::LinkMembers() {
  if (!exchange_) return;
  for (auto& [peer, health] : peers_) {
    if (!health.up || health.linked || !IsMember(peer)) continue;
    health.linked = true;
    writes_.LinkUp(peer, NowMs());
    exchange_->PeerUp(peer, health.actor);
  }
}

// What is under way is counted by the newest view from here on.
void Node::MakeDetector() {
  FailureDetector::Surroundings around;
  around.reaches = [this](const Id128& id) { return Healthy(id); };
  around.speaks = [this](const Id128& id) { return Shares(id, kGossips); };
  around.send = [this](const Id128& peer, Message message) { links_.Send(peer, message); };
  around.changed = [this](const Id128& id, const FailureDetector::Opinion& opinion) {
    LogOpinion(id, opinion);
  };
  around.ring_epoch = [this] { return document_->epoch; };
  detector_ = std::make_unique<FailureDetector>(
      self_, uint64_t(std::max<int64_t>(0, clock_.WallMs())), random_.Next(), std::move(around));
  detector_->NumberFrom(first_request_);
}

void Node::ViewsChanged() {
  views_changed_ms_ = NowMs();
  fallbacks_.clear();
  if (!detector_) MakeDetector();
  std::vector<Id128> others;
  for (const Member& member : document_->members) {
    if (member.in_ring() && member.id.bytes != self_) others.push_back(member.id.bytes);
  }
  detector_->SetMembers(others);
  if (engine_) engine_->KeepDots(document_->members.size() > 1);
  LinkMembers();
  if (exchange_) exchange_->ViewsChanged();
  if (guests_) guests_->ViewsChanged(NowMs());
  if (transfer_) transfer_->ViewsChanged(*document_, options_.w);
  writes_.Refresh(NowMs());
  for (auto& [peer, health] : peers_) {
    if (health.early_ack == 0 || health.early_ack_epoch > document_->epoch) continue;
    writes_.Acknowledged(peer, std::exchange(health.early_ack, 0));
  }
  if (fresh_reads_) fresh_reads_->Restart(document_->epoch);
  if (fresh_partitions_) fresh_partitions_->Restart(document_->epoch);
}

void Node::SetEngine(Engine* engine) {
  engine_ = engine;
  if (fresh_reads_) fresh_reads_->FailAll();
  if (fresh_partitions_) fresh_partitions_->FailAll();
  transfer_.reset();
  merkle_.reset();  // before the guests, whom it may call
  guests_.reset();
  fresh_reads_.reset();
  fresh_partitions_.reset();
  exchange_.reset();
  if (!engine || !document_) return;
  engine->KeepDots(document_->members.size() > 1);
  auto place_of = [this](int partition) -> const Place& { return PlaceOf(partition); };
  int partitions = int(placement_.size());
  exchange_ =
      std::make_unique<Exchange>(*engine, links_, serving_pace_, self_, place_of, partitions);
  fresh_reads_ = std::make_unique<FreshReads>(
      *engine, links_, *exchange_, repairs_,
      [this](int partition, const RequestQuorum& quorum) { return ChoiceOf(partition, quorum); });
  // Replicas that are read are compared with each other.
  auto other_readers = [this](int partition) {
    const Place& place = PlaceOf(partition);
    std::vector<Id128> others;
    if (place.self_reads) others = place.read.members;
    std::erase(others, self_);
    return others;
  };
  merkle_ = std::make_unique<Merkle>(
      *engine, links_, repairs_, other_readers,
      [this](int partition) { return exchange_->Settled(partition); }, partitions, self_);
  fresh_partitions_ = std::make_unique<FreshPartitions>(
      *engine, links_, *exchange_,
      [this](int partition, const RequestQuorum& quorum) { return ChoiceOf(partition, quorum); });
  guests_ = std::make_unique<Guests>(*engine, *exchange_, *merkle_, place_of, partitions,
                                     options_.hint_bytes_max);
  first_request_ += kRequestsPerEngine;
  exchange_->NumberFrom(first_request_);
  fresh_reads_->NumberFrom(first_request_);
  fresh_partitions_->NumberFrom(first_request_);
  merkle_->NumberFrom(first_request_);
  exchange_->SetPulled([this](int partition) {
    if (guests_ && !PlaceOf(partition).self_writes) guests_->Pulled(partition, NowMs());
  });
  transfer_ = std::make_unique<Transfer>(*engine, *exchange_, self_,
                                         [this](const Id128& peer) { return EpochOf(peer); });
  for (auto& [peer, health] : peers_) health.linked = false;
  own_before_.clear();
  for (int p = 0; p < partitions; p++) {
    const ReplicaClock& clock = engine->ClockOf(p);
    auto own = clock.actors.find(engine->Actor());
    own_before_.push_back(own == clock.actors.end() ? 0 : own->second.max());
  }
  ViewsChanged();
}

void Node::Introduce() {
  wire::Hello hello;
  hello.node_id = self_;
  if (engine_) hello.actor = engine_->Actor();
  if (document_) {
    hello.cluster_id = document_->cluster_id;
    hello.ring_epoch = document_->epoch;
  }
  hello.capabilities = options_.capabilities;
  hello.partitions = uint32_t(document_ ? document_->partitions() : options_.partitions);
  hello.databases = uint32_t(options_.databases);
  hello.ring_address = options_.ring_address;
  hello.client_address = options_.client_address;
  hello.cluster_port = options_.cluster_port;
  links_.SetSelf(hello);
}

Status Node::On(const Id128& peer, const wire::Bootstrap& message) {
  if (document_) {
    if (message.purpose == wire::Bootstrap::kForm) {
      SendDocument(peer);
    } else {
      TakeCandidate(peer, message);
    }
    return Status::Ok();
  }
  if (!forming_ || message.purpose != wire::Bootstrap::kForm) return Status::Ok();
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

void Node::OfferSelf(const Id128& peer) {
  if (engine_ && engine_->HasEvents()) return;  // clients have used it meanwhile
  Forming alone(*candidate_, 1);                // the message points into it
  wire::Bootstrap message = alone.Message();
  message.purpose = asks_ ? wire::Bootstrap::kJoin : wire::Bootstrap::kWait;
  links_.Send(peer, message);
}

// A blank node says who it is, and perhaps asks to be taken in.
void Node::TakeCandidate(const Id128& peer, const wire::Bootstrap& message) {
  if (InRing(peer)) return SendDocument(peer);
  auto refuse = [&](const std::string& why) {
    links_.Send(peer, wire::JoinRefused{why});
    LogWarning("A node cannot be taken into the ring: " + why);
  };
  if (message.members.size() != 1 || message.members[0].node_id != peer) {
    return refuse("its message names other nodes");
  }
  Result<Member> member = MemberOf(message.members[0]);
  if (!member.ok()) return refuse(member.status().message());
  candidates_[peer] = {*member, NowMs()};
  if (message.purpose != wire::Bootstrap::kJoin) return;
  RingChange change{.kind = RingChangeKind::kJoin, .joining = *member, .leaving = {}};
  ChangeMembers(change, [this, peer](const Status& status) {
    if (status.ok()) return SendDocument(peer);
    // It asks again in a moment; what will not change by itself it is told.
    if (status.code() != StatusCode::kBusy) links_.Send(peer, wire::JoinRefused{status.message()});
  });
}

Status Node::On(const Id128&, const wire::JoinRefused& message) {
  if (!document_) LogWarning("The ring does not take this node: " + std::string(message.reason));
  return Status::Ok();
}

// Durably; what is not kept is not adopted. It comes again with the next word of any member.
Status Node::KeepDocument(const RingDocument& document) {
  Status kept = host_.KeepDocument(document);
  if (!kept.ok() && !cannot_keep_) {
    LogWarning("The ring document cannot be kept, and is not followed: " + kept.message());
  } else if (kept.ok() && cannot_keep_) {
    LogNotice("The ring document can be kept again");
  }
  cannot_keep_ = !kept.ok();
  return kept;
}

void Node::TryForming() {
  if (!forming_->complete() || !forming_->leads()) return;
  Result<RingDocument> document = FirstDocument(*forming_, options_.n, random_);
  if (!document.ok()) {
    LogWarning("The ring cannot form: " + document.status().message());
    return;
  }
  if (!KeepDocument(*document).ok()) return;
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

// A blank node takes the document of those that it forms a ring with, or of a ring that has taken
// it in.
bool Node::IsWelcome(const RingDocument& document) const {
  std::optional<MemberIndex> self = document.Find(NodeId{self_});
  if (!self || !document.members[*self].in_ring()) return false;
  if (candidate_) return true;
  if (!forming_ || document.members.size() != forming_->members().size()) return false;
  return std::all_of(document.members.begin(), document.members.end(), [&](const Member& member) {
    return forming_->members().contains(member.id.bytes);
  });
}

Status Node::On(const Id128& peer, const wire::RingDocument& message) {
  Result<RingDocument> document = DecodeRingDocument(message.document);
  if (!document.ok()) return document.status();
  if (document_) {
    bool ours = document->cluster_id == document_->cluster_id;
    if (!ours || document->epoch <= document_->epoch) return Status::Ok();
  } else {
    if (!IsWelcome(*document)) {
      if (forming_) {
        LogWarning("A ring document came that does not list the nodes of ring-bootstrap: ignored");
      }
      return Status::Ok();
    }
  }
  if (!KeepDocument(*document).ok()) return Status::Ok();
  bool first = !document_;
  Adopt(std::move(*document));
  if (first) {
    LogNotice(fmt::format("This node is in ring {} of {} nodes, epoch {}",
                          Id128Digits(document_->cluster_id), document_->members.size(),
                          document_->epoch));
  }
  return Status::Ok();
}

// --- changes ---

const Member* Node::FindCandidate(const std::string& ring_address) {
  for (const auto& [id, one] : candidates_) {
    bool still = NowMs() - one.said_ms <= kSaidMs;
    if (still && one.member.ring_address.ToString() == ring_address) return &one.member;
  }
  links_.Connect(ring_address);
  return nullptr;
}

void Node::ChangeMembers(const RingChange& change, Membership::Done done) {
  if (change.kind == RingChangeKind::kForget) {
    if (!(options_.capabilities & kForgets)) return done({StatusCode::kUnsupported, "not known"});
    for (const auto& [id, health] : peers_) {
      if (!health.up || !InRing(id) || health.capabilities & kForgets) continue;
      return done({StatusCode::kUnsupported,
                   redynamo::NameOf(document_->members[*document_->Find(NodeId{id})]) +
                       " runs a version that cannot vote on that; upgrade it first"});
    }
  }
  membership_->Change(change, NowMs(), std::move(done));
}

void Node::SendToMember(const Id128& peer, Message message) { links_.Send(peer, message); }

Status Node::DocumentDecided(const RingDocument& document) {
  Status kept = KeepDocument(document);
  if (!kept.ok()) return kept;
  Adopt(document);
  for (const auto& [id, health] : peers_) {
    if (health.up) SendDocument(id);
  }
  return Status::Ok();
}

std::vector<MemberReport> Node::MemberReports() const {
  std::vector<MemberReport> reports;
  for (const Member& member : document_->members) {
    MemberReport& report = reports.emplace_back();
    if (member.id.bytes == self_) {
      report.ring_epoch = document_->epoch;
      continue;
    }
    auto it = peers_.find(member.id.bytes);
    report.unreachable_ms = NowMs() - started_ms_ + 1;
    if (it == peers_.end()) continue;
    report.ring_epoch = it->second.ring_epoch;
    report.unreachable_ms = it->second.up ? 0 : NowMs() - it->second.down_since_ms + 1;
  }
  return reports;
}

// Once more each time, for the claimant may be another one by now.
void Node::SayProgress(int64_t now_ms) {
  next_progress_ms_ = now_ms + kSayMs;
  if (candidate_ && !document_) {
    for (const auto& [id, health] : peers_) {
      if (health.up) OfferSelf(id);
    }
  }
  if (!transfer_ || !guests_ || !membership_ || removed_) return;
  wire::ViewProgress message;
  message.ring_epoch = document_->epoch;
  message.guests = guests_->partitions();
  for (const Transfer::Finished& done : transfer_->finished()) {
    message.entries.push_back({done.partition, done.view_epoch});
  }
  said_finished_ = message.entries.size();
  bool settled = true;
  for (size_t p = 0; p < placement_.size(); p++) {
    const View& view = document_->views[p];
    settled = settled && view.settled();
    bool leaves = view.phase == ViewPhase::kNew && placement_[p].leaver == self_;
    if (leaves && !guests_->Holds(int(p))) message.entries.push_back({uint16_t(p), view.epoch});
  }
  bool leaving = document_->members[*document_->Find(NodeId{self_})].state == MemberState::kLeaving;
  if (settled && !leaving) return;
  membership_->OnProgress(self_, message);
  for (const auto& [id, health] : peers_) {
    if (health.up && InRing(id)) links_.Send(id, message);
  }
}

Status Node::On(const Id128& peer, const wire::ViewProgress& message) {
  if (membership_ && IsMember(peer)) membership_->OnProgress(peer, message);
  return Status::Ok();
}

}  // namespace redynamo
