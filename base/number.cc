// SPDX-License-Identifier: Apache-2.0
#include "base/number.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace redynamo {
namespace {

constexpr size_t kLongDoubleTextMax = 5 * 1024;

// Digits without sign or leading zero; false beyond 2^64 - 1.
bool ParseDigits(std::string_view digits, uint64_t* out) {
  if (digits.empty() || digits.size() > 20) return false;
  if (digits[0] == '0' && digits.size() > 1) return false;
  uint64_t value = 0;
  for (char c : digits) {
    unsigned digit = unsigned(c) - '0';
    if (digit > 9) return false;
    if (__builtin_mul_overflow(value, uint64_t(10), &value)) return false;
    if (__builtin_add_overflow(value, uint64_t(digit), &value)) return false;
  }
  *out = value;
  return true;
}

double StrTo(const char* text, char** end, double) { return std::strtod(text, end); }
long double StrTo(const char* text, char** end, long double) { return std::strtold(text, end); }

// `text` is NUL-terminated at `size`; a NUL inside ends the number early and so is refused.
template <typename T>
bool ParseTerminated(const char* text, size_t size, T* out) {
  if (size == 0 || std::isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  errno = 0;
  T value = StrTo(text, &end, T());
  if (size_t(end - text) != size || std::isnan(value)) return false;
  if (errno == ERANGE && (std::isinf(value) || value == 0)) return false;
  *out = value;
  return true;
}

// Lays out `digits`, whose value is digits * 10^exponent. Few zeros are written out, many become
// an exponent; the bounds are those of the double formatter that Redis 7.2 answers with:
//   digits 15, exponent 300   1.5e+301        digits 1, exponent -7   1e-7
//   digits 31, exponent 3     31000           digits 1, exponent -4   0.0001
size_t LayOut(const char* digits, int count, int exponent, char* out) {
  int scientific = exponent + count - 1;  // of d.ddd form
  char* to = out;
  auto copy = [&to](const char* from, int n) { to = std::copy(from, from + n, to); };
  if (exponent >= 0 && scientific < count + 7) {
    copy(digits, count);
    to = std::fill_n(to, exponent, '0');
    return size_t(to - out);
  }
  if (exponent < 0 && (exponent > -7 || std::abs(scientific) < 4)) {
    int whole = count + exponent;  // digits before the point
    if (whole <= 0) {
      copy("0.", 2);
      to = std::fill_n(to, -whole, '0');
      copy(digits, count);
    } else {
      copy(digits, whole);
      *to++ = '.';
      copy(digits + whole, count - whole);
    }
    return size_t(to - out);
  }
  *to++ = digits[0];
  if (count > 1) {
    *to++ = '.';
    copy(digits + 1, count - 1);
  }
  *to++ = 'e';
  *to++ = scientific < 0 ? '-' : '+';
  to = std::to_chars(to, to + 4, std::abs(scientific)).ptr;
  return size_t(to - out);
}

size_t Copy(std::string_view text, char* out) {
  std::memcpy(out, text.data(), text.size());
  return text.size();
}

}  // namespace

bool ParseUint64(std::string_view text, uint64_t* out) { return ParseDigits(text, out); }

bool ParseInt64(std::string_view text, int64_t* out) {
  bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  uint64_t magnitude;
  if (!ParseDigits(text, &magnitude)) return false;
  uint64_t limit = uint64_t(std::numeric_limits<int64_t>::max()) + negative;
  if (magnitude > limit || (negative && magnitude == 0)) return false;
  *out = negative ? int64_t(0 - magnitude) : int64_t(magnitude);
  return true;
}

bool ParseDouble(std::string_view text, double* out) {
  // from_chars is several times faster; what it refuses may still be a '+', hexadecimal or a
  // subnormal, which strtod decides.
  double value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (std::isnan(value)) return false;
    *out = value;
    return true;
  }
  char small[64];
  if (text.size() < sizeof(small)) {
    small[Copy(text, small)] = '\0';
    return ParseTerminated(small, text.size(), out);
  }
  return ParseTerminated(std::string(text).c_str(), text.size(), out);
}

bool ParseLongDouble(std::string_view text, long double* out) {
  char terminated[kLongDoubleTextMax];
  if (text.size() >= sizeof(terminated)) return false;
  terminated[Copy(text, terminated)] = '\0';
  return ParseTerminated(terminated, text.size(), out);
}

size_t FormatInt64(int64_t value, char* out) {
  return size_t(std::to_chars(out, out + kInt64CharsMax, value).ptr - out);
}

size_t FormatUint64(uint64_t value, char* out) {
  return size_t(std::to_chars(out, out + kInt64CharsMax, value).ptr - out);
}

size_t FormatDouble(double value, char* out) {
  if (std::isnan(value)) return Copy("nan", out);
  if (std::isinf(value)) return Copy(value > 0 ? "inf" : "-inf", out);
  if (value == 0) return Copy(std::signbit(value) ? "-0" : "0", out);
  // Whole numbers up to 2^62 are always written out in full.
  if (std::fabs(value) <= 0x1p62 && double(int64_t(value)) == value) {
    return FormatInt64(int64_t(value), out);
  }
  size_t sign = 0;
  if (value < 0) out[sign++] = '-';
  // to_chars gives d.ddde+XX: gather the digits and the exponent.
  char text[kDoubleCharsMax];
  auto end =
      std::to_chars(text, text + sizeof(text), std::fabs(value), std::chars_format::scientific).ptr;
  char digits[kDoubleCharsMax];
  int count = 0;
  const char* at = text;
  for (; *at != 'e'; ++at) {
    if (*at != '.') digits[count++] = *at;
  }
  at += at[1] == '+' ? 2 : 1;  // from_chars takes no '+'
  int scientific = 0;
  std::from_chars(at, end, scientific);
  while (count > 1 && digits[count - 1] == '0') --count;
  return sign + LayOut(digits, count, scientific - count + 1, out + sign);
}

std::string FormatInt64(int64_t value) {
  char text[kInt64CharsMax];
  return std::string(text, FormatInt64(value, text));
}

std::string FormatDouble(double value) {
  char text[kDoubleCharsMax];
  return std::string(text, FormatDouble(value, text));
}

std::string FormatLongDouble(long double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[kLongDoubleTextMax];
  int size = std::snprintf(text, sizeof(text), "%.17Lf", value);
  std::string_view rest(text, size_t(size));
  if (rest.find('.') != rest.npos) {
    rest = rest.substr(0, rest.find_last_not_of('0') + 1);
    if (rest.back() == '.') rest.remove_suffix(1);
  }
  return rest == "-0" ? "0" : std::string(rest);
}

}  // namespace redynamo
