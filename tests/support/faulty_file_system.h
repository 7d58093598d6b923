// SPDX-License-Identifier: Apache-2.0
// A disk in memory with bad luck on demand:
//   - Crash() brings back what was synced: a file's bytes as of its last Sync, a name as of the
//     last SyncDirectory. What was not synced is lost, or survives in random parts (CrashKeeps).
//   - FailCall(n, errno) fails the n-th call from now; FailFrom fails every one from then on.
//   - SetCapacity() makes the disk full.
//   - FlipBit() damages a file.
// A failed write leaves half of its bytes; a failed sync leaves bytes that can be read but that no
// later sync makes durable, as Linux does. Any thread.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/file_system.h"

namespace redynamo {

// What of the unsynced bytes and names a crash leaves.
enum class CrashKeeps {
  kNothing,
  kPrefix,   // of each file: the oldest writes, the last of them in part
  kSectors,  // each 512-byte piece of each write, and each name change, by the toss of a coin
};

class FaultyFileSystem : public FileSystem {
 public:
  // --- bad luck ---

  // Counts from the next call (1). 0: no failure.
  void FailCall(uint64_t n, int error_number) { SetFailure(n, error_number, false); }
  void FailFrom(uint64_t n, int error_number) { SetFailure(n, error_number, true); }
  bool failed() const {  // whether the failure has struck
    std::lock_guard lock(mutex_);
    return struck_;
  }
  uint64_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

  void SetCapacity(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    capacity_ = bytes;
  }

  // From here on every call fails without effect, until Crash.
  void PowerOff() {
    std::lock_guard lock(mutex_);
    off_ = true;
  }

  // Power is back. Open files of before are dead. REQUIRES: no other thread calls.
  void Crash(CrashKeeps keeps, Random* random) {
    std::lock_guard lock(mutex_);
    for (const Change& change : changes_) {
      if (keeps == CrashKeeps::kNothing) break;
      if (keeps == CrashKeeps::kSectors && random->Below(2)) continue;
      if (keeps == CrashKeeps::kPrefix && random->Below(4) == 0) break;
      Apply(change, &durable_names_);
    }
    changes_.clear();
    for (auto& [path, inode] : durable_names_) {
      auto fresh = std::make_shared<Inode>();
      fresh->durable = Survivors(*inode, keeps, random);
      fresh->live = fresh->durable;
      inode = fresh;
    }
    names_ = durable_names_;
    locks_.clear();
    off_ = false;
  }

  void FlipBit(const std::string& path, uint64_t bit) {
    std::lock_guard lock(mutex_);
    Inode& inode = *names_.at(path);
    inode.live.at(bit / 8) ^= char(1 << bit % 8);
    if (bit / 8 < inode.durable.size()) inode.durable[bit / 8] ^= char(1 << bit % 8);
  }

  std::string Contents(const std::string& path) const {
    std::lock_guard lock(mutex_);
    return names_.at(path)->live;
  }

  // Replaces or makes a file, durably.
  void SetContents(const std::string& path, std::string bytes) {
    std::lock_guard lock(mutex_);
    auto inode = std::make_shared<Inode>();
    inode->live = inode->durable = std::move(bytes);
    names_[path] = durable_names_[path] = inode;
  }

  std::vector<std::string> Paths() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [path, inode] : names_) out.push_back(path);
    return out;
  }

  // --- FileSystem ---

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("open " + path, e);
    auto found = names_.find(path);
    if (found == names_.end()) {
      if (mode == OpenMode::kRead) return Missing(path);
      auto inode = std::make_shared<Inode>();
      Change change{path, "", inode};
      Apply(change, &names_);
      changes_.push_back(change);
      return std::unique_ptr<File>(new OpenFile(this, inode, path));
    }
    auto file = std::unique_ptr<File>(new OpenFile(this, found->second, path));
    if (mode == OpenMode::kCreate) Do(found->second.get(), {0, "", 0, true});
    return file;
  }

  Status Rename(const std::string& from, const std::string& to) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("rename " + from, e);
    auto found = names_.find(from);
    if (found == names_.end()) return Missing(from);
    return Change_({to, from, found->second});
  }

  Status Remove(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("remove " + path, e);
    if (!names_.count(path)) return Missing(path);
    return Change_({"", path, nullptr});
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("list " + directory, e);
    std::vector<std::string> out;
    for (const auto& [path, inode] : names_) {
      if (DirectoryOf(path) == directory) out.push_back(path.substr(directory.size() + 1));
    }
    return out;
  }

  // Directories come into being by their files.
  Status MakeDirectory(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("make directory " + path, e);
    return Status::Ok();
  }

  Status SyncDirectory(const std::string& directory) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("sync directory " + directory, e);
    std::vector<Change> others;
    for (const Change& change : changes_) {
      const std::string& path = change.path.empty() ? change.old_path : change.path;
      if (DirectoryOf(path) == directory)
        Apply(change, &durable_names_);
      else
        others.push_back(change);
    }
    changes_ = std::move(others);
    return Status::Ok();
  }

  Result<uint64_t> TotalBytes(const std::string&) override { return capacity_; }
  Result<uint64_t> FreeBytes(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("free space of " + path, e);
    uint64_t used = Used();
    return used < capacity_ ? capacity_ - used : 0;
  }

  Result<uint64_t> FileSize(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("stat " + path, e);
    auto found = names_.find(path);
    if (found == names_.end()) return Missing(path);
    return uint64_t(found->second->live.size());
  }

  bool Exists(const std::string& path) override {
    std::lock_guard lock(mutex_);
    return names_.count(path) != 0;
  }

  Result<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    std::lock_guard lock(mutex_);
    if (int e = Strike()) return IoError("lock " + path, e);
    if (!locks_.insert(path).second) return Status(StatusCode::kBusy, path + " is locked");
    return std::unique_ptr<FileLock>(new Lock(this, path));
  }

 private:
  // One change of a file's bytes: `bytes` at `offset`, or a new size.
  struct Write {
    uint64_t offset = 0;
    std::string bytes;
    uint64_t size = 0;
    bool resize = false;
  };
  struct Inode {
    std::string live, durable;
    std::vector<Write> unsynced;
  };
  // `path` names `inode` now, and `old_path` names nothing; either may be empty.
  struct Change {
    std::string path, old_path;
    std::shared_ptr<Inode> inode;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  class OpenFile : public File {
   public:
    OpenFile(FaultyFileSystem* fs, std::shared_ptr<Inode> inode, std::string path)
        : fs_(fs), inode_(std::move(inode)), path_(std::move(path)) {}

    Status WriteAt(uint64_t offset, std::string_view bytes) override {
      std::lock_guard lock(fs_->mutex_);
      int e = fs_->Strike();
      uint64_t end = offset + bytes.size();
      if (!e && !fs_->Fits(inode_->live.size(), end)) e = ENOSPC;
      if (fs_->off_) return IoError("write " + path_, EIO);
      if (e) bytes = bytes.substr(0, bytes.size() / 2);
      fs_->Do(inode_.get(), {offset, std::string(bytes), 0, false});
      return e ? IoError("write " + path_, e) : Status::Ok();
    }

    Result<uint64_t> ReadAt(uint64_t offset, uint64_t size, char* into) override {
      std::lock_guard lock(fs_->mutex_);
      if (int e = fs_->Strike()) return IoError("read " + path_, e);
      if (offset >= inode_->live.size()) return uint64_t(0);
      return uint64_t(inode_->live.copy(into, size, offset));
    }

    Status Sync() override {
      std::lock_guard lock(fs_->mutex_);
      int e = fs_->Strike();
      if (fs_->off_) return IoError("fdatasync " + path_, EIO);
      inode_->unsynced.clear();
      if (e) return IoError("fdatasync " + path_, e);
      inode_->durable = inode_->live;
      return Status::Ok();
    }

    Status Allocate(uint64_t size) override {
      std::lock_guard lock(fs_->mutex_);
      if (int e = fs_->Strike()) return IoError("fallocate " + path_, e);
      if (!fs_->Fits(inode_->live.size(), size)) return IoError("fallocate " + path_, ENOSPC);
      if (size > inode_->live.size()) fs_->Do(inode_.get(), {0, "", size, true});
      return Status::Ok();
    }

    Status Truncate(uint64_t size) override {
      std::lock_guard lock(fs_->mutex_);
      if (int e = fs_->Strike()) return IoError("truncate " + path_, e);
      fs_->Do(inode_.get(), {0, "", size, true});
      return Status::Ok();
    }

    Result<uint64_t> Size() override {
      std::lock_guard lock(fs_->mutex_);
      if (int e = fs_->Strike()) return IoError("stat " + path_, e);
      return uint64_t(inode_->live.size());
    }

   private:
    FaultyFileSystem* fs_;
    std::shared_ptr<Inode> inode_;
    std::string path_;
  };

  class Lock : public FileLock {
   public:
    Lock(FaultyFileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
    ~Lock() override {
      std::lock_guard lock(fs_->mutex_);
      fs_->locks_.erase(path_);
    }

   private:
    FaultyFileSystem* fs_;
    std::string path_;
  };

  static Status Missing(const std::string& path) {
    return {StatusCode::kNotFound, path + ": No such file or directory"};
  }

  void SetFailure(uint64_t n, int error_number, bool sticky) {
    std::lock_guard lock(mutex_);
    calls_ = 0;
    fail_at_ = n;
    error_number_ = error_number;
    sticky_ = sticky;
    struck_ = false;
  }

  // Counts a call; the errno that it must fail with, or 0.
  int Strike() {
    calls_++;
    if (off_) return EIO;
    if (fail_at_ == 0 || calls_ < fail_at_ || (calls_ > fail_at_ && !sticky_)) return 0;
    struck_ = true;
    return error_number_;
  }

  uint64_t Used() const {
    uint64_t used = 0;
    for (const auto& [path, inode] : names_) used += inode->live.size();
    return used;
  }
  bool Fits(uint64_t old_size, uint64_t new_size) const {
    return new_size <= old_size || Used() + (new_size - old_size) <= capacity_;
  }

  static void Apply(const Change& change, Names* names) {
    if (!change.old_path.empty()) names->erase(change.old_path);
    if (!change.path.empty()) (*names)[change.path] = change.inode;
  }
  Status Change_(Change change) {
    Apply(change, &names_);
    changes_.push_back(std::move(change));
    return Status::Ok();
  }

  static void Apply(const Write& write, std::string* bytes) {
    if (write.resize) return bytes->resize(write.size, '\0');
    if (bytes->size() < write.offset + write.bytes.size()) {
      bytes->resize(write.offset + write.bytes.size(), '\0');
    }
    bytes->replace(write.offset, write.bytes.size(), write.bytes);
  }
  static void Do(Inode* inode, Write write) {
    Apply(write, &inode->live);
    inode->unsynced.push_back(std::move(write));
  }

  static std::string Survivors(const Inode& inode, CrashKeeps keeps, Random* random) {
    std::string bytes = inode.durable;
    if (keeps == CrashKeeps::kNothing) return bytes;
    size_t whole = size_t(random->Below(inode.unsynced.size() + 1));
    for (size_t i = 0; i < inode.unsynced.size(); i++) {
      Write write = inode.unsynced[i];
      if (keeps == CrashKeeps::kSectors) {
        ApplySectors(write, &bytes, random);
        continue;
      }
      if (i > whole) break;
      if (i == whole) write.bytes.resize(size_t(random->Below(write.bytes.size() + 1)));
      if (i < whole || !write.resize) Apply(write, &bytes);
    }
    return bytes;
  }

  static void ApplySectors(const Write& write, std::string* bytes, Random* random) {
    if (write.resize) {
      if (random->Below(2)) Apply(write, bytes);
      return;
    }
    for (size_t begin = 0; begin < write.bytes.size();) {
      size_t end = std::min<size_t>(write.bytes.size(), begin + 512 - (write.offset + begin) % 512);
      if (random->Below(2)) {
        Apply({write.offset + begin, write.bytes.substr(begin, end - begin), 0, false}, bytes);
      }
      begin = end;
    }
  }

  mutable std::mutex mutex_;
  Names names_, durable_names_;
  std::vector<Change> changes_;  // of names, not durable yet, oldest first
  std::set<std::string> locks_;
  uint64_t capacity_ = ~0ull;
  uint64_t calls_ = 0, fail_at_ = 0;
  int error_number_ = 0;
  bool sticky_ = false, struck_ = false, off_ = false;
};

}  // namespace redynamo
