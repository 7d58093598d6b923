// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "server/startup.h"

// Read by jemalloc before anything runs: freed pages go back to the system within a second, by a
// thread of its own, so that resident memory follows maxmemory; one arena, since rows read by
// background threads must fill the holes that evicted ones leave.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:1";
}

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  return redynamo::RunProgram(argv[0], arguments);
}
