// SPDX-License-Identifier: Apache-2.0
// RING.QUORUM: how many replicas the requests of this connection shall meet.
#include <algorithm>

#include "server/command_families.h"
#include "server/ring.h"
#include "server/ring_policy.h"
#include "server/server.h"

namespace redynamo {
namespace {

// As requests without a row in ring-policy will go.
Reply InForce(CommandContext& context) {
  const Config& config = context.server.config();
  const Ring* ring = context.server.ring();
  const RequestQuorum& own = context.session.quorum;
  bool sloppy = own.sloppiness == RequestQuorum::kAsRing ? config.ring_sloppy
                                                         : own.sloppiness == RequestQuorum::kSloppy;
  int n = ring && ring->formed() ? ring->node().document().n : 1;
  if (own.n > 0) n = std::min(n, int(own.n));
  Reply map = Reply::Map();
  map.AddView("n").AddInteger(n);
  map.AddView("r").AddInteger(std::min(n, own.r > 0 ? int(own.r) : config.ring_r));
  map.AddView("w").AddInteger(std::min(n, own.w > 0 ? int(own.w) : config.ring_w));
  map.AddView("sloppy").AddView(sloppy ? "yes" : "no");
  return map;
}

Reply RingQuorum(CommandContext& context, ArgReader& args) {
  if (args.done()) return InForce(context);
  RequestQuorum wanted = context.session.quorum;
  if (args.TryWord("reset")) {
    wanted = {};
    if (!args.done()) args.FailSyntax();
  } else if (args.remaining() % 2 != 0) {
    args.FailSyntax();
  }
  if (!args.ok()) return args.error();
  while (!args.done()) {
    std::string_view word = args.Next(), value = args.Next();
    Status status = SetQuorumPart(word, value, &wanted);
    if (!status.ok()) return Reply::ErrorText("ERR " + status.message());
  }
  if (Status status = CheckQuorum(wanted); !status.ok()) {
    return Reply::ErrorText("ERR " + status.message());
  }
  context.session.quorum = wanted;
  return Reply::Ok();
}

constexpr CommandRow kRows[] = {
    {"ring.quorum", -1, kLoading | kStale | kFast | kNoMulti, 0, 0, 0, KeyAccess::kNone, RingQuorum,
     "server", "7.0.0", "O(1)", "How many replicas this connection's requests shall meet"},
};

}  // namespace

std::span<const CommandRow> RingQuorumCommands() { return kRows; }

}  // namespace redynamo
