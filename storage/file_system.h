// SPDX-License-Identifier: Apache-2.0
// Files as the storage engine sees them. Everything that the log and the checkpoint do to a disk
// goes through this interface, so that tests can put a disk underneath that loses what was not
// synced, fails its n-th call or flips bits (tests/support/faulty_file_system.h).
//
// Errors: kNoSpace for ENOSPC and EDQUOT, kNotFound for a missing file, kBusy for a lock that
// another process holds, kIoError for the rest; the message names the call and the path.
// What is durable: a file's bytes after File::Sync, a name (create, rename, remove) after
// SyncDirectory of its directory. Paths use '/'.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace redynamo {

// An open file. Distinct threads may call WriteAt, ReadAt and Sync at the same time; closing is the
// destructor and must not race with a call.
class File {
 public:
  virtual ~File() = default;

  // Writes all of `bytes` at `offset` or fails; after a failure any part may have been written.
  virtual Status WriteAt(uint64_t offset, std::string_view bytes) = 0;

  // Reads up to `size` bytes into `into`; fewer only at the end of the file. Returns the count.
  virtual Result<uint64_t> ReadAt(uint64_t offset, uint64_t size, char* into) = 0;

  // fdatasync: after Ok every byte written before the call survives a power cut. After a failure
  // nothing is known, and a second call must not be trusted.
  virtual Status Sync() = 0;

  // Makes the file `size` bytes long with disk space for each byte, so that a WriteAt below `size`
  // does not meet a full disk; new bytes read as zero. Never shrinks. On failure the file keeps its
  // size.
  virtual Status Allocate(uint64_t size) = 0;

  virtual Status Truncate(uint64_t size) = 0;
  virtual Result<uint64_t> Size() = 0;
};

// Held while the object lives. The file stays behind.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // created if absent
  kCreate,     // created, or emptied if it exists
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  // Names (without the directory) in ascending order, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // Ok if it exists already. The parent must exist.
  virtual Status MakeDirectory(const std::string& path) = 0;
  virtual Status SyncDirectory(const std::string& path) = 0;
  // Bytes that an unprivileged writer may still use on the file system of `path`.
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
  virtual Result<uint64_t> TotalBytes(const std::string& path) = 0;
  virtual Result<uint64_t> FileSize(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // Takes an exclusive lock on `path` (created if absent); kBusy when another holder has it.
  virtual Result<std::unique_ptr<FileLock>> LockFile(const std::string& path) = 0;

  // The whole file. For small files and for recovery.
  Result<std::string> ReadWhole(const std::string& path);
  // Replaces `path` by `bytes` so that a crash leaves either the old or the new content: writes
  // path + ".tmp", syncs it, renames, syncs the directory.
  Status WriteWhole(const std::string& path, std::string_view bytes);
};

// The machine's file system. Lives for the whole process; any thread.
FileSystem& PosixFileSystem();

// "a/b/c" -> "a/b"; a path without '/' -> ".".
std::string DirectoryOf(const std::string& path);

}  // namespace redynamo
