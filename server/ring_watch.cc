// SPDX-License-Identifier: Apache-2.0
#include "server/ring_watch.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/number.h"
#include "protocol/resp_reader.h"
#include "server/ring.h"
#include "server/server.h"
#include "server/transaction.h"
#include "storage/partition_set.h"

namespace redynamo {
namespace {

constexpr size_t kWordsOfKey = 3;

// 0 as soon as its deadline hides the key, since nodes remove its rows at different times.
uint64_t VersionOf(Engine& engine, int database, std::string_view key) {
  if (!engine.Database(database).Peek(key).exists()) return 0;
  return std::max<uint64_t>(engine.KeyVersion(database, key), 1);
}

// Of a list that VersionsReply has made.
bool ReadVersions(std::string_view reply, size_t count, std::vector<uint64_t>* versions) {
  RespValue list, item;
  if (!ReadResp(&reply, &list) || list.type != '*' || list.items != count) return false;
  for (size_t i = 0; i < count; i++) {
    uint64_t version;
    if (!ReadResp(&reply, &item) || item.type != '$' || !ParseUint64(item.text, &version)) {
      return false;
    }
    versions->push_back(version);
  }
  return reply.empty();
}

}  // namespace

bool IsWatch(const Command& command) { return command.name() == "watch"; }

Reply VersionsReply(Engine& engine, int database, std::span<const std::string_view> keys) {
  Reply list = Reply::Array();
  for (std::string_view key : keys) {
    list.AddBulk(std::to_string(VersionOf(engine, database, key)));
  }
  return list;
}

GatherChoice PlanWatch(Server& server, const Session& session,
                       std::span<const std::string_view> argv, std::span<const uint16_t> slots) {
  Node& node = server.ring()->node();
  GatherChoice choice;
  std::map<Id128, size_t> part_of;
  std::vector<std::vector<std::string>> keys;  // of each part
  for (size_t i = 0; i < slots.size(); i++) {
    std::optional<Id128> coordinator = node.CoordinatorOf(PartitionOfSlot(slots[i]));
    if (!coordinator) {
      return GatherChoice::Refusal(
          "TRYAGAIN no replica of a key to watch can be reached. Nothing was changed");
    }
    if (!node.Shares(*coordinator, kWatches)) {
      return GatherChoice::Refusal(
          "CROSSSLOT this node is no replica of the key, and the one that is runs a version that "
          "cannot be asked to watch: upgrade it, or send this to a node that RING.PREFLIST names");
    }
    auto [at, is_new] = part_of.try_emplace(*coordinator, choice.plan.parts.size());
    if (is_new) {
      choice.plan.parts.push_back({*coordinator, {argv[0]}, {}, 0});
      keys.emplace_back();
    }
    GatherPart& part = choice.plan.parts[at->second];
    part.args.push_back(argv[i + 1]);
    part.weight++;
    keys[at->second].emplace_back(argv[i + 1]);
  }
  choice.kind = GatherChoice::kGather;
  choice.plan.unit = "keys";
  choice.plan.merge =
      [&server, id = session.id(), database = session.database,
       keys = std::move(keys)](std::span<const std::string> replies) -> std::optional<std::string> {
    Session* waiting = server.clients().Find(id);
    std::vector<uint64_t> versions;
    for (size_t part = 0; part < replies.size(); part++) {
      if (!ReadVersions(replies[part], keys[part].size(), &versions)) return std::nullopt;
    }
    if (!waiting) return std::nullopt;
    size_t at = 0;
    for (const std::vector<std::string>& of_part : keys) {
      for (const std::string& key : of_part) {
        server.watches().WatchElsewhere(*waiting, database, key, versions[at++]);
      }
    }
    return "+OK\r\n";
  };
  return choice;
}

bool WatchesElsewhere(const Session& session) {
  return std::ranges::any_of(session.watched, &WatchedKey::elsewhere);
}

void AddWatchedElsewhere(const Session& session, std::vector<KeyRef>* keys) {
  for (const WatchedKey& watched : session.watched) {
    if (watched.elsewhere) keys->push_back({watched.database, watched.key, ElementNeed::kNone});
  }
}

bool WatchedElsewhereChanged(Server& server, const Session& session) {
  return std::ranges::any_of(session.watched, [&](const WatchedKey& watched) {
    if (!watched.elsewhere) return false;
    return VersionOf(server.engine(), watched.database, watched.key) != watched.version;
  });
}

std::vector<std::string> WatchedWords(const Session& session) {
  std::vector<std::string> words = {std::to_string(session.watched.size())};
  for (const WatchedKey& watched : session.watched) {
    words.push_back(std::to_string(watched.database));
    words.push_back(watched.key);
    words.push_back(std::to_string(watched.version));
  }
  return words;
}

std::optional<std::span<const std::string_view>> TakeWatchedWords(
    Server& server, Session& session, std::span<const std::string_view> words) {
  uint64_t count;
  if (words.empty() || !ParseUint64(words[0], &count)) return std::nullopt;
  words = words.subspan(1);
  if (count > words.size() / kWordsOfKey) return std::nullopt;
  for (; count > 0; count--, words = words.subspan(kWordsOfKey)) {
    uint64_t database, version;
    if (!ParseUint64(words[0], &database) || !ParseUint64(words[2], &version) ||
        database >= uint64_t(server.config().databases)) {
      return std::nullopt;
    }
    server.watches().WatchElsewhere(session, int(database), words[1], version);
  }
  return words;
}

}  // namespace redynamo
