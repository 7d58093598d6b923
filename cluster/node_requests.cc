// SPDX-License-Identifier: Apache-2.0
// The node's part in requests: where a command runs, what it is compared with, who gets its events.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cluster/node.h"
#include "cluster/preference_list.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr int64_t kThickenIntervalMs = 200;
constexpr int64_t kRemovalDelayPerRankMs = 60'000;
constexpr int64_t kRemovalByGuestMs = 365ll * 86'400'000;  // never: the homes do it

bool Has(const std::vector<Id128>& ids, const Id128& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

// --- who ---

const std::vector<Id128>& Node::FallbacksOf(int partition) const {
  auto [it, fresh] = fallbacks_.try_emplace(partition);
  size_t spare = document_->members.size() - PlaceOf(partition).writers.size();
  if (!fresh || spare == 0) return it->second;
  Suspects suspects;
  for (const Member& member : document_->members) suspects.push_back(!Healthy(member.id.bytes));
  for (MemberIndex m : redynamo::FallbacksOf(*document_, partition, suspects, spare)) {
    it->second.push_back(document_->members[m].id.bytes);
  }
  return it->second;
}

std::optional<Id128> Node::CoordinatorOf(int partition, bool sloppy) const {
  for (const Id128& home : PlaceOf(partition).read.members) {
    if (Healthy(home)) return home;
  }
  if (!sloppy || FallbacksOf(partition).empty()) return std::nullopt;
  return FallbacksOf(partition).front();
}

// --- commands ---

bool Node::Sloppy(const RequestQuorum& quorum) const {
  if (quorum.sloppiness == RequestQuorum::kAsRing) return options_.sloppy;
  return quorum.sloppiness == RequestQuorum::kSloppy;
}

// Who is counted for a request, and how many of them it needs; `needed` 0: as many as usual.
NodeQuorum Node::Counted(const NodeQuorum& usual, const RequestQuorum& quorum, int needed) const {
  NodeQuorum counted = usual;
  if (quorum.n > 0 && quorum.n < counted.members.size()) {
    auto healthy = [this](const Id128& id) { return Healthy(id); };
    if (Sloppy(quorum))
      std::stable_partition(counted.members.begin(), counted.members.end(), healthy);
    counted.members.resize(quorum.n);
  }
  if (needed > 0) counted.needed = needed;
  counted.needed = std::min(counted.needed, int(counted.members.size()));
  return counted;
}

// Empty when enough can be reached.
std::string Node::WhyTooFew(const Place& place, int partition, bool writes,
                            const RequestQuorum& quorum) const {
  auto reachable = [&](const NodeQuorum& wanted) {
    return int(std::count_if(wanted.members.begin(), wanted.members.end(),
                             [this](const Id128& id) { return Healthy(id); }));
  };
  auto why = [&](const NodeQuorum& usual, int needed) -> std::string {
    NodeQuorum counted;
    if (!quorum.usual()) counted = Counted(usual, quorum, needed);
    const NodeQuorum& wanted = quorum.usual() ? usual : counted;
    int missing = wanted.needed - reachable(wanted);
    if (missing <= 0) return {};
    if (Sloppy(quorum) && int(FallbacksOf(partition).size()) >= missing) return {};
    return fmt::format(
        "NOREPLICAS {} of the {} replicas of the key can be reached, {} are needed to {} ({}). "
        "Nothing was changed",
        reachable(wanted), wanted.members.size(), wanted.needed, writes ? "write" : "read",
        !quorum.usual() ? "RING.QUORUM or ring-policy"
        : writes        ? "ring-w"
                        : "ring-r");
  };
  if (!writes) return why(place.read, quorum.r);
  std::string text = why(place.write_old, quorum.w);
  return text.empty() ? why(place.write_new, quorum.w) : text;
}

Node::Route Node::RouteOf(std::span<const uint16_t> slots, bool writes, Forwarding how,
                          const RequestQuorum& quorum) {
  Route route;
  if (!document_ || (document_->members.size() == 1 && !removed_)) return route;
  auto refuse = [&](std::string error) {
    route.kind = Route::kRefuse;
    route.error = std::move(error);
    return route;
  };
  if (removed_) {
    return refuse("CLUSTERDOWN This node has been removed from the ring: use another one");
  }
  std::optional<Id128> coordinator;
  bool possible_here = true, several = false;
  for (uint16_t slot : slots) {
    int partition = PartitionOfSlot(slot);
    const Place& place = PlaceOf(partition);
    std::string too_few = WhyTooFew(place, partition, writes, quorum);
    if (!too_few.empty()) return refuse(std::move(too_few));
    std::optional<Id128> first = CoordinatorOf(partition, Sloppy(quorum));
    possible_here = possible_here && (place.self_reads || first == self_);
    if (coordinator && coordinator != first) several = true;
    if (!coordinator) coordinator = first;
  }
  bool here = !coordinator || coordinator == self_ || several || how != Forwarding::kPrefer;
  if (here && possible_here) return route;
  if (several) return refuse("CROSSSLOT Keys in request don't hash to the same slot");
  if (how == Forwarding::kNever) {
    route.misrouted = true;
    return refuse("TRYAGAIN this node is no replica of the key any more");
  }
  route.kind = Route::kForward;
  route.peer = *coordinator;
  return route;
}

// Other replicas that count for R; guests that hold something are asked besides, and take the
// places of homes only when these do not suffice.
FreshReads::Choice Node::ChoiceOf(int partition, const RequestQuorum& quorum) const {
  const Place& place = PlaceOf(partition);
  NodeQuorum counted = Counted(place.read, quorum, quorum.r);
  bool self_counts = Has(counted.members, self_);
  FreshReads::Choice choice;
  choice.needed = counted.needed - (self_counts ? 1 : 0);
  for (const Id128& guest : exchange_->GuestsOf(partition)) {
    if (guest == self_ || place.Reads(guest) || !Healthy(guest)) continue;
    choice.replicas.push_back(guest);
    choice.needed++;
  }
  size_t guests = choice.replicas.size();
  for (const Id128& home : counted.members) {
    if (home != self_ && Healthy(home)) choice.replicas.push_back(home);
  }
  if (!Sloppy(quorum) || int(choice.replicas.size()) >= choice.needed) return choice;
  // Too few homes: whoever stands in counts, this node included when it coordinates as a guest.
  choice.needed -= int(guests);
  if (!self_counts) choice.needed--;
  for (const Id128& fallback : FallbacksOf(partition)) {
    if (int(choice.replicas.size()) >= choice.needed) break;
    if (fallback != self_ && !Has(choice.replicas, fallback)) choice.replicas.push_back(fallback);
  }
  return choice;
}

// Keys of few rows by their hashes, the others' partitions by clocks.
bool Node::ReadFresh(std::span<const KeyName> keys, FreshReads::Done done) {
  std::vector<FreshReads::Key> few;
  std::vector<std::pair<RequestQuorum, PartitionSet>> many;
  for (const KeyName& key : keys) {
    int partition = PartitionOfSlot(key.slot);
    if (!engine_->HasManyRows(key.database, key.name)) {
      few.push_back({key.database, std::string(key.name), partition, key.quorum});
      continue;
    }
    auto same = [&](const auto& entry) { return entry.first == key.quorum; };
    auto at = std::find_if(many.begin(), many.end(), same);
    if (at == many.end()) at = many.insert(many.end(), {key.quorum, PartitionSet()});
    at->second.Add(partition);
  }
  int64_t now_ms = NowMs(), deadline_ms = now_ms + options_.timeout_ms;
  if (many.empty()) {
    return fresh_reads_->Start(std::move(few), now_ms, deadline_ms, std::move(done));
  }
  struct Parts {
    int open = 0;
    Status status;  // the first that is not ok
    FreshReads::Done done;
  };
  auto parts = std::make_shared<Parts>();
  parts->done = std::move(done);
  auto part_done = [parts](const Status& status) {
    if (parts->status.ok()) parts->status = status;
    if (--parts->open == 0) parts->done(parts->status);
  };
  if (!few.empty()) {
    parts->open += fresh_reads_->Start(std::move(few), now_ms, deadline_ms, part_done);
  }
  for (const auto& [quorum, partitions] : many) {
    parts->open += fresh_partitions_->Start(partitions, quorum, now_ms, deadline_ms, part_done);
  }
  return parts->open > 0;
}

bool Node::ReadFreshPartitions(const PartitionSet& partitions, const RequestQuorum& quorum,
                               FreshPartitions::Done done) {
  int64_t now_ms = NowMs();
  return fresh_partitions_->Start(partitions, quorum, now_ms, now_ms + options_.timeout_ms,
                                  std::move(done));
}

PendingWrites::Targets Node::TargetsOf(const std::vector<uint16_t>& partitions,
                                       const RequestQuorum& quorum) {
  PendingWrites::Targets targets;
  targets.sloppy = Sloppy(quorum);
  auto add = [&](const NodeQuorum& wanted, bool guest) {
    PendingWrites::HomeSet set{wanted.members, wanted.needed};
    bool counted = std::erase(set.peers, self_) > 0 || (guest && targets.sloppy);
    if (counted) set.needed--;
    auto& sets = targets.sets;
    if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(std::move(set));
  };
  for (uint16_t partition : partitions) {
    const Place& place = PlaceOf(partition);
    if (quorum.usual()) {
      add(place.write_old, !place.self_writes);
      add(place.write_new, !place.self_writes);
    } else {
      add(Counted(place.write_old, quorum, quorum.w), !place.self_writes);
      add(Counted(place.write_new, quorum, quorum.w), !place.self_writes);
      add({place.writers, 0}, false);  // who is not counted is to have it, too
    }
    size_t used = 0;
    for (const Id128& home : place.writers) {
      if (home == self_ || Healthy(home)) continue;
      const std::vector<Id128>& fallbacks = FallbacksOf(partition);
      while (used < fallbacks.size() && fallbacks[used] == self_) used++;
      if (used == fallbacks.size()) break;
      targets.stand_ins.push_back({fallbacks[used++], home});
    }
  }
  return targets;
}

void Node::OnOwnRecord(const OwnRecord& record) {
  if (!document_ || document_->members.size() == 1) return;
  std::vector<uint16_t> partitions;
  for (const EventId& event : record.events) {
    if (std::find(partitions.begin(), partitions.end(), event.partition) == partitions.end()) {
      partitions.push_back(event.partition);
    }
    bool guest = guests_ && !PlaceOf(event.partition).self_writes;
    if (guest) guests_->Taken(event.partition, record.bytes.size(), NowMs());
  }
  std::vector<PendingWrites::Base> bases;
  for (const EventId& base : record.bases) {
    bool own = base.dot.actor == engine_->Actor() && base.dot.n > own_before_[base.partition];
    bases.push_back({base, own});
  }
  last_record_ = writes_.Add(record.bytes, std::move(partitions), NowMs() + options_.timeout_ms,
                             record_quorum_, std::move(bases));
}

void Node::Await(uint64_t record, const PendingWrites::Waiter& waiter) {
  writes_.Await(record, waiter);
}

// Of what was given up, exchange learns in time that all homes have it.
void Node::ForgetRegained() {
  std::vector<uint16_t> regained;
  for (uint16_t partition : writes_.given_up()) {
    if (exchange_->WritersCover(partition, engine_->ClockOf(partition), nullptr)) {
      regained.push_back(partition);
    }
  }
  for (uint16_t partition : regained) writes_.Regained(partition);
}

// Of what had too few copies, some homes may have it by now. Then what was written since is counted
// anew.
void Node::ThickenThin(int64_t now_ms) {
  if (!exchange_) return;
  for (uint16_t partition : writes_.TakeNewlyThin()) {
    thin_clocks_[partition] = engine_->ClockOf(partition);
  }
  if (now_ms - thickened_ms_ < kThickenIntervalMs) return;
  thickened_ms_ = now_ms;
  std::vector<uint16_t> thickened;
  for (const auto& [partition, clock] : thin_clocks_) {
    const Place& place = PlaceOf(partition);
    std::vector<Id128> missing;
    exchange_->WritersCover(partition, clock, &missing);
    int copies = int(place.writers.size() - missing.size());  // this node, if it is a home, too
    if (copies >= std::max(place.write_old.needed, place.write_new.needed)) {
      thickened.push_back(partition);
    }
  }
  for (uint16_t partition : thickened) {
    writes_.Thickened(partition);
    thin_clocks_.erase(partition);
  }
  if (writes_.TakeWantsCopies() || !thickened.empty()) writes_.Refresh(now_ms);
}

int Node::FewestCopies(uint64_t up_to, const std::function<bool(const Id128&)>& counts) {
  if (!exchange_) return 0;
  int members = 0, uncounted = 0;
  for (const Member& member : document_->members) {
    if (!member.in_ring()) continue;
    members++;
    uncounted += member.id.bytes != self_ && !counts(member.id.bytes);
  }
  int fewest = std::max(0, std::min<int>(document_->n, members) - 1 - uncounted);
  fewest = std::min(fewest, writes_.FewestCopies(up_to, counts).value_or(fewest));
  ForgetRegained();
  for (uint16_t partition : writes_.given_up()) {
    std::vector<Id128> missing;
    exchange_->WritersCover(partition, engine_->ClockOf(partition), &missing);
    auto has = [&](const Id128& id) { return id != self_ && counts(id) && !Has(missing, id); };
    fewest = std::min(fewest, int(std::ranges::count_if(PlaceOf(partition).writers, has)));
  }
  return fewest;
}

bool Node::ReadsMeetWrites(const RequestQuorum& quorum) const {
  int homes = int(std::min<size_t>(size_t(document_->n), document_->members.size()));
  int r = quorum.r > 0 ? quorum.r : options_.r, w = quorum.w > 0 ? quorum.w : options_.w;
  return quorum.n == 0 && std::min(r, homes) + std::min(w, homes) > homes;
}

int Node::CopiesWhenAnswered(const RequestQuorum& quorum) const {
  int counted = int(std::min<size_t>(size_t(document_->n), document_->members.size()));
  if (quorum.n > 0) counted = std::min(counted, int(quorum.n));
  return std::min(counted, quorum.w > 0 ? int(quorum.w) : options_.w) - 1;
}

bool Node::HasAll(const Id128& peer, uint64_t up_to) {
  if (!exchange_ || writes_.Lacks(peer, up_to)) return false;
  ForgetRegained();
  return std::ranges::all_of(writes_.given_up(), [&](uint16_t partition) {
    std::vector<Id128> missing;
    exchange_->WritersCover(partition, engine_->ClockOf(partition), &missing);
    return !Has(missing, peer);
  });
}

int64_t Node::RemovalDelayMs(int partition) const {
  if (!document_) return 0;
  const std::vector<Id128>& homes = PlaceOf(partition).read.members;
  auto self = std::find(homes.begin(), homes.end(), self_);
  if (self == homes.end()) return kRemovalByGuestMs;
  return (self - homes.begin()) * kRemovalDelayPerRankMs;
}

// --- forwarded commands ---

void Node::SendForward(const Id128& peer, wire::Forward command, bool writes, ForwardDone done,
                       int64_t timeout_ms) {
  command.request_id = next_request_++;
  command.view_epoch = document_->epoch;
  forwards_sent_++;
  forwards_[command.request_id] = {peer, NowMs(), std::max(timeout_ms, options_.timeout_ms), writes,
                                   std::move(done)};
  if (peer == self_) return host_.ForwardArrived(self_, command);
  links_.Send(peer, command);  // a link that goes ends it by OnPeerDown
}

void Node::EndForward(uint64_t request_id, const ForwardOutcome& outcome) {
  auto node = forwards_.extract(request_id);
  if (!node.empty()) node.mapped().done(outcome);
}

Status Node::On(const Id128& peer, const wire::Forward& message) {
  uint64_t epoch = document_ ? document_->epoch : 0;
  if (message.view_epoch > epoch) links_.Send(peer, wire::RingGet{epoch});
  host_.ForwardArrived(peer, message);
  return Status::Ok();
}

void Node::AnswerForward(const Id128& to, uint64_t request_id, wire::ForwardStatus status,
                         std::string_view reply) {
  wire::ForwardReply message;
  message.request_id = request_id;
  message.status = status;
  message.view_epoch = document_ ? document_->epoch : 0;
  message.reply = reply;
  if (to == self_) {
    (void)On(self_, message);  // always OK
  } else {
    links_.Send(to, message);
  }
}

Status Node::On(const Id128& peer, const wire::ForwardReply& message) {
  auto asked = forwards_.find(message.request_id);
  if (asked == forwards_.end() || asked->second.peer != peer) return Status::Ok();  // too late
  ForwardOutcome outcome;
  outcome.bytes = message.reply;
  if (message.status != wire::ForwardStatus::kDone) outcome.kind = ForwardOutcome::kNotDone;
  EndForward(message.request_id, outcome);
  return Status::Ok();
}

}  // namespace redynamo
