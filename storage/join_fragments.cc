// SPDX-License-Identifier: Apache-2.0
// Joining fragments of long strings (long_string.h).
//
// A fragment is a group of its own in the irregular index as long as its base is regular: two
// versions of one piece of a large bitmap must not take the bitmap into the index. What the index
// holds of fragments is one of these:
//
//   of the shown base, which is regular     versions of that fragment; the table shows the winner
//   of a base that has not come yet         hidden; they wait for it
//   of any base, when bases are held, too   all fragments are held: see PullString
//
// A base that is seen and dead takes its fragments along (DropDead).
#include <algorithm>

#include "storage/engine_impl.h"
#include "storage/long_string.h"

namespace redynamo {
namespace {

bool Shows(const Row* row, Dot base) {
  return row && row->object_type() == ObjectType::kString && row->dot == base;
}

// A counter has no fragments: then the whole string is to be looked at.
bool ShowsText(const Row* row, Dot base) {
  return Shows(row, base) && row->row_form() != RowForm::kCounter;
}

const LongString::Fragment* FindFragment(const Row* row, uint32_t index) {
  return row->row_form() == RowForm::kLong ? row->long_string()->Find(index) : nullptr;
}

bool Names(const std::vector<Dot>& removed, Dot dot) {
  return std::find(removed.begin(), removed.end(), dot) != removed.end();
}

}  // namespace

bool EngineImpl::JoinRegularFragment(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                                     const Effect& effect) {
  if (!Shows(row, effect.base_dot)) {
    return !effect.has_value || IsDead(PartitionOfSlot(spot.slot), effect.base_dot);
  }
  if (row->row_form() == RowForm::kCounter) return false;
  const LongString::Fragment* shown = FindFragment(row, effect.index);
  if (!effect.has_value) return !shown || !(shown->dot == dot || Names(effect.removed, shown->dot));
  if (shown && shown->dot != dot && !Names(effect.removed, shown->dot)) {
    // An actor's later write had seen its earlier one: replay over a later capture meets that.
    return DotActor(shown->dot) == DotActor(dot) && DotCounter(shown->dot) > DotCounter(dot);
  }
  ApplyFragment(spot, row, effect.index, effect.value, dot, hlc);
  return true;
}

void EngineImpl::PullFragment(const Row* row, const RowId& id, KeyRows* held) const {
  if (held->rows.contains(id)) return;
  uint32_t index = FragmentIndex(id);
  const LongString::Fragment* fragment = FindFragment(row, index);
  if (!fragment) return;
  std::string bytes(row->long_string()->FragmentBytes(index, *fragment));
  held->rows[id].live[fragment->dot] = {fragment->hlc, false, std::move(bytes), 0};
}

void EngineImpl::PullForFragment(const Row* row, const RowId& id, KeyRows* held) const {
  if (held->HoldsString() || !Shows(row, id.base)) return;
  if (ShowsText(row, id.base)) {
    PullFragment(row, id, held);
  } else {
    PullString(row, held);
  }
}

void EngineImpl::JoinFragment(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect) {
  KeyRows& held = HoldKey(spot);
  RowId id = RowOf(effect, dot);
  PullForFragment(FindLive(spot), id, &held);
  JoinRow(spot, hlc, dot, effect, &held);
  if (!open_events_.empty()) {
    touched_rows_.push_back({{spot.ns, spot.slot, std::string(spot.key)}, id});
  }
  ShowFragment(spot, &held, id);
  ReleaseKey(spot);
}

void EngineImpl::ShowFragment(const Spot& spot, KeyRows* held, const RowId& id) {
  if (held->HoldsString()) return Show(spot, held, nullptr);
  auto it = held->rows.find(id);
  if (it == held->rows.end()) return;
  RowState& state = it->second;
  Row* row = FindLive(spot);
  if (!ShowsText(row, id.base)) {
    if (IsDead(PartitionOfSlot(spot.slot), id.base)) state.live.clear();
    if (state.empty()) held->rows.erase(it);
    return;
  }
  if (const auto* winner = Winner(state)) {
    const LongString::Fragment* shown = FindFragment(row, FragmentIndex(id));
    if (!shown || shown->dot != winner->first ||
        row->long_string()->FragmentBytes(FragmentIndex(id), *shown) != winner->second.value) {
      ApplyFragment(spot, row, FragmentIndex(id), winner->second.value, winner->first,
                    winner->second.hlc);
    }
  } else {
    ApplyRemoveFragment(spot, row, FragmentIndex(id));
  }
  if (Regular(PartitionOfSlot(spot.slot), state)) held->rows.erase(it);
}

// Each touched fragment replaces all versions of it that are live here.
void EngineImpl::WriteFragmentsIrregular(KeyView* view, uint64_t offset, std::string_view bytes) {
  EventDot(view->ns_, view->slot_);
  std::string_view text = view->row_->text();
  uint64_t end = offset + bytes.size(), size = std::max<uint64_t>(text.size(), end);
  uint32_t first = uint32_t(offset / kFragmentBytes), last = uint32_t((end - 1) / kFragmentBytes);
  const IrregularIndex& index = *partitions_[PartitionOfSlot(view->slot_)].irregular;
  const KeyRows& held = *index.Find(view->ns_, view->slot_, view->key_);
  std::vector<Effect> effects;
  std::vector<std::string> values;
  values.reserve(last - first + 1);
  for (uint32_t i = first; i <= last; i++) {
    uint64_t begin = uint64_t(i) * kFragmentBytes, stop = std::min(size, begin + kFragmentBytes);
    std::string& value = values.emplace_back();
    if (begin < text.size()) value = text.substr(begin, kFragmentBytes);
    value.resize(stop - begin, '\0');
    uint64_t from = std::max(offset, begin), to = std::min(end, stop);
    value.replace(from - begin, to - from, bytes.substr(from - offset, to - from));
    Effect effect;
    effect.kind = RowKind::kFragment;
    effect.key = view->key_;
    effect.base_dot = view->row_->dot;
    effect.index = i;
    effect.has_value = true;
    effect.value = value;
    auto it = held.rows.find(RowOf(effect, 0));
    if (it != held.rows.end()) {
      for (const auto& [seen, version] : it->second.live) effect.removed.push_back(seen);
    } else if (const LongString::Fragment* shown = FindFragment(view->row_, i)) {
      effect.removed.push_back(shown->dot);
    }
    effects.push_back(std::move(effect));
  }
  WriteEffects(view, std::move(effects));
}

}  // namespace redynamo
