// SPDX-License-Identifier: Apache-2.0
// Walks over the keys of a database: SCAN, KEYS, RANDOMKEY.
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/scan_options.h"
#include "server/session.h"
#include "storage/key_walk.h"

namespace redynamo {
namespace {

Reply Scan(CommandContext& ctx, ArgReader& args) {
  uint64_t cursor = ReadCursor(args);
  if (!args.ok()) return args.error();
  ScanOptions options = ReadScanOptions(args, /*with_type=*/true);
  if (!args.ok()) return args.error();
  Reply keys = Reply::Array();
  cursor = ctx.keys.Scan(cursor, options.count, [&](const WalkedKey& walked) {
    if (!options.Matches(walked.key)) return;
    if (options.type_name && !EqualsIgnoreCase(*options.type_name, ObjectTypeName(walked.type))) {
      return;
    }
    keys.AddBulk(std::string(walked.key));
  });
  return ScanReply(cursor, std::move(keys));
}

bool ScanWalk(std::span<const std::string_view> argv, KeyWalk* walk) {
  ArgReader args(argv.subspan(1));
  walk->cursor = ReadCursor(args);
  walk->count = ReadScanOptions(args, /*with_type=*/true).count;
  return args.ok();
}

Reply Keys(CommandContext& ctx, ArgReader& args) {
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  Reply keys = Reply::Array();
  ctx.keys.ForEachKey(args.Next(),
                      [&](const WalkedKey& walked) { keys.AddView(scratch.Keep(walked.key)); });
  return keys;
}

bool KeysWalk(std::span<const std::string_view> argv, KeyWalk* walk) {
  *walk = {KeyWalk::Kind::kAll, 0, 0, UINT64_MAX, argv[1]};
  return true;
}

// For another node that puts shares together: the key, and out of how many it was drawn.
Reply RandomKey(CommandContext& ctx, ArgReader&) {
  std::optional<std::string> key = ctx.keys.RandomKey(ctx.random);
  Reply drawn = key ? Reply::Bulk(std::move(*key)) : Reply::Nil();
  if (!ctx.session.share || ctx.session.hops == 0) return drawn;
  Reply counted = Reply::Array();
  counted.AddInteger(int64_t(ctx.keys.size())).Add(std::move(drawn));
  return counted;
}

bool RandomKeyWalk(std::span<const std::string_view>, KeyWalk* walk) {
  *walk = {KeyWalk::Kind::kRandom, 0, 0, 0, {}};
  return true;
}

constexpr uint32_t kFlags = kReadonly | kWholeDatabase;

constexpr CommandRow kRows[] = {
    {.name = "keys",
     .arity = 2,
     .flags = kFlags,
     .first_key = 0,
     .last_key = 0,
     .key_step = 0,
     .access = KeyAccess::kNone,
     .handler = Keys,
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys of the database",
     .summary = "Gives all keys that match a pattern",
     .get_walk = KeysWalk},
    {.name = "randomkey",
     .arity = 1,
     .flags = kFlags,
     .first_key = 0,
     .last_key = 0,
     .key_step = 0,
     .access = KeyAccess::kNone,
     .handler = RandomKey,
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Gives a random key of the database",
     .get_walk = RandomKeyWalk},
    {.name = "scan",
     .arity = -2,
     .flags = kFlags,
     .first_key = 0,
     .last_key = 0,
     .key_step = 0,
     .access = KeyAccess::kNone,
     .handler = Scan,
     .group = "generic",
     .since = "2.8.0",
     .complexity = "O(1) for each call, O(N) for a whole iteration over N keys",
     .summary = "Iterates over the keys of the database",
     .get_walk = ScanWalk},
};

}  // namespace

std::span<const CommandRow> ScanCommands() { return kRows; }

}  // namespace redynamo
