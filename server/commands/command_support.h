// SPDX-License-Identifier: Apache-2.0
// What the command families share: lookups that announce a miss, errors that name the command, and
// a place for bytes that a reply needs but no view holds any longer. Data thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/command.h"

namespace redynamo {

inline constexpr std::string_view kNotInteger = "ERR value is not an integer or out of range";
inline constexpr std::string_view kNotPositive = "ERR value is out of range, must be positive";
inline constexpr std::string_view kNotFloat = "ERR value is not a valid float";
inline constexpr std::string_view kIncrementNaN = "ERR increment would produce NaN or Infinity";
inline constexpr std::string_view kStringTooLong =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

// The most items that one reply of random elements may have: a client may ask for any number with
// repetitions, and each costs an item of the answer.
inline constexpr int64_t kRandomElementsMax = 1 << 24;

// Lookups of commands that only read: they count as hits and misses.
inline StringView ReadString(CommandContext& ctx, std::string_view key) {
  StringView view = ctx.keys.String(key);
  ctx.CountLookup(key, view.exists());
  return view;
}
inline HashView ReadHash(CommandContext& ctx, std::string_view key) {
  HashView view = ctx.keys.Hash(key);
  ctx.CountLookup(key, view.exists());
  return view;
}
inline SetView ReadSet(CommandContext& ctx, std::string_view key) {
  SetView view = ctx.keys.Set(key);
  ctx.CountLookup(key, view.exists());
  return view;
}
// The same without renewing the last access, as TTL and its kin look.
inline KeyView PeekKey(CommandContext& ctx, std::string_view key) {
  KeyView view = ctx.keys.Peek(key);
  ctx.CountLookup(key, view.exists());
  return view;
}

// A new key came to be: to be said after it was made and before the command's own event.
inline void NotifyNew(CommandContext& ctx, std::string_view key) {
  ctx.Notify(kNotifyNew, "new", key);
}
// The last element went, and the key with it.
inline void NotifyRemoved(CommandContext& ctx, std::string_view key) {
  ctx.Notify(kNotifyGeneric, "del", key);
}

// "ERR wrong number of arguments for 'mset' command", for arity that a row cannot state.
Reply ArityError(const CommandContext& ctx);
// "ERR invalid expire time in 'set' command".
Reply ExpireTimeError(const CommandContext& ctx);
// The text of a view's InvalidArgument, with the code word that a client expects.
Reply ViewError(const Status& status);

// A database's number; latches Redis' texts for what is no number or no such database.
int ReadDatabase(const CommandContext& ctx, ArgReader& args);

// What a command writes to the log that copies `from` to a key of that length.
inline uint64_t CopyLogBytes(CommandContext& ctx, std::string_view from, size_t key_bytes) {
  return ctx.keys.Peek(from).copy_log_bytes(key_bytes);
}
// For commands that write `bytes` into the string of their first argument, up to offset `end`.
inline uint64_t ChangeLogBytes(CommandContext& ctx, uint64_t bytes, uint64_t end) {
  StringView view = ctx.keys.String(ctx.argv[1]);
  return view.wrong_type() ? 0 : view.change_log_bytes(bytes, end);
}

// As TYPE names it.
std::string_view ObjectTypeName(ObjectType type);

// No string may become longer (proto-max-bulk-len).
uint64_t StringBytesMax(const CommandContext& ctx);

// Bytes that must live until the reply is rendered, which is before the next handler runs. A
// handler that keeps bytes starts with Restart(); what it kept stays valid until the next one's.
class ReplyScratch {
 public:
  void Restart();
  std::string_view Keep(std::string_view bytes);

 private:
  static constexpr size_t kChunkBytes = 16 << 10;
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t chunk_bytes_ = 0;  // capacity of the last chunk
  size_t used_ = 0;         // of the last chunk
};
ReplyScratch& Scratch();

// The value of an existing string as a reply that outlives the view, without a copy when it is
// plain. `scratch` has been restarted by the caller.
inline Reply ValueReply(const StringView& view, ReplyScratch& scratch) {
  std::string_view value = view.value();
  return Reply::View(view.is_plain() ? value : scratch.Keep(value));
}

// A hash's value may be a counter that was rendered for this moment only: numbers are kept, all
// other values are views of the store.
inline std::string_view KeepIfNumber(std::string_view value, ReplyScratch& scratch) {
  if (value.size() > 20 || value.empty()) return value;
  char last = value.back();
  return last >= '0' && last <= '9' ? scratch.Keep(value) : value;
}

}  // namespace redynamo
