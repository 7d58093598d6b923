// SPDX-License-Identifier: Apache-2.0
// The server's own log: one line per event, to standard output or a file, in Redis' line form
// (`pid:role date mark message`), so that tools which wait for Redis' lines find them.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace redynamo {

enum class LogLevel { kDebug, kVerbose, kNotice, kWarning };

// Thread-safe. Before OpenLog, lines of kNotice and above go to standard output.
Status OpenLog(const std::string& path, LogLevel level);  // empty path: standard output
void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();
void LogLine(LogLevel level, std::string_view message);

inline void LogNotice(std::string_view message) { LogLine(LogLevel::kNotice, message); }
inline void LogWarning(std::string_view message) { LogLine(LogLevel::kWarning, message); }

}  // namespace redynamo
