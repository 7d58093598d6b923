// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <cerrno>
#include <system_error>

namespace redynamo {

Status IoError(std::string_view what, int error_number) {
  bool no_space = error_number == ENOSPC || error_number == EDQUOT;
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(error_number);
  return {no_space ? StatusCode::kNoSpace : StatusCode::kIoError, std::move(message)};
}

}  // namespace redynamo
