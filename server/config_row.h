// SPDX-License-Identifier: Apache-2.0
// A setting is a row of data: its names, how its value is read and printed, what is allowed, and
// where in Config it lives. Rows with a meaning are in config_table.cc and config_ring_table.cc,
// those that Redis has and we keep and show only in config_kept_table.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/status.h"
#include "server/config.h"

namespace redynamo {

enum class SettingType {
  kBool,             // yes, no
  kInteger,          // decimal
  kOctal,            // a file mode
  kMemory,           // bytes: 100, 100b, 10k, 10kb, 1m, 1mb, 1g, 1gb
  kMemoryOrPercent,  // the same, or "5%" of maxmemory; a text
  kEnum,             // one of `choices`, any case
  kString,           // one word, taken as it is
  kList,             // several words, by `list`
};

// Bits of SettingRow::flags.
enum SettingFlag : uint32_t {
  kAtStartOnly = 1 << 0,  // CONFIG SET: "can't set immutable config"
  kProtected = 1 << 1,    // CONFIG SET: as enable-protected-configs says
  kSensitive = 1 << 2,    // a password
  kKept = 1 << 3,         // no effect here: taken, shown, and warned of when given at start
  kFileOnly = 1 << 4,     // a directive of the file; CONFIG GET and SET do not know it
  kNeedsHook = 1 << 5,    // nobody reads the member again: CONFIG SET needs an OnChange hook
  kNotAlone = 1 << 6,     // kList: lines of the file add up, "" takes back the earlier ones
};

struct Choice {
  std::string_view word;
  int64_t value;
};

// Access to a bool, number or enum member of Config.
struct NumberSlot {
  int64_t (*get)(const Config&) = nullptr;
  void (*set)(Config&, int64_t) = nullptr;
};

template <auto kMember>
constexpr NumberSlot Slot() {
  return {[](const Config& config) { return static_cast<int64_t>(config.*kMember); },
          [](Config& config, int64_t value) {
            config.*kMember = static_cast<std::decay_t<decltype(config.*kMember)>>(value);
          }};
}

// How a setting of several words is read and printed.
struct ListSlot {
  // `append`: an earlier line spoke of it too. Errors: the reason alone, as Redis words it.
  Status (*parse)(Config&, std::span<const std::string> words, bool append) = nullptr;
  std::string (*print)(const Config&) = nullptr;
  // The words of each line that CONFIG REWRITE writes; at least one line unless kFileOnly.
  std::vector<std::vector<std::string>> (*lines)(const Config&) = nullptr;
  std::string_view form;  // what is allowed, for messages
};

struct SettingRow {
  std::string_view name;
  std::string_view alias = {};  // an older name of the same setting
  SettingType type;
  std::string_view default_text;
  uint32_t flags = 0;
  int64_t min = 0;
  int64_t max = INT64_MAX;
  std::string_view unit = {};
  std::span<const Choice> choices = {};
  NumberSlot number = {};
  std::string Config::*text = nullptr;
  const ListSlot* list = nullptr;
  Status (*check)(std::string_view value) = nullptr;  // kString: a reason to refuse
  std::string_view doc;                               // one line; kept rows: why it has no effect

  bool Has(SettingFlag flag) const { return (flags & flag) != 0; }
};

// All rows, those with a meaning first. Pointers to rows live as long as the process.
std::span<const SettingRow> MeaningfulSettings();
std::span<const SettingRow> RingSettings();
std::span<const SettingRow> KeptSettings();
const std::vector<const SettingRow*>& AllSettings();
// By name or alias, any case; nullptr if there is none.
const SettingRow* FindSetting(std::string_view name);
// The known name nearest to a misspelt one; empty if none is near.
std::string_view NearestSettingName(std::string_view name);

// --- Values (config_value.cc) ----------------------------------------------------------------
// A value of one word, checked: `number` for kBool, kInteger, kOctal, kMemory and kEnum; `text` its
// canonical form, as CONFIG GET shows it. Errors: the reason alone, as Redis words it.
struct ParsedValue {
  int64_t number = 0;
  std::string text;
};
Result<ParsedValue> ParseValue(const SettingRow& row, std::string_view word);
std::string PrintNumber(const SettingRow& row, int64_t number);
// "a whole number from 0 to 65535"; with its default: what to write instead of a wrong value.
std::string AllowedText(const SettingRow& row);
// 1073741824 as "1gb": the shortest exact form.
std::string PrintMemory(int64_t bytes);
// Bytes of "10kb" and the like; false if it is no such thing.
bool ParseMemory(std::string_view word, int64_t* bytes);

// --- Forms of several words (config_lists.cc) -------------------------------------------------
extern const ListSlot kBindList;
extern const ListSlot kRingSeedsList;
extern const ListSlot kRingJoinList;
extern const ListSlot kRingPolicyList;
extern const ListSlot kSaveList;
extern const ListSlot kOutputBufferLimitList;
extern const ListSlot kNotifyEventsList;
extern const ListSlot kPercentilesList;
extern const ListSlot kOomScoreAdjList;
extern const ListSlot kRenameCommandList;
extern const ListSlot kReplicaOfList;
extern const ListSlot kShutdownOnSigintList;
extern const ListSlot kShutdownOnSigtermList;

}  // namespace redynamo
