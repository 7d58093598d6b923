// SPDX-License-Identifier: Apache-2.0
// LATENCY: what took long, and how long commands take.
#include "server/latency.h"

#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/latency_report.h"
#include "server/server.h"

namespace redynamo {
namespace {

const LatencySeries* FindSeries(CommandContext& context, std::string_view event) {
  const auto& all = context.server.latency().series();
  auto found = all.find(event);
  return found == all.end() ? nullptr : &found->second;
}

Reply LatencyHistory(CommandContext& context, ArgReader& args) {
  Reply list = Reply::Array();
  const LatencySeries* series = FindSeries(context, args.Next());
  if (!series) return list;
  for (const LatencySample& sample : SamplesOf(*series)) {
    Reply pair = Reply::Array();
    pair.AddInteger(sample.unix_seconds).AddInteger(sample.ms);
    list.Add(std::move(pair));
  }
  return list;
}

Reply LatencyLatest(CommandContext& context, ArgReader&) {
  Reply list = Reply::Array();
  for (const auto& [event, series] : context.server.latency().series()) {
    std::vector<LatencySample> samples = SamplesOf(series);
    if (samples.empty()) continue;
    Reply entry = Reply::Array();
    entry.AddView(event).AddInteger(samples.back().unix_seconds);
    entry.AddInteger(samples.back().ms).AddInteger(series.max_ms);
    list.Add(std::move(entry));
  }
  return list;
}

Reply LatencyReset(CommandContext& context, ArgReader& args) {
  LatencyMonitor& monitor = context.server.latency();
  if (args.done()) return Reply::Integer(monitor.Reset({}));
  int64_t removed = 0;
  for (std::string_view event : args.rest()) {
    if (!event.empty()) removed += monitor.Reset(event);
  }
  return Reply::Integer(removed);
}

Reply LatencyGraph(CommandContext& context, ArgReader& args) {
  std::string_view event = args.Next();
  const LatencySeries* series = FindSeries(context, event);
  if (!series) {
    return Reply::ErrorText("ERR No samples available for event '" + std::string(event) + "'");
  }
  return Reply::Verbatim(DrawLatency(event, *series, context.server.unix_seconds()));
}

Reply LatencyDoctor(CommandContext& context, ArgReader&) {
  return Reply::Verbatim(DiagnoseLatency(context.server.latency(),
                                         context.server.config().latency_monitor_threshold_ms,
                                         context.server.unix_seconds()));
}

void AddHistogram(CommandContext& context, const Command& command, Reply* map) {
  const CommandStats& figures = context.server.stats().commands[command.id];
  if (!figures.latency || figures.latency->count() == 0) return;
  Reply counts = Reply::Map();
  for (auto [microseconds, calls] : CumulativeCounts(*figures.latency)) {
    counts.AddInteger(microseconds).AddInteger(calls);
  }
  Reply entry = Reply::Map();
  entry.AddView("calls").AddInteger(int64_t(figures.latency->count()));
  entry.AddView("histogram_usec").Add(std::move(counts));
  map->AddView(command.name()).Add(std::move(entry));
}

Reply HistogramOfCommands(CommandContext& context, ArgReader& args) {
  const CommandTable& table = context.server.commands();
  Reply map = Reply::Map();
  if (args.done()) {
    for (const Command& command : table.all()) AddHistogram(context, command, &map);
    return map;
  }
  for (std::string_view name : args.rest()) {
    const Command* command = table.FindByRowName(name);
    if (!command) continue;
    AddHistogram(context, *command, &map);
    for (const Command* subcommand : command->subcommands) {
      AddHistogram(context, *subcommand, &map);
    }
  }
  return map;
}

Reply LatencyHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "LATENCY <subcommand> [<arg> ...]. Subcommands are:",
      "DOCTOR",
      "    What was slow, and what may help.",
      "GRAPH <event>",
      "    A drawing of an event's samples.",
      "HISTOGRAM [<command> ...]",
      "    How many calls took how long, by command.",
      "HISTORY <event>",
      "    Time and milliseconds of an event's samples.",
      "LATEST",
      "    The last sample and the worst of each event.",
      "RESET [<event> ...]",
      "    Forgets the samples of these events, or of all.",
  });
}

constexpr uint32_t kOperator = kAdmin | kNoScript | kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"latency", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "server", "2.8.13",
     "Depends on subcommand.", "What took long"},
    {"latency|doctor", 2, kOperator, 0, 0, 0, KeyAccess::kNone, LatencyDoctor, "server", "2.8.13",
     "O(1)", "Says what was slow and what may help"},
    {"latency|graph", 3, kOperator, 0, 0, 0, KeyAccess::kNone, LatencyGraph, "server", "2.8.13",
     "O(1)", "Draws an event's samples"},
    {"latency|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, LatencyHelp, "server",
     "2.8.13", "O(1)", "Explains the subcommands"},
    {"latency|histogram", -2, kOperator, 0, 0, 0, KeyAccess::kNone, HistogramOfCommands, "server",
     "7.0.0", "O(N) where N is the number of commands with latency information being retrieved.",
     "How long calls took, by command"},
    {"latency|history", 3, kOperator, 0, 0, 0, KeyAccess::kNone, LatencyHistory, "server", "2.8.13",
     "O(1)", "An event's samples"},
    {"latency|latest", 2, kOperator, 0, 0, 0, KeyAccess::kNone, LatencyLatest, "server", "2.8.13",
     "O(1)", "Each event's last sample"},
    {"latency|reset", -2, kOperator, 0, 0, 0, KeyAccess::kNone, LatencyReset, "server", "2.8.13",
     "O(1)", "Forgets samples"},
};

}  // namespace

std::span<const CommandRow> LatencyCommands() { return kRows; }

}  // namespace redynamo
