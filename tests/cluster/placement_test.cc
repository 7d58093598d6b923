// SPDX-License-Identifier: Apache-2.0
#include "cluster/placement.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

Id128 Id(uint8_t n) { return {n}; }

RingDocument Document(const View& view) {
  RingDocument document;
  for (uint8_t n = 0; n < 4; n++) document.members.emplace_back().id.bytes = Id(n);
  document.views = {view};
  return document;
}

TEST_CASE("placement: at rest the homes read and write") {
  Placement placement(Document({.epoch = 7, .homes = {2, 0, 1}}), Id(0), 2, 2);
  const Place& place = placement[0];
  CHECK(place.epoch == 7);
  CHECK(place.read == NodeQuorum{{Id(2), Id(0), Id(1)}, 2});
  CHECK(place.writers == place.read.members);
  CHECK(place.write_old == place.write_new);
  CHECK(place.self_reads);
  CHECK(place.self_writes);
  CHECK_FALSE(place.leaver);
  CHECK_FALSE(Placement(Document({.homes = {2, 1}}), Id(0), 2, 2)[0].self_writes);
}

TEST_CASE("placement: of fewer homes than wanted all are needed") {
  const Placement placement(Document({.homes = {2}}), Id(2), 2, 3);
  CHECK(placement[0].read.needed == 1);
  CHECK(placement[0].write_old.needed == 1);
}

TEST_CASE("placement: who comes writes from phase 1 on and reads from phase 2 on") {
  View view{.epoch = 1, .homes = {0, 1, 2}};
  for (Id128 self : {Id(2), Id(3)}) {
    bool comes = self == Id(3);
    View now = *BeginChange(view, 3, 2);
    Placement first(Document(now), self, 2, 2);
    CHECK(first[0].self_writes);
    CHECK(first[0].self_reads == !comes);
    CHECK(first[0].writers.size() == 4);
    CHECK(first[0].write_old.members != first[0].write_new.members);
    CHECK(first[0].leaver == Id(2));
    now = *NextPhase(now);
    Placement second(Document(now), self, 2, 2);
    CHECK(second[0].self_writes);
    CHECK(second[0].self_reads == comes);
    now = *NextPhase(now);
    Placement third(Document(now), self, 2, 2);
    CHECK(third[0].self_writes == comes);
    CHECK(third[0].leaver == Id(2));
    now = *NextPhase(now);
    CHECK_FALSE(Placement(Document(now), self, 2, 2)[0].leaver);
  }
}

}  // namespace
}  // namespace redynamo
