// SPDX-License-Identifier: Apache-2.0
// Settings of several words: each a parser, a printer and its lines for CONFIG REWRITE.
#include <algorithm>
#include <cmath>

#include "base/number.h"
#include "cluster/node_id.h"
#include "server/command.h"
#include "server/config_row.h"
#include "server/config_words.h"

namespace redynamo {
namespace {

using Words = std::span<const std::string>;
using Lines = std::vector<std::vector<std::string>>;

constexpr size_t kBindAddressesMax = 16;

bool IsEmpty(Words words) { return words.empty() || (words.size() == 1 && words[0].empty()); }

std::string JoinWords(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

// One line with all words, or with "" when there are none.
Lines OneLine(std::vector<std::string> words) {
  if (words.empty()) words.emplace_back();
  return {std::move(words)};
}

// --- bind ----------------------------------------------------------------------------------

Status ParseBind(Config& config, Words words, bool) {
  std::vector<std::string> addresses;
  if (!IsEmpty(words)) addresses.assign(words.begin(), words.end());
  if (addresses.size() > kBindAddressesMax) {
    return InvalidArgument("Too many bind addresses specified.");
  }
  config.bind = std::move(addresses);
  return Status::Ok();
}

// --- ring-seeds ----------------------------------------------------------------------------

// Separated by spaces or commas.
Status ParseAddresses(Words words, std::vector<std::string>* out) {
  std::vector<std::string> addresses;
  for (const std::string& word : words) {
    for (size_t from = 0; from <= word.size();) {
      size_t end = std::min(word.find(',', from), word.size());
      std::string address = word.substr(from, end - from);
      from = end + 1;
      RingAddress parsed;
      if (address.empty()) continue;
      if (!RingAddress::Parse(address, &parsed)) {
        return InvalidArgument("'" + address + "' is not host:port");
      }
      addresses.push_back(std::move(address));
    }
  }
  *out = std::move(addresses);
  return Status::Ok();
}

template <std::vector<std::string> Config::*member>
Status ParseAddressesOf(Config& config, Words words, bool) {
  return ParseAddresses(words, &(config.*member));
}

// --- ring-policy ---------------------------------------------------------------------------

// Rows are parted by ";": CONFIG SET has one value for all of them.
Status ParsePolicies(Config& config, Words words, bool append) {
  std::vector<RingPolicy> policies;
  if (append) policies = config.ring_policies;
  if (IsEmpty(words)) {
    config.ring_policies.clear();
    return Status::Ok();
  }
  while (!words.empty()) {
    size_t size = size_t(std::ranges::find(words, ";") - words.begin());
    Result<RingPolicy> policy = ParseRingPolicy(words.first(size));
    if (!policy.ok()) return policy.status();
    policies.push_back(*std::move(policy));
    words = words.subspan(std::min(size + 1, words.size()));
  }
  config.ring_policies = std::move(policies);
  return Status::Ok();
}

Lines PolicyLines(const Config& config) {
  Lines lines;
  for (const RingPolicy& policy : config.ring_policies) lines.push_back(RingPolicyWords(policy));
  if (lines.empty()) lines.push_back({""});
  return lines;
}

std::string PrintPolicies(const Config& config) {
  std::string out;
  for (const RingPolicy& policy : config.ring_policies) {
    if (!out.empty()) out += " ; ";
    std::vector<std::string> words = RingPolicyWords(policy);
    for (std::string& word : words) word = QuoteWord(word);
    out += JoinWords(words);
  }
  return out;
}

// --- save ----------------------------------------------------------------------------------

Status ParseSave(Config& config, Words words, bool append) {
  std::vector<SavePoint> points;
  if (append) points = config.save;
  if (IsEmpty(words)) {
    config.save.clear();
    return Status::Ok();
  }
  if (words.size() % 2 != 0) return InvalidArgument("Invalid save parameters");
  for (size_t i = 0; i < words.size(); i += 2) {
    SavePoint point;
    const bool numbers =
        ParseInt64(words[i], &point.seconds) && ParseInt64(words[i + 1], &point.changes);
    if (!numbers || point.seconds < 1 || point.changes < 0) {
      return InvalidArgument("Invalid save parameters");
    }
    points.push_back(point);
  }
  config.save = std::move(points);
  return Status::Ok();
}

Lines SaveLines(const Config& config) {
  Lines lines;
  for (const SavePoint& point : config.save) {
    lines.push_back({FormatInt64(point.seconds), FormatInt64(point.changes)});
  }
  if (lines.empty()) lines.push_back({""});
  return lines;
}

std::string PrintSave(const Config& config) {
  std::vector<std::string> words;
  for (const SavePoint& point : config.save) {
    words.push_back(FormatInt64(point.seconds));
    words.push_back(FormatInt64(point.changes));
  }
  return JoinWords(words);
}

// --- client-output-buffer-limit --------------------------------------------------------------

// CONFIG GET says "slave", as Redis 7.0 does.
constexpr std::string_view kShownClasses[kClientClasses] = {"normal", "slave", "pubsub"};
constexpr std::string_view kWrittenClasses[kClientClasses] = {"normal", "replica", "pubsub"};

int ClassOf(std::string_view word) {
  for (int i = 0; i < kClientClasses; ++i) {
    if (EqualsIgnoringCase(word, kShownClasses[i]) || EqualsIgnoringCase(word, kWrittenClasses[i]))
      return i;
  }
  return -1;
}

// Classes that are not named keep their limits.
Status ParseOutputBufferLimit(Config& config, Words words, bool) {
  if (IsEmpty(words)) return Status::Ok();
  if (words.size() % 4 != 0) {
    return InvalidArgument("Wrong number of arguments in buffer limit configuration.");
  }
  for (size_t i = 0; i < words.size(); i += 4) {
    const int client_class = ClassOf(words[i]);
    if (client_class < 0) {
      return InvalidArgument("Invalid client class specified in buffer limit configuration.");
    }
    int64_t hard = 0;
    int64_t soft = 0;
    int64_t seconds = 0;
    const bool numbers = ParseMemory(words[i + 1], &hard) && ParseMemory(words[i + 2], &soft) &&
                         ParseInt64(words[i + 3], &seconds);
    if (!numbers || seconds < 0) {
      return InvalidArgument(
          "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    }
    config.client_output_buffer_limit[client_class] = {static_cast<uint64_t>(hard),
                                                       static_cast<uint64_t>(soft), seconds};
  }
  return Status::Ok();
}

std::string PrintOutputBufferLimit(const Config& config) {
  std::vector<std::string> words;
  for (int i = 0; i < kClientClasses; ++i) {
    const OutputBufferLimit& limit = config.client_output_buffer_limit[i];
    words.emplace_back(kShownClasses[i]);
    words.push_back(FormatInt64(static_cast<int64_t>(limit.hard_bytes)));
    words.push_back(FormatInt64(static_cast<int64_t>(limit.soft_bytes)));
    words.push_back(FormatInt64(limit.soft_seconds));
  }
  return JoinWords(words);
}

Lines OutputBufferLimitLines(const Config& config) {
  Lines lines;
  for (int i = 0; i < kClientClasses; ++i) {
    const OutputBufferLimit& limit = config.client_output_buffer_limit[i];
    lines.push_back(
        {std::string(kWrittenClasses[i]), PrintMemory(static_cast<int64_t>(limit.hard_bytes)),
         PrintMemory(static_cast<int64_t>(limit.soft_bytes)), FormatInt64(limit.soft_seconds)});
  }
  return lines;
}

// --- notify-keyspace-events --------------------------------------------------------------------

// All classes that the letter A stands for; m and n are asked for one by one.
constexpr uint32_t kNotifyAll = kNotifyGeneric | kNotifyString | kNotifyList | kNotifySet |
                                kNotifyHash | kNotifyZset | kNotifyExpired | kNotifyEvicted |
                                kNotifyStream | kNotifyModule;

struct NotifyLetter {
  char letter;
  uint32_t bit;
};
// In the order in which CONFIG GET shows them.
constexpr NotifyLetter kNotifyLetters[] = {
    {'g', kNotifyGeneric},  {'$', kNotifyString},  {'l', kNotifyList},    {'s', kNotifySet},
    {'h', kNotifyHash},     {'z', kNotifyZset},    {'x', kNotifyExpired}, {'e', kNotifyEvicted},
    {'t', kNotifyStream},   {'d', kNotifyModule},  {'n', kNotifyNew},     {'K', kNotifyKeyspace},
    {'E', kNotifyKeyevent}, {'m', kNotifyKeyMiss},
};

Status ParseNotify(Config& config, Words words, bool) {
  if (words.size() > 1) return InvalidArgument("wrong number of arguments");
  uint32_t bits = 0;
  for (const char c : words.empty() ? std::string() : words[0]) {
    if (c == 'A') {
      bits |= kNotifyAll;
      continue;
    }
    const auto* letter = std::find_if(std::begin(kNotifyLetters), std::end(kNotifyLetters),
                                      [c](const NotifyLetter& l) { return l.letter == c; });
    if (letter == std::end(kNotifyLetters)) {
      return InvalidArgument("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
    bits |= letter->bit;
  }
  config.notify_keyspace_events = bits;
  return Status::Ok();
}

std::string PrintNotify(const Config& config) {
  uint32_t bits = config.notify_keyspace_events;
  std::string out;
  if ((bits & kNotifyAll) == kNotifyAll) {
    out += 'A';
    bits &= ~kNotifyAll;
  }
  for (const NotifyLetter& letter : kNotifyLetters) {
    if ((bits & letter.bit) != 0) out += letter.letter;
  }
  return out;
}

// --- latency-tracking-info-percentiles ---------------------------------------------------------

Status ParsePercentiles(Config& config, Words words, bool) {
  std::vector<double> percentiles;
  if (!IsEmpty(words)) {
    for (const std::string& word : words) {
      double percentile = 0;
      if (!ParseDouble(word, &percentile)) {
        return InvalidArgument("Invalid latency-tracking-info-percentiles parameters");
      }
      if (!(percentile >= 0 && percentile <= 100)) {
        return InvalidArgument(
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
      }
      percentiles.push_back(percentile);
    }
  }
  config.latency_tracking_info_percentiles = std::move(percentiles);
  return Status::Ok();
}

std::vector<std::string> PercentileWords(const Config& config) {
  std::vector<std::string> words;
  for (const double percentile : config.latency_tracking_info_percentiles) {
    words.push_back(FormatDouble(percentile));
  }
  return words;
}

// --- oom-score-adj-values ------------------------------------------------------------------------

Status ParseOomScoreAdj(Config& config, Words words, bool) {
  if (words.size() != 3) return InvalidArgument("wrong number of arguments");
  std::vector<int> values;
  for (const std::string& word : words) {
    int64_t value = 0;
    if (!ParseInt64(word, &value) || value < -2000 || value > 2000) {
      return InvalidArgument(
          "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    }
    values.push_back(static_cast<int>(value));
  }
  config.oom_score_adj_values = std::move(values);
  return Status::Ok();
}

std::vector<std::string> OomScoreAdjWords(const Config& config) {
  std::vector<std::string> words;
  for (const int value : config.oom_score_adj_values) words.push_back(FormatInt64(value));
  return words;
}

// --- rename-command, replicaof -------------------------------------------------------------------

Status ParseRenameCommand(Config& config, Words words, bool) {
  if (words.size() != 2 || words[0].empty()) return InvalidArgument("wrong number of arguments");
  for (auto& [from, to] : config.rename_commands) {
    if (!EqualsIgnoringCase(from, words[0])) continue;
    to = words[1];
    return Status::Ok();
  }
  for (const auto& [from, to] : config.rename_commands) {
    if (!to.empty() && EqualsIgnoringCase(to, words[1])) {
      return InvalidArgument("Target command name already exists");
    }
  }
  config.rename_commands.emplace_back(words[0], words[1]);
  return Status::Ok();
}

Lines RenameCommandLines(const Config& config) {
  Lines lines;
  for (const auto& [from, to] : config.rename_commands) lines.push_back({from, to});
  return lines;
}

Status ParseReplicaOf(Config&, Words words, bool) {
  const bool none = IsEmpty(words) || (words.size() == 2 && EqualsIgnoringCase(words[0], "no") &&
                                       EqualsIgnoringCase(words[1], "one"));
  if (none) return Status::Ok();
  if (words.size() != 2) return InvalidArgument("wrong number of arguments");
  return InvalidArgument(
      "this server cannot follow a Redis master: its replicas are the nodes of a ring. Remove "
      "replicaof, and load the master's data by a client");
}

// --- shutdown-on-sigint, shutdown-on-sigterm -----------------------------------------------------

constexpr Choice kShutdownWords[] = {
    {"default", 0},        {"save", kShutdownSave},   {"nosave", kShutdownNoSave},
    {"now", kShutdownNow}, {"force", kShutdownForce},
};

Status ParseShutdown(Words words, uint32_t* flags) {
  uint32_t bits = 0;
  for (const std::string& word : words) {
    const auto* choice =
        std::find_if(std::begin(kShutdownWords), std::end(kShutdownWords),
                     [&](const Choice& c) { return EqualsIgnoringCase(c.word, word); });
    if (choice == std::end(kShutdownWords)) {
      return InvalidArgument(
          "argument(s) must be one of the following: default, save, nosave, now, force");
    }
    bits |= static_cast<uint32_t>(choice->value);
  }
  if ((bits & kShutdownSave) != 0 && (bits & kShutdownNoSave) != 0) {
    return InvalidArgument("Invalid combination: save and nosave exclude each other");
  }
  *flags = bits;
  return Status::Ok();
}

std::vector<std::string> ShutdownWords(uint32_t flags) {
  std::vector<std::string> words;
  for (const Choice& choice : kShutdownWords) {
    if ((flags & choice.value) != 0) words.emplace_back(choice.word);
  }
  if (words.empty()) words.emplace_back("default");
  return words;
}

constexpr std::string_view kShutdownForm = "default, or some of save, nosave, now, force";

}  // namespace

const ListSlot kBindList = {
    .parse = ParseBind,
    .print = [](const Config& config) { return JoinWords(config.bind); },
    .lines = [](const Config& config) { return OneLine(config.bind); },
    .form =
        "up to 16 addresses of this machine (* and ::* mean all; a leading - allows the "
        "address to be missing), or \"\" for no TCP"};

constexpr std::string_view kAddressesForm =
    "ring addresses, each host:port, separated by commas or spaces";

const ListSlot kRingSeedsList = {
    .parse = ParseAddressesOf<&Config::ring_seeds>,
    .print = [](const Config& config) { return JoinWords(config.ring_seeds); },
    .lines = [](const Config& config) { return OneLine(config.ring_seeds); },
    .form = kAddressesForm};

const ListSlot kRingJoinList = {
    .parse = ParseAddressesOf<&Config::ring_join>,
    .print = [](const Config& config) { return JoinWords(config.ring_join); },
    .lines = [](const Config& config) { return OneLine(config.ring_join); },
    .form = kAddressesForm};

const ListSlot kRingPolicyList = {
    .parse = ParsePolicies,
    .print = PrintPolicies,
    .lines = PolicyLines,
    .form =
        "<database | *> <prefix> [n 1..8] [r 1..8] [w 1..8] [sloppy yes|no] [; ...], r and w "
        "at most n"};

const ListSlot kSaveList = {.parse = ParseSave,
                            .print = PrintSave,
                            .lines = SaveLines,
                            .form = "pairs of <seconds> <changes>, or \"\" for none"};

const ListSlot kOutputBufferLimitList = {
    .parse = ParseOutputBufferLimit,
    .print = PrintOutputBufferLimit,
    .lines = OutputBufferLimitLines,
    .form =
        "<normal|replica|pubsub> <hard size> <soft size> <soft seconds>, once or several times"};

const ListSlot kNotifyEventsList = {
    .parse = ParseNotify,
    .print = PrintNotify,
    .lines = [](const Config& config) -> Lines { return {{PrintNotify(config)}}; },
    .form = "letters of KEg$lshzxetdmnA, or \"\" for none"};

const ListSlot kPercentilesList = {
    .parse = ParsePercentiles,
    .print = [](const Config& config) { return JoinWords(PercentileWords(config)); },
    .lines = [](const Config& config) { return OneLine(PercentileWords(config)); },
    .form = "percentiles from 0 to 100, as in 50 99 99.9, or \"\" for none"};

const ListSlot kOomScoreAdjList = {
    .parse = ParseOomScoreAdj,
    .print = [](const Config& config) { return JoinWords(OomScoreAdjWords(config)); },
    .lines = [](const Config& config) { return OneLine(OomScoreAdjWords(config)); },
    .form = "three numbers from -2000 to 2000"};

const ListSlot kRenameCommandList = {
    .parse = ParseRenameCommand,
    .print = [](const Config&) { return std::string(); },
    .lines = RenameCommandLines,
    .form = "<command> <new name>, where \"\" as new name switches the command off"};

const ListSlot kReplicaOfList = {.parse = ParseReplicaOf,
                                 .print = [](const Config&) { return std::string(); },
                                 .lines = [](const Config&) -> Lines {
                                   return {{"no", "one"}};
                                 },
                                 .form = "no one"};

const ListSlot kShutdownOnSigintList = {
    .parse = [](Config& config, Words words,
                bool) { return ParseShutdown(words, &config.shutdown_on_sigint); },
    .print =
        [](const Config& config) { return JoinWords(ShutdownWords(config.shutdown_on_sigint)); },
    .lines = [](const Config& config) -> Lines {
      return {ShutdownWords(config.shutdown_on_sigint)};
    },
    .form = kShutdownForm};

const ListSlot kShutdownOnSigtermList = {
    .parse = [](Config& config, Words words,
                bool) { return ParseShutdown(words, &config.shutdown_on_sigterm); },
    .print =
        [](const Config& config) { return JoinWords(ShutdownWords(config.shutdown_on_sigterm)); },
    .lines = [](const Config& config) -> Lines {
      return {ShutdownWords(config.shutdown_on_sigterm)};
    },
    .form = kShutdownForm};

}  // namespace redynamo
