// SPDX-License-Identifier: Apache-2.0
#include "server/ring_changes.h"

#include <algorithm>
#include <utility>

#include "cluster/message_kind.h"
#include "cluster/node.h"
#include "server/ring.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr int64_t kReachMs = 5000;  // for a node that is to join

bool Joins(RingChangeKind kind) {
  return kind == RingChangeKind::kJoin || kind == RingChangeKind::kReplace;
}

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
  if (std::max(wish.joining.size(), wish.leaving.size()) > kAddressBytesMax) {
    return Reply::Error("ERR a node is named by its 40 digits or its ring address, host:ring-port");
  }
  RingAddress address;
  if (Joins(wish.kind) && !RingAddress::Parse(wish.joining, &address)) {
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
  std::erase_if(arriving_, [&](const Arriving& one) {
    // It is decided, whether the node hears of it now or later.
    if (node->EpochOf(one.id) < one.ring_epoch && now_ms < one.until_ms) return false;
    server_.Answer(one.client, Reply::Ok());
    return true;
  });
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
  if (Joins(wish.kind)) {
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
  node->ChangeMembers(change, [this, node, change, client = pending.client](const Status& status) {
    if (!status.ok()) return server_.Answer(client, Reply::ErrorText("ERR " + status.message()));
    if (!Joins(change.kind)) return server_.Answer(client, Reply::Ok());
    int64_t now_ms = server_.clock().MonotonicUs() / 1000;
    arriving_.push_back(
        {change.joining.id.bytes, node->document().epoch, client, now_ms + kReachMs});
  });
}

}  // namespace redynamo
