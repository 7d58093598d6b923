// SPDX-License-Identifier: Apache-2.0
// Hashes, the commands that change them. hash_read.cc has those that read.
#include <cmath>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

// Sets all pairs; the number of new fields, or -1 when the key is no hash.
int64_t SetPairs(CommandContext& ctx, std::string_view key,
                 std::span<const std::string_view> pairs) {
  HashView hash = ctx.keys.Hash(key);
  if (hash.wrong_type()) return -1;
  bool created = !hash.exists();
  int64_t added = 0;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    added += hash.Set(pairs[i], pairs[i + 1]);
    if (created) NotifyNew(ctx, key);
    created = false;
  }
  ctx.Notify(kNotifyHash, "hset", key);
  ctx.CountChange(pairs.size() / 2);
  return added;
}

Reply HSet(CommandContext& ctx, ArgReader&) {
  if (ctx.argv.size() % 2 != 0) return ArityError(ctx);
  int64_t added = SetPairs(ctx, ctx.argv[1], ctx.argv.subspan(2));
  return added < 0 ? WrongType() : Reply::Integer(added);
}

Reply HMSet(CommandContext& ctx, ArgReader&) {
  if (ctx.argv.size() % 2 != 0) return ArityError(ctx);
  int64_t added = SetPairs(ctx, ctx.argv[1], ctx.argv.subspan(2));
  return added < 0 ? WrongType() : Reply::Ok();
}

Reply HSetNx(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  std::string_view field = args.Next();
  std::string_view value = args.Next();
  HashView hash = ctx.keys.Hash(key);
  if (hash.wrong_type()) return WrongType();
  bool created = !hash.exists();
  if (!created && hash.Find(field)) return Reply::Integer(0);
  hash.Set(field, value);
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyHash, "hset", key);
  ctx.CountChange();
  return Reply::Integer(1);
}

Reply HDel(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  HashView hash = ctx.keys.Hash(key);
  if (!hash.exists()) return Reply::Integer(0);
  if (hash.wrong_type()) return WrongType();
  int64_t removed = 0;
  for (std::string_view field : args.rest()) {
    if (!hash.exists()) break;
    removed += hash.Remove(field);
  }
  if (removed > 0) {
    ctx.Notify(kNotifyHash, "hdel", key);
    if (!hash.exists()) NotifyRemoved(ctx, key);
    ctx.CountChange(uint64_t(removed));
  }
  return Reply::Integer(removed);
}

Reply HIncrBy(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  std::string_view field = args.Next();
  int64_t increment = args.Int64();
  if (!args.ok()) return args.error();
  HashView hash = ctx.keys.Hash(key);
  if (hash.wrong_type()) return WrongType();
  bool created = !hash.exists();
  Result<int64_t> sum = hash.Add(field, increment);
  if (!sum.ok()) return ViewError(sum.status());
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyHash, "hincrby", key);
  ctx.CountChange();
  return Reply::Integer(*sum);
}

Reply HIncrByFloat(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  std::string_view field = args.Next();
  long double increment = 0;
  if (!ParseLongDouble(args.Next(), &increment)) return Reply::Error(kNotFloat);
  if (!std::isfinite(increment)) return Reply::Error("ERR value is NaN or Infinity");
  HashView hash = ctx.keys.Hash(key);
  if (hash.wrong_type()) return WrongType();
  bool created = !hash.exists();
  long double value = 0;
  if (!created) {
    std::optional<std::string_view> old = hash.Find(field);
    if (old && !ParseLongDouble(*old, &value)) return Reply::Error("ERR hash value is not a float");
  }
  value += increment;
  if (!std::isfinite(value)) return Reply::Error(kIncrementNaN);

  std::string text = FormatLongDouble(value);
  hash.Set(field, text);
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyHash, "hincrbyfloat", key);
  ctx.CountChange();
  return Reply::Bulk(std::move(text));
}

constexpr uint32_t kStores = kWrite | kDenyOom | kFast;
constexpr ElementArgs kOneField = {2, 2, 1};
constexpr ElementArgs kFieldsToEnd = {2, -1, 1};
constexpr ElementArgs kPairsToEnd = {2, -1, 2};
constexpr std::string_view kCostOfFields = "O(N) where N is the number of fields";
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"hdel", -3, kWrite | kFast, 1, 1, 1, kReadWrite, HDel, "hash", "2.0.0", kCostOfFields,
     "Removes fields of a hash, and the key with its last field", kFieldsToEnd},
    {"hincrby", 4, kStores, 1, 1, 1, kReadWrite, HIncrBy, "hash", "2.0.0", "O(1)",
     "Adds a number to an integer field; a missing field counts as 0", kOneField},
    {"hincrbyfloat", 4, kStores, 1, 1, 1, kReadWrite, HIncrByFloat, "hash", "2.6.0", "O(1)",
     "Adds a decimal number to a field; a missing field counts as 0", kOneField},
    {"hmset", -4, kStores, 1, 1, 1, kReadWrite, HMSet, "hash", "2.0.0", kCostOfFields,
     "Sets fields of a hash; an older form of HSET", kPairsToEnd},
    {"hset", -4, kStores, 1, 1, 1, kReadWrite, HSet, "hash", "2.0.0", kCostOfFields,
     "Sets fields of a hash and gives the number of new ones", kPairsToEnd},
    {"hsetnx", 4, kStores, 1, 1, 1, kReadWrite, HSetNx, "hash", "2.0.0", "O(1)",
     "Sets a field of a hash if it does not exist", kOneField},
};

}  // namespace

std::span<const CommandRow> HashCommands() { return kRows; }

}  // namespace redynamo
