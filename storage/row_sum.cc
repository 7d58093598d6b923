// SPDX-License-Identifier: Apache-2.0
#include "storage/row_sum.h"

#include "base/hash.h"
#include "base/number.h"
#include "storage/counter.h"
#include "storage/delta.h"
#include "storage/row_table.h"

namespace redynamo {
namespace {

constexpr uint64_t kSalt[] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
                              0xd6e8feb86659fd93};

// Both halves of the product: every bit of either factor reaches every bit of the result.
uint64_t Fold(uint64_t a, uint64_t b) {
  __uint128_t product = __uint128_t(a) * b;
  return uint64_t(product) ^ uint64_t(product >> 64);
}

constexpr uint64_t KindOf(bool member) {
  return uint64_t(member ? RowKind::kMember : RowKind::kField);
}

}  // namespace

void RowHasher::SetActors(const std::vector<Id128>& actors) {
  for (size_t i = 0; i < actors.size(); i++) {
    if (i / kChunk == chunks_.size()) chunks_.push_back(std::make_unique<uint64_t[]>(kChunk));
    const Id128& id = actors[i];
    uint64_t mix = StableHash({reinterpret_cast<const char*>(id.data()), id.size()});
    uint64_t& place = chunks_[i / kChunk][i % kChunk];
    if (place != mix) place = mix;
    actors_[i / kChunk].store(chunks_[i / kChunk].get(), std::memory_order_release);
  }
}

uint64_t RowHasher::ActorMix(Dot dot) const {
  uint16_t index = DotActor(dot);
  const uint64_t* chunk = actors_[index / kChunk].load(std::memory_order_acquire);
  return chunk ? chunk[index % kChunk] : index;  // the latter from a damaged disk only
}

uint64_t RowHasher::Hash(const Place& place, Dot dot, uint32_t crc) const {
  uint64_t row = Fold(place.key_hash ^ kSalt[0], place.element_hash ^ place.kind ^ kSalt[1]);
  if (place.base) row ^= Fold(ActorMix(place.base) ^ kSalt[2], DotCounter(place.base) ^ kSalt[3]);
  uint64_t event = Fold(ActorMix(dot) ^ kSalt[1], DotCounter(dot) ^ kSalt[2]);
  return Fold(row ^ kSalt[3], event ^ (uint64_t(crc) << 32 | crc) ^ kSalt[0]);
}

uint32_t RowHasher::PayloadCrc(uint64_t hlc, std::string_view value) {
  return Crc32c(value, Crc32c({reinterpret_cast<const char*>(&hlc), sizeof hlc}));
}

// As the plain text that the counter began with. Of a string, whether it is an implicit one stands
// in its row: its cell may say so or not.
uint32_t RowHasher::CounterBaseCrc(uint64_t hlc, std::string_view bytes, bool of_field) {
  CounterCell cell(bytes);
  if (of_field && cell.implicit()) return PayloadCrc(hlc, {"implicit\0", 9});
  char digits[24];
  return PayloadCrc(hlc, {digits, FormatInt64(cell.base(), digits)});
}

uint64_t RowHasher::Totals(Place place, std::string_view bytes) const {
  CounterCell cell(bytes);
  uint64_t sum = 0;
  for (int i = 0; i < cell.count(); i++) {
    CounterTotal t = cell.total(i);
    uint64_t number = uint64_t(t.total);
    std::string_view payload(reinterpret_cast<const char*>(&number), sizeof number);
    sum += Hash(place, t.dot, PayloadCrc(t.hlc, payload));
  }
  return sum;
}

uint64_t RowHasher::DeadlineRow(uint64_t key_hash, Dot base, const Deadline& deadline) const {
  std::string_view at(reinterpret_cast<const char*>(&deadline.at_ms), sizeof deadline.at_ms);
  Place place{key_hash, 0, uint64_t(RowKind::kDeadline), base};
  return Hash(place, deadline.dot, PayloadCrc(deadline.hlc, at));
}

uint64_t RowHasher::String(uint64_t key_hash, const Row* row) const {
  Place place{key_hash, 0, uint64_t(RowKind::kBase), 0};
  uint64_t sum;
  if (row->row_form() == RowForm::kCounter) {
    sum = Hash(place, row->dot, CounterBaseCrc(row->hlc, row->value(), false)) +
          Totals({key_hash, 0, uint64_t(RowKind::kTotal), row->dot}, row->value());
  } else {
    sum = Hash(place, row->dot, row->crc);
  }
  if (row->Has(Row::kHasDeadline)) sum += DeadlineRow(key_hash, row->dot, row->deadline());
  return sum;
}

uint64_t RowHasher::Fragment(uint64_t key_hash, Dot base, uint32_t index, Dot dot, uint64_t hlc,
                             std::string_view bytes) const {
  return Hash({key_hash, index, uint64_t(RowKind::kFragment), base}, dot, PayloadCrc(hlc, bytes));
}

uint64_t RowHasher::Element(uint64_t key_hash, uint64_t element_hash, bool member, Dot dot,
                            uint64_t hlc, bool counter, std::string_view value,
                            uint32_t crc) const {
  Place place{key_hash, element_hash, KindOf(member), 0};
  if (!counter) return Hash(place, dot, crc);
  return Hash(place, dot, CounterBaseCrc(hlc, value, true)) +
         Totals({key_hash, element_hash, uint64_t(RowKind::kFieldTotal), dot}, value);
}

uint64_t RowHasher::ElementRow(uint64_t key_hash, uint64_t element_hash, bool member,
                               const Row* row) const {
  return Element(key_hash, element_hash, member, row->dot, row->hlc,
                 row->row_form() == RowForm::kCounter, row->value(), row->crc);
}

uint64_t RowHasher::Packed(uint64_t key_hash, uint64_t seed, bool member,
                           const Collection& c) const {
  uint64_t sum = 0;
  c.ForEach([&](const Collection::Element& e) {
    uint64_t hash = RowTable::HashOf(e.key, seed, kElementHashBits);
    uint32_t crc = e.counter ? 0 : PayloadCrc(e.hlc, e.value);
    sum += Element(key_hash, hash, member, e.dot, e.hlc, e.counter, e.value, crc);
    return true;
  });
  return sum;
}

}  // namespace redynamo
