// SPDX-License-Identifier: Apache-2.0
#include "storage/log_format.h"

#include <cstdio>
#include <cstring>

#include "base/bytes.h"

namespace redynamo {
namespace {

constexpr std::string_view kMagic = "rdynlog\n";
constexpr size_t kHeaderCrcOffset = kSegmentHeaderBytes - 4;
constexpr std::string_view kNamePrefix = "log-";
constexpr std::string_view kNameSuffix = ".rdlog";
constexpr size_t kNameDigits = 20;
constexpr uint64_t kMaxNumber = 1ull << 62;  // no log gets there; one more never wraps

template <typename T>
void Store(char* out, T value) {
  std::memcpy(out, &value, sizeof(T));
}

template <typename T>
T Load(const char* in) {
  T value;
  std::memcpy(&value, in, sizeof(T));
  return value;
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string out(kMagic);
  PutFixed32(&out, header.format_version);
  PutFixed32(&out, uint32_t(kSegmentHeaderBytes));
  PutFixed64(&out, header.directory_id);
  PutFixed64(&out, header.first_position);
  out.resize(kHeaderCrcOffset, '\0');
  PutFixed32(&out, Crc32c(out));
  return out;
}

// Magic, version and the place of the crc stay as they are in every later version, so that an old
// program tells "newer" from "damaged".
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return Corruption("the segment header is cut short");
  ByteReader in(bytes);
  std::string_view magic = in.Bytes(kMagic.size());
  SegmentHeader header;
  header.format_version = in.Fixed32();
  uint32_t header_bytes = in.Fixed32();
  header.directory_id = in.Fixed64();
  header.first_position = in.Fixed64();
  if (magic != kMagic) return Corruption("no log segment: the magic number is wrong");
  if (Load<uint32_t>(&bytes[kHeaderCrcOffset]) != Crc32c(bytes.substr(0, kHeaderCrcOffset))) {
    return Corruption("the segment header's checksum is wrong");
  }
  if (header.format_version > kLogFormatVersion) {
    return Status(StatusCode::kUnsupported,
                  "log format version " + std::to_string(header.format_version) +
                      " is newer than this program's " + std::to_string(kLogFormatVersion));
  }
  if (header.format_version == 0 || header_bytes != kSegmentHeaderBytes) {
    return Corruption("the segment header's fields are out of range");
  }
  return header;
}

std::string SegmentName(LogPosition first_position) {
  char digits[kNameDigits + 1];
  std::snprintf(digits, sizeof(digits), "%020llu", (unsigned long long)(first_position));
  return std::string(kNamePrefix) + digits + std::string(kNameSuffix);
}

std::optional<LogPosition> ParseSegmentName(std::string_view name) {
  if (name.size() != kNamePrefix.size() + kNameDigits + kNameSuffix.size()) return std::nullopt;
  if (!name.starts_with(kNamePrefix) || !name.ends_with(kNameSuffix)) return std::nullopt;
  LogPosition position = 0;
  for (char c : name.substr(kNamePrefix.size(), kNameDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(position, 10, &position)) return std::nullopt;
    if (__builtin_add_overflow(position, LogPosition(c - '0'), &position)) return std::nullopt;
  }
  return position;
}

uint64_t SegmentSalt(uint64_t directory_id, LogPosition first_position) {
  std::string both;
  PutFixed64(&both, directory_id);
  PutFixed64(&both, first_position);
  return StableHash(both);
}

void EncodeBatchFrame(const BatchFrame& frame, uint64_t salt, LogPosition position, char* out) {
  Store<uint32_t>(out + 4, kBatchWord);
  Store<uint64_t>(out + 8, frame.first_number);
  Store<uint64_t>(out + 16, frame.synced_up_to);
  Store<uint32_t>(out, FrameCrc(salt, position, 0, {out + 4, kBatchFrameBytes - 4}));
}

std::optional<BatchFrame> DecodeBatchFrame(std::string_view bytes, uint64_t salt,
                                           LogPosition position) {
  if (bytes.size() < kBatchFrameBytes) return std::nullopt;
  const char* p = bytes.data();
  if (Load<uint32_t>(p + 4) != kBatchWord) return std::nullopt;
  uint32_t crc = FrameCrc(salt, position, 0, {p + 4, kBatchFrameBytes - 4});
  if (Load<uint32_t>(p) != crc) return std::nullopt;
  BatchFrame frame{Load<uint64_t>(p + 8), Load<uint64_t>(p + 16)};
  if (frame.first_number == 0 || frame.first_number > kMaxNumber) return std::nullopt;
  return frame;
}

void SealRecordFrame(char* frame, uint64_t payload_bytes, uint64_t salt, LogPosition position,
                     uint64_t number) {
  Store<uint32_t>(frame + 4, uint32_t(payload_bytes) | kRecordBit);
  Store<uint32_t>(frame, FrameCrc(salt, position, number, {frame + 4, 4 + payload_bytes}));
}

std::optional<std::string_view> DecodeRecordFrame(std::string_view bytes, uint64_t salt,
                                                  LogPosition position, uint64_t number) {
  if (bytes.size() < kRecordFrameBytes) return std::nullopt;
  uint32_t word = Load<uint32_t>(bytes.data() + 4);
  uint64_t payload_bytes = word & ~kRecordBit;
  if (!(word & kRecordBit) || payload_bytes > kMaxRecordBytes) return std::nullopt;
  if (payload_bytes > bytes.size() - kRecordFrameBytes) return std::nullopt;
  uint32_t crc = FrameCrc(salt, position, number, bytes.substr(4, 4 + payload_bytes));
  if (Load<uint32_t>(bytes.data()) != crc) return std::nullopt;
  return bytes.substr(kRecordFrameBytes, payload_bytes);
}

}  // namespace redynamo
