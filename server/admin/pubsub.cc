// SPDX-License-Identifier: Apache-2.0
// SUBSCRIBE and its kin, PUBLISH, PUBSUB, MONITOR.
#include "server/pubsub.h"

#include <string>

#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

// The handlers answer by themselves: one confirmation for each name.
template <ChannelKind kind>
Reply Subscribe(CommandContext& context, ArgReader& args) {
  for (std::string_view name : args.rest()) {
    context.server.pubsub().Subscribe(context.session, kind, name);
  }
  return Reply::None();
}

template <ChannelKind kind>
Reply Unsubscribe(CommandContext& context, ArgReader& args) {
  PubSub& pubsub = context.server.pubsub();
  if (args.done()) {
    pubsub.UnsubscribeAll(context.session, kind);
    return Reply::None();
  }
  for (std::string_view name : args.rest()) pubsub.Unsubscribe(context.session, kind, name);
  return Reply::None();
}

Reply Publish(CommandContext& context, ArgReader& args) {
  std::string_view channel = args.Next();
  return Reply::Integer(context.server.pubsub().Publish(channel, args.Next()));
}

Reply PublishShard(CommandContext& context, ArgReader& args) {
  std::string_view channel = args.Next();
  return Reply::Integer(context.server.pubsub().PublishShard(channel, args.Next()));
}

template <ChannelKind kind>
Reply PubSubChannels(CommandContext& context, ArgReader& args) {
  if (args.remaining() > 1) {
    return Reply::ErrorText("ERR unknown subcommand or wrong number of arguments for '" +
                            std::string(context.argv[1]) + "'. Try PUBSUB HELP.");
  }
  Reply names = Reply::Array();
  std::string_view glob = args.done() ? std::string_view() : args.Next();
  for (std::string_view name : context.server.pubsub().Channels(kind, glob)) names.AddView(name);
  return names;
}

template <ChannelKind kind>
Reply PubSubNumSub(CommandContext& context, ArgReader& args) {
  Reply counts = Reply::Array();
  for (std::string_view name : args.rest()) {
    counts.AddView(name).AddInteger(context.server.pubsub().SubscriberCount(kind, name));
  }
  return counts;
}

Reply PubSubNumPat(CommandContext& context, ArgReader&) {
  return Reply::Integer(int64_t(context.server.pubsub().pattern_count()));
}

Reply PubSubHelp(CommandContext&, ArgReader&) {
  static constexpr std::string_view kLines[] = {
      "PUBSUB <subcommand> [<arg> ...]. Subcommands are:",
      "CHANNELS [<pattern>]",
      "    Channels that have a subscriber.",
      "NUMPAT",
      "    How many patterns are subscribed to.",
      "NUMSUB [<channel> ...]",
      "    How many subscribers each of the channels has.",
      "SHARDCHANNELS [<pattern>]",
      "    Shard channels that have a subscriber.",
      "SHARDNUMSUB [<channel> ...]",
      "    How many subscribers each of the shard channels has.",
      "HELP",
      "    This text.",
  };
  Reply lines = Reply::Array();
  for (std::string_view line : kLines) lines.Add(Reply::StaticStatus(line));
  return lines;
}

Reply Monitor(CommandContext& context, ArgReader&) {
  if (context.session.transaction.running) {
    return Reply::Error("ERR MONITOR isn't allowed for DENY BLOCKING client");
  }
  context.server.pubsub().AddMonitor(context.session);
  return Reply::Ok();
}

constexpr uint32_t kListen = kPubSub | kNoScript | kLoading | kStale;
constexpr uint32_t kTell = kPubSub | kLoading | kStale | kFast | kMayReplicate;
constexpr uint32_t kAsk = kPubSub | kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"monitor", 1, kAdmin | kNoScript | kLoading | kStale, 0, 0, 0, KeyAccess::kNone, Monitor,
     "server", "1.0.0", "O(1)", "Shows every command that the server runs"},
    {"psubscribe", -2, kListen, 0, 0, 0, KeyAccess::kNone, Subscribe<ChannelKind::kPattern>,
     "pubsub", "2.0.0", "O(N) where N is the number of patterns to subscribe to.",
     "Listens to the channels that match patterns"},
    {"publish", 3, kTell, 0, 0, 0, KeyAccess::kNone, Publish, "pubsub", "2.0.0",
     "O(N+M) where N is the number of subscribers and M the number of subscribed patterns",
     "Sends a message to a channel"},
    {"pubsub", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "pubsub", "2.8.0",
     "Depends on subcommand.", "Shows who listens to what"},
    {"pubsub|channels", -2, kAsk, 0, 0, 0, KeyAccess::kNone, PubSubChannels<ChannelKind::kChannel>,
     "pubsub", "2.8.0", "O(N) where N is the number of channels", "Channels with subscribers"},
    {"pubsub|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, PubSubHelp, "pubsub", "6.2.0",
     "O(1)", "Explains the subcommands"},
    {"pubsub|numpat", 2, kAsk, 0, 0, 0, KeyAccess::kNone, PubSubNumPat, "pubsub", "2.8.0", "O(1)",
     "The number of patterns with subscribers"},
    {"pubsub|numsub", -2, kAsk, 0, 0, 0, KeyAccess::kNone, PubSubNumSub<ChannelKind::kChannel>,
     "pubsub", "2.8.0", "O(N) for the NUMSUB subcommand, where N is the number of channels",
     "How many listen to each channel"},
    {"pubsub|shardchannels", -2, kAsk, 0, 0, 0, KeyAccess::kNone,
     PubSubChannels<ChannelKind::kShard>, "pubsub", "7.0.0",
     "O(N) where N is the number of shard channels", "Shard channels with subscribers"},
    {"pubsub|shardnumsub", -2, kAsk, 0, 0, 0, KeyAccess::kNone, PubSubNumSub<ChannelKind::kShard>,
     "pubsub", "7.0.0", "O(N) where N is the number of shard channels",
     "How many listen to each shard channel"},
    {"punsubscribe", -1, kListen, 0, 0, 0, KeyAccess::kNone, Unsubscribe<ChannelKind::kPattern>,
     "pubsub", "2.0.0", "O(N) where N is the number of patterns to unsubscribe from.",
     "Stops listening to patterns"},
    {"spublish", 3, kTell, 0, 0, 0, KeyAccess::kNone, PublishShard, "pubsub", "7.0.0",
     "O(N) where N is the number of subscribers", "Sends a message to a shard channel"},
    {"ssubscribe", -2, kListen, 0, 0, 0, KeyAccess::kNone, Subscribe<ChannelKind::kShard>, "pubsub",
     "7.0.0", "O(N) where N is the number of shard channels to subscribe to.",
     "Listens to shard channels"},
    {"subscribe", -2, kListen, 0, 0, 0, KeyAccess::kNone, Subscribe<ChannelKind::kChannel>,
     "pubsub", "2.0.0", "O(N) where N is the number of channels to subscribe to.",
     "Listens to channels"},
    {"sunsubscribe", -1, kListen, 0, 0, 0, KeyAccess::kNone, Unsubscribe<ChannelKind::kShard>,
     "pubsub", "7.0.0", "O(N) where N is the number of shard channels to unsubscribe from.",
     "Stops listening to shard channels"},
    {"unsubscribe", -1, kListen, 0, 0, 0, KeyAccess::kNone, Unsubscribe<ChannelKind::kChannel>,
     "pubsub", "2.0.0", "O(N) where N is the number of channels to unsubscribe from.",
     "Stops listening to channels"},
};

}  // namespace

std::span<const CommandRow> PubSubCommands() { return kRows; }

}  // namespace redynamo
