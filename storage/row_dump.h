// SPDX-License-Identifier: Apache-2.0
// All rows of a partition as replication sees them, table and irregular index together: for tests,
// and for explaining a key's versions. Resident keys only. Data thread.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "storage/irregular.h"

namespace redynamo {

class EngineImpl;

struct RowDump {
  // By namespace and key. Without empty rows; keys whose rows are all empty are left out.
  std::map<std::pair<uint16_t, std::string>, KeyRows> keys;
  size_t irregular_keys = 0;  // in the index
  size_t clears = 0;          // unfinished, of all scopes
};

RowDump DumpRows(EngineImpl& engine, int partition);
// One row a line: "ns key kind element base actor live{dot=value ...} gone{dot ...}".
std::string ToText(const RowDump& dump);

}  // namespace redynamo
