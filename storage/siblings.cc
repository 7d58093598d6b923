// SPDX-License-Identifier: Apache-2.0
#include "storage/siblings.h"

#include <cstring>

#include "base/hash.h"

namespace redynamo {
namespace {

constexpr uint8_t kContextVersion = 1;
constexpr size_t kVersionBytesMin = sizeof(Id128) + 1 + 8;
constexpr char kNoContext[] =
    "ERR the context is none that RING.GET or RING.PUT gave for this key: read the key again by "
    "RING.GET";

uint32_t ChecksumOf(uint16_t ns, std::string_view key, std::string_view body) {
  std::string place;
  PutFixed16(&place, ns);
  PutLengthPrefixed(&place, key);
  return Crc32c(body, Crc32c(place));
}

}  // namespace

std::string EncodeContext(uint16_t ns, std::string_view key, const std::vector<SeenVersion>& seen) {
  std::string out(1, char(kContextVersion));
  PutVarint(&out, seen.size());
  for (const SeenVersion& version : seen) {
    out.append(reinterpret_cast<const char*>(version.dot.actor.data()), sizeof(Id128));
    PutVarint(&out, version.dot.n);
    PutFixed64(&out, version.beside);
  }
  PutFixed32(&out, ChecksumOf(ns, key, out));
  return out;
}

Result<std::vector<SeenVersion>> DecodeContext(uint16_t ns, std::string_view key,
                                               std::string_view context) {
  std::vector<SeenVersion> seen;
  if (context.empty()) return seen;
  if (context.size() < 4 || context.size() > kContextBytesMax) return InvalidArgument(kNoContext);
  std::string_view body = context.substr(0, context.size() - 4);
  ByteReader end(context.substr(body.size()));
  ByteReader in(body);
  uint8_t version = in.Byte();
  uint64_t count = in.Varint();
  bool good = end.Fixed32() == ChecksumOf(ns, key, body) && version == kContextVersion &&
              count <= in.rest().size() / kVersionBytesMin;
  for (uint64_t i = 0; good && i < count; i++) {
    SeenVersion& one = seen.emplace_back();
    std::string_view actor = in.Bytes(sizeof(Id128));
    one.dot.n = in.Varint();
    one.beside = in.Fixed64();
    good = in.ok() && one.dot.n > 0 && one.dot.n >> kDotCounterBits == 0;
    if (good) std::memcpy(one.dot.actor.data(), actor.data(), actor.size());
  }
  if (!good || !in.ok() || !in.empty()) return InvalidArgument(kNoContext);
  return seen;
}

}  // namespace redynamo
