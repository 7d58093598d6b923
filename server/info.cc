// SPDX-License-Identifier: Apache-2.0
#include "server/info.h"

#include <algorithm>
#include <iterator>

#include "server/info_sections.h"

namespace redynamo {
namespace {

enum SectionGroup : uint32_t { kDefault = 1, kAll = 2 };
constexpr uint32_t kAlways = kDefault | kAll;

struct Section {
  std::string_view name;   // as one asks for it
  std::string_view title;  // as its first line says
  uint32_t groups;
  WriteSection write;
};

constexpr Section kSections[] = {
    {"server", "Server", kAlways, WriteServerSection},
    {"clients", "Clients", kAlways, WriteClientsSection},
    {"memory", "Memory", kAlways, WriteMemorySection},
    {"persistence", "Persistence", kAlways, WritePersistenceSection},
    {"stats", "Stats", kAlways, WriteStatsSection},
    {"replication", "Replication", kAlways, WriteReplicationSection},
    {"cpu", "CPU", kAlways, WriteCpuSection},
    {"modules", "Modules", kAlways, WriteModulesSection},
    {"commandstats", "Commandstats", kAll, WriteCommandStatsSection},
    {"errorstats", "Errorstats", kAlways, WriteErrorStatsSection},
    {"latencystats", "Latencystats", kAll, WriteLatencyStatsSection},
    {"cluster", "Cluster", kAlways, WriteClusterSection},
    {"redynamo", "Redynamo", kAlways, WriteRedynamoSection},
    {"ring", "Ring", kAlways, WriteRingSection},
    {"keyspace", "Keyspace", kAlways, WriteKeyspaceSection},
};

uint32_t GroupOf(std::string_view word) {
  if (EqualsIgnoreCase(word, "default")) return kDefault;
  bool all = EqualsIgnoreCase(word, "all") || EqualsIgnoreCase(word, "everything");
  if (all) return kAll;
  return 0;
}

bool Wanted(const Section& section, std::span<const std::string_view> words) {
  if (words.empty()) return section.groups & kDefault;
  return std::ranges::any_of(words, [&section](std::string_view word) {
    return EqualsIgnoreCase(section.name, word) || section.groups & GroupOf(word);
  });
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  constexpr char kUnits[] = "KMGTP";
  if (bytes < 1024) return fmt::format("{}B", bytes);
  double value = double(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 2 < std::size(kUnits); unit++) value /= 1024;
  return fmt::format("{:.2f}{}", value, kUnits[unit]);
}

void InfoWriter::Bytes(std::string_view name, uint64_t bytes) {
  Field(name, bytes);
  Field(std::string(name) + "_human", HumanBytes(bytes));
}

std::string InfoText(Server& server, std::span<const std::string_view> sections,
                     bool cluster_client) {
  InfoSource source{server, server.has_engine() ? server.engine().Stats() : EngineStats(),
                    cluster_client};
  InfoWriter out;
  for (const Section& section : kSections) {
    if (!Wanted(section, sections)) continue;
    if (!out.text().empty()) out.text() += "\r\n";
    fmt::format_to(std::back_inserter(out.text()), "# {}\r\n", section.title);
    section.write(source, out);
  }
  return std::move(out.text());
}

}  // namespace redynamo
