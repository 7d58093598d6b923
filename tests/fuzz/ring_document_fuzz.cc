// SPDX-License-Identifier: Apache-2.0
// Any bytes as a ring document: refused, or one that is valid, that is the same after it was
// encoded again, and on which everything that is computed from ring documents stays in bounds. The
// checksum is made right, so that what is behind it is reached; odd inputs keep their own.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "cluster/plan.h"
#include "cluster/preference_list.h"

using namespace redynamo;

namespace {

constexpr int kClaimedMax = 256;  // claims of larger rings take longer than a fuzzer should wait

void CheckUses(RingDocument document) {
  for (int slot = 0; slot < kSlotCount; slot += 1021) {
    PreferenceList list = PreferenceListOf(document, uint16_t(slot));
    CHECK_THAT(!list.homes.empty() && list.partition < document.partitions());
    for (MemberIndex m : FallbacksOf(document, list.partition, {}, 3)) {
      CHECK_THAT(m < document.members.size() && !list.targets.Contains(m));
    }
  }
  if (document.partitions() > kClaimedMax || document.members.size() > 64) return;
  Claim claim = ClaimFor(document);
  CHECK_THAT(!claim.Has(ClaimProblemKind::kNotPlaced));
  RingChange change;
  change.joining.id.bytes.fill(0x5a);
  change.joining.ring_address = {"fuzz", 1};
  Result<RingPlan> plan = PlanChange(document, change);
  if (plan.ok()) CHECK_THAT(!PlanLines(*plan).empty());
  FinishMembers(&document);
  CHECK_THAT(ValidateRingDocument(document).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size % 2 == 0) PutFixed32(&bytes, Crc32c(bytes));
  Result<RingDocument> document = DecodeRingDocument(bytes);
  if (!document.ok()) return 0;
  CHECK_THAT(ValidateRingDocument(*document).ok());
  Result<RingDocument> again = DecodeRingDocument(EncodeRingDocument(*document));
  CHECK_THAT(again.ok() && *again == *document);
  CheckUses(*document);
  return 0;
}
