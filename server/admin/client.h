// SPDX-License-Identifier: Apache-2.0
// What HELLO and CLIENT share: the rule for names that end up in CLIENT LIST.
#pragma once

#include <string_view>

#include "protocol/reply.h"

namespace redynamo {

// Printable ASCII without a space, so that a line of CLIENT LIST can be split. May be empty.
bool IsPlainName(std::string_view name);
inline Reply BadClientName() {
  return Reply::Error("ERR Client names cannot contain spaces, newlines or special characters.");
}

}  // namespace redynamo
