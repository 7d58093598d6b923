// SPDX-License-Identifier: Apache-2.0
// Values of one word: text to number and back, with Redis' words for what is wrong.
#include <charconv>
#include <utility>

#include "base/number.h"
#include "server/config_row.h"
#include "server/config_words.h"

namespace redynamo {
namespace {

constexpr std::pair<std::string_view, int64_t> kMemoryUnits[] = {
    {"", 1},          {"b", 1},        {"k", 1'000},         {"kb", 1 << 10},
    {"m", 1'000'000}, {"mb", 1 << 20}, {"g", 1'000'000'000}, {"gb", 1 << 30},
};

std::string ToBase(int64_t number, int base) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, number, base);
  return {text, end.ptr};
}

std::string PrintInteger(const SettingRow& row, int64_t number) {
  return ToBase(number, row.type == SettingType::kOctal ? 8 : 10);
}

Status CheckRange(const SettingRow& row, int64_t number) {
  if (number >= row.min && number <= row.max) return Status::Ok();
  return InvalidArgument("argument must be between " + PrintInteger(row, row.min) + " and " +
                         PrintInteger(row, row.max) + " inclusive");
}

std::string ChoiceWords(const SettingRow& row) {
  std::string words;
  for (const Choice& choice : row.choices) {
    if (!words.empty()) words += ", ";
    words += choice.word;
  }
  return words;
}

Result<int64_t> ParseChoice(const SettingRow& row, std::string_view word) {
  for (const Choice& choice : row.choices) {
    if (EqualsIgnoringCase(choice.word, word)) return choice.value;
  }
  return InvalidArgument("argument(s) must be one of the following: " + ChoiceWords(row));
}

Result<int64_t> ParseBool(std::string_view word) {
  if (EqualsIgnoringCase(word, "yes")) return int64_t{1};
  if (EqualsIgnoringCase(word, "no")) return int64_t{0};
  return InvalidArgument("argument must be 'yes' or 'no'");
}

Result<int64_t> ParseOctal(std::string_view word) {
  int64_t number = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), number, 8);
  if (end.ec != std::errc() || end.ptr != word.data() + word.size()) {
    return InvalidArgument("argument couldn't be parsed as an octal number");
  }
  return number;
}

Result<int64_t> ParseWholeNumber(std::string_view word) {
  int64_t number = 0;
  if (ParseInt64(word, &number)) return number;
  return InvalidArgument("argument couldn't be parsed into an integer");
}

Result<int64_t> ParseBytes(std::string_view word) {
  int64_t bytes = 0;
  if (ParseMemory(word, &bytes)) return bytes;
  return InvalidArgument("argument must be a memory value");
}

// "5%" is its own canonical form; anything else is a number of bytes.
Result<ParsedValue> ParseMemoryOrPercent(std::string_view word) {
  int64_t number = 0;
  if (word.ends_with('%')) {
    const std::string_view digits = word.substr(0, word.size() - 1);
    if (ParseInt64(digits, &number) && number >= 0) {
      if (number > 100) {
        return InvalidArgument("percentage argument must be less or equal to 100");
      }
      return ParsedValue{number, std::string(word)};
    }
  } else if (ParseMemory(word, &number)) {
    return ParsedValue{number, ToBase(number, 10)};
  }
  return InvalidArgument("argument must be a memory or percent value");
}

Result<int64_t> ParseNumber(const SettingRow& row, std::string_view word) {
  switch (row.type) {
    case SettingType::kBool: return ParseBool(word);
    case SettingType::kOctal: return ParseOctal(word);
    case SettingType::kMemory: return ParseBytes(word);
    case SettingType::kEnum: return ParseChoice(row, word);
    default: return ParseWholeNumber(word);
  }
}

std::string TypeText(const SettingRow& row) {
  switch (row.type) {
    case SettingType::kBool: return "yes or no";
    case SettingType::kInteger:
      return "a whole number from " + PrintInteger(row, row.min) + " to " +
             PrintInteger(row, row.max);
    case SettingType::kOctal:
      return "an octal number from " + PrintInteger(row, row.min) + " to " +
             PrintInteger(row, row.max);
    case SettingType::kMemory:
      return "a size from " + PrintMemory(row.min) + " to " + PrintMemory(row.max) +
             " bytes, with b, k, kb, m, mb, g or gb (1k = 1000, 1kb = 1024)";
    case SettingType::kMemoryOrPercent: return "a size (100mb) or a part of maxmemory (0% to 100%)";
    case SettingType::kEnum: return "one of " + ChoiceWords(row);
    case SettingType::kString: return "one word, in quotes if it contains blanks";
    case SettingType::kList: return std::string(row.list->form);
  }
  return {};
}

}  // namespace

bool ParseMemory(std::string_view word, int64_t* bytes) {
  size_t digits = 0;
  while (digits < word.size() && word[digits] >= '0' && word[digits] <= '9') ++digits;
  if (digits == 0) return false;
  int64_t number = 0;
  const auto end = std::from_chars(word.data(), word.data() + digits, number);
  if (end.ec != std::errc()) return false;
  for (const auto& [unit, factor] : kMemoryUnits) {
    if (!EqualsIgnoringCase(unit, word.substr(digits))) continue;
    return !__builtin_mul_overflow(number, factor, bytes);
  }
  return false;
}

std::string PrintMemory(int64_t bytes) {
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}};
  for (const auto& [unit, factor] : kUnits) {
    if (bytes != 0 && bytes % factor == 0) {
      return ToBase(bytes / factor, 10) + std::string(unit);
    }
  }
  return ToBase(bytes, 10);
}

std::string PrintNumber(const SettingRow& row, int64_t number) {
  switch (row.type) {
    case SettingType::kBool: return number != 0 ? "yes" : "no";
    case SettingType::kEnum:
      for (const Choice& choice : row.choices) {
        if (choice.value == number) return std::string(choice.word);
      }
      return "unknown";
    default: return PrintInteger(row, number);
  }
}

Result<ParsedValue> ParseValue(const SettingRow& row, std::string_view word) {
  if (row.type == SettingType::kMemoryOrPercent) return ParseMemoryOrPercent(word);
  if (row.type == SettingType::kString) {
    if (row.check != nullptr) {
      if (Status status = row.check(word); !status.ok()) return status;
    }
    return ParsedValue{0, std::string(word)};
  }
  Result<int64_t> number = ParseNumber(row, word);
  if (!number.ok()) return number.status();
  const bool ranged = row.type == SettingType::kInteger || row.type == SettingType::kOctal ||
                      row.type == SettingType::kMemory;
  if (ranged) {
    if (Status status = CheckRange(row, *number); !status.ok()) return status;
  }
  return ParsedValue{*number, PrintNumber(row, *number)};
}

std::string AllowedText(const SettingRow& row) {
  std::string text = TypeText(row);
  if (!row.unit.empty()) text += " (" + std::string(row.unit) + ")";
  if (row.type == SettingType::kList || row.Has(kFileOnly)) return text;
  const std::string_view shown = row.default_text.empty() ? "\"\"" : row.default_text;
  return text + "; the default is " + std::string(shown);
}

}  // namespace redynamo
