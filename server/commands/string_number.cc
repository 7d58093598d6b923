// SPDX-License-Identifier: Apache-2.0
// Strings as numbers: INCR and its kin.
#include <cmath>
#include <limits>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

Reply AddTo(CommandContext& ctx, std::string_view key, int64_t increment) {
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  bool created = !view.exists();
  Result<int64_t> sum = view.Add(increment);
  if (!sum.ok()) return ViewError(sum.status());
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyString, "incrby", key);
  ctx.CountChange();
  return Reply::Integer(*sum);
}

Reply Incr(CommandContext& ctx, ArgReader&) { return AddTo(ctx, ctx.argv[1], 1); }
Reply Decr(CommandContext& ctx, ArgReader&) { return AddTo(ctx, ctx.argv[1], -1); }

Reply IncrBy(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  int64_t increment = args.Int64();
  if (!args.ok()) return args.error();
  return AddTo(ctx, key, increment);
}

Reply DecrBy(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  int64_t decrement = args.Int64();
  if (!args.ok()) return args.error();
  if (decrement == std::numeric_limits<int64_t>::min()) {
    return Reply::Error("ERR decrement would overflow");
  }
  return AddTo(ctx, key, -decrement);
}

Reply IncrByFloat(CommandContext& ctx, ArgReader&) {
  std::string_view key = ctx.argv[1];
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  long double value = 0;
  long double increment = 0;
  if (view.exists() && !ParseLongDouble(view.value(), &value)) return Reply::Error(kNotFloat);
  if (!ParseLongDouble(ctx.argv[2], &increment)) return Reply::Error(kNotFloat);
  value += increment;
  if (!std::isfinite(value)) return Reply::Error(kIncrementNaN);

  bool created = !view.exists();
  std::string text = FormatLongDouble(value);
  view.Set(text, DeadlineChange::Keep());
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyString, "incrbyfloat", key);
  ctx.CountChange();
  return Reply::Bulk(std::move(text));
}

constexpr uint32_t kFlags = kWrite | kDenyOom | kFast;
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"decr", 2, kFlags, 1, 1, 1, kReadWrite, Decr, "string", "1.0.0", "O(1)",
     "Takes one from an integer; a missing key counts as 0"},
    {"decrby", 3, kFlags, 1, 1, 1, kReadWrite, DecrBy, "string", "1.0.0", "O(1)",
     "Takes a number from an integer; a missing key counts as 0"},
    {"incr", 2, kFlags, 1, 1, 1, kReadWrite, Incr, "string", "1.0.0", "O(1)",
     "Adds one to an integer; a missing key counts as 0"},
    {"incrby", 3, kFlags, 1, 1, 1, kReadWrite, IncrBy, "string", "1.0.0", "O(1)",
     "Adds a number to an integer; a missing key counts as 0"},
    {"incrbyfloat", 3, kFlags, 1, 1, 1, kReadWrite, IncrByFloat, "string", "2.6.0", "O(1)",
     "Adds a decimal number to a decimal number; a missing key counts as 0"},
};

}  // namespace

std::span<const CommandRow> StringNumberCommands() { return kRows; }

}  // namespace redynamo
