// SPDX-License-Identifier: Apache-2.0
#include "server/ring_changes.h"

#include <utility>

#include "cluster/node.h"
#include "server/ring.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr int64_t kReachMs = 5000;  // for a node that is to join

std::vector<uint64_t> PartitionBytes(Engine& engine, int partitions) {
  std::vector<uint64_t> bytes;
  for (int p = 0; p < partitions; p++) bytes.push_back(engine.ReplicaBytes(p));
  return bytes;
}

Reply PlanReply(const RingPlan& plan) {
  std::string text;
  for (const std::string& line : PlanLines(plan)) text += line + "\n";
  return Reply::Verbatim(text + "Nothing is changed yet: add COMMIT to carry it out.\n");
}

}  // namespace

Reply BeginRingChange(CommandContext& context, RingWish wish) {
  Ring* ring = context.server.ring();
  if (!ring) {
    return Reply::Error(
        "ERR this node has no ring port: start it with ring-port, see conf/redynamo.conf");
  }
  if (context.session.transaction.running) {
    return Reply::Error("ERR a change of the ring cannot be part of a transaction");
  }
  RingAddress address;
  bool joins = wish.kind != RingChangeKind::kLeave;
  if (joins && !RingAddress::Parse(wish.joining, &address)) {
    return Reply::ErrorText("ERR '" + wish.joining + "' is no ring address: host:ring-port");
  }
  Status ready = ring->ReadyForChange();
  if (!ready.ok()) return Reply::ErrorText("ERR " + ready.message());
  ring->ChangeMembers(std::move(wish), context.session.Defer());
  return Reply::None();
}

void RingChanges::Begin(RingWish wish, const DeferredReply& client, Node* node, int64_t now_ms) {
  Pending pending{std::move(wish), client, now_ms + kReachMs};
  if (!TryEnd(pending, node)) pending_.push_back(std::move(pending));
}

void RingChanges::Tick(Node* node, int64_t now_ms) {
  std::vector<Pending> waiting;
  waiting.swap(pending_);
  for (Pending& pending : waiting) {
    if (TryEnd(pending, node)) continue;
    if (now_ms < pending.until_ms) {
      pending_.push_back(std::move(pending));
      continue;
    }
    server_.Answer(pending.client,
                   Reply::ErrorText("ERR no blank node answers at " + pending.wish.joining +
                                    ". Start it with an empty data directory and a ring-port, and "
                                    "name its ring address (host:ring-port)"));
  }
}

bool RingChanges::TryEnd(const Pending& pending, Node* node) {
  const RingWish& wish = pending.wish;
  const RingDocument& document = node->document();
  RingChange change{.kind = wish.kind, .joining = {}, .leaving = {}};
  if (wish.kind != RingChangeKind::kJoin) {
    std::optional<MemberIndex> found = document.Find(std::string_view(wish.leaving));
    if (!found) {
      server_.Answer(pending.client, Reply::ErrorText("ERR no node of this ring is '" +
                                                      wish.leaving + "': see RING.NODES"));
      return true;
    }
    change.leaving = document.members[*found].id;
  }
  if (wish.kind != RingChangeKind::kLeave) {
    const Member* candidate = node->FindCandidate(wish.joining);
    if (!candidate) {
      std::optional<MemberIndex> known = document.Find(std::string_view(wish.joining));
      if (!known || !document.members[*known].takes_replicas()) return false;
      change.joining = document.members[*known];  // which says that it is in the ring already
    } else {
      change.joining = *candidate;
    }
  }
  Carry(change, pending, node);
  return true;
}

void RingChanges::Carry(const RingChange& change, const Pending& pending, Node* node) {
  const RingDocument& document = node->document();
  Result<RingPlan> plan =
      PlanChange(document, change,
                 server_.has_engine() ? PartitionBytes(server_.engine(), document.partitions())
                                      : std::vector<uint64_t>());
  if (!plan.ok()) {
    server_.Answer(pending.client, Reply::ErrorText("ERR " + plan.status().message()));
    return;
  }
  if (!pending.wish.commit) {
    server_.Answer(pending.client, PlanReply(*plan));
    return;
  }
  Server& server = server_;
  node->ChangeMembers(change, [&server, client = pending.client](const Status& status) {
    server.Answer(client, status.ok() ? Reply::Ok() : Reply::ErrorText("ERR " + status.message()));
  });
}

}  // namespace redynamo
