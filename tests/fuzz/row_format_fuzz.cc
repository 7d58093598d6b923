// SPDX-License-Identifier: Apache-2.0
// Any bytes: the key decoders either refuse, or give fields that encode to the same bytes.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "storage/row_format.h"

using namespace redynamo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (Result<HeadKey> head = DecodeHeadKey(bytes); head.ok()) {
    CHECK_THAT(EncodeHeadKey(*head) == bytes);
  }
  if (Result<RowKey> row = DecodeRowKey(bytes); row.ok()) {
    CHECK_THAT(EncodeRowKey(*row) == bytes);
    KeyRange range = RowRange(row->ns, row->position, row->key, row->kind);
    CHECK_THAT(bytes >= range.lower && (range.upper.empty() || bytes < range.upper));
  }
  size_t split = size / 2;
  std::string_view key = bytes.substr(0, split), stored = bytes.substr(split);
  if (auto payload = UnsealValue(key, stored)) CHECK_THAT(SealValue(key, *payload) == stored);
  std::string upper = PrefixUpperBound(bytes);
  CHECK_THAT(upper.empty() || upper > bytes);
  return 0;
}
