// SPDX-License-Identifier: Apache-2.0
// Walks over the keys of a database: SCAN, KEYS, RANDOMKEY.
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/scan_options.h"

namespace redynamo {
namespace {

// KEYS asks for so many keys a step, which bounds what one step keeps of the disk's rows.
constexpr uint64_t kKeysStep = 4096;

Reply Scan(CommandContext& ctx, ArgReader& args) {
  uint64_t cursor = ReadCursor(args);
  if (!args.ok()) return args.error();
  ScanOptions options = ReadScanOptions(args, /*with_type=*/true);
  if (!args.ok()) return args.error();
  Reply keys = Reply::Array();
  cursor = ctx.keys.Scan(cursor, options.count, [&](const KeyView& view) {
    if (!options.Matches(view.key())) return;
    if (options.type_name && !EqualsIgnoreCase(*options.type_name, ObjectTypeName(view.type()))) {
      return;
    }
    keys.AddBulk(std::string(view.key()));
  });
  return ScanReply(cursor, std::move(keys));
}

Reply Keys(CommandContext& ctx, ArgReader& args) {
  ScanOptions options;
  options.pattern = args.Next();
  if (*options.pattern == "*") options.pattern.reset();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  Reply keys = Reply::Array();
  uint64_t cursor = 0;
  do {
    cursor = ctx.keys.Scan(cursor, kKeysStep, [&](const KeyView& view) {
      if (options.Matches(view.key())) keys.AddView(scratch.Keep(view.key()));
    });
  } while (cursor != 0);
  return keys;
}

Reply RandomKey(CommandContext& ctx, ArgReader&) {
  std::optional<std::string> key = ctx.keys.RandomKey(ctx.random);
  return key ? Reply::Bulk(std::move(*key)) : Reply::Nil();
}

constexpr uint32_t kFlags = kReadonly | kWholeDatabase;

constexpr CommandRow kRows[] = {
    {"keys", 2, kFlags, 0, 0, 0, KeyAccess::kNone, Keys, "generic", "1.0.0",
     "O(N) where N is the number of keys of the database", "Gives all keys that match a pattern"},
    {"randomkey", 1, kFlags, 0, 0, 0, KeyAccess::kNone, RandomKey, "generic", "1.0.0", "O(1)",
     "Gives a random key of the database"},
    {"scan", -2, kFlags, 0, 0, 0, KeyAccess::kNone, Scan, "generic", "2.8.0",
     "O(1) for each call, O(N) for a whole iteration over N keys",
     "Iterates over the keys of the database"},
};

}  // namespace

std::span<const CommandRow> ScanCommands() { return kRows; }

}  // namespace redynamo
