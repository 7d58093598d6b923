// SPDX-License-Identifier: Apache-2.0
// Fixed-width, varint and length-prefixed coding. Little-endian unless the name says Big: keys in
// RocksDB are big-endian so that byte order is numeric order.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace redynamo {

inline void PutFixed16(std::string* out, uint16_t v) {
  out->append(reinterpret_cast<char*>(&v), 2);
}
inline void PutFixed32(std::string* out, uint32_t v) {
  out->append(reinterpret_cast<char*>(&v), 4);
}
inline void PutFixed64(std::string* out, uint64_t v) {
  out->append(reinterpret_cast<char*>(&v), 8);
}

// The `width` low bytes of v, most significant first.
inline void PutBig(std::string* out, uint64_t v, int width) {
  for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) out->push_back(char(v >> shift));
}

inline void PutVarint(std::string* out, uint64_t v) {
  char buffer[10];
  int n = 0;
  while (v >= 0x80) {
    buffer[n++] = char(v | 0x80);
    v >>= 7;
  }
  buffer[n++] = char(v);
  out->append(buffer, n);
}

inline void PutLengthPrefixed(std::string* out, std::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes);
}

inline uint64_t ZigZag(int64_t v) { return (uint64_t(v) << 1) ^ uint64_t(v >> 63); }
inline int64_t UnZigZag(uint64_t v) { return int64_t(v >> 1) ^ -int64_t(v & 1); }

// Reads what the Put functions wrote. The first read beyond the end or malformed varint latches
// ok() = false; every later read then gives zeros, so a decoder reads everything and checks once.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  uint8_t Byte() { return uint8_t(Fixed<uint8_t>()); }
  uint16_t Fixed16() { return Fixed<uint16_t>(); }
  uint32_t Fixed32() { return Fixed<uint32_t>(); }
  uint64_t Fixed64() { return Fixed<uint64_t>(); }

  uint64_t Big(int width) {
    std::string_view raw = Bytes(width);
    uint64_t v = 0;
    for (char c : raw) v = v << 8 | uint8_t(c);
    return v;
  }

  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      uint8_t byte = uint8_t(rest_.front());
      rest_.remove_prefix(1);
      v |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return v;
    }
    return Fail();
  }

  std::string_view Bytes(uint64_t n) {
    if (n > rest_.size()) return Fail(), std::string_view();
    std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }

  std::string_view LengthPrefixed() { return Bytes(Varint()); }

 private:
  template <typename T>
  T Fixed() {
    T v = 0;
    if (rest_.size() < sizeof(T)) return T(Fail());
    std::memcpy(&v, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return v;
  }
  uint64_t Fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace redynamo
