// SPDX-License-Identifier: Apache-2.0
// Scrub (DynamoDB 2022: continuous verification of data at rest): every scrub-interval a background
// task reads all that is on disk, checks the checksum of each block and each value, decodes each
// object, and compares the sum of each leaf's rows (storage/row_sum.h) with the one that the last
// checkpoint stored. So rot is found while another copy of the data still exists, and so are rows
// that are lost, left over, or sound but not what was written. What it finds is logged and counted;
// nothing is changed.
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/replica_side.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr uint64_t kErrorsLoggedMax = 10;  // of one round

struct ScrubFindings {
  uint64_t rows = 0;
  uint64_t errors = 0;
  uint64_t leaves = 0;
  uint64_t mismatches = 0;
  std::vector<LeafId> leaves_to_repair;

  void Note(const Status& status) {
    if (status.ok()) return;
    errors++;
    if (errors <= kErrorsLoggedMax) LogWarning("scrub: " + status.message());
  }
  void Mismatch(size_t ns, size_t slot, const std::string& what) {
    mismatches++;
    if (mismatches > kErrorsLoggedMax) return;
    LogWarning("scrub: leaf " + std::to_string(slot) + " of namespace " + std::to_string(ns) +
               " is not what its checkpoint stored: " + what);
  }
};

uint64_t LeafOf(std::string_view key) {  // its first bytes: namespace and position
  ByteReader in(key);
  uint64_t ns = in.Big(2);
  return ns * kSlotCount + (in.Big(7) >> kPositionHashBits);
}

}  // namespace

void EngineImpl::StepScrub() {
  int64_t now_ms = clock_->MonotonicUs() / 1000;
  if (last_scrub_ms_ == 0) last_scrub_ms_ = now_ms;
  if (scrub_busy_ || options_.scrub_interval_ms <= 0) return;
  if (now_ms - last_scrub_ms_ < options_.scrub_interval_ms) return;
  scrub_busy_ = true;
  scrub_pool_->Post([this] { ScrubTask(); });
}

// A snapshot and the meta records of the same checkpoint.
Status EngineImpl::SnapshotWithMeta(std::shared_ptr<const RowSnapshot>* snapshot,
                                    CheckpointMeta* meta) const {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; i++) {
    Result<CheckpointMeta> before = LoadCheckpointMeta(store_.get(), options_.databases);
    if (!before.ok()) return before.status();
    *snapshot = store_->TakeSnapshot();
    Result<CheckpointMeta> after = LoadCheckpointMeta(store_.get(), options_.databases);
    if (!after.ok()) return after.status();
    if (before->position != after->position) continue;
    *meta = std::move(*after);
    return Status::Ok();
  }
  return Status(StatusCode::kBusy, "checkpoints follow so closely that none could be compared");
}

void EngineImpl::ScrubTask() {
  ScrubFindings found;
  found.Note(store_->VerifyChecksums());
  std::shared_ptr<const RowSnapshot> snapshot;
  CheckpointMeta meta;
  Status status = SnapshotWithMeta(&snapshot, &meta);
  found.Note(status);
  if (!snapshot) snapshot = store_->TakeSnapshot();
  std::map<uint64_t, LeafCount> leaves;
  LongBases bases;
  auto heads = store_->NewHeadIterator({}, {}, snapshot);
  for (; heads->Valid() && !stopping_; heads->Next(), found.rows++) {
    found.Note(HashHead(heads->key(), heads->value(), &bases, &leaves[LeafOf(heads->key())]));
  }
  found.Note(heads->status());
  auto rows = store_->NewRowIterator({}, {}, snapshot);
  for (; rows->Valid() && !stopping_; rows->Next(), found.rows++) {
    uint64_t* sum = &leaves[LeafOf(rows->key())].sum;
    found.Note(HashElement(rows->key(), rows->value(), bases, sum));
  }
  found.Note(rows->status());
  rows.reset();
  heads.reset();
  const CapturedSlot none;
  for (size_t ns = 0; ns < meta.slots.size() && status.ok() && !stopping_; ns++) {
    for (size_t slot = 0; slot < kSlotCount; slot++) {
      const CapturedSlot& stored = meta.slots[ns].empty() ? none : meta.slots[ns][slot];
      auto at = leaves.find(ns * kSlotCount + slot);
      LeafCount leaf = at == leaves.end() ? LeafCount{} : at->second;
      if (stored.live == 0 && leaf.keys == 0 && leaf.sum == 0 && stored.sum == 0) continue;
      found.leaves += stored.sum_known;
      bool same = stored.live == leaf.keys && (!stored.sum_known || stored.sum == leaf.sum);
      // Once more by itself: behind a block that cannot be read all leaves seem to be empty.
      LeafId id{uint16_t(ns), uint16_t(slot)};
      if (!same && !replica_->SoundOnDisk(id, stored, snapshot)) {
        found.leaves_to_repair.push_back(id);
      }
      if (stored.live != leaf.keys) {
        found.Mismatch(
            ns, slot,
            std::to_string(leaf.keys) + " keys instead of " + std::to_string(stored.live));
      } else if (stored.sum_known && stored.sum != leaf.sum) {
        found.Mismatch(ns, slot, "rows are changed, lost or left over");
      }
    }
  }
  snapshot.reset();
  PostToDataThread([this, found] {
    scrub_busy_ = false;
    for (LeafId leaf : found.leaves_to_repair) replica_->NoteDamage(leaf);
    last_scrub_ms_ = clock_->MonotonicUs() / 1000;
    stats_.scrub_rounds++;
    stats_.scrub_rows += found.rows;
    stats_.scrub_errors += found.errors;
    stats_.scrub_leaves += found.leaves;
    stats_.scrub_mismatches += found.mismatches;
    if (found.errors > 0 || found.mismatches > 0) {
      LogWarning("scrub found " + std::to_string(found.errors) + " damaged records and " +
                 std::to_string(found.mismatches) +
                 " leaves that differ from their checkpoint; restore from a backup or copy");
    }
  });
}

}  // namespace redynamo
