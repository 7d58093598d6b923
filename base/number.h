// SPDX-License-Identifier: Apache-2.0
// Numbers as text, by the rules that clients of Redis see. Every Parse function takes the whole
// text or nothing: it returns false, and leaves *out alone, when any byte does not belong to the
// number. All are pure and may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace redynamo {

// Room for any int64_t, any shortest double; no terminating NUL is written.
inline constexpr size_t kInt64CharsMax = 20;
inline constexpr size_t kDoubleCharsMax = 32;

// The canonical form only: an optional '-', no '+', no space, no leading zero, not "-0".
bool ParseInt64(std::string_view text, int64_t* out);
bool ParseUint64(std::string_view text, uint64_t* out);

// Whatever strtod takes (decimal, hexadecimal, "inf", a leading '+'), but no leading space, no
// NaN, and no magnitude that overflows or vanishes to zero.
bool ParseDouble(std::string_view text, double* out);

// The same for long double, at most 5,119 bytes. "inf" parses; INCRBYFLOAT refuses an infinite sum.
bool ParseLongDouble(std::string_view text, long double* out);

// Write to `out` (room: the constants above) and return the number of bytes.
size_t FormatInt64(int64_t value, char* out);
size_t FormatUint64(uint64_t value, char* out);

// The shortest decimal that reads back as `value`, laid out as Redis 7.2 answers scores:
// "3", "0.1", "1e-7", "12345.678", "1.5e+300", "inf", "-inf", "nan", "-0".
size_t FormatDouble(double value, char* out);

std::string FormatInt64(int64_t value);
std::string FormatDouble(double value);

// The form of INCRBYFLOAT: 17 decimals, trailing zeros removed, never an exponent.
std::string FormatLongDouble(long double value);

}  // namespace redynamo
