// SPDX-License-Identifier: Apache-2.0
// What the process' exit code means (those of sysexits.h where one fits).
#pragma once

#include "base/status.h"

namespace redynamo {

inline constexpr int kExitOk = 0;
inline constexpr int kExitStartRefused = 1;  // a port or the data directory is in use, ...
inline constexpr int kExitUsage = 64;        // a wrong option: trying again will not help
inline constexpr int kExitIoError = 74;      // the log or the disk failed
inline constexpr int kExitDataDamaged = 78;  // damaged data or a newer format: nor will it here

inline int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return kExitOk;
    case StatusCode::kInvalidArgument: return kExitUsage;
    case StatusCode::kCorruption:
    case StatusCode::kUnsupported: return kExitDataDamaged;
    case StatusCode::kIoError: return kExitIoError;
    default: return kExitStartRefused;
  }
}

}  // namespace redynamo
