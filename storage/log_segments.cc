// SPDX-License-Identifier: Apache-2.0
#include "storage/log_segments.h"

#include "base/log_line.h"

namespace redynamo {

LogSegments::LogSegments(FileSystem* fs, LogSegmentsOptions options, FatalLatch* fatal)
    : fs_(fs), options_(std::move(options)), fatal_(fatal) {
  if (options_.background_thread) thread_ = std::thread([this] { Run(); });
}

LogSegments::~LogSegments() { Stop(); }

Result<std::shared_ptr<LogSegment>> LogSegments::Make(LogPosition first) {
  auto segment = std::make_shared<LogSegment>();
  segment->path = options_.directory + "/" + SegmentName(first);
  segment->first = first;
  segment->bytes = options_.segment_bytes;
  segment->salt = SegmentSalt(options_.directory_id, first);
  auto file = fs_->Open(segment->path, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  segment->file = std::move(*file);
  SegmentHeader header{kLogFormatVersion, options_.directory_id, first};
  Status status = segment->file->Allocate(segment->bytes);
  if (status.ok()) status = segment->file->WriteAt(0, EncodeSegmentHeader(header));
  // The sync of the first records would cover this, but would then pay for it.
  if (status.ok()) status = segment->file->Sync();
  if (status.ok()) status = fs_->SyncDirectory(options_.directory);
  if (status.ok()) return segment;
  // A failed attempt must not keep space. Should this fail too, recovery removes the file: it holds
  // no batch.
  segment->file.reset();
  (void)fs_->Remove(segment->path);
  return status;
}

void LogSegments::Prepare(LogPosition first) {
  std::unique_lock lock(mutex_);
  CHECK_THAT(state_ == State::kIdle);
  first_ = first;
  state_ = State::kWanted;
  if (options_.background_thread)
    wake_.notify_one();
  else
    Attempt(&lock);
}

// REQUIRES: kWanted. Makes the segment without holding the lock.
void LogSegments::Attempt(std::unique_lock<std::mutex>* lock) {
  LogPosition first = first_;
  lock->unlock();
  auto made = Make(first);
  bool full = !made.ok() && made.status().code() == StatusCode::kNoSpace;
  if (!made.ok() && !full) (void)fatal_->Fail(made.status());
  lock->lock();
  if (made.ok()) {
    next_ = std::move(*made);
    made_++;
    state_ = State::kReady;
  } else {
    full_ = made.status();
    state_ = State::kFull;
    retry_at_us_ = options_.clock->MonotonicUs() + kRetryUs;
  }
  done_.notify_all();
}

Status LogSegments::Await(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  bool retry = state_ == State::kFull && options_.clock->MonotonicUs() >= retry_at_us_;
  if (retry && !fatal_->failed()) {
    state_ = State::kWanted;
    if (options_.background_thread)
      wake_.notify_one();
    else
      Attempt(&lock);
  }
  done_.wait(lock, [this] { return state_ != State::kWanted || stop_; });
  if (fatal_->failed()) return fatal_->status();
  if (state_ == State::kFull) return full_;
  if (state_ != State::kReady) return Status(StatusCode::kShutdown, "the log is closed");
  return next_->bytes >= bytes ? Status::Ok() : Enlarge(bytes);
}

// For a record larger than a segment. Rare, so the caller waits for it. Holds the lock, which the
// thread needs only after this segment has been taken.
Status LogSegments::Enlarge(uint64_t bytes) {
  Status status = next_->file->Allocate(bytes);
  if (status.ok()) next_->bytes = bytes;
  if (status.ok() || status.code() == StatusCode::kNoSpace) return status;
  return fatal_->Fail(status);
}

std::shared_ptr<LogSegment> LogSegments::Take() {
  std::lock_guard lock(mutex_);
  CHECK_THAT(state_ == State::kReady);
  state_ = State::kIdle;
  return std::move(next_);
}

void LogSegments::Remove(std::vector<std::string> paths) {
  if (!options_.background_thread) return RemoveAll(paths);
  std::lock_guard lock(mutex_);
  removals_.insert(removals_.end(), paths.begin(), paths.end());
  wake_.notify_one();
}

void LogSegments::RemoveAll(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    Status status = fs_->Remove(path);
    if (status.ok()) continue;
    return LogWarning("old log segments stay until the next start: " + status.message());
  }
}

void LogSegments::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || state_ == State::kWanted || !removals_.empty(); });
    if (stop_) return;
    if (state_ == State::kWanted) {
      Attempt(&lock);
      continue;
    }
    std::vector<std::string> paths = std::move(removals_);
    removals_.clear();
    lock.unlock();
    RemoveAll(paths);
    lock.lock();
  }
}

void LogSegments::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
    done_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

uint64_t LogSegments::made() const {
  std::lock_guard lock(mutex_);
  return made_;
}

}  // namespace redynamo
