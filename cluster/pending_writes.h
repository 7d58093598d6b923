// SPDX-License-Identifier: Apache-2.0
// Which of this node's writes have reached how many replicas (Dynamo 4.5 and 4.6; REPLICATION.md
// 4.2).
//
// Each record of the own log has a number here, and a place in the order in which a link carries
// records. Peers acknowledge cumulatively, by places: "all that has come over this link up to r is
// joined here, and as durable as it should be" (event_inbox.h). A record is *settled* once each of
// its partitions has W replicas, this node included if it is a home; or when its deadline is over,
// and then the outcome is unknown: some replica may have it, and exchange will spread it.
//
//   records       17      18      19      20         W = 2 of homes {self, b, c}
//   places at b    1       2       3       -         (b's queue was full at 20)
//   places at c    1       2       3       4
//   b: up to 2, c: up to 3                           17, 18, 19 are settled, 20 is not
//
// A home that cannot be reached has a *stand-in*, which keeps the record as a hint; under a sloppy
// quorum its acknowledgement counts for a home's. Who has to have a record is asked again whenever
// views or the health of peers have changed: it is counted by the newest view.
//
// But a record may hang on an earlier one, its *base*, as an increment does on its counter. A home
// fetches a base that it lacks before it acknowledges; a stand-in has nothing but what it is sent.
// So it counts only if each base has W copies, as far as this node knows, or is there as well:
//
//   INCR n (makes it)    17    its link to the stand-in was full: nobody else has it
//   INCR n               18    the stand-in has it: with this node's disk, 17 and so both were lost
//
// Of its own writes since its start this node knows what became of them; of all others, what their
// homes have reported (exchange.h).
//
// Records stay here, with their bytes, until all their homes have them or the deadline is over: a
// link that comes back gets again what it may have missed.
//
// No time, no I/O: the node tells what happens. One thread.
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/request_quorum.h"
#include "storage/replica_clock.h"

namespace redynamo {

// Of 24 bits that a place has for it (event_inbox.h), half may be counted on from there.
inline constexpr uint64_t kFirstGenerationMax = (1u << 23) - 1;

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
  // Must not call this class.
  using OnSettled = std::function<void(const Waiter&, Outcome)>;
  // `hinted_for`: the home that the peer stands in for; all zero: it is one itself.
  using Send = std::function<bool(const Id128& peer, uint64_t place, std::string_view record,
                                  const Id128& hinted_for)>;

  // Other homes, of one partition that a record has events of.
  struct HomeSet {
    std::vector<Id128> peers;
    int needed = 0;  // acknowledgements of peers: W, less one if this node is counted
    bool operator==(const HomeSet&) const = default;
  };
  struct StandIn {
    Id128 peer{}, home{};
  };
  struct Targets {
    std::vector<HomeSet> sets;  // all of which have to be met
    std::vector<StandIn> stand_ins;
    bool sloppy = false;  // who is in no set, and has the record, counts for one that is
  };
  // What a record of events of these partitions needs at this moment, if its request asks for this.
  using TargetsOf =
      std::function<Targets(const std::vector<uint16_t>& partitions, const RequestQuorum&)>;

  // What a record hangs on.
  struct Base {
    EventId event;
    bool own = false;  // this node has made it since its start
  };
  // Whether W replicas are known to have the event, this one included.
  using WellCopied = std::function<bool(const EventId&)>;

  PendingWrites(TargetsOf targets_of, Send send, OnSettled on_settled, WellCopied well_copied)
      : targets_of_(std::move(targets_of)),
        send_(std::move(send)),
        on_settled_(std::move(on_settled)),
        well_copied_(std::move(well_copied)) {}

  // Links from here on; before the first one. See Node::first_request_.
  void NumberLinksFrom(uint64_t first) { generation_ = first & kFirstGenerationMax; }
  // A record with events of these partitions; gives its number. It is sent by SendNew.
  uint64_t Add(std::string_view record, std::vector<uint16_t> partitions, int64_t deadline_ms,
               const RequestQuorum& quorum = {}, std::vector<Base> bases = {});
  // The records added so far are written to the log and may leave the node (ENGINE.md section 1).
  void SendNew(int64_t now_ms);
  // Tells the waiter at once when the record is settled already (W = 1). One waiter a record.
  void Await(uint64_t number, const Waiter& waiter);

  void Acknowledged(const Id128& peer, uint64_t up_to_place);
  // The peer has not taken the record, and will not.
  void Refused(const Id128& peer, uint64_t place);
  void LinkUp(const Id128& peer, int64_t now_ms);
  void LinkDown(const Id128& peer);
  // Views or the health of peers have changed: asks for the targets of all records again, and sends
  // them to those that are new.
  void Refresh(int64_t now_ms);
  // Gives up records whose deadline is at or before `now_ms`.
  void Expire(int64_t now_ms);

  // --- WAIT ---
  // How many other nodes are known to have each of the records up to this number that is still
  // here: the fewest of them; nothing when none is. Only nodes that `counts` says count.
  std::optional<int> FewestCopies(uint64_t up_to,
                                  const std::function<bool(const Id128&)>& counts) const;
  // Whether the peer is a home of one of them and is not known to have it.
  bool Lacks(const Id128& peer, uint64_t up_to) const;
  // Partitions of records that were given up before all homes had them. Exchange knows when they
  // do; until somebody says so with Regained they stay here.
  const std::set<uint16_t>& given_up() const { return given_up_; }
  void Regained(uint16_t partition) { given_up_.erase(partition); }

  // Partitions of records that were given up with fewer than W copies: while they are here, own
  // bases in them count as others' do. Exchange knows when enough homes have them: Thickened.
  const std::set<uint16_t>& thin() const { return thin_; }
  void Thickened(uint16_t partition) { thin_.erase(partition); }
  // Those that have come to be thin, again or for the first time, since this was last asked.
  std::vector<uint16_t> TakeNewlyThin() { return std::exchange(newly_thin_, {}); }
  // Whether, since this was last asked, some stand-in did not count for want of copies of a base:
  // then Refresh may find that there are enough.
  bool TakeWantsCopies() { return std::exchange(wants_copies_, false); }

  // When the oldest record was sent that the peer has neither acknowledged nor refused; 0: none.
  int64_t OwedSince(const Id128& peer) const;

  // Whether the record has reached its quorum, or has been given up.
  bool Settled(uint64_t number) const;
  uint64_t unsettled() const { return unsettled_; }
  uint64_t kept_bytes() const { return kept_bytes_; }
  uint64_t hints_sent() const { return hints_sent_; }
  uint64_t last_number() const { return first_number_ + records_.size() - 1; }

 private:
  struct Record {
    uint64_t number = 0;
    std::shared_ptr<const std::string> bytes;
    std::vector<uint16_t> partitions;
    std::vector<Base> bases;
    RequestQuorum quorum;
    Targets targets;
    std::vector<Id128> peers;  // of all sets
    std::vector<Id128> under_way, has;
    Waiter waiter;
    int64_t deadline_ms = 0;
    int64_t sent_ms = 0;
    bool settled = false;
    bool awaited = false;
    bool expired = false;
    Outcome outcome = Outcome::kReached;
  };
  void Aim(Record* record);
  void GiveToAll(Record& record, uint64_t number);
  void Give(Record& record, uint64_t number, const Id128& peer, const Id128& hinted_for);
  void Settle(Record* record, Outcome outcome);
  bool Reached(const Record& record) const;
  bool HasBases(const Id128& stand_in, const Record& record) const;
  void SettleBehind(const Record& record);
  void MarkThin(uint16_t partition);
  static bool Everywhere(const Record& record);
  void DropFinished();
  const Record* Find(uint64_t number) const;
  Record* Find(uint64_t number) { return const_cast<Record*>(std::as_const(*this).Find(number)); }

  struct Link {
    uint64_t next_place = 0;
    std::deque<std::pair<uint64_t, uint64_t>> under_way;  // place, number
  };

  TargetsOf targets_of_;
  Send send_;
  OnSettled on_settled_;
  WellCopied well_copied_;
  uint64_t first_number_ = 1;  // of records_.front()
  uint64_t written_ = 0;       // numbers up to here may be sent
  std::deque<Record> records_;
  std::map<Id128, Link> links_;                          // that are up
  uint64_t generation_ = 0;                              // of the newest of them
  std::vector<absl::btree_set<uint64_t>> unsettled_of_;  // by partition: numbers of records
  uint64_t unsettled_ = 0;
  uint64_t kept_bytes_ = 0;
  uint64_t hints_sent_ = 0;
  std::set<uint16_t> given_up_, thin_;
  std::vector<uint16_t> newly_thin_;
  mutable bool wants_copies_ = false;
};

}  // namespace redynamo
