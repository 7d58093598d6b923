// SPDX-License-Identifier: Apache-2.0
#include "storage/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace redynamo {
namespace {

Status Failed(const char* call, const std::string& path) {
  int error_number = errno;
  Status status = IoError(std::string(call) + " " + path, error_number);
  return error_number == ENOENT ? Status(StatusCode::kNotFound, status.message()) : status;
}

class PosixFile : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { close(fd_); }

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), off_t(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("write", path_);
      offset += uint64_t(n);
      bytes.remove_prefix(size_t(n));
    }
    return Status::Ok();
  }

  Result<uint64_t> ReadAt(uint64_t offset, uint64_t size, char* into) override {
    uint64_t done = 0;
    while (done < size) {
      ssize_t n = pread(fd_, into + done, size - done, off_t(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("read", path_);
      if (n == 0) break;
      done += uint64_t(n);
    }
    return done;
  }

  Status Sync() override {
    // Not repeated on EINTR: fdatasync does not return it on local file systems, and a sync that
    // failed must never be tried again.
    return fdatasync(fd_) == 0 ? Status::Ok() : Failed("fdatasync", path_);
  }

  Status Allocate(uint64_t size) override {
    Result<uint64_t> old_size = Size();
    if (!old_size.ok()) return old_size.status();
    if (size <= *old_size) return Status::Ok();
    int rc;
    do {
      rc = fallocate(fd_, 0, off_t(*old_size), off_t(size - *old_size));
    } while (rc != 0 && errno == EINTR);
    if (rc == 0) return Status::Ok();
    bool unsupported = errno == EOPNOTSUPP;
    Status status = unsupported ? WriteZeros(*old_size, size) : Failed("fallocate", path_);
    // A half-made extension would keep its blocks from everybody else.
    if (!status.ok() && ftruncate(fd_, off_t(*old_size)) != 0) return Failed("truncate", path_);
    return status;
  }

  Status Truncate(uint64_t size) override {
    return ftruncate(fd_, off_t(size)) == 0 ? Status::Ok() : Failed("truncate", path_);
  }

  Result<uint64_t> Size() override {
    struct stat info;
    if (fstat(fd_, &info) != 0) return Failed("stat", path_);
    return uint64_t(info.st_size);
  }

 private:
  // For file systems without fallocate.
  Status WriteZeros(uint64_t from, uint64_t to) {
    const std::string zeros(1 << 20, '\0');
    for (; from < to; from += zeros.size()) {
      uint64_t n = std::min<uint64_t>(zeros.size(), to - from);
      Status status = WriteAt(from, std::string_view(zeros).substr(0, n));
      if (!status.ok()) return status;
    }
    return Status::Ok();
  }

  const int fd_;
  const std::string path_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}
  ~PosixLock() override { close(fd_); }  // releases the flock

 private:
  const int fd_;
};

class PosixFiles : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    if (mode == OpenMode::kRead) flags |= O_RDONLY;
    if (mode == OpenMode::kReadWrite) flags |= O_RDWR | O_CREAT;
    if (mode == OpenMode::kCreate) flags |= O_RDWR | O_CREAT | O_TRUNC;
    int fd = open(path.c_str(), flags, 0644);
    if (fd < 0) return Failed("open", path);
    return std::unique_ptr<File>(new PosixFile(fd, path));
  }

  Status Rename(const std::string& from, const std::string& to) override {
    return rename(from.c_str(), to.c_str()) == 0 ? Status::Ok() : Failed("rename", from);
  }

  Status Remove(const std::string& path) override {
    return unlink(path.c_str()) == 0 ? Status::Ok() : Failed("remove", path);
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* stream = opendir(directory.c_str());
    if (!stream) return Failed("list", directory);
    std::vector<std::string> names;
    errno = 0;
    while (dirent* entry = readdir(stream)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
      errno = 0;
    }
    Status status = errno == 0 ? Status::Ok() : Failed("list", directory);
    closedir(stream);
    if (!status.ok()) return status;
    std::sort(names.begin(), names.end());
    return names;
  }

  Status MakeDirectory(const std::string& path) override {
    if (mkdir(path.c_str(), 0755) == 0) return Status::Ok();
    if (errno != EEXIST) return Failed("make directory", path);
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return Status::Ok();
    errno = ENOTDIR;
    return Failed("make directory", path);
  }

  Status SyncDirectory(const std::string& path) override {
    int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return Failed("open directory", path);
    Status status = fsync(fd) == 0 ? Status::Ok() : Failed("sync directory", path);
    close(fd);
    return status;
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info;
    if (statvfs(path.c_str(), &info) != 0) return Failed("free space of", path);
    return uint64_t(info.f_bavail) * info.f_frsize;
  }

  Result<uint64_t> TotalBytes(const std::string& path) override {
    struct statvfs info;
    if (statvfs(path.c_str(), &info) != 0) return Failed("size of the file system of", path);
    return uint64_t(info.f_blocks) * info.f_frsize;
  }

  Result<uint64_t> FileSize(const std::string& path) override {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return Failed("stat", path);
    return uint64_t(info.st_size);
  }

  bool Exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  Result<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return Failed("open", path);
    // flock and not fcntl: it belongs to the open file, so a second open of this process is refused
    // as well, and closing some other descriptor of the file does not release it.
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return std::unique_ptr<FileLock>(new PosixLock(fd));
    bool busy = errno == EWOULDBLOCK;
    Status status = Failed("lock", path);
    close(fd);
    return busy ? Status(StatusCode::kBusy, path + " is locked by another process") : status;
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static PosixFiles files;
  return files;
}

std::string DirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::string> FileSystem::ReadWhole(const std::string& path) {
  auto file = Open(path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string bytes(*size, '\0');
  Result<uint64_t> got = (*file)->ReadAt(0, bytes.size(), bytes.data());
  if (!got.ok()) return got.status();
  bytes.resize(*got);
  return bytes;
}

Status FileSystem::WriteWhole(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  auto file = Open(temporary, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  Status status = (*file)->WriteAt(0, bytes);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = Rename(temporary, path);
  if (status.ok()) status = SyncDirectory(DirectoryOf(path));
  return status;
}

}  // namespace redynamo
