// SPDX-License-Identifier: Apache-2.0
// Makes this replica's copy of some keys at least as new as R - 1 others (REPLICATION.md 4.2, 4.3):
// each is asked for the hash of its rows; where it differs from what is here, what this node lacks
// of the partition is pulled from it. After that a command runs on the local copy alone.
//
//   GET k, R = 2:   READ k ──> b     hash equal: run
//                                    hash differs: PULL P from b, join, run
//
// Keys of many rows are compared by their partitions' clocks (fresh_partitions.h). Should one have
// grown meanwhile, here or there, it is pulled without being hashed.
//
// A replica that does not answer is not waited for alone: after kHedgeMs another home is asked.
// Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/exchange.h"
#include "cluster/links.h"
#include "cluster/repair_log.h"
#include "cluster/request_quorum.h"
#include "storage/engine.h"

namespace redynamo {

struct FreshReadStats {
  uint64_t reads = 0, agreed = 0, repaired = 0, failed = 0, hedged = 0;
};

class FreshReads {
 public:
  static constexpr int64_t kHedgeMs = 50;
  using Done = std::function<void(const Status&)>;
  struct Key {
    int database;
    std::string name;
    int partition;
    RequestQuorum quorum{};
  };
  // As the views and the health of peers are now.
  struct Choice {
    std::vector<Id128> replicas;  // other ones that can be reached, in the order to ask them
    int needed = 0;               // answers
  };
  using Choose = std::function<Choice(int partition, const RequestQuorum&)>;

  FreshReads(Engine& engine, Links& links, Exchange& exchange, RepairLog& repairs, Choose choose)
      : engine_(engine),
        links_(links),
        exchange_(exchange),
        repairs_(repairs),
        choose_(std::move(choose)) {}

  // Requests from here on; before the first one. See Node::first_request_.
  void NumberFrom(uint64_t first) { next_id_ = first; }
  // `done` is called once, not from within, when enough replicas of each key have agreed or been
  // joined, or there are too few that answer by the deadline. False when no answer is needed: then
  // it is not called.
  bool Start(std::vector<Key> keys, int64_t now_ms, int64_t deadline_ms, Done done);
  // The views have changed: what is under way is asked anew, for it is the newest view that says
  // whose answers count. Answers that come with a newer ring epoch are not counted but wait for
  // this.
  void Restart(uint64_t ring_epoch);

  Status On(const Id128& peer, const wire::ReadReply& message);
  void LinkDown(const Id128& peer);
  void FailAll();
  void Tick(int64_t now_ms);
  // Since when the peer owes an answer; 0: it owes none.
  int64_t OwedSince(const Id128& peer) const;
  const FreshReadStats& stats() const { return stats_; }

 private:
  struct Group {      // of one command
    size_t open = 0;  // keys that are not fresh yet
    int64_t deadline_ms = 0;
    Done done;
  };
  struct KeyRead {
    Key key;
    Choice choice;
    uint64_t group = 0;
    int needed = 0;    // still
    size_t asked = 0;  // of choice.replicas
    int waiting = 0;   // that have been asked and have not answered
    int64_t asked_ms = 0;
    std::optional<uint64_t> hash;  // of the local copy when asked; none: see HashOf
  };
  struct Question {
    uint64_t key_read = 0;
    Id128 peer{};
    int64_t asked_ms = 0;
  };
  bool Begin(uint64_t id, KeyRead& read);
  // Nothing when the key has too many rows to be hashed.
  std::optional<uint64_t> HashOf(const Key& key) const;
  void AskNext(uint64_t id, KeyRead& read, int64_t now_ms);
  void Agreed(uint64_t id);
  void Unanswered(uint64_t id);
  void End(uint64_t group, const Status& status);

  Engine& engine_;
  Links& links_;
  Exchange& exchange_;
  RepairLog& repairs_;
  Choose choose_;
  uint64_t ring_epoch_ = 0;
  std::map<uint64_t, Group> groups_;
  std::map<uint64_t, KeyRead> reads_;
  std::map<uint64_t, Question> questions_;  // by request id
  uint64_t next_id_ = 1;
  int64_t now_ms_ = 0;
  FreshReadStats stats_;
};

}  // namespace redynamo
