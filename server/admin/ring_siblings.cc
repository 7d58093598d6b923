// SPDX-License-Identifier: Apache-2.0
// RING.GET and RING.PUT: concurrent versions for clients that merge them themselves, with a context
// that says what has been read (storage/siblings.h). Plain GET and SET go on beside them: GET gives
// the version that wins, SET replaces all that its coordinator has seen.
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/server.h"
#include "storage/siblings.h"

namespace redynamo {
namespace {

Reply RingGet(CommandContext& ctx, ArgReader& args) {
  StringView view = ReadString(ctx, args.Next());
  if (!view.exists()) return Reply::Nil();
  if (view.wrong_type()) return WrongType();
  Siblings siblings = view.siblings();
  Reply values = Reply::Array();
  for (std::string& value : siblings.values) values.AddBulk(std::move(value));
  Reply reply = Reply::Array();
  reply.Add(std::move(values)).AddBulk(std::move(siblings.context));
  return reply;
}

Reply RingPut(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next(), context = args.Next(), value = args.Next();
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  bool created = !view.exists();
  Result<std::string> put = view.PutSibling(context, value);
  if (!put.ok()) return Reply::ErrorText(put.status().message());
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyString, "set", key);
  ctx.CountChange();
  return Reply::Bulk(std::move(*put));
}

constexpr CommandRow kRows[] = {
    {"ring.get", 2, kReadonly, 1, 1, 1, KeyAccess::kRead, RingGet, "string", "7.0.0",
     "O(N) with N bytes of all versions",
     "All concurrent versions of a string, with a context that covers them"},
    {"ring.put", 4, kWrite | kDenyOom, 1, 1, 1, KeyAccess::kReadWrite, RingPut, "string", "7.0.0",
     "O(N) with N versions", "Writes a version that replaces those that a context covers"},
};

}  // namespace

std::span<const CommandRow> RingSiblingCommands() { return kRows; }

}  // namespace redynamo
