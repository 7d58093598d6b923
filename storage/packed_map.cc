// SPDX-License-Identifier: Apache-2.0
#include "storage/packed_map.h"

#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "storage/counter.h"

namespace redynamo {
namespace {

constexpr uint8_t kCounterFlag = 1;
constexpr uint8_t kOtherActorFlag = 2;
constexpr uint8_t kAsBaseFlag = 4;

uint64_t ReadVarint(const char*& p) {
  uint64_t v = uint8_t(*p++);
  if (v < 0x80) return v;
  v &= 0x7f;
  for (int shift = 7;; shift += 7) {
    uint64_t byte = uint8_t(*p++);
    v |= (byte & 0x7f) << shift;
    if (byte < 0x80) return v;
  }
}

}  // namespace

PackedMap::~PackedMap() { std::free(data_); }

size_t PackedMap::memory_bytes() const { return data_ ? malloc_usable_size(data_) : 0; }

// Trusts the blob: it was made here, or checked by Load.
PackedMap::Element PackedMap::At(uint32_t offset) const {
  Element e;
  e.offset = e.end = offset;
  if (offset >= used_) return e;
  const char* p = data_ + offset;
  uint8_t flags = uint8_t(*p++);
  if (flags & kAsBaseFlag) {
    e.dot = base_dot_;
    e.hlc = base_hlc_;
  } else {
    uint64_t n = DotCounter(base_dot_) + uint64_t(UnZigZag(ReadVarint(p)));
    e.hlc = base_hlc_ + uint64_t(UnZigZag(ReadVarint(p)));
    uint16_t actor = DotActor(base_dot_);
    if (flags & kOtherActorFlag) {
      std::memcpy(&actor, p, 2);
      p += 2;
    }
    e.dot = MakeDot(actor, n);
  }
  e.counter = flags & kCounterFlag;
  uint64_t key_len = ReadVarint(p);
  e.key = {p, key_len};
  p += key_len;
  uint64_t value_len = ReadVarint(p);
  e.value = {p, value_len};
  e.end = uint32_t(p + value_len - data_);
  return e;
}

PackedMap::Element PackedMap::Find(std::string_view key) const {
  Element e = First();
  while (Valid(e) && e.key != key) e = Next(e);
  return e;
}

std::string_view PackedMap::EncodeElement(std::string_view key, std::string_view value,
                                          bool counter, Dot dot, uint64_t hlc,
                                          std::string* scratch) const {
  scratch->clear();
  bool as_base = dot == base_dot_ && hlc == base_hlc_;
  bool other = DotActor(dot) != DotActor(base_dot_);
  scratch->push_back(char((counter ? kCounterFlag : 0) | (other ? kOtherActorFlag : 0) |
                          (as_base ? kAsBaseFlag : 0)));
  if (!as_base) {
    PutVarint(scratch, ZigZag(int64_t(DotCounter(dot) - DotCounter(base_dot_))));
    PutVarint(scratch, ZigZag(int64_t(hlc - base_hlc_)));
    if (other) PutFixed16(scratch, DotActor(dot));
  }
  PutLengthPrefixed(scratch, key);
  PutLengthPrefixed(scratch, value);
  return *scratch;
}

void PackedMap::Splice(uint32_t offset, uint32_t old_bytes, std::string_view bytes) {
  uint32_t tail = used_ - offset - old_bytes;
  uint32_t used = offset + uint32_t(bytes.size()) + tail;
  if (!data_ || used > malloc_usable_size(data_)) {
    // No slack of our own: the allocator's size classes leave enough for amortised growth.
    data_ = static_cast<char*>(std::realloc(data_, used));
    CHECK_THAT(data_ != nullptr);
  }
  std::memmove(data_ + offset + bytes.size(), data_ + offset + old_bytes, tail);
  if (!bytes.empty()) std::memcpy(data_ + offset, bytes.data(), bytes.size());
  used_ = used;
}

void PackedMap::Append(std::string_view key, std::string_view value, bool counter, Dot dot,
                       uint64_t hlc) {
  if (count_ == 0) {
    base_dot_ = dot;
    base_hlc_ = hlc;
  }
  std::string scratch;
  Splice(used_, 0, EncodeElement(key, value, counter, dot, hlc, &scratch));
  count_++;
}

void PackedMap::Replace(const Element& e, std::string_view value, bool counter, Dot dot,
                        uint64_t hlc) {
  std::string scratch;
  std::string_view bytes = EncodeElement(e.key, value, counter, dot, hlc, &scratch);
  Splice(e.offset, e.end - e.offset, bytes);
}

void PackedMap::Erase(const Element& e) {
  Splice(e.offset, e.end - e.offset, {});
  count_--;
}

void PackedMap::EncodeTo(std::string* out) const {
  PutFixed64(out, base_dot_);
  PutFixed64(out, base_hlc_);
  PutVarint(out, count_);
  if (used_) out->append(data_, used_);
}

bool PackedMap::Load(std::string_view encoded) {
  ByteReader in(encoded);
  base_dot_ = in.Fixed64();
  base_hlc_ = in.Fixed64();
  uint64_t count = in.Varint();
  std::string_view blob = in.rest();
  for (uint64_t i = 0; i < count && in.ok(); i++) {
    uint8_t flags = in.Byte();
    if (flags & ~(kCounterFlag | kOtherActorFlag | kAsBaseFlag)) return false;
    if ((flags & kAsBaseFlag) && (flags & kOtherActorFlag)) return false;
    if (!(flags & kAsBaseFlag)) {
      in.Varint();
      in.Varint();
    }
    if (flags & kOtherActorFlag) in.Fixed16();
    in.LengthPrefixed();
    std::string_view value = in.LengthPrefixed();
    if ((flags & kCounterFlag) && !CounterCell::Valid(value)) return false;
  }
  if (!in.ok() || !in.empty()) return false;
  Splice(0, used_, blob);
  count_ = uint32_t(count);
  return true;
}

}  // namespace redynamo
