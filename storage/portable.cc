// SPDX-License-Identifier: Apache-2.0
#include "storage/portable.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr uint8_t kPortableVersion = 1;

uint32_t CrcOf(uint64_t hlc, std::string_view event) {
  return Crc32c(event, Crc32c({reinterpret_cast<const char*>(&hlc), sizeof hlc}));
}

// The local indexes that the event names, in the order of their ids.
std::vector<uint16_t> ActorsOf(const EventEffects& event, const std::vector<Id128>& ids) {
  std::vector<uint16_t> used{DotActor(event.dot)};
  auto use = [&](uint16_t actor) {
    if (std::find(used.begin(), used.end(), actor) == used.end()) used.push_back(actor);
  };
  for (const auto& [ns, effect] : event.effects) {
    if (effect.base_dot) use(DotActor(effect.base_dot));
    for (Dot dot : effect.removed) use(DotActor(dot));
    for (const auto& [actor, set] : effect.context.actors()) use(actor);
  }
  std::sort(used.begin(), used.end(), [&](uint16_t a, uint16_t b) { return ids[a] < ids[b]; });
  return used;
}

void MapEffect(const std::vector<uint16_t>& to, Effect* effect) {
  effect->base_dot = MapDot(effect->base_dot, to);
  for (Dot& dot : effect->removed) dot = MapDot(dot, to);
  if (!effect->context.empty()) effect->context = MapClock(effect->context, to);
}

bool DotWithin(Dot dot, size_t actors) { return DotActor(dot) < actors; }

bool HangsOnBase(RowKind kind) {
  return kind == RowKind::kTotal || kind == RowKind::kFieldTotal || kind == RowKind::kFragment;
}

Status CheckEffect(const EventHeader& header, const Effect& effect, const PortableEvent& event,
                   size_t namespaces) {
  size_t actors = event.actors.size();
  bool good = header.partition == event.event.partition && header.dot == event.event.dot &&
              DotWithin(effect.base_dot, actors) && ClockWithin(effect.context, actors);
  for (Dot dot : effect.removed) good &= DotWithin(dot, actors);
  if (HangsOnBase(effect.kind)) good &= DotCounter(effect.base_dot) > 0;
  if (DotCounter(effect.base_dot) == 0) good &= effect.base_dot == 0;
  bool of_many = effect.kind == RowKind::kClear && effect.scope >= ClearScope::kNamespace;
  if (!of_many) good &= PartitionOfSlot(KeySlot(effect.key)) == header.partition;
  if (!good) return Corruption("an event of another node speaks of what is not its own");
  if (header.ns >= namespaces) {
    return InvalidArgument(
        "an event of another node is of a database that this node does not "
        "have; 'databases' must be the same on all nodes");
  }
  return Status::Ok();
}

Status ReadPortableEvent(ByteReader* in, uint64_t hlc, size_t namespaces, PortableEvent* out) {
  static constexpr char kMalformed[] = "malformed event of another node";
  std::string_view begin = in->rest();
  uint64_t partition = in->Varint(), n = in->Varint(), own = in->Varint();
  if (!ReadActors(in, &out->actors)) return Corruption(kMalformed);
  std::string_view tokens = in->LengthPrefixed();
  std::string_view covered = begin.substr(0, begin.size() - in->rest().size());
  uint32_t crc = in->Fixed32();
  bool good = in->ok() && partition < uint64_t(PartitionCount()) && n > 0 &&
              n >> kDotCounterBits == 0 && own < out->actors.size() &&
              std::adjacent_find(out->actors.begin(), out->actors.end(), std::greater_equal<>()) ==
                  out->actors.end();
  if (!good) return Corruption(kMalformed);
  if (crc != CrcOf(hlc, covered)) return Corruption("an event of another node fails its checksum");
  out->event.partition = uint16_t(partition);
  out->event.dot = MakeDot(uint16_t(own), n);
  out->event.crc = crc;
  return ReadTokens(tokens, [&](const EventHeader& header, const Effect& effect) {
    Status status = CheckEffect(header, effect, *out, namespaces);
    if (status.ok()) out->event.effects.emplace_back(header.ns, effect);
    return status;
  });
}

}  // namespace

Status CollectEvents(std::string_view record, uint64_t* hlc, std::vector<EventEffects>* events) {
  auto on_effect = [&](const EventHeader& header, const Effect& effect) {
    auto it = std::find_if(events->rbegin(), events->rend(), [&](const EventEffects& e) {
      return e.dot == header.dot && e.partition == header.partition;
    });
    if (it == events->rend()) {
      events->push_back({header.partition, header.dot, 0, {}});
      it = events->rbegin();
    }
    it->effects.emplace_back(header.ns, effect);
    return Status::Ok();
  };
  return ReadEvents(record, hlc, on_effect, [](uint64_t, uint64_t) { return Status::Ok(); });
}

void BeginPortable(uint64_t hlc, size_t events, std::string* out) {
  out->push_back(char(kPortableVersion));
  PutFixed64(out, hlc);
  PutVarint(out, events);
}

uint32_t PutPortable(uint64_t hlc, const EventEffects& event, const std::vector<Id128>& actors,
                     std::string* out) {
  std::vector<uint16_t> used = ActorsOf(event, actors);
  std::vector<uint16_t> place(actors.size());
  for (size_t i = 0; i < used.size(); i++) place[used[i]] = uint16_t(i);
  Dot dot = MapDot(event.dot, place);
  std::string tokens;
  int ns = -1;
  for (const auto& [effect_ns, effect] : event.effects) {
    if (ns != effect_ns) PutEvent(&tokens, {event.partition, effect_ns, dot});
    ns = effect_ns;
    Effect copy = effect;
    MapEffect(place, &copy);
    PutEffect(&tokens, copy);
  }
  size_t begin = out->size();
  PutVarint(out, event.partition);
  PutVarint(out, DotCounter(dot));
  PutVarint(out, DotActor(dot));
  PutVarint(out, used.size());
  for (uint16_t actor : used) {
    out->append(reinterpret_cast<const char*>(actors[actor].data()), sizeof(Id128));
  }
  PutLengthPrefixed(out, tokens);
  uint32_t crc = CrcOf(hlc, std::string_view(*out).substr(begin));
  PutFixed32(out, crc);
  return crc;
}

Status ReadPortable(std::string_view bytes, size_t namespaces, uint64_t* hlc,
                    std::vector<PortableEvent>* events) {
  ByteReader in(bytes);
  uint8_t version = in.Byte();
  *hlc = in.Fixed64();
  uint64_t count = in.Varint();
  if (!in.ok() || version != kPortableVersion || count > uint64_t(PartitionCount())) {
    return Corruption("malformed record of another node");
  }
  for (uint64_t i = 0; i < count; i++) {
    Status status = ReadPortableEvent(&in, *hlc, namespaces, &events->emplace_back());
    if (!status.ok()) return status;
  }
  return in.empty() ? Status::Ok() : Corruption("malformed record of another node");
}

Dot MapDot(Dot dot, const std::vector<uint16_t>& to) {
  if (dot == 0) return 0;
  return MakeDot(to[DotActor(dot)], DotCounter(dot));
}

PartitionClock MapClock(const PartitionClock& clock, const std::vector<uint16_t>& to) {
  PartitionClock out;
  for (const auto& [actor, set] : clock.actors()) {
    for (const auto& interval : set.intervals()) {
      out.AddRange(to[actor], interval.first, interval.last);
    }
  }
  return out;
}

void MapEvent(const std::vector<uint16_t>& to, EventEffects* event) {
  event->dot = MapDot(event->dot, to);
  for (auto& [ns, effect] : event->effects) MapEffect(to, &effect);
}

bool ReadActors(ByteReader* in, std::vector<Id128>* actors) {
  uint64_t count = in->Varint();
  if (count > in->rest().size() / sizeof(Id128) || count > 0xffff) return false;
  for (uint64_t i = 0; i < count; i++) {
    std::memcpy(actors->emplace_back().data(), in->Bytes(sizeof(Id128)).data(), sizeof(Id128));
  }
  return in->ok();
}

bool ClockWithin(const PartitionClock& clock, size_t actors) {
  return clock.empty() || clock.actors().rbegin()->first < actors;
}

}  // namespace redynamo
