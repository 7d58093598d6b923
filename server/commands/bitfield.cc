// SPDX-License-Identifier: Apache-2.0
// BITFIELD: a string as an array of integers of any width.
//
// Everything is read and checked first, then the string is grown to the farthest bit that any
// operation may write, then the operations run in order, each seeing the ones before it.
#include <algorithm>
#include <vector>

#include "base/number.h"
#include "server/command_families.h"
#include "server/commands/bit_arguments.h"
#include "server/commands/bits.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

enum class FieldVerb : uint8_t { kGet, kSet, kIncrement };

struct FieldOperation {
  FieldVerb verb;
  FieldType type;
  FieldOverflow overflow;
  uint64_t offset;
  int64_t value;
  uint64_t last_bit() const { return offset + type.bits - 1; }
};

FieldOverflow ReadOverflow(ArgReader& args) {
  if (args.TryWord("WRAP")) return FieldOverflow::kWrap;
  if (args.TryWord("SAT")) return FieldOverflow::kSaturate;
  if (args.TryWord("FAIL")) return FieldOverflow::kFail;
  args.Fail("ERR Invalid OVERFLOW type specified");
  return FieldOverflow::kWrap;
}

FieldType ReadFieldType(ArgReader& args) {
  FieldType type;
  if (!ParseFieldType(args.Next(), &type)) {
    args.Fail(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
        "i64 is.");
  }
  return type;
}

bool TryVerb(ArgReader& args, FieldVerb* verb) {
  size_t operands = args.remaining() - 1;
  if (operands >= 2 && args.TryWord("GET")) {
    *verb = FieldVerb::kGet;
  } else if (operands >= 3 && args.TryWord("SET")) {
    *verb = FieldVerb::kSet;
  } else if (operands >= 3 && args.TryWord("INCRBY")) {
    *verb = FieldVerb::kIncrement;
  } else {
    return false;
  }
  return true;
}

std::vector<FieldOperation> ReadOperations(const CommandContext& ctx, ArgReader& args) {
  std::vector<FieldOperation> operations;
  FieldOverflow overflow = FieldOverflow::kWrap;
  while (args.ok() && !args.done()) {
    FieldVerb verb;
    if (args.remaining() >= 2 && args.TryWord("OVERFLOW")) {
      overflow = ReadOverflow(args);
      continue;
    }
    if (!TryVerb(args, &verb)) {
      args.FailSyntax();
      break;
    }
    FieldType type = ReadFieldType(args);
    if (!args.ok()) break;
    uint64_t offset = ReadBitOffset(ctx, args, type.bits);
    int64_t value = verb == FieldVerb::kGet || !args.ok() ? 0 : args.Int64();
    operations.push_back({verb, type, overflow, offset, value});
  }
  return operations;
}

// The string is made long enough for all writes. True when that changed it.
bool GrowFor(CommandContext& ctx, StringView& view, uint64_t last_bit) {
  uint64_t length = view.exists() ? view.value().size() : 0;
  if (last_bit / 8 < length) return false;
  bool created = !view.exists();
  const char zero = 0;
  view.Overwrite(last_bit / 8, {&zero, 1});
  if (created) NotifyNew(ctx, view.key());
  return true;
}

// Runs one writing operation; nil when it overflowed and should fail.
Reply ChangeField(StringView& view, const FieldOperation& operation, bool* changed) {
  std::string_view bytes = view.value();
  int64_t old = ReadField(bytes, operation.offset, operation.type);
  // An unsigned field takes a negative value as the large number with the same bits.
  __int128 exact = operation.verb == FieldVerb::kIncrement ? __int128(old) + operation.value
                   : operation.type.is_signed              ? __int128(operation.value)
                                                           : __int128(uint64_t(operation.value));
  FieldResult fitted = FitField(exact, operation.type, operation.overflow);
  if (fitted.overflowed && operation.overflow == FieldOverflow::kFail) return Reply::Nil();
  if (fitted.value != old) {
    FieldPatch patch = PatchField(bytes, operation.offset, operation.type, fitted.value);
    view.Overwrite(patch.offset, patch.view());
    *changed = true;
  }
  return Reply::Integer(operation.verb == FieldVerb::kIncrement ? fitted.value : old);
}

Reply ReadFields(CommandContext& ctx, std::string_view key,
                 const std::vector<FieldOperation>& operations) {
  StringView view = ReadString(ctx, key);
  if (view.wrong_type()) return WrongType();
  std::string_view bytes = view.exists() ? view.value() : std::string_view();
  Reply answer = Reply::Array();
  answer.Reserve(operations.size());
  for (const FieldOperation& operation : operations) {
    answer.AddInteger(ReadField(bytes, operation.offset, operation.type));
  }
  return answer;
}

Reply WriteFields(CommandContext& ctx, std::string_view key,
                  const std::vector<FieldOperation>& operations, uint64_t last_bit) {
  StringView view = ctx.keys.String(key);
  if (view.wrong_type()) return WrongType();
  bool grown = GrowFor(ctx, view, last_bit);
  bool written = false;  // some operation did not fail
  bool changed = false;
  Reply answer = Reply::Array();
  answer.Reserve(operations.size());
  for (const FieldOperation& operation : operations) {
    if (operation.verb == FieldVerb::kGet) {
      answer.AddInteger(ReadField(view.value(), operation.offset, operation.type));
      continue;
    }
    Reply result = ChangeField(view, operation, &changed);
    written |= result.kind() == Reply::Kind::kInteger;
    answer.Add(std::move(result));
  }
  if (changed || (grown && written)) {
    ctx.Notify(kNotifyString, "setbit", key);
    ctx.CountChange();
  }
  return answer;
}

Reply RunBitField(CommandContext& ctx, ArgReader& args, bool may_write) {
  std::string_view key = args.Next();
  std::vector<FieldOperation> operations = ReadOperations(ctx, args);
  if (!args.ok()) return args.error();
  bool writes = false;
  uint64_t last_bit = 0;
  for (const FieldOperation& operation : operations) {
    if (operation.verb == FieldVerb::kGet) continue;
    writes = true;
    last_bit = std::max(last_bit, operation.last_bit());
  }
  if (!writes) return ReadFields(ctx, key, operations);
  if (!may_write) return Reply::Error("ERR BITFIELD_RO only supports the GET subcommand");
  return WriteFields(ctx, key, operations, last_bit);
}

Reply BitField(CommandContext& ctx, ArgReader& args) { return RunBitField(ctx, args, true); }
Reply BitFieldRo(CommandContext& ctx, ArgReader& args) { return RunBitField(ctx, args, false); }

// Each operation that changes something is a write of its own.
uint64_t BitFieldLogBytes(CommandContext& ctx) {
  ArgReader args(ctx.argv.subspan(2));
  std::vector<FieldOperation> operations = ReadOperations(ctx, args);
  if (!args.ok()) return 0;
  uint64_t last_bit = 0, writes = 1;
  for (const FieldOperation& operation : operations) {
    if (operation.verb == FieldVerb::kGet) continue;
    writes++;
    last_bit = std::max(last_bit, operation.last_bit());
  }
  return writes > 1 ? writes * ChangeLogBytes(ctx, sizeof(uint64_t) + 1, last_bit / 8 + 1) : 0;
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"bitfield",
     -2,
     kWrite | kDenyOom,
     1,
     1,
     1,
     kReadWrite,
     BitField,
     "bitmap",
     "3.2.0",
     "O(1) for each operation",
     "Reads and changes integers of any width inside a string",
     {},
     nullptr,
     nullptr,
     nullptr,
     BitFieldLogBytes},
    {"bitfield_ro", -2, kReadonly | kFast, 1, 1, 1, kRead, BitFieldRo, "bitmap", "6.0.0",
     "O(1) for each operation", "Reads integers of any width inside a string"},
};

}  // namespace

std::span<const CommandRow> BitfieldCommands() { return kRows; }

}  // namespace redynamo
