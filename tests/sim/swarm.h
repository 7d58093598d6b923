// SPDX-License-Identifier: Apache-2.0
// One life of a ring: a seed decides how many nodes, which kinds of faults and when, and what
// clients do meanwhile. At the end all is healed, and the checkers look (ring_history.h).
//
// Swarm testing (Groce et al., 2012): each seed has some kinds of faults only, so that some are
// never hidden behind others.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "tests/support/ring_reads.h"

namespace redynamo {

// Kinds of faults: bits.
enum SwarmFault : uint32_t {
  kFaultCuts = 1 << 0,       // both directions of a link
  kFaultOneWay = 1 << 1,     // one direction; the link breaks when it has been silent for long
  kFaultIsolation = 1 << 2,  // a node, or a part of the ring
  kFaultKill = 1 << 3,       // the process
  kFaultPower = 1 << 4,      // the machine: what is not synced is lost
  kFaultPause = 1 << 5,      // SIGSTOP
  kFaultSlowDisk = 1 << 6,   // nothing becomes durable, nothing is read
  kFaultFullDisk = 1 << 7,
  kFaultClocks = 1 << 8,  // wall clocks jump by minutes
  kFaultLoss = 1 << 9,    // events do not fit in a queue
  kFaultOvertaking = 1 << 10,
  kFaultOldDisk = 1 << 11,   // one node comes back with an old copy of its disk, once
  kFaultLostDisk = 1 << 12,  // one disk is lost for good, and the node replaced
  kFaultMembers = 1 << 13,   // nodes join and leave
  kFaultAll = (1 << 14) - 1,
  kClientsRead = 1 << 14,    // no fault, but messages of its own kind
  kMixedVersions = 1 << 15,  // some nodes run older versions, and newer ones after a crash
  kBitFlip = 1 << 16,        // one bit of one node's disk, once
  kFewPartitions = 1 << 17,  // the ring has as few as it may
  kMayAll = (1 << 18) - 1,
};

struct SwarmResult {
  History history;
  uint32_t faults = 0;  // kinds that this seed may have
  uint64_t digest = 0;  // of all that was delivered
  uint64_t delivered = 0;
  bool settled = false;
  std::string state;  // why it did not settle
};

class Swarm {
 public:
  // `may`: the kinds of faults that a seed may have.
  Swarm(uint64_t seed, uint32_t may)
      : faults_(Choose(seed, may)),
        ring_(seed % 3 == 0 ? 5 : 3 + int(seed % 2),
              {.seed = seed,
               .overtakes_percent = faults_ & kFaultOvertaking ? 5u : 0u,
               .drops_percent = faults_ & kFaultLoss ? 15u : 0u},
              3, seed % 5 != 0, faults_ & kFaultPower ? SyncMode::kAlways : SyncMode::kNo,
              faults_ & kFewPartitions ? kPartitionsLeast : kPartitionsDefault) {
    history_.removes = seed % 2 == 0;
    history_.clocks_differ = faults_ & (kFaultClocks | kFaultOldDisk);
    history_.reads_meet_writes = seed % 5 == 0;
  }

  SwarmResult Run();
  uint32_t faults() const { return faults_; }

 private:
  static uint32_t Choose(uint64_t seed, uint32_t may) {
    Random random(seed * 7919 + 1);
    uint32_t faults = uint32_t(random.Next()) & uint32_t(random.Next() | random.Next()) & may;
    // At most one node may forget at all, and no member changes beside it: W = 2 of 3 bears that.
    if (faults & kBitFlip) {
      faults &= ~uint32_t(kFaultLostDisk | kFaultOldDisk | kFaultMembers);
    }
    if (faults & kFaultLostDisk) faults &= ~uint32_t(kFaultOldDisk | kFaultMembers);
    if (faults & kFaultOldDisk) faults &= ~uint32_t(kFaultMembers);
    return faults;
  }
  Random& random() { return ring_.random(); }
  int Any() { return int(random().Below(uint64_t(ring_.size()))); }
  bool Has(SwarmFault fault) const { return faults_ & fault; }
  void RunOlderVersions();
  void FlipBit();
  void Strike();
  void StrikeLinks(SwarmFault fault, int node);
  void StrikeNode(SwarmFault fault, int node);
  void ChangeMembers(int node);
  void Recover();
  void Check(SwarmResult* result);

  uint32_t faults_;
  SimRing ring_;
  History history_;
  std::set<int> lost_;   // whose disk is lost
  bool forgot_ = false;  // one node has, by an old disk or a lost one
  struct OneWay {
    int from, to;
    int64_t until_silent_ms;
  };
  std::vector<OneWay> one_ways_;
};

// Each node lacks some of what newer versions can.
inline void Swarm::RunOlderVersions() {
  for (int i = 0; i < ring_.size(); i++) {
    ring_.Crash(i);
    ring_.node(i).capabilities = kCapabilities & random().Next();
    ring_.Start(i);
  }
}

// Either the node finds its data damaged and is replaced, or what it cannot have missed is right. A
// damaged end of the log is cut like one that was being written: what it held is forgotten.
inline void Swarm::FlipBit() {
  int node = Any();
  SimRingNode& one = ring_.node(node);
  if (one.running()) ring_.Crash(node);
  if (!one.document) return;
  one.machine().FlipSomeBit();
  one.disk_is_damaged = true;
  history_.forgotten = true;
  ring_.Start(node);
  if (!one.running()) lost_.insert(node);
}

inline SwarmResult Swarm::Run() {
  if (Has(kMixedVersions)) RunOlderVersions();
  for (int step = 0; step < 100; step++) {
    if (step == 50 && Has(kBitFlip)) FlipBit();
    if (random().Below(4) == 0) Strike();
    if (random().Below(8) == 0) Recover();
    for (uint64_t n = random().Below(5); n > 0; n--) WriteSome(ring_, &history_, history_.serial++);
    if (Has(kClientsRead)) {
      for (uint64_t n = random().Below(6); n > 0; n--) ReadSome(ring_, &history_);
    }
    for (uint64_t n = random().Below(30); n > 0; n--) ring_.network().Step();
    ring_.Pass(int64_t(random().Below(6) == 0 ? random().Below(2000) : random().Below(20)));
    std::erase_if(one_ways_, [&](const OneWay& way) {
      if (way.until_silent_ms > ring_.clock().MonotonicUs() / 1000) return false;
      ring_.network().Cut(ring_.node(way.from).id(), ring_.node(way.to).id());
      return true;
    });
  }
  SwarmResult result;
  one_ways_.clear();
  ring_.Heal();
  if (!lost_.empty()) {  // an operator replaces the node, as docs/operations.md says
    for (int i = 0; i < ring_.size(); i++) {
      if (!lost_.contains(i) && !ring_.node(i).running()) ring_.Start(i);
    }
    int blank = ring_.AddBlank(false);
    for (int i = 0; i < 20; i++) ring_.Pass(100);
    for (int dead : lost_) {
      int by = dead == 0 ? 1 : 0;
      RingChange change{.kind = RingChangeKind::kReplace, .joining = {}, .leaving = {}};
      change.leaving = NodeId{ring_.node(dead).id()};
      const Member* candidate =
          ring_.node(by).node().FindCandidate(ring_.SelfOf(blank).ring_address);
      REQUIRE(candidate);
      change.joining = *candidate;
      ring_.node(by).node().ChangeMembers(change, [](const Status&) {});
    }
  }
  result.settled = ring_.Settle(lost_);
  result.faults = faults_;
  if (!result.settled) result.state = ring_.Describe();
  if (result.settled) Check(&result);
  result.history = history_;
  result.digest = ring_.network().digest();
  result.delivered = ring_.network().delivered();
  return result;
}

// One fault of a kind that this seed has.
inline void Swarm::Strike() {
  if ((faults_ & kFaultAll) == 0) return;
  SwarmFault fault;
  do {
    fault = SwarmFault(1u << random().Below(14));
  } while (!Has(fault));
  int node = Any();
  if (!ring_.node(node).running()) return;
  if (fault <= kFaultIsolation) {
    StrikeLinks(fault, node);
  } else if (fault == kFaultMembers) {
    ChangeMembers(node);
  } else {
    StrikeNode(fault, node);
  }
}

inline void Swarm::StrikeLinks(SwarmFault fault, int node) {
  int other = Any();
  const Id128& id = ring_.node(node).id();
  if (fault == kFaultIsolation) {
    for (int i = 0; i < ring_.size(); i++) {
      if (i != node && i != other) ring_.network().Cut(id, ring_.node(i).id());
    }
  } else if (other != node && fault == kFaultCuts) {
    ring_.network().Cut(id, ring_.node(other).id());
  } else if (other != node) {
    ring_.network().Stall(id, ring_.node(other).id());
    one_ways_.push_back({node, other, ring_.clock().MonotonicUs() / 1000 + 3000});
  }
}

inline void Swarm::StrikeNode(SwarmFault fault, int node) {
  SimRingNode& one = ring_.node(node);
  switch (fault) {
    case kFaultKill: ring_.Crash(node); break;
    case kFaultPower:
      ring_.Crash(node);
      history_.forgotten = true;
      one.PowerLoss(random().Below(2) ? CrashKeeps::kNothing : CrashKeeps::kPrefix);
      break;
    case kFaultPause: ring_.Pause(node); break;
    case kFaultSlowDisk: one.disk_stands_still = true; break;
    case kFaultFullDisk: one.machine().files().SetCapacity(random().Below(300 << 10)); break;
    case kFaultClocks: one.clock_ahead_ms += int64_t(random().Below(600'000)) - 300'000; break;
    case kFaultOldDisk:
      if (!one.has_copy()) {
        one.KeepCopy();
      } else if (!forgot_) {
        forgot_ = true;
        ring_.Crash(node);
        one.RestoreCopy();
        history_.forgotten = true;
      }
      break;
    case kFaultLostDisk:
      if (forgot_ || !one.document || random().Below(3)) break;
      forgot_ = true;
      ring_.Crash(node);
      lost_.insert(node);
      history_.forgotten = true;
      break;
    default: break;
  }
}

inline void Swarm::ChangeMembers(int node) {
  if (ring_.size() < 6 && random().Below(2)) {
    ring_.AddBlank();
    return;
  }
  SimRingNode& by = ring_.node(node);
  auto stays = [](const Member& member) { return member.takes_replicas(); };
  if (std::ranges::count_if(ring_.document().members, stays) <= 3) return;
  if (!by.node().formed() || by.node().removed()) return;
  RingChange change{.kind = RingChangeKind::kLeave, .joining = {}, .leaving = {}};
  change.leaving = NodeId{ring_.node(Any()).id()};
  std::optional<MemberIndex> found = by.node().document().Find(change.leaving);
  bool left = found && !by.node().document().members[*found].in_ring();
  if (left) change.kind = RingChangeKind::kForget;
  by.node().ChangeMembers(change, [](const Status&) {});
}

inline void Swarm::Recover() {
  int node = Any();
  SimRingNode& one = ring_.node(node);
  if (random().Below(3) == 0) {
    ring_.network().HealAll();
    one_ways_.clear();
    for (int i = 0; i < ring_.size(); i++) {
      if (ring_.node(i).stands_still) ring_.Pause(i);  // that is no matter of the network
    }
    return;
  }
  if (lost_.contains(node)) return;
  one.machine().files().SetCapacity(SimMachine::kDiskBytes);
  one.disk_stands_still = false;
  if (one.stands_still) ring_.Resume(node);
  if (one.running()) return;
  if (Has(kMixedVersions) && random().Below(2)) one.capabilities = kCapabilities;
  ring_.Start(node);
}

inline void Swarm::Check(SwarmResult*) {
  CheckRing(ring_, history_);
  // Replicas agree bit for bit, and nothing was found that clocks cannot explain.
  std::map<std::string, std::string> hashes;
  for (int i = 0; i < ring_.size(); i++) {
    SimRingNode& one = ring_.node(i);
    if (!one.running() || one.node().removed()) continue;
    CHECK(one.node().merkle()->stats().undecided == 0);
    CHECK(one.node().merkle()->stats().mismatches == 0);
    CHECK(one.node().transfer()->running() == 0);
    CHECK(one.node().pending_writes().unsettled() == 0);
    for (const char* name : {"set", "counter", "register"}) {
      for (uint64_t n = 0; n < 8; n++) {
        std::string key = Numbered(name, n);
        if (!one.node().PlaceOf(PartitionOfSlot(KeySlot(key))).self_reads) continue;
        REQUIRE(one.MakeResident(key));
        std::string hash = one.engine().KeyDigest(0, key);
        if (!history_.forgotten) hash += std::to_string(one.engine().KeyStateHash(0, key));
        CHECK_MESSAGE(hashes.try_emplace(key, hash).first->second == hash, key, " differs at ",
                      one.id_text());
      }
    }
  }
}

}  // namespace redynamo
