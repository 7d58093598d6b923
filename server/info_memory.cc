// SPDX-License-Identifier: Apache-2.0
// INFO memory.
#include "server/info_sections.h"
#include "server/memory_report.h"
#include "server/process_figures.h"

namespace redynamo {
namespace {

std::string Percent(double percent) { return fmt::format("{:.2f}%", percent); }

// Scripts and functions do not exist yet; their readers find zeros.
void WriteScriptFields(InfoWriter& out) {
  out.Field("used_memory_lua", 0);
  out.Field("used_memory_vm_eval", 0);
  out.Field("used_memory_lua_human", "0B");
  out.Field("used_memory_scripts_eval", 0);
  out.Field("number_of_cached_scripts", 0);
  out.Field("number_of_functions", 0);
  out.Field("number_of_libraries", 0);
  out.Field("used_memory_vm_functions", 0);
  out.Bytes("used_memory_vm_total", 0);
  out.Field("used_memory_functions", 0);
  out.Bytes("used_memory_scripts", 0);
}

}  // namespace

void WriteMemorySection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  const Config& config = server.config();
  MemoryReport memory = MakeMemoryReport(server, source.engine);
  out.Bytes("used_memory", memory.used);
  out.Bytes("used_memory_rss", memory.resident);
  out.Bytes("used_memory_peak", memory.peak);
  out.Field("used_memory_peak_perc", Percent(memory.PeakPercent()));
  out.Field("used_memory_overhead", memory.overhead());
  out.Field("used_memory_startup", memory.startup);
  out.Field("used_memory_dataset", memory.dataset());
  out.Field("used_memory_dataset_perc", Percent(memory.DatasetPercent()));
  out.Field("allocator_allocated", memory.allocator.allocated);
  out.Field("allocator_active", memory.allocator.active);
  out.Field("allocator_resident", memory.allocator.resident);
  out.Bytes("total_system_memory", PhysicalMemoryBytes());
  WriteScriptFields(out);
  out.Bytes("maxmemory", config.maxmemory_bytes);
  bool pages_out = config.maxmemory_policy == MaxmemoryPolicy::kPageOut;
  out.Field("maxmemory_policy", pages_out ? std::string_view("noeviction")
                                          : MaxmemoryPolicyName(config.maxmemory_policy));
  out.Fixed("allocator_frag_ratio", memory.AllocatorFragmentation(), 2);
  out.Field("allocator_frag_bytes", memory.allocator.active - memory.allocator.allocated);
  out.Fixed("allocator_rss_ratio", memory.AllocatorResidentRatio(), 2);
  out.Field("allocator_rss_bytes", memory.allocator.resident - memory.allocator.active);
  out.Fixed("rss_overhead_ratio", memory.ResidentOverheadRatio(), 2);
  out.Field("rss_overhead_bytes", memory.ResidentOverheadBytes());
  out.Fixed("mem_fragmentation_ratio", memory.Fragmentation(), 2);
  out.Field("mem_fragmentation_bytes", memory.FragmentationBytes());
  out.Field("mem_not_counted_for_evict", 0);
  out.Field("mem_replication_backlog", 0);
  out.Field("mem_total_replication_buffers", 0);
  out.Field("mem_clients_slaves", 0);
  out.Field("mem_clients_normal", memory.clients);
  out.Field("mem_cluster_links", 0);
  out.Field("mem_aof_buffer", memory.log_buffer);
  out.Field("mem_allocator", AllocatorName());
  out.Field("active_defrag_running", 0);
  out.Field("lazyfree_pending_objects", 0);
  out.Field("lazyfreed_objects", 0);
}

}  // namespace redynamo
