// SPDX-License-Identifier: Apache-2.0
// LOLWUT [VERSION n] [nodes [tokens of each]]: a ring, and the server's version.
#include "server/lolwut.h"

#include <algorithm>

#include "base/version.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr int64_t kNodesDefault = 5, kNodesMax = 26;
constexpr int64_t kTokensDefault = 8, kTokensMax = 64;

Reply Lolwut(CommandContext& context, ArgReader& args) {
  if (args.remaining() >= 2 && args.TryWord("VERSION")) args.Int64();
  if (!args.ok()) return args.error();
  std::string text;
  if (!EqualsIgnoreCase(args.peek(), "VERSION")) {
    int64_t nodes = args.done() ? kNodesDefault : args.Int64();
    int64_t tokens = args.done() ? kTokensDefault : args.Int64();
    if (!args.ok()) return args.error();
    text = DrawRing(int(std::clamp<int64_t>(nodes, 1, kNodesMax)),
                    int(std::clamp<int64_t>(tokens, 1, kTokensMax)), context.random);
    text += "\nEach letter is a node; its tokens begin the stretches of the ring that it owns.\n\n";
  }
  text += "Redis ver. " + std::string(kRedisVersion) + ", Redynamo ver. " + kRedynamoVersion + '\n';
  return Reply::Verbatim(std::move(text));
}

constexpr CommandRow kRows[] = {
    {"lolwut", -1, kReadonly | kFast, 0, 0, 0, KeyAccess::kNone, Lolwut, "server", "5.0.0", "",
     "Draws a ring, and tells the server's version"},
};

}  // namespace

std::span<const CommandRow> LolwutCommands() { return kRows; }

}  // namespace redynamo
