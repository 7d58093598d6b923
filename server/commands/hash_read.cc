// SPDX-License-Identifier: Apache-2.0
// Hashes, the commands that read them.
#include <limits>
#include <vector>

#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/random_picks.h"
#include "server/commands/scan_options.h"

namespace redynamo {
namespace {

Reply HGet(CommandContext& ctx, ArgReader&) {
  HashView hash = ReadHash(ctx, ctx.argv[1]);
  if (!hash.exists()) return Reply::Nil();
  if (hash.wrong_type()) return WrongType();
  std::optional<std::string_view> value = hash.Find(ctx.argv[2]);
  return value ? Reply::View(*value) : Reply::Nil();
}

Reply HMGet(CommandContext& ctx, ArgReader& args) {
  HashView hash = ReadHash(ctx, args.Next());
  if (hash.wrong_type()) return WrongType();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  Reply answer = Reply::Array();
  answer.Reserve(args.remaining());
  for (std::string_view field : args.rest()) {
    std::optional<std::string_view> value;
    if (hash.exists()) value = hash.Find(field);
    answer.Add(value ? Reply::View(KeepIfNumber(*value, scratch)) : Reply::Nil());
  }
  return answer;
}

Reply HExists(CommandContext& ctx, ArgReader& args) {
  HashView hash = ReadHash(ctx, args.Next());
  if (!hash.exists()) return Reply::Integer(0);
  if (hash.wrong_type()) return WrongType();
  return Reply::Integer(hash.Find(args.Next()).has_value());
}

Reply HStrLen(CommandContext& ctx, ArgReader& args) {
  HashView hash = ReadHash(ctx, args.Next());
  if (!hash.exists()) return Reply::Integer(0);
  if (hash.wrong_type()) return WrongType();
  std::optional<std::string_view> value = hash.Find(args.Next());
  return Reply::Integer(value ? int64_t(value->size()) : 0);
}

Reply HLen(CommandContext& ctx, ArgReader& args) {
  HashView hash = ReadHash(ctx, args.Next());
  if (!hash.exists()) return Reply::Integer(0);
  if (hash.wrong_type()) return WrongType();
  return Reply::Integer(int64_t(hash.size()));
}

// Fields, values or both of the whole hash, into an array or a map.
Reply AllOf(CommandContext& ctx, std::string_view key, Reply answer, bool fields, bool values) {
  HashView hash = ReadHash(ctx, key);
  if (!hash.exists()) return answer;
  if (hash.wrong_type()) return WrongType();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  answer.Reserve(hash.size() * (size_t(fields) + size_t(values)));
  hash.ForEach([&](std::string_view field, std::string_view value) {
    if (fields) answer.AddView(field);
    if (values) answer.AddView(KeepIfNumber(value, scratch));
    return true;
  });
  return answer;
}

Reply HGetAll(CommandContext& ctx, ArgReader& args) {
  return AllOf(ctx, args.Next(), Reply::Map(), true, true);
}
Reply HKeys(CommandContext& ctx, ArgReader& args) {
  return AllOf(ctx, args.Next(), Reply::Array(), true, false);
}
Reply HVals(CommandContext& ctx, ArgReader& args) {
  return AllOf(ctx, args.Next(), Reply::Array(), false, true);
}

Reply HScan(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  uint64_t cursor = ReadCursor(args);
  if (!args.ok()) return args.error();
  HashView hash = ReadHash(ctx, key);
  if (!hash.exists()) return ScanReply(0, Reply::Array());
  if (hash.wrong_type()) return WrongType();
  ScanOptions options = ReadScanOptions(args, /*with_type=*/false);
  if (!args.ok()) return args.error();
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  Reply elements = Reply::Array();
  cursor = hash.Scan(cursor, options.count, [&](std::string_view field, std::string_view value) {
    if (!options.Matches(field)) return;
    elements.AddView(field).AddView(KeepIfNumber(value, scratch));
  });
  return ScanReply(cursor, std::move(elements));
}

using FieldAndValue = std::pair<std::string_view, std::string_view>;

// Adds fields to HRANDFIELD's answer: flat, or in RESP3 with values as pairs.
class FieldAnswer {
 public:
  FieldAnswer(int resp, bool with_values) : resp_(resp), with_values_(with_values) {
    Scratch().Restart();
  }
  void Reserve(uint64_t fields) {
    answer_.Reserve(with_values_ && resp_ == 2 ? fields * 2 : fields);
  }
  void Add(const FieldAndValue& element) {
    if (!with_values_) {
      answer_.AddView(element.first);
      return;
    }
    std::string_view value = KeepIfNumber(element.second, Scratch());
    if (resp_ == 2) {
      answer_.AddView(element.first).AddView(value);
      return;
    }
    Reply pair = Reply::Array();
    pair.AddView(element.first).AddView(value);
    answer_.Add(std::move(pair));
  }
  Reply Take() { return std::move(answer_); }

 private:
  int resp_;
  bool with_values_;
  Reply answer_ = Reply::Array();
};

Reply RandomFields(CommandContext& ctx, const HashView& hash, int64_t count, bool with_values) {
  FieldAnswer answer(ctx.resp, with_values);
  if (count < 0) {
    uint64_t wanted = uint64_t(-count);
    answer.Reserve(wanted);
    for (uint64_t i = 0; i < wanted; i++) answer.Add(hash.Sample(ctx.random));
    return answer.Take();
  }
  uint64_t wanted = std::min(uint64_t(count), hash.size());
  answer.Reserve(wanted);
  if (DrawsAreCheaper(wanted, hash.size())) {
    DrawDifferent(
        wanted, [&] { return hash.Sample(ctx.random); },
        [](const FieldAndValue& element) { return element.first; },
        [&](const FieldAndValue& element) { answer.Add(element); });
    return answer.Take();
  }
  std::vector<FieldAndValue> all;
  all.reserve(hash.size());
  hash.ForEach([&](std::string_view field, std::string_view value) {
    all.emplace_back(field, with_values ? KeepIfNumber(value, Scratch()) : value);
    return true;
  });
  KeepRandom(&all, wanted, ctx.random);
  for (const FieldAndValue& element : all) answer.Add(element);
  return answer.Take();
}

Reply HRandField(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  bool one = args.done();
  int64_t count = one ? 1 : ReadRandomCount(args);
  if (!args.ok()) return args.error();
  bool with_values = args.TryWord("WITHVALUES");
  if (!args.done()) return SyntaxError();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  if (with_values && (count < -kMax / 2 || count > kMax / 2)) {
    return Reply::Error("ERR value is out of range");
  }
  HashView hash = ReadHash(ctx, key);
  if (!hash.exists()) return one ? Reply::Nil() : Reply::Array();
  if (hash.wrong_type()) return WrongType();
  if (one) return Reply::View(hash.Sample(ctx.random).first);
  if (count < -kRandomElementsMax) return Reply::Error("ERR value is out of range");
  return RandomFields(ctx, hash, count, with_values);
}

constexpr ElementArgs kOneField = {2, 2, 1};
constexpr ElementArgs kFieldsToEnd = {2, -1, 1};
constexpr std::string_view kCostOfAll = "O(N) where N is the size of the hash";
constexpr uint32_t kReads = kReadonly;
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"hexists", 3, kReads | kFast, 1, 1, 1, kRead, HExists, "hash", "2.0.0", "O(1)",
     "Tells whether a hash has a field", kOneField},
    {"hget", 3, kReads | kFast, 1, 1, 1, kRead, HGet, "hash", "2.0.0", "O(1)",
     "Gives the value of a field", kOneField},
    {"hgetall", 2, kReads, 1, 1, 1, kRead, HGetAll, "hash", "2.0.0", kCostOfAll,
     "Gives all fields and values of a hash", kAllElements},
    {"hkeys", 2, kReads, 1, 1, 1, kRead, HKeys, "hash", "2.0.0", kCostOfAll,
     "Gives all fields of a hash", kAllElements},
    {"hlen", 2, kReads | kFast, 1, 1, 1, kRead, HLen, "hash", "2.0.0", "O(1)",
     "Gives the number of fields of a hash"},
    {"hmget", -3, kReads | kFast, 1, 1, 1, kRead, HMGet, "hash", "2.0.0",
     "O(N) where N is the number of fields asked for", "Gives the values of several fields",
     kFieldsToEnd},
    {"hrandfield", -2, kReads, 1, 1, 1, kRead, HRandField, "hash", "6.2.0",
     "O(N) where N is the number of fields given", "Gives random fields of a hash", kDrawnElements},
    {"hscan", -3, kReads, 1, 1, 1, kRead, HScan, "hash", "2.8.0",
     "O(1) for each call, O(N) for a whole iteration over N fields",
     "Iterates over the fields of a hash", kElementsFromCursor},
    {"hstrlen", 3, kReads | kFast, 1, 1, 1, kRead, HStrLen, "hash", "3.2.0", "O(1)",
     "Gives the length of a field's value", kOneField},
    {"hvals", 2, kReads, 1, 1, 1, kRead, HVals, "hash", "2.0.0", kCostOfAll,
     "Gives all values of a hash", kAllElements},
};

}  // namespace

std::span<const CommandRow> HashReadCommands() { return kRows; }

}  // namespace redynamo
