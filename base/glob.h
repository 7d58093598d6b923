// SPDX-License-Identifier: Apache-2.0
// Patterns of KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET: `*`, `?`, `[a-z]`, `[^a]`, `\` escapes.
//
// Bytes, not characters, are matched. Borders that Redis' matcher has and clients may see:
//   - an empty text is matched by the empty pattern only, not by `*`;
//   - an unclosed `[ab` is read as if the `]` stood at the end;
//   - range ends compare as signed bytes, and a reversed range is turned round;
//   - inside brackets an escaped byte is compared with its case even when `ignore_case`.
// Time is at most |pattern| * |text|, whatever the pattern.
#pragma once

#include <string_view>

namespace redynamo {

// `ignore_case` folds ASCII letters.
bool GlobMatch(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace redynamo
