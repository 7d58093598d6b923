// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a peer sends: a record, a batch, a clock. Refused, or read with every dot and
// view within bounds. Checksums are made right for odd inputs, so that what is behind them is
// reached.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/hash.h"
#include "storage/replica_batch.h"
#include "storage/slot_table.h"

using namespace redynamo;

namespace {

void CheckDot(Dot dot, size_t actors) { CHECK_THAT(dot == 0 || DotActor(dot) < actors); }

void TryBatch(std::string bytes) {
  if (bytes.size() % 2) PutFixed32(&bytes, Crc32c(bytes));
  Batch batch;
  if (!ReadBatch(bytes, 2, &batch).ok()) return;
  size_t actors = batch.actors.size();
  for (const BatchRow& row : batch.rows) {
    CHECK_THAT(row.ns < 2 && PartitionOfSlot(KeySlot(row.key)) == batch.partition);
    CheckDot(row.id.base, actors);
    for (const auto& [dot, version] : row.state.live) CheckDot(dot, actors);
    for (Dot dot : row.state.gone) CheckDot(dot, actors);
  }
  for (const BatchDot& dot : batch.dots) {
    CheckDot(dot.dot, actors);
    for (uint32_t row : dot.rows) CHECK_THAT(row < batch.rows.size());
    for (uint32_t clear : dot.clears) CHECK_THAT(clear < batch.clears.size());
  }
  std::vector<uint16_t> to(actors, 7);
  MapBatch(to, &batch);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 3 == 0) TryBatch(bytes);
  if (data[0] % 3 == 1) {
    uint64_t hlc;
    std::vector<PortableEvent> events;
    if (ReadPortable(bytes, 2, &hlc, &events).ok()) {
      for (PortableEvent& e : events) {
        MapEvent(std::vector<uint16_t>(e.actors.size(), 3), &e.event);
      }
    }
  }
  if (data[0] % 3 == 2) {
    ByteReader in(bytes);
    ReplicaClock clock;
    if (ReplicaClock::Decode(&in, &clock)) {
      std::string again;
      clock.EncodeTo(&again);
      CHECK_THAT(again.size() <= bytes.size());
    }
  }
  return 0;
}
