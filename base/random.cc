// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <cstring>

#include "base/check.h"

namespace redynamo {

std::string SystemRandomBytes(size_t n) {
  std::string out(n, '\0');
  CHECK_THAT(n <= 256 && getrandom(out.data(), n, 0) == ssize_t(n));
  return out;
}

uint64_t SystemRandom64() {
  uint64_t v;
  std::memcpy(&v, SystemRandomBytes(8).data(), 8);
  return v;
}

}  // namespace redynamo
