// SPDX-License-Identifier: Apache-2.0
// Replicas that this node holds although it is not among the writers of their partitions (Dynamo
// 4.6; REPLICATION.md 5.2): it stood in for a home that could not be reached, and keeps what the
// home missed as a hint; or it was a home, and the partition has moved on.
//
//   SET k (homes A B C, C is away)  ──hint for C──>  D: guest of P
//   C is back: D tells A B C its clock, C pulls, all three report to have it     D lets go of P
//
// The replica itself is the hint: durable and checksummed like any other, served to pulls by the
// exchange, found again at every start. It is dropped only when each writer has reported a durable
// clock that covers all that the guest knows, and, if this node was a home, when a comparison of
// leaves with one of them (merkle.h) has found nothing that the clocks do not explain. Its own
// counter stays. Data thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cluster/exchange.h"
#include "cluster/merkle.h"
#include "cluster/placement.h"

namespace redynamo {

struct GuestReport {
  int partition = 0;
  int64_t age_ms = 0;          // since this process has known of it
  uint64_t bytes = 0;          // about
  std::vector<Id128> owed_to;  // writers that are not known to have it
};

class Guests {
 public:
  Guests(Engine& engine, Exchange& exchange, Merkle& merkle, Exchange::PlaceOf place_of,
         int partitions, uint64_t bytes_max);

  // Looks at every partition: at the start, and when views have changed.
  void ViewsChanged(int64_t now_ms);
  // Whether a record of so many bytes may be kept as a hint. A guest that is full refuses; it never
  // drops what it holds.
  bool MayTake(uint64_t bytes) const { return bytes_ + bytes <= bytes_max_; }
  // A record with events of the partition has been joined, of which this node is no writer.
  void Taken(int partition, uint64_t bytes, int64_t now_ms);
  // Something of the partition has been pulled here, for a read: this node is no writer of it.
  void Pulled(int partition, int64_t now_ms);
  // Lets go of what every writer has, a few partitions at a time.
  void Tick(int64_t now_ms);

  std::vector<GuestReport> Report(int64_t now_ms) const;
  size_t partitions() const { return held_.size(); }
  bool Holds(int partition) const { return held_.contains(partition); }
  uint64_t bytes() const { return bytes_; }
  uint64_t taken() const { return taken_; }        // records, since the start
  uint64_t released() const { return released_; }  // replicas, since the start

 private:
  struct Held {
    int64_t since_ms = 0;
    uint64_t bytes = 0;
    int verifications_left = 0;  // that may end without a verdict
    bool verifying = false;
    int64_t next_verification_ms = 0;
    uint64_t verified_clock = 0;  // hash of the clock under which it was found to be the same
  };
  bool Verified(int partition, Held* held, int64_t now_ms);
  void Hold(int partition, uint64_t bytes, int64_t now_ms);

  Engine& engine_;
  Exchange& exchange_;
  Merkle& merkle_;
  Exchange::PlaceOf place_of_;
  int partitions_;
  uint64_t bytes_max_;
  std::map<int, Held> held_;
  uint64_t bytes_ = 0, taken_ = 0, released_ = 0;
};

}  // namespace redynamo
