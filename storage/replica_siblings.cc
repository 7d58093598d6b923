// SPDX-License-Identifier: Apache-2.0
// Concurrent versions of a string, read as values and written by contexts (siblings.h). A version
// is a live base with what hangs on it; implicit bases, which INCR on nothing makes, are no
// versions beside others: they add up with whatever is shown.
#include <algorithm>

#include "base/number.h"
#include "storage/replica_side.h"
#include "storage/siblings.h"

namespace redynamo {
namespace {

constexpr char kTooMany[] =
    "ERR the key has 100 concurrent versions already: read them by RING.GET, and write with the "
    "context that it gives";
static_assert(kSiblingsMax == 100, "the text above says so");
constexpr char kUnknownActor[] =
    "TRYAGAIN this replica has not heard yet of all that the context covers. Nothing was changed";

const RowId kBaseRow{RowKind::kBase, {}, 0, 0};

bool IsBeside(const RowId& id, Dot base) {
  return id.base == base && (id.kind == RowKind::kTotal || id.kind == RowKind::kFragment);
}

void Overlay(std::string* text, uint32_t index, std::string_view bytes) {
  size_t at = size_t(index) * kFragmentBytes;
  if (text->size() < at + bytes.size()) text->resize(at + bytes.size(), '\0');
  text->replace(at, bytes.size(), bytes);
}

}  // namespace

// All rows of a key that is shown as a string, or not at all.
KeyRows ReplicaSide::StringRows(const KeyView& view) const {
  EngineImpl::Spot spot = engine_.SpotOf(view);
  const auto& index = engine_.partitions_[PartitionOfSlot(spot.slot)].irregular;
  const KeyRows* held = index ? index->Find(spot.ns, spot.slot, spot.key) : nullptr;
  KeyRows rows;
  if (held) rows = *held;
  const Row* row = engine_.FindLive(spot);
  bool shown = row && row->object_type() == ObjectType::kString;
  if (shown && !rows.HoldsString()) engine_.PullString(row, &rows);
  return rows;
}

// What a client would read if this base were the only one beside implicit ones: as ShowString.
std::string ReplicaSide::TextOf(const KeyRows& rows, Dot base, const RowVersion& version) const {
  const RowState& bases = rows.rows.at(kBaseRow);
  std::string text = version.value;
  bool counts = version.implicit, overlaid = false;
  int64_t sum = 0;
  for (const auto& [id, state] : rows.rows) {
    const auto* winner = engine_.Winner(state);
    if (!winner) continue;
    if (id.kind == RowKind::kFragment && id.base == base) {
      Overlay(&text, FragmentIndex(id), winner->second.value);
      overlaid = true;
    }
    if (id.kind != RowKind::kTotal) continue;
    auto hangs_on = bases.live.find(id.base);
    bool implicit = hangs_on != bases.live.end() && hangs_on->second.implicit;
    if (id.base != base && !implicit) continue;
    counts = true;
    sum = int64_t(uint64_t(sum) + uint64_t(winner->second.number));
  }
  int64_t number = 0;
  if (!counts || overlaid || (!version.implicit && !ParseInt64(version.value, &number))) {
    return text;
  }
  return std::to_string(int64_t(uint64_t(number) + uint64_t(sum)));
}

// Of the totals and fragments of a base: it changes whenever the base is changed in place.
uint64_t ReplicaSide::BesideHash(const KeyRows& rows, Dot base) const {
  uint64_t sum = 0;
  for (const auto& [id, state] : rows.rows) {
    if (IsBeside(id, base)) sum += HashOfDots({}, id, state, Dots::kAll, 0);
  }
  return sum;
}

Siblings ReplicaSide::SiblingsOf(const KeyView& view) const {
  Siblings out;
  KeyRows rows = StringRows(view);
  auto bases = rows.rows.find(kBaseRow);
  if (bases == rows.rows.end() || bases->second.live.empty()) return out;
  std::vector<const std::pair<const Dot, RowVersion>*> live;
  for (const auto& version : bases->second.live) live.push_back(&version);
  std::sort(live.begin(), live.end(), [this](const auto* a, const auto* b) {
    return engine_.Newer(a->first, a->second.hlc, b->first, b->second.hlc);
  });
  std::vector<SeenVersion> seen;
  for (const auto* version : live) {
    seen.push_back({Portable(version->first), BesideHash(rows, version->first)});
    if (version->second.implicit) continue;
    out.values.push_back(TextOf(rows, version->first, version->second));
  }
  if (out.values.empty()) {
    out.values.push_back(TextOf(rows, live[0]->first, live[0]->second));
  }
  EngineImpl::Spot spot = engine_.SpotOf(view);
  out.context = EncodeContext(spot.ns, spot.key, seen);
  return out;
}

// The dot under its local index. What was never heard of is not to be removed ahead of its coming:
// an own dot that is not known here would be made again.
Result<Dot> ReplicaSide::SeenDot(int partition, const PortableDot& dot) const {
  const std::vector<Id128>& known = engine_.identity_.actors;
  auto it = std::find(known.begin(), known.end(), dot.actor);
  if (it == known.end() || ShowsAmnesia(partition, dot.actor, dot.n)) {
    return InvalidArgument(kUnknownActor);
  }
  return MakeDot(uint16_t(it - known.begin()), dot.n);
}

Result<std::string> ReplicaSide::PutSibling(KeyView* view, std::string_view context,
                                            std::string_view value) {
  EngineImpl::Spot spot = engine_.SpotOf(*view);
  int partition = PartitionOfSlot(spot.slot);
  Result<std::vector<SeenVersion>> seen = DecodeContext(spot.ns, spot.key, context);
  if (!seen.ok()) return seen.status();
  KeyRows rows = StringRows(*view);
  const RowState& bases = rows.rows[kBaseRow];
  std::vector<Dot> removed;
  size_t kept = bases.live.size();
  bool unseen = false;
  for (const SeenVersion& version : *seen) {
    Result<Dot> dot = SeenDot(partition, version.dot);
    if (!dot.ok()) return dot.status();
    if (bases.live.contains(*dot)) {
      if (BesideHash(rows, *dot) != version.beside) continue;
      kept--;
    } else if (!engine_.InClock(partition, *dot)) {
      unseen = true;  // its version must not live when it comes
    } else {
      continue;  // replaced or removed already
    }
    removed.push_back(*dot);
  }
  if (kept >= kSiblingsMax) return InvalidArgument(kTooMany);
  if (kept == 0 && !unseen && !engine_.Entangled(*view)) {
    engine_.WriteBase(view, value, DeadlineChange::Clear(), false);
  } else {
    Effect effect;
    effect.kind = RowKind::kBase;
    effect.key = spot.key;
    effect.has_value = true;
    effect.value = value;
    effect.had_deadline = removed.empty() && kept > 0;  // see kTagHadDeadline
    effect.removed = std::move(removed);
    engine_.WriteEffects(view, {std::move(effect)});
  }
  Dot dot = engine_.EventDot(spot.ns, spot.slot);
  return EncodeContext(spot.ns, spot.key, {{Portable(dot), 0}});
}

}  // namespace redynamo
