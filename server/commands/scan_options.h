// SPDX-License-Identifier: Apache-2.0
// What SCAN, HSCAN and SSCAN have in common: cursor, options, the shape of the answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "server/command.h"

namespace redynamo {

struct ScanOptions {
  uint64_t count = 10;
  std::optional<std::string_view> pattern;    // absent, too, when it is "*"
  std::optional<std::string_view> type_name;  // SCAN only

  bool Matches(std::string_view element) const;
};

// A cursor as a client writes it: decimal, a sign allowed, wrapping like strtoul. Latches
// "ERR invalid cursor".
uint64_t ReadCursor(ArgReader& args);

// All that is left. Latches the first error.
ScanOptions ReadScanOptions(ArgReader& args, bool with_type);

// [cursor, elements]
Reply ScanReply(uint64_t cursor, Reply elements);

}  // namespace redynamo
