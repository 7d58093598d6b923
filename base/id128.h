// SPDX-License-Identifier: Apache-2.0
// 128-bit random ids (nodes, actors, clusters), and the 40 hex digits by which clients of Redis
// Cluster know a node: 32 digits are the id, byte by byte, high half byte first; the last 8 are the
// low 32 bits of StableHash over those 32 digits, low half byte first. So an id that was mistyped
// is told from one that nobody has.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace redynamo {

using Id128 = std::array<uint8_t, 16>;

inline constexpr size_t kId128Digits = 40;

std::string Id128Digits(const Id128& id);  // lower case

// False, and *out is left alone, unless `text` is 40 hex digits (either case) whose last 8 fit.
bool ParseId128Digits(std::string_view text, Id128* out);

}  // namespace redynamo
