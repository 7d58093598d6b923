// SPDX-License-Identifier: Apache-2.0
#include "cluster/merkle.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log_line.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr int64_t kRoundMs = 1000;
constexpr int64_t kTimeoutMs = 5000;
// A leaf must differ twice so far apart: longer than what is under way takes, or the pull of it.
constexpr int64_t kConfirmMs = 4000;
constexpr int64_t kAfterRepairMs = 1000;
constexpr size_t kRepairsUnderWayMax = 8;
constexpr size_t kComparisonsMax = 4096;
constexpr uint32_t kVainRepairsMax = 3;  // then it is only told of

Status BadPartition() { return Corruption("a message names a partition that does not exist"); }

std::string Named(LeafId leaf) {
  return fmt::format("partition {}, slot {}, namespace {}", PartitionOfSlot(leaf.slot), leaf.slot,
                     leaf.ns);
}

}  // namespace

Merkle::Merkle(Engine& engine, Links& links, RepairLog& repairs, HomesOf homes_of,
               IsSettled is_settled, int partitions, const Id128& self)
    : engine_(engine),
      links_(links),
      repair_log_(repairs),
      homes_of_(std::move(homes_of)),
      is_settled_(std::move(is_settled)),
      partitions_(partitions),
      self_(self) {}

template <typename T>
void Merkle::Send(const Id128& peer, const T& message) {
  std::string bytes;
  message.EncodeTo(&bytes);
  stats_.bytes_sent += bytes.size();
  links_.Send(peer, message);
}

template <typename T>
void Merkle::CountReceived(const T& message) {
  std::string bytes;
  message.EncodeTo(&bytes);
  stats_.bytes_received += bytes.size();
}

// --- when what is compared ---

void Merkle::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  auto late = [&](const auto& entry) { return entry.second.deadline_ms <= now_ms; };
  PutOffAll(late);
  std::erase_if(repairs_, late);
  RunAgenda();
  RepairDamaged();
  if (now_ms - round_ms_ < kRoundMs) return;
  round_ms_ = now_ms;
  ReviewSuspects();
  Id128 peer;
  int partition;
  if (NextPair(&peer, &partition)) Compare(peer, partition);
}

// The next partition that has something and another home in reach for whose pair this node asks.
bool Merkle::NextPair(Id128* peer, int* partition) {
  for (int looked_at = 0; looked_at < partitions_; looked_at++) {
    int p = next_partition_;
    next_partition_ = (next_partition_ + 1) % partitions_;
    if (next_partition_ == 0) turn_++;
    if (engine_.ClockHash(p) == 0) continue;
    std::vector<Id128> homes = homes_of_(p);
    std::erase_if(homes, [&](const Id128& id) { return id < self_ || !links_.IsUp(id); });
    if (homes.empty()) continue;
    *peer = homes[size_t(turn_ % homes.size())];
    *partition = p;
    return true;
  }
  return false;
}

void Merkle::CompareAgain(const Id128& peer, int partition, int64_t in_ms) {
  agenda_[{peer, partition}] = now_ms_ + in_ms;
}

void Merkle::RunAgenda() {
  for (auto it = agenda_.begin(); it != agenda_.end();) {
    auto [peer, partition] = it->first;
    bool due = it->second <= now_ms_;
    it = due ? agenda_.erase(it) : std::next(it);
    if (due && links_.IsUp(peer)) Compare(peer, partition);
  }
}

// A comparison that was put off settles nothing, and a pair for which the other side asks has no
// turn here: what is suspected is compared until it is settled.
void Merkle::ReviewSuspects() {
  std::set<std::pair<Id128, int>> under_way;
  for (const auto& [id, comparison] : comparisons_) {
    under_way.insert({comparison.peer, comparison.partition});
  }
  for (auto it = suspects_.begin(); it != suspects_.end();) {
    auto [peer, leaf] = it->first;
    int partition = PartitionOfSlot(leaf.slot);
    std::vector<Id128> homes = homes_of_(partition);
    bool shared = it->second.verifying ? engine_.HoldsReplica(partition)
                                       : std::find(homes.begin(), homes.end(), peer) != homes.end();
    bool due = it->second.vain_repairs <= kVainRepairsMax &&
               !under_way.contains({peer, partition}) && !agenda_.contains({peer, partition});
    if (shared && due) CompareAgain(peer, partition, kConfirmMs);
    it = shared ? std::next(it) : suspects_.erase(it);
  }
}

size_t Merkle::CheckNow(int partition) {
  size_t peers = 0;
  for (const Id128& peer : homes_of_(partition)) {
    if (!links_.IsUp(peer)) continue;
    peers++;
    CompareAgain(peer, partition, 0);
  }
  std::weak_ptr<bool> alive = alive_;
  engine_.VerifyPartition(partition, [=, this](const Status& status, uint64_t damaged) {
    if (alive.expired()) return;
    stats_.damaged_leaves += damaged;
    if (status.ok()) return;
    LogWarning(fmt::format("Partition {} could not be verified: {}", partition, status.message()));
  });
  return peers;
}

void Merkle::PeerDown(const Id128& peer) {
  auto of_peer = [&](const auto& entry) { return entry.second.peer == peer; };
  PutOffAll(of_peer);
  std::erase_if(repairs_, of_peer);
  std::erase_if(suspects_, [&](const auto& suspect) { return suspect.first.first == peer; });
}

void Merkle::PutOff(const Comparison& asked) {
  stats_.put_off++;
  if (asked.verified) asked.verified(Verdict::kUnknown);
}

template <typename Matches>
void Merkle::PutOffAll(const Matches& matches) {
  for (auto it = comparisons_.begin(); it != comparisons_.end();) {
    if (!matches(*it)) {
      ++it;
      continue;
    }
    Comparison asked = std::move(it->second);
    it = comparisons_.erase(it);
    PutOff(asked);
  }
}

// --- comparing ---

void Merkle::Verify(const Id128& peer, int partition, std::function<void(Verdict)> done) {
  Compare(peer, partition, std::move(done));
}

void Merkle::Compare(const Id128& peer, int partition, std::function<void(Verdict)> verified) {
  Comparison asked{.peer = peer, .partition = partition, .verified = std::move(verified)};
  if (comparisons_.size() >= kComparisonsMax) return PutOff(asked);
  stats_.rounds++;
  Tree tree = engine_.TreeOf(partition);
  if (!tree.ready || !is_settled_(partition)) return PutOff(asked);
  uint64_t request_id = next_request_++;
  std::string clock;
  tree.clock.EncodeTo(&clock);
  wire::TreeGet ask{request_id, uint16_t(partition), tree.Root(), tree.irregular_hash, clock};
  asked.tree = std::move(tree);
  asked.deadline_ms = now_ms_ + kTimeoutMs;
  comparisons_[request_id] = std::move(asked);
  Send(peer, ask);
}

Status Merkle::On(const Id128& peer, const wire::TreeGet& message) {
  CountReceived(message);
  ReplicaClock theirs;
  ByteReader in(message.clock);
  if (message.partition >= partitions_) return BadPartition();
  if (!ReplicaClock::Decode(&in, &theirs) || !in.empty()) {
    return Corruption("the clock of a tree is malformed");
  }
  wire::Leaves reply{message.request_id, message.partition, wire::TreeAnswer::kNotNow, {}, {}};
  Tree tree = engine_.TreeOf(message.partition);
  std::string clock;
  std::set<LeafId> touched;
  if (tree.ready && is_settled_(message.partition)) {
    bool equal = tree.clock == theirs && tree.irregular_hash == message.irregular_hash &&
                 tree.Root() == message.root;
    ReplicaClock more = tree.clock.Minus(theirs);
    if (equal) {
      reply.answer = wire::TreeAnswer::kEqual;
    } else if (engine_.TouchedLeaves(message.partition, more, &touched)) {
      reply.answer = wire::TreeAnswer::kLeaves;
      tree.clock.EncodeTo(&clock);
      reply.clock = clock;
      for (const TreeLeaf& leaf : tree.leaves) {
        bool comparable = leaf.settled && touched.erase(leaf.id) == 0;
        reply.leaves.push_back({leaf.id.ns, leaf.id.slot, comparable, leaf.sum});
      }
      for (LeafId leaf : touched) reply.leaves.push_back({leaf.ns, leaf.slot, false, 0});
    }
  }
  Send(peer, reply);
  return Status::Ok();
}

Status Merkle::On(const Id128& peer, const wire::Leaves& message) {
  CountReceived(message);
  auto node = comparisons_.extract(message.request_id);
  if (node.empty()) return Status::Ok();  // its deadline was over
  const Comparison& asked = node.mapped();
  if (asked.peer != peer || asked.partition != message.partition) return BadPartition();
  if (message.answer == wire::TreeAnswer::kEqual) {
    stats_.equal++;
    stats_.leaves_compared += asked.tree.leaves.size();
    std::erase_if(suspects_, [&](const auto& s) {
      return s.first.first == peer && PartitionOfSlot(s.first.second.slot) == asked.partition;
    });
    if (asked.verified) asked.verified(Verdict::kSame);
    return Status::Ok();
  }
  Verdict verdict = message.answer == wire::TreeAnswer::kNotNow ? Verdict::kUnknown
                                                                : CompareLeaves(asked, message);
  if (verdict == Verdict::kUnknown) {
    PutOff(asked);
  } else if (asked.verified) {
    asked.verified(verdict);
  }
  return Status::Ok();
}

// kUnknown when it cannot be told which leaves are comparable.
Merkle::Verdict Merkle::CompareLeaves(const Comparison& asked, const wire::Leaves& theirs) {
  ReplicaClock clock;
  ByteReader in(theirs.clock);
  std::set<LeafId> touched;  // by what they lack
  if (!ReplicaClock::Decode(&in, &clock) || !in.empty() || !is_settled_(asked.partition)) {
    return Verdict::kUnknown;
  }
  if (!engine_.TouchedLeaves(asked.partition, asked.tree.clock.Minus(clock), &touched)) {
    return Verdict::kUnknown;
  }
  struct Pair {
    uint64_t mine = 0, theirs = 0;
    bool comparable = true;
  };
  std::map<LeafId, Pair> leaves;
  for (const TreeLeaf& leaf : asked.tree.leaves) {
    Pair& pair = leaves[leaf.id];
    pair.mine = leaf.sum;
    pair.comparable = leaf.settled;
  }
  for (const wire::Leaves::Leaf& leaf : theirs.leaves) {
    if (PartitionOfSlot(leaf.slot) != asked.partition) return Verdict::kUnknown;
    Pair& pair = leaves[{leaf.ns, leaf.slot}];
    pair.theirs = leaf.sum;
    pair.comparable = pair.comparable && leaf.comparable;
  }
  for (LeafId leaf : touched) leaves[leaf].comparable = false;
  Verdict verdict = Verdict::kSame;
  for (const auto& [leaf, pair] : leaves) {
    stats_.leaves_compared += pair.comparable;
    stats_.leaves_skipped += !pair.comparable;
    if (!pair.comparable) continue;
    if (pair.mine == pair.theirs) {
      suspects_.erase({asked.peer, leaf});
    } else {
      verdict = Verdict::kDiffers;
      LeafDiffers(asked, leaf);
    }
  }
  return verdict;
}

void Merkle::LeafDiffers(const Comparison& asked, LeafId leaf) {
  const Id128& peer = asked.peer;
  auto [it, is_new] = suspects_.try_emplace({peer, leaf}, Suspicion{.since_ms = now_ms_});
  Suspicion& suspicion = it->second;
  suspicion.verifying = asked.verified != nullptr;
  if (is_new || now_ms_ - suspicion.since_ms < kConfirmMs) {
    int64_t in_ms = suspicion.since_ms + kConfirmMs - now_ms_;
    return CompareAgain(peer, PartitionOfSlot(leaf.slot), in_ms);
  }
  if (suspicion.vain_repairs > kVainRepairsMax) return;
  stats_.mismatches++;
  LogWarning(
      fmt::format("{}: rows differ from those of peer {} although no event explains it; the "
                  "versions that either side lacks are exchanged",
                  Named(leaf), Id128Digits(peer)));
  AskForRepair(peer, leaf, true);
}

// --- repairing ---

void Merkle::AskForRepair(const Id128& peer, LeafId leaf, bool compared) {
  auto same = [&](const auto& entry) { return entry.second.leaf == leaf; };
  if (std::any_of(repairs_.begin(), repairs_.end(), same)) return;
  if (repairs_.size() >= kRepairsUnderWayMax) {
    return CompareAgain(peer, PartitionOfSlot(leaf.slot), kAfterRepairMs);
  }
  wire::LeafRows ask{next_request_++, leaf.ns, leaf.slot, wire::LeafRows::kAnswer, 0, {}};
  LeafRows mine;
  if (compared) mine = engine_.RowsOfLeaf(leaf);
  if (!mine.status.ok()) {
    LogWarning(Named(leaf) + " is not repaired: " + mine.status.message());
    return;
  }
  ask.rows = mine.bytes;
  auto it = suspects_.find({peer, leaf});
  if (it != suspects_.end() && it->second.vain_repairs > 0) ask.flags |= wire::LeafRows::kCountAnew;
  repairs_[ask.request_id] = {peer, leaf, now_ms_ + kTimeoutMs};
  Send(peer, ask);
}

void Merkle::RepairDamaged() {
  for (LeafId leaf : engine_.DamagedLeaves()) {
    int partition = PartitionOfSlot(leaf.slot);
    if (repairs_.size() >= kRepairsUnderWayMax) return;
    if (partition >= partitions_ || !is_settled_(partition)) continue;
    std::vector<Id128> homes = homes_of_(partition);
    std::erase_if(homes, [&](const Id128& id) { return !links_.IsUp(id); });
    if (!homes.empty()) AskForRepair(homes[size_t(next_request_ % homes.size())], leaf, false);
  }
}

LeafAccepted Merkle::Accept(const Id128& peer, LeafId leaf, std::string_view rows) {
  if (!is_settled_(PartitionOfSlot(leaf.slot))) {
    LeafAccepted busy;
    busy.status = {StatusCode::kBusy, "the partition is being pulled"};
    return busy;
  }
  LeafAccepted accepted = engine_.AcceptLeaf(leaf, rows);
  stats_.repaired += accepted.repaired;
  stats_.rewritten += accepted.rewritten;
  stats_.undecided += accepted.undecided;
  stats_.rebuilt_leaves += accepted.rebuilt;
  if (!accepted.status.ok() && accepted.status.code() != StatusCode::kBusy) {
    LogWarning(Named(leaf) + " is not repaired: " + accepted.status.message());
  }
  if (accepted.repaired + accepted.rewritten > 0 || accepted.rebuilt) {
    repair_log_.Note(PartitionOfSlot(leaf.slot), RepairCause::kTree, peer);
    LogNotice(
        fmt::format("{}: {} versions that were missing here and {} that were wrong came from "
                    "peer {}",
                    Named(leaf), accepted.repaired, accepted.rewritten, Id128Digits(peer)));
  }
  if (accepted.undecided > 0) {
    LogWarning(
        fmt::format("{}: {} versions have other contents at peer {}, and nothing says which "
                    "are right; RING.WHY shows them, a new write ends it",
                    Named(leaf), accepted.undecided, Id128Digits(peer)));
  }
  return accepted;
}

Status Merkle::On(const Id128& peer, const wire::LeafRows& message) {
  CountReceived(message);
  LeafId leaf{message.ns, message.slot};
  int partition = PartitionOfSlot(leaf.slot);
  if (partition >= partitions_) return BadPartition();
  if (message.flags & wire::LeafRows::kAnswer) {
    LeafAccepted accepted;
    if (!message.rows.empty()) accepted = Accept(peer, leaf, message.rows);
    if (message.flags & wire::LeafRows::kCountAnew) engine_.CountLeafAnew(leaf);
    LeafRows mine = engine_.RowsOfLeaf(leaf);
    if (!mine.status.ok()) {
      LogWarning(Named(leaf) + " cannot be given to a peer: " + mine.status.message());
    }
    uint64_t changed = accepted.repaired + accepted.rewritten;
    Send(peer, wire::LeafRows{message.request_id, leaf.ns, leaf.slot, 0, changed, mine.bytes});
    return Status::Ok();
  }
  auto node = repairs_.extract(message.request_id);
  if (node.empty() || node.mapped().peer != peer || node.mapped().leaf != leaf) {
    return Status::Ok();  // its deadline was over
  }
  if (message.rows.empty()) return Status::Ok();
  LeafAccepted accepted = Accept(peer, leaf, message.rows);
  uint64_t changed = accepted.repaired + accepted.rewritten + message.repaired;
  auto it = suspects_.find({peer, leaf});
  if (accepted.status.ok() && changed == 0 && it != suspects_.end()) {
    // The same rows on both sides: another home was faster. If it happens twice, a sum is wrong,
    // unless contents are.
    if (it->second.vain_repairs++ > 0) engine_.CountLeafAnew(leaf);
    if (it->second.vain_repairs > kVainRepairsMax) {
      LogWarning(fmt::format("{}: nothing that differs from peer {} can be repaired", Named(leaf),
                             Id128Digits(peer)));
    }
  }
  CompareAgain(peer, partition, kAfterRepairMs);
  return Status::Ok();
}

}  // namespace redynamo
