// SPDX-License-Identifier: Apache-2.0
// What an acceptor keeps, integers without a width are varints:
//
//   state  := "rreg" version:1 epoch ballot ballot document crc:4     promised, accepted
//   ballot := round node:16
//
// `document` is length-prefixed, and empty where the accepted round is 0.
#include "cluster/ring_register.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"

namespace redynamo {
namespace {

constexpr std::string_view kMagic = "rreg";
constexpr uint8_t kStateVersion = 1;
constexpr size_t kCrcBytes = 4;

void PutBallot(const wire::Ballot& ballot, std::string* out) {
  PutVarint(out, ballot.round);
  out->append(reinterpret_cast<const char*>(ballot.node.data()), ballot.node.size());
}

wire::Ballot ReadBallot(ByteReader* in) {
  wire::Ballot ballot;
  ballot.round = in->Varint();
  std::string_view node = in->Bytes(ballot.node.size());
  std::copy(node.begin(), node.end(), ballot.node.begin());
  return ballot;
}

Status Damaged(const std::string& what) {
  return Corruption("the kept votes on ring documents are damaged: " + what +
                    "; this node does not know any more what it has promised, so it must not " +
                    "vote: let a node with a fresh data directory take its place (RING.REPLACE)");
}

const Member* MemberOf(const RingDocument& document, const Id128& id) {
  std::optional<MemberIndex> found = document.Find(NodeId{id});
  return found && document.members[*found].in_ring() ? &document.members[*found] : nullptr;
}

// A removed member is forgotten, and that is all.
bool OnlyForgets(const RingDocument& before, const RingDocument& next) {
  if (next.members.size() + 1 != before.members.size()) return false;
  size_t m = 0;
  while (m < next.members.size() && next.members[m].id == before.members[m].id) m++;
  if (before.members[m].in_ring()) return false;
  RingDocument expected = WithoutMember(before, MemberIndex(m));
  expected.epoch++;
  return next == expected;
}

Status ValidateMembersKept(const RingDocument& before, const RingDocument& next) {
  if (next.members.size() < before.members.size()) return InvalidArgument("members are missing");
  int changed = 0;
  for (size_t m = 0; m < next.members.size(); m++) {
    bool known = m < before.members.size();
    if (known && next.members[m].id != before.members[m].id) {
      return InvalidArgument("member " + before.members[m].id.digits() + " has lost its place");
    }
    changed += next.members[m].in_ring() != (known && before.members[m].in_ring());
  }
  if (changed > 1) {
    return InvalidArgument(fmt::format("{} members come or go at once, not one", changed));
  }
  return Status::Ok();
}

}  // namespace

Status ValidateSuccessor(const RingDocument& before, const RingDocument& next) {
  if (next.epoch != before.epoch + 1) {
    return InvalidArgument(fmt::format("document {} does not follow {}", next.epoch, before.epoch));
  }
  if (next.cluster_id != before.cluster_id || next.seed != before.seed ||
      next.partitions() != before.partitions()) {
    return InvalidArgument("it is another ring's");
  }
  if (OnlyForgets(before, next)) return Status::Ok();
  Status status = ValidateMembersKept(before, next);
  if (!status.ok()) return status;
  for (size_t p = 0; p < next.views.size(); p++) {
    const View &old = before.views[p], &now = next.views[p];
    if (now != old && now.epoch != old.epoch + 1) {
      return InvalidArgument(fmt::format("the view of partition {} makes more than a step", p));
    }
  }
  return Status::Ok();
}

RingRegister::RingRegister(const Id128& self, RingRegisterHost& host, Random& random,
                           RingRegisterTimes times)
    : self_(self), host_(host), random_(random), times_(times) {}

// --- what is kept ---

Status RingRegister::KeepAcceptor(Acceptor next) {
  std::string state(kMagic);
  state.push_back(char(kStateVersion));
  PutVarint(&state, next.epoch);
  PutBallot(next.promised, &state);
  PutBallot(next.accepted, &state);
  PutLengthPrefixed(&state, next.document);
  PutFixed32(&state, Crc32c(state));
  Status status = host_.Keep(state);
  if (status.ok()) acceptor_ = std::move(next);
  return status;
}

Status RingRegister::Restore(std::string_view state) {
  size_t head = kMagic.size() + 1;
  if (state.size() < head + kCrcBytes || state.substr(0, kMagic.size()) != kMagic) {
    return Damaged("they do not begin as such");
  }
  std::string_view body = state.substr(0, state.size() - kCrcBytes);
  ByteReader crc(state.substr(body.size()));
  if (crc.Fixed32() != Crc32c(body)) return Damaged("wrong checksum");
  uint8_t version = uint8_t(body[kMagic.size()]);
  if (version > kStateVersion) {
    return {StatusCode::kUnsupported,
            fmt::format("the kept votes on ring documents have version {}, this build reads up to "
                        "{}; start a newer redynamo-server",
                        version, kStateVersion)};
  }
  ByteReader in(body.substr(head));
  Acceptor acceptor;
  acceptor.epoch = in.Varint();
  acceptor.promised = ReadBallot(&in);
  acceptor.accepted = ReadBallot(&in);
  acceptor.document = in.LengthPrefixed();
  bool fits = version > 0 && in.ok() && in.empty() && acceptor.promised.round <= kBallotRoundMax &&
              acceptor.accepted <= acceptor.promised &&
              (acceptor.accepted.round > 0) == !acceptor.document.empty();
  if (!fits) return Damaged("fields that do not fit");
  if (!acceptor.document.empty()) {
    Result<RingDocument> document = DecodeRingDocument(acceptor.document);
    if (!document.ok()) return Damaged(document.status().message());
    if (document->epoch != acceptor.epoch) return Damaged("a document of another epoch");
  }
  if (!document_ || acceptor.epoch > document_->epoch) acceptor_ = std::move(acceptor);
  return Status::Ok();
}

void RingRegister::SetDocument(const RingDocument& document) {
  if (document_ && document.epoch <= document_->epoch) return;
  document_ = document;
  if (acceptor_.epoch <= document.epoch) acceptor_ = {};
  if (!proposal_ || proposal_->epoch > document.epoch) return;
  if (proposal_->epoch == document.epoch && EncodeRingDocument(document) == proposal_->own) {
    End(RingOutcome::kDecided, "decided, carried through by another node");
  } else {
    End(RingOutcome::kAnotherFirst,
        fmt::format("another change came first: the ring is at document {}", document.epoch));
  }
}

uint64_t RingRegister::accepted_epoch() const {
  return acceptor_.accepted.round > 0 ? acceptor_.epoch : 0;
}

// --- the acceptor ---

RingRegister::Acceptor RingRegister::AcceptorOf(uint64_t epoch) const {
  if (acceptor_.epoch == epoch) return acceptor_;
  Acceptor blank;
  blank.epoch = epoch;
  return blank;
}

bool RingRegister::Votes(const Id128& peer, uint64_t epoch) {
  uint64_t have = document_ ? document_->epoch : 0;
  if (document_ && epoch <= have) {
    std::string bytes = EncodeRingDocument(*document_);
    host_.Send(peer, wire::RingDocument{have, bytes});
    return false;
  }
  if (epoch > have + 1) {
    host_.Send(peer, wire::RingGet{have});
    return false;
  }
  // A vote on a later document is kept, but not the document before it: what this node may have
  // accepted in between is not known any more.
  if (acceptor_.epoch > epoch) return false;
  return document_ && MemberOf(*document_, self_) && MemberOf(*document_, peer);
}

Result<RingDocument> RingRegister::DecodeSuccessor(std::string_view bytes) const {
  Result<RingDocument> document = DecodeRingDocument(bytes);
  if (!document.ok()) return document;
  Status status = ValidateSuccessor(*document_, *document);
  if (!status.ok()) return Corruption("a proposed ring document does not fit: " + status.message());
  return document;
}

Status RingRegister::On(const Id128& peer, const wire::RingPrepare& message, int64_t) {
  if (message.ballot.round == 0 || message.ballot.node != peer) {
    return Corruption("RING_PREPARE with a ballot that is not its sender's");
  }
  if (!Votes(peer, message.epoch)) return Status::Ok();
  Acceptor acceptor = AcceptorOf(message.epoch);
  bool granted = message.ballot >= acceptor.promised;
  if (message.ballot > acceptor.promised) {
    acceptor.promised = message.ballot;
    if (!KeepAcceptor(acceptor).ok()) return Status::Ok();  // as if it had not come
  }
  wire::RingPromise answer{.epoch = message.epoch,
                           .ballot = message.ballot,
                           .granted = granted,
                           .promised = acceptor.promised};
  if (granted) {
    answer.accepted = acceptor.accepted;
    answer.document = acceptor.document;
  }
  host_.Send(peer, answer);
  return Status::Ok();
}

Status RingRegister::On(const Id128& peer, const wire::RingAccept& message, int64_t) {
  if (message.ballot.round == 0 || message.ballot.node != peer) {
    return Corruption("RING_ACCEPT with a ballot that is not its sender's");
  }
  if (!Votes(peer, message.epoch)) return Status::Ok();
  Result<RingDocument> document = DecodeSuccessor(message.document);
  if (!document.ok()) return document.status();
  Acceptor acceptor = AcceptorOf(message.epoch);
  bool known = message.ballot == acceptor.accepted;
  bool granted = known || message.ballot >= acceptor.promised;
  if (known && message.document != acceptor.document) {
    return Corruption("RING_ACCEPT with two documents under one ballot");
  }
  if (granted && !known) {
    acceptor.promised = acceptor.accepted = message.ballot;
    acceptor.document = message.document;
    if (!KeepAcceptor(acceptor).ok()) return Status::Ok();
  }
  host_.Send(peer, wire::RingAccepted{message.epoch, message.ballot, granted, acceptor.promised});
  return Status::Ok();
}

// --- the proposer ---

void RingRegister::Propose(const RingDocument& next, int64_t now_ms, int64_t deadline_ms,
                           Done done) {
  auto refuse = [&](std::string text) {
    ended_.push_back({{RingOutcome::kRefused, false, std::move(text)}, std::move(done)});
  };
  if (proposal_) return refuse("this node is deciding another change; try again");
  if (!document_) return refuse("this node has no ring document yet");
  if (!MemberOf(*document_, self_)) return refuse("this node is not a member of the ring");
  Status status = ValidateRingDocument(next);
  if (status.ok()) status = ValidateSuccessor(*document_, next);
  if (!status.ok()) return refuse(status.message());
  if (acceptor_.epoch > next.epoch) {
    return refuse("this node has voted on later documents than it has; it must hear of them first");
  }
  proposal_ = Proposal();
  proposal_->epoch = next.epoch;
  proposal_->own = EncodeRingDocument(next);
  proposal_->done = std::move(done);
  proposal_->begun_ms = now_ms;
  proposal_->deadline_ms = deadline_ms;
  for (const Member& member : document_->members) {
    if (member.in_ring()) proposal_->voters.push_back(member.id.bytes);
  }
  StartRound(now_ms);
}

void RingRegister::StartRound(int64_t now_ms) {
  Proposal& proposal = *proposal_;
  Acceptor acceptor = AcceptorOf(proposal.epoch);
  uint64_t round = std::max(acceptor.promised.round, proposal.highest_round) + 1;
  if (round > kBallotRoundMax) return End(RingOutcome::kRefused, "no round is left");
  proposal.ballot = {round, self_};
  proposal.state = Proposal::kPreparing;
  proposal.rounds++;
  proposal.next_round_at_ms = 0;
  rounds_++;
  // Durable before anybody hears of this ballot: after a crash it is not used again.
  acceptor.promised = proposal.ballot;
  Status status = KeepAcceptor(acceptor);
  if (!status.ok()) {
    return End(RingOutcome::kNotKept, "this node could not keep its vote: " + status.message());
  }
  proposal.answered.insert(self_);
  proposal.granted = {self_};
  proposal.refused = {};
  proposal.found = acceptor.accepted;
  proposal.value = acceptor.accepted.round > 0 ? acceptor.document : proposal.own;
  Ask(now_ms);
  TryAccept(now_ms);
}

void RingRegister::TryAccept(int64_t now_ms) {
  if (!Majority()) return;
  Proposal& proposal = *proposal_;
  proposal.state = Proposal::kAccepting;
  proposal.granted = {};
  proposal.refused = {};
  proposal.own_left = proposal.own_left || proposal.value == proposal.own;
  Acceptor acceptor = AcceptorOf(proposal.epoch);
  if (acceptor.promised == proposal.ballot) {
    acceptor.accepted = proposal.ballot;
    acceptor.document = proposal.value;
    Status status = KeepAcceptor(std::move(acceptor));
    if (!status.ok()) {
      return End(RingOutcome::kNotKept, "this node could not keep its vote: " + status.message());
    }
    proposal.granted.insert(self_);
  } else {  // it has promised somebody else more in the meantime
    proposal.highest_round = std::max(proposal.highest_round, acceptor.promised.round);
    NoteRefusal(self_, now_ms);
  }
  Ask(now_ms);
  TryDecide();
}

void RingRegister::TryDecide() {
  if (!Majority()) return;
  Result<RingDocument> document = DecodeSuccessor(proposal_->value);
  if (!document.ok()) {  // only what this node has kept was not looked at before
    return End(RingOutcome::kRefused, document.status().message());
  }
  decisions_++;
  bool ours = proposal_->value == proposal_->own;
  End(ours ? RingOutcome::kDecided : RingOutcome::kAnotherFirst,
      ours ? "decided" : "another change came first, and is decided now");
  size_t at = ended_.size() - 1;
  Status status = host_.Decided(*document);
  if (status.ok()) {
    SetDocument(*document);
  } else {
    ended_[at].decision = {RingOutcome::kNotKept, ours,
                           "decided, but this node could not keep it: " + status.message()};
  }
}

void RingRegister::Ask(int64_t now_ms) {
  Proposal& proposal = *proposal_;
  proposal.resend_at_ms = now_ms + times_.resend_ms;
  for (const Id128& voter : proposal.voters) {
    if (voter == self_ || proposal.granted.contains(voter) || proposal.refused.contains(voter)) {
      continue;
    }
    if (proposal.state == Proposal::kPreparing) {
      host_.Send(voter, wire::RingPrepare{proposal.epoch, proposal.ballot});
    } else {
      host_.Send(voter, wire::RingAccept{proposal.epoch, proposal.ballot, proposal.value});
    }
  }
}

bool RingRegister::Answers(const Id128& peer, uint64_t epoch, const wire::Ballot& ballot,
                           const wire::Ballot& promised, Proposal::State state) {
  if (!proposal_ || proposal_->epoch != epoch) return false;
  if (std::ranges::find(proposal_->voters, peer) == proposal_->voters.end()) return false;
  proposal_->answered.insert(peer);
  proposal_->highest_round = std::max(proposal_->highest_round, promised.round);
  return proposal_->ballot == ballot && proposal_->state == state;
}

Status RingRegister::On(const Id128& peer, const wire::RingPromise& message, int64_t now_ms) {
  using enum Proposal::State;
  if (Answers(peer, message.epoch, message.ballot, message.promised, kPreparing)) {
    if (!message.granted) {
      NoteRefusal(peer, now_ms);
    } else {
      if (message.accepted > proposal_->found) {
        Result<RingDocument> document = DecodeSuccessor(message.document);
        if (!document.ok()) return document.status();
        proposal_->found = message.accepted;
        proposal_->value = message.document;
      }
      proposal_->granted.insert(peer);
      TryAccept(now_ms);
    }
  }
  CallDone();
  return Status::Ok();
}

Status RingRegister::On(const Id128& peer, const wire::RingAccepted& message, int64_t now_ms) {
  using enum Proposal::State;
  if (Answers(peer, message.epoch, message.ballot, message.promised, kAccepting)) {
    if (message.granted) {
      proposal_->granted.insert(peer);
      TryDecide();
    } else {
      NoteRefusal(peer, now_ms);
    }
  }
  CallDone();
  return Status::Ok();
}

// The round may still succeed with the others' votes; if not, the next one begins after a while
// that is another one on each node, or two proposers could hinder one another for ever.
void RingRegister::NoteRefusal(const Id128& peer, int64_t now_ms) {
  Proposal& proposal = *proposal_;
  proposal.refused.insert(peer);
  if (proposal.next_round_at_ms != 0) return;
  int64_t wait = times_.backoff_min_ms;
  for (int i = 1; i < proposal.rounds && wait < times_.backoff_max_ms; i++) wait *= 2;
  wait = std::min(wait, times_.backoff_max_ms);
  proposal.next_round_at_ms = now_ms + wait + int64_t(random_.Below(uint64_t(wait) + 1));
}

void RingRegister::Tick(int64_t now_ms) {
  if (proposal_) {
    if (now_ms >= proposal_->deadline_ms) {
      EndByDeadline();
    } else if (proposal_->next_round_at_ms != 0 && now_ms >= proposal_->next_round_at_ms) {
      StartRound(now_ms);
    } else if (now_ms >= proposal_->resend_at_ms) {
      Ask(now_ms);
    }
  }
  CallDone();
}

bool RingRegister::Majority() const {
  return proposal_->granted.size() > proposal_->voters.size() / 2;
}

void RingRegister::EndByDeadline() {
  const Proposal& proposal = *proposal_;
  std::string missing;
  for (const Id128& voter : proposal.voters) {
    if (proposal.answered.contains(voter)) continue;
    missing += (missing.empty() ? "; nothing was heard from " : ", ") + NameOf(voter);
  }
  size_t needed = proposal.voters.size() / 2 + 1;
  std::string text = fmt::format("no majority within {} ms: {} of {} members answered, {} must{}",
                                 proposal.deadline_ms - proposal.begun_ms, proposal.answered.size(),
                                 proposal.voters.size(), needed, missing);
  if (proposal.answered.size() >= needed) text += "; other proposals came between, or answers late";
  if (proposal.own_left) text += "; the change may still come about";
  End(RingOutcome::kNoMajority, std::move(text));
}

void RingRegister::End(RingOutcome outcome, std::string text) {
  bool unknown = outcome == RingOutcome::kNoMajority || outcome == RingOutcome::kNotKept;
  ended_.push_back(
      {{outcome, unknown && proposal_->own_left, std::move(text)}, std::move(proposal_->done)});
  proposal_.reset();
}

void RingRegister::CallDone() {
  std::vector<Ended> ended;
  ended.swap(ended_);
  for (Ended& one : ended) one.done(one.decision);
}

std::string RingRegister::NameOf(const Id128& id) const {
  const Member* member = MemberOf(*document_, id);
  return member ? redynamo::NameOf(*member) : Id128Digits(id);
}

}  // namespace redynamo
