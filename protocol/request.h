// SPDX-License-Identifier: Apache-2.0
// A framed command: its arguments as bytes, the first being the command's name. It knows no
// command. The views point into the parser's buffer and live until the next call to that parser.
#pragma once

#include <string_view>
#include <vector>

namespace redynamo {

struct Request {
  std::vector<std::string_view> args;
};

}  // namespace redynamo
