// SPDX-License-Identifier: Apache-2.0
#include "cluster/exchange.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log_line.h"
#include "base/sabotage.h"

namespace redynamo {
namespace {

constexpr int64_t kTellIntervalMs = 1000;
constexpr int64_t kGraceMs = 2000;  // events under way need no pull
constexpr int64_t kPullTimeoutMs = 5000;
constexpr size_t kPullsUnderWayMax = 8;  // per peer
constexpr uint64_t kBatchBytes = 1 << 20;
constexpr size_t kToServeMax = 1024;  // who finds no place asks again when its deadline is over
constexpr uint64_t kBatchBytesMax = 64 << 20;
constexpr int64_t kUnsettledMs = 60'000;
constexpr int kHashesPerTell = 64;  // of partitions that have not changed

Status BadPartition() { return Corruption("a message names a partition that does not exist"); }

}  // namespace

Exchange::Exchange(Engine& engine, Links& links, ServingPace& pace, const Id128& self,
                   PlaceOf place_of, int partitions)
    : engine_(engine),
      links_(links),
      pace_(pace),
      self_(self),
      place_of_(std::move(place_of)),
      partitions_(partitions),
      view_epochs_(size_t(partitions)) {
  for (int p = 0; p < partitions_; p++) view_epochs_[size_t(p)] = place_of_(p).epoch;
}

Exchange::Peer* Exchange::Find(const Id128& peer) {
  auto it = peers_.find(peer);
  return it == peers_.end() ? nullptr : &it->second;
}

// Writers are told by all who hold something, and once more when that is gone; others by writers,
// once they have said that they hold something.
bool Exchange::Tells(const Id128& id, const Peer& peer, int partition) {
  const Place& place = place_of_(partition);
  const Replica& replica = peer.places[size_t(partition)];
  if (!place.Writes(id)) return place.self_writes && replica.known;
  return place.self_writes || replica.told_held || engine_.HoldsReplica(partition);
}

// Of who holds something that its clock does not say: half of a full sync, perhaps.
uint64_t Exchange::IrregularHash(int partition) {
  uint64_t hash = engine_.IrregularHash(partition);
  if (hash != 0 || engine_.ClockHash(partition) != 0 || place_of_(partition).self_writes) {
    return hash;
  }
  return engine_.HoldsReplica(partition) ? 1 : 0;
}

// What a peer had before it came to be a writer again, it may have let go of.
void Exchange::NoteWriters(const Id128& id, Peer* peer) {
  for (int p = 0; p < partitions_; p++) {
    Replica& replica = peer->places[size_t(p)];
    bool writer = place_of_(p).Writes(id);
    if (writer != replica.writer) replica = Replica{.writer = writer};
  }
}

void Exchange::ViewsChanged() {
  for (auto& [id, peer] : peers_) {
    NoteWriters(id, &peer);
    for (int p = 0; p < partitions_; p++) {
      if (place_of_(p).epoch != view_epochs_[size_t(p)]) peer.places[size_t(p)].told = false;
    }
  }
  for (int p = 0; p < partitions_; p++) view_epochs_[size_t(p)] = place_of_(p).epoch;
}

void Exchange::PeerUp(const Id128& id, const Id128& actor) {
  Peer& peer = peers_[id];
  if (peer.places.empty() || peer.actor != actor) {
    peer.places.assign(size_t(partitions_), Replica());
    peer.actor = actor;
    NoteWriters(id, &peer);
  }
  for (Replica& replica : peer.places) replica.told = false;
  peer.eager = true;
  Tell(id, peer, true);
}

void Exchange::SelfRotated() {
  for (auto& [id, peer] : peers_) {
    for (Replica& replica : peer.places) replica.told = false;
  }
}

void Exchange::PeerDown(const Id128& id) {
  Peer* peer = Find(id);
  if (!peer) return;
  std::vector<Done> waiting;
  for (auto& [request_id, request] : peer->under_way) {
    if (request.full) full_under_way_.erase(request.partition);
    unsettled_[request.partition] = now_ms_ + kUnsettledMs;
    for (Done& done : request.waiting) waiting.push_back(std::move(done));
  }
  for (auto& [partition, list] : peer->waiting) {
    for (Done& done : list) waiting.push_back(std::move(done));
  }
  peer->under_way.clear();
  peer->waiting.clear();
  peer->wanted.clear();
  peer->queued.clear();
  Status gone(StatusCode::kIoError, "the link to the replica broke");
  for (Done& done : waiting) done(gone);
}

void Exchange::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  while (!to_serve_.empty() && pace_.MayServe()) {
    auto serve = std::move(to_serve_.front());
    to_serve_.pop_front();
    serve();
  }
  bool tell = now_ms - told_ms_ >= kTellIntervalMs;
  if (tell) told_ms_ = now_ms;
  for (auto& [id, peer] : peers_) {
    if (!links_.IsUp(id)) continue;
    std::vector<uint64_t> late;
    for (auto& [request_id, request] : peer.under_way) {
      if (request.deadline_ms <= now_ms && !request.joining) late.push_back(request_id);
    }
    for (uint64_t request_id : late) {
      Finish(id, request_id, {StatusCode::kIoError, "the replica did not answer in time"});
    }
    if (!tell) continue;
    Tell(id, peer, false);
    peer.eager = false;
    for (int p = 0; p < partitions_; p++) {
      Replica& place = peer.places[size_t(p)];
      if (place.missing_since_ms < 0 || now_ms - place.missing_since_ms < kGraceMs) continue;
      place.missing_since_ms = now_ms;  // asked again if this does not help
      Want(id, peer, p, false);
    }
    StartPulls(id, peer);
  }
}

// What has changed, in full; of the rest some hashes.
void Exchange::Tell(const Id128& id, Peer& peer, bool all) {
  uint64_t position = engine_.NewestPosition();
  wire::Clocks clocks;
  std::string bytes;
  for (int p = 0; p < partitions_; p++) {
    Replica& place = peer.places[size_t(p)];
    uint64_t hash = engine_.ClockHash(p);
    bool changed = !place.told || place.told_hash != hash;
    bool in_turn = all || p / kHashesPerTell == peer.next_slice;
    if (!(changed || in_turn) || !Tells(id, peer, p)) continue;
    if (changed && hash != 0) {
      bytes.clear();
      engine_.ClockOf(p).EncodeTo(&bytes);
      tellings_.push_back({position, id, uint16_t(p), bytes, {}});
    } else if (in_turn || hash != place.told_hash) {
      clocks.entries.push_back({uint16_t(p), hash, IrregularHash(p)});
    }
    place.told = true;
    place.told_hash = hash;
    place.told_held = hash != 0 || engine_.HoldsReplica(p);
  }
  peer.next_slice = (peer.next_slice + 1) % std::max(1, partitions_ / kHashesPerTell);
  if (!clocks.entries.empty()) tellings_.push_back({position, id, 0, {}, std::move(clocks)});
  LogAdvanced(engine_.ReplyPosition());
}

void Exchange::LogAdvanced(uint64_t position) {
  for (; !tellings_.empty() && tellings_.front().position <= position; tellings_.pop_front()) {
    const Telling& telling = tellings_.front();
    if (telling.clock.empty()) {
      links_.Send(telling.peer, telling.hashes);
    } else {
      links_.Send(telling.peer, wire::Report{telling.partition, telling.clock});
    }
  }
}

Status Exchange::On(const Id128& id, const wire::Clocks& message) {
  Peer* peer = Find(id);
  if (!peer) return Status::Ok();
  wire::Clocks ask;
  for (const wire::Clocks::Entry& entry : message.entries) {
    if (entry.partition >= partitions_) return BadPartition();
    Replica& place = peer->places[entry.partition];
    if (entry.clock_hash == 0 && !place.writer) {
      bool holds = entry.irregular_hash != 0;
      if (!holds) place = Replica();  // a guest that has let its replica go
      place.known = holds;
      continue;
    }
    bool same = entry.clock_hash == engine_.ClockHash(entry.partition);
    if (same && entry.irregular_hash == engine_.IrregularHash(entry.partition)) {
      Learn(id, *peer, entry.partition, engine_.ClockOf(entry.partition));
      continue;
    }
    // Whose dots are missing where, a report will say; rows known beyond the clocks are pulled.
    if (!same) place.told = false;
    // A report that was here is forgotten when the peer came to be a writer after it, and it does
    // not know that. Another hash makes it report again.
    uint64_t own = engine_.ClockHash(entry.partition);
    bool forgotten =
        !same && place.writer && (!place.known || place.clock.Hash() != entry.clock_hash);
    if (forgotten && own != 0) {
      ask.entries.push_back({entry.partition, own, IrregularHash(entry.partition)});
    }
    if (!place.writer) place.known = true;  // so that it is told, and says what it has
    bool pulls = place_of_(entry.partition).self_writes;
    if (same && pulls && place.missing_since_ms < 0) place.missing_since_ms = now_ms_;
  }
  if (!ask.entries.empty()) {
    tellings_.push_back({engine_.NewestPosition(), id, 0, {}, std::move(ask)});
    LogAdvanced(engine_.ReplyPosition());
  }
  return Status::Ok();
}

Status Exchange::On(const Id128& id, const wire::Report& message) {
  Peer* peer = Find(id);
  if (!peer) return Status::Ok();
  ReplicaClock clock;
  ByteReader in(message.clock);
  if (message.partition >= partitions_) return BadPartition();
  if (!ReplicaClock::Decode(&in, &clock) || !in.empty()) {
    return Corruption("a reported clock is malformed");
  }
  Learn(id, *peer, message.partition, clock);
  StartPulls(id, *peer);
  return Status::Ok();
}

void Exchange::Learn(const Id128& id, Peer& peer, int partition, const ReplicaClock& clock) {
  Replica& place = peer.places[size_t(partition)];
  place.clock.Join(clock);  // of two links that overlap, the older report may come last
  place.known = true;
  if (!place_of_(partition).self_writes || engine_.ClockOf(partition).Covers(clock)) {
    place.missing_since_ms = -1;
  } else {
    // A pull may fail, or find the partition being fetched from another one: Tick asks again.
    if (place.missing_since_ms < 0) place.missing_since_ms = now_ms_;
    if (peer.eager) Want(id, peer, partition, false);
  }
  ForgetDots(partition);
}

// What every writer has seen needs no entry in the index any more (invariant I7).
void Exchange::ForgetDots(int partition) {
  ReplicaClock everyone = engine_.ClockOf(partition);
  for (const Id128& id : place_of_(partition).writers) {
    if (id == self_) continue;
    Peer* peer = Find(id);
    if (!peer || !peer->places[size_t(partition)].known) return;
    const ReplicaClock& theirs = peer->places[size_t(partition)].clock;
    everyone = everyone.Minus(everyone.Minus(theirs));
  }
  engine_.ForgetDots(partition, everyone);
}

// --- pulling ---

void Exchange::Want(const Id128& id, Peer& peer, int partition, bool first) {
  if (LeftOut(Sabotage::kNoPull) || !peer.queued.insert(partition).second) return;
  if (first) {
    peer.wanted.push_front(partition);
  } else {
    peer.wanted.push_back(partition);
  }
}

void Exchange::PullNow(const Id128& id, int partition, Done done) {
  Peer* peer = Find(id);
  if (!peer || !links_.IsUp(id)) {
    return done({StatusCode::kIoError, "the replica cannot be reached"});
  }
  Want(id, *peer, partition, true);
  peer->waiting[partition].push_back(std::move(done));
  StartPulls(id, *peer);
}

void Exchange::StartPulls(const Id128& id, Peer& peer) {
  while (!peer.wanted.empty() && peer.under_way.size() < kPullsUnderWayMax) {
    int partition = peer.wanted.front();
    peer.wanted.pop_front();
    peer.queued.erase(partition);
    uint64_t request_id = next_request_++;
    Request& request = peer.under_way[request_id];
    request.partition = partition;
    request.deadline_ms = now_ms_ + kPullTimeoutMs;
    if (auto node = peer.waiting.extract(partition)) request.waiting = std::move(node.mapped());
    stats_.pulls++;
    SendPull(id, request_id, partition);
  }
}

void Exchange::SendPull(const Id128& id, uint64_t request_id, int partition) {
  std::string clock;
  engine_.ClockOf(partition).EncodeTo(&clock);
  wire::Pull pull;
  pull.request_id = request_id;
  pull.partition = uint16_t(partition);
  pull.max_bytes = kBatchBytes;
  pull.irregular_hash = engine_.IrregularHash(partition);
  pull.clock = clock;
  links_.Send(id, pull);
}

void Exchange::Serve(std::function<void()> serve) {
  if (to_serve_.empty() && pace_.MayServe()) return serve();
  if (to_serve_.size() < kToServeMax) to_serve_.push_back(std::move(serve));
}

Status Exchange::On(const Id128& id, const wire::Pull& message) {
  ReplicaClock clock;
  ByteReader in(message.clock);
  if (message.partition >= partitions_) return BadPartition();
  if (!ReplicaClock::Decode(&in, &clock) || !in.empty()) {
    return Corruption("the clock of a pull is malformed");
  }
  uint64_t request_id = message.request_id;
  int partition = message.partition;
  uint64_t max_bytes = std::min(message.max_bytes, kBatchBytesMax);
  Serve([=, this] { ServePull(id, request_id, partition, clock, max_bytes); });
  return Status::Ok();
}

void Exchange::ServePull(const Id128& id, uint64_t request_id, int partition,
                         const ReplicaClock& clock, uint64_t max_bytes) {
  stats_.served_pulls++;
  engine_.Pull(partition, clock, max_bytes, [this, id, request_id, partition](PullAnswer answer) {
    if (!answer.status.ok()) {
      LogWarning("A pull could not be served: " + answer.status.message());
      return;  // the other side's deadline says so
    }
    if (answer.kind == PullAnswer::kNeedFull) {
      links_.Send(id, wire::PullNeedFull{request_id, uint16_t(partition)});
      return;
    }
    stats_.served_bytes += answer.bytes.size();
    pace_.Served(answer.bytes.size());
    wire::PullBatch batch;
    batch.request_id = request_id;
    batch.partition = uint16_t(partition);
    batch.more = answer.more;
    batch.batch = answer.bytes;
    links_.Send(id, batch);
  });
}

Status Exchange::On(const Id128& id, const wire::PullBatch& message) {
  Peer* peer = Find(id);
  auto it =
      peer ? peer->under_way.find(message.request_id) : std::map<uint64_t, Request>::iterator();
  if (!peer || it == peer->under_way.end() || it->second.partition != message.partition) {
    return Status::Ok();  // its deadline was over
  }
  if (message.batch.empty()) {
    Finish(id, message.request_id, Status::Ok());
    return Status::Ok();
  }
  it->second.joining = true;
  stats_.pulled_bytes += message.batch.size();
  uint64_t request_id = message.request_id;
  int partition = message.partition;
  bool more = message.more;
  engine_.AcceptBatch(partition, message.batch, [=, this](const Accepted& accepted) {
    Joined(id, request_id, partition, accepted.status, more, accepted.events.size(),
           [=, this] { SendPull(id, request_id, partition); });
  });
  return Status::Ok();
}

// `more`: the peer is asked again by go_on, under the same request.
void Exchange::Joined(const Id128& id, uint64_t request_id, int partition, const Status& status,
                      bool more, uint64_t dots, const std::function<void()>& go_on) {
  if (status.ok() && pulled_) pulled_(partition);
  Peer* peer = Find(id);
  auto request = peer ? peer->under_way.find(request_id) : std::map<uint64_t, Request>::iterator();
  if (!peer || request == peer->under_way.end()) return;
  request->second.joining = false;
  stats_.pulled_dots += dots;
  if (!status.ok() || !more) return Finish(id, request_id, status);
  request->second.deadline_ms = now_ms_ + kPullTimeoutMs;
  go_on();
}

Status Exchange::On(const Id128& id, const wire::PullNeedFull& message) {
  Peer* peer = Find(id);
  if (!peer || !peer->under_way.contains(message.request_id)) return Status::Ok();
  stats_.need_full++;
  Request& request = peer->under_way[message.request_id];
  if (!full_under_way_.insert(request.partition).second) {
    Finish(id, message.request_id,
           {StatusCode::kBusy, "the partition is being fetched whole from another replica"});
    return Status::Ok();
  }
  request.full = true;
  request.deadline_ms = now_ms_ + kPullTimeoutMs;
  stats_.full_syncs++;
  links_.Send(id, wire::FullGet{message.request_id, uint16_t(request.partition), 0, kBatchBytes});
  return Status::Ok();
}

Status Exchange::On(const Id128& id, const wire::FullGet& message) {
  if (message.partition >= partitions_) return BadPartition();
  uint64_t request_id = message.request_id, cursor = message.cursor;
  int partition = message.partition;
  uint64_t max_bytes = std::min(message.max_bytes, kBatchBytesMax);
  Serve([=, this] { ServeFull(id, request_id, partition, cursor, max_bytes); });
  return Status::Ok();
}

void Exchange::ServeFull(const Id128& id, uint64_t request_id, int partition, uint64_t cursor,
                         uint64_t max_bytes) {
  engine_.FullRows(partition, cursor, max_bytes, [=, this](const FullAnswer& answer) {
    if (!answer.status.ok()) {
      LogWarning("A full sync could not be served: " + answer.status.message());
      return;  // the other side's deadline says so
    }
    stats_.served_full_bytes += answer.bytes.size();
    pace_.Served(answer.bytes.size());
    links_.Send(id, wire::FullPiece{request_id, uint16_t(partition), answer.next, answer.bytes});
  });
}

Status Exchange::On(const Id128& id, const wire::FullPiece& message) {
  Peer* peer = Find(id);
  auto it =
      peer ? peer->under_way.find(message.request_id) : std::map<uint64_t, Request>::iterator();
  if (!peer || it == peer->under_way.end() || !it->second.full) return Status::Ok();
  it->second.joining = true;
  stats_.full_bytes += message.rows.size();
  uint64_t request_id = message.request_id, next = message.next;
  int partition = it->second.partition;
  engine_.AcceptFull(partition, message.rows, [=, this](const Accepted& accepted) {
    Joined(id, request_id, partition, accepted.status, next != 0, accepted.events.size(),
           [=, this] {
             links_.Send(id, wire::FullGet{request_id, uint16_t(partition), next, kBatchBytes});
           });
  });
  return Status::Ok();
}

void Exchange::Finish(const Id128& id, uint64_t request_id, const Status& status) {
  Peer& peer = *Find(id);
  auto node = peer.under_way.extract(request_id);
  int partition = node.mapped().partition;
  if (node.mapped().full) {
    full_under_way_.erase(partition);
    // One source may lack the latest.
    for (auto& [other, state] : peers_) {
      bool has = place_of_(partition).Writes(other) || state.places[size_t(partition)].known;
      if (other != id && has && links_.IsUp(other)) Want(other, state, partition, true);
    }
  }
  if (status.ok()) {
    Replica& place = peer.places[size_t(partition)];
    if (place.known && engine_.ClockOf(partition).Covers(place.clock)) place.missing_since_ms = -1;
  } else {
    stats_.failed++;
    unsettled_[partition] = now_ms_ + kUnsettledMs;
  }
  StartPulls(id, peer);
  for (Done& done : node.mapped().waiting) done(status);
}

bool Exchange::Settled(int partition) const {
  auto broken_off = unsettled_.find(partition);
  if (broken_off != unsettled_.end() && broken_off->second > now_ms_) return false;
  return std::none_of(peers_.begin(), peers_.end(), [&](const auto& peer) {
    const auto& under_way = peer.second.under_way;
    return std::any_of(under_way.begin(), under_way.end(),
                       [&](const auto& r) { return r.second.partition == partition; });
  });
}

// --- figures ---

uint64_t Exchange::BehindCount(const Id128& id) const {
  auto it = peers_.find(id);
  uint64_t behind = 0;
  for (int p = 0; p < partitions_; p++) {
    if (engine_.ClockHash(p) == 0 || !place_of_(p).Writes(id)) continue;
    bool known = it != peers_.end() && it->second.places[size_t(p)].known;
    if (!known || !it->second.places[size_t(p)].clock.Covers(engine_.ClockOf(p))) behind++;
  }
  return behind;
}

bool Exchange::AllTold() const {
  for (int p = 0; p < partitions_; p++) {
    if (engine_.ClockHash(p) == 0) continue;
    if (!WritersCover(p, engine_.ClockOf(p), nullptr)) return false;
  }
  return true;
}

bool Exchange::WritersCover(int partition, const ReplicaClock& clock,
                            std::vector<Id128>* missing) const {
  bool all = true;
  for (const Id128& id : place_of_(partition).writers) {
    if (id == self_) continue;
    auto it = peers_.find(id);
    const Replica* replica = it == peers_.end() ? nullptr : &it->second.places[size_t(partition)];
    if (replica && replica->known && replica->clock.Covers(clock)) continue;
    all = false;
    if (missing) missing->push_back(id);
  }
  return all;
}

int Exchange::WritersHaving(const EventId& event) const {
  return int(std::ranges::count_if(place_of_(event.partition).writers, [&](const Id128& id) {
    auto it = peers_.find(id);
    if (id == self_ || it == peers_.end()) return false;
    const Replica& replica = it->second.places[event.partition];
    return replica.known && replica.clock.Contains(event.dot);
  }));
}

ReplicaClock Exchange::WritersClock(int partition) const {
  std::optional<ReplicaClock> everyone;
  for (const Id128& id : place_of_(partition).writers) {
    if (id == self_) continue;
    auto it = peers_.find(id);
    if (it == peers_.end() || !it->second.places[size_t(partition)].known) return {};
    const ReplicaClock& theirs = it->second.places[size_t(partition)].clock;
    everyone = everyone ? everyone->Minus(everyone->Minus(theirs)) : theirs;
  }
  return everyone.value_or(ReplicaClock());
}

std::vector<Id128> Exchange::GuestsOf(int partition) const {
  std::vector<Id128> out;
  for (const auto& [id, peer] : peers_) {
    const Replica& replica = peer.places[size_t(partition)];
    if (replica.known && !replica.writer && !replica.clock.empty()) out.push_back(id);
  }
  return out;
}

}  // namespace redynamo
