// SPDX-License-Identifier: Apache-2.0
// However the input is cut, and whenever requests are released, the parser gives the same requests
// and the same error. The first byte seeds the cuts.
#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/random.h"
#include "protocol/resp_parser.h"

namespace {

using namespace redynamo;

std::string Describe(const std::vector<Request>& requests, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += '*';
    for (std::string_view arg : requests[i].args) text += std::to_string(arg.size()).append(arg);
  }
  return text;
}

std::string Run(std::string_view input, Random* cuts) {
  RespParser parser;
  parser.SetBulkBytesMax(1 << 20);
  std::vector<Request> ahead(1);
  std::string text;
  size_t count = 0;
  ParseResult result = ParseResult::kNeedMore;
  while (result != ParseResult::kError && !input.empty()) {
    size_t n = cuts ? std::min(input.size(), size_t(1 + cuts->Below(24))) : input.size();
    CHECK_THAT(parser.Feed(input.substr(0, n)));
    input.remove_prefix(n);
    while ((result = parser.Next(&ahead[count])) == ParseResult::kRequest) {
      CHECK_THAT(!ahead[count].args.empty());
      if (++count == ahead.size()) ahead.resize(count * 2);
    }
    if (cuts && cuts->Below(4) == 0) {
      text += Describe(ahead, count);
      count = 0;
      parser.Release();
    }
  }
  text += Describe(ahead, count);
  return text.append("!").append(parser.error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Random cuts(data[0]);
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  CHECK_THAT(Run(input, nullptr) == Run(input, &cuts));
  return 0;
}
