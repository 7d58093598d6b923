// SPDX-License-Identifier: Apache-2.0
// What a storage engine gives to and takes from the other replicas of its partitions
// (REPLICATION.md sections 4 and 5). Partitions are those of storage/slot_table.h.
//
// Three things travel, each as opaque bytes that name actors by their 128-bit ids:
//
//   record   the events of one command, as they were made:     on_own_record -> AcceptRecord
//   batch    events that a replica lacks, as rows as they are now:      Pull -> AcceptBatch
//   full     all rows of a partition, when dots are too old to pull:    FullRows -> AcceptFull
//
// Each may arrive twice, late, in any order, or never: what is accepted is joined
// (storage/join.cc). Bytes of peers are validated whole before anything is done. Actors that are
// new here are interned durably, in the identity file, before any of it is logged; that costs an
// fsync on the data thread, once for each incarnation of a peer's data directory.
//
// Namespaces travel as numbers: they must stand for the same databases on all nodes, so a ring of
// several refuses SWAPDB. Everything here is called, and calls back, on the data thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/delta.h"
#include "storage/replica_clock.h"

namespace redynamo {

// A command of this node that made events, or a removal of an expired or evicted key.
struct OwnRecord {
  // Of the log: when ReplyPosition() has reached it, the record may leave the node.
  uint64_t position = 0;
  std::string_view bytes;           // portable form; valid during the call
  std::span<const EventId> events;  // in it; one for each partition that the command wrote
  // Earlier events that it hangs on: of an increment its counter, of a deadline its string. Without
  // them it is nothing.
  std::span<const EventId> bases;
};

// What became of a record or batch of another node.
struct Accepted {
  // kCorruption: malformed bytes, or a checksum that fails. kInvalidArgument: a database that this
  // node does not have. kNoSpace: the log has no room. Then nothing has been done.
  Status status;
  uint64_t position = 0;  // of the log; the acknowledgement waits until ReplyPosition() is there
  std::vector<EventId> events;
  std::vector<bool> duplicate;  // per event: it had been seen
  // Partitions of events that hang on a base which has not been seen here (a counter's increment,
  // say): if the base is lost with another node's disk, so is the increment. Only what is not there
  // yet can be lacking: a pull brings it.
  std::vector<uint16_t> lacks_base;
  // Another content is known here for one of the dots: the sender must rotate its actor. Nothing of
  // that event has been done (it counts as a duplicate).
  bool dot_conflict = false;
  // A peer has shown a dot of this node's own actor that this node does not know: it has lost what
  // it had sent. The own actor has been rotated.
  bool own_actor_rotated = false;
  // AcceptFull: the last piece was this; the clock has taken in what the source had seen.
  bool full_complete = false;
};

struct PullAnswer {
  enum Kind : uint8_t {
    kBatch,     // `bytes` are for AcceptBatch
    kNothing,   // theirs has all that is seen here, and no row here is irregular
    kNeedFull,  // some of what theirs lacks is not in the dot index: ask another peer, else full
  };
  Kind kind = kNothing;
  Status status;  // of reading cold rows; then there are no bytes
  std::string bytes;
  bool more = false;  // pull again with the clock that the batch has led to
};

struct FullAnswer {
  Status status;      // then there are no bytes
  std::string bytes;  // for AcceptFull
  uint64_t next = 0;  // cursor to go on from; 0: these were the last
};

struct DotIndexStats {
  uint64_t dots = 0, rows = 0;
  uint64_t bytes = 0;    // of memory, about
  uint64_t dropped = 0;  // dots let go because of EngineOptions::dot_index_bytes_max, since start
};

// One row of a key with all its versions: for RING.WHY, RING.SIBLINGS and RING.GET, and for reads
// of several replicas.
struct RowVersionReport {
  PortableDot dot;
  uint64_t hlc = 0;  // 48 bits of Unix milliseconds, 16 of a counter
  bool implicit = false;
  std::string value;   // bytes of kBase, kFragment, kField
  int64_t number = 0;  // kDeadline: ms; totals: the total
};
struct RowReport {
  RowKind kind = RowKind::kBase;
  std::string element;                 // field or member
  uint32_t index = 0;                  // of a kFragment
  PortableDot base;                    // of what hangs on one; n 0: none
  Id128 owner{};                       // totals: whose
  std::vector<RowVersionReport> live;  // more than one: siblings. The first is what is shown.
  std::vector<PortableDot> gone;       // known removed, and not yet seen
  bool unseen = false;                 // a live version is not in the clock yet
};

}  // namespace redynamo
