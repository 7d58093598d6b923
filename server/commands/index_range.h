// SPDX-License-Identifier: Apache-2.0
// Ranges of indexes as clients write them: both ends included, negative ones from the end on.
#pragma once

#include <cstdint>

namespace redynamo {

// Both count from the end, and in the wrong order. GETRANGE and BITCOUNT give nothing for these
// even where clamping, which BITPOS does at once, would make a range of them.
inline bool RunsBackwards(int64_t start, int64_t end) {
  return start < 0 && end < 0 && start > end;
}

// Brings the range into [0, length). False, with the numbers in no useful state: it is empty.
inline bool ClampRange(int64_t* start, int64_t* end, uint64_t length) {
  const int64_t size = int64_t(length);
  if (*start < 0) *start += size;
  if (*end < 0) *end += size;
  if (*start < 0) *start = 0;
  if (*end < 0) *end = 0;
  if (*end >= size) *end = size - 1;
  return *start <= *end;
}

}  // namespace redynamo
