// SPDX-License-Identifier: Apache-2.0
// Commands that several nodes of the ring carry out for one client: each does its part, and the
// replies are put together.
//
//   DEL a b c    plan:   node 1: DEL a c     node 2: DEL b       (scatter.h)
//   DBSIZE               node 1: DBSIZE of its partitions ...    (ring_share.h)
//                replies:    :2                 :1
//                merged:     :3
//
// This node's own part runs like the others', in a session of its own (forwarded_clients.h). Until
// all have answered the client's pipeline rests: what it sends next must see what this has done.
// Nothing is answered in part. A part that fails makes the whole an error, which says what is known
// of the others.
//
// Data thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/node.h"
#include "server/session.h"
#include "storage/partition_set.h"

namespace redynamo {

class Server;

struct GatherPart {
  Id128 node{};
  std::vector<std::string_view> args;
  std::optional<PartitionSet> share;
  uint64_t weight = 0;  // keys or partitions
};

// The replies of all parts, none of which is an error, as one; nothing when one is malformed.
using GatherMerge = std::function<std::optional<std::string>(std::span<const std::string> replies)>;

struct GatherPlan {
  std::vector<GatherPart> parts;
  std::string_view unit;  // of weights, for errors: "keys", "partitions"
  bool writes = false;
  int64_t timeout_ms = 0;  // of a part, when it may take longer than others
  GatherMerge merge;
  // The reply in the place of one that has failed, for `reason`. None: then the whole fails.
  std::function<std::string(const Id128& node, std::string_view reason)> stand_in;
  std::deque<std::string> texts;  // that args may point to
};

// What planning a command has led to.
struct GatherChoice {
  enum Kind : uint8_t {
    kNone,    // no command for several nodes: it runs as any other
    kGather,  // by `plan`
    kRefuse,  // with `error`; nothing was changed
  };
  Kind kind = kNone;
  GatherPlan plan;
  std::string error;

  static GatherChoice Refusal(std::string error) { return {kRefuse, {}, std::move(error)}; }
};

// How one part has ended.
struct PartOutcome {
  ForwardOutcome::Kind kind = ForwardOutcome::kUnknown;
  std::string bytes;  // kReply: it
};

// The text of the error that parts which have failed make of the whole; nothing when none has.
// `name_of` gives a node's address.
std::optional<std::string> FailureOf(const GatherPlan& plan, std::span<const PartOutcome> outcomes,
                                     const std::function<std::string(const Id128&)>& name_of);

// Merges of more than one command.
GatherMerge MergeOk();   // all say OK
GatherMerge MergeSum();  // of integers

class Gatherer {
 public:
  // `node` is not there yet when this is made.
  Gatherer(Server& server, std::function<Node&()> node) : server_(server), node_(std::move(node)) {}

  // Parks the session until the reply is there. REQUIRES: it is kRunning; the plan has a part.
  void Start(Session& session, GatherPlan plan);
  size_t under_way() const { return gathers_.size(); }

 private:
  struct Gather {
    uint64_t session_id = 0, ticket = 0;
    bool muted = false;
    GatherPlan plan;  // without args
    std::vector<PartOutcome> outcomes;
    size_t open = 0;
  };
  void Answered(uint64_t id, size_t part, ForwardOutcome::Kind kind, std::string_view bytes);
  void End(const Gather& gather);
  std::string Merged(const Gather& gather);

  Server& server_;
  std::function<Node&()> node_;
  std::map<uint64_t, Gather> gathers_;
  uint64_t next_id_ = 1;
};

}  // namespace redynamo
