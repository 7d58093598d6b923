// SPDX-License-Identifier: Apache-2.0
#include "storage/identity.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "base/hash.h"

namespace redynamo {
namespace {

constexpr char kMagic[] = "rdynid\n";
constexpr size_t kActorsMax = 65'535;
constexpr size_t kForeignActorsMax = 60'000;  // the rest is for rotations

Id128 NewId(const Identity::RandomSource& random) {
  Id128 id;
  std::memcpy(id.data(), random(16).data(), 16);
  return id;
}

uint64_t NewNumber(const Identity::RandomSource& random) {
  uint64_t number;
  std::memcpy(&number, random(8).data(), 8);
  return number;
}

std::string Path(const std::string& dir) { return dir + "/identity"; }

Result<Identity> Decode(std::string_view bytes, const std::string& path) {
  if (bytes.size() < 4) return Corruption("'" + path + "' is too short");
  ByteReader crc(bytes.substr(bytes.size() - 4));
  std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (crc.Fixed32() != Crc32c(body)) {
    return Corruption("'" + path + "' fails its checksum; restore it from a backup of this " +
                      "data directory (without it the positions of all keys are unknown)");
  }
  ByteReader in(body);
  Identity id;
  if (in.Bytes(7) != kMagic) return Corruption("'" + path + "' is not an identity file");
  uint32_t version = in.Fixed32();
  if (version > Identity::kFormatVersion) {
    return Status(StatusCode::kUnsupported, "'" + path + "' has format " + std::to_string(version) +
                                                ", this build reads up to " +
                                                std::to_string(Identity::kFormatVersion) +
                                                "; start a newer redynamo-server");
  }
  std::string_view node = in.Bytes(16);
  std::copy(node.begin(), node.end(), id.node_id.begin());
  id.directory_id = in.Fixed64();
  id.seed = in.Fixed64();
  id.fingerprint = in.Fixed64();
  id.clean = in.Byte() != 0;
  id.boot_id = std::string(in.LengthPrefixed());
  uint64_t actors = in.Varint();
  for (uint64_t i = 0; i < actors && in.ok(); i++) {
    std::string_view actor = in.Bytes(16);
    Id128 copy{};
    std::copy(actor.begin(), actor.end(), copy.begin());
    id.actors.push_back(copy);
    if (version > 1 && in.Byte() != 0) id.foreign.insert(uint16_t(i));
  }
  uint64_t own = version > 1 ? in.Varint() : actors - 1;
  id.own = uint16_t(own);
  uint64_t partitions = version > 2 ? in.Varint() : uint64_t(kPartitionsDefault);
  id.partitions = int(partitions);
  bool own_there = own < actors && !id.foreign.contains(id.own);
  if (!in.ok() || !own_there || !IsPartitionCount(partitions) || !in.empty() || id.actors.empty() ||
      id.actors.size() > kActorsMax) {
    return Corruption("'" + path + "' is malformed");
  }
  return id;
}

}  // namespace

std::string Identity::node_id_hex() const { return Id128Digits(node_id); }

Result<Identity> Identity::LoadOrCreate(FileSystem* fs, const std::string& dir, bool* created,
                                        const RandomSource& random) {
  *created = !fs->Exists(Path(dir));
  if (!*created) {
    Result<std::string> bytes = fs->ReadWhole(Path(dir));
    if (!bytes.ok()) return bytes.status();
    return Decode(*bytes, Path(dir));
  }
  Identity id;
  id.node_id = NewId(random);
  id.directory_id = NewNumber(random);
  id.seed = NewNumber(random);
  id.actors.push_back(NewId(random));
  id.clean = true;
  return id;
}

bool Identity::MustRotate(const std::string& boot_id_now, uint64_t fingerprint_now) const {
  bool same_place = fingerprint == fingerprint_now;
  return !same_place || !(clean || boot_id == boot_id_now);
}

void Identity::Rotate(const RandomSource& random) {
  if (actors.size() >= kActorsMax) return;
  actors.push_back(NewId(random));
  own = uint16_t(actors.size() - 1);
}

Result<uint16_t> Identity::Intern(const Id128& actor) {
  auto known = std::find(actors.begin(), actors.end(), actor);
  if (known != actors.end()) return uint16_t(known - actors.begin());
  if (actors.size() >= kForeignActorsMax) {
    return Status(StatusCode::kNoSpace,
                  "this data directory has met too many incarnations of other nodes");
  }
  uint16_t index = uint16_t(actors.size());
  actors.push_back(actor);
  foreign.insert(index);
  return index;
}

Status Identity::Save(FileSystem* fs, const std::string& dir) const {
  std::string out(kMagic, 7);
  // What is as it always was is written so that older builds read it.
  bool usual = partitions == kPartitionsDefault;
  PutFixed32(&out, usual ? kFormatVersion - 1 : kFormatVersion);
  out.append(reinterpret_cast<const char*>(node_id.data()), 16);
  PutFixed64(&out, directory_id);
  PutFixed64(&out, seed);
  PutFixed64(&out, fingerprint);
  out.push_back(clean);
  PutLengthPrefixed(&out, boot_id);
  PutVarint(&out, actors.size());
  for (size_t i = 0; i < actors.size(); i++) {
    out.append(reinterpret_cast<const char*>(actors[i].data()), 16);
    out.push_back(char(foreign.contains(uint16_t(i))));
  }
  PutVarint(&out, own);
  if (!usual) PutVarint(&out, uint64_t(partitions));
  PutFixed32(&out, Crc32c(out));
  return fs->WriteWhole(Path(dir), out);
}

std::string KernelBootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id;
}

uint64_t DirectoryFingerprint(const std::string& dir) {
  struct stat s {};
  if (stat(dir.c_str(), &s) != 0) return 0;
  return uint64_t(s.st_dev) * 0x9e3779b97f4a7c15 ^ uint64_t(s.st_ino);
}

}  // namespace redynamo
