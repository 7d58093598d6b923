// SPDX-License-Identifier: Apache-2.0
// The order that row_store.h demands of one family and namespace of an ingest batch, checked alike
// by every implementation: a caller that breaks it is found by the tests on the in-memory store.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "storage/row_format.h"

namespace redynamo {

class IngestOrder {
 public:
  void OnKey(std::string_view key) {
    CHECK_THAT(key >= last_lower_ && (!last_key_ || key > *last_key_));
    last_key_ = key;
  }
  void OnRange(std::string_view lower, std::string_view upper) {
    CHECK_THAT(lower < upper && lower >= last_lower_ && (!last_key_ || lower > *last_key_));
    last_lower_ = lower;
  }

 private:
  std::optional<std::string> last_key_;
  std::string last_lower_;
};

// The namespace of a head or row key.
inline uint16_t NamespaceOf(std::string_view key) {
  ByteReader reader(key);
  uint16_t ns = uint16_t(reader.Big(2));
  CHECK_THAT(reader.ok());
  return ns;
}

// The upper bound of a removed range, where empty means the end of lower's namespace. The last
// namespace has no end among strings, but no position begins with 0xff.
inline std::string RemovedRangeUpper(std::string_view lower, std::string_view upper) {
  std::string end = NamespaceRange(NamespaceOf(lower)).upper;
  if (end.empty()) end = "\xff\xff\xff";
  if (upper.empty()) return end;
  CHECK_THAT(upper <= end);
  return std::string(upper);
}

}  // namespace redynamo
