// SPDX-License-Identifier: Apache-2.0
// Unions, intersections and differences of sets, answered or stored.
//
// Each command looks at all its keys first, in order, so that a key of another type is an error
// whatever the others hold. What is to be stored is copied before the destination changes, for the
// destination may be one of the sources.
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

using Members = std::vector<std::string_view>;

// Views of all keys, absent ones included; nothing when one is no set.
std::optional<std::vector<SetView>> ReadSets(CommandContext& ctx,
                                             std::span<const std::string_view> keys) {
  std::vector<SetView> sets;
  sets.reserve(keys.size());
  for (std::string_view key : keys) {
    sets.push_back(ReadSet(ctx, key));
    if (sets.back().wrong_type()) return std::nullopt;
  }
  return sets;
}

// Members of the first set that pass `keep`, at most `limit`.
template <typename Keep>
Members Filter(const SetView& set, uint64_t limit, Keep keep) {
  Members members;
  set.ForEach([&](std::string_view member) {
    if (keep(member)) members.push_back(member);
    return members.size() < limit;
  });
  return members;
}

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// The smallest set is walked, and the others asked from small to large: those likeliest to miss
// come first.
Members Intersect(std::vector<SetView> sets, uint64_t limit = kNoLimit) {
  for (const SetView& set : sets) {
    if (!set.exists()) return {};
  }
  std::stable_sort(sets.begin(), sets.end(),
                   [](const SetView& a, const SetView& b) { return a.size() < b.size(); });
  return Filter(sets[0], limit, [&](std::string_view member) {
    return std::all_of(sets.begin() + 1, sets.end(),
                       [&](const SetView& other) { return other.Contains(member); });
  });
}

// Asks the large sets first: the likeliest to hold the member.
Members Subtract(std::vector<SetView> sets) {
  if (!sets[0].exists()) return {};
  std::vector<SetView> others;
  for (size_t i = 1; i < sets.size(); i++) {
    if (sets[i].exists()) others.push_back(sets[i]);
  }
  std::stable_sort(others.begin(), others.end(),
                   [](const SetView& a, const SetView& b) { return a.size() > b.size(); });
  return Filter(sets[0], kNoLimit, [&](std::string_view member) {
    return std::none_of(others.begin(), others.end(),
                        [&](const SetView& other) { return other.Contains(member); });
  });
}

Members Unite(const std::vector<SetView>& sets) {
  absl::flat_hash_set<std::string_view> seen;
  Members members;
  for (const SetView& set : sets) {
    if (!set.exists()) continue;
    set.ForEach([&](std::string_view member) {
      if (seen.insert(member).second) members.push_back(member);
      return true;
    });
  }
  return members;
}

Reply Answer(const Members& members) {
  Reply answer = Reply::Set();
  answer.Reserve(members.size());
  for (std::string_view member : members) answer.AddView(member);
  return answer;
}

// Replaces whatever the destination held; an empty result removes it.
Reply Store(CommandContext& ctx, std::string_view destination, Members members,
            std::string_view event) {
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  for (std::string_view& member : members) member = scratch.Keep(member);
  bool existed = ctx.keys.Peek(destination).Remove();
  if (members.empty()) {
    if (existed) {
      NotifyRemoved(ctx, destination);
      ctx.CountChange();
    }
    return Reply::Integer(0);
  }
  SetView target = ctx.keys.Set(destination);
  for (std::string_view member : members) target.Add(member);
  if (!existed) NotifyNew(ctx, destination);
  ctx.Notify(kNotifySet, event, destination);
  ctx.CountChange();
  return Reply::Integer(int64_t(members.size()));
}

Reply SInter(CommandContext& ctx, ArgReader& args) {
  auto sets = ReadSets(ctx, args.rest());
  return sets ? Answer(Intersect(std::move(*sets))) : WrongType();
}
Reply SDiff(CommandContext& ctx, ArgReader& args) {
  auto sets = ReadSets(ctx, args.rest());
  return sets ? Answer(Subtract(std::move(*sets))) : WrongType();
}
Reply SUnion(CommandContext& ctx, ArgReader& args) {
  auto sets = ReadSets(ctx, args.rest());
  return sets ? Answer(Unite(*sets)) : WrongType();
}

Reply SInterStore(CommandContext& ctx, ArgReader& args) {
  std::string_view destination = args.Next();
  auto sets = ReadSets(ctx, args.rest());
  if (!sets) return WrongType();
  return Store(ctx, destination, Intersect(std::move(*sets)), "sinterstore");
}
Reply SDiffStore(CommandContext& ctx, ArgReader& args) {
  std::string_view destination = args.Next();
  auto sets = ReadSets(ctx, args.rest());
  if (!sets) return WrongType();
  return Store(ctx, destination, Subtract(std::move(*sets)), "sdiffstore");
}
Reply SUnionStore(CommandContext& ctx, ArgReader& args) {
  std::string_view destination = args.Next();
  auto sets = ReadSets(ctx, args.rest());
  if (!sets) return WrongType();
  return Store(ctx, destination, Unite(*sets), "sunionstore");
}

// SINTERCARD numkeys key [key ...] [LIMIT limit]
Reply SInterCard(CommandContext& ctx, ArgReader& args) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t count = args.Int64In(1, kMax, "ERR numkeys should be greater than 0");
  if (!args.ok()) return args.error();
  if (uint64_t(count) > args.remaining()) {
    return Reply::Error("ERR Number of keys can't be greater than number of args");
  }
  std::span<const std::string_view> keys = args.rest().first(size_t(count));
  ArgReader options(args.rest().subspan(size_t(count)));
  int64_t limit = 0;
  while (options.ok() && !options.done()) {
    if (options.remaining() >= 2 && options.TryWord("LIMIT")) {
      limit = options.Int64In(0, kMax, "ERR LIMIT can't be negative");
    } else {
      options.FailSyntax();
    }
  }
  if (!options.ok()) return options.error();
  auto sets = ReadSets(ctx, keys);
  if (!sets) return WrongType();
  uint64_t most = limit == 0 ? kNoLimit : uint64_t(limit);
  return Reply::Integer(int64_t(Intersect(std::move(*sets), most).size()));
}

bool SInterCardKeys(std::span<const std::string_view> argv, std::vector<int>* indexes) {
  int64_t count;
  if (argv.size() < 3 || !ParseInt64(argv[1], &count)) return false;
  if (count < 1 || uint64_t(count) > argv.size() - 2) return false;
  for (int i = 0; i < count; i++) indexes->push_back(2 + i);
  return true;
}

constexpr uint32_t kStores = kWrite | kDenyOom;
constexpr ElementArgs kAllButDestination = {0, 0, 0, ElementUse::kButFirst};
constexpr std::string_view kCostOfAll = "O(N) where N is the number of members of all sets";
constexpr std::string_view kCostOfInter =
    "O(N*M) where N is the size of the smallest set and M is the number of sets";
// The largest answer there can be; it is logged together with the removal of the destination.
uint64_t StoreLogBytes(CommandContext& ctx) {
  bool is_union = ctx.row->handler == SUnionStore;
  uint64_t bytes = 0;
  for (std::string_view key : ctx.argv.subspan(2)) {
    uint64_t one = CopyLogBytes(ctx, key, ctx.argv[1].size());
    bytes = is_union ? bytes + one : std::max(bytes, one);
  }
  return bytes;
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"sdiff", -2, kReadonly, 1, -1, 1, kRead, SDiff, "set", "1.0.0", kCostOfAll,
     "Gives the members of the first set that no other set has", kAllElements},
    {"sdiffstore", -3, kStores, 1, -1, 1, kReadWrite, SDiffStore, "set", "1.0.0", kCostOfAll,
     "Stores the members of one set that no other set has", kAllButDestination, nullptr, nullptr,
     nullptr, StoreLogBytes},
    {"sinter", -2, kReadonly, 1, -1, 1, kRead, SInter, "set", "1.0.0", kCostOfInter,
     "Gives the members that all sets have", kAllElements},
    {"sintercard", -3, kReadonly | kMovableKeys, 0, 0, 0, kRead, SInterCard, "set", "7.0.0",
     kCostOfInter, "Counts the members that all sets have, up to a limit", kAllElements,
     SInterCardKeys},
    {"sinterstore", -3, kStores, 1, -1, 1, kReadWrite, SInterStore, "set", "1.0.0", kCostOfInter,
     "Stores the members that all sets have", kAllButDestination, nullptr, nullptr, nullptr,
     StoreLogBytes},
    {"sunion", -2, kReadonly, 1, -1, 1, kRead, SUnion, "set", "1.0.0", kCostOfAll,
     "Gives the members that any of the sets has", kAllElements},
    {"sunionstore", -3, kStores, 1, -1, 1, kReadWrite, SUnionStore, "set", "1.0.0", kCostOfAll,
     "Stores the members that any of the sets has", kAllButDestination, nullptr, nullptr, nullptr,
     StoreLogBytes},
};

}  // namespace

std::span<const CommandRow> SetAlgebraCommands() { return kRows; }

}  // namespace redynamo
