// SPDX-License-Identifier: Apache-2.0
#include "storage/replica_batch.h"

#include <algorithm>

#include "base/hash.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr uint8_t kBatchVersion = 1;
constexpr uint8_t kImplicitVersion = 1, kHasValue = 2, kHasNumber = 4;

bool ReadDot(ByteReader* in, size_t actors, Dot* dot) {
  uint64_t actor = in->Varint(), n = in->Varint();
  if (!in->ok() || n >> kDotCounterBits || (n > 0 && actor >= actors)) return false;
  *dot = n == 0 ? 0 : MakeDot(uint16_t(actor), n);
  return true;
}

bool ReadClock(ByteReader* in, size_t actors, PartitionClock* clock) {
  return PartitionClock::Decode(in, clock) && ClockWithin(*clock, actors);
}

bool ReadState(ByteReader* in, size_t actors, RowState* state) {
  uint64_t live = in->Varint();
  for (uint64_t i = 0; i < live && in->ok(); i++) {
    Dot dot;
    if (!ReadDot(in, actors, &dot) || dot == 0) return false;
    RowVersion version;
    version.hlc = in->Varint();
    uint8_t flags = in->Byte();
    version.implicit = flags & kImplicitVersion;
    if (flags & kHasValue) version.value = in->LengthPrefixed();
    if (flags & kHasNumber) version.number = UnZigZag(in->Varint());
    state->live.emplace(dot, std::move(version));
  }
  uint64_t gone = in->Varint();
  for (uint64_t i = 0; i < gone && in->ok(); i++) {
    Dot dot;
    if (!ReadDot(in, actors, &dot) || dot == 0) return false;
    state->gone.insert(dot);
  }
  return in->ok();
}

bool GoodFragment(const BatchRow& row) {
  if (row.id.element.size() != 4 || FragmentIndex(row.id) >= kFragmentsMax) return false;
  return std::all_of(row.state.live.begin(), row.state.live.end(), [](const auto& version) {
    return !version.second.value.empty() && version.second.value.size() <= kFragmentBytes;
  });
}

// What RowOf could have made.
bool GoodRow(const BatchRow& row) {
  bool totals = row.id.kind == RowKind::kTotal || row.id.kind == RowKind::kFieldTotal;
  bool owners_agree = std::all_of(
      row.state.live.begin(), row.state.live.end(),
      [&](const auto& version) { return !totals || DotActor(version.first) == row.id.actor; });
  if (!owners_agree || (!totals && row.id.actor != 0)) return false;
  switch (row.id.kind) {
    case RowKind::kBase: return row.id.base == 0 && row.id.element.empty();
    case RowKind::kDeadline: return row.id.element.empty();
    case RowKind::kTotal: return row.id.base != 0 && row.id.element.empty();
    case RowKind::kFragment: return row.id.base != 0 && GoodFragment(row);
    case RowKind::kField:
    case RowKind::kMember: return row.id.base == 0;
    case RowKind::kFieldTotal: return row.id.base != 0;
    default: return false;
  }
}

bool ReadRow(ByteReader* in, const Batch& batch, BatchRow* row) {
  size_t actors = batch.actors.size();
  uint64_t ns = in->Varint();
  row->ns = uint16_t(ns);
  row->key = in->LengthPrefixed();
  row->id.kind = RowKind(in->Byte());
  row->id.element = in->LengthPrefixed();
  if (!ReadDot(in, actors, &row->id.base)) return false;
  uint64_t owner = in->Varint();
  row->id.actor = uint16_t(owner);
  return ns <= 0xffff && (owner == 0 || owner < actors) && ReadClock(in, actors, &row->removed) &&
         ReadState(in, actors, &row->state) && GoodRow(*row) &&
         PartitionOfSlot(KeySlot(row->key)) == batch.partition;
}

bool ReadClear(ByteReader* in, const Batch& batch, OwedClear* clear) {
  uint8_t scope = in->Byte();
  clear->cleared_kind = RowKind(in->Byte());
  uint64_t ns = in->Varint();
  clear->ns = uint16_t(ns);
  clear->key = in->LengthPrefixed();
  if (scope > uint8_t(ClearScope::kPartition) || ns > 0xffff) return false;
  clear->scope = ClearScope(scope);
  bool of_key = clear->scope < ClearScope::kNamespace;
  if (of_key && PartitionOfSlot(KeySlot(clear->key)) != batch.partition) return false;
  return ReadClock(in, batch.actors.size(), &clear->context);
}

bool ReadNumbers(ByteReader* in, size_t below, std::vector<uint32_t>* out) {
  uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count && in->ok(); i++) {
    uint64_t number = in->Varint();
    if (number >= below) return false;
    out->push_back(uint32_t(number));
  }
  return in->ok();
}

template <typename T, typename Read>
bool ReadMany(ByteReader* in, std::vector<T>* out, Read&& read) {
  uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count && in->ok(); i++) {
    if (!read(&out->emplace_back())) return false;
  }
  return in->ok();
}

bool ReadContents(ByteReader* in, Batch* out) {
  uint64_t partition = in->Varint();
  if (partition >= uint64_t(PartitionCount()) || !ReadActors(in, &out->actors)) return false;
  out->partition = int(partition);
  return ReadMany(in, &out->rows, [&](BatchRow* row) { return ReadRow(in, *out, row); }) &&
         ReadMany(in, &out->clears, [&](OwedClear* c) { return ReadClear(in, *out, c); }) &&
         ReadMany(in, &out->dots, [&](BatchDot* dot) {
           bool good = ReadDot(in, out->actors.size(), &dot->dot) && dot->dot != 0;
           dot->crc = in->Fixed32();
           return good && ReadNumbers(in, out->rows.size(), &dot->rows) &&
                  ReadNumbers(in, out->clears.size(), &dot->clears);
         });
}

}  // namespace

uint16_t BatchWriter::PlaceOf(uint16_t actor) {
  if (places_.size() <= actor) places_.resize(size_t(actor) + 1, -1);
  if (places_[actor] < 0) {
    places_[actor] = int(actors_.size());
    actors_.push_back(actor < ids_.size() ? ids_[actor] : Id128{});
  }
  return uint16_t(places_[actor]);
}

void BatchWriter::Put(std::string* out, Dot dot) {
  PutDot(out, dot == 0 ? 0 : MakeDot(PlaceOf(DotActor(dot)), DotCounter(dot)));
}

void BatchWriter::Put(std::string* out, const PartitionClock& clock) {
  PartitionClock mapped;
  for (const auto& [actor, set] : clock.actors()) {
    for (const auto& interval : set.intervals()) {
      mapped.AddRange(PlaceOf(actor), interval.first, interval.last);
    }
  }
  mapped.EncodeTo(out);
}

uint32_t BatchWriter::AddRow(uint16_t ns, std::string_view key, const RowId& id,
                             const IntervalSet& removed, const RowState& state) {
  PutVarint(&rows_, ns);
  PutLengthPrefixed(&rows_, key);
  rows_.push_back(char(id.kind));
  PutLengthPrefixed(&rows_, id.element);
  Put(&rows_, id.base);
  bool owned = id.kind == RowKind::kTotal || id.kind == RowKind::kFieldTotal;
  PutVarint(&rows_, owned ? PlaceOf(id.actor) : 0);
  PartitionClock clock;
  for (const auto& dots : removed.intervals()) {
    clock.AddRange(DotActor(dots.first), DotCounter(dots.first), DotCounter(dots.last));
  }
  Put(&rows_, clock);
  PutVarint(&rows_, state.live.size());
  for (const auto& [dot, version] : state.live) {
    Put(&rows_, dot);
    PutVarint(&rows_, version.hlc);
    uint8_t flags = (version.implicit ? kImplicitVersion : 0) |
                    (version.value.empty() ? 0 : kHasValue) |
                    (version.number == 0 ? 0 : kHasNumber);
    rows_.push_back(char(flags));
    if (flags & kHasValue) PutLengthPrefixed(&rows_, version.value);
    if (flags & kHasNumber) PutVarint(&rows_, ZigZag(version.number));
  }
  PutVarint(&rows_, state.gone.size());
  for (Dot dot : state.gone) Put(&rows_, dot);
  return row_count_++;
}

uint32_t BatchWriter::AddClear(const OwedClear& clear) {
  clears_.push_back(char(clear.scope));
  clears_.push_back(char(clear.cleared_kind));
  PutVarint(&clears_, clear.ns);
  PutLengthPrefixed(&clears_, clear.key);
  Put(&clears_, clear.context);
  return clear_count_++;
}

void BatchWriter::AddDot(Dot dot, uint32_t crc, const std::vector<uint32_t>& rows,
                         const std::vector<uint32_t>& clears) {
  Put(&dots_, dot);
  PutFixed32(&dots_, crc);
  PutVarint(&dots_, rows.size());
  for (uint32_t number : rows) PutVarint(&dots_, number);
  PutVarint(&dots_, clears.size());
  for (uint32_t number : clears) PutVarint(&dots_, number);
  dot_count_++;
}

std::string BatchWriter::Finish() const {
  std::string out;
  out.reserve(bytes() + 64 + 16 * actors_.size());
  out.push_back(char(kBatchVersion));
  PutVarint(&out, uint64_t(partition_));
  PutVarint(&out, actors_.size());
  for (const Id128& id : actors_) {
    out.append(reinterpret_cast<const char*>(id.data()), id.size());
  }
  PutVarint(&out, row_count_);
  out += rows_;
  PutVarint(&out, clear_count_);
  out += clears_;
  PutVarint(&out, dot_count_);
  out += dots_;
  PutFixed32(&out, Crc32c(out));
  return out;
}

Status ReadBatch(std::string_view bytes, size_t namespaces, Batch* out) {
  static constexpr char kMalformed[] = "malformed batch of another node";
  if (bytes.size() < 5 || uint8_t(bytes[0]) != kBatchVersion) return Corruption(kMalformed);
  std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (ByteReader(bytes.substr(body.size())).Fixed32() != Crc32c(body)) {
    return Corruption("a batch of another node fails its checksum");
  }
  ByteReader in(body.substr(1));
  if (!ReadContents(&in, out) || !in.empty()) return Corruption(kMalformed);
  bool known = std::all_of(out->rows.begin(), out->rows.end(),
                           [&](const BatchRow& row) { return row.ns < namespaces; }) &&
               std::all_of(out->clears.begin(), out->clears.end(),
                           [&](const OwedClear& clear) { return clear.ns < namespaces; });
  if (!known) {
    return InvalidArgument(
        "a batch of another node is of a database that this node does not "
        "have; 'databases' must be the same on all nodes");
  }
  return Status::Ok();
}

void MapBatch(const std::vector<uint16_t>& to, Batch* batch) {
  for (BatchRow& row : batch->rows) {
    row.id.base = MapDot(row.id.base, to);
    bool owned = row.id.kind == RowKind::kTotal || row.id.kind == RowKind::kFieldTotal;
    if (owned && row.id.actor < to.size()) row.id.actor = to[row.id.actor];
    row.removed = MapClock(row.removed, to);
    RowState mapped;
    for (auto& [dot, version] : row.state.live) {
      mapped.live.emplace(MapDot(dot, to), std::move(version));
    }
    for (Dot dot : row.state.gone) mapped.gone.insert(MapDot(dot, to));
    row.state = std::move(mapped);
  }
  for (OwedClear& clear : batch->clears) clear.context = MapClock(clear.context, to);
  for (BatchDot& dot : batch->dots) dot.dot = MapDot(dot.dot, to);
}

}  // namespace redynamo
