// SPDX-License-Identifier: Apache-2.0
// Makes this replica's copy of whole partitions at least as new as R - 1 others, before a command
// that concerns all their keys runs on it: KEYS and its like miss nothing that was answered, and
// FLUSHALL clears what R replicas have seen (the rule flush_asks_clocks of tests/model). So it is
// before a command on a key of very many rows.
//
//   KEYS *, R = 2:   COMPARE {P: hash, Q: hash, ...} ──> b
//                            <── COMPARE_REPLY: b's clocks where they differ
//                    of those that this node's do not cover:  PULL from b, join
//                    run
//
// A replica that does not answer is not waited for alone: after kHedgeMs another home is asked, if
// there is one. Beside fresh_reads.h, which does the same for single keys. Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "cluster/exchange.h"
#include "cluster/fresh_reads.h"
#include "cluster/links.h"
#include "storage/engine.h"
#include "storage/partition_set.h"

namespace redynamo {

struct FreshPartitionStats {
  uint64_t asked = 0;     // commands
  uint64_t compared = 0;  // partitions with another replica's
  uint64_t pulled = 0;    // of these, that differed
  uint64_t failed = 0;    // commands
};

class FreshPartitions {
 public:
  static constexpr int64_t kHedgeMs = 50;
  using Done = std::function<void(const Status&)>;
  // Whose answers count for a partition, and how many of them.
  using Choose = std::function<FreshReads::Choice(int partition, const RequestQuorum&)>;

  FreshPartitions(Engine& engine, Links& links, Exchange& exchange, Choose choose)
      : engine_(engine), links_(links), exchange_(exchange), choose_(std::move(choose)) {}

  // Requests from here on; before the first one. See Node::first_request_.
  void NumberFrom(uint64_t first) { next_id_ = first; }
  // `done` is called once, not from within, when of each partition as many replicas have been
  // compared as needed, and what they had is joined, or too few of them answer by the deadline.
  // False when none is needed at all; then it is not called.
  bool Start(const PartitionSet& partitions, const RequestQuorum& quorum, int64_t now_ms,
             int64_t deadline_ms, Done done);
  // The node has this ring document now: what is not compared yet is asked for anew.
  void Restart(uint64_t ring_epoch);

  Status On(const Id128& peer, const wire::Compare& message);
  Status On(const Id128& peer, const wire::CompareReply& message);
  void LinkDown(const Id128& peer);
  void FailAll();
  void Tick(int64_t now_ms);
  // Since when the peer owes an answer; 0: it owes none.
  int64_t OwedSince(const Id128& peer) const;
  const FreshPartitionStats& stats() const { return stats_; }

 private:
  struct Part {  // of a command
    FreshReads::Choice choice;
    int needed = 0;    // still
    size_t asked = 0;  // of choice.replicas
    int waiting = 0;   // that have been asked and have not answered
  };
  struct Group {  // a command
    std::map<int, Part> open;
    RequestQuorum quorum;
    int64_t deadline_ms = 0;
    Done done;
  };
  struct Question {
    uint64_t group = 0;
    Id128 peer{};
    std::vector<int> partitions;
    int64_t asked_ms = 0;
    bool hedged = false;
  };
  void Begin(uint64_t id, Group& group);
  void Ask(uint64_t id, Group& group, const std::vector<int>& partitions);
  void Agreed(uint64_t group_id, int partition);
  void Unanswered(uint64_t group_id, const std::vector<int>& partitions);
  void Compared(uint64_t group_id, const Id128& peer, int partition, const ReplicaClock* theirs);
  void End(uint64_t group, const Status& status);

  Engine& engine_;
  Links& links_;
  Exchange& exchange_;
  Choose choose_;
  uint64_t ring_epoch_ = 0;
  std::map<uint64_t, Group> groups_;
  std::map<uint64_t, Question> questions_;  // by request id
  uint64_t next_id_ = 1;
  int64_t now_ms_ = 0;
  FreshPartitionStats stats_;
};

}  // namespace redynamo
