// SPDX-License-Identifier: Apache-2.0
#include "protocol/resp_writer.h"

#include <cstring>

#include "base/check.h"
#include "base/number.h"

namespace redynamo {
namespace {

// "<mark><number>\r\n" in one append.
void AppendNumberLine(char mark, int64_t number, std::string* out) {
  char line[1 + kInt64CharsMax + 2];
  line[0] = mark;
  size_t size;
  if (uint64_t(number) < 10) {  // most lengths of lists and many integers: no division
    line[1] = char('0' + number);
    size = 2;
  } else {
    size = 1 + FormatInt64(number, line + 1);
  }
  line[size++] = '\r';
  line[size++] = '\n';
  out->append(line, size);
}

bool IsLineBreak(char c) { return c == '\r' || c == '\n'; }

void AppendLine(char mark, std::string_view text, std::string* out) {
  while (!text.empty() && IsLineBreak(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsLineBreak(text.back())) text.remove_suffix(1);
  out->push_back(mark);
  size_t start = out->size();
  out->append(text);
  for (size_t i = start; i < out->size(); ++i) {
    if (IsLineBreak((*out)[i])) (*out)[i] = ' ';
  }
  out->append("\r\n", 2);
}

bool IsResp3(RespVersion version) { return version == RespVersion::kResp3; }

void WriteItems(const Reply& reply, RespVersion version, std::string* out) {
  for (const Reply& item : reply.items()) {
    CHECK_THAT(item.kind() != Reply::Kind::kNone);
    WriteReply(item, version, out);
  }
}

}  // namespace

void AppendInteger(int64_t value, std::string* out) { AppendNumberLine(':', value, out); }

void AppendBulk(std::string_view bytes, std::string* out) {
  AppendNumberLine('$', int64_t(bytes.size()), out);
  out->append(bytes);
  out->append("\r\n", 2);
}

void AppendNil(RespVersion version, std::string* out) {
  out->append(IsResp3(version) ? "_\r\n" : "$-1\r\n");
}

void AppendNilArray(RespVersion version, std::string* out) {
  out->append(IsResp3(version) ? "_\r\n" : "*-1\r\n");
}

void AppendDouble(double value, RespVersion version, std::string* out) {
  char text[kDoubleCharsMax];
  std::string_view number(text, FormatDouble(value, text));
  if (IsResp3(version)) {
    AppendLine(',', number, out);
  } else {
    AppendBulk(number, out);
  }
}

void AppendBoolean(bool value, RespVersion version, std::string* out) {
  if (IsResp3(version)) {
    out->append(value ? "#t\r\n" : "#f\r\n");
  } else {
    AppendInteger(value, out);
  }
}

void AppendVerbatim(std::string_view text, RespVersion version, std::string* out) {
  if (!IsResp3(version)) return AppendBulk(text, out);
  AppendNumberLine('=', int64_t(text.size()) + 4, out);  // 4: the format's name below
  out->append("txt:", 4);
  out->append(text);
  out->append("\r\n", 2);
}

void AppendStatus(std::string_view text, std::string* out) {
  if (text == "OK") {
    out->append("+OK\r\n", 5);
  } else {
    AppendLine('+', text, out);
  }
}

void AppendError(std::string_view text, std::string* out) { AppendLine('-', text, out); }

void AppendArrayHeader(size_t items, std::string* out) {
  AppendNumberLine('*', int64_t(items), out);
}

void AppendSetHeader(size_t items, RespVersion version, std::string* out) {
  AppendNumberLine(IsResp3(version) ? '~' : '*', int64_t(items), out);
}

void AppendMapHeader(size_t pairs, RespVersion version, std::string* out) {
  if (IsResp3(version)) {
    AppendNumberLine('%', int64_t(pairs), out);
  } else {
    AppendNumberLine('*', int64_t(pairs) * 2, out);
  }
}

void AppendPushHeader(size_t items, RespVersion version, std::string* out) {
  AppendNumberLine(IsResp3(version) ? '>' : '*', int64_t(items), out);
}

void WriteReply(const Reply& reply, RespVersion version, std::string* out) {
  using Kind = Reply::Kind;
  switch (reply.kind()) {
    case Kind::kNone: return;
    case Kind::kNil: return AppendNil(version, out);
    case Kind::kNilArray: return AppendNilArray(version, out);
    case Kind::kStatus: return AppendStatus(reply.text(), out);
    case Kind::kError: return AppendError(reply.text(), out);
    case Kind::kInteger: return AppendInteger(reply.integer(), out);
    case Kind::kDouble: return AppendDouble(reply.number(), version, out);
    case Kind::kBoolean: return AppendBoolean(reply.integer() != 0, version, out);
    case Kind::kBulk: return AppendBulk(reply.text(), out);
    case Kind::kVerbatim: return AppendVerbatim(reply.text(), version, out);
    case Kind::kBigNumber:
      return IsResp3(version) ? AppendLine('(', reply.text(), out) : AppendBulk(reply.text(), out);
    case Kind::kArray: AppendArrayHeader(reply.items().size(), out); break;
    case Kind::kSet: AppendSetHeader(reply.items().size(), version, out); break;
    case Kind::kMap:
      CHECK_THAT(reply.items().size() % 2 == 0);
      AppendMapHeader(reply.items().size() / 2, version, out);
      break;
    case Kind::kPush: AppendPushHeader(reply.items().size(), version, out); break;
  }
  WriteItems(reply, version, out);
}

}  // namespace redynamo
