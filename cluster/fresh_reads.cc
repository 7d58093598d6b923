// SPDX-License-Identifier: Apache-2.0
#include "cluster/fresh_reads.h"

#include <utility>

#include "base/sabotage.h"

namespace redynamo {

bool FreshReads::Start(std::vector<Key> keys, int64_t now_ms, int64_t deadline_ms, Done done) {
  now_ms_ = now_ms;
  uint64_t group_id = next_id_++;
  Group& group = groups_[group_id];
  group.deadline_ms = deadline_ms;
  group.done = std::move(done);
  for (Key& key : keys) {
    uint64_t id = next_id_++;
    KeyRead& read = reads_[id];
    read.key = std::move(key);
    read.group = group_id;
    group.open++;
    if (Begin(id, read)) continue;
    reads_.erase(id);
    group.open--;
  }
  if (group.open > 0) {
    stats_.reads++;
    return true;
  }
  groups_.erase(group_id);
  return false;
}

// False when nobody has to be asked.
bool FreshReads::Begin(uint64_t id, KeyRead& read) {
  read.choice = choose_(read.key.partition, read.key.quorum);
  if (LeftOut(Sabotage::kReadAlone)) read.choice = {};
  read.needed = read.choice.needed;
  read.asked = 0;
  read.waiting = 0;
  read.hash = HashOf(read.key);
  for (int i = 0; i < read.choice.needed; i++) AskNext(id, read, now_ms_);
  return read.choice.needed > 0;
}

std::optional<uint64_t> FreshReads::HashOf(const Key& key) const {
  if (engine_.HasManyRows(key.database, key.name)) return std::nullopt;
  return engine_.KeyStateHash(key.database, key.name);
}

void FreshReads::Restart(uint64_t ring_epoch) {
  ring_epoch_ = ring_epoch;
  std::map<uint64_t, KeyRead> reads;
  reads.swap(reads_);
  questions_.clear();
  for (auto& [old_id, read] : reads) {
    uint64_t id = next_id_++;  // pulls for the old one mean nothing any more
    KeyRead& again = reads_[id];
    again = std::move(read);
    if (!Begin(id, again)) {
      again.needed = 1;
      again.waiting = 1;
      Agreed(id);
    }
  }
}

// REQUIRES: the caller sees to what happens when nobody is left to be asked.
void FreshReads::AskNext(uint64_t id, KeyRead& read, int64_t now_ms) {
  while (read.asked < read.choice.replicas.size()) {
    const Id128& peer = read.choice.replicas[read.asked++];
    wire::Read message;
    message.request_id = next_id_++;
    message.database = uint32_t(read.key.database);
    message.digest_only = true;
    message.key = read.key.name;
    if (links_.Send(peer, message) != SendResult::kQueued) continue;
    questions_[message.request_id] = {id, peer, now_ms};
    read.asked_ms = now_ms;
    read.waiting++;
    return;
  }
}

Status FreshReads::On(const Id128& peer, const wire::ReadReply& message) {
  auto node = questions_.extract(message.request_id);
  if (node.empty() || node.mapped().peer != peer) return Status::Ok();  // too late
  uint64_t id = node.mapped().key_read;
  auto it = reads_.find(id);
  if (it == reads_.end()) return Status::Ok();
  KeyRead& read = it->second;
  if (message.view_epoch > ring_epoch_) return Status::Ok();  // see Restart
  if (message.flags & (wire::ReadReply::kRecovering | wire::ReadReply::kFailed)) {
    Unanswered(id);
    return Status::Ok();
  }
  bool hashed = !(message.flags & wire::ReadReply::kUnhashed);
  if (hashed && read.hash && (message.hash == *read.hash || message.hash == HashOf(read.key))) {
    stats_.agreed++;
    Agreed(id);
    return Status::Ok();
  }
  if (hashed && read.hash) {
    stats_.repaired++;
    repairs_.Note(read.key.partition, RepairCause::kRead, peer);
  }
  exchange_.PullNow(peer, read.key.partition, [this, id](const Status& status) {
    if (status.ok()) {
      Agreed(id);
    } else {
      Unanswered(id);
    }
  });
  return Status::Ok();
}

void FreshReads::Agreed(uint64_t id) {
  auto it = reads_.find(id);
  if (it == reads_.end()) return;
  it->second.waiting--;
  if (--it->second.needed > 0) return;
  uint64_t group_id = it->second.group;
  reads_.erase(it);
  auto group = groups_.find(group_id);
  if (group != groups_.end() && --group->second.open == 0) End(group_id, Status::Ok());
}

void FreshReads::Unanswered(uint64_t id) {
  auto it = reads_.find(id);
  if (it == reads_.end()) return;
  KeyRead& read = it->second;
  read.waiting--;
  AskNext(id, read, now_ms_);
  if (read.waiting >= read.needed) return;
  End(read.group, {StatusCode::kIoError, "too few replicas of the key answer"});
}

void FreshReads::End(uint64_t group_id, const Status& status) {
  auto node = groups_.extract(group_id);
  if (node.empty()) return;
  if (!status.ok()) stats_.failed++;
  std::erase_if(reads_, [&](const auto& entry) { return entry.second.group == group_id; });
  node.mapped().done(status);
}

void FreshReads::LinkDown(const Id128& peer) {
  std::vector<uint64_t> lost;
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.peer == peer) {
      lost.push_back(it->second.key_read);
      it = questions_.erase(it);
    } else {
      ++it;
    }
  }
  for (uint64_t id : lost) Unanswered(id);
}

void FreshReads::FailAll() {
  while (!groups_.empty()) {
    End(groups_.begin()->first, {StatusCode::kShutdown, "this node is stopping"});
  }
}

void FreshReads::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  std::vector<uint64_t> late;
  for (const auto& [id, group] : groups_) {
    if (group.deadline_ms <= now_ms) late.push_back(id);
  }
  for (uint64_t id : late) End(id, {StatusCode::kIoError, "too few replicas answered in time"});
  for (auto& [id, read] : reads_) {
    if (now_ms - read.asked_ms < kHedgeMs || read.asked == read.choice.replicas.size()) continue;
    stats_.hedged++;
    AskNext(id, read, now_ms);
  }
  std::erase_if(questions_, [&](const auto& entry) {
    return !reads_.contains(entry.second.key_read) && now_ms - entry.second.asked_ms > 10'000;
  });
}

int64_t FreshReads::OwedSince(const Id128& peer) const {
  for (const auto& [id, question] : questions_) {  // request ids ascend with time
    if (question.peer == peer) return question.asked_ms;
  }
  return 0;
}

}  // namespace redynamo
