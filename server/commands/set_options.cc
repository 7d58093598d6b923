// SPDX-License-Identifier: Apache-2.0
#include "server/commands/set_options.h"

#include <limits>

#include "base/number.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

struct UnitWord {
  std::string_view word;
  DeadlineUnit unit;
};
constexpr UnitWord kUnitWords[] = {{"EX", DeadlineUnit::kEx},
                                   {"PX", DeadlineUnit::kPx},
                                   {"EXAT", DeadlineUnit::kExAt},
                                   {"PXAT", DeadlineUnit::kPxAt}};

// Takes "EX 10" and its kin. The same unit may come again; another one may not.
bool TryDeadline(ArgReader& args, SetOptions* options) {
  if (options->keep_ttl || options->persist || args.remaining() < 2) return false;
  for (const UnitWord& unit_word : kUnitWords) {
    bool allowed = options->unit == DeadlineUnit::kNone || options->unit == unit_word.unit;
    if (!allowed || !args.TryWord(unit_word.word)) continue;
    options->unit = unit_word.unit;
    options->deadline = args.Next();
    return true;
  }
  return false;
}

bool TryFlag(ArgReader& args, std::string_view word, bool allowed, bool* flag) {
  if (!allowed || !args.TryWord(word)) return false;
  *flag = true;
  return true;
}

}  // namespace

SetOptions ReadSetOptions(ArgReader& args) {
  SetOptions options;
  while (args.ok() && !args.done()) {
    bool no_deadline = options.unit == DeadlineUnit::kNone;
    bool taken =
        TryFlag(args, "NX", !options.xx, &options.nx) ||
        TryFlag(args, "XX", !options.nx, &options.xx) || TryFlag(args, "GET", true, &options.get) ||
        TryFlag(args, "KEEPTTL", no_deadline, &options.keep_ttl) || TryDeadline(args, &options);
    if (!taken) args.FailSyntax();
  }
  return options;
}

SetOptions ReadGetexOptions(ArgReader& args) {
  SetOptions options;
  while (args.ok() && !args.done()) {
    bool no_deadline = options.unit == DeadlineUnit::kNone;
    bool taken =
        TryFlag(args, "PERSIST", no_deadline, &options.persist) || TryDeadline(args, &options);
    if (!taken) args.FailSyntax();
  }
  return options;
}

bool ReadDeadline(const CommandContext& ctx, DeadlineUnit unit, std::string_view text,
                  int64_t* at_ms, Reply* error) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t value;
  if (!ParseInt64(text, &value)) {
    *error = Reply::Error(kNotInteger);
    return false;
  }
  bool seconds = unit == DeadlineUnit::kEx || unit == DeadlineUnit::kExAt;
  bool from_now = unit == DeadlineUnit::kEx || unit == DeadlineUnit::kPx;
  bool fits = value > 0 && (!seconds || value <= kMax / 1000);
  if (fits && seconds) value *= 1000;
  if (fits && from_now) fits = !__builtin_add_overflow(value, ctx.now_ms, &value);
  if (!fits) {
    *error = ExpireTimeError(ctx);
    return false;
  }
  *at_ms = value;
  return true;
}

}  // namespace redynamo
