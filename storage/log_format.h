// SPDX-License-Identifier: Apache-2.0
// The log on disk.
//
//   log      = segment*                      files log-<first position, 20 digits>.rdlog
//   segment  = segment-header batch* rest    one run of the process writes it
//   batch    = batch-frame record-frame*     what one WriteBatch wrote into this segment
//   rest     = zeros (preallocated) or whatever a crash left
//
//   segment-header (64 bytes)                batch-frame (24 bytes)
//     0  magic            8  "rdynlog\n"       0  crc              4
//     8  format version   4                    4  kBatchWord       4
//    12  header bytes     4  64                8  first number     8  of the batch's first record
//    16  directory id     8                   16  synced up to     8  known when it was written
//    24  first position   8
//    32  zeros           28                  record-frame (8 + n bytes)
//    60  crc of the 60    4                    0  crc              4
//                                              4  n | kRecordBit   4  n <= 1 GiB
//                                              8  payload          n
//
// All integers are little-endian. A *position* is first position + offset in the segment's file, so
// headers and unused rests are part of the stream: positions grow strictly but not densely. What is
// dense is the *record number*. It is not stored per record: the batch frame names the first, each
// further record adds one. A frame's crc covers its bytes from offset 4 on and starts from a seed
// made of directory id, segment, position and number. So a frame is valid at one place of one log
// only: a block that the disk wrote to the wrong place, or bytes that a client made to look like a
// frame, do not pass.
//
// Worked example, directory id 7, a first segment at 0 with the commands "abc" and "de" in one
// batch: header at 0..63, batch frame at 64..87 (first number 1, synced up to 64), record 1 at
// 88..98 (8 + 3), record 2 at 99..108 (8 + 2). Record 2's end position is 109.
//
// A record lies in one segment. One that does not fit the rest of a segment begins the next, which
// is made larger than usual when the record is: the only cost of a 1 GiB command is a segment of 1
// GiB, and a command is whole or absent without commit marks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/status.h"

namespace redynamo {

using LogPosition = uint64_t;

// 2: an events record may exchange databases (storage/delta.h). 3: effects tell of deadlines that
// go with what they remove; of older ones nothing is concluded. Older ones are read.
inline constexpr uint32_t kLogFormatVersion = 3;
inline constexpr uint64_t kSegmentHeaderBytes = 64;
inline constexpr uint64_t kBatchFrameBytes = 24;
inline constexpr uint64_t kRecordFrameBytes = 8;         // before the payload
inline constexpr uint64_t kMaxRecordBytes = 1ull << 30;  // payload
inline constexpr uint32_t kRecordBit = 1u << 31;
inline constexpr uint32_t kBatchWord = 0x68637462;  // "btch": above 1 GiB, bit 31 clear

struct SegmentHeader {
  uint32_t format_version = kLogFormatVersion;
  uint64_t directory_id = 0;
  LogPosition first_position = 0;
};

std::string EncodeSegmentHeader(const SegmentHeader& header);

// kCorruption: not a whole header. kUnsupported: a newer format. The caller compares ids.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

std::string SegmentName(LogPosition first_position);
// The first position in a segment's name; nothing for any other file name.
std::optional<LogPosition> ParseSegmentName(std::string_view name);

// Differs between segments and between data directories.
uint64_t SegmentSalt(uint64_t directory_id, LogPosition first_position);

// The crc of a frame whose bytes from offset 4 on are `covered`. A batch frame passes number 0: its
// number is among its bytes.
inline uint32_t FrameCrc(uint64_t salt, LogPosition position, uint64_t number,
                         std::string_view covered) {
  uint64_t mixed = (salt ^ position * 0x9e3779b97f4a7c15) + number * 0xc2b2ae3d27d4eb4f;
  return Crc32c(covered, uint32_t(mixed) ^ uint32_t(mixed >> 32));
}

struct BatchFrame {
  uint64_t first_number = 0;
  LogPosition synced_up_to = 0;
};

// Writes kBatchFrameBytes bytes to `out`.
void EncodeBatchFrame(const BatchFrame& frame, uint64_t salt, LogPosition position, char* out);
// Nothing unless `bytes` begin with a batch frame that is valid at `position`.
std::optional<BatchFrame> DecodeBatchFrame(std::string_view bytes, uint64_t salt,
                                           LogPosition position);

// Fills the frame in front of a payload: `frame` points at kRecordFrameBytes + payload_bytes bytes.
void SealRecordFrame(char* frame, uint64_t payload_bytes, uint64_t salt, LogPosition position,
                     uint64_t number);
// The payload; nothing unless `bytes` begin with a record frame valid at `position`.
std::optional<std::string_view> DecodeRecordFrame(std::string_view bytes, uint64_t salt,
                                                  LogPosition position, uint64_t number);

}  // namespace redynamo
