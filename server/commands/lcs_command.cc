// SPDX-License-Identifier: Apache-2.0
// LCS: reads the options, asks lcs.h, shapes the answer.
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/commands/lcs.h"

namespace redynamo {
namespace {

struct LcsOptions {
  bool length_only = false, runs = false, run_lengths = false;
  int64_t run_length_min = 0;
};

LcsOptions ReadLcsOptions(ArgReader& args) {
  LcsOptions options;
  while (args.ok() && !args.done()) {
    if (args.TryWord("IDX")) {
      options.runs = true;
    } else if (args.TryWord("LEN")) {
      options.length_only = true;
    } else if (args.TryWord("WITHMATCHLEN")) {
      options.run_lengths = true;
    } else if (args.remaining() >= 2 && args.TryWord("MINMATCHLEN")) {
      options.run_length_min = args.Int64();
    } else {
      args.FailSyntax();
    }
  }
  if (options.runs && options.length_only) {
    args.Fail("ERR If you want both the length and indexes, please just use IDX.");
  }
  return options;
}

Reply RunsReply(const LcsTable& table, const LcsOptions& options) {
  Reply matches = Reply::Array();
  for (const LcsRun& run : table.Runs()) {
    if (int64_t(run.length()) < options.run_length_min) continue;
    Reply in_a = Reply::Array();
    in_a.AddInteger(run.a_first).AddInteger(run.a_last);
    Reply in_b = Reply::Array();
    in_b.AddInteger(run.b_first).AddInteger(run.b_last);
    Reply match = Reply::Array();
    match.Add(std::move(in_a)).Add(std::move(in_b));
    if (options.run_lengths) match.AddInteger(run.length());
    matches.Add(std::move(match));
  }
  Reply answer = Reply::Map();
  answer.AddView("matches").Add(std::move(matches));
  answer.AddView("len").AddInteger(table.length());
  return answer;
}

Reply Lcs(CommandContext& ctx, ArgReader& args) {
  StringView a = ReadString(ctx, args.Next());
  StringView b = ReadString(ctx, args.Next());
  if (a.wrong_type() || b.wrong_type()) {
    return Reply::Error("ERR The specified keys must contain string values");
  }
  LcsOptions options = ReadLcsOptions(args);
  if (!args.ok()) return args.error();
  std::string_view a_value = a.value(), b_value = b.value();
  if (LcsTable::BytesFor(a_value.size(), b_value.size()) > StringBytesMax(ctx)) {
    return Reply::Error(
        "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }

  LcsTable table(a_value, b_value);
  if (options.runs) return RunsReply(table, options);
  if (options.length_only) return Reply::Integer(table.length());
  return Reply::Bulk(table.Subsequence());
}

constexpr CommandRow kRows[] = {
    {"lcs", -3, kReadonly, 1, 2, 1, KeyAccess::kRead, Lcs, "string", "7.0.0",
     "O(N*M) where N and M are the lengths of the two strings",
     "Gives the longest common subsequence of two strings, its length or where it lies"},
};

}  // namespace

std::span<const CommandRow> LcsCommands() { return kRows; }

}  // namespace redynamo
