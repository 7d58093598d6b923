// SPDX-License-Identifier: Apache-2.0
// Words of a configuration line: base/split_args.h and its inverse, and small things beside.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace redynamo {

// nullopt: unbalanced quotes.
std::optional<std::vector<std::string>> SplitWords(std::string_view line);

// The word as it must be written in a line: plain if it can be, else in double quotes.
std::string QuoteWord(std::string_view word);

std::string_view TrimSpace(std::string_view text);  // blanks, tabs, line ends
std::string ToLower(std::string_view text);         // ASCII
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace redynamo
