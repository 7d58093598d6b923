// SPDX-License-Identifier: Apache-2.0
// A pull batch: events that a replica lacks, in explicit form (REPLICATION.md section 5.1). Not
// what each event did, but the rows that they wrote as these are now: live and gone dots with
// values, and all that the rows' events have removed. A key overwritten a thousand times is one
// row.
//
//   batch  := 0x01 partition actors row-count row* clear-count clear* dot-count dot* crc:4
//   actors := count (id:16)*                 a batch names actors by their place in this list
//   row    := ns length key kind length element base owner removed:clock
//             count (dot hlc flags [length value] [number:zigzag])*   live; flags: 1 implicit,
//             count dot*                     gone                     2 value, 4 number
//   clear  := scope kind ns length key context:clock
//   dot    := actor n crc:4 count row-number* count clear-number*
//
// Numbers are varints unless a width is given. Rows and clears that no dot names are irregular ones
// of the sender. Exactly the dots of the batch count as seen afterwards; live dots of its rows
// beside them are shown, but stay irregular until they come themselves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/dot_index.h"
#include "storage/irregular.h"
#include "storage/portable.h"

namespace redynamo {

class BatchWriter {
 public:
  // `ids`: by local index; it outlives the writer.
  BatchWriter(int partition, const std::vector<Id128>& ids) : partition_(partition), ids_(ids) {}
  // Each gives its number.
  uint32_t AddRow(uint16_t ns, std::string_view key, const RowId& id, const IntervalSet& removed,
                  const RowState& state);
  uint32_t AddClear(const OwedClear& clear);
  void AddDot(Dot dot, uint32_t crc, const std::vector<uint32_t>& rows,
              const std::vector<uint32_t>& clears);
  size_t bytes() const { return rows_.size() + clears_.size() + dots_.size(); }
  bool empty() const { return row_count_ == 0 && clear_count_ == 0 && dot_count_ == 0; }
  std::string Finish() const;

 private:
  uint16_t PlaceOf(uint16_t actor);
  void Put(std::string* out, Dot dot);
  void Put(std::string* out, const PartitionClock& clock);

  int partition_;
  const std::vector<Id128>& ids_;
  std::vector<Id128> actors_;
  std::vector<int> places_;  // by local index; -1: none yet
  std::string rows_, clears_, dots_;
  uint32_t row_count_ = 0, clear_count_ = 0, dot_count_ = 0;
};

struct BatchRow {
  uint16_t ns = 0;
  std::string_view key;
  RowId id;
  PartitionClock removed;
  RowState state;
};

struct BatchDot {
  Dot dot = 0;
  uint32_t crc = 0;
  std::vector<uint32_t> rows, clears;
};

struct Batch {
  int partition = 0;
  std::vector<Id128> actors;
  std::vector<BatchRow> rows;
  std::vector<OwedClear> clears;
  std::vector<BatchDot> dots;
};

// Reads and validates all of it, as ReadPortable does. Dots name places in `actors`; the keys are
// views of the bytes.
Status ReadBatch(std::string_view bytes, size_t namespaces, Batch* out);
void MapBatch(const std::vector<uint16_t>& to, Batch* batch);

}  // namespace redynamo
