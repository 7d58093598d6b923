// SPDX-License-Identifier: Apache-2.0
// When, how and from whom this node has last repaired a partition, since the process began: for
// RING.WHY. Data thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "base/clock.h"
#include "base/id128.h"

namespace redynamo {

enum class RepairCause : uint8_t {
  kRead,  // a read met another state at a peer
  kTree,  // a comparison of rows did
};

struct LastRepair {
  int64_t unix_ms = 0;
  RepairCause cause = RepairCause::kRead;
  Id128 peer{};
};

class RepairLog {
 public:
  explicit RepairLog(const Clock& clock) : clock_(clock) {}

  void Note(int partition, RepairCause cause, const Id128& peer) {
    last_[partition] = {clock_.WallMs(), cause, peer};
  }
  // Null: none.
  const LastRepair* Last(int partition) const {
    auto it = last_.find(partition);
    return it == last_.end() ? nullptr : &it->second;
  }

 private:
  const Clock& clock_;
  std::map<int, LastRepair> last_;
};

}  // namespace redynamo
