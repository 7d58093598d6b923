// SPDX-License-Identifier: Apache-2.0
#include "cluster/fresh_partitions.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/sabotage.h"
#include "storage/partition_set.h"

namespace redynamo {
namespace {

constexpr int64_t kQuestionsKeptMs = 10'000;  // whose command has ended

}  // namespace

bool FreshPartitions::Start(const PartitionSet& partitions, const RequestQuorum& quorum,
                            int64_t now_ms, int64_t deadline_ms, Done done) {
  now_ms_ = now_ms;
  uint64_t id = next_id_++;
  Group& group = groups_[id];
  group.quorum = quorum;
  for (int p = partitions.NextFrom(0); p < PartitionCount(); p = partitions.NextFrom(p + 1)) {
    group.open[p];
  }
  Begin(id, group);
  if (group.open.empty()) {
    groups_.erase(id);
    return false;
  }
  stats_.asked++;
  group.deadline_ms = deadline_ms;
  group.done = std::move(done);
  return true;
}

// Asks about the open partitions by the views of now.
void FreshPartitions::Begin(uint64_t id, Group& group) {
  int most = 0;
  for (auto it = group.open.begin(); it != group.open.end();) {
    Part& part = it->second;
    part = Part();
    part.choice = choose_(it->first, group.quorum);
    if (LeftOut(Sabotage::kReadAlone)) part.choice = {};
    part.needed = part.choice.needed;
    most = std::max(most, part.needed);
    it = part.needed > 0 ? std::next(it) : group.open.erase(it);
  }
  for (int i = 0; i < most; i++) {
    std::vector<int> partitions;
    for (const auto& [partition, part] : group.open) {
      if (part.needed > i) partitions.push_back(partition);
    }
    Ask(id, group, partitions);
  }
}

void FreshPartitions::Restart(uint64_t ring_epoch) {
  ring_epoch_ = ring_epoch;
  questions_.clear();
  std::vector<uint64_t> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  for (uint64_t old_id : ids) {
    auto node = groups_.extract(old_id);
    if (node.empty()) continue;
    uint64_t id = next_id_++;  // pulls for the old one mean nothing any more
    Group& group = groups_[id];
    group = std::move(node.mapped());
    Begin(id, group);
    if (group.open.empty()) End(id, Status::Ok());
  }
}

// Asks of each partition the next replica, one message each. REQUIRES: the caller sees to what
// happens when nobody is left to be asked.
void FreshPartitions::Ask(uint64_t id, Group& group, const std::vector<int>& partitions) {
  std::map<Id128, wire::Compare> messages;
  for (int partition : partitions) {
    auto it = group.open.find(partition);
    if (it == group.open.end()) continue;
    Part& part = it->second;
    while (part.asked < part.choice.replicas.size()) {
      const Id128& peer = part.choice.replicas[part.asked++];
      if (!links_.IsUp(peer)) continue;
      messages[peer].entries.push_back({uint16_t(partition), engine_.ClockHash(partition)});
      part.waiting++;
      break;
    }
  }
  for (auto& [peer, message] : messages) {
    message.request_id = next_id_++;
    Question& question = questions_[message.request_id];
    question = {id, peer, {}, now_ms_, false};
    for (const auto& entry : message.entries) question.partitions.push_back(entry.partition);
    links_.Send(peer, message);  // a link that goes ends it by LinkDown
  }
}

Status FreshPartitions::On(const Id128& peer, const wire::Compare& message) {
  wire::CompareReply reply;
  reply.request_id = message.request_id;
  reply.view_epoch = ring_epoch_;
  std::vector<std::string> clocks;
  clocks.reserve(message.entries.size());
  for (const wire::Compare::Entry& entry : message.entries) {
    if (entry.partition >= PartitionCount()) {
      return Corruption("a message names a partition that does not exist");
    }
    if (entry.clock_hash == engine_.ClockHash(entry.partition)) continue;
    engine_.ClockOf(entry.partition).EncodeTo(&clocks.emplace_back());
    reply.entries.push_back({entry.partition, clocks.back()});
  }
  links_.Send(peer, reply);
  return Status::Ok();
}

Status FreshPartitions::On(const Id128& peer, const wire::CompareReply& message) {
  auto node = questions_.extract(message.request_id);
  if (node.empty() || node.mapped().peer != peer) return Status::Ok();  // too late
  const Question& question = node.mapped();
  if (message.view_epoch > ring_epoch_) return Status::Ok();  // see Restart
  std::map<int, ReplicaClock> differing;
  for (const wire::CompareReply::Entry& entry : message.entries) {
    ByteReader in(entry.clock);
    ReplicaClock& clock = differing[entry.partition];
    if (!ReplicaClock::Decode(&in, &clock) || !in.empty()) {
      Unanswered(question.group, question.partitions);
      return Corruption("a compared clock is malformed");
    }
  }
  for (int partition : question.partitions) {
    auto it = differing.find(partition);
    Compared(question.group, peer, partition, it == differing.end() ? nullptr : &it->second);
  }
  return Status::Ok();
}

// `theirs`: null when it is the clock that this node had when it asked.
void FreshPartitions::Compared(uint64_t group_id, const Id128& peer, int partition,
                               const ReplicaClock* theirs) {
  stats_.compared++;
  if (!theirs || engine_.ClockOf(partition).Covers(*theirs)) return Agreed(group_id, partition);
  auto group = groups_.find(group_id);
  if (group == groups_.end() || !group->second.open.contains(partition)) return;
  stats_.pulled++;
  exchange_.PullNow(peer, partition, [this, group_id, partition](const Status& status) {
    if (status.ok()) {
      Agreed(group_id, partition);
    } else {
      Unanswered(group_id, {partition});
    }
  });
}

void FreshPartitions::Agreed(uint64_t group_id, int partition) {
  auto group = groups_.find(group_id);
  if (group == groups_.end()) return;
  auto part = group->second.open.find(partition);
  if (part == group->second.open.end()) return;
  part->second.waiting--;
  if (--part->second.needed > 0) return;
  group->second.open.erase(part);
  if (group->second.open.empty()) End(group_id, Status::Ok());
}

void FreshPartitions::Unanswered(uint64_t group_id, const std::vector<int>& partitions) {
  auto it = groups_.find(group_id);
  if (it == groups_.end()) return;
  Group& group = it->second;
  for (int partition : partitions) {
    if (auto part = group.open.find(partition); part != group.open.end()) part->second.waiting--;
  }
  Ask(group_id, group, partitions);
  for (int partition : partitions) {
    auto part = group.open.find(partition);
    if (part == group.open.end() || part->second.waiting >= part->second.needed) continue;
    return End(group_id, {StatusCode::kIoError, "too few replicas of partition " +
                                                    std::to_string(partition) + " answer"});
  }
}

void FreshPartitions::End(uint64_t group_id, const Status& status) {
  auto node = groups_.extract(group_id);
  if (node.empty()) return;
  if (!status.ok()) stats_.failed++;
  node.mapped().done(status);
}

void FreshPartitions::LinkDown(const Id128& peer) {
  std::vector<Question> lost;
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.peer == peer) {
      lost.push_back(std::move(it->second));
      it = questions_.erase(it);
    } else {
      ++it;
    }
  }
  for (const Question& question : lost) Unanswered(question.group, question.partitions);
}

void FreshPartitions::FailAll() {
  while (!groups_.empty()) {
    End(groups_.begin()->first, {StatusCode::kShutdown, "this node is stopping"});
  }
}

void FreshPartitions::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  std::vector<uint64_t> late;
  for (const auto& [id, group] : groups_) {
    if (group.deadline_ms <= now_ms) late.push_back(id);
  }
  for (uint64_t id : late) End(id, {StatusCode::kIoError, "too few replicas answered in time"});
  std::vector<std::pair<uint64_t, std::vector<int>>> slow;
  for (auto& [id, question] : questions_) {
    if (question.hedged || now_ms - question.asked_ms < kHedgeMs) continue;
    question.hedged = true;
    slow.emplace_back(question.group, question.partitions);
  }
  for (const auto& [id, partitions] : slow) {
    if (auto group = groups_.find(id); group != groups_.end()) Ask(id, group->second, partitions);
  }
  std::erase_if(questions_, [&](const auto& entry) {
    return !groups_.contains(entry.second.group) &&
           now_ms - entry.second.asked_ms > kQuestionsKeptMs;
  });
}

int64_t FreshPartitions::OwedSince(const Id128& peer) const {
  for (const auto& [id, question] : questions_) {  // request ids ascend with time
    if (question.peer == peer) return question.asked_ms;
  }
  return 0;
}

}  // namespace redynamo
