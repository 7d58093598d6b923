// SPDX-License-Identifier: Apache-2.0
// A random events record, with what it says in the clear.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/delta.h"

namespace redynamo {

struct RandomRecord {
  explicit RandomRecord(Random& random) {
    bytes.push_back(char(kEventsRecord));
    PutFixed64(&bytes, random.Next());
    strings.reserve(64);  // the effects' views point into it
    for (uint64_t events = 1 + random.Below(3); events > 0; events--) {
      EventHeader event{uint16_t(random.Below(1024)), uint16_t(random.Below(16)), SomeDot(random)};
      PutEvent(&bytes, event);
      for (uint64_t n = 1 + random.Below(4); n > 0; n--) Add(random, event);
    }
  }

  std::string bytes;
  std::vector<std::pair<EventHeader, Effect>> effects;
  size_t last_effect_at = 0;

 private:
  static Dot SomeDot(Random& random) {
    return MakeDot(uint16_t(random.Below(5)), 1 + random.Below(1ull << random.Below(47)));
  }
  std::string_view SomeBytes(Random& random) {
    return strings.emplace_back(random.Below(20), char(random.Next()));
  }

  void Add(Random& random, const EventHeader& event) {
    static constexpr RowKind kKinds[] = {
        RowKind::kBase,       RowKind::kDeadline, RowKind::kTotal,        RowKind::kField,
        RowKind::kFieldTotal, RowKind::kMember,   RowKind::kImplicitBase, RowKind::kImplicitField,
        RowKind::kClear,      RowKind::kFragment};
    Effect effect;
    effect.kind = kKinds[random.Below(10)];
    bool clear = effect.kind == RowKind::kClear;
    bool same_key = !effects.empty() && random.Below(3) == 0;
    effect.key = same_key ? effects.back().second.key : SomeBytes(random);
    bool implicit = effect.kind == RowKind::kImplicitBase || effect.kind == RowKind::kImplicitField;
    effect.has_value = !clear && !implicit && random.Below(2) == 0;
    for (uint64_t n = clear ? 0 : random.Below(3); n > 0; n--) {
      effect.removed.push_back(SomeDot(random));
    }
    effect.had_deadline = random.Below(2) == 0;
    last_effect_at = bytes.size();
    PutEffectHead(
        &bytes, effect.kind,
        uint8_t((effect.has_value ? kTagValue : 0) | (effect.removed.empty() ? 0 : kTagRemoved) |
                (same_key ? kTagSameKey : 0) | (effect.had_deadline ? kTagHadDeadline : 0)),
        effect.key);
    PutElement(random, &effect);
    if (!effect.removed.empty()) {
      PutVarint(&bytes, effect.removed.size());
      for (Dot dot : effect.removed) PutDot(&bytes, dot);
    }
    if (effect.has_value) PutValue(random, &effect);
    effects.emplace_back(event, effect);
  }

  void PutElement(Random& random, Effect* effect) {
    RowKind kind = effect->kind;
    if (kind == RowKind::kField || kind == RowKind::kMember || kind == RowKind::kImplicitField ||
        kind == RowKind::kFieldTotal) {
      effect->element = SomeBytes(random);
      PutLengthPrefixed(&bytes, effect->element);
    }
    if (kind == RowKind::kTotal || kind == RowKind::kFieldTotal || kind == RowKind::kDeadline) {
      effect->base_dot = kind == RowKind::kDeadline && random.Below(2) ? 0 : SomeDot(random);
      PutDot(&bytes, effect->base_dot);
    }
    if (kind == RowKind::kFragment) {
      effect->base_dot = SomeDot(random);
      PutDot(&bytes, effect->base_dot);
      effect->index = uint32_t(random.Below(kFragmentsMax));
      PutVarint(&bytes, effect->index);
    }
    if (kind == RowKind::kClear) {
      effect->scope = ClearScope(random.Below(4));
      for (uint64_t i = random.Below(3); i > 0; i--) effect->context.Add(SomeDot(random));
      bytes.push_back(char(effect->scope));
      if (effect->scope == ClearScope::kKeyKind) {
        effect->cleared_kind = RowKind::kMember;
        bytes.push_back(char(effect->cleared_kind));
      }
      effect->context.EncodeTo(&bytes);
    }
  }

  void PutValue(Random& random, Effect* effect) {
    switch (effect->kind) {
      case RowKind::kDeadline:
        effect->number = int64_t(random.Next());
        PutFixed64(&bytes, uint64_t(effect->number));
        break;
      case RowKind::kTotal:
      case RowKind::kFieldTotal:
        effect->number = int64_t(random.Next());
        PutVarint(&bytes, ZigZag(effect->number));
        break;
      case RowKind::kBase:
      case RowKind::kField:
        effect->value = SomeBytes(random);
        PutLengthPrefixed(&bytes, effect->value);
        break;
      case RowKind::kFragment:
        effect->value =
            strings.emplace_back(1 + random.Below(random.Below(8) ? 40 : kFragmentBytes), 'f');
        PutLengthPrefixed(&bytes, effect->value);
        break;
      default: break;
    }
  }

  std::vector<std::string> strings;
};

}  // namespace redynamo
