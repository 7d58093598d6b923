// SPDX-License-Identifier: Apache-2.0
// Parts of strings: APPEND, STRLEN, GETRANGE, SETRANGE.
#include <algorithm>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/index_range.h"

namespace redynamo {
namespace {

Reply Append(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  std::string_view bytes = args.Next();
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  uint64_t length = bytes.size();
  if (view.exists()) {
    length += view.value().size();
    if (length > StringBytesMax(ctx)) return Reply::Error(kStringTooLong);
    view.Append(bytes);
  } else {
    view.Set(bytes);
    NotifyNew(ctx, key);
  }
  ctx.Notify(kNotifyString, "append", key);
  ctx.CountChange();
  return Reply::Integer(int64_t(length));
}

Reply StrLen(CommandContext& ctx, ArgReader& args) {
  StringView view = ReadString(ctx, args.Next());
  if (!view.exists()) return Reply::Integer(0);
  if (view.wrong_type()) return WrongType();
  return Reply::Integer(int64_t(view.value().size()));
}

Reply GetRange(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  int64_t start = args.Int64();
  int64_t end = args.Int64();
  if (!args.ok()) return args.error();
  StringView view = ReadString(ctx, key);
  if (!view.exists()) return Reply::View("");
  if (view.wrong_type()) return WrongType();
  std::string_view value = view.value();
  if (RunsBackwards(start, end) || !ClampRange(&start, &end, value.size())) return Reply::View("");
  std::string_view part = value.substr(size_t(start), size_t(end - start + 1));
  return view.is_plain() ? Reply::View(part) : Reply::Bulk(std::string(part));
}

Reply SetRange(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  int64_t offset = args.Int64();
  std::string_view bytes = args.Next();
  if (!args.ok()) return args.error();
  if (offset < 0) return Reply::Error("ERR offset is out of range");
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  uint64_t length = view.exists() ? view.value().size() : 0;
  if (bytes.empty()) return Reply::Integer(int64_t(length));
  uint64_t bytes_max = StringBytesMax(ctx);
  if (uint64_t(offset) > bytes_max || uint64_t(offset) + bytes.size() > bytes_max) {
    return Reply::Error(kStringTooLong);
  }

  bool created = !view.exists();
  view.Overwrite(uint64_t(offset), bytes);
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyString, "setrange", key);
  ctx.CountChange();
  return Reply::Integer(int64_t(std::max(length, uint64_t(offset) + bytes.size())));
}

constexpr std::string_view kRangeCost = "O(N) where N is the length of the part";
uint64_t AppendLogBytes(CommandContext& ctx) {
  return ChangeLogBytes(ctx, ctx.argv[2].size(), ctx.argv[2].size());
}

uint64_t SetRangeLogBytes(CommandContext& ctx) {
  int64_t offset = 0;
  if (!ParseInt64(ctx.argv[2], &offset) || offset < 0) return 0;
  return ChangeLogBytes(ctx, ctx.argv[3].size(), uint64_t(offset) + ctx.argv[3].size());
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"append",
     3,
     kWrite | kDenyOom | kFast,
     1,
     1,
     1,
     kReadWrite,
     Append,
     "string",
     "2.0.0",
     "O(1)",
     "Adds bytes to the end of a string, making the key if it is missing",
     {},
     nullptr,
     nullptr,
     nullptr,
     AppendLogBytes},
    {"getrange", 4, kReadonly, 1, 1, 1, kRead, GetRange, "string", "2.4.0", kRangeCost,
     "Gives a part of a string by its first and last index"},
    {"setrange",
     4,
     kWrite | kDenyOom,
     1,
     1,
     1,
     kReadWrite,
     SetRange,
     "string",
     "2.2.0",
     "O(M) where M is the length of the new part",
     "Replaces a part of a string from an offset on, filling gaps with zero bytes",
     {},
     nullptr,
     nullptr,
     nullptr,
     SetRangeLogBytes},
    {"strlen", 2, kReadonly | kFast, 1, 1, 1, kRead, StrLen, "string", "2.2.0", "O(1)",
     "Gives the length of a string"},
    {"substr", 4, kReadonly, 1, 1, 1, kRead, GetRange, "string", "1.0.0", kRangeCost,
     "An older name of GETRANGE"},
};

}  // namespace

std::span<const CommandRow> StringRangeCommands() { return kRows; }

}  // namespace redynamo
