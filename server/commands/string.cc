// SPDX-License-Identifier: Apache-2.0
// Strings as whole values: GET, SET and their kin. GET and plain SET allocate nothing: the reply is
// a view of the store, and options are looked at only when there are any.
#include <vector>

#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/set_options.h"

namespace redynamo {
namespace {

Reply Get(CommandContext& ctx, ArgReader&) {
  StringView view = ReadString(ctx, ctx.argv[1]);
  if (!view.exists()) return Reply::Nil();
  if (view.wrong_type()) return WrongType();
  if (view.is_plain()) return Reply::View(view.value());
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  return ValueReply(view, scratch);
}

// Stores and announces; the key's view was taken just now.
void Store(CommandContext& ctx, StringView& view, std::string_view value,
           DeadlineChange deadline = DeadlineChange::Clear()) {
  bool created = !view.exists();
  view.Set(value, deadline);
  if (created) NotifyNew(ctx, view.key());
  ctx.Notify(kNotifyString, "set", view.key());
  if (deadline.kind == DeadlineChange::Kind::kAt) {
    ctx.Notify(kNotifyGeneric, "expire", view.key());
  }
  ctx.CountChange();
}

// The old value, which is about to go: a copy. WRONGTYPE and nil as GET answers them.
Reply OldValue(const StringView& view) {
  if (!view.exists()) return Reply::Nil();
  if (view.wrong_type()) return WrongType();
  return Reply::Bulk(std::string(view.value()));
}

Reply SetWithOptions(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  std::string_view value = args.Next();
  SetOptions options = ReadSetOptions(args);
  if (!args.ok()) return args.error();
  DeadlineChange deadline = options.keep_ttl ? DeadlineChange::Keep() : DeadlineChange::Clear();
  if (options.unit != DeadlineUnit::kNone) {
    deadline.kind = DeadlineChange::Kind::kAt;
    Reply error;
    if (!ReadDeadline(ctx, options.unit, options.deadline, &deadline.at_ms, &error)) return error;
  }

  StringView view = options.get ? ReadString(ctx, key) : ctx.keys.String(key);
  Reply answer = options.get ? OldValue(view) : Reply::Ok();
  if (answer.IsError()) return answer;
  bool refused = view.exists() ? options.nx : options.xx;
  if (refused) return options.get ? std::move(answer) : Reply::Nil();
  Store(ctx, view, value, deadline);
  return answer;
}

Reply Set(CommandContext& ctx, ArgReader& args) {
  if (ctx.argv.size() > 3) return SetWithOptions(ctx, args);
  StringView view = ctx.keys.String(ctx.argv[1]);
  Store(ctx, view, ctx.argv[2]);
  return Reply::Ok();
}

Reply SetNx(CommandContext& ctx, ArgReader& args) {
  StringView view = ctx.keys.String(ctx.argv[1]);
  if (view.exists()) return Reply::Integer(0);
  Store(ctx, view, ctx.argv[2]);
  return Reply::Integer(1);
}

Reply SetFor(CommandContext& ctx, DeadlineUnit unit) {
  int64_t at_ms;
  Reply error;
  if (!ReadDeadline(ctx, unit, ctx.argv[2], &at_ms, &error)) return error;
  StringView view = ctx.keys.String(ctx.argv[1]);
  Store(ctx, view, ctx.argv[3], DeadlineChange::At(at_ms));
  return Reply::Ok();
}

Reply SetEx(CommandContext& ctx, ArgReader&) { return SetFor(ctx, DeadlineUnit::kEx); }
Reply PSetEx(CommandContext& ctx, ArgReader&) { return SetFor(ctx, DeadlineUnit::kPx); }

Reply GetSet(CommandContext& ctx, ArgReader&) {
  StringView view = ReadString(ctx, ctx.argv[1]);
  Reply answer = OldValue(view);
  if (answer.IsError()) return answer;
  Store(ctx, view, ctx.argv[2]);
  return answer;
}

Reply GetDel(CommandContext& ctx, ArgReader&) {
  StringView view = ReadString(ctx, ctx.argv[1]);
  Reply answer = OldValue(view);
  if (!view.exists() || answer.IsError()) return answer;
  view.Remove();
  NotifyRemoved(ctx, ctx.argv[1]);
  ctx.CountChange();
  return answer;
}

Reply GetEx(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  SetOptions options = ReadGetexOptions(args);
  if (!args.ok()) return args.error();
  bool changes = options.persist || options.unit != DeadlineUnit::kNone;
  if (!changes) return Get(ctx, args);

  StringView view = ReadString(ctx, key);
  Reply answer = OldValue(view);
  if (!view.exists() || answer.IsError()) return answer;
  if (options.persist) {
    if (!view.Persist()) return answer;
    ctx.Notify(kNotifyGeneric, "persist", key);
    ctx.CountChange();
    return answer;
  }
  int64_t at_ms;
  Reply error;
  if (!ReadDeadline(ctx, options.unit, options.deadline, &at_ms, &error)) return error;
  if (options.absolute() && at_ms <= ctx.now_ms) {
    view.Remove();
    NotifyRemoved(ctx, key);
  } else {
    view.SetDeadline(at_ms);
    ctx.Notify(kNotifyGeneric, "expire", key);
  }
  ctx.CountChange();
  return answer;
}

Reply MGet(CommandContext& ctx, ArgReader& args) {
  ReplyScratch& scratch = Scratch();
  scratch.Restart();
  Reply answer = Reply::Array();
  answer.Reserve(args.remaining());
  for (std::string_view key : args.rest()) {
    StringView view = ReadString(ctx, key);
    bool shown = view.exists() && !view.wrong_type();
    answer.Add(shown ? ValueReply(view, scratch) : Reply::Nil());
  }
  return answer;
}

void StorePairs(CommandContext& ctx, std::span<const std::string_view> pairs) {
  for (size_t i = 0; i < pairs.size(); i += 2) {
    StringView view = ctx.keys.String(pairs[i]);
    Store(ctx, view, pairs[i + 1]);
  }
}

Reply MSet(CommandContext& ctx, ArgReader& args) {
  if (args.remaining() % 2 != 0) return ArityError(ctx);
  StorePairs(ctx, args.rest());
  return Reply::Ok();
}

Reply MSetNx(CommandContext& ctx, ArgReader& args) {
  if (args.remaining() % 2 != 0) return ArityError(ctx);
  std::span<const std::string_view> pairs = args.rest();
  for (size_t i = 0; i < pairs.size(); i += 2) {
    if (ctx.keys.Peek(pairs[i]).exists()) return Reply::Integer(0);
  }
  StorePairs(ctx, pairs);
  return Reply::Integer(1);
}

constexpr uint32_t kStores = kWrite | kDenyOom;
using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"get", 2, kReadonly | kFast, 1, 1, 1, kRead, Get, "string", "1.0.0", "O(1)",
     "Gives the value of a string"},
    {"getdel", 2, kWrite | kFast, 1, 1, 1, kReadWrite, GetDel, "string", "6.2.0", "O(1)",
     "Gives the value of a string and removes the key"},
    {"getex", -2, kWrite | kFast, 1, 1, 1, kReadWrite, GetEx, "string", "6.2.0", "O(1)",
     "Gives the value of a string and sets or clears its time to live"},
    {"getset", 3, kStores | kFast, 1, 1, 1, kReadWrite, GetSet, "string", "1.0.0", "O(1)",
     "Sets a string and gives the value it had before"},
    {"mget", -2, kReadonly | kFast, 1, -1, 1, kRead, MGet, "string", "1.0.0",
     "O(N) where N is the number of keys", "Gives the values of several strings"},
    {"mset", -3, kStores, 1, -1, 2, kOverwrite, MSet, "string", "1.0.1",
     "O(N) where N is the number of keys", "Sets several strings at once"},
    {"msetnx", -3, kStores, 1, -1, 2, kOverwrite, MSetNx, "string", "1.0.1",
     "O(N) where N is the number of keys", "Sets several strings if none of the keys exists"},
    {"psetex", 4, kStores, 1, 1, 1, kOverwrite, PSetEx, "string", "2.6.0", "O(1)",
     "Sets a string that lives for some milliseconds"},
    {"set", -3, kStores, 1, 1, 1, kReadWrite, Set, "string", "1.0.0", "O(1)",
     "Sets a string, whatever the key held; on conditions and with a time to live if asked"},
    {"setex", 4, kStores, 1, 1, 1, kOverwrite, SetEx, "string", "2.0.0", "O(1)",
     "Sets a string that lives for some seconds"},
    {"setnx", 3, kStores | kFast, 1, 1, 1, kOverwrite, SetNx, "string", "1.0.0", "O(1)",
     "Sets a string if the key does not exist"},
};

}  // namespace

std::span<const CommandRow> StringCommands() { return kRows; }

}  // namespace redynamo
