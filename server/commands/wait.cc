// SPDX-License-Identifier: Apache-2.0
// WAIT and WAITAOF: until other replicas, or disks, have what a connection has written.
#include <limits>

#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/replica_waits.h"
#include "server/ring.h"
#include "server/server.h"

namespace redynamo {
namespace {

int64_t ReadTimeout(ArgReader& args) {
  int64_t timeout_ms = args.Int64("ERR timeout is not an integer or out of range");
  if (args.ok() && timeout_ms < 0) args.Fail("ERR timeout is negative");
  return timeout_ms;
}

// The ring's part; null when this node is alone.
ReplicaWaits* WaitsOf(CommandContext& context) {
  Ring* ring = context.server.ring();
  return ring && ring->several() ? &ring->waits() : nullptr;
}

// Of the monotonic clock; 0: for ever.
int64_t UntilMs(CommandContext& context, int64_t timeout_ms) {
  return timeout_ms > 0 ? context.server.clock().MonotonicUs() / 1000 + timeout_ms : 0;
}

}  // namespace

Reply Wait(CommandContext& context, ArgReader& args) {
  ReplicaWaits::Wish wish;
  wish.replicas = args.Int64();
  int64_t timeout_ms = ReadTimeout(args);
  if (!args.ok()) return args.error();
  ReplicaWaits* waits = WaitsOf(context);
  if (!waits) return Reply::Integer(0);  // waiting for others would be in vain
  if (context.session.transaction.running) return waits->Now(false);
  wish.until_ms = UntilMs(context, timeout_ms);
  return waits->Start(context.session, wish);
}

Reply WaitAof(CommandContext& context, ArgReader& args) {
  ReplicaWaits::Wish wish{.on_disk = true};
  wish.local = args.Int64();
  if (args.ok() && (wish.local < 0 || wish.local > 1)) {
    args.Fail("ERR value is out of range, value must between 0 and 1");
  }
  wish.replicas = args.Int64In(0, std::numeric_limits<int64_t>::max(), kNotPositive);
  int64_t timeout_ms = ReadTimeout(args);
  if (args.ok() && timeout_ms > std::numeric_limits<int64_t>::max() - context.now_ms) {
    args.Fail("ERR timeout is out of range");
  }
  if (!args.ok()) return args.error();
  Session& session = context.session;
  if (ReplicaWaits* waits = WaitsOf(context)) {
    if (session.transaction.running) return waits->Now(true);
    wish.until_ms = UntilMs(context, timeout_ms);
    return waits->Start(session, wish);
  }
  uint64_t position = session.output.last_position();
  if (session.transaction.running) position = context.server.engine().NewestPosition();
  bool synced = context.server.engine().SyncedPosition() >= position;
  if (synced || wish.local == 0 || session.transaction.running) return SyncWaits::Answer(synced);
  int64_t until_ms = timeout_ms > 0 ? context.now_ms + timeout_ms : 0;
  context.server.sync_waits().Add(session.Defer(), position, until_ms);
  return Reply::None();
}

namespace {

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"wait", 3, kNoScript, 0, 0, 0, kNone, Wait, "generic", "3.0.0", "O(1)",
     "Waits until other nodes have this connection's writes"},
    {"waitaof", 4, kNoScript, 0, 0, 0, kNone, WaitAof, "generic", "7.2.0", "O(1)",
     "Waits until this connection's writes are on disk, here and on other nodes"},
};

}  // namespace

std::span<const CommandRow> WaitCommands() { return kRows; }

}  // namespace redynamo
