// SPDX-License-Identifier: Apache-2.0
// Any text as a settings file: refused with the line, or settings whose shown values are taken
// again and show the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "server/config.h"

using namespace redynamo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (size_t i = 0; i + 3 <= text.size(); i++) {  // other files are not this test's matter
    if ((text[i] | 0x20) == 'i' && (text[i + 1] | 0x20) == 'n' && (text[i + 2] | 0x20) == 'c') {
      return 0;
    }
  }
  Settings settings;
  Status status = settings.LoadText(text, "the test");
  if (!status.ok()) {
    CHECK_THAT(status.message().find("at line ") != std::string::npos);
    return 0;
  }
  std::string_view all = "*";
  for (const auto& [name, value] : settings.Get({&all, 1})) {
    std::pair<std::string_view, std::string_view> pair(name, value);
    if (!settings.Set({&pair, 1}).ok()) continue;  // not changeable at run time
    Result<std::string> shown = settings.GetOne(name);
    CHECK_THAT(shown.ok() && *shown == value);
  }
  return 0;
}
