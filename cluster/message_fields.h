// SPDX-License-Identifier: Apache-2.0
// How fields of messages are read, for the sources of message.h only.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "cluster/message.h"

namespace redynamo {

inline void PutId(std::string* out, const Id128& id) {
  out->append(reinterpret_cast<const char*>(id.data()), id.size());
}

// Reads fields and latches the first that is out of its bounds.
class FieldReader {
 public:
  explicit FieldReader(std::string_view payload) : in_(payload) {}

  uint64_t Number(uint64_t max = UINT64_MAX) {
    uint64_t value = in_.Varint();
    return Within(value <= max) ? value : 0;
  }
  int64_t Signed() { return UnZigZag(in_.Varint()); }
  bool Flag() { return Number(1) == 1; }
  uint16_t Partition() { return uint16_t(Number(kPartitionsMax - 1)); }
  template <typename Enum>
  Enum Choice(Enum last) {
    return Enum(Number(uint64_t(last)));
  }
  uint64_t Hash() { return in_.Fixed64(); }
  Id128 Id() {
    Id128 id{};
    std::string_view bytes = in_.Bytes(id.size());
    std::ranges::copy(bytes, id.begin());
    return id;
  }
  std::string_view Bytes(size_t max = SIZE_MAX) {
    std::string_view bytes = in_.LengthPrefixed();
    return Within(bytes.size() <= max) ? bytes : std::string_view();
  }
  // An element of a list takes at least `bytes_min` bytes, so a count cannot claim more memory than
  // its payload justifies.
  size_t Count(size_t max, size_t bytes_min) {
    uint64_t count = Number(max);
    return Within(count <= in_.rest().size() / bytes_min) ? size_t(count) : 0;
  }
  // All fields fit, and nothing follows them.
  Status Finish(MessageKind kind) { return in_.empty() ? FinishOpen(kind) : Malformed(kind); }
  // All fields fit; more may follow.
  Status FinishOpen(MessageKind kind) {
    return in_.ok() && within_ ? Status::Ok() : Malformed(kind);
  }
  bool ok() const { return in_.ok() && within_; }

 private:
  bool Within(bool condition) {
    within_ &= condition;
    return condition;
  }
  static Status Malformed(MessageKind kind) {
    return Corruption("malformed " + std::string(MessageName(kind)));
  }

  ByteReader in_;
  bool within_ = true;
};

}  // namespace redynamo
