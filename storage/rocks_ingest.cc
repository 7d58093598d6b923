// SPDX-License-Identifier: Apache-2.0
#include "storage/rocks_ingest.h"

#include <rocksdb/sst_file_writer.h>

#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "storage/ingest_order.h"

namespace redynamo {
namespace {

// Data on disk below which a removed range is left to ordinary compaction.
constexpr uint64_t kRemovedBytesWorthCompaction = 1 << 20;
constexpr size_t kRemovedRangesMax = 1000;

// Writes one ascending stream of entries and range tombstones into a series of files.
class FileStream {
 public:
  FileStream(RocksDatabase* database, RocksFamily family)
      : database_(database),
        family_(family),
        options_(database->set.db, database->set.families[family].options) {}

  Status Put(std::string_view key, std::string_view value) {
    return Add(key, [&](rocksdb::SstFileWriter* writer) {
      return writer->Put(key, SealValue(key, value));
    });
  }

  Status Delete(std::string_view key) {
    return Add(key, [&](rocksdb::SstFileWriter* writer) { return writer->Delete(key); });
  }

  Status DeleteRange(std::string_view lower, std::string_view upper) {
    order_.OnRange(lower, upper);
    if (Status status = CutIfFull(lower); !status.ok()) return status;
    if (tombstone_ && lower <= tombstone_->upper) {
      if (upper > tombstone_->upper) tombstone_->upper = upper;
      return Status::Ok();
    }
    if (Status status = WriteTombstone(); !status.ok()) return status;
    tombstone_ = KeyRange{std::string(lower), std::string(upper)};
    return Status::Ok();
  }

  // Completes and syncs the last file.
  Status Finish() {
    if (Status status = WriteTombstone(); !status.ok()) return status;
    return CloseFile();
  }

  const std::vector<std::string>& paths() const { return paths_; }
  uint64_t file_bytes() const { return file_bytes_; }

  // Lets go of an unfinished file, so that it can be deleted.
  void Abandon() { writer_.reset(); }

 private:
  template <typename Write>
  Status Add(std::string_view key, Write write) {
    order_.OnKey(key);
    if (Status status = CutIfFull(key); !status.ok()) return status;
    if (tombstone_ && key >= tombstone_->upper) {
      if (Status status = WriteTombstone(); !status.ok()) return status;
    }
    if (Status status = OpenFile(); !status.ok()) return status;
    return Check(write(writer_.get()));
  }

  // Ends a full file before `next`, the first key or lower bound of the following one, and leaves
  // each file its part of the open tombstone. A file without entries is never full.
  Status CutIfFull(std::string_view next) {
    if (!writer_ || writer_->FileSize() < database_->options.file_bytes_max) return Status::Ok();
    std::optional<KeyRange> rest;
    if (tombstone_ && next < tombstone_->upper) {
      rest = KeyRange{std::string(next), tombstone_->upper};
      tombstone_->upper = next;
      if (tombstone_->lower >= tombstone_->upper) tombstone_.reset();
    }
    if (Status status = Finish(); !status.ok()) return status;
    tombstone_ = std::move(rest);
    return Status::Ok();
  }

  Status WriteTombstone() {
    if (!tombstone_) return Status::Ok();
    if (Status status = OpenFile(); !status.ok()) return status;
    KeyRange range = std::move(*tombstone_);
    tombstone_.reset();
    return Check(writer_->DeleteRange(range.lower, range.upper));
  }

  Status OpenFile() {
    if (writer_) return Status::Ok();
    paths_.push_back(database_->IngestDirectory() + "/" + std::to_string(database_->next_file++) +
                     ".sst");
    // The pages stay in the page cache: what was just written is likely read or compacted next.
    constexpr bool kInvalidatePageCache = false;
    writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(database_->set.db),
                                                       options_, database_->handles[family_],
                                                       kInvalidatePageCache, rocksdb::Env::IO_HIGH);
    return Check(writer_->Open(paths_.back()));
  }

  Status CloseFile() {
    if (!writer_) return Status::Ok();
    rocksdb::ExternalSstFileInfo info;
    Status status = Check(writer_->Finish(&info));
    file_bytes_ += info.file_size;
    writer_.reset();
    return status;
  }

  Status Check(const rocksdb::Status& status) {
    if (status.ok()) return Status::Ok();
    return FromRocksStatus(status, "cannot write " + paths_.back());
  }

  RocksDatabase* database_;
  RocksFamily family_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> paths_;
  IngestOrder order_;
  std::optional<KeyRange> tombstone_;  // open: not yet in the file
  uint64_t file_bytes_ = 0;
};

class RocksIngest : public IngestBatch {
 public:
  explicit RocksIngest(RocksDatabase* database) : database_(database) {
    if (database->options.read_only) {
      status_ = {StatusCode::kUnsupported, database->directory + " is open for reading only"};
    }
  }
  ~RocksIngest() override { Abandon(); }

  Status PutHead(std::string_view key, std::string_view value) override {
    return Latch(key.size() + value.size(), [&] { return Heads(key)->Put(key, value); });
  }
  Status DeleteHead(std::string_view key) override {
    return Latch(key.size(), [&] { return Heads(key)->Delete(key); });
  }
  Status PutRow(std::string_view key, std::string_view value) override {
    return Latch(key.size() + value.size(), [&] { return Rows(key)->Put(key, value); });
  }
  Status DeleteRow(std::string_view key) override {
    return Latch(key.size(), [&] { return Rows(key)->Delete(key); });
  }
  Status DeleteHeadRange(std::string_view lower, std::string_view upper) override {
    return DeleteRange(kHeadsFamily, lower, upper);
  }
  Status DeleteRowRange(std::string_view lower, std::string_view upper) override {
    return DeleteRange(kRowsFamily, lower, upper);
  }

  Status PutMeta(std::string_view key, std::string_view value) override {
    return Latch(key.size() + value.size(), [&] {
      meta_[std::string(key)] = std::string(value);
      return Status::Ok();
    });
  }
  Status DeleteMeta(std::string_view key) override {
    return Latch(key.size(), [&] {
      meta_[std::string(key)] = std::nullopt;
      return Status::Ok();
    });
  }

  uint64_t bytes() const override { return bytes_; }

  Status Commit() override {
    CHECK_THAT(!done_);
    Latch(0, [&] { return WriteMeta(); }).ok();
    for (auto& entry : streams_) Latch(0, [&] { return entry.second->Finish(); }).ok();
    Latch(0, [&] { return Ingest(); }).ok();
    if (!status_.ok()) {
      DeleteFiles();
    } else {
      RememberRemovedRanges();
    }
    done_ = true;
    return status_;
  }

  void Abandon() override {
    if (done_) return;
    done_ = true;
    DeleteFiles();
  }

 private:
  template <typename Act>
  Status Latch(uint64_t bytes, Act act) {
    CHECK_THAT(!done_);
    if (status_.ok()) status_ = act();
    if (status_.ok()) bytes_ += bytes;
    return status_;
  }

  // Meta has a single stream: its keys have no namespace.
  FileStream* Stream(RocksFamily family, std::string_view key) {
    uint16_t ns = family == kMetaFamily ? 0 : NamespaceOf(key);
    auto& stream = streams_[{family, ns}];
    if (!stream) stream = std::make_unique<FileStream>(database_, family);
    return stream.get();
  }
  FileStream* Heads(std::string_view key) { return Stream(kHeadsFamily, key); }
  FileStream* Rows(std::string_view key) { return Stream(kRowsFamily, key); }

  Status DeleteRange(RocksFamily family, std::string_view lower, std::string_view upper) {
    FileStream* stream = Stream(family, lower);
    std::string end = RemovedRangeUpper(lower, upper);
    return Latch(lower.size() + end.size(), [&] {
      NoteRemovedRange(family, lower, end);
      return stream->DeleteRange(lower, end);
    });
  }

  Status WriteMeta() {
    for (const auto& [key, value] : meta_) {
      FileStream* stream = Stream(kMetaFamily, key);
      Status status = value ? stream->Put(key, *value) : stream->Delete(key);
      if (!status.ok()) return status;
    }
    return Status::Ok();
  }

  Status Ingest() {
    std::vector<rocksdb::IngestExternalFileArg> args;
    uint64_t file_bytes = 0;
    for (const auto& [place, stream] : streams_) {
      if (stream->paths().empty()) continue;
      rocksdb::ColumnFamilyHandle* handle = database_->handles[place.first];
      if (args.empty() || args.back().column_family != handle) {
        args.emplace_back().column_family = handle;
        args.back().options = database_->set.ingest;
      }
      auto& files = args.back().external_files;
      files.insert(files.end(), stream->paths().begin(), stream->paths().end());
      file_bytes += stream->file_bytes();
    }
    if (args.empty()) return Status::Ok();

    std::lock_guard lock(database_->commit_mutex);
    // After a full disk RocksDB refuses changes until it is told to go on.
    if (database_->background_error.exchange(false)) {
      if (rocksdb::Status status = database_->db->Resume(); !status.ok()) {
        database_->background_error = true;
        return FromRocksStatus(status, "cannot resume " + database_->directory);
      }
    }
    rocksdb::Status status = database_->db->IngestExternalFiles(args);
    if (!status.ok()) return FromRocksStatus(status, "cannot ingest into " + database_->directory);
    database_->ingests++;
    database_->ingested_bytes += file_bytes;
    return Status::Ok();
  }

  void DeleteFiles() {
    for (auto& [place, stream] : streams_) {
      stream->Abandon();
      // What cannot be deleted now is deleted by the next Open.
      for (const std::string& path : stream->paths()) {
        database_->set.db.env->DeleteFile(path).PermitUncheckedError();
      }
    }
    streams_.clear();
  }

  void NoteRemovedRange(RocksFamily family, std::string_view lower, std::string_view upper) {
    if (removed_.size() >= kRemovedRangesMax) return;
    rocksdb::Range range(lower, upper);
    uint64_t bytes = 0;
    rocksdb::SizeApproximationOptions size_options;
    rocksdb::Status status = database_->db->GetApproximateSizes(
        size_options, database_->handles[family], &range, 1, &bytes);
    if (!status.ok() || bytes < kRemovedBytesWorthCompaction) return;
    removed_.push_back({family, {std::string(lower), std::string(upper)}});
  }

  void RememberRemovedRanges() {
    std::lock_guard lock(database_->removed_mutex);
    for (auto& removed : removed_) {
      if (database_->removed.size() >= kRemovedRangesMax) return;
      database_->removed.push_back(std::move(removed));
    }
  }

  RocksDatabase* database_;
  std::map<std::pair<RocksFamily, uint16_t>, std::unique_ptr<FileStream>> streams_;
  std::map<std::string, std::optional<std::string>> meta_;  // nothing: delete
  std::vector<RocksDatabase::RemovedRange> removed_;
  Status status_;
  uint64_t bytes_ = 0;
  bool done_ = false;
};

}  // namespace

std::unique_ptr<IngestBatch> NewRocksIngest(RocksDatabase* database) {
  return std::make_unique<RocksIngest>(database);
}

}  // namespace redynamo
