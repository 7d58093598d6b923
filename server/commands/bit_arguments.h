// SPDX-License-Identifier: Apache-2.0
// Arguments that the bitmap commands share.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/command.h"

namespace redynamo {

inline constexpr std::string_view kBadBitOffset =
    "ERR bit offset is not an integer or out of range";

// A bit's offset, below 8 * proto-max-bulk-len; "#3" means the third field when `field_bits` is not
// zero. Latches kBadBitOffset.
uint64_t ReadBitOffset(const CommandContext& ctx, ArgReader& args, int field_bits = 0);

}  // namespace redynamo
