// SPDX-License-Identifier: Apache-2.0
// INFO's section of the ring. On a ring of one it is one line.
#include <algorithm>

#include "server/info_sections.h"
#include "server/ring.h"

namespace redynamo {

namespace {

void WriteReplication(const Node& node, InfoWriter& out) {
  if (const FreshReads* reads = node.fresh_reads()) {
    out.Field("ring_reads_compared", reads->stats().reads);
    out.Field("ring_reads_agreed", reads->stats().agreed);
    out.Field("ring_reads_repaired", reads->stats().repaired);
    out.Field("ring_reads_failed", reads->stats().failed);
  }
  out.Field("ring_partitions", node.document().partitions());
  if (const FreshPartitions* reads = node.fresh_partitions()) {
    out.Field("ring_shares_compared", reads->stats().asked);
    out.Field("ring_partitions_compared", reads->stats().compared);
    out.Field("ring_partitions_pulled", reads->stats().pulled);
    out.Field("ring_shares_failed", reads->stats().failed);
  }
  if (const Exchange* exchange = node.exchange()) {
    out.Field("ring_pulls", exchange->stats().pulls);
    out.Field("ring_pulled_dots", exchange->stats().pulled_dots);
    out.Field("ring_pulled_bytes", exchange->stats().pulled_bytes);
    out.Field("ring_served_pulls", exchange->stats().served_pulls);
    out.Field("ring_served_bytes", exchange->stats().served_bytes);
    out.Field("ring_serving_bytes_per_sec_max", node.serving_pace().bytes_per_s());
    out.Field("ring_write_p99_ms", node.serving_pace().p99_ms());
    out.Field("ring_need_full", exchange->stats().need_full);
    out.Field("ring_full_syncs", exchange->stats().full_syncs);
    out.Field("ring_full_bytes", exchange->stats().full_bytes);
  }
  if (const Guests* guests = node.guests()) {
    out.Field("ring_hint_partitions", guests->partitions());
    out.Field("ring_hint_bytes", guests->bytes());
    out.Field("ring_hints_taken", guests->taken());
    out.Field("ring_hint_partitions_released", guests->released());
  }
  out.Field("ring_hints_sent", node.pending_writes().hints_sent());
  if (node.transfer()) out.Field("ring_partitions_to_fetch", node.transfer()->running());
  if (const Merkle* merkle = node.merkle()) {
    const MerkleStats& trees = merkle->stats();
    out.Field("ring_tree_rounds", trees.rounds);
    out.Field("ring_tree_equal", trees.equal);
    out.Field("ring_tree_put_off", trees.put_off);
    out.Field("ring_tree_leaves_compared", trees.leaves_compared);
    out.Field("ring_tree_leaves_skipped", trees.leaves_skipped);
    out.Field("ring_tree_mismatches", trees.mismatches);
    out.Field("ring_tree_repaired", trees.repaired);
    out.Field("ring_tree_rewritten", trees.rewritten);
    out.Field("ring_tree_undecided", trees.undecided);
    out.Field("ring_tree_rebuilt_leaves", trees.rebuilt_leaves);
    out.Field("ring_tree_bytes_in", trees.bytes_received);
    out.Field("ring_tree_bytes_out", trees.bytes_sent);
  }
}

void WriteHealth(const Node& node, InfoWriter& out) {
  const FailureDetector* detector = node.detector();
  if (!detector) return;
  auto in_state = [&](wire::MemberState state) {
    return std::ranges::count_if(node.document().members, [&](const Member& member) {
      return member.in_ring() && detector->OpinionOf(member.id.bytes).state == state;
    });
  };
  out.Field("ring_nodes_suspect", in_state(wire::MemberState::kSuspect));
  out.Field("ring_nodes_down", in_state(wire::MemberState::kDown));
  out.Field("ring_probes_by_others", detector->stats().probes);
  out.Field("ring_suspicions", detector->stats().suspected);
  out.Field("ring_suspicions_refuted", detector->stats().refuted);
  out.Field("ring_awareness", detector->awareness());
}

}  // namespace

void WriteRingSection(const InfoSource& source, InfoWriter& out) {
  Ring* ring = source.server.ring();
  out.Field("ring_formed", int(ring && ring->formed()));
  if (!ring) return;
  const Node& node = ring->node();
  LinkStats links = ring->links().Stats();
  if (ring->formed()) {
    out.Field("ring_id", Id128Digits(node.document().cluster_id));
    out.Field("ring_epoch", node.document().epoch);
    const RingDocument& document = node.document();
    out.Field("ring_nodes", std::ranges::count_if(document.members, &Member::in_ring));
    out.Field("ring_member", int(!node.removed()));
    out.Field("ring_partitions_moving",
              std::ranges::count_if(document.views, [](const View& v) { return !v.settled(); }));
    out.Field("ring_reads_needed", node.options().r);
    out.Field("ring_writes_needed", node.options().w);
  }
  out.Field("ring_links_up", links.links_up);
  out.Field("ring_links_lost", links.links_lost);
  out.Field("ring_bytes_in", links.bytes_in);
  out.Field("ring_bytes_out", links.bytes_out);
  out.Field("ring_events_dropped", links.dropped_events);
  out.Field("ring_unsettled_writes", node.pending_writes().unsettled());
  out.Field("ring_unsettled_bytes", node.pending_writes().kept_bytes());
  out.Field("ring_quorum_failures", ring->quorum_failures());
  out.Field("ring_events_joined", node.events_joined());
  out.Field("ring_forwards", node.forwards_sent());
  WriteHealth(node, out);
  WriteReplication(node, out);
  out.Field("ring_messages_published", ring->pubsub().sent());
  out.Field("ring_messages_dropped", ring->pubsub().dropped());
  out.Field("ring_messages_heard", ring->pubsub().received());
  if (!source.server.has_engine()) return;
  DotIndexStats dots = source.server.engine().DotStats();
  out.Field("ring_indexed_dots", dots.dots);
  out.Field("ring_indexed_bytes", dots.bytes);
  out.Field("ring_dropped_dots", dots.dropped);
}

}  // namespace redynamo
