// SPDX-License-Identifier: Apache-2.0
// Strings as bitmaps: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.
#include <algorithm>
#include <vector>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/bit_arguments.h"
#include "server/commands/bits.h"
#include "server/commands/command_support.h"
#include "server/commands/index_range.h"

namespace redynamo {

uint64_t ReadBitOffset(const CommandContext& ctx, ArgReader& args, int field_bits) {
  std::string_view text = args.Next();
  bool counts_fields = field_bits > 0 && text.starts_with('#');
  if (counts_fields) text.remove_prefix(1);
  int64_t offset;
  bool fits = ParseInt64(text, &offset);
  if (fits && counts_fields) fits = !__builtin_mul_overflow(offset, int64_t(field_bits), &offset);
  if (!fits || offset < 0 || uint64_t(offset) / 8 >= StringBytesMax(ctx)) {
    args.Fail(kBadBitOffset);
    return 0;
  }
  return uint64_t(offset);
}

namespace {

bool BitAt(std::string_view bytes, uint64_t offset) {
  if (offset / 8 >= bytes.size()) return false;
  return uint8_t(bytes[offset / 8]) >> (7 - offset % 8) & 1;
}

Reply SetBit(CommandContext& ctx, ArgReader& args) {
  constexpr std::string_view kBadBit = "ERR bit is not an integer or out of range";
  std::string_view key = args.Next();
  uint64_t offset = ReadBitOffset(ctx, args);
  bool bit = args.Int64In(0, 1, kBadBit) != 0;
  if (!args.ok()) return args.error();
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();

  bool created = !view.exists();
  std::string_view value = created ? std::string_view() : view.value();
  bool old = BitAt(value, offset);
  bool grows = offset / 8 >= value.size();
  if (!grows && old == bit) return Reply::Integer(old);
  uint8_t byte = grows ? 0 : uint8_t(value[offset / 8]);
  uint8_t mask = uint8_t(1 << (7 - offset % 8));
  char changed = char(bit ? byte | mask : byte & ~mask);
  view.Overwrite(offset / 8, {&changed, 1});
  if (created) NotifyNew(ctx, key);
  ctx.Notify(kNotifyString, "setbit", key);
  ctx.CountChange();
  return Reply::Integer(old);
}

Reply GetBit(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  uint64_t offset = ReadBitOffset(ctx, args);
  if (!args.ok()) return args.error();
  StringView view = ReadString(ctx, key);
  if (!view.exists()) return Reply::Integer(0);
  if (view.wrong_type()) return WrongType();
  return Reply::Integer(BitAt(view.value(), offset));
}

// BYTE or BIT, if it comes next; nothing else may follow. True: the range counts bits.
bool ReadRangeUnit(ArgReader& args) {
  if (args.done()) return false;
  bool in_bits = args.TryWord("BIT");
  if (!in_bits && !args.TryWord("BYTE")) args.FailSyntax();
  if (!args.done()) args.FailSyntax();
  return in_bits;
}

// An inclusive range of bits.
struct BitRange {
  bool empty = true;
  uint64_t first = 0, last = 0;
};

BitRange ToBitRange(int64_t start, int64_t end, bool in_bits, size_t byte_length) {
  if (!ClampRange(&start, &end, in_bits ? byte_length * 8 : byte_length)) return {};
  if (in_bits) return {false, uint64_t(start), uint64_t(end)};
  return {false, uint64_t(start) * 8, uint64_t(end) * 8 + 7};
}

// Redis looks at the key before it looks at the range, and at the range before its unit.
Reply BitCount(CommandContext& ctx, ArgReader& args) {
  StringView view = ReadString(ctx, args.Next());
  if (!view.exists()) return Reply::Integer(0);
  if (view.wrong_type()) return WrongType();
  int64_t start = 0, end = -1;
  bool in_bits = false;
  size_t given = args.remaining();
  if (given == 1 || given > 3) return SyntaxError();
  if (given >= 2) {
    start = args.Int64();
    end = args.Int64();
    if (!args.ok()) return args.error();
    if (RunsBackwards(start, end)) return Reply::Integer(0);
    in_bits = ReadRangeUnit(args);
    if (!args.ok()) return args.error();
  }
  std::string_view value = view.value();
  BitRange range = ToBitRange(start, end, in_bits, value.size());
  if (range.empty) return Reply::Integer(0);
  return Reply::Integer(int64_t(CountBits(value, range.first, range.last)));
}

Reply BitPos(CommandContext& ctx, ArgReader& args) {
  std::string_view key = args.Next();
  int64_t bit = args.Int64();
  if (!args.ok()) return args.error();
  if (bit != 0 && bit != 1) return Reply::Error("ERR The bit argument must be 1 or 0.");
  StringView view = ReadString(ctx, key);
  if (!view.exists()) return Reply::Integer(bit ? -1 : 0);
  if (view.wrong_type()) return WrongType();

  if (args.remaining() > 3) return SyntaxError();
  int64_t start = 0, end = -1;
  bool end_given = args.remaining() >= 2;
  bool in_bits = false;
  if (!args.done()) start = args.Int64();
  if (args.ok() && end_given) {
    std::span<const std::string_view> rest = args.rest();
    ArgReader unit(rest.subspan(1));  // its error comes before that of `end`
    in_bits = ReadRangeUnit(unit);
    if (!unit.ok()) return unit.error();
    end = args.Int64();
  }
  if (!args.ok()) return args.error();
  std::string_view value = view.value();
  BitRange range = ToBitRange(start, end, in_bits, value.size());
  if (range.empty) return Reply::Integer(-1);
  int64_t found = FindBit(value, bit != 0, range.first, range.last);
  // Without an end the string counts as followed by zeros.
  if (found < 0 && bit == 0 && !end_given) found = int64_t(value.size()) * 8;
  return Reply::Integer(found);
}

bool ReadOperation(ArgReader& args, BitOperation* operation) {
  constexpr std::pair<std::string_view, BitOperation> kWords[] = {{"AND", BitOperation::kAnd},
                                                                  {"OR", BitOperation::kOr},
                                                                  {"XOR", BitOperation::kXor},
                                                                  {"NOT", BitOperation::kNot}};
  for (const auto& [word, meaning] : kWords) {
    if (!args.TryWord(word)) continue;
    *operation = meaning;
    return true;
  }
  return false;
}

// The sources combined; as long as the longest.
std::string Combine(BitOperation operation, const std::vector<StringView>& sources) {
  size_t length = 0;
  for (const StringView& source : sources) length = std::max(length, source.value().size());
  std::string result(sources[0].value());
  result.resize(length);
  for (size_t i = 1; i < sources.size(); i++) {
    CombineBits(operation, sources[i].value(), &result);
  }
  if (operation == BitOperation::kNot) InvertBits(&result);
  return result;
}

Reply BitOp(CommandContext& ctx, ArgReader& args) {
  BitOperation operation;
  if (!ReadOperation(args, &operation)) return SyntaxError();
  std::string_view destination = args.Next();
  if (operation == BitOperation::kNot && args.remaining() != 1) {
    return Reply::Error("ERR BITOP NOT must be called with a single source key.");
  }
  std::vector<StringView> sources;
  sources.reserve(args.remaining());
  for (std::string_view key : args.rest()) {
    sources.push_back(ReadString(ctx, key));
    if (sources.back().wrong_type()) return WrongType();
  }

  std::string result = Combine(operation, sources);
  StringView target = ctx.keys.String(destination);
  bool existed = target.exists();
  if (result.empty()) {
    if (!existed) return Reply::Integer(0);
    target.Remove();
    NotifyRemoved(ctx, destination);
  } else {
    target.Set(result, DeadlineChange::Clear(), /*raw=*/true);
    if (!existed) NotifyNew(ctx, destination);
    ctx.Notify(kNotifyString, "set", destination);
  }
  ctx.CountChange();
  return Reply::Integer(int64_t(result.size()));
}

uint64_t SetBitLogBytes(CommandContext& ctx) {
  int64_t offset = 0;
  if (!ParseInt64(ctx.argv[2], &offset) || offset < 0) return 0;
  return ChangeLogBytes(ctx, 1, uint64_t(offset) / 8 + 1);
}

uint64_t BitOpLogBytes(CommandContext& ctx) {
  uint64_t bytes = 0;
  for (std::string_view key : ctx.argv.subspan(3)) {
    bytes = std::max(bytes, CopyLogBytes(ctx, key, ctx.argv[2].size()));
  }
  return bytes;
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"bitcount", -2, kReadonly, 1, 1, 1, kRead, BitCount, "bitmap", "2.6.0",
     "O(N) where N is the length of the range", "Counts the ones of a string or a part of it"},
    {"bitop",
     -4,
     kWrite | kDenyOom,
     2,
     -1,
     1,
     kReadWrite,
     BitOp,
     "bitmap",
     "2.6.0",
     "O(N) where N is the length of all sources",
     "Combines strings bit by bit into another key",
     {},
     nullptr,
     nullptr,
     nullptr,
     BitOpLogBytes},
    {"bitpos", -3, kReadonly, 1, 1, 1, kRead, BitPos, "bitmap", "2.8.7",
     "O(N) where N is the length of the range", "Finds the first one or zero of a string"},
    {"getbit", 3, kReadonly | kFast, 1, 1, 1, kRead, GetBit, "bitmap", "2.2.0", "O(1)",
     "Gives one bit of a string"},
    {"setbit",
     4,
     kWrite | kDenyOom,
     1,
     1,
     1,
     kReadWrite,
     SetBit,
     "bitmap",
     "2.2.0",
     "O(1)",
     "Sets or clears one bit of a string, growing it as needed, and gives the bit's old value",
     {},
     nullptr,
     nullptr,
     nullptr,
     SetBitLogBytes},
};

}  // namespace

std::span<const CommandRow> BitmapCommands() { return kRows; }

}  // namespace redynamo
