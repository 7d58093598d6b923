// SPDX-License-Identifier: Apache-2.0
#include "base/id128.h"

#include "base/hash.h"

namespace redynamo {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string Id128Digits(const Id128& id) {
  std::string out;
  for (uint8_t byte : id) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  uint64_t tail = StableHash(out);
  for (int i = 0; i < 8; i++) out.push_back(kDigits[tail >> (4 * i) & 15]);
  return out;
}

bool ParseId128Digits(std::string_view text, Id128* out) {
  if (text.size() != kId128Digits) return false;
  for (char c : text) {
    if (DigitValue(c) < 0) return false;
  }
  Id128 id{};
  for (size_t i = 0; i < id.size(); i++) {
    id[i] = uint8_t(DigitValue(text[2 * i]) << 4 | DigitValue(text[2 * i + 1]));
  }
  std::string canonical = Id128Digits(id);
  for (size_t i = 0; i < text.size(); i++) {
    if (DigitValue(text[i]) != DigitValue(canonical[i])) return false;
  }
  *out = id;
  return true;
}

}  // namespace redynamo
