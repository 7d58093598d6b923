// SPDX-License-Identifier: Apache-2.0
// Pins what we rely on in RocksDB, so that another version of it cannot change it unseen: the shape
// of the levels, tombstones beside puts of the same file, atomic ingestion, snapshots, checksums.
#include "storage/rocks_row_store.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <rocksdb/sst_file_writer.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include "storage/rocks_options.h"
#include "storage/row_format.h"
#include "tests/support/scratch_directory.h"

using namespace redynamo;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<RocksRowStore> OpenStore(const std::string& directory,
                                         const RocksRowStoreOptions& options = {}) {
  auto opened = RocksRowStore::Open(directory, options);
  REQUIRE_MESSAGE(opened.ok(), opened.status().message());
  return std::move(*opened);
}

std::string Head(uint64_t n) { return EncodeHeadKey({0, n, "key"}); }
std::string Row(uint64_t n) { return EncodeRowKey({0, 1, "key", 0, n, "e"}); }

void MustBeOk(const Status& status) { REQUIRE_MESSAGE(status.ok(), status.message()); }

void PutHeads(RowStore* store, uint64_t count, std::string_view value) {
  auto batch = store->NewIngest();
  for (uint64_t n = 0; n < count; n++) MustBeOk(batch->PutHead(Head(n), value));
  MustBeOk(batch->Commit());
}

void PutRows(RowStore* store, uint64_t count, std::string_view value) {
  auto batch = store->NewIngest();
  for (uint64_t n = 0; n < count; n++) MustBeOk(batch->PutRow(Row(n), value));
  MustBeOk(batch->Commit());
}

std::optional<std::string> GetRow(RowStore* store, const std::string& key) {
  std::vector<std::optional<std::string>> out;
  MustBeOk(store->MultiGetRows({&key, 1}, &out));
  return out[0];
}

std::optional<std::string> GetHead(RowStore* store, const std::string& key) {
  std::vector<std::optional<std::string>> out;
  MustBeOk(store->MultiGetHeads({&key, 1}, &out));
  return out[0];
}

uint64_t CountRows(RowStore* store) {
  auto iterator = store->NewRowIterator("", "");
  uint64_t count = 0;
  for (; iterator->Valid(); iterator->Next()) count++;
  MustBeOk(iterator->status());
  return count;
}

std::vector<std::string> SstFiles(const std::string& directory) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".sst") out.push_back(entry.path());
  }
  return out;
}

void FlipByte(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(std::streamoff(offset));
  char byte = char(file.get());
  file.seekp(std::streamoff(offset));
  file.put(char(byte ^ 1));
  REQUIRE(file.good());
}

// Polls until `done`, for at most 30 s.
template <typename Condition>
bool Eventually(Condition done) {
  for (int i = 0; i < 3000; i++) {
    if (done()) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

// Occupies every compaction thread until `go_on`; each counts `all_gone` down as it leaves.
void HoldCompactions(std::latch* go_on, std::latch* all_gone) {
  struct Latches {
    std::latch *go_on, *all_gone;
  };
  rocksdb::Env* env = rocksdb::Env::Default();
  for (int i = env->GetBackgroundThreads(rocksdb::Env::LOW); i > 0; i--) {
    env->Schedule(
        [](void* argument) {
          std::unique_ptr<Latches> latches(static_cast<Latches*>(argument));
          latches->go_on->wait();
          latches->all_gone->count_down();
        },
        new Latches{go_on, all_gone}, rocksdb::Env::LOW);
  }
}

}  // namespace

TEST_CASE("rocks: after 20 full-range ingests the levels hold few copies, and Settle leaves one") {
  ScratchDirectory directory;
  RocksRowStoreOptions options;
  options.compaction_nice = 0;  // the test need not wait for other processes
  auto store = OpenStore(directory / "db", options);
  constexpr uint64_t kCount = 5000;
  std::string value(100, 'v');
  PutHeads(store.get(), kCount, value);
  uint64_t one_copy = store->Stats().live_sst_bytes;
  for (int i = 1; i < 20; i++) {
    PutHeads(store.get(), kCount, value);
    CHECK(Eventually([&] { return !store->IngestPressure(); }));
  }
  CHECK(Eventually([&] { return store->Stats().level0_files < 4; }));
  // Levels filled from the top instead would hold nine copies here.
  CHECK(store->Stats().live_sst_bytes < one_copy * 9 / 2);

  MustBeOk(store->Settle());
  RowStoreStats settled = store->Stats();
  CHECK(settled.live_sst_bytes < one_copy * 3 / 2);
  CHECK(settled.level0_files == 0);
  CHECK(settled.bytes_above_bottom == 0);
  CHECK(settled.estimated_heads == kCount);
  CHECK(settled.ingests == 20);
  MustBeOk(store->Settle());
  CHECK(store->Stats().live_sst_bytes == settled.live_sst_bytes);
}

TEST_CASE("rocks: a batch's range removal hides older rows and shows the batch's own") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  PutRows(store.get(), 10, "old");
  auto snapshot = store->TakeSnapshot();  // forces a sequence number on what follows
  auto batch = store->NewIngest();
  KeyRange range = RowRange(0, 1, "key");
  MustBeOk(batch->DeleteRowRange(range.lower, range.upper));
  MustBeOk(batch->PutRow(Row(4), "new"));
  MustBeOk(batch->Commit());
  auto check = [&] {
    CHECK(GetRow(store.get(), Row(4)) == "new");
    CHECK_FALSE(GetRow(store.get(), Row(3)));
    CHECK(CountRows(store.get()) == 1);
  };
  check();
  snapshot = nullptr;
  MustBeOk(store->CompactAll());
  check();

  // The first ingest into an empty store: sequence number zero on both sides.
  auto second = OpenStore(directory / "second");
  batch = second->NewIngest();
  MustBeOk(batch->DeleteRowRange(range.lower, range.upper));
  MustBeOk(batch->PutRow(Row(4), "new"));
  MustBeOk(batch->Commit());
  CHECK(GetRow(second.get(), Row(4)) == "new");
}

TEST_CASE("rocks: a range removal that spans several files is cut with them") {
  ScratchDirectory directory;
  RocksRowStoreOptions options;
  options.file_bytes_max = 20'000;
  auto store = OpenStore(directory / "db", options);
  PutRows(store.get(), 300, std::string(1000, 'o'));
  auto batch = store->NewIngest();
  MustBeOk(batch->PutRow(Row(0), "before"));
  MustBeOk(batch->DeleteRowRange(Row(10), Row(290)));
  for (uint64_t n = 11; n < 300; n += 2) MustBeOk(batch->PutRow(Row(n), std::string(1000, 'n')));
  CHECK(SstFiles(directory / "db/ingest").size() > 5);
  MustBeOk(batch->Commit());
  CHECK(SstFiles(directory / "db/ingest").empty());
  for (int round = 0; round < 2; round++) {
    for (uint64_t n = 0; n < 300; n++) {
      auto value = GetRow(store.get(), Row(n));
      bool removed = n >= 10 && n < 290 && n % 2 == 0;
      REQUIRE(value.has_value() == !removed);
      if (!removed) CHECK((*value)[0] == (n == 0 ? 'b' : n > 10 && n % 2 == 1 ? 'n' : 'o'));
    }
    MustBeOk(store->CompactAll());
  }
}

TEST_CASE("rocks: removal of all of a namespace reaches no other, the last one included") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  const uint16_t namespaces[] = {0, 1, 0xfffe, 0xffff};
  auto batch = store->NewIngest();
  for (uint64_t n : {uint64_t{0}, kPositionCount - 1}) {  // interleaved: positions outermost
    for (uint16_t ns : namespaces) MustBeOk(batch->PutHead(EncodeHeadKey({ns, n, "k"}), "v"));
  }
  MustBeOk(batch->Commit());
  for (uint16_t gone : {uint16_t{0xffff}, uint16_t{0}}) {
    batch = store->NewIngest();
    KeyRange range = NamespaceRange(gone);
    MustBeOk(batch->DeleteHeadRange(range.lower, range.upper));
    MustBeOk(batch->Commit());
  }
  for (uint16_t ns : namespaces) {
    for (uint64_t n : {uint64_t{0}, kPositionCount - 1}) {
      bool there = GetHead(store.get(), EncodeHeadKey({ns, n, "k"})).has_value();
      CHECK(there == (ns == 1 || ns == 0xfffe));
    }
  }
}

TEST_CASE("rocks: when one file of a batch cannot be ingested, nothing of it is") {
  ScratchDirectory directory;
  RocksRowStoreOptions options;
  options.file_bytes_max = 4000;
  auto store = OpenStore(directory / "db", options);
  auto batch = store->NewIngest();
  MustBeOk(batch->PutHead(Head(1), "head"));
  MustBeOk(batch->PutMeta("position", "7"));
  for (uint64_t n = 0; n < 40; n++) MustBeOk(batch->PutRow(Row(n), std::string(1000, 'r')));
  auto files = SstFiles(directory / "db/ingest");
  REQUIRE(files.size() > 3);
  std::sort(files.begin(), files.end());
  fs::resize_file(files[2], 100);  // a finished file of rows: the one of heads is still open

  Status status = batch->Commit();
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK_FALSE(GetHead(store.get(), Head(1)));
  CHECK(CountRows(store.get()) == 0);
  CHECK_FALSE(store->GetMeta("position")->has_value());
  CHECK(SstFiles(directory / "db/ingest").empty());

  // The store goes on, and so it does after a restart.
  for (int round = 0; round < 2; round++) {
    PutHeads(store.get(), 3, "later");
    CHECK(GetHead(store.get(), Head(1)) == "later");
    CHECK(CountRows(store.get()) == 0);
    store = nullptr;
    store = OpenStore(directory / "db");
  }
}

TEST_CASE("rocks: an abandoned batch, and one that a crash left behind, leave no file") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  auto batch = store->NewIngest();
  MustBeOk(batch->PutHead(Head(1), "head"));
  CHECK(SstFiles(directory / "db/ingest").size() == 1);
  batch->Abandon();
  CHECK(SstFiles(directory / "db/ingest").empty());
  { MustBeOk(store->NewIngest()->PutRow(Row(1), "row")); }
  CHECK(SstFiles(directory / "db/ingest").empty());
  MustBeOk(store->NewIngest()->Commit());  // empty
  CHECK(store->Stats().ingests == 0);

  MustBeOk(store->Close());
  MustBeOk(store->Close());
  std::ofstream(directory / "db/ingest/17.sst") << "half a file";
  std::ofstream(directory / "db/009999.sst") << "a link that was never recorded";
  store = OpenStore(directory / "db");
  CHECK(SstFiles(directory / "db/ingest").empty());
  CHECK(Eventually([&] { return !fs::exists(directory / "db/009999.sst"); }));
}

TEST_CASE("rocks: a snapshot shows one moment of all families, through ingests and compaction") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  PutHeads(store.get(), 5, "1");
  PutRows(store.get(), 5, "1");
  auto snapshot = store->TakeSnapshot();
  auto early = store->NewHeadIterator("", "");
  auto batch = store->NewIngest();
  for (uint64_t n = 0; n < 9; n++) {
    MustBeOk(batch->PutHead(Head(n), "2"));
    MustBeOk(n == 2 ? batch->DeleteRow(Row(n)) : batch->PutRow(Row(n), "2"));
  }
  MustBeOk(batch->Commit());
  MustBeOk(store->CompactAll());
  for (auto* walk : {&early}) {
    uint64_t count = 0;
    for (; (*walk)->Valid(); (*walk)->Next(), count++) CHECK((*walk)->value() == "1");
    CHECK(count == 5);
  }
  uint64_t heads = 0, rows = 0;
  for (auto i = store->NewHeadIterator("", "", snapshot); i->Valid(); i->Next(), heads++) {
    CHECK(i->value() == "1");
  }
  for (auto i = store->NewRowIterator(Row(1), Row(4), snapshot); i->Valid(); i->Next(), rows++) {
    CHECK(i->value() == "1");
  }
  CHECK(heads == 5);
  CHECK(rows == 3);
  CHECK(CountRows(store.get()) == 8);
  early = nullptr;
  snapshot = nullptr;
}

TEST_CASE("rocks: a snapshot of the very first moment outlives a compaction, too") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  auto empty = store->TakeSnapshot();
  PutRows(store.get(), 5, "1");
  auto snapshot = store->TakeSnapshot();
  auto batch = store->NewIngest();
  MustBeOk(batch->DeleteRowRange(Row(0), Row(2)));
  MustBeOk(batch->DeleteRow(Row(3)));
  MustBeOk(batch->Commit());
  for (int round = 0; round < 2; round++) {
    CHECK_FALSE(store->NewRowIterator("", "", empty)->Valid());
    uint64_t rows = 0;
    for (auto i = store->NewRowIterator("", "", snapshot); i->Valid(); i->Next()) rows++;
    CHECK(rows == 5);
    CHECK(CountRows(store.get()) == 2);
    MustBeOk(store->CompactAll());
  }
}

TEST_CASE("rocks: the format of a newer build is refused") {
  ScratchDirectory directory;
  OpenStore(directory / "db");
  {
    RocksOptionSet set = MakeRocksOptions({});
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    REQUIRE(rocksdb::DB::Open(set.db, directory / "db", set.families, &handles, &db).ok());
    REQUIRE(db->Put({}, "format", SealValue("format", "\x02")).ok());
    for (auto* handle : handles) REQUIRE(db->DestroyColumnFamilyHandle(handle).ok());
    delete db;
  }
  for (bool read_only : {false, true}) {
    RocksRowStoreOptions options;
    options.read_only = read_only;
    auto refused = RocksRowStore::Open(directory / "db", options);
    CHECK(refused.status().code() == StatusCode::kUnsupported);
  }
}

TEST_CASE("rocks: a stored value that fails its own checksum is an error that names it") {
  ScratchDirectory directory;
  OpenStore(directory / "db");
  {  // Below our layer: sound for RocksDB, but not what SealValue would have written.
    RocksOptionSet set = MakeRocksOptions({});
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    REQUIRE(rocksdb::DB::Open(set.db, directory / "db", set.families, &handles, &db).ok());
    rocksdb::SstFileWriter writer({}, rocksdb::Options(set.db, set.families[kRowsFamily].options),
                                  handles[kRowsFamily]);
    REQUIRE(writer.Open(directory / "bad.sst").ok());
    REQUIRE(writer.Put(Row(1), SealValue(Row(1), "sound")).ok());
    REQUIRE(writer.Put(Row(2), SealValue(Row(1), "strayed")).ok());
    REQUIRE(writer.Finish().ok());
    REQUIRE(db->IngestExternalFile(handles[kRowsFamily], {directory / "bad.sst"}, set.ingest).ok());
    for (auto* handle : handles) REQUIRE(db->DestroyColumnFamilyHandle(handle).ok());
    delete db;
  }
  auto store = OpenStore(directory / "db");
  CHECK(GetRow(store.get(), Row(1)) == "sound");
  std::vector<std::optional<std::string>> out;
  std::string key = Row(2);
  Status status = store->MultiGetRows({&key, 1}, &out);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(status.message().find("rows") != std::string::npos);
  CHECK(status.message().find(HexForMessage(key)) != std::string::npos);

  auto iterator = store->NewRowIterator("", "");
  REQUIRE(iterator->Valid());
  iterator->Next();
  CHECK_FALSE(iterator->Valid());
  CHECK(iterator->status().code() == StatusCode::kCorruption);
}

TEST_CASE("rocks: VerifyChecksums names the file in which a bit has flipped") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  PutRows(store.get(), 3000, std::string(100, 'r'));
  PutHeads(store.get(), 3000, std::string(100, 'h'));
  MustBeOk(store->VerifyChecksums());
  std::string damaged = SstFiles(directory / "db").front();
  for (const std::string& file : SstFiles(directory / "db")) {
    if (fs::file_size(file) > fs::file_size(damaged)) damaged = file;
  }
  FlipByte(damaged, 50'000);
  Status status = store->VerifyChecksums();
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(status.message().find(fs::path(damaged).filename()) != std::string::npos);

  bool damage_met = false;
  for (uint64_t n = 0; n < 3000; n++) {
    std::vector<std::optional<std::string>> out;
    std::string row = Row(n), head = Head(n);
    for (Status read :
         {store->MultiGetRows({&row, 1}, &out), store->MultiGetHeads({&head, 1}, &out)}) {
      if (!read.ok()) CHECK(read.code() == StatusCode::kCorruption);
      damage_met |= !read.ok();
    }
  }
  CHECK(damage_met);
}

TEST_CASE("rocks: Settle gives back the space of a large removed range") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  PutRows(store.get(), 30'000, std::string(100, 'r'));
  uint64_t before = store->Stats().live_sst_bytes;
  auto batch = store->NewIngest();
  MustBeOk(batch->DeleteRowRange(Row(100), Row(29'900)));
  MustBeOk(batch->Commit());
  CHECK(store->Stats().live_sst_bytes >= before);
  MustBeOk(store->Settle());
  CHECK(store->Stats().live_sst_bytes < before / 50);
  CHECK(CountRows(store.get()) == 200);
}

TEST_CASE("rocks: pressure is felt at eight files of level 0 and ends when they are compacted") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  std::string value(1000, 'v');
  std::latch go_on(1), all_gone(rocksdb::Env::Default()->GetBackgroundThreads(rocksdb::Env::LOW));
  HoldCompactions(&go_on, &all_gone);
  for (int i = 0; i < 7; i++) PutHeads(store.get(), 100, value);
  // One file fits the last level, the others wait above it.
  CHECK_FALSE(store->IngestPressure());
  PutHeads(store.get(), 100, value);
  PutHeads(store.get(), 100, value);
  CHECK(store->Stats().level0_files >= 8);
  CHECK(store->IngestPressure());
  go_on.count_down();
  all_gone.wait();
  CHECK(Eventually([&] { return !store->IngestPressure(); }));
}

TEST_CASE("rocks: a read-only store reads, refuses batches and changes no file") {
  ScratchDirectory directory;
  PutHeads(OpenStore(directory / "db").get(), 3, "v");
  RocksRowStoreOptions options;
  options.read_only = true;
  CHECK_FALSE(RocksRowStore::Open(directory / "absent", options).ok());
  auto store = OpenStore(directory / "db", options);
  CHECK(GetHead(store.get(), Head(2)) == "v");
  auto batch = store->NewIngest();
  CHECK(batch->PutHead(Head(5), "v").code() == StatusCode::kUnsupported);
  CHECK(batch->Commit().code() == StatusCode::kUnsupported);
  MustBeOk(store->VerifyChecksums());
  MustBeOk(store->Settle());
}

TEST_CASE("rocks: a store that is open elsewhere is busy") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  CHECK(RocksRowStore::Open(directory / "db", {}).status().code() == StatusCode::kBusy);
}

TEST_CASE("rocks: Close interrupts a compaction in another thread") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  for (int i = 0; i < 2; i++) PutRows(store.get(), 60'000, std::string(100, char('a' + i)));
  store->SetBackgroundBytesPerSecond(1 << 20);
  Status status;
  std::thread compaction([&] { status = store->CompactAll(); });
  CHECK(Eventually([&] { return store->Stats().running_compactions > 0; }));
  MustBeOk(store->Close());
  compaction.join();
  CHECK(status.code() == StatusCode::kShutdown);
}

TEST_CASE("rocks: compactions are nice, and not idle") {
  ScratchDirectory directory;
  auto store = OpenStore(directory / "db");
  for (int i = 0; i < 3; i++) PutHeads(store.get(), 100, "v");
  MustBeOk(store->CompactAll());
  int background = 0;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, name);
    if (!name.starts_with("rocksdb:low")) continue;
    // A thread takes on its priority with its next job; one of them at least has had one.
    int tid = std::stoi(task.path().filename());
    CHECK(sched_getscheduler(tid) == SCHED_OTHER);
    int nice = std::min(19, getpriority(PRIO_PROCESS, 0) + RocksRowStoreOptions().compaction_nice);
    background += getpriority(PRIO_PROCESS, id_t(tid)) == nice;
  }
  CHECK(background > 0);
}
