// SPDX-License-Identifier: Apache-2.0
// Sets, one at a time. set_algebra.cc has unions, intersections and differences.
#include <algorithm>
#include <limits>
#include <vector>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/random_picks.h"
#include "server/commands/scan_options.h"

namespace redynamo {
namespace {

Reply SAdd(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  SetView set = ctx.keys.Set(key);
  if (set.wrong_type()) return WrongType();
  bool created = !set.exists();
  int64_t added = 0;
  for (std::string_view member : args.rest()) added += set.Add(member);
  if (created) NotifyNew(ctx, key);
  if (added > 0) {
    ctx.Notify(kNotifySet, "sadd", key);
    ctx.CountChange(uint64_t(added));
  }
  return Reply::Integer(added);
}

Reply SRem(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  SetView set = ctx.keys.Set(key);
  if (!set.exists()) return Reply::Integer(0);
  if (set.wrong_type()) return WrongType();
  int64_t removed = 0;
  for (std::string_view member : args.rest()) {
    if (!set.exists()) break;
    removed += set.Remove(member);
  }
  if (removed > 0) {
    ctx.Notify(kNotifySet, "srem", key);
    if (!set.exists()) NotifyRemoved(ctx, key);
    ctx.CountChange(uint64_t(removed));
  }
  return Reply::Integer(removed);
}

Reply SMove(CommandContext& ctx, ArgReader& args) {
  std::string_view from_key = args.Next();
  std::string_view to_key = args.Next();
  std::string_view member = args.Next();
  SetView from = ctx.keys.Set(from_key);
  if (!from.exists()) return Reply::Integer(0);
  bool to_wrong_type = ctx.keys.Set(to_key).wrong_type();
  if (from.wrong_type() || to_wrong_type) return WrongType();
  if (from_key == to_key) return Reply::Integer(from.Contains(member));
  if (!from.Remove(member)) return Reply::Integer(0);
  ctx.Notify(kNotifySet, "srem", from_key);
  if (!from.exists()) NotifyRemoved(ctx, from_key);

  SetView to = ctx.keys.Set(to_key);
  bool created = !to.exists();
  bool added = to.Add(member);
  if (created) NotifyNew(ctx, to_key);
  if (added) ctx.Notify(kNotifySet, "sadd", to_key);
  ctx.CountChange(added ? 2 : 1);
  return Reply::Integer(1);
}

Reply SIsMember(CommandContext& ctx, ArgReader&) {
  SetView set = ReadSet(ctx, ctx.argv[1]);
  if (!set.exists()) return Reply::Integer(0);
  if (set.wrong_type()) return WrongType();
  return Reply::Integer(set.Contains(ctx.argv[2]));
}

Reply SMIsMember(CommandContext& ctx, ArgReader& args) {
  SetView set = ReadSet(ctx, args.Next());
  if (set.wrong_type()) return WrongType();
  Reply answer = Reply::Array();
  answer.Reserve(args.remaining());
  for (std::string_view member : args.rest()) {
    answer.AddInteger(set.exists() && set.Contains(member));
  }
  return answer;
}

Reply SCard(CommandContext& ctx, ArgReader& args) {
  SetView set = ReadSet(ctx, args.Next());
  if (!set.exists()) return Reply::Integer(0);
  if (set.wrong_type()) return WrongType();
  return Reply::Integer(int64_t(set.size()));
}

// In Redis a small set of integers is a sorted array, and clients have come to see it sorted.
void SortIntegers(std::vector<std::string_view>* members) {
  auto number = [](std::string_view text) {
    int64_t value = 0;
    ParseInt64(text, &value);
    return value;
  };
  std::sort(members->begin(), members->end(),
            [&](std::string_view a, std::string_view b) { return number(a) < number(b); });
}

Reply SMembers(CommandContext& ctx, ArgReader& args) {
  SetView set = ReadSet(ctx, args.Next());
  if (!set.exists()) return Reply::Set();
  if (set.wrong_type()) return WrongType();
  std::vector<std::string_view> members;
  members.reserve(set.size());
  set.ForEach([&](std::string_view member) {
    members.push_back(member);
    return true;
  });
  if (std::string_view(set.encoding()) == "intset") SortIntegers(&members);
  Reply answer = Reply::Set();
  answer.Reserve(members.size());
  for (std::string_view member : members) answer.AddView(member);
  return answer;
}

Reply SScan(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  uint64_t cursor = ReadCursor(args);
  if (!args.ok()) return args.error();
  SetView set = ReadSet(ctx, key);
  if (!set.exists()) return ScanReply(0, Reply::Array());
  if (set.wrong_type()) return WrongType();
  ScanOptions options = ReadScanOptions(args, /*with_type=*/false);
  if (!args.ok()) return args.error();
  Reply elements = Reply::Array();
  cursor = set.Scan(cursor, options.count, [&](std::string_view member) {
    if (options.Matches(member)) elements.AddView(member);
  });
  return ScanReply(cursor, std::move(elements));
}

Reply RandomMembers(CommandContext& ctx, const SetView& set, int64_t count) {
  Reply answer = Reply::Array();
  if (count < 0) {
    uint64_t wanted = uint64_t(-count);
    answer.Reserve(wanted);
    for (uint64_t i = 0; i < wanted; i++) answer.AddView(set.Sample(ctx.random));
    return answer;
  }
  uint64_t wanted = std::min(uint64_t(count), set.size());
  answer.Reserve(wanted);
  if (DrawsAreCheaper(wanted, set.size())) {
    DrawDifferent(
        wanted, [&] { return set.Sample(ctx.random); },
        [](std::string_view member) { return member; },
        [&](std::string_view member) { answer.AddView(member); });
    return answer;
  }
  std::vector<std::string_view> all;
  all.reserve(set.size());
  set.ForEach([&](std::string_view member) {
    all.push_back(member);
    return true;
  });
  KeepRandom(&all, wanted, ctx.random);
  for (std::string_view member : all) answer.AddView(member);
  return answer;
}

Reply SRandMember(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  bool one = args.done();
  if (args.remaining() > 1) return SyntaxError();
  int64_t count = one ? 1 : ReadRandomCount(args);
  if (!args.ok()) return args.error();
  SetView set = ReadSet(ctx, key);
  if (!set.exists()) return one ? Reply::Nil() : Reply::Array();
  if (set.wrong_type()) return WrongType();
  if (one) return Reply::View(set.Sample(ctx.random));
  if (count < -kRandomElementsMax) return Reply::Error("ERR value is out of range");
  return RandomMembers(ctx, set, count);
}

// After members have been popped.
void AnnouncePop(CommandContext& ctx, const SetView& set, std::string_view key, uint64_t popped) {
  ctx.Notify(kNotifySet, "spop", key);
  if (!set.exists()) NotifyRemoved(ctx, key);
  ctx.CountChange(popped);
}

Reply PopOne(CommandContext& ctx, std::string_view key) {
  SetView set = ctx.keys.Set(key);
  if (!set.exists()) return Reply::Nil();
  if (set.wrong_type()) return WrongType();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  std::string_view member = scratch.Keep(set.Sample(ctx.random));
  set.Remove(member);
  AnnouncePop(ctx, set, key, 1);
  return Reply::View(member);
}

Reply PopMany(CommandContext& ctx, std::string_view key, uint64_t count) {
  SetView set = ctx.keys.Set(key);
  if (!set.exists()) return Reply::Set();
  if (set.wrong_type()) return WrongType();
  if (count == 0) return Reply::Set();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  uint64_t popped = std::min(count, set.size());
  Reply answer = Reply::Set();
  answer.Reserve(popped);
  if (popped == set.size()) {
    set.ForEach([&](std::string_view member) {
      answer.AddView(scratch.Keep(member));
      return true;
    });
    set.KeyView::Remove();
  } else {
    for (uint64_t i = 0; i < popped; i++) {
      std::string_view member = scratch.Keep(set.Sample(ctx.random));
      set.Remove(member);
      answer.AddView(member);
    }
  }
  AnnouncePop(ctx, set, key, popped);
  return answer;
}

Reply SPop(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  if (args.done()) return PopOne(ctx, key);
  if (args.remaining() > 1) return SyntaxError();
  int64_t count = args.Int64In(0, std::numeric_limits<int64_t>::max(), kNotPositive);
  if (!args.ok()) return args.error();
  return PopMany(ctx, key, uint64_t(count));
}

constexpr ElementArgs kOneMember = {2, 2, 1};
constexpr ElementArgs kMembersToEnd = {2, -1, 1};
constexpr ElementArgs kThirdArgument = {3, 3, 1};
constexpr std::string_view kCostOfMembers = "O(N) where N is the number of members given";
uint64_t PopLogBytes(CommandContext& ctx) {
  return ctx.argv.size() > 2 ? CopyLogBytes(ctx, ctx.argv[1], ctx.argv[1].size()) : 0;
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"sadd", -3, kWrite | kDenyOom | kFast, 1, 1, 1, kReadWrite, SAdd, "set", "1.0.0",
     kCostOfMembers, "Adds members to a set and gives the number of new ones", kMembersToEnd},
    {"scard", 2, kReadonly | kFast, 1, 1, 1, kRead, SCard, "set", "1.0.0", "O(1)",
     "Gives the number of members of a set"},
    {"sismember", 3, kReadonly | kFast, 1, 1, 1, kRead, SIsMember, "set", "1.0.0", "O(1)",
     "Tells whether a set has a member", kOneMember},
    {"smembers", 2, kReadonly, 1, 1, 1, kRead, SMembers, "set", "1.0.0",
     "O(N) where N is the size of the set", "Gives all members of a set", kAllElements},
    {"smismember", -3, kReadonly | kFast, 1, 1, 1, kRead, SMIsMember, "set", "6.2.0",
     kCostOfMembers, "Tells for each of several members whether a set has it", kMembersToEnd},
    {"smove", 4, kWrite | kFast, 1, 2, 1, kReadWrite, SMove, "set", "1.0.0", "O(1)",
     "Moves a member from one set to another", kThirdArgument},
    {"spop", -2, kWrite | kFast, 1, 1, 1, kReadWrite, SPop, "set", "1.0.0",
     "O(N) where N is the number of members removed", "Removes and gives random members of a set",
     kDrawnElements, nullptr, nullptr, nullptr, PopLogBytes},
    {"srandmember", -2, kReadonly, 1, 1, 1, kRead, SRandMember, "set", "1.0.0",
     "O(N) where N is the number of members given", "Gives random members of a set",
     kDrawnElements},
    {"srem", -3, kWrite | kFast, 1, 1, 1, kReadWrite, SRem, "set", "1.0.0", kCostOfMembers,
     "Removes members of a set, and the key with its last member", kMembersToEnd},
    {"sscan", -3, kReadonly, 1, 1, 1, kRead, SScan, "set", "2.8.0",
     "O(1) for each call, O(N) for a whole iteration over N members",
     "Iterates over the members of a set", kElementsFromCursor},
};

}  // namespace

std::span<const CommandRow> SetCommands() { return kRows; }

}  // namespace redynamo
