// SPDX-License-Identifier: Apache-2.0
// From the command line to a running server and its exit code.
#pragma once

#include <span>
#include <string>

namespace redynamo {

// The whole life of the process. `program` is argv[0], `arguments` the rest.
int RunProgram(const std::string& program, std::span<const std::string> arguments);

}  // namespace redynamo
