// SPDX-License-Identifier: Apache-2.0
// Events as they travel: what delta.h says of local actor indexes, said of 128-bit ids. A record of
// another node is kept in the log as it came.
//
//   record := 0x01 hlc:8 count event*
//   event  := partition n own actors (id:16)* length tokens crc:4
//
// Numbers are varints unless a width is given. `actors` are all that the event names, in ascending
// order, `own` is the place of the event's own one, and tokens are those of delta.h with places for
// local indexes. An event's crc is of hlc and of the event's bytes before it: the same at every
// node that says this event, so that two contents for one dot are found out (REPLICATION.md, I1).
//
//   SET k v, replacing (aa.., 7)      01 <hlc> 01 | 05 08 01 02 <aa..> <bb..> 0c
//   by (bb.., 8) in partition 5                     ff 05 01 08 00  31 "k" 01 00 07 "v"  <crc>
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/delta.h"
#include "storage/replica_clock.h"

namespace redynamo {

// An event with its effects in order, each with its namespace. Views are of the bytes it came from.
struct EventEffects {
  uint16_t partition = 0;
  Dot dot = 0;
  uint32_t crc = 0;
  std::vector<std::pair<uint16_t, Effect>> effects;
};

// The events of an events record (delta.h), in local indexes; exchanges of databases are left out.
Status CollectEvents(std::string_view record, uint64_t* hlc, std::vector<EventEffects>* events);

void BeginPortable(uint64_t hlc, size_t events, std::string* out);
// Gives the event's crc. `actors`: by local index; all that the event names are among them.
uint32_t PutPortable(uint64_t hlc, const EventEffects& event, const std::vector<Id128>& actors,
                     std::string* out);

// Of a record or a batch: dots whose actors are places in a list of their own.
struct PortableEvent {
  EventEffects event;
  std::vector<Id128> actors;  // by place
};
// Reads and validates a whole record: grammar, checksums, that keys lie in the event's partition
// and namespaces below `namespaces`. kCorruption, or kInvalidArgument for an unknown namespace.
Status ReadPortable(std::string_view bytes, size_t namespaces, uint64_t* hlc,
                    std::vector<PortableEvent>* events);

// Replaces each actor a by to[a]. REQUIRES: `to` has a place for every actor that occurs.
Dot MapDot(Dot dot, const std::vector<uint16_t>& to);
PartitionClock MapClock(const PartitionClock& clock, const std::vector<uint16_t>& to);
void MapEvent(const std::vector<uint16_t>& to, EventEffects* event);
// Reads `count` and so many ids. False on malformed bytes.
bool ReadActors(ByteReader* in, std::vector<Id128>* actors);
bool ClockWithin(const PartitionClock& clock, size_t actors);

}  // namespace redynamo
