// SPDX-License-Identifier: Apache-2.0
#include "protocol/resp_reader.h"

#include "base/number.h"

namespace redynamo {

bool ReadResp(std::string_view* in, RespValue* out) {
  size_t end = in->find("\r\n");
  if (in->empty() || end == std::string_view::npos) return false;
  *out = RespValue();
  out->type = (*in)[0];
  out->text = in->substr(1, end - 1);
  std::string_view rest = in->substr(end + 2);
  int64_t number = 0;
  switch (out->type) {
    case '+':
    case '-':
    case ',':
    case '#':
    case '(': break;
    case '_': out->nil = true; break;
    case ':':
      if (!ParseInt64(out->text, &out->integer)) return false;
      break;
    case '$':
    case '=':
      if (!ParseInt64(out->text, &number) || number < -1) return false;
      out->nil = number < 0;
      out->text = {};
      if (out->nil) break;
      if (rest.size() < 2 || uint64_t(number) > rest.size() - 2) return false;
      out->text = rest.substr(0, size_t(number));
      rest.remove_prefix(size_t(number));
      if (!rest.starts_with("\r\n")) return false;
      rest.remove_prefix(2);
      break;
    case '*':
    case '~':
    case '>':
    case '%':
      if (!ParseInt64(out->text, &number) || number < -1) return false;
      out->nil = number < 0;
      out->items = out->nil ? 0 : uint64_t(number);
      // Each takes three bytes at least, so a count is no more than its bytes can hold.
      if (out->items > rest.size()) return false;
      if (out->type == '%') out->items *= 2;
      break;
    default: return false;
  }
  *in = rest;
  return true;
}

bool SkipResp(std::string_view* in, std::string_view* whole) {
  std::string_view rest = *in;
  for (uint64_t left = 1; left > 0; left--) {
    RespValue value;
    if (!ReadResp(&rest, &value)) return false;
    left += value.items;
  }
  *whole = in->substr(0, in->size() - rest.size());
  *in = rest;
  return true;
}

}  // namespace redynamo
