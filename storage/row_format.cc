// SPDX-License-Identifier: Apache-2.0
#include "storage/row_format.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace redynamo {
namespace {

constexpr int kNamespaceBytes = 2;
constexpr int kPositionBytes = 7;
constexpr int kKeyLengthBytes = 4;
constexpr int kElementHashBytes = 6;
constexpr size_t kCrcBytes = 4;

void PutPlace(std::string* out, uint16_t ns, uint64_t position) {
  CHECK_THAT(position < kPositionCount);
  PutBig(out, ns, kNamespaceBytes);
  PutBig(out, position, kPositionBytes);
}

void PutRowPrefix(std::string* out, uint16_t ns, uint64_t position, std::string_view key) {
  PutPlace(out, ns, position);
  PutBig(out, key.size(), kKeyLengthBytes);
  out->append(key);
}

void PutRowStart(std::string* out, uint16_t ns, uint64_t position, std::string_view key,
                 uint8_t kind, uint64_t element_hash) {
  CHECK_THAT(element_hash < kElementHashCount);
  PutRowPrefix(out, ns, position, key);
  out->push_back(char(kind));
  PutBig(out, element_hash, kElementHashBytes);
}

KeyRange RangeOfPrefix(std::string prefix) {
  std::string upper = PrefixUpperBound(prefix);
  return {std::move(prefix), std::move(upper)};
}

Status Malformed(std::string_view what, std::string_view bytes) {
  return Corruption("malformed " + std::string(what) + " key " + HexForMessage(bytes));
}

}  // namespace

std::string EncodeHeadKey(const HeadKey& head) {
  std::string out;
  out.reserve(kNamespaceBytes + kPositionBytes + head.key.size());
  PutPlace(&out, head.ns, head.position);
  out.append(head.key);
  return out;
}

std::string EncodeRowKey(const RowKey& row) {
  std::string out;
  out.reserve(kNamespaceBytes + kPositionBytes + kKeyLengthBytes + row.key.size() + 1 +
              kElementHashBytes + row.element.size());
  PutRowStart(&out, row.ns, row.position, row.key, row.kind, row.element_hash);
  out.append(row.element);
  return out;
}

Result<HeadKey> DecodeHeadKey(std::string_view bytes) {
  ByteReader reader(bytes);
  HeadKey head;
  head.ns = uint16_t(reader.Big(kNamespaceBytes));
  head.position = reader.Big(kPositionBytes);
  if (!reader.ok() || head.position >= kPositionCount) return Malformed("head", bytes);
  head.key = reader.rest();
  return head;
}

Result<RowKey> DecodeRowKey(std::string_view bytes) {
  ByteReader reader(bytes);
  RowKey row;
  row.ns = uint16_t(reader.Big(kNamespaceBytes));
  row.position = reader.Big(kPositionBytes);
  row.key = reader.Bytes(reader.Big(kKeyLengthBytes));
  row.kind = reader.Byte();
  row.element_hash = reader.Big(kElementHashBytes);
  if (!reader.ok() || row.position >= kPositionCount) return Malformed("row", bytes);
  row.element = reader.rest();
  return row;
}

std::string RowPrefix(uint16_t ns, uint64_t position, std::string_view key) {
  std::string out;
  PutRowPrefix(&out, ns, position, key);
  return out;
}

std::string RowPrefix(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind) {
  std::string out = RowPrefix(ns, position, key);
  out.push_back(char(kind));
  return out;
}

std::string RowSeekKey(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind,
                       uint64_t element_hash) {
  std::string out;
  PutRowStart(&out, ns, position, key, kind, element_hash);
  return out;
}

KeyRange RowRange(uint16_t ns, uint64_t position, std::string_view key) {
  return RangeOfPrefix(RowPrefix(ns, position, key));
}

KeyRange RowRange(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind) {
  return RangeOfPrefix(RowPrefix(ns, position, key, kind));
}

KeyRange PositionRange(uint16_t ns, uint64_t first, uint64_t last) {
  CHECK_THAT(first <= last);
  KeyRange range;
  PutPlace(&range.lower, ns, first);
  std::string last_place;
  PutPlace(&last_place, ns, last);
  range.upper = PrefixUpperBound(last_place);
  return range;
}

KeyRange NamespaceRange(uint16_t ns) {
  std::string prefix;
  PutBig(&prefix, ns, kNamespaceBytes);
  return RangeOfPrefix(std::move(prefix));
}

std::string PrefixUpperBound(std::string_view prefix) {
  std::string upper(prefix);
  while (!upper.empty() && uint8_t(upper.back()) == 0xff) upper.pop_back();
  if (!upper.empty()) upper.back() = char(uint8_t(upper.back()) + 1);
  return upper;
}

std::string SealValue(std::string_view key, std::string_view payload) {
  std::string stored;
  stored.reserve(payload.size() + kCrcBytes);
  stored.append(payload);
  PutFixed32(&stored, Crc32c(payload, Crc32c(key)));
  return stored;
}

std::optional<std::string_view> UnsealValue(std::string_view key, std::string_view stored) {
  if (stored.size() < kCrcBytes) return std::nullopt;
  std::string_view payload = stored.substr(0, stored.size() - kCrcBytes);
  ByteReader reader(stored.substr(payload.size()));
  if (reader.Fixed32() != Crc32c(payload, Crc32c(key))) return std::nullopt;
  return payload;
}

std::string HexForMessage(std::string_view bytes) {
  constexpr size_t kShownBytes = 64;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (char c : bytes.substr(0, kShownBytes)) {
    out.push_back(kDigits[uint8_t(c) >> 4]);
    out.push_back(kDigits[uint8_t(c) & 15]);
  }
  if (bytes.size() > kShownBytes) out += "...";
  return out;
}

}  // namespace redynamo
