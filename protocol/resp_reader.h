// SPDX-License-Identifier: Apache-2.0
// Takes rendered replies apart, as far as needed to put several of them together: RESP2 and RESP3.
// Nothing is copied; what is given points into the bytes.
//
//   std::string_view rest = reply;
//   RespValue list;
//   if (!ReadResp(&rest, &list) || list.type != '*') return malformed;
//   for (uint64_t i = 0; i < list.items; i++) SkipResp(&rest, &element);
#pragma once

#include <cstdint>
#include <string_view>

namespace redynamo {

struct RespValue {
  char type = 0;          // '+', '-', ':', '$', '*', '_', ...: the first byte
  std::string_view text;  // '+', '-', ':' and the like: the line; '$', '=': the bytes
  bool nil = false;       // "$-1", "*-1", "_"
  uint64_t items = 0;     // of '*', '~', '>'; of '%': twice its pairs. They follow.
  int64_t integer = 0;    // ':'
};

// The value that *in begins with, or its header if it is an aggregate; *in is moved behind it.
// False when those bytes are none.
bool ReadResp(std::string_view* in, RespValue* out);

// The bytes of the whole value that *in begins with, whatever it holds.
bool SkipResp(std::string_view* in, std::string_view* whole);

}  // namespace redynamo
