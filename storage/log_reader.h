// SPDX-License-Identifier: Apache-2.0
// Recovery: reads the segments of a log, replays their records and tells a torn tail from damage.
// Used by Log::Open only, on one thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "storage/file_system.h"
#include "storage/log.h"

namespace redynamo {

struct RecoveredLog {
  OpenReport report;
  std::vector<LogSegmentInfo> kept;  // oldest first; `end` is where valid bytes end, except in the
                                     // segments before the first one read, which were not opened
  size_t first_read = 0;             // index into kept
  std::vector<std::string> doomed;   // paths of segments behind the end, oldest first
  LogPosition next_first = 0;        // where a fresh segment begins
  uint64_t next_number = 1;          // of the next record
};

// Replays; changes nothing on disk. Statuses as for Log::Open.
Result<RecoveredLog> ReadLog(FileSystem* fs, const LogOptions& options,
                             const RecoveryCallback& callback);

// Makes the disk agree with what ReadLog found: removes the doomed segments, cuts the last one that
// is kept at its end, and syncs everything that was replayed.
Status SettleLog(FileSystem* fs, const LogOptions& options, const RecoveredLog& log);

// Calls visit(offset, frame) for each place at or after `from` in a segment's bytes that holds a
// valid batch frame, also behind bytes that make no sense.
template <typename Visit>
void FindBatches(std::string_view segment, uint64_t from, uint64_t salt, LogPosition first,
                 const Visit& visit) {
  const uint32_t word = kBatchWord;
  const std::string_view needle(reinterpret_cast<const char*>(&word), sizeof(word));
  for (size_t at = segment.find(needle, from + 4); at != std::string_view::npos;
       at = segment.find(needle, at + 1)) {
    uint64_t offset = at - 4;
    auto frame = DecodeBatchFrame(segment.substr(offset), salt, first + offset);
    if (frame) visit(offset, *frame);
  }
}

}  // namespace redynamo
