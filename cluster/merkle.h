// SPDX-License-Identifier: Apache-2.0
// The Merkle safety net (REPLICATION.md section 5.5): one partition a second is compared with one
// of its other homes, in turn. Pulling keeps replicas equal; this finds what pulling cannot see:
// rows that were lost or changed behind the engine's back, and bugs.
//
//   a                                               b
//   TREE_GET P: clock, root     ──────────────>    clock and root are the same: LEAVES "equal"
//
//   TREE_GET P: clock, root     ──────────────>
//                               <──────────────    LEAVES P: its clock, the sums of its leaves
//   leaf 81 differs, though no dot in which the clocks differ has touched it; and it still does
//   some seconds later:
//   LEAF_ROWS 81: a's rows      ──────────────>    takes what it lacks
//                               <──────────────    LEAF_ROWS 81: b's rows
//   takes what it lacks
//
// Of two homes the one with the smaller id asks; RING.AE asks all of them at once. A leaf that is
// known to be damaged on disk here is fetched without comparing. What the two sides have joined is
// the union of live versions: see storage/tree.h. A round between equal replicas costs about a
// hundred bytes and a clock. Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/links.h"
#include "cluster/repair_log.h"
#include "storage/engine.h"

namespace redynamo {

// Since the start of the process, both of what this node asked and of what it was asked.
struct MerkleStats {
  uint64_t rounds = 0;   // comparisons that this node began
  uint64_t equal = 0;    // of those: ended by clocks and roots alone
  uint64_t put_off = 0;  // of those: one side could not tell, or did not answer
  uint64_t leaves_compared = 0, leaves_skipped = 0;
  uint64_t mismatches = 0;      // leaves that differed twice
  uint64_t repaired = 0;        // versions that were missing here
  uint64_t rewritten = 0;       // versions with wrong contents here
  uint64_t undecided = 0;       // versions with two contents: see the log
  uint64_t damaged_leaves = 0;  // on disk here, found by RING.AE
  uint64_t rebuilt_leaves = 0;  // of those and of what the scrub has found: written anew
  uint64_t bytes_sent = 0, bytes_received = 0;  // payloads of messages
};

class Merkle {
 public:
  // Peers that share the partition, this node left out.
  using HomesOf = std::function<std::vector<Id128>(int partition)>;
  // False while a pull of the partition is half done: rows may lack what its next batch brings.
  using IsSettled = std::function<bool(int partition)>;

  Merkle(Engine& engine, Links& links, RepairLog& repairs, HomesOf homes_of, IsSettled is_settled,
         int partitions, const Id128& self);

  // Requests from here on; before the first one. See Node::first_request_.
  void NumberFrom(uint64_t first) { next_request_ = first; }
  void Tick(int64_t now_ms);
  void PeerDown(const Id128& peer);
  // Reads the partition's rows on disk, and compares it with every home in reach; gives how many
  // these are. The figures tell what came of it.
  size_t CheckNow(int partition);

  enum class Verdict : uint8_t {
    kSame,     // in every leaf that can be compared
    kDiffers,  // it is repaired if the next verifications, some seconds later, say so too
    kUnknown,  // there was no answer, or one side could not tell
  };
  // Compares a replica that this node is about to let go with a home's. `done` is called once,
  // later, unless this object goes before.
  void Verify(const Id128& peer, int partition, std::function<void(Verdict)> done);
  bool Reaches(const Id128& peer) const { return links_.IsUp(peer); }

  Status On(const Id128& peer, const wire::TreeGet& message);
  Status On(const Id128& peer, const wire::Leaves& message);
  Status On(const Id128& peer, const wire::LeafRows& message);

  const MerkleStats& stats() const { return stats_; }
  // Leaves that have been seen to differ and are not repaired yet.
  size_t suspects() const { return suspects_.size(); }
  size_t damaged() const { return engine_.DamagedLeaves().size(); }

 private:
  struct Comparison {
    Id128 peer{};
    int partition = 0;
    Tree tree{};  // what was asked about
    int64_t deadline_ms = 0;
    std::function<void(Verdict)> verified{};  // none in routine rounds
  };
  struct Repair {
    Id128 peer{};
    LeafId leaf;
    int64_t deadline_ms = 0;
  };
  using Suspect = std::pair<Id128, LeafId>;
  struct Suspicion {
    int64_t since_ms = 0;
    uint32_t vain_repairs = 0;  // nothing was missing on either side
    bool verifying = false;     // a replica that is no home's
  };

  template <typename T>
  void Send(const Id128& peer, const T& message);
  template <typename T>
  void CountReceived(const T& message);
  bool NextPair(Id128* peer, int* partition);
  void Compare(const Id128& peer, int partition, std::function<void(Verdict)> verified = nullptr);
  void PutOff(const Comparison& asked);
  template <typename Matches>
  void PutOffAll(const Matches& matches);
  Verdict CompareLeaves(const Comparison& asked, const wire::Leaves& theirs);
  void LeafDiffers(const Comparison& asked, LeafId leaf);
  void AskForRepair(const Id128& peer, LeafId leaf, bool compared);
  void RepairDamaged();
  LeafAccepted Accept(const Id128& peer, LeafId leaf, std::string_view rows);
  void CompareAgain(const Id128& peer, int partition, int64_t in_ms);
  void RunAgenda();
  void ReviewSuspects();

  Engine& engine_;
  Links& links_;
  RepairLog& repair_log_;
  HomesOf homes_of_;
  IsSettled is_settled_;
  int partitions_;
  Id128 self_;
  int64_t now_ms_ = 0;
  int64_t round_ms_ = 0;  // when the last one began
  int next_partition_ = 0;
  uint64_t turn_ = 0;  // of the partition's homes, which one is asked next
  uint64_t next_request_ = 1;
  std::map<uint64_t, Comparison> comparisons_;
  std::map<uint64_t, Repair> repairs_;
  std::map<Suspect, Suspicion> suspects_;
  std::map<std::pair<Id128, int>, int64_t> agenda_;  // comparisons that are due out of turn, when
  MerkleStats stats_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what the engine calls later
};

}  // namespace redynamo
