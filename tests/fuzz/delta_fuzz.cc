// SPDX-License-Identifier: Apache-2.0
// Any bytes as an events record: refused, or read with every dot and view within bounds.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "storage/delta.h"

using namespace redynamo;

namespace {

void CheckInside(std::string_view whole, std::string_view part) {
  bool inside =
      part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
  CHECK_THAT(part.empty() || inside);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view record(reinterpret_cast<const char*>(data), size);
  uint64_t hlc;
  Status status = ReadEvents(record, &hlc, [&](const EventHeader& event, const Effect& effect) {
    CHECK_THAT(event.partition <= 0x3fff && DotCounter(event.dot) > 0);
    CheckInside(record, effect.key);
    CheckInside(record, effect.element);
    CheckInside(record, effect.value);
    for (Dot dot : effect.removed) CHECK_THAT(DotCounter(dot) > 0);
    if (effect.kind == RowKind::kFragment) {
      CHECK_THAT(effect.index < kFragmentsMax && effect.value.size() <= kFragmentBytes);
      CHECK_THAT(effect.value.empty() != effect.has_value);
    }
    std::string bytes;
    effect.context.EncodeTo(&bytes);
    ByteReader in(bytes);
    PartitionClock back;
    CHECK_THAT(PartitionClock::Decode(&in, &back) && back == effect.context);
    return Status::Ok();
  });
  (void)status;
  return 0;
}
