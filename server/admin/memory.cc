// SPDX-License-Identifier: Apache-2.0
// MEMORY: where it is.
#include "base/number.h"
#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/memory_report.h"

namespace redynamo {
namespace {

// What a key costs is known, so SAMPLES is read and has no effect.
Reply MemoryUsage(CommandContext& context, ArgReader& args) {
  std::string_view key = args.Next();
  while (!args.done()) {
    if (args.remaining() < 2 || !args.TryWord("SAMPLES")) return SyntaxError();
    int64_t samples = args.Int64();
    if (!args.ok()) return args.error();
    if (samples < 0) return SyntaxError();
  }
  KeyView view = context.keys.Peek(key);
  return view.exists() ? Reply::Integer(int64_t(view.memory_bytes())) : Reply::Nil();
}

MemoryReport Report(CommandContext& context) {
  Server& server = context.server;
  return MakeMemoryReport(server, server.has_engine() ? server.engine().Stats() : EngineStats());
}

void AddDatabases(Server& server, Reply* map) {
  for (int database = 0; server.has_engine() && database < server.config().databases; database++) {
    if (server.engine().Database(database).size() == 0) continue;
    // Tables are not kept apart by duty here: what they cost is in each key's MEMORY USAGE.
    Reply overhead = Reply::Map();
    overhead.AddView("overhead.hashtable.main").AddInteger(0);
    overhead.AddView("overhead.hashtable.expires").AddInteger(0);
    overhead.AddView("overhead.hashtable.slot-to-keys").AddInteger(0);
    map->AddBulk("db." + FormatInt64(database)).Add(std::move(overhead));
  }
}

Reply MemoryStats(CommandContext& context, ArgReader&) {
  MemoryReport memory = Report(context);
  Reply map = Reply::Map();
  auto bytes = [&map](std::string_view name, int64_t value) {
    map.AddView(name).AddInteger(value);
  };
  auto ratio = [&map](std::string_view name, double value) {
    map.AddView(name).Add(Reply::Double(value));
  };
  bytes("peak.allocated", int64_t(memory.peak));
  bytes("total.allocated", int64_t(memory.used));
  bytes("startup.allocated", int64_t(memory.startup));
  bytes("replication.backlog", 0);
  bytes("clients.slaves", 0);
  bytes("clients.normal", int64_t(memory.clients));
  bytes("cluster.links", 0);
  bytes("aof.buffer", int64_t(memory.log_buffer));
  bytes("lua.caches", 0);
  bytes("functions.caches", 0);
  AddDatabases(context.server, &map);
  bytes("overhead.total", int64_t(memory.overhead()));
  bytes("keys.count", int64_t(memory.keys));
  bytes("keys.bytes-per-key", int64_t(memory.BytesPerKey()));
  bytes("dataset.bytes", int64_t(memory.dataset()));
  ratio("dataset.percentage", memory.DatasetPercent());
  ratio("peak.percentage", memory.PeakPercent());
  bytes("allocator.allocated", int64_t(memory.allocator.allocated));
  bytes("allocator.active", int64_t(memory.allocator.active));
  bytes("allocator.resident", int64_t(memory.allocator.resident));
  ratio("allocator-fragmentation.ratio", memory.AllocatorFragmentation());
  bytes("allocator-fragmentation.bytes",
        int64_t(memory.allocator.active - memory.allocator.allocated));
  ratio("allocator-rss.ratio", memory.AllocatorResidentRatio());
  bytes("allocator-rss.bytes", int64_t(memory.allocator.resident - memory.allocator.active));
  ratio("rss-overhead.ratio", memory.ResidentOverheadRatio());
  bytes("rss-overhead.bytes", memory.ResidentOverheadBytes());
  ratio("fragmentation", memory.Fragmentation());
  bytes("fragmentation.bytes", memory.FragmentationBytes());
  return map;
}

Reply MemoryDoctor(CommandContext& context, ArgReader&) {
  return Reply::Verbatim(DiagnoseMemory(Report(context), context.server.config().maxmemory_bytes));
}

Reply MemoryPurge(CommandContext&, ArgReader&) {
  return PurgeAllocator() ? Reply::Ok() : Reply::Error("ERR Error purging dirty pages");
}

Reply MemoryMallocStats(CommandContext&, ArgReader&) {
  std::string report = AllocatorReport();
  if (!report.empty()) return Reply::Verbatim(std::move(report));
  return Reply::Bulk("Stats not supported for the current allocator");
}

Reply MemoryHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "MEMORY <subcommand> [<arg> ...]. Subcommands are:",
      "DOCTOR",
      "    What is wrong with the memory, if anything is.",
      "MALLOC-STATS",
      "    The allocator's own report.",
      "PURGE",
      "    Gives unused pages back to the system.",
      "STATS",
      "    Where the memory is.",
      "USAGE <key> [SAMPLES <count>]",
      "    Bytes that a key takes in memory, exactly: SAMPLES has no effect.",
  });
}

constexpr CommandRow kRows[] = {
    {"memory", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "server", "4.0.0",
     "Depends on subcommand.", "Where the memory is"},
    {"memory|doctor", 2, 0, 0, 0, 0, KeyAccess::kNone, MemoryDoctor, "server", "4.0.0", "O(1)",
     "Says what is wrong with the memory"},
    {"memory|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, MemoryHelp, "server", "4.0.0",
     "O(1)", "Explains the subcommands"},
    {"memory|malloc-stats", 2, 0, 0, 0, 0, KeyAccess::kNone, MemoryMallocStats, "server", "4.0.0",
     "Depends on how much memory is allocated, could be slow", "The allocator's report"},
    {"memory|purge", 2, 0, 0, 0, 0, KeyAccess::kNone, MemoryPurge, "server", "4.0.0",
     "Depends on how much memory is allocated, could be slow", "Gives unused pages back"},
    {"memory|stats", 2, 0, 0, 0, 0, KeyAccess::kNone, MemoryStats, "server", "4.0.0", "O(1)",
     "Where the memory is"},
    {"memory|usage", -3, kReadonly, 2, 2, 1, KeyAccess::kRead, MemoryUsage, "server", "4.0.0",
     "O(1)", "Bytes that a key takes in memory"},
};

}  // namespace

std::span<const CommandRow> MemoryCommands() { return kRows; }

}  // namespace redynamo
