// SPDX-License-Identifier: Apache-2.0
#include "storage/delta.h"

namespace redynamo {
namespace {

Dot ReadDot(ByteReader* in, bool* ok) {
  uint64_t actor = in->Varint();
  uint64_t n = in->Varint();
  if (actor > 0xffff || n >> kDotCounterBits) *ok = false;
  return MakeDot(uint16_t(actor), n & ((1ull << kDotCounterBits) - 1));
}

bool IsRowKind(uint8_t kind) {
  return kind >= uint8_t(RowKind::kBase) && kind <= uint8_t(RowKind::kImplicitField);
}

// The part between key and removed dots. False on malformed bytes.
bool ReadElement(ByteReader* in, Effect* effect) {
  bool ok = true;
  switch (effect->kind) {
    case RowKind::kBase:
    case RowKind::kImplicitBase: return true;
    case RowKind::kDeadline:
    case RowKind::kTotal: effect->base_dot = ReadDot(in, &ok); return ok;
    case RowKind::kFragment: {
      effect->base_dot = ReadDot(in, &ok);
      uint64_t index = in->Varint();
      effect->index = uint32_t(index);
      return ok && index < kFragmentsMax;
    }
    case RowKind::kField:
    case RowKind::kMember:
    case RowKind::kImplicitField: effect->element = in->LengthPrefixed(); return true;
    case RowKind::kFieldTotal:
      effect->element = in->LengthPrefixed();
      effect->base_dot = ReadDot(in, &ok);
      return ok;
    case RowKind::kClear: {
      uint8_t scope = in->Byte();
      if (scope > uint8_t(ClearScope::kPartition)) return false;
      effect->scope = ClearScope(scope);
      if (effect->scope == ClearScope::kKeyKind) {
        uint8_t kind = in->Byte();
        if (!IsRowKind(kind)) return false;
        effect->cleared_kind = RowKind(kind);
      }
      return PartitionClock::Decode(in, &effect->context);
    }
  }
  return false;
}

// False on bytes that no writer wrote.
bool ReadValue(ByteReader* in, Effect* effect) {
  switch (effect->kind) {
    case RowKind::kDeadline: effect->number = int64_t(in->Fixed64()); break;
    case RowKind::kTotal:
    case RowKind::kFieldTotal: effect->number = UnZigZag(in->Varint()); break;
    case RowKind::kBase:
    case RowKind::kField: effect->value = in->LengthPrefixed(); break;
    case RowKind::kFragment:
      effect->value = in->LengthPrefixed();
      return !effect->value.empty() && effect->value.size() <= kFragmentBytes;
    default: break;
  }
  return true;
}

bool ReadEffect(ByteReader* in, uint8_t tag, std::string_view previous_key, Effect* effect) {
  effect->kind = RowKind(tag & 0x0f);
  effect->key = tag & kTagSameKey ? previous_key : in->LengthPrefixed();
  if (!ReadElement(in, effect)) return false;
  bool ok = true;
  if (tag & kTagRemoved) {
    uint64_t count = in->Varint();
    for (uint64_t i = 0; i < count && in->ok(); i++) {
      effect->removed.push_back(ReadDot(in, &ok));
      if (DotCounter(effect->removed.back()) == 0) return false;
    }
  }
  effect->had_deadline = tag & kTagHadDeadline;
  effect->has_value = tag & kTagValue;
  if (effect->has_value && !ReadValue(in, effect)) return false;
  return ok && in->ok();
}

}  // namespace

void PutDot(std::string* out, Dot dot) {
  PutVarint(out, DotActor(dot));
  PutVarint(out, DotCounter(dot));
}

void PutEvent(std::string* out, const EventHeader& event) {
  out->push_back(char(kEventToken));
  PutVarint(out, event.partition);
  PutDot(out, event.dot);
  PutVarint(out, event.ns);
}

void PutSwap(std::string* out, uint64_t a, uint64_t b) {
  out->push_back(char(kSwapToken));
  PutVarint(out, a);
  PutVarint(out, b);
}

void PutEffectHead(std::string* out, RowKind kind, uint8_t tag_bits, std::string_view key) {
  out->push_back(char(uint8_t(kind) | tag_bits));
  if (!(tag_bits & kTagSameKey)) PutLengthPrefixed(out, key);
}

void PutEffect(std::string* out, const Effect& effect) {
  PutEffectHead(
      out, effect.kind,
      uint8_t((effect.has_value ? kTagValue : 0) | (effect.removed.empty() ? 0 : kTagRemoved) |
              (effect.had_deadline ? kTagHadDeadline : 0)),
      effect.key);
  switch (effect.kind) {
    case RowKind::kDeadline:
    case RowKind::kTotal: PutDot(out, effect.base_dot); break;
    case RowKind::kFragment:
      PutDot(out, effect.base_dot);
      PutVarint(out, effect.index);
      break;
    case RowKind::kField:
    case RowKind::kMember:
    case RowKind::kImplicitField:
    case RowKind::kFieldTotal:
      PutLengthPrefixed(out, effect.element);
      if (effect.kind == RowKind::kFieldTotal) PutDot(out, effect.base_dot);
      break;
    case RowKind::kClear:
      out->push_back(char(effect.scope));
      if (effect.scope == ClearScope::kKeyKind) out->push_back(char(effect.cleared_kind));
      effect.context.EncodeTo(out);
      break;
    default: break;
  }
  if (!effect.removed.empty()) {
    PutVarint(out, effect.removed.size());
    for (Dot dot : effect.removed) PutDot(out, dot);
  }
  if (!effect.has_value) return;
  if (effect.kind == RowKind::kDeadline) PutFixed64(out, uint64_t(effect.number));
  if (effect.kind == RowKind::kTotal || effect.kind == RowKind::kFieldTotal) {
    PutVarint(out, ZigZag(effect.number));
  }
  if (effect.kind == RowKind::kBase || effect.kind == RowKind::kField ||
      effect.kind == RowKind::kFragment) {
    PutLengthPrefixed(out, effect.value);
  }
}

Status ReadEvents(std::string_view record, uint64_t* hlc,
                  const std::function<Status(const EventHeader&, const Effect&)>& on_effect,
                  const std::function<Status(uint64_t, uint64_t)>& on_swap) {
  ByteReader in(record);
  if (in.Byte() != kEventsRecord) return Corruption("record is not of events");
  *hlc = in.Fixed64();
  return in.ok() ? ReadTokens(in.rest(), on_effect, on_swap)
                 : Corruption("events record ends early");
}

Status ReadTokens(std::string_view tokens,
                  const std::function<Status(const EventHeader&, const Effect&)>& on_effect,
                  const std::function<Status(uint64_t, uint64_t)>& on_swap) {
  ByteReader in(tokens);
  EventHeader event;
  std::string_view previous_key;
  while (in.ok() && !in.empty()) {
    uint8_t tag = in.Byte();
    if (tag == kEventToken) {
      bool ok = true;
      uint64_t partition = in.Varint();
      event.dot = ReadDot(&in, &ok);
      uint64_t ns = in.Varint();
      if (!ok || !in.ok() || partition > 0x3fff || ns > 0xffff)
        return Corruption("bad event header");
      event.partition = uint16_t(partition);
      event.ns = uint16_t(ns);
      continue;
    }
    if (tag == kSwapToken) {
      uint64_t a = in.Varint(), b = in.Varint();
      if (!in.ok() || !on_swap) return Corruption("unexpected exchange of databases");
      Status status = on_swap(a, b);
      if (!status.ok()) return status;
      continue;
    }
    Effect effect;
    if (DotCounter(event.dot) == 0 || !ReadEffect(&in, tag, previous_key, &effect)) {
      return Corruption("bad effect in an events record");
    }
    previous_key = effect.key;
    Status status = on_effect(event, effect);
    if (!status.ok()) return status;
  }
  return in.ok() ? Status::Ok() : Corruption("events record ends early");
}

}  // namespace redynamo
