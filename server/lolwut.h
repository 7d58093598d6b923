// SPDX-License-Identifier: Apache-2.0
// LOLWUT's picture: a ring of nodes, each owning the stretches that its random tokens begin, as
// Dynamo spread its keys.
#pragma once

#include <string>

#include "base/random.h"

namespace redynamo {

// Rows of letters, one letter for each node. nodes: 1..26, tokens of each: 1..64.
std::string DrawRing(int nodes, int tokens, Random& random);

}  // namespace redynamo
