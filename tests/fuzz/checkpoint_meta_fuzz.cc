// SPDX-License-Identifier: Apache-2.0
// Any bytes as the meta records of a checkpoint: refused, or a state that is in bounds and that is
// the same after it was stored and loaded again. The input is cut into the records by their
// lengths.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/checkpoint_meta.h"
#include "storage/mem_row_store.h"

using namespace redynamo;

namespace {

constexpr int kDatabases = 4;

void Put(RowStore* store, std::string_view key, std::string_view value) {
  auto batch = store->NewIngest();
  CHECK_THAT(batch->PutMeta(key, value).ok() && batch->Commit().ok());
}

void CheckInBounds(const CheckpointMeta& meta) {
  CHECK_THAT(meta.database_ns.size() == size_t(kDatabases));
  std::vector<uint16_t> sorted = meta.database_ns;
  std::ranges::sort(sorted);
  for (size_t i = 0; i < sorted.size(); i++) CHECK_THAT(sorted[i] == i);
  CHECK_THAT(meta.slots.size() == meta.database_ns.size());
  for (const auto& slots : meta.slots) {
    CHECK_THAT(slots.empty() || slots.size() == size_t(kSlotCount));
  }
}

bool Same(const CheckpointMeta& a, const CheckpointMeta& b) {
  for (size_t ns = 0; ns < a.slots.size(); ns++) {
    for (size_t i = 0; i < a.slots[ns].size(); i++) {
      const CapturedSlot& left = a.slots[ns][i];
      CapturedSlot right;  // what a namespace that is not in use is not written as
      if (!b.slots[ns].empty()) right = b.slots[ns][i];
      if (left.live != right.live || left.position != right.position) return false;
      if (left.deadlines != right.deadlines) return false;
    }
  }
  return a.position == b.position && a.database_ns_position == b.database_ns_position &&
         a.database_ns == b.database_ns && a.clocks == b.clocks && a.irregular == b.irregular;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader in({reinterpret_cast<const char*>(data), size});
  MemRowStore store;
  uint8_t present = in.Byte();
  static const std::string kKeys[] = {"checkpoint",
                                      "clocks",
                                      "irregular",
                                      std::string("irregular\0\1", 11),
                                      std::string("slots\0\0", 7),
                                      std::string("slots\0\3", 7)};
  for (size_t i = 0; i < std::size(kKeys); i++) {
    if (!(present >> i & 1)) continue;
    uint64_t length = std::min<uint64_t>(in.Fixed16(), in.rest().size());
    Put(&store, kKeys[i], in.Bytes(length));
  }
  Result<CheckpointMeta> meta = LoadCheckpointMeta(&store, kDatabases);
  if (!meta.ok()) return 0;
  CheckInBounds(*meta);
  MemRowStore copy;
  auto batch = copy.NewIngest();
  CHECK_THAT(PutCheckpointMeta(*meta, batch.get()).ok() && batch->Commit().ok());
  Result<CheckpointMeta> again = LoadCheckpointMeta(&copy, kDatabases);
  CHECK_THAT(again.ok() && Same(*meta, *again));
  return 0;
}
