// SPDX-License-Identifier: Apache-2.0
// The options that SET and GETEX share, and deadlines as commands state them.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/command.h"

namespace redynamo {

// How a deadline is written: seconds or milliseconds, from now or since 1970.
enum class DeadlineUnit : uint8_t { kNone, kEx, kPx, kExAt, kPxAt };

struct SetOptions {
  bool nx = false, xx = false, get = false, keep_ttl = false;  // SET only
  bool persist = false;                                        // GETEX only
  DeadlineUnit unit = DeadlineUnit::kNone;
  std::string_view deadline;  // as written; the last one counts when repeated

  bool absolute() const { return unit == DeadlineUnit::kExAt || unit == DeadlineUnit::kPxAt; }
};

// Reads all that is left; latches a syntax error on unknown or contradicting options.
SetOptions ReadSetOptions(ArgReader& args);
SetOptions ReadGetexOptions(ArgReader& args);

// The deadline in Unix ms, always positive. False: *error says what is wrong with it. A deadline
// that has passed already is no error.
bool ReadDeadline(const CommandContext& ctx, DeadlineUnit unit, std::string_view text,
                  int64_t* at_ms, Reply* error);

}  // namespace redynamo
