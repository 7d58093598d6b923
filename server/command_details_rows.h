// SPDX-License-Identifier: Apache-2.0
// The two tables behind DetailsOf.
#pragma once

#include <span>

#include "server/command_details.h"

namespace redynamo {

std::span<const CommandDetails> DataCommandDetails();    // commands on keys
std::span<const CommandDetails> ServerCommandDetails();  // all others

}  // namespace redynamo
