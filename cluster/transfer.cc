// SPDX-License-Identifier: Apache-2.0
#include "cluster/transfer.h"

#include <algorithm>

namespace redynamo {
namespace {

constexpr size_t kAskedMax = 32;  // pulls at a time
constexpr int64_t kRetryMs = 200;

}  // namespace

void Transfer::ViewsChanged(const RingDocument& document, int w) {
  std::map<int, Task> tasks;
  for (int p = 0; p < document.partitions(); p++) {
    const View& view = document.views[size_t(p)];
    if (view.phase != ViewPhase::kWriteBothReadOld) continue;
    auto id_of = [&](MemberIndex m) { return document.members[m].id.bytes; };
    HomeList staying = view.NewHomes();
    bool pulls = view.pending != kNoMember
                     ? id_of(view.pending) == self_
                     : std::any_of(staying.begin(), staying.end(),
                                   [&](MemberIndex m) { return id_of(m) == self_; });
    if (!pulls) continue;
    if (auto it = tasks_.find(p); it != tasks_.end() && it->second.view_epoch == view.epoch) {
      tasks[p] = std::move(it->second);
      continue;
    }
    Task& task = tasks[p];
    task.view_epoch = view.epoch;
    task.ring_epoch = document.epoch;
    int homes = int(view.homes.size());
    task.needed = homes - std::min(w, homes) + 1;
    for (MemberIndex m : view.homes) {
      if (id_of(m) == self_) {
        task.needed--;
      } else {
        task.sources.push_back(id_of(m));
      }
    }
    CheckFinished(&task);
  }
  tasks_ = std::move(tasks);
}

void Transfer::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  for (auto& [partition, task] : tasks_) {
    if (task.finished || now_ms < task.next_try_ms) continue;
    for (const Id128& source : task.sources) {
      if (asked_ >= kAskedMax) return;
      bool known = task.asked.contains(source) || task.pulled.contains(source) ||
                   task.joined.contains(source);
      if (!known && epoch_of_(source) >= task.ring_epoch) Ask(partition, task, source);
    }
    CheckFinished(&task);
  }
}

void Transfer::Ask(int partition, Task& task, const Id128& source) {
  task.asked.insert(source);
  asked_++;
  uint64_t view_epoch = task.view_epoch;
  exchange_.PullNow(source, partition, [=, this](const Status& status) {
    asked_--;
    auto it = tasks_.find(partition);
    if (it == tasks_.end() || it->second.view_epoch != view_epoch) return;
    it->second.asked.erase(source);
    if (status.ok()) {
      it->second.joined[source] = engine_.NewestPosition();
    } else {
      it->second.next_try_ms = now_ms_ + kRetryMs;
    }
  });
}

void Transfer::LogAdvanced(uint64_t position) {
  for (auto& entry_of : tasks_) {
    Task& task = entry_of.second;
    if (task.joined.empty()) continue;
    std::erase_if(task.joined, [&](const auto& entry) {
      if (entry.second > position) return false;
      task.pulled.insert(entry.first);
      return true;
    });
    CheckFinished(&task);
  }
}

// Those that cannot be reached are not waited for once enough of the others have been pulled from.
void Transfer::CheckFinished(Task* task) {
  if (int(task->pulled.size()) < task->needed) return;
  task->finished = std::all_of(task->sources.begin(), task->sources.end(), [&](const Id128& id) {
    return task->pulled.contains(id) || epoch_of_(id) == 0;
  });
}

std::vector<Transfer::Finished> Transfer::finished() const {
  std::vector<Finished> out;
  for (const auto& [partition, task] : tasks_) {
    if (task.finished) out.push_back({uint16_t(partition), task.view_epoch});
  }
  return out;
}

size_t Transfer::running() const {
  return size_t(std::count_if(tasks_.begin(), tasks_.end(),
                              [](const auto& entry) { return !entry.second.finished; }));
}

}  // namespace redynamo
