// SPDX-License-Identifier: Apache-2.0
// Scrub (DynamoDB 2022: continuous verification of data at rest): every scrub-interval a background
// task reads all that is on disk, checks the checksum of each block and each value and decodes each
// object, so that rot is found while another copy of the data still exists. What it finds is logged
// and counted; nothing is changed.
#include <string>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr uint64_t kErrorsLoggedMax = 10;  // of one round

struct ScrubFindings {
  uint64_t rows = 0;
  uint64_t errors = 0;

  void Note(const Status& status) {
    if (status.ok()) return;
    errors++;
    if (errors <= kErrorsLoggedMax) LogWarning("scrub: " + status.message());
  }
};

Status CheckHead(std::string_view key, std::string_view payload) {
  Result<HeadKey> head = DecodeHeadKey(key);
  if (!head.ok()) return head.status();
  Result<DecodedHead> object = DecodeHead(head->key, payload, 0);
  if (!object.ok()) return object.status();
  FreeWholeRow(object->row);
  return Status::Ok();
}

Status CheckElement(std::string_view key, std::string_view payload) {
  Result<RowKey> row_key = DecodeRowKey(key);
  if (!row_key.ok()) return row_key.status();
  if (row_key->kind == uint8_t(RowKind::kFragment)) {
    return DecodeFragment(row_key->element_hash, payload).status();
  }
  Result<Row*> row = DecodeElement(row_key->element, payload);
  if (!row.ok()) return row.status();
  FreeRow(*row);
  return Status::Ok();
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

void EngineImpl::ScrubTask() {
  ScrubFindings found;
  found.Note(store_->VerifyChecksums());
  std::shared_ptr<const RowSnapshot> snapshot = store_->TakeSnapshot();
  auto walk = [&](std::unique_ptr<RowIterator> it, auto check) {
    for (; it->Valid() && !stopping_; it->Next()) {
      found.rows++;
      found.Note(check(it->key(), it->value()));
    }
    found.Note(it->status());
  };
  walk(store_->NewHeadIterator({}, {}, snapshot), CheckHead);
  walk(store_->NewRowIterator({}, {}, snapshot), CheckElement);
  snapshot.reset();
  PostToDataThread([this, found] {
    scrub_busy_ = false;
    last_scrub_ms_ = clock_->MonotonicUs() / 1000;
    stats_.scrub_rounds++;
    stats_.scrub_rows += found.rows;
    stats_.scrub_errors += found.errors;
    if (found.errors > 0) {
      LogWarning("scrub found " + std::to_string(found.errors) +
                 " damaged records; restore them from " + "a backup or copy, then start again");
    }
  });
}

}  // namespace redynamo
