// SPDX-License-Identifier: Apache-2.0
// What a pipeline's prefetch knows of the keys and elements to come.
#pragma once

#include <cstdint>
#include <string_view>

#include "storage/collection.h"
#include "storage/row_table.h"

namespace redynamo {

struct Probe {
  std::string_view key;
  uint64_t hash;
  uint16_t slot;
};

struct ElementProbe {
  std::string_view element;
  uint32_t key_probe;  // index in probes_
  const Collection* collection = nullptr;
  const RowTable* table = nullptr;  // where to look, deeper with each pass
  uint64_t hash = 0;
};

}  // namespace redynamo
