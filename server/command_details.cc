// SPDX-License-Identifier: Apache-2.0
#include "server/command_details.h"

#include <algorithm>
#include <span>

#include "server/command_details_rows.h"

namespace redynamo {

const CommandDetails& DetailsOf(std::string_view name) {
  static constexpr CommandDetails kNone{};
  for (std::span<const CommandDetails> rows : {DataCommandDetails(), ServerCommandDetails()}) {
    auto found = std::ranges::find(rows, name, &CommandDetails::name);
    if (found != rows.end()) return *found;
  }
  return kNone;
}

}  // namespace redynamo
