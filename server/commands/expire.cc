// SPDX-License-Identifier: Apache-2.0
// Deadlines of keys: EXPIRE, TTL and their kin.
#include <limits>

#include "server/command_families.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

struct ExpireConditions {
  bool nx = false, xx = false, gt = false, lt = false;

  bool Allow(int64_t current_ms, int64_t wanted_ms) const {
    bool forever = current_ms == kNoDeadline;
    if (nx && !forever) return false;
    if (xx && forever) return false;
    if (gt && (forever || wanted_ms <= current_ms)) return false;
    if (lt && !forever && wanted_ms >= current_ms) return false;
    return true;
  }
};

// False: *error says why.
bool ReadConditions(ArgReader& args, ExpireConditions* conditions, Reply* error) {
  while (!args.done()) {
    if (args.TryWord("NX")) {
      conditions->nx = true;
    } else if (args.TryWord("XX")) {
      conditions->xx = true;
    } else if (args.TryWord("GT")) {
      conditions->gt = true;
    } else if (args.TryWord("LT")) {
      conditions->lt = true;
    } else {
      std::string_view shown = args.peek().substr(0, args.peek().find('\0'));  // as Redis cuts it
      *error = Reply::ErrorText("ERR Unsupported option " + std::string(shown));
      return false;
    }
  }
  if (conditions->nx && (conditions->xx || conditions->gt || conditions->lt)) {
    *error = Reply::Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return false;
  }
  if (conditions->gt && conditions->lt) {
    *error = Reply::Error("ERR GT and LT options at the same time are not compatible");
    return false;
  }
  return true;
}

// Milliseconds since 1970 from `value` units after `base_ms`; false when that is beyond 64 bits.
bool ToDeadline(int64_t value, int64_t unit_ms, int64_t base_ms, int64_t* at_ms) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  if (value > kMax / unit_ms || value < kMin / unit_ms) return false;
  return !__builtin_add_overflow(value * unit_ms, base_ms, at_ms);
}

// Redis reads the conditions first, then the time, then looks for the key.
Reply SetExpiry(CommandContext& ctx, ArgReader& args, int64_t unit_ms, int64_t base_ms) {
  std::string_view key = args.Next();
  std::string_view time = args.Next();
  ExpireConditions conditions;
  Reply error;
  if (!ReadConditions(args, &conditions, &error)) return error;
  ArgReader time_reader({&time, 1});
  int64_t value = time_reader.Int64();
  if (!time_reader.ok()) return time_reader.error();
  int64_t at_ms;
  if (!ToDeadline(value, unit_ms, base_ms, &at_ms)) return ExpireTimeError(ctx);

  KeyView view = ctx.keys.Find(key);
  if (!view.exists() || !conditions.Allow(view.deadline_ms(), at_ms)) return Reply::Integer(0);
  if (at_ms <= ctx.now_ms) {
    view.Remove();
    NotifyRemoved(ctx, key);
  } else {
    view.SetDeadline(at_ms);
    ctx.Notify(kNotifyGeneric, "expire", key);
  }
  ctx.CountChange();
  return Reply::Integer(1);
}

Reply Expire(CommandContext& ctx, ArgReader& args) {
  return SetExpiry(ctx, args, 1000, ctx.now_ms);
}
Reply PExpire(CommandContext& ctx, ArgReader& args) { return SetExpiry(ctx, args, 1, ctx.now_ms); }
Reply ExpireAt(CommandContext& ctx, ArgReader& args) { return SetExpiry(ctx, args, 1000, 0); }
Reply PExpireAt(CommandContext& ctx, ArgReader& args) { return SetExpiry(ctx, args, 1, 0); }

Reply Persist(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  KeyView view = ctx.keys.Find(key);
  if (!view.exists() || !view.Persist()) return Reply::Integer(0);
  ctx.Notify(kNotifyGeneric, "persist", key);
  ctx.CountChange();
  return Reply::Integer(1);
}

// -2: no such key; -1: it has no deadline.
Reply Deadline(CommandContext& ctx, ArgReader& args, int64_t unit_ms, int64_t base_ms) {
  KeyView view = PeekKey(ctx, args.Next());
  if (!view.exists()) return Reply::Integer(-2);
  int64_t at_ms = view.deadline_ms();
  if (at_ms == kNoDeadline) return Reply::Integer(-1);
  uint64_t ms = at_ms < base_ms ? 0 : uint64_t(at_ms - base_ms);
  return Reply::Integer(int64_t((ms + uint64_t(unit_ms) / 2) / uint64_t(unit_ms)));
}

Reply Ttl(CommandContext& ctx, ArgReader& args) { return Deadline(ctx, args, 1000, ctx.now_ms); }
Reply PTtl(CommandContext& ctx, ArgReader& args) { return Deadline(ctx, args, 1, ctx.now_ms); }
Reply ExpireTime(CommandContext& ctx, ArgReader& args) { return Deadline(ctx, args, 1000, 0); }
Reply PExpireTime(CommandContext& ctx, ArgReader& args) { return Deadline(ctx, args, 1, 0); }

constexpr uint32_t kSets = kWrite | kFast;
constexpr uint32_t kAsks = kReadonly | kFast;
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"expire", -3, kSets, 1, 1, 1, kReadWrite, Expire, "generic", "1.0.0", "O(1)",
     "Sets a key's time to live in seconds"},
    {"expireat", -3, kSets, 1, 1, 1, kReadWrite, ExpireAt, "generic", "1.2.0", "O(1)",
     "Sets a key's deadline as a Unix time in seconds"},
    {"expiretime", 2, kAsks, 1, 1, 1, kRead, ExpireTime, "generic", "7.0.0", "O(1)",
     "Gives a key's deadline as a Unix time in seconds"},
    {"persist", 2, kSets, 1, 1, 1, kReadWrite, Persist, "generic", "2.2.0", "O(1)",
     "Clears a key's deadline"},
    {"pexpire", -3, kSets, 1, 1, 1, kReadWrite, PExpire, "generic", "2.6.0", "O(1)",
     "Sets a key's time to live in milliseconds"},
    {"pexpireat", -3, kSets, 1, 1, 1, kReadWrite, PExpireAt, "generic", "2.6.0", "O(1)",
     "Sets a key's deadline as a Unix time in milliseconds"},
    {"pexpiretime", 2, kAsks, 1, 1, 1, kRead, PExpireTime, "generic", "7.0.0", "O(1)",
     "Gives a key's deadline as a Unix time in milliseconds"},
    {"pttl", 2, kAsks, 1, 1, 1, kRead, PTtl, "generic", "2.6.0", "O(1)",
     "Gives a key's time to live in milliseconds"},
    {"ttl", 2, kAsks, 1, 1, 1, kRead, Ttl, "generic", "1.0.0", "O(1)",
     "Gives a key's time to live in seconds"},
};

}  // namespace

std::span<const CommandRow> ExpireCommands() { return kRows; }

}  // namespace redynamo
