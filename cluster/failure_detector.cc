// SPDX-License-Identifier: Apache-2.0
#include "cluster/failure_detector.h"

#include <algorithm>
#include <cmath>

namespace redynamo {

using wire::MemberState;

void FailureDetector::SetMembers(const std::vector<Id128>& others) {
  std::erase_if(members_, [&](const auto& entry) {
    return std::ranges::find(others, entry.first) == others.end();
  });
  for (const Id128& id : others) members_.try_emplace(id);
  for (auto& [id, member] : members_) {
    std::erase_if(member.accusers, [&](const Id128& accuser) {
      return accuser != self_ && !members_.contains(accuser);
    });
  }
}

FailureDetector::Opinion FailureDetector::OpinionOf(const Id128& id) const {
  auto it = members_.find(id);
  if (it == members_.end()) return {};
  Opinion opinion = it->second.opinion;
  opinion.accusers = it->second.accusers.size();
  return opinion;
}

void FailureDetector::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  for (auto& [id, member] : members_) {
    if (surroundings_.reaches(id)) {
      member.opinion.only_others = false;
      member.probe = {};
      bool doubted = member.opinion.state != MemberState::kAlive;
      if (doubted && now_ms >= member.next_told_ms) {
        member.next_told_ms = now_ms + times_.answer_ms;
        SendGossip(id, id);  // so that it can refute it
      }
    } else {
      Doubt(id, member);
    }
    bool over = member.opinion.state == MemberState::kSuspect &&
                now_ms - member.suspected_ms >= SuspicionMs(member);
    if (over) Become(id, member, MemberState::kDown, member.opinion.incarnation);
  }
  GossipSome();
}

// --- probes ---

// A member that is not reached.
void FailureDetector::Doubt(const Id128& id, Member& member) {
  if (member.probe.request_id != 0) {
    if (now_ms_ >= member.probe.until_ms) EndProbe(id, member, false);
  } else if (now_ms_ >= member.next_probe_ms && !member.accusers.contains(self_) &&
             member.opinion.state != MemberState::kDown) {
    BeginProbe(id, member);
  }
}

void FailureDetector::BeginProbe(const Id128& id, Member& member) {
  member.next_probe_ms = now_ms_ + times_.probe_ms;
  std::vector<Id128> asked = SomeReached(id);
  if (asked.empty()) {
    // With nobody to ask in the whole ring there is only this node's word. Else it is probably cut
    // off itself, and says nothing.
    if (members_.size() == 1) Suspect(id, member, member.opinion.incarnation, self_);
    return;
  }
  stats_.probes++;
  member.probe = {next_request_++, now_ms_ + times_.answer_ms * (1 + awareness_), {}, 0};
  for (const Id128& peer : asked) member.probe.asked.insert(peer);
  wire::PingReq question{member.probe.request_id, id};
  for (const Id128& peer : asked) surroundings_.send(peer, question);
}

Status FailureDetector::On(const Id128& peer, const wire::PingReq& message) {
  bool reachable = message.target == self_ || surroundings_.reaches(message.target);
  surroundings_.send(peer, wire::PingReqReply{message.request_id, message.target, reachable});
  return Status::Ok();
}

Status FailureDetector::On(const Id128& peer, const wire::PingReqReply& message) {
  auto it = members_.find(message.target);
  if (it == members_.end()) return Status::Ok();
  Member& member = it->second;
  Probe& probe = member.probe;
  if (probe.request_id == 0 || probe.request_id != message.request_id) return Status::Ok();
  if (probe.asked.erase(peer) == 0) return Status::Ok();
  probe.answered++;
  if (message.reachable || probe.asked.empty()) EndProbe(it->first, member, message.reachable);
  return Status::Ok();
}

void FailureDetector::EndProbe(const Id128& id, Member& member, bool reached) {
  int answered = member.probe.answered;
  member.probe = {};
  // Those asked are reached, as far as this node can tell: when none of them answers, it may well
  // be this node that is slow (Lifeguard).
  awareness_ = std::clamp(awareness_ + (answered > 0 ? -1 : 1), 0, kAwarenessMax);
  member.opinion.only_others = reached;
  if (reached) {
    stats_.probes_reached++;
  } else if (answered > 0) {
    Suspect(id, member, member.opinion.incarnation, self_);
  }
}

// --- opinions ---

void FailureDetector::Suspect(const Id128& id, Member& member, uint64_t incarnation,
                              const Id128& accuser) {
  if (member.opinion.state == MemberState::kAlive) {
    member.accusers = {accuser};
    member.suspected_ms = now_ms_;
    Become(id, member, MemberState::kSuspect, incarnation);
  } else if (member.opinion.state == MemberState::kSuspect) {
    member.opinion.incarnation = incarnation;
    if (member.accusers.insert(accuser).second) member.news = kAsked;
  }
}

void FailureDetector::Become(const Id128& id, Member& member, MemberState state,
                             uint64_t incarnation) {
  MemberState before = member.opinion.state;
  member.opinion.incarnation = incarnation;
  if (state == before) return;
  member.opinion.state = state;
  member.opinion.since_ms = now_ms_;
  member.next_told_ms = now_ms_;
  member.news = Rounds();
  stats_.suspected += state == MemberState::kSuspect;
  stats_.died += state == MemberState::kDown;
  stats_.refuted += state == MemberState::kAlive;
  if (state != MemberState::kSuspect) member.accusers.clear();
  if (state == MemberState::kAlive) member.next_probe_ms = now_ms_;
  surroundings_.changed(id, OpinionOf(id));
}

// From suspicion_spread times the least for one accuser down to the least for as many as can be
// expected (Lifeguard, section IV-B; memberlist's numbers).
int64_t FailureDetector::SuspicionMs(const Member& member) const {
  double n = double(members_.size()) + 1;
  double least = double(times_.suspicion_ms) * std::max(1.0, 4 * std::log10(n + 1));
  double expected = std::min(2.0, n - 2);  // further ones: neither the first nor the suspect
  if (expected < 1) return int64_t(least);
  double most = least * double(times_.suspicion_spread);
  double further = std::max(0.0, double(member.accusers.size()) - 1);
  double shrunk = most - std::log(further + 1) / std::log(expected + 1) * (most - least);
  return int64_t(std::max(least, shrunk));
}

// --- gossip ---

// So many that all members hear of something, with a high probability: SWIM's lambda log n.
int FailureDetector::Rounds() const {
  return 3 * int(std::ceil(std::log2(double(members_.size()) + 2)));
}

Status FailureDetector::On(const Id128& peer, const wire::Gossip& message) {
  for (const wire::Gossip::Member& said : message.members) Learn(peer, said);
  return Status::Ok();
}

void FailureDetector::Learn(const Id128& from, const wire::Gossip::Member& said) {
  if (said.node_id == self_) {
    if (said.state == MemberState::kAlive) return;
    if (said.incarnation >= incarnation_) {
      incarnation_ = std::min(said.incarnation + 1, kIncarnationMax);
      own_news_ = Rounds();
    }
    SendGossip(from, self_);
    return;
  }
  auto it = members_.find(said.node_id);
  if (it == members_.end()) return;
  auto& [id, member] = *it;
  if (said.incarnation < member.opinion.incarnation) return;
  bool newer = said.incarnation > member.opinion.incarnation;
  switch (said.state) {
    case MemberState::kAlive:
      if (newer) Become(id, member, MemberState::kAlive, said.incarnation);
      break;
    case MemberState::kSuspect: Suspect(id, member, said.incarnation, said.accuser); break;
    case MemberState::kDown:
      if (surroundings_.reaches(id)) {
        Suspect(id, member, said.incarnation, from);  // it hears of it, and refutes it
      } else {
        Become(id, member, MemberState::kDown, said.incarnation);
      }
      break;
  }
}

// Up to kAsked others that this node reaches and that know these messages, drawn.
std::vector<Id128> FailureDetector::SomeReached(const Id128& but) {
  std::vector<Id128> some;
  for (const auto& [id, member] : members_) {
    if (id != but && surroundings_.reaches(id) && surroundings_.speaks(id)) some.push_back(id);
  }
  for (size_t i = 0; i + 1 < some.size(); i++) {
    std::swap(some[i], some[i + size_t(random_.Below(some.size() - i))]);
  }
  if (some.size() > kAsked) some.resize(kAsked);
  return some;
}

// Of this node, of whoever is not alive, and of what is news; and of `about`.
void FailureDetector::SendGossip(const Id128& peer, const Id128& about) {
  if (!surroundings_.speaks(peer)) return;
  wire::Gossip gossip;
  gossip.ring_epoch = surroundings_.ring_epoch();
  gossip.members.push_back({self_, incarnation_, MemberState::kAlive, {}});
  for (auto& [id, member] : members_) {
    bool news = member.news > 0 || member.opinion.state != MemberState::kAlive || id == about;
    if (!news || gossip.members.size() == kMembersMax) continue;
    const Opinion& opinion = member.opinion;
    if (opinion.state != MemberState::kSuspect) {
      gossip.members.push_back({id, opinion.incarnation, opinion.state, {}});
      continue;
    }
    for (const Id128& accuser : member.accusers) {
      if (gossip.members.size() == kMembersMax) break;
      gossip.members.push_back({id, opinion.incarnation, opinion.state, accuser});
    }
  }
  stats_.gossips_sent++;
  surroundings_.send(peer, gossip);
}

void FailureDetector::GossipSome() {
  if (now_ms_ < next_gossip_ms_) return;
  next_gossip_ms_ = now_ms_ + times_.gossip_ms;
  bool news = own_news_ > 0;
  for (const auto& [id, member] : members_) news = news || member.news > 0;
  if (!news && ++quiet_gossips_ < FailureDetectorTimes::kIdleGossips) return;
  quiet_gossips_ = 0;
  for (const Id128& peer : SomeReached(self_)) SendGossip(peer, self_);
  own_news_ = std::max(0, own_news_ - 1);
  for (auto& [id, member] : members_) member.news = std::max(0, member.news - 1);
}

}  // namespace redynamo
