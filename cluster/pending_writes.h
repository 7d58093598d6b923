// SPDX-License-Identifier: Apache-2.0
// Which of this node's writes have reached how many replicas (Dynamo 4.5; REPLICATION.md 4.2).
//
// Each record of the own log gets a number when it is sent. Peers acknowledge cumulatively: "all of
// yours up to r is joined here, and as durable as it should be". A record is *settled* once each
// of its partitions has W replicas, this node included if it is a home; or when its deadline is
// over, and then the outcome is unknown: some replica may have it, and exchange will spread it.
//
//   numbers      17      18      19      20          W = 2 of homes {self, b, c}
//   sent to     b c     b c     b c       c          (b's queue was full at 20)
//   b: up to 18, c: up to 19                         17, 18, 19 are settled, 20 is not
//
// Records stay here, with their bytes, until all their homes have them or the deadline is over: a
// link that comes back gets again what it may have missed.
//
// No time, no I/O: the node tells what happens. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/identity.h"

namespace redynamo {

class PendingWrites {
 public:
  // Who waits for a record: a reply of a client.
  struct Waiter {
    uint64_t session_id = 0;  // 0: nobody
    uint64_t reply_id = 0;
  };
  enum class Outcome : uint8_t {
    kReached,
    kUnknown,  // too few replicas answered in time
  };
  using OnSettled = std::function<void(const Waiter&, Outcome)>;
  using Send = std::function<bool(const Id128& peer, uint64_t number, std::string_view record)>;

  // The other homes of one partition that a record has events of.
  struct HomeSet {
    std::vector<Id128> peers;
    int needed = 0;  // acknowledgements of peers: W, less one if this node is a home
    bool operator==(const HomeSet&) const = default;
  };

  PendingWrites(Send send, OnSettled on_settled)
      : send_(std::move(send)), on_settled_(std::move(on_settled)) {}

  // A record for all peers of `sets`; gives its number. It is sent by SendNew.
  uint64_t Add(std::string_view record, std::vector<HomeSet> sets, int64_t deadline_ms);
  // The records added so far are written to the log and may leave the node (ENGINE.md section 1).
  void SendNew(int64_t now_ms);
  // Tells the waiter at once when the record is settled already (W = 1). One waiter a record.
  void Await(uint64_t number, const Waiter& waiter);

  void Acknowledged(const Id128& peer, uint64_t up_to);
  // The peer has not taken the record, and will not.
  void Refused(const Id128& peer, uint64_t number);
  void LinkUp(const Id128& peer, int64_t now_ms);
  void LinkDown(const Id128& peer);
  // Gives up records whose deadline is at or before `now_ms`.
  void Expire(int64_t now_ms);

  // When the oldest record was sent that the peer has neither acknowledged nor refused; 0: none.
  int64_t OwedSince(const Id128& peer) const;

  uint64_t unsettled() const { return unsettled_; }
  uint64_t kept_bytes() const { return kept_bytes_; }
  uint64_t last_number() const { return first_number_ + records_.size() - 1; }

 private:
  struct Record {
    std::shared_ptr<const std::string> bytes;
    std::vector<HomeSet> sets;
    std::vector<Id128> peers;  // of all sets
    std::vector<Id128> under_way, has;
    Waiter waiter;
    int64_t deadline_ms = 0;
    int64_t sent_ms = 0;
    bool settled = false;
    bool awaited = false;
    Outcome outcome = Outcome::kReached;
  };
  void Give(Record& record, uint64_t number, const Id128& peer);
  void Settle(Record* record, Outcome outcome);
  bool Reached(const Record& record) const;
  void DropFinished();
  Record* Find(uint64_t number);

  Send send_;
  OnSettled on_settled_;
  uint64_t first_number_ = 1;  // of records_.front()
  uint64_t written_ = 0;       // numbers up to here may be sent
  std::deque<Record> records_;
  std::map<Id128, uint64_t> acknowledged_;  // per link that is up
  uint64_t unsettled_ = 0;
  uint64_t kept_bytes_ = 0;
};

}  // namespace redynamo
