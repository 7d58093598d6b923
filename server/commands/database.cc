// SPDX-License-Identifier: Apache-2.0
// Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB; and the waits of replication, which a ring of
// one node answers at once.
#include <cmath>
#include <limits>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply DbSize(CommandContext& ctx, ArgReader&) { return Reply::Integer(int64_t(ctx.keys.size())); }

// ASYNC and SYNC are one to us: keys are gone at once, space comes back in the background.
bool ReadFlushMode(ArgReader& args) {
  if (args.done()) return true;
  bool known = args.TryWord("ASYNC") || args.TryWord("SYNC");
  return known && args.done();
}

void Clear(CommandContext& ctx, int database) {
  Keyspace keys = ctx.keys.In(database);
  ctx.CountChange(keys.size());
  keys.Clear();
}

Reply FlushDb(CommandContext& ctx, ArgReader& args) {
  if (!ReadFlushMode(args)) return SyntaxError();
  Clear(ctx, ctx.keys.database());
  return Reply::Ok();
}

Reply FlushAll(CommandContext& ctx, ArgReader& args) {
  if (!ReadFlushMode(args)) return SyntaxError();
  for (int i = 0; i < ctx.server.config().databases; i++) Clear(ctx, i);
  return Reply::Ok();
}

uint64_t FlushDbLogBytes(CommandContext& ctx) {
  return ctx.server.engine().ClearLogBytes(ctx.keys.database());
}

uint64_t FlushAllLogBytes(CommandContext& ctx) {
  uint64_t bytes = 0;
  for (int i = 0; i < ctx.server.config().databases; i++) {
    bytes += ctx.server.engine().ClearLogBytes(i);
  }
  return bytes;
}

Reply SwapDb(CommandContext& ctx, ArgReader& args) {
  if (ctx.session.identity.cluster_client) {
    return Reply::Error("ERR SWAPDB is not allowed in cluster mode");
  }
  constexpr int64_t kMin = std::numeric_limits<int>::min();
  constexpr int64_t kMax = std::numeric_limits<int>::max();
  int64_t first = args.Int64In(kMin, kMax, "ERR invalid first DB index");
  int64_t second = args.Int64In(kMin, kMax, "ERR invalid second DB index");
  if (!args.ok()) return args.error();
  int64_t databases = ctx.server.config().databases;
  if (first < 0 || second < 0 || first >= databases || second >= databases) {
    return Reply::Error("ERR DB index is out of range");
  }
  if (first != second) {
    // A key that is on disk only counts as there: a transaction may fail for nothing, never pass.
    auto exists = [&](std::string_view key) {
      for (int database : {int(first), int(second)}) {
        KeyRef ref{database, key, ElementNeed::kNone};
        if (!ctx.server.engine().Resident({&ref, 1})) return true;
        if (ctx.keys.In(database).Peek(key).exists()) return true;
      }
      return false;
    };
    ctx.server.watches().DatabasesSwapped(int(first), int(second), exists);
    ctx.server.engine().SwapDatabases(int(first), int(second));
  }
  ctx.CountChange();
  return Reply::Ok();
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"dbsize", 1, kReadonly | kFast | kWholeDatabase, 0, 0, 0, kNone, DbSize, "server", "1.0.0",
     "O(1)", "Gives the number of keys of the database"},
    {"flushall",
     -1,
     kWrite | kWholeDatabase,
     0,
     0,
     0,
     kNone,
     FlushAll,
     "server",
     "1.0.0",
     "O(N) where N is the number of keys of all databases",
     "Removes all keys of all databases",
     {},
     nullptr,
     nullptr,
     nullptr,
     FlushAllLogBytes},
    {"flushdb",
     -1,
     kWrite | kWholeDatabase,
     0,
     0,
     0,
     kNone,
     FlushDb,
     "server",
     "1.0.0",
     "O(N) where N is the number of keys of the database",
     "Removes all keys of the database",
     {},
     nullptr,
     nullptr,
     nullptr,
     FlushDbLogBytes},
    {"swapdb", 3, kWrite | kFast | kWholeDatabase, 0, 0, 0, kNone, SwapDb, "server", "4.0.0",
     "O(N) where N is the number of clients that watch keys of either",
     "Exchanges two databases for all clients"},
};

}  // namespace

std::span<const CommandRow> DatabaseCommands() { return kRows; }

}  // namespace redynamo
