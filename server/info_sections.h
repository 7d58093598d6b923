// SPDX-License-Identifier: Apache-2.0
// How INFO's sections are written, and who writes them.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

#include "server/server.h"

namespace redynamo {

class InfoWriter {
 public:
  void Field(std::string_view name, std::string_view value) {
    text_.append(name).append(":").append(value).append("\r\n");
  }
  void Field(std::string_view name, std::integral auto value) {
    Field(name, std::string_view(fmt::format_int(value).c_str()));
  }
  void Fixed(std::string_view name, double value, int decimals) {
    Field(name, fmt::format("{:.{}f}", value, decimals));
  }
  // `name:bytes`, then `name_human:` the same for the eye.
  void Bytes(std::string_view name, uint64_t bytes);
  std::string& text() { return text_; }

 private:
  std::string text_;
};

// One reading of what several sections show.
struct InfoSource {
  Server& server;
  EngineStats engine;           // all zero while the engine opens
  bool cluster_client = false;  // asks on the cluster port
};

using WriteSection = void (*)(const InfoSource& source, InfoWriter& out);

// info_server.cc
void WriteServerSection(const InfoSource& source, InfoWriter& out);
void WriteClientsSection(const InfoSource& source, InfoWriter& out);
void WriteReplicationSection(const InfoSource& source, InfoWriter& out);
void WriteCpuSection(const InfoSource& source, InfoWriter& out);
void WriteModulesSection(const InfoSource& source, InfoWriter& out);
void WriteClusterSection(const InfoSource& source, InfoWriter& out);
void WriteKeyspaceSection(const InfoSource& source, InfoWriter& out);
// info_memory.cc
void WriteMemorySection(const InfoSource& source, InfoWriter& out);
// info_storage.cc
void WritePersistenceSection(const InfoSource& source, InfoWriter& out);
void WriteRedynamoSection(const InfoSource& source, InfoWriter& out);
// info_ring.cc
void WriteRingSection(const InfoSource& source, InfoWriter& out);
// info_stats.cc
void WriteStatsSection(const InfoSource& source, InfoWriter& out);
void WriteCommandStatsSection(const InfoSource& source, InfoWriter& out);
void WriteErrorStatsSection(const InfoSource& source, InfoWriter& out);
void WriteLatencyStatsSection(const InfoSource& source, InfoWriter& out);

}  // namespace redynamo
