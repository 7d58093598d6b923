// SPDX-License-Identifier: Apache-2.0
// What rows a set of events must end in, whatever their order:
//
//   live(row) = adds of the row in U - dots that an event in U removes there or clears
//
// where U is all events, and what hangs on a base that is not live is not live either.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/portable.h"
#include "storage/row_dump.h"

namespace redynamo {

using RowKey = std::pair<std::pair<uint16_t, std::string>, RowId>;

// The specification. It knows no order of events.
class Specification {
 public:
  void Add(std::string_view record) {
    uint64_t hlc;
    std::map<Dot, std::map<RowKey, bool>> own;  // does the event's dot live in the row, at its end
    Status status = ReadEvents(record, &hlc, [&](const EventHeader& event, const Effect& effect) {
      Apply(event, effect, &own[event.dot]);
      return Status::Ok();
    });
    REQUIRE(status.ok());
    Close(own);
  }
  void Add(const EventEffects& event) {
    std::map<Dot, std::map<RowKey, bool>> own;
    for (const auto& [ns, effect] : event.effects) {
      Apply({event.partition, ns, event.dot}, effect, &own[event.dot]);
    }
    Close(own);
  }

  std::map<RowKey, std::set<Dot>> Live() const {
    std::map<RowKey, std::set<Dot>> live;
    for (const auto& [row, dots] : adds_) {
      for (Dot dot : dots) {
        if (!Removed(row, dot)) live[row].insert(dot);
      }
    }
    std::erase_if(live, [&](const auto& item) {
      const auto& [at, id] = item.first;
      if (id.base == 0) return false;
      auto base = live.find({at, Home(id)});
      return base == live.end() || !base->second.contains(id.base);
    });
    return live;
  }

 private:
  void Close(const std::map<Dot, std::map<RowKey, bool>>& own) {
    for (const auto& [dot, rows] : own) {
      for (const auto& [row, lives] : rows) {
        if (lives) adds_[row].insert(dot);
      }
    }
  }
  // The row of the base that a row hangs on.
  static RowId Home(const RowId& id) {
    bool of_field = id.kind == RowKind::kFieldTotal;
    return {of_field ? RowKind::kField : RowKind::kBase, of_field ? id.element : "", 0, 0};
  }
  struct Clear {
    ClearScope scope;
    uint16_t ns;
    std::string key;
    RowKind kind;
    PartitionClock context;
    Dot own;  // it does not reach later effects of its own event; earlier ones are dealt with
  };
  static bool Concerns(const Clear& clear, const RowKey& row) {
    if (clear.scope == ClearScope::kPartition) return true;
    if (row.first.first != clear.ns) return false;
    if (clear.scope == ClearScope::kNamespace) return true;
    return row.first.second == clear.key && InScope(clear.scope, clear.kind, row.second);
  }
  bool Removed(const RowKey& row, Dot dot) const {
    auto it = removed_.find(row);
    if (it != removed_.end() && it->second.contains(dot)) return true;
    for (const Clear& clear : clears_) {
      if (dot != clear.own && clear.context.Contains(dot) && Concerns(clear, row)) return true;
    }
    return false;
  }
  void Apply(const EventHeader& event, const Effect& effect, std::map<RowKey, bool>* own) {
    if (effect.kind == RowKind::kClear) {
      clears_.push_back({effect.scope, event.ns, std::string(effect.key), effect.cleared_kind,
                         effect.context, event.dot});
      for (auto& [row, lives] : *own) {
        if (Concerns(clears_.back(), row)) lives = false;
      }
      return;
    }
    RowKey row{{event.ns, std::string(effect.key)}, RowOf(effect, event.dot)};
    for (Dot dot : effect.removed) {
      if (dot != event.dot) removed_[row].insert(dot);
    }
    RowKind kind = row.second.kind;
    for (auto& [other, lives] : *own) {  // a new base begins without what hung on it
      bool hangs = other.first == row.first && other.second.base == event.dot &&
                   Home(other.second) == row.second;
      if (hangs && (kind == RowKind::kBase || kind == RowKind::kField)) lives = false;
    }
    (*own)[row] = effect.has_value || effect.kind == RowKind::kImplicitBase ||
                  effect.kind == RowKind::kImplicitField;
  }

  std::map<RowKey, std::set<Dot>> adds_, removed_;
  std::vector<Clear> clears_;
};

inline std::map<RowKey, std::set<Dot>> LiveOf(const RowDump& dump) {
  std::map<RowKey, std::set<Dot>> live;
  for (const auto& [at, held] : dump.keys) {
    for (const auto& [id, state] : held.rows) {
      for (const auto& [dot, version] : state.live) live[{at, id}].insert(dot);
    }
  }
  return live;
}

}  // namespace redynamo
