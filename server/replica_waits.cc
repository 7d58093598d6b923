// SPDX-License-Identifier: Apache-2.0
#include "server/replica_waits.h"

#include <algorithm>
#include <utility>

#include "base/number.h"
#include "protocol/resp_reader.h"
#include "server/server.h"

namespace redynamo {
namespace {

bool Everyone(const Id128&) { return true; }

// ":2", or "*2 :1 :2" of WAITAOF.
bool ReadCounts(std::string_view bytes, bool on_disk, int64_t* local, int64_t* replicas) {
  RespValue value;
  if (!ReadResp(&bytes, &value)) return false;
  if (on_disk) {
    if (value.type != '*' || value.items != 2) return false;
    if (!ReadResp(&bytes, &value) || value.type != ':') return false;
    *local = value.integer;
    if (!ReadResp(&bytes, &value)) return false;
  }
  if (value.type != ':') return false;
  *replicas = value.integer;
  return true;
}

}  // namespace

int64_t ReplicaWaits::NowMs() const { return server_.clock().MonotonicUs() / 1000; }

Reply ReplicaWaits::Render(const Wish& wish, int64_t local, int64_t replicas) const {
  if (!wish.on_disk) return Reply::Integer(replicas);
  Reply answer = Reply::Array();
  answer.AddInteger(local).AddInteger(replicas);
  return answer;
}

// Others that could have what is written now.
int64_t ReplicaWaits::ReachableReplicas() {
  Node& node = node_();
  auto reachable = [&](const Member& member) {
    return member.id.bytes != node.self() && node.Healthy(member.id.bytes);
  };
  int64_t count = std::ranges::count_if(node.document().members, reachable);
  return std::min<int64_t>(node.document().n - 1, count);
}

Reply ReplicaWaits::Now(bool on_disk) {
  Node& node = node_();
  Wish wish{.on_disk = on_disk};
  Engine& engine = server_.engine();
  bool synced = engine.SyncedPosition() >= engine.NewestPosition();
  if (on_disk) return Render(wish, synced, 0);
  return Render(wish, 0, node.FewestCopies(node.last_record(), Everyone));
}

Reply ReplicaWaits::Start(Session& session, const Wish& wish) {
  if (session.hops > 0) return StartOwn(session, wish);
  Node& node = node_();
  ClientWait wait{{}, wish, {}};
  for (const WrittenThrough& written : session.written_through) {
    Part& part = wait.parts[written.node];
    part.local = written.disk;
    part.replicas = wish.on_disk ? written.disk_copies : written.copies;
  }
  // It has written nothing: as many as could have it. This node's disk counts for WAITAOF.
  if (wait.parts.empty() && wish.on_disk) wait.parts[node.self()];
  if (!wish.on_disk && wait.parts.size() == 1 && wait.parts.contains(node.self())) {
    int copies = node.FewestCopies(node.last_record(), Everyone);
    if (copies >= wish.replicas) return Reply::Integer(copies);
  }
  if (wait.parts.empty()) {
    if (std::optional<Reply> reply = ReplyTo(wait)) return *std::move(reply);
  }
  wait.client = session.Defer();
  uint64_t id = next_id_++;
  Ask(id, clients_.emplace(id, std::move(wait)).first->second);
  return Reply::None();
}

// --- this node's own part ---

Reply ReplicaWaits::StartOwn(Session& session, const Wish& wish) {
  uint64_t id = next_id_++;
  OwnWait wait{.client = {}, .wish = wish};
  wait.up_to = node_().last_record();
  wait.position = server_.engine().NewestPosition();
  int64_t left_ms = wish.until_ms == 0 ? kRoundMs : wish.until_ms - NowMs();
  wait.second_ms = NowMs() + left_ms / 2;
  if (!wish.on_disk) {
    if (std::optional<Reply> reply = ReplyTo(id, wait)) return *std::move(reply);
  } else if (wish.local > 0) {
    server_.engine().RequestSync();
  }
  wait.client = session.Defer();
  own_[id] = std::move(wait);
  return Reply::None();
}

// Those that have all of it are asked to put their logs on disk.
void ReplicaWaits::BeginSecond(uint64_t id, OwnWait& wait) {
  Node& node = node_();
  wait.second = true;
  for (const Member& member : node.document().members) {
    const Id128& peer = member.id.bytes;
    if (peer == node.self() || !node.Healthy(peer) || !node.HasAll(peer, wait.up_to)) continue;
    wait.complete.insert(peer);
  }
  std::string round = FormatInt64(kRoundMs);
  for (const Id128& peer : wait.complete) {
    wire::Forward command;
    command.hops = wire::Forward::kHopsMax;
    command.args = {"WAITAOF", "1", "0", round};
    wait.asked++;
    node.SendForward(peer, std::move(command), false,
                     [this, id, peer](const ForwardOutcome& outcome) {
                       auto it = own_.find(id);
                       if (it == own_.end()) return;
                       it->second.asked--;
                       int64_t local = 0, replicas = 0;
                       if (outcome.kind != ForwardOutcome::kReply) return;
                       if (!ReadCounts(outcome.bytes, true, &local, &replicas)) return;
                       if (local == 1) it->second.on_disk.insert(peer);
                     });
  }
}

// None: it goes on waiting.
std::optional<Reply> ReplicaWaits::ReplyTo(uint64_t id, OwnWait& wait) {
  Node& node = node_();
  const Wish& wish = wait.wish;
  bool over = Over(wish);
  int copies = node.FewestCopies(wait.up_to, Everyone);
  if (!wish.on_disk) {
    if (copies < wish.replicas && !over) return std::nullopt;
    return Render(wish, 0, copies);
  }
  if (!wait.second && wish.replicas > 0 && (copies >= wish.replicas || wait.second_ms <= NowMs())) {
    BeginSecond(id, wait);
  }
  bool synced = server_.engine().SyncedPosition() >= wait.position;
  auto counts = [&](const Id128& peer) { return wait.on_disk.contains(peer); };
  copies = wait.second ? node.FewestCopies(wait.up_to, counts) : 0;
  bool met = (synced || wish.local == 0) && copies >= wish.replicas;
  bool in_vain = wait.second && wait.asked == 0 && copies < wish.replicas;
  if (!met && !over && !in_vain) return std::nullopt;
  return Render(wish, synced, copies);
}

// --- clients' ---

void ReplicaWaits::Ask(uint64_t id, ClientWait& wait) {
  int64_t round_ms = kRoundMs;
  if (wait.wish.until_ms != 0) {
    round_ms = std::clamp<int64_t>(wait.wish.until_ms - NowMs(), 1, kRoundMs);
  }
  std::string round = FormatInt64(round_ms), replicas = FormatInt64(wait.wish.replicas);
  std::string local = FormatInt64(wait.wish.local);
  for (auto& entry : wait.parts) {
    const Id128& coordinator = entry.first;
    Part& part = entry.second;
    bool enough = part.replicas >= wait.wish.replicas && part.local >= wait.wish.local;
    if (part.asking || (enough && part.answered) || !node_().Healthy(coordinator)) continue;
    part.asking = true;
    wire::Forward command;
    command.hops = wire::Forward::kHopsMax;
    if (wait.wish.on_disk) {
      command.args = {"WAITAOF", local, replicas, round};
    } else {
      command.args = {"WAIT", replicas, round};
    }
    node_().SendForward(coordinator, std::move(command), false,
                        [this, id, coordinator](const ForwardOutcome& outcome) {
                          Answered(id, coordinator, outcome);
                        });
  }
}

void ReplicaWaits::Answered(uint64_t id, const Id128& coordinator, const ForwardOutcome& outcome) {
  auto it = clients_.find(id);
  if (it == clients_.end()) return;
  Part& part = it->second.parts[coordinator];
  part.asking = false;
  int64_t local = 0, replicas = 0;
  bool read = outcome.kind == ForwardOutcome::kReply &&
              ReadCounts(outcome.bytes, it->second.wish.on_disk, &local, &replicas);
  if (read) {
    part.answered = true;
    part.local = std::max(part.local, local);
    part.replicas = std::max(part.replicas, replicas);
  }
  std::optional<Reply> reply = ReplyTo(it->second);
  if (!reply) return;
  DeferredReply client = it->second.client;
  Remember(it->second);
  clients_.erase(it);
  server_.Answer(client, *reply);
}

std::optional<Reply> ReplicaWaits::ReplyTo(const ClientWait& wait) {
  int64_t local = 1, replicas = INT64_MAX;
  bool asking = false;
  for (const auto& [coordinator, part] : wait.parts) {
    local = std::min(local, part.local);
    replicas = std::min(replicas, part.replicas);
    asking = asking || part.asking;
  }
  if (wait.parts.empty()) replicas = ReachableReplicas();
  bool enough = local >= wait.wish.local && replicas >= wait.wish.replicas && !asking;
  if (!enough && !Over(wait.wish)) return std::nullopt;
  return Render(wait.wish, local, replicas);
}

void ReplicaWaits::Remember(const ClientWait& wait) {
  Session* session = server_.clients().Find(wait.client.session_id);
  if (!session) return;
  for (WrittenThrough& written : session->written_through) {
    auto part = wait.parts.find(written.node);
    if (part == wait.parts.end()) continue;
    const Part& known = part->second;
    written.copies = std::max(written.copies, known.replicas);
    if (!wait.wish.on_disk) continue;
    written.disk = std::max(written.disk, known.local);
    written.disk_copies = std::max(written.disk_copies, known.replicas);
  }
}

// --- time ---

void ReplicaWaits::Check() {
  std::vector<std::pair<DeferredReply, Reply>> answers;
  for (auto it = own_.begin(); it != own_.end();) {
    std::optional<Reply> reply = ReplyTo(it->first, it->second);
    if (reply) answers.emplace_back(it->second.client, *std::move(reply));
    it = reply ? own_.erase(it) : std::next(it);
  }
  // Whoever is answered may go on, and wait again.
  for (const auto& [client, reply] : answers) server_.Answer(client, reply);
}

void ReplicaWaits::Tick() {
  std::vector<std::pair<DeferredReply, Reply>> answers;
  for (auto it = clients_.begin(); it != clients_.end();) {
    auto& [id, wait] = *it;
    bool gone = !server_.clients().Find(wait.client.session_id);
    std::optional<Reply> reply;
    if (!gone) reply = ReplyTo(wait);
    if (reply) {
      Remember(wait);
      answers.emplace_back(wait.client, *std::move(reply));
    } else if (!gone) {
      Ask(id, wait);
    }
    it = gone || reply ? clients_.erase(it) : std::next(it);
  }
  for (const auto& [client, reply] : answers) server_.Answer(client, reply);
}

}  // namespace redynamo
