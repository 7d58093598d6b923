// SPDX-License-Identifier: Apache-2.0
// Hashes of rows, and the sums of them that checkpoints keep per leaf (ENGINE.md section 7).
//
// A row's hash is made of its key, its dot (the actor by its 128-bit id, never by its local index)
// and the checksum of its payload. What hangs on a row is rows of its own: a string's deadline and
// totals, a field's totals. A sum adds hashes modulo 2^64, so it depends on which rows there are
// and on nothing else: not on order, form in memory, or records on disk.
//
//   leaf sum of a slot = base(k1) + deadline(k1) + field(k2, "a") + field(k2, "b") + ...
//
// A leaf is a slot of a namespace: what a checkpoint captures in one go, so that its sum and its
// rows stem from one moment. Finer ones would cost 8 bytes each in memory and in every checkpoint.
//
// Sums hold *captured* rows: a row's hash leaves the sum when the row turns dirty, and its new one
// enters at the capture. At the end of a slot's capture the sum speaks of all that the checkpoint
// leaves on disk. For whoever adds a form of rows:
//   - its hash must follow from its logical rows, by these functions;
//   - before a clean row changes, call EngineImpl::MarkDirty (heads) or Collection's own marking
//     (elements of large collections): it takes the old hash out, which later nobody knows;
//   - where a row becomes clean (capture) or comes clean from disk, its crc must be set, and its
//     hash enters: SlotTable::sum for heads, ElementSum for what they have beside the head;
//   - rows that leave memory clean stay on disk: nothing changes;
//   - where rows vanish whose hashes are not known, set SlotTable::sum_unknown: the leaf is counted
//     anew after the next checkpoint.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "storage/collection.h"
#include "storage/identity.h"
#include "storage/row.h"

namespace redynamo {

class RowHasher {
 public:
  // Data thread. The list only grows; other threads meanwhile use indexes that they were given
  // before.
  void SetActors(const std::vector<Id128>& actors);

  static uint32_t PayloadCrc(uint64_t hlc, std::string_view value);
  // Of a plain string or element, whose contents are hashed by their crc. A long string keeps the
  // crc of its base from when it became long.
  static void SetCrc(Row* row) {
    if (row->row_form() == RowForm::kPlain) row->crc = PayloadCrc(row->hlc, row->value());
  }

  // All rows of a string but its fragments. REQUIRES: its crc is set, unless it is a counter.
  uint64_t String(uint64_t key_hash, const Row* row) const;
  // The deadline of a string with this base, or of a collection (base 0).
  uint64_t DeadlineRow(uint64_t key_hash, Dot base, const Deadline& deadline) const;
  uint64_t Fragment(uint64_t key_hash, Dot base, uint32_t index, Dot dot, uint64_t hlc,
                    std::string_view bytes) const;
  // A field or member with its totals, as elements stand in packed and in native form. `crc`:
  // PayloadCrc of a plain one.
  uint64_t Element(uint64_t key_hash, uint64_t element_hash, bool member, Dot dot, uint64_t hlc,
                   bool counter, std::string_view value, uint32_t crc) const;
  uint64_t ElementRow(uint64_t key_hash, uint64_t element_hash, bool member, const Row* row) const;
  // All elements of a packed collection.
  uint64_t Packed(uint64_t key_hash, uint64_t seed, bool member, const Collection& c) const;

 private:
  struct Place {  // of a row within the leaf
    uint64_t key_hash, element_hash, kind;
    Dot base;
  };
  uint64_t Hash(const Place& place, Dot dot, uint32_t crc) const;
  uint64_t ActorMix(Dot dot) const;
  uint64_t Totals(Place place, std::string_view cell) const;
  static uint32_t CounterBaseCrc(uint64_t hlc, std::string_view cell, bool of_field);

  static constexpr size_t kChunk = 256;
  std::array<std::atomic<const uint64_t*>, 65'536 / kChunk> actors_{};  // by local index
  std::vector<std::unique_ptr<uint64_t[]>> chunks_;
};

}  // namespace redynamo
