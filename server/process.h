// SPDX-License-Identifier: Apache-2.0
// What a well-behaved Unix process does around its work: going to the background, its pid file,
// its limits, and telling a service manager how it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace redynamo {

// Continues in a child of its own session, standard input, output and error on /dev/null. Before
// any thread exists.
Status GoToBackground();

Status WritePidFile(const std::string& path);

// Tries to allow `wanted` open files. Gives how many are allowed now.
uint64_t RaiseOpenFilesLimit(uint64_t wanted);

// A broken connection is an error code, not a signal; a hang-up of the terminal is nothing.
void IgnoreSignals();

// sd_notify's protocol: "READY=1", "STOPPING=1". Nothing happens without $NOTIFY_SOCKET.
void NotifyServiceManager(std::string_view state);

// Absolute path of this program.
std::string ExecutablePath();

}  // namespace redynamo
