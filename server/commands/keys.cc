// SPDX-License-Identifier: Apache-2.0
// Keys of whatever type: removing, renaming, copying, asking. Deadlines are in expire.cc.
#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr std::string_view kSameObject = "ERR source and destination objects are the same";

Reply Del(CommandContext& ctx, ArgReader& args) {
  int64_t removed = 0;
  for (std::string_view key : args.rest()) {
    if (!ctx.keys.Peek(key).Remove()) continue;
    NotifyRemoved(ctx, key);
    removed++;
  }
  if (removed > 0) ctx.CountChange(uint64_t(removed));
  return Reply::Integer(removed);
}

Reply Exists(CommandContext& ctx, ArgReader& args) {
  int64_t found = 0;
  for (std::string_view key : args.rest()) found += PeekKey(ctx, key).exists();
  return Reply::Integer(found);
}

Reply Touch(CommandContext& ctx, ArgReader& args) {
  int64_t found = 0;
  Keyspace keys = ctx.keys.RenewingAccess(true);  // CLIENT NO-TOUCH is not meant for this one
  for (std::string_view key : args.rest()) {
    bool exists = keys.Find(key).exists();
    ctx.CountLookup(key, exists);
    found += exists;
  }
  return Reply::Integer(found);
}

Reply Type(CommandContext& ctx, ArgReader& args) {
  return Reply::StaticStatus(ObjectTypeName(PeekKey(ctx, args.Next()).type()));
}

// RENAME and RENAMENX: whether it took place, or the error.
Reply RenameTo(CommandContext& ctx, ArgReader& args, bool only_if_free, Reply done,
               Reply not_done) {
  std::string_view from = args.Next();
  std::string_view to = args.Next();
  if (!ctx.keys.Find(from).exists()) return Reply::Error("ERR no such key");
  if (from == to) return only_if_free ? std::move(not_done) : std::move(done);
  if (only_if_free && ctx.keys.Peek(to).exists()) return not_done;
  ctx.keys.Copy(from, ctx.keys.database(), to);
  ctx.keys.Peek(from).Remove();
  NotifyNew(ctx, to);
  ctx.Notify(kNotifyGeneric, "rename_from", from);
  ctx.Notify(kNotifyGeneric, "rename_to", to);
  ctx.CountChange();
  return done;
}

Reply Rename(CommandContext& ctx, ArgReader& args) {
  return RenameTo(ctx, args, /*only_if_free=*/false, Reply::Ok(), Reply::Ok());
}
Reply RenameNx(CommandContext& ctx, ArgReader& args) {
  return RenameTo(ctx, args, /*only_if_free=*/true, Reply::Integer(1), Reply::Integer(0));
}

Reply Copy(CommandContext& ctx, ArgReader& args) {
  std::string_view from = args.Next();
  std::string_view to = args.Next();
  int database = ctx.keys.database();
  bool replace = false;
  while (args.ok() && !args.done()) {
    if (args.TryWord("REPLACE")) {
      replace = true;
    } else if (args.remaining() >= 2 && args.TryWord("DB")) {
      database = ReadDatabase(ctx, args);
    } else {
      args.FailSyntax();
    }
  }
  if (!args.ok()) return args.error();
  if (database != ctx.keys.database() && ctx.session.identity.cluster_client) {
    return Reply::Error("ERR Copying to another database is not allowed in cluster mode");
  }
  if (database == ctx.keys.database() && from == to) return Reply::Error(kSameObject);

  KeyView source = ctx.keys.Find(from);
  ctx.CountLookup(from, source.exists());
  if (!source.exists()) return Reply::Integer(0);
  if (!replace && ctx.keys.In(database).Peek(to).exists()) return Reply::Integer(0);
  ctx.keys.Copy(from, database, to);
  ctx.NotifyIn(database, kNotifyNew, "new", to);
  ctx.NotifyIn(database, kNotifyGeneric, "copy_to", to);
  ctx.CountChange();
  return Reply::Integer(1);
}

Reply Move(CommandContext& ctx, ArgReader& args) {
  if (ctx.session.identity.cluster_client) {
    return Reply::Error("ERR MOVE is not allowed in cluster mode");
  }
  std::string_view key = args.Next();
  int database = ReadDatabase(ctx, args);
  if (!args.ok()) return args.error();
  if (database == ctx.keys.database()) return Reply::Error(kSameObject);
  if (!ctx.keys.Find(key).exists()) return Reply::Integer(0);
  if (ctx.keys.In(database).Peek(key).exists()) return Reply::Integer(0);
  ctx.keys.Copy(key, database, key);
  ctx.keys.Peek(key).Remove();
  ctx.NotifyIn(database, kNotifyNew, "new", key);
  ctx.Notify(kNotifyGeneric, "move_from", key);
  ctx.NotifyIn(database, kNotifyGeneric, "move_to", key);
  ctx.CountChange();
  return Reply::Integer(1);
}

// COPY from to DB 3: the key `to` of database 3.
void CopyOtherKeys(std::span<const std::string_view> argv, std::vector<KeyRef>* keys) {
  for (size_t i = 3; i + 1 < argv.size(); i++) {
    int64_t database;
    if (!EqualsIgnoreCase(argv[i], "DB") || !ParseInt64(argv[i + 1], &database)) continue;
    if (database == int(database)) keys->push_back({int(database), argv[2]});
  }
}

void MoveOtherKeys(std::span<const std::string_view> argv, std::vector<KeyRef>* keys) {
  int64_t database;
  if (!ParseInt64(argv[2], &database) || database != int(database)) return;
  keys->push_back({int(database), argv[1]});
}

// COPY, RENAME and RENAMENX; MOVE keeps the name.
uint64_t TransferLogBytes(CommandContext& ctx) {
  return CopyLogBytes(ctx, ctx.argv[1], std::max(ctx.argv[1].size(), ctx.argv[2].size()));
}

constexpr ElementArgs kAllOfSource = {0, 0, 0, ElementUse::kFirst};
constexpr std::string_view kCostOfKeys = "O(N) where N is the number of keys";
constexpr std::string_view kCostOfCopy =
    "O(N) where N is the number of elements, O(1) for a string";
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"copy", -3, kWrite | kDenyOom, 1, 2, 1, kReadWrite, Copy, "generic", "6.2.0", kCostOfCopy,
     "Copies a key's value and deadline to another key", kAllOfSource, nullptr, CopyOtherKeys,
     nullptr, TransferLogBytes},
    {"del", -2, kWrite, 1, -1, 1, kRemove, Del, "generic", "1.0.0", kCostOfKeys,
     "Removes keys and gives the number of those that existed"},
    {"exists", -2, kReadonly | kFast, 1, -1, 1, kRead, Exists, "generic", "1.0.0", kCostOfKeys,
     "Counts the keys that exist, each as often as it is named"},
    {"move", 3, kWrite | kFast, 1, 1, 1, kReadWrite, Move, "generic", "1.0.0", kCostOfCopy,
     "Moves a key to another database", kAllOfSource, nullptr, MoveOtherKeys, nullptr,
     TransferLogBytes},
    {"rename", 3, kWrite, 1, 2, 1, kReadWrite, Rename, "generic", "1.0.0", kCostOfCopy,
     "Renames a key, replacing one that has the new name", kAllOfSource, nullptr, nullptr, nullptr,
     TransferLogBytes},
    {"renamenx", 3, kWrite | kFast, 1, 2, 1, kReadWrite, RenameNx, "generic", "1.0.0", kCostOfCopy,
     "Renames a key if no other has the new name", kAllOfSource, nullptr, nullptr, nullptr,
     TransferLogBytes},
    {"touch", -2, kReadonly | kFast, 1, -1, 1, kRead, Touch, "generic", "3.2.1", kCostOfKeys,
     "Marks keys as used and counts those that exist"},
    {"type", 2, kReadonly | kFast, 1, 1, 1, kRead, Type, "generic", "1.0.0", "O(1)",
     "Gives the type of a key's value"},
    {"unlink", -2, kWrite | kFast, 1, -1, 1, kRemove, Del, "generic", "4.0.0", kCostOfKeys,
     "Removes keys; their memory is given back later"},
};

}  // namespace

std::span<const CommandRow> KeyCommands() { return kRows; }

}  // namespace redynamo
