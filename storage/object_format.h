// SPDX-License-Identifier: Apache-2.0
// Objects as payloads of the cold tier (the row store adds checksums).
//
//   head    := version:1 type:1 form:1 flags:2 hlc:8 dot:8 [deadline: at:8 dot:8 hlc:8] body
//   body    := bytes                    string
//            | counter cell             counter
//            | 0x00 ints:1 packed map   collection, packed
//            | 0x01 ints:1 count        collection, native: its elements are rows
//   element := form:1 hlc:8 dot:8 value
//
// Little-endian; count is a varint. Decoders trust nothing.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "storage/row.h"

namespace redynamo {

// Which of a row's flags belong to its content and are kept on disk.
inline constexpr uint16_t kStoredFlags = Row::kHasDeadline | Row::kRaw | Row::kImplicit;

std::string EncodeHead(const Row* row);
std::string EncodeElement(const Row* row);

struct DecodedHead {
  Row* row = nullptr;       // the caller owns it, with its collection
  bool native = false;      // its element rows are to be installed
  uint64_t element_count = 0;
};
// `seed`: of the data directory. The row is clean and marked as on disk.
Result<DecodedHead> DecodeHead(std::string_view key, std::string_view payload, uint64_t seed);
// Of a head record, what a walk over keys needs.
Status ReadHeadSummary(std::string_view payload, ObjectType* type, int64_t* deadline_ms);
Result<Row*> DecodeElement(std::string_view element, std::string_view payload);

}  // namespace redynamo
