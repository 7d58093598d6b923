// SPDX-License-Identifier: Apache-2.0
// Who this data directory is (REPLICATION.md section 6): one fsynced file, `identity`, with the
// node's id, the position seed, every actor under which it has ever written, and every actor of
// another directory whose events it has taken over. An actor's place in this list is its local
// index in dots on disk, so it is durable before any of them is. The own actor is rotated, that is
// replaced by a new random one, whenever dots could have left the node without being on disk: after
// anything but a clean stop or a process crash within one boot of the machine, and when the
// recovered log had to be cut.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/id128.h"
#include "base/random.h"
#include "base/status.h"
#include "storage/file_system.h"
#include "storage/partition_set.h"

namespace redynamo {

struct Identity {
  using RandomSource = std::function<std::string(size_t bytes)>;
  // 1: all actors are own ones, the last is in use; 2: there are kPartitionsDefault partitions.
  static constexpr uint32_t kFormatVersion = 3;

  Id128 node_id{};
  uint64_t directory_id = 0;  // stamped on every log segment
  uint64_t seed = 0;          // of positions and element hashes
  int partitions = kPartitionsDefault;
  std::vector<Id128> actors;   // by local index
  std::set<uint16_t> foreign;  // those of other directories
  uint16_t own = 0;            // the one in use
  std::string boot_id;         // of the kernel, when last opened
  uint64_t fingerprint = 0;    // device and inode of the directory
  bool clean = false;          // an orderly stop wrote it; consumed at start

  std::string node_id_hex() const;  // 40 digits, as CLUSTER MYID wants

  // Reads dir/identity, or makes a new one. kUnsupported for a newer format, kCorruption when the
  // checksum fails. `created` tells which.
  static Result<Identity> LoadOrCreate(FileSystem* fs, const std::string& dir, bool* created,
                                       const RandomSource& random = SystemRandomBytes);
  // Whether a start with this identity must rotate (`boot_id`, `fingerprint`: of now).
  bool MustRotate(const std::string& boot_id_now, uint64_t fingerprint_now) const;
  void Rotate(const RandomSource& random = SystemRandomBytes);
  // The local index of a foreign actor, new if need be: then Save must follow before it is used in
  // anything that is written. kNoSpace when there are too many.
  Result<uint16_t> Intern(const Id128& actor);
  Status Save(FileSystem* fs, const std::string& dir) const;
};

std::string KernelBootId();
uint64_t DirectoryFingerprint(const std::string& dir);

}  // namespace redynamo
