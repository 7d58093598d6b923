// SPDX-License-Identifier: Apache-2.0
// Settings at run time: the values, CONFIG GET and CONFIG SET.
#include "server/config.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/glob.h"
#include "server/config_row.h"
#include "server/config_words.h"

namespace redynamo {
namespace {

using NameMap = std::map<std::string, const SettingRow*, std::less<>>;

const NameMap& RowsByName() {
  static const NameMap rows = [] {
    NameMap map;
    for (const SettingRow* row : AllSettings()) {
      map.emplace(row->name, row);
      if (!row->alias.empty()) map.emplace(row->alias, row);
    }
    return map;
  }();
  return rows;
}

// Changes of one letter that lead from one name to the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::vector<std::string> DefaultWords(const SettingRow& row) {
  if (row.type != SettingType::kList) return {std::string(row.default_text)};
  auto words = SplitWords(row.default_text);
  CHECK_THAT(words.has_value());
  return *words;
}

Status SetError(std::string_view name, std::string_view reason) {
  std::string text = "ERR CONFIG SET failed (possibly related to argument '";
  text.append(name).append("') - ").append(reason);
  return InvalidArgument(std::move(text));
}

// CONFIG SET has its quotes behind it: words are what stands between blanks.
std::vector<std::string> SplitAtBlanks(std::string_view text) {
  std::vector<std::string> words;
  for (text = TrimSpace(text); !text.empty(); text = TrimSpace(text)) {
    const size_t end = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

Status UnknownOption(std::string_view name) {
  return InvalidArgument("ERR Unknown option or number of arguments for CONFIG SET - '" +
                         std::string(name) + "'");
}

}  // namespace

const std::vector<const SettingRow*>& AllSettings() {
  static const std::vector<const SettingRow*> rows = [] {
    std::vector<const SettingRow*> all;
    for (const SettingRow& row : MeaningfulSettings()) all.push_back(&row);
    for (const SettingRow& row : RingSettings()) all.push_back(&row);
    for (const SettingRow& row : KeptSettings()) all.push_back(&row);
    return all;
  }();
  return rows;
}

const SettingRow* FindSetting(std::string_view name) {
  const auto found = RowsByName().find(ToLower(name));
  return found == RowsByName().end() ? nullptr : found->second;
}

std::string_view NearestSettingName(std::string_view name) {
  constexpr size_t kNameBytesMax = 64;
  if (name.empty() || name.size() > kNameBytesMax) return {};
  const std::string lower = ToLower(name);
  std::string_view nearest;
  size_t least = 1 + lower.size() / 4;  // farther away is another word, not a slip
  for (const auto& [known, row] : RowsByName()) {
    const size_t distance = EditDistance(lower, known);
    if (distance > least || (distance == least && !nearest.empty())) continue;
    least = distance;
    nearest = known;
  }
  return nearest;
}

Settings::Settings() {
  for (const SettingRow* row : AllSettings()) {
    if (row->Has(kFileOnly)) continue;
    const std::vector<std::string> words = DefaultWords(*row);
    CHECK_THAT(Assign(*row, words, /*append=*/false).ok());
  }
}

Settings::~Settings() = default;

void Settings::SetCommandExists(std::function<bool(std::string_view)> exists) {
  command_exists_ = std::move(exists);
}

bool Settings::IsSensitive(std::string_view name) {
  const SettingRow* row = FindSetting(name);
  return row != nullptr && row->Has(kSensitive);
}

Status Settings::MakeDirAbsolute() {
  dir_as_given_ = config_.dir;
  char resolved[PATH_MAX];
  if (realpath(config_.dir.c_str(), resolved) != nullptr) {
    config_.dir = resolved;
    return Status::Ok();
  }
  if (config_.dir.starts_with('/')) return Status::Ok();  // it will be made
  if (getcwd(resolved, sizeof resolved) == nullptr) {
    return IoError("the working directory, from which 'dir' is relative", errno);
  }
  const size_t skipped = config_.dir.starts_with("./") ? 2 : 0;
  config_.dir = std::string(resolved) + "/" + config_.dir.substr(skipped);
  return Status::Ok();
}

std::string Settings::ValueOf(const SettingRow& row) const {
  if (row.list != nullptr) return row.list->print(config_);
  if (row.number.get != nullptr) return PrintNumber(row, row.number.get(config_));
  if (row.text != nullptr) return config_.*row.text;
  const auto kept = kept_.find(&row);
  return kept == kept_.end() ? std::string() : kept->second;
}

Status Settings::Assign(const SettingRow& row, std::span<const std::string> words, bool append) {
  if (row.list != nullptr) return row.list->parse(config_, words, append);
  if (words.size() != 1) return InvalidArgument("wrong number of arguments");
  Result<ParsedValue> value = ParseValue(row, words[0]);
  if (!value.ok()) return value.status();
  if (row.number.set != nullptr) {
    row.number.set(config_, value->number);
  } else if (row.text != nullptr) {
    config_.*row.text = value->text;
  } else {
    kept_[&row] = value->text;
  }
  return Status::Ok();
}

std::vector<Settings::NameValue> Settings::Get(std::span<const std::string_view> globs) const {
  const auto asked = [&](std::string_view name) {
    return std::any_of(globs.begin(), globs.end(), [&](std::string_view glob) {
      return GlobMatch(glob, name, /*ignore_case=*/true);
    });
  };
  std::vector<NameValue> found;
  for (const SettingRow* row : AllSettings()) {
    if (row->Has(kFileOnly)) continue;
    for (const std::string_view name : {row->name, row->alias}) {
      if (!name.empty() && asked(name)) found.emplace_back(name, ValueOf(*row));
    }
  }
  return found;
}

Result<std::string> Settings::GetOne(std::string_view name) const {
  const SettingRow* row = FindSetting(name);
  if (row == nullptr || row->Has(kFileOnly)) {
    return Status(StatusCode::kNotFound, "no setting '" + std::string(name) + "'");
  }
  return ValueOf(*row);
}

void Settings::OnChange(std::initializer_list<std::string_view> names, ChangeHook hook) {
  Hook added;
  for (const std::string_view name : names) {
    const SettingRow* row = FindSetting(name);
    CHECK_THAT(row != nullptr);
    added.rows.push_back(row);
  }
  added.call = std::move(hook);
  hooks_.push_back(std::move(added));
}

bool Settings::HasHook(const SettingRow& row) const {
  return std::any_of(hooks_.begin(), hooks_.end(), [&](const Hook& hook) {
    return std::find(hook.rows.begin(), hook.rows.end(), &row) != hook.rows.end();
  });
}

// The rows of the names, if each is known, may be changed now, and is named once. A setting and
// its older name count as two, and the later of them wins.
Result<std::vector<const SettingRow*>> Settings::FindAll(Pairs pairs, bool local_client) const {
  const Permission allowed = config_.enable_protected_configs;
  const bool unprotected =
      allowed == Permission::kYes || (allowed == Permission::kLocal && local_client);
  std::vector<const SettingRow*> rows;
  std::set<std::string> names;
  for (const auto& [name, value] : pairs) {
    const SettingRow* row = FindSetting(name);
    if (row == nullptr || row->Has(kFileOnly)) return UnknownOption(name);
    if (row->Has(kProtected) && !unprotected) {
      return SetError(name, "can't set protected config");
    }
    if (row->Has(kAtStartOnly)) return SetError(name, "can't set immutable config");
    if (!names.insert(ToLower(name)).second) return SetError(name, "duplicate parameter");
    rows.push_back(row);
  }
  return rows;
}

Status Settings::SetOne(const SettingRow& row, std::string_view value) {
  const std::string before = ValueOf(row);
  std::vector<std::string> words{std::string(value)};
  if (row.list != nullptr && row.list != &kNotifyEventsList) words = SplitAtBlanks(value);
  if (words.empty()) words.emplace_back();
  const bool is_size =
      row.type == SettingType::kMemory || row.type == SettingType::kMemoryOrPercent;
  if (is_size && value.empty()) words[0] = "0";  // as Redis reads it; files must say 0
  if (Status status = Assign(row, words, /*append=*/false); !status.ok()) return status;
  if (row.Has(kNeedsHook) && !HasHook(row) && ValueOf(row) != before) {
    return InvalidArgument(
        "this cannot change while the server runs; set it in the configuration file and restart");
  }
  return Status::Ok();
}

Status Settings::RunHooks(const std::set<const SettingRow*>& changed, size_t* hooks_run,
                          const SettingRow** culprit) {
  for (*hooks_run = 0; *hooks_run < hooks_.size(); ++*hooks_run) {
    const Hook& hook = hooks_[*hooks_run];
    const auto row = std::find_if(hook.rows.begin(), hook.rows.end(),
                                  [&](const SettingRow* r) { return changed.contains(r); });
    if (row == hook.rows.end()) continue;
    if (Status status = hook.call(config_); !status.ok()) {
      *culprit = *row;
      return status;
    }
  }
  return Status::Ok();
}

Status Settings::Set(Pairs pairs, bool local_client) {
  Result<std::vector<const SettingRow*>> rows = FindAll(pairs, local_client);
  if (!rows.ok()) return rows.status();

  const Config old_config = config_;
  const std::map<const SettingRow*, std::string> old_kept = kept_;
  const auto restore = [&] {
    config_ = old_config;
    kept_ = old_kept;
  };
  std::set<const SettingRow*> changed;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const SettingRow& row = *(*rows)[i];
    const std::string before = ValueOf(row);
    if (Status status = SetOne(row, pairs[i].second); !status.ok()) {
      restore();
      return SetError(pairs[i].first, status.message());
    }
    if (ValueOf(row) != before) changed.insert(&row);
  }

  size_t hooks_run = 0;
  const SettingRow* culprit = nullptr;
  Status status = RunHooks(changed, &hooks_run, &culprit);
  if (status.ok()) return status;
  restore();
  for (size_t i = 0; i < hooks_run; ++i) {
    const auto& names = hooks_[i].rows;
    const bool ran = std::any_of(names.begin(), names.end(),
                                 [&](const SettingRow* r) { return changed.contains(r); });
    if (!ran) continue;
    // Old values worked before; if they do not now, the hook itself has said so in the log.
    (void)hooks_[i].call(config_);
  }
  return SetError(culprit->name, status.message());
}

}  // namespace redynamo
