// SPDX-License-Identifier: Apache-2.0
#include "server/arg_reader.h"

#include "base/number.h"

namespace redynamo {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; }

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

std::string_view ArgReader::Next() {
  if (done()) {
    FailSyntax();
    return {};
  }
  return args_[at_++];
}

int64_t ArgReader::Int64(std::string_view error) {
  if (done()) {
    FailSyntax();
    return 0;
  }
  int64_t value = 0;
  if (!ParseInt64(Next(), &value)) Fail(error);
  return value;
}

int64_t ArgReader::Int64In(int64_t low, int64_t high, std::string_view error) {
  bool had_failed = !ok();
  int64_t value = Int64(error);
  if (!had_failed && ok() && (value < low || value > high)) Fail(error);
  return value;
}

double ArgReader::Double(std::string_view error) {
  if (done()) {
    FailSyntax();
    return 0;
  }
  double value = 0;
  if (!ParseDouble(Next(), &value)) Fail(error);
  return value;
}

bool ArgReader::TryWord(std::string_view word) {
  if (done() || !EqualsIgnoreCase(args_[at_], word)) return false;
  ++at_;
  return true;
}

}  // namespace redynamo
