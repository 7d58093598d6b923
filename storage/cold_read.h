// SPDX-License-Identifier: Apache-2.0
// What loads of cold keys are made of (engine_load.cc, engine_elements.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "storage/delta.h"
#include "storage/object_format.h"
#include "storage/sparse_state.h"

namespace redynamo {

struct LoadCall {
  size_t missing;
  Status status;
  std::function<void(Status)> done;
};

struct PendingLoad {
  uint64_t epoch = 0;        // of the namespace; another one voids the load
  uint64_t checkpoints = 0;  // so many had ended; one more voids the load
  bool under_way = false;    // too late to want more
  ElementWant want;
  std::vector<std::shared_ptr<LoadCall>> calls;
};

// Of the rows that hold the elements of a set or hash.
inline RowKind ElementKind(const Row* row) {
  return row->object_type() == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
}

// Where a collection's elements stand.
struct ElementSource {
  uint16_t ns = 0;
  uint64_t position = 0;
  std::string key;
  RowKind kind = {};
};

// One key's part of what a background task reads.
struct ColdRead {
  ColdRead() = default;
  ColdRead(ColdRead&& other) noexcept
      : source(std::move(other.source)),
        serial(other.serial),
        checkpoints(other.checkpoints),
        want(std::move(other.want)),
        read(std::move(other.read)),
        row(std::exchange(other.row, nullptr)),
        calls(std::move(other.calls)) {}
  ~ColdRead() {
    if (row) FreeWholeRow(row);
  }
  ElementSource source;
  uint64_t serial = 0;       // of a collection in memory; 0: the head is read, too
  uint64_t checkpoints = 0;  // so many had ended; one more voids it
  ElementWant want;
  ElementsRead read;
  Row* row = nullptr;  // the object, when its head was read; owned
  std::vector<std::shared_ptr<LoadCall>> calls;
};

struct WholeLoad {
  uint16_t ns = 0;
  ElementSource source;
  uint64_t from = 0;
  std::vector<std::shared_ptr<LoadCall>> calls;
};

}  // namespace redynamo
