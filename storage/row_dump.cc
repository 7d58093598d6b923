// SPDX-License-Identifier: Apache-2.0
#include "storage/row_dump.h"

#include "base/hash.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

std::string DotText(Dot dot) {
  return std::to_string(DotActor(dot)) + ":" + std::to_string(DotCounter(dot));
}

std::string ValueText(const std::string& value) {
  if (value.size() <= 64) return value;
  return "(" + std::to_string(value.size()) + " bytes, crc " + std::to_string(Crc32c(value)) + ")";
}

std::string ElementText(const RowId& id) {
  if (id.kind != RowKind::kFragment) return id.element;
  return std::to_string(FragmentIndex(id));
}

}  // namespace

RowDump DumpRows(EngineImpl& engine, int partition) {
  RowDump dump;
  if (const IrregularIndex* index = engine.partitions_[partition].irregular.get()) {
    dump.irregular_keys = index->keys.size();
    dump.clears = index->clears.size();
    for (const auto& [key, rows] : index->keys) {
      dump.keys[{key.ns, key.key}] = rows;
      dump.clears += rows.clears.size();
    }
  }
  for (auto& space : engine.namespaces_) {
    for (int s = partition * SlotsPerPartition(); s < (partition + 1) * SlotsPerPartition(); s++) {
      if (!space->slots[s]) continue;
      space->slots[s]->rows.ForEach([&](Row* row) {
        if (!row->live()) return;
        KeyRows& held = dump.keys[{space->id, std::string(row->key())}];
        if (row->row_form() == RowForm::kCollection) {
          engine.PullAll(row, &held);
        } else if (!held.HoldsString()) {
          engine.PullString(row, &held);
        }
      });
    }
  }
  for (auto& [at, held] : dump.keys) {
    std::erase_if(held.rows, [](const auto& row) { return row.second.empty(); });
  }
  std::erase_if(dump.keys, [](const auto& item) { return item.second.rows.empty(); });
  return dump;
}

std::string ToText(const RowDump& dump) {
  std::string out;
  for (const auto& [at, held] : dump.keys) {
    for (const auto& [id, state] : held.rows) {
      out += std::to_string(at.first) + " " + at.second + " " + std::to_string(int(id.kind)) +
             " '" + ElementText(id) + "' " + DotText(id.base) + " " + std::to_string(id.actor) +
             " live{";
      for (const auto& [dot, v] : state.live) {
        out += DotText(dot) + "=" + (v.implicit ? "implicit" : ValueText(v.value)) + "/" +
               std::to_string(v.number) + " ";
      }
      out += "} gone{";
      for (Dot dot : state.gone) out += DotText(dot) + " ";
      out += "}\n";
    }
  }
  return out;
}

}  // namespace redynamo
