// SPDX-License-Identifier: Apache-2.0
// What a node fetches when the homes of partitions change (REPLICATION.md section 6): in phase 1 of
// a view, who comes (or, when nobody comes, who stays) pulls the partition from the old homes, and
// says so when reads may go to the new ones: once it has pulled from all old homes that can be
// reached, N - W + 1 of them at least, each of which had come to phase 1 when the pull began. So
// each write that was acknowledged before has been met at one of them.
//
//   A B O, X comes for O, W = 2     X: pulled from A, B (O is dead): 2 >= 3 - 2 + 1, finished
//
// Pulls go through the exchange: they are resumed where they stopped, and bounded per peer. Data
// thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "cluster/exchange.h"
#include "cluster/ring_document.h"

namespace redynamo {

class Transfer {
 public:
  // The ring epoch that a peer has durably come to; 0: it cannot be reached.
  using EpochOf = std::function<uint64_t(const Id128& peer)>;

  Transfer(Engine& engine, Exchange& exchange, const Id128& self, EpochOf epoch_of)
      : engine_(engine), exchange_(exchange), self_(self), epoch_of_(std::move(epoch_of)) {}

  // REQUIRES: the document is kept durably here.
  void ViewsChanged(const RingDocument& document, int w);
  void Tick(int64_t now_ms);
  // The log is safe up to there.
  void LogAdvanced(uint64_t position);

  struct Finished {
    uint16_t partition;
    uint64_t view_epoch;
    bool operator==(const Finished&) const = default;
  };
  // Of the newest document's views.
  std::vector<Finished> finished() const;
  size_t running() const;  // partitions that are not finished

 private:
  struct Task {
    uint64_t view_epoch = 0;
    uint64_t ring_epoch = 0;  // in which the view came to its phase, or later
    std::vector<Id128> sources;
    int needed = 0;  // of sources, this node left out
    std::set<Id128> asked, pulled;
    std::map<Id128, uint64_t> joined;  // source -> log position that is not safe yet
    int64_t next_try_ms = 0;
    bool finished = false;
  };
  void Ask(int partition, Task& task, const Id128& source);
  void CheckFinished(Task* task);

  Engine& engine_;
  Exchange& exchange_;
  Id128 self_;
  EpochOf epoch_of_;
  std::map<int, Task> tasks_;  // by partition
  size_t asked_ = 0;
  int64_t now_ms_ = 0;
};

}  // namespace redynamo
