// SPDX-License-Identifier: Apache-2.0
// Directives at start: files with includes, standard input, the command line. All of them become
// lines of words that pass through one Apply, in the order in which later ones win.
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/version.h"
#include "server/config_loader.h"
#include "server/config_words.h"

namespace redynamo {
namespace {

constexpr int kIncludeDepthMax = 16;

// Directives that Redis itself has dropped, yet still swallows.
constexpr std::string_view kDroppedByRedis[] = {"list-max-ziplist-entries",
                                                "list-max-ziplist-value", "lua-replicate-commands"};

struct RefusedDirective {
  std::string_view name;
  std::string_view reason;
  std::string_view remedy;
};
constexpr RefusedDirective kRefused[] = {
    {"loadmodule", "modules cannot be loaded: this server has no Redis module interface",
     "remove the line; what the module did is not available here"},
    {"user", "ACL users are not supported, and ignoring one would leave the server open",
     "remove the line, and protect the server by requirepass"},
    {"sentinel", "this server does not act as a sentinel", "remove the line"},
};

std::string JoinQuoted(std::span<const std::string> words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += line.empty() ? word : QuoteWord(word);
  }
  return line;
}

// A line as it may be shown: without the password of a requirepass.
std::string WithoutSecret(std::string_view line) {
  const std::string_view trimmed = TrimSpace(line);
  const std::string_view name = trimmed.substr(0, trimmed.find_first_of(" \t"));
  if (!Settings::IsSensitive(name)) return std::string(trimmed);
  return std::string(name) + " (hidden)";
}

// Such a directive may have all its words in one argument, as in `--save '3600 1'`.
bool TakesSeveralWords(const SettingRow& row) {
  const ListSlot* lists[] = {&kBindList,        &kRingSeedsList,         &kRingJoinList,
                             &kSaveList,        &kOutputBufferLimitList, &kPercentilesList,
                             &kOomScoreAdjList, &kShutdownOnSigintList,  &kShutdownOnSigtermList};
  return std::ranges::find(lists, row.list) != std::end(lists);
}

std::string DefaultValueOf(const SettingRow& row) {
  static const Settings defaults;
  return *defaults.GetOne(row.name);
}

std::string AbsolutePath(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr),
                                                             &std::free);
  return resolved ? std::string(resolved.get()) : path;
}

}  // namespace

Result<std::string> ReadConfigFile(const std::string& path) {
  const std::string what = "Fatal error, can't open config file '" + path + "'";
  const std::unique_ptr<FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "re"),
                                                           &std::fclose);
  if (!file) return IoError(what, errno);
  std::string text;
  char buffer[16384];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, count);
  }
  if (std::ferror(file.get()) != 0) return IoError(what, errno);
  return text;
}

Status SettingsLoader::Refuse(const Place& place, const SettingRow* row, std::string_view reason,
                              std::string_view remedy) const {
  std::string text = "\n*** FATAL CONFIG FILE ERROR (Redynamo ";
  text.append(kRedynamoVersion).append(") ***\nReading ").append(place.where);
  text.append("\n>>> '").append(WithoutSecret(place.text)).append("'\n").append(reason);
  if (row != nullptr) {
    text.append("\nAllowed: ").append(row->name).append(" takes ").append(AllowedText(*row));
  }
  text.append("\nRemedy: ").append(remedy).append(", then start again.\n");
  return InvalidArgument(std::move(text));
}

Status SettingsLoader::RefuseUnknown(const Place& place, std::string_view name) const {
  std::string remedy = "correct the name or remove it";
  if (const std::string_view nearest = NearestSettingName(name); !nearest.empty()) {
    remedy = "did you mean '" + std::string(nearest) + "'? Correct the name or remove it";
  }
  return Refuse(place, nullptr, "Bad directive or wrong number of arguments",
                remedy + " (conf/redynamo.conf explains every setting)");
}

Status SettingsLoader::LoadFile(const std::string& path, int include_depth) {
  Result<std::string> text = ReadConfigFile(path);
  if (!text.ok()) {
    return Status(text.status().code(),
                  text.status().message() +
                      "\nRemedy: check the path and its permissions, or start without a file.\n");
  }
  return LoadText(*text, "the configuration file " + path, include_depth);
}

Status SettingsLoader::LoadText(std::string_view text, const std::string& source,
                                int include_depth) {
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = TrimSpace(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const Place place{source + ", at line " + std::to_string(number), std::string(line)};
    const auto words = SplitWords(line);
    if (!words) {
      return Refuse(place, nullptr, "Unbalanced quotes in configuration line",
                    "close each quote, and put a blank behind it");
    }
    if (Status status = Apply(*words, place, include_depth); !status.ok()) return status;
  }
  return Status::Ok();
}

Status SettingsLoader::Apply(std::span<const std::string> words, const Place& place,
                             int include_depth) {
  if (words.empty()) return Status::Ok();
  Status special;
  if (ApplySpecial(words, place, include_depth, &special)) return special;
  const SettingRow* row = FindSetting(words[0]);
  if (row == nullptr) return RefuseUnknown(place, words[0]);
  constexpr std::string_view kRemedy = "correct the value or remove the line";
  if (words.size() < 2) return Refuse(place, row, "wrong number of arguments", kRemedy);
  if (row->list == &kRenameCommandList && settings_.command_exists_ &&
      !settings_.command_exists_(words[1])) {
    return Refuse(place, row, "No such command in rename-command",
                  "correct the command's name or remove the line");
  }
  std::vector<std::string> values(words.begin() + 1, words.end());
  if (values.size() == 1 && TakesSeveralWords(*row)) {
    if (auto inner = SplitWords(values[0]); inner && !inner->empty()) values = std::move(*inner);
  }
  const bool append = row->Has(kNotAlone) && seen_.contains(row);
  if (Status status = settings_.Assign(*row, values, append); !status.ok()) {
    return Refuse(place, row, status.message(), kRemedy);
  }
  if (row->Has(kKept)) {
    std::erase_if(idle_, [&](const IdleUse& use) { return use.row == row; });
    idle_.push_back({row, place.where});
  }
  seen_.insert(row);
  return Status::Ok();
}

bool SettingsLoader::ApplySpecial(std::span<const std::string> words, const Place& place,
                                  int include_depth, Status* status) {
  const std::string name = ToLower(words[0]);
  if (name == "include") {
    *status = words.size() == 2 ? Include(words[1], place, include_depth)
                                : Refuse(place, nullptr, "wrong number of arguments",
                                         "give include one path, in quotes if it contains blanks");
    return true;
  }
  for (const RefusedDirective& refused : kRefused) {
    if (name != refused.name) continue;
    *status = Refuse(place, nullptr, refused.reason, refused.remedy);
    return true;
  }
  for (const std::string_view dropped : kDroppedByRedis) {
    if (name != dropped) continue;
    settings_.warnings_.push_back("'" + name + "' (" + place.where +
                                  ") is accepted but has no effect: Redis has dropped it");
    return true;
  }
  return false;
}

Status SettingsLoader::Include(const std::string& pattern, const Place& place, int include_depth) {
  if (include_depth >= kIncludeDepthMax) {
    return Refuse(place, nullptr, "files include one another more than 16 deep",
                  "look for a file that includes itself");
  }
  std::vector<std::string> paths;
  if (pattern.find_first_of("*?[") == std::string::npos) {
    paths.push_back(pattern);
  } else {
    glob_t found = {};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    ::globfree(&found);  // a pattern without a match includes nothing, as in Redis
  }
  for (const std::string& path : paths) {
    Result<std::string> text = ReadConfigFile(path);
    if (!text.ok()) {
      return Refuse(place, nullptr, text.status().message(),
                    "correct the path (a relative one starts at the working directory)");
    }
    const std::string source = "the configuration file " + AbsolutePath(path);
    if (Status status = LoadText(*text, source, include_depth + 1); !status.ok()) return status;
  }
  return Status::Ok();
}

// An argument that starts with -- is a name, unless the name before it still wants a value: so
// `--requirepass --secret` has a value, and `--port 7000 --save "" --dir /x` three names. A bare
// --save means no save points. A name may carry its value: "--port 7000" in one argument.
Status SettingsLoader::ReadCommandLine(std::span<const std::string> arguments) {
  bool value_wanted = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool last = i + 1 == arguments.size();
    const Place place{"the command line", argument};
    if (argument == "-" && last) {
      standard_input_asked_ = true;
    } else if (argument == "--check" && !value_wanted) {
      check_asked_ = true;
    } else if (argument.starts_with("--") && !value_wanted) {
      auto words = SplitWords(std::string_view(argument).substr(2));
      if (!words) {
        return Refuse(place, nullptr, "Unbalanced quotes in configuration line",
                      "close each quote, and put a blank behind it");
      }
      value_wanted = words->size() == 1;
      if (value_wanted && EqualsIgnoringCase((*words)[0], "save") &&
          (last || arguments[i + 1].starts_with("--"))) {
        words->emplace_back();
        value_wanted = false;
      }
      command_line_.push_back(std::move(*words));
    } else if (command_line_.empty() || command_line_.back().empty()) {
      return Refuse(place, nullptr, "Bad directive or wrong number of arguments",
                    "write directives as --name value; the configuration file comes first");
    } else {
      command_line_.back().push_back(argument);
      value_wanted = false;
    }
  }
  return Status::Ok();
}

Status SettingsLoader::ApplyCommandLine() {
  for (const std::vector<std::string>& words : command_line_) {
    const Place place{"the command line", JoinQuoted(words)};
    if (Status status = Apply(words, place, 0); !status.ok()) return status;
  }
  return Status::Ok();
}

void SettingsLoader::Finish() {
  std::string harmless;
  for (const IdleUse& use : idle_) {
    const std::string value = settings_.ValueOf(*use.row);
    if (value == DefaultValueOf(*use.row)) {
      if (!harmless.empty()) harmless += ", ";
      harmless += use.row->name;
      continue;
    }
    std::string line = "'" + std::string(use.row->name);
    if (!use.row->Has(kSensitive)) line += " " + QuoteWord(value);
    settings_.warnings_.push_back(line + "' (" + use.where +
                                  ") is accepted but has no effect: " + std::string(use.row->doc));
  }
  if (!harmless.empty()) {
    settings_.warnings_.push_back("accepted at their defaults, without effect here: " + harmless);
  }
  idle_.clear();
}

Status Settings::LoadText(std::string_view text, const std::string& source) {
  SettingsLoader loader(*this);
  Status status = loader.LoadText(text, source);
  loader.Finish();
  return status;
}

Result<StartAction> Settings::LoadArguments(
    std::span<const std::string> arguments,
    const std::function<std::string()>& read_standard_input) {
  if (!arguments.empty()) {
    const std::string& first = arguments[0];
    if (first == "-v" || first == "--version") return StartAction::kShowVersion;
    if (first == "-h" || first == "--help") return StartAction::kShowHelp;
  }
  SettingsLoader loader(*this);
  std::string file;
  if (!arguments.empty() && !arguments[0].starts_with('-')) {
    file = arguments[0];
    arguments = arguments.subspan(1);
  }
  if (Status status = loader.ReadCommandLine(arguments); !status.ok()) return status;
  if (!file.empty()) {
    config_file_ = AbsolutePath(file);
    if (Status status = loader.LoadFile(config_file_); !status.ok()) return status;
  }
  if (loader.standard_input_asked()) {
    Status status = loader.LoadText(read_standard_input(), "standard input");
    if (!status.ok()) return status;
  }
  if (Status status = loader.ApplyCommandLine(); !status.ok()) return status;
  loader.Finish();
  return loader.check_asked() ? StartAction::kCheckOnly : StartAction::kRun;
}

std::string VersionText() {
  return std::string("Redynamo server v=") + kRedynamoVersion + " redis_version=" + kRedisVersion +
         " bits=64\n";
}

std::string HelpText(std::string_view program) {
  const std::string name(program);
  return "Usage: " + name + " [/path/to/redynamo.conf] [--directive value...]... [-]\n" +
         "       " + name + " - (read the configuration from standard input)\n" + "       " + name +
         " -v or --version\n" + "       " + name + " -h or --help\n" + "       " + name +
         " ... --check (read the configuration, say what is wrong, and end)\n\n" +
         "The file is read first, then standard input, then the directives; later ones win.\n" +
         "conf/redynamo.conf explains every directive.\n\n" + "Examples:\n" + "       " + name +
         " (all defaults: port 6379, data in the working directory)\n" + "       " + name +
         " --port 7777 --dir /var/lib/redynamo\n" + "       " + name +
         " /etc/redynamo/redynamo.conf --appendfsync everysec\n" +
         "       echo 'maxmemory 128mb' | " + name + " -\n";
}

}  // namespace redynamo
