// SPDX-License-Identifier: Apache-2.0
// CHECK: our own bugs end the process, in every build. Never for bytes from disk, network or a
// client: those are validated and answered with a Status.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace redynamo {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "CHECK failed at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace redynamo

#define CHECK_THAT(condition)                                  \
  do {                                                         \
    if (__builtin_expect(!(condition), 0)) {                   \
      ::redynamo::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                          \
  } while (0)
