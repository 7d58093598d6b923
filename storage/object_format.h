// SPDX-License-Identifier: Apache-2.0
// Objects as payloads of the cold tier (the row store adds checksums).
//
//   head    := version:1 type:1 form:1 flags:2 hlc:8 dot:8 [deadline: at:8 dot:8 hlc:8] body
//   body    := bytes                    string; of a long one the base, its fragments are rows
//            | counter cell             counter
//            | 0x00 ints:1 packed map   collection, packed
//            | 0x01 ints:1 count        collection, native: its elements are rows
//   element := form:1 hlc:8 dot:8 value
//   fragment := base:8 hlc:8 dot:8 bytes      of a row whose element hash is the fragment's index
//
// A head of a base of more than kUnmarkedBaseMax bytes need not say that there are fragments: so
// the first bit set in a large bitmap does not write all of it again.
//
// Little-endian; count is a varint. Decoders trust nothing. A collection's hlc and dot say nothing
// here: in memory a clean packed one keeps the sum of its rows' hashes there (storage/row_sum.h).
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "storage/row.h"

namespace redynamo {

// Which of a row's flags belong to its content and are kept on disk.
inline constexpr uint16_t kStoredFlags = Row::kHasDeadline | Row::kRaw | Row::kImplicit;

inline constexpr size_t kUnmarkedBaseMax = 64 << 10;

std::string EncodeHead(const Row* row);
std::string EncodeElement(const Row* row);

struct DecodedHead {
  Row* row = nullptr;   // the caller owns it, with its collection
  bool native = false;  // its element rows are to be installed
  uint64_t element_count = 0;
  bool may_have_fragments = false;  // a string whose fragment rows, if any, are to be installed
};
// `seed`: of the data directory. The row is clean and marked as on disk.
Result<DecodedHead> DecodeHead(std::string_view key, std::string_view payload, uint64_t seed);
// Of a head record, what a walk over keys needs.
Status ReadHeadSummary(std::string_view payload, ObjectType* type, int64_t* deadline_ms);
Result<Row*> DecodeElement(std::string_view element, std::string_view payload);

struct StoredFragment {
  Dot base = 0;
  Dot dot = 0;
  uint64_t hlc = 0;
  std::string_view bytes;
};
std::string EncodeFragment(const StoredFragment& fragment);
// The bytes stay those of `payload`.
Result<StoredFragment> DecodeFragment(uint64_t index, std::string_view payload);

// Frees the row with what its value points to.
void FreeWholeRow(Row* row);

}  // namespace redynamo
