// SPDX-License-Identifier: Apache-2.0
// Any bytes as a partition's irregular record (unfinished clears, then keys): refused, or read into
// rows that encode and decode to the same again.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/irregular.h"

using namespace redynamo;

namespace {

bool Same(const std::vector<UnfinishedClear>& a, const std::vector<UnfinishedClear>& b) {
  return std::ranges::equal(a, b, [](const UnfinishedClear& x, const UnfinishedClear& y) {
    return x.scope == y.scope && x.ns == y.ns && x.cleared_kind == y.cleared_kind &&
           x.rest == y.rest;
  });
}

void CheckRoundTrip(const IrregularIndex::Key& key, const KeyRows& rows) {
  CHECK_THAT(key.slot < kSlotCount);
  std::string bytes;
  EncodeKeyRows(key, rows, &bytes);
  ByteReader in(bytes);
  IrregularIndex::Key key_again;
  KeyRows again;
  CHECK_THAT(DecodeKeyRows(&in, &key_again, &again) && in.empty());
  CHECK_THAT(key_again == key && again.rows == rows.rows && Same(again.clears, rows.clears));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader in({reinterpret_cast<const char*>(data), size});
  std::vector<UnfinishedClear> clears;
  if (!DecodeClears(&in, &clears)) return 0;
  std::string bytes;
  EncodeClears(clears, &bytes);
  ByteReader back(bytes);
  std::vector<UnfinishedClear> clears_again;
  CHECK_THAT(DecodeClears(&back, &clears_again) && back.empty() && Same(clears, clears_again));
  while (!in.empty()) {
    IrregularIndex::Key key;
    KeyRows rows;
    if (!DecodeKeyRows(&in, &key, &rows)) break;
    CheckRoundTrip(key, rows);
  }
  return 0;
}
