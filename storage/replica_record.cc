// SPDX-License-Identifier: Apache-2.0
// Own events go out as they were made; foreign ones are validated whole, their actors interned,
// logged as they came, and joined. What cold keys have to say is read in the background before.
#include <algorithm>

#include "base/log_line.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

bool NamesKnownActors(const EventEffects& event, size_t actors) {
  bool known = DotActor(event.dot) < actors;
  for (const auto& [ns, effect] : event.effects) {
    known &= DotActor(effect.base_dot) < actors && ClockWithin(effect.context, actors);
    for (Dot dot : effect.removed) known &= DotActor(dot) < actors;
  }
  return known;
}

bool NamesElement(RowKind kind) {
  return kind == RowKind::kField || kind == RowKind::kImplicitField ||
         kind == RowKind::kFieldTotal || kind == RowKind::kMember;
}

}  // namespace

// --- own records ---

void ReplicaSide::CollectOwn(std::string_view record) {
  own_bytes_.clear();
  own_ids_.clear();
  own_bases_.clear();
  uint64_t hlc = 0;
  std::vector<EventEffects> events;
  Status status = CollectEvents(record, &hlc, &events);
  CHECK_THAT(status.ok());  // it was made here
  BeginPortable(hlc, events.size(), &own_bytes_);
  for (EventEffects& event : events) {
    event.crc = PutPortable(hlc, event, engine_.identity_.actors, &own_bytes_);
    own_ids_.push_back({event.partition, Portable(event.dot)});
    for (const auto& [ns, effect] : event.effects) {
      if (effect.base_dot == 0 || effect.base_dot == event.dot) continue;
      own_bases_.push_back({event.partition, Portable(effect.base_dot)});
    }
    if (keep_) AddToIndex(event.partition, [&](DotIndex* index) { index->Add(event); });
  }
}

void ReplicaSide::PublishOwn(uint64_t position) {
  if (own_ids_.empty()) return;  // an exchange of databases alone
  if (keep_) KeepIndexSmall();
  if (engine_.hooks_.on_own_record) {
    engine_.hooks_.on_own_record({position, own_bytes_, own_ids_, own_bases_});
  }
}

void ReplicaSide::ReplayedOwn(std::string_view record) {
  uint64_t hlc = 0;
  std::vector<EventEffects> events;
  if (!CollectEvents(record, &hlc, &events).ok()) return;
  for (EventEffects& event : events) {
    if (!NamesKnownActors(event, engine_.identity_.actors.size())) return;
    std::string bytes;
    event.crc = PutPortable(hlc, event, engine_.identity_.actors, &bytes);
    AddToIndex(event.partition, [&](DotIndex* index) { index->Add(event); });
  }
}

// --- actors ---

Status ReplicaSide::SaveActors() {
  engine_.hasher_.SetActors(engine_.identity_.actors);
  return engine_.identity_.Save(&engine_.environment_.files(), engine_.options_.dir);
}

Result<std::vector<uint16_t>> ReplicaSide::Intern(const std::vector<Id128>& actors, bool save) {
  std::vector<Id128>& known = engine_.identity_.actors;
  for (size_t i = local_.size(); i < known.size(); i++) local_.emplace(known[i], uint16_t(i));
  std::vector<uint16_t> to;
  bool is_new = false;
  for (const Id128& actor : actors) {
    auto it = local_.find(actor);
    if (it == local_.end()) {
      Result<uint16_t> index = engine_.identity_.Intern(actor);
      if (!index.ok()) return index.status();
      it = local_.emplace(actor, *index).first;
      is_new = true;
    }
    to.push_back(it->second);
  }
  if (is_new) engine_.hasher_.SetActors(known);
  actors_unsaved_ = actors_unsaved_ || is_new;
  if (!save || !actors_unsaved_) return to;
  // Also those that could not be saved before: an index that gets to disk without its actor would
  // be another one's after the next start.
  Status status = SaveActors();
  if (!status.ok()) return status;
  actors_unsaved_ = false;
  return to;
}

Status ReplicaSide::RotateActor() {
  CHECK_THAT(!engine_.record_);
  size_t before = engine_.identity_.actors.size();
  engine_.identity_.Rotate(engine_.RandomSource());
  if (engine_.identity_.actors.size() == before) {
    return {StatusCode::kNoSpace, "this data directory has had too many actors"};
  }
  Status status = SaveActors();
  if (!status.ok()) return status;
  for (Partition& p : engine_.partitions_) {
    if (p.own_n > p.own_floor) p.clock.AddRange(engine_.self_, p.own_floor + 1, p.own_n);
    p.own_n = p.own_floor = 0;
    engine_.NoteClockBytes(p.clock);
  }
  engine_.self_ = engine_.identity_.own;
  return Status::Ok();
}

bool ReplicaSide::ShowsAmnesia(int partition, const Id128& actor, uint64_t n) const {
  return actor == engine_.identity_.actors[engine_.self_] &&
         n > engine_.partitions_[partition].own_n;
}

// --- what a join needs in memory ---

// Views are of the bytes or index entries that it was made for; Load copies what it keeps.
struct ReplicaSide::Needs {
  struct Key {
    int database = 0;
    std::vector<std::string_view> names;
  };
  std::map<std::pair<uint16_t, std::string_view>, Key> keys;

  void Add(const EngineImpl& engine, uint16_t ns, std::string_view key, RowKind kind,
           std::string_view element) {
    Key& need = keys[{ns, key}];
    need.database = engine.DatabaseOf(ns);
    if (NamesElement(kind)) need.names.push_back(element);
  }
};

std::shared_ptr<ReplicaSide::Needs> ReplicaSide::NeedsOf(const Batch& batch) const {
  auto needs = std::make_shared<Needs>();
  for (const BatchRow& row : batch.rows) {
    needs->Add(engine_, row.ns, row.key, row.id.kind, row.id.element);
  }
  for (const OwedClear& clear : batch.clears) {
    if (clear.scope >= ClearScope::kNamespace) continue;
    needs->Add(engine_, clear.ns, clear.key, RowKind::kClear, {});
  }
  return needs;
}

std::shared_ptr<ReplicaSide::Needs> ReplicaSide::NeedsOf(const Selection& selection) const {
  auto needs = std::make_shared<Needs>();
  for (const Selection::Item& item : selection.dots) {
    for (const DotIndex::OwedRow* owed : item.entry->rows) {
      uint16_t ns;
      std::string_view key;
      RowId id;
      bool good = ReadPlace(owed->place, &ns, &key, &id) && ns < engine_.namespaces_.size();
      if (!good) continue;
      std::string_view place = owed->place;  // which ends with the element
      needs->Add(engine_, ns, key, id.kind, place.substr(place.size() - id.element.size()));
    }
  }
  return needs;
}

std::vector<KeyRef> ReplicaSide::RefsOf(const Needs& needs) const {
  std::vector<KeyRef> refs;
  for (const auto& [at, need] : needs.keys) {
    const Namespace& space = *engine_.namespaces_[at.first];
    if (need.database < 0 || (space.live == space.resident && space.sparse == 0)) continue;
    ElementNeed kind = need.names.empty() ? ElementNeed::kNone : ElementNeed::kNamed;
    refs.push_back({need.database, at.second, kind, need.names});
  }
  return refs;
}

bool ReplicaSide::Ready(const Needs& needs) const { return engine_.Resident(RefsOf(needs)); }

void ReplicaSide::WhenReady(std::shared_ptr<Needs> needs,
                            std::function<void(const Status&)> ready) {
  std::vector<KeyRef> refs = RefsOf(*needs);
  if (engine_.Resident(refs)) return ready(Status::Ok());
  engine_.Load(refs, [needs, ready](const Status& status) { ready(status); });
}

// What was let go again since it was loaded, or never asked for, so that no join fails half way.
Status ReplicaSide::PrepareOnTheSpot(uint16_t ns, std::string_view key, RowKind kind,
                                     std::string_view element) const {
  const Namespace& space = *engine_.namespaces_[ns];
  if (space.live == space.resident && space.sparse == 0) return Status::Ok();
  SlotTable* table = engine_.Slot(ns, KeySlot(key));
  if (!table) return Status::Ok();
  Row* row = table->rows.Find(RowTable::HashOf(key, engine_.seed_, kPositionHashBits), key);
  if (!row && table->cold() > 0 && !engine_.KnownAbsent(ns, key)) {
    Status status = engine_.LoadNow(ns, key, &row);
    if (!status.ok()) return status;
  }
  bool sparse = row && row->row_form() == RowForm::kCollection && row->collection()->sparse();
  if (!sparse || !NamesElement(kind) || row->collection()->Knows(element)) return Status::Ok();
  ElementWant want;
  want.names.emplace_back(element);
  return engine_.LoadElementsNow(row, std::move(want));
}

// --- accepting ---

void ReplicaSide::AcceptRecord(std::string_view bytes, Done done) {
  auto copy = std::make_shared<std::string>(bytes);
  auto events = std::make_shared<std::vector<PortableEvent>>();
  uint64_t hlc = 0;
  Accepted accepted;
  accepted.status = ReadPortable(*copy, engine_.namespaces_.size(), &hlc, events.get());
  if (!accepted.status.ok()) return done(accepted);
  if (engine_.AllResident()) {
    FinishRecord(*copy, events.get(), hlc, &accepted);
    return done(accepted);
  }
  auto needs = std::make_shared<Needs>();
  for (const PortableEvent& e : *events) {
    for (const auto& [ns, effect] : e.event.effects) {
      bool of_many = effect.kind == RowKind::kClear && effect.scope >= ClearScope::kNamespace;
      if (!of_many) needs->Add(engine_, ns, effect.key, effect.kind, effect.element);
    }
  }
  WhenReady(needs, [this, copy, events, hlc, done](const Status& status) {
    Accepted out;
    out.status = status;
    if (status.ok()) FinishRecord(*copy, events.get(), hlc, &out);
    done(out);
  });
}

uint64_t ReplicaSide::LastPositionOf(int partition) const {
  uint64_t last = 0;
  for (int s = partition * SlotsPerPartition(); s < (partition + 1) * SlotsPerPartition(); s++) {
    last = std::max(last, engine_.last_position_[size_t(s)]);
  }
  return last;
}

// After the join of these events, whose dots are local ones by now.
void ReplicaSide::NoteBases(const std::vector<PortableEvent>& events, Accepted* out) const {
  for (const PortableEvent& e : events) {
    for (const auto& [ns, effect] : e.event.effects) {
      if (effect.base_dot == 0 || engine_.InClock(e.event.partition, effect.base_dot)) continue;
      out->lacks_base.push_back(e.event.partition);
      break;
    }
  }
}

void ReplicaSide::FinishRecord(std::string_view bytes, std::vector<PortableEvent>* events,
                               uint64_t hlc, Accepted* out) {
  bool amnesia = false;
  for (const PortableEvent& e : *events) {
    const Id128& actor = e.actors[DotActor(e.event.dot)];
    amnesia |= ShowsAmnesia(e.event.partition, actor, DotCounter(e.event.dot));
    for (const auto& [ns, effect] : e.event.effects) {
      for (Dot dot : effect.removed) {
        amnesia |= ShowsAmnesia(e.event.partition, e.actors[DotActor(dot)], DotCounter(dot));
      }
      for (const auto& [place, set] : effect.context.actors()) {
        amnesia |= ShowsAmnesia(e.event.partition, e.actors[place], set.max());
      }
    }
    out->events.push_back({e.event.partition, {actor, DotCounter(e.event.dot)}});
  }
  if (amnesia) out->status = RotateActor();
  out->own_actor_rotated = amnesia && out->status.ok();
  bool all_seen = true;
  for (PortableEvent& e : *events) {
    if (!out->status.ok()) return;
    Result<std::vector<uint16_t>> to = Intern(e.actors, true);
    out->status = to.status();
    if (!to.ok()) return;
    MapEvent(*to, &e.event);
    bool seen = engine_.InClock(e.event.partition, e.event.dot);
    all_seen &= seen;
    out->duplicate.push_back(seen);
    if (!seen) continue;
    const auto& index = index_[e.event.partition];
    const DotIndex::Entry* known = index ? index->Find(e.event.dot) : nullptr;
    out->dot_conflict |= known && known->crc != e.event.crc;
    out->position = std::max(out->position, LastPositionOf(e.event.partition));
  }
  if (all_seen) return NoteBases(*events, out);
  for (const PortableEvent& e : *events) {
    for (const auto& [ns, effect] : e.event.effects) {
      if (effect.kind == RowKind::kClear && effect.scope >= ClearScope::kNamespace) continue;
      out->status = PrepareOnTheSpot(ns, effect.key, effect.kind, effect.element);
      if (!out->status.ok()) return;
    }
  }
  out->status = engine_.log_->Reserve(bytes.size() + 1);
  if (!out->status.ok()) return;
  std::string* log = engine_.log_->BeginRecord();
  log->push_back(char(kPortableRecord));
  log->append(bytes);
  out->position = engine_.log_->EndRecord();
  out->status = JoinEvents(out->position, hlc, *events);
  for (size_t i = 0; i < events->size(); i++) {
    if (!out->duplicate[i]) TellOf((*events)[i].event);
  }
  NoteBases(*events, out);
  KeepIndexSmall();
}

Status ReplicaSide::JoinEvents(uint64_t end, uint64_t hlc,
                               const std::vector<PortableEvent>& events) {
  engine_.BeginJoin();
  Status status;
  for (const PortableEvent& e : events) {
    bool seen = engine_.InClock(e.event.partition, e.event.dot);
    for (const auto& [ns, effect] : e.event.effects) {
      if (!status.ok()) break;
      status = engine_.JoinEffect(end, hlc, {e.event.partition, ns, e.event.dot}, effect);
    }
    Touch(e.event.partition);
    if (keep_ && !seen) {
      AddToIndex(e.event.partition, [&](DotIndex* index) { index->Add(e.event); });
    }
  }
  engine_.EndJoin(hlc);
  return status;
}

Status ReplicaSide::ReplayPortable(uint64_t end, std::string_view bytes) {
  uint64_t hlc = 0;
  std::vector<PortableEvent> events;
  Status status = ReadPortable(bytes, engine_.namespaces_.size(), &hlc, &events);
  for (PortableEvent& e : events) {
    if (!status.ok()) break;
    Result<std::vector<uint16_t>> to = Intern(e.actors, false);
    status = to.status();
    if (to.ok()) MapEvent(*to, &e.event);
  }
  return status.ok() ? JoinEvents(end, hlc, events) : status;
}

// --- who watches keys ---

void ReplicaSide::TellOf(uint16_t ns, std::string_view key) {
  int database = engine_.DatabaseOf(ns);
  if (engine_.hooks_.on_key_changed && database >= 0) engine_.hooks_.on_key_changed(database, key);
}

void ReplicaSide::TellOfClear(ClearScope scope, uint16_t ns, std::string_view key) {
  if (scope < ClearScope::kNamespace) return TellOf(ns, key);
  int database = engine_.DatabaseOf(ns);
  if (engine_.hooks_.on_database_cleared && database >= 0) {
    engine_.hooks_.on_database_cleared(database);
  }
}

void ReplicaSide::TellOf(const EventEffects& event) {
  engine_.changes_++;
  for (const auto& [ns, effect] : event.effects) {
    if (effect.kind == RowKind::kClear) {
      TellOfClear(effect.scope, ns, effect.key);
    } else {
      TellOf(ns, effect.key);
    }
  }
}

}  // namespace redynamo
