// SPDX-License-Identifier: Apache-2.0
// Words of a line, with the quoting of redis-cli, inline commands and redis.conf:
//
//   set "two words" 'it\'s' "\x41\n"      ->  set | two words | it's | A<newline>
//
// Double quotes know \n \r \t \b \a, \xHH and backslash + any byte; single quotes know \' only.
// A closing quote must be followed by space or the end.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace redynamo {

// Appends the words of text[0, size) to `args`. Escapes are undone in place: the bytes of `text`
// change, and the views point into it. False, with `args` in part filled, for unbalanced quotes.
bool SplitArgsInPlace(char* text, size_t size, std::vector<std::string_view>* args);

}  // namespace redynamo
