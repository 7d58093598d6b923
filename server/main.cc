// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "server/startup.h"

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  return redynamo::RunProgram(argv[0], arguments);
}
