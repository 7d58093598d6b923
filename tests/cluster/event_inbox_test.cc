// SPDX-License-Identifier: Apache-2.0
#include "cluster/event_inbox.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

const Id128 kPeer = {1};
const Id128 kOther = {2};

uint64_t Place(uint64_t generation, uint64_t count) { return generation << kPlaceBits | count; }

TEST_CASE("event inbox: what is acknowledged is joined and safe, and so is all before it") {
  EventInbox inbox;
  inbox.Received(kPeer, Place(5, 1));
  inbox.Received(kPeer, Place(5, 2));
  inbox.Joined(kPeer, Place(5, 2), 20);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 100));
  inbox.Joined(kPeer, Place(5, 1), 30);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 29));
  CHECK(inbox.Acknowledgeable(kPeer, 30) == Place(5, 2));
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 30));
  CHECK(inbox.waiting(kPeer) == 0);
}

TEST_CASE("event inbox: a record does not vouch for those that it has overtaken") {
  EventInbox inbox;
  for (uint64_t count : {2, 3}) {
    inbox.Received(kPeer, Place(1, count));
    inbox.Joined(kPeer, Place(1, count), 10);
  }
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 10));
  inbox.Received(kPeer, Place(1, 1));
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 10));
  inbox.Joined(kPeer, Place(1, 1), 10);
  CHECK(inbox.Acknowledgeable(kPeer, 10) == Place(1, 3));
}

TEST_CASE("event inbox: a refused record holds nothing back") {
  EventInbox inbox;
  inbox.Received(kPeer, Place(1, 1));
  inbox.Received(kPeer, Place(1, 2));
  inbox.Joined(kPeer, Place(1, 2), 10);
  inbox.Refused(kPeer, Place(1, 1));
  CHECK(inbox.Acknowledgeable(kPeer, 10) == Place(1, 2));
}

TEST_CASE("event inbox: a link that broke takes its records along") {
  EventInbox inbox;
  inbox.Received(kPeer, Place(1, 1));
  inbox.Received(kOther, Place(1, 1));
  inbox.LinkDown(kPeer);
  inbox.Received(kPeer, Place(2, 1));
  inbox.Joined(kPeer, Place(1, 1), 10);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 100));
  inbox.Joined(kOther, Place(1, 1), 10);
  CHECK(inbox.Acknowledgeable(kOther, 10) == Place(1, 1));
}

TEST_CASE(
    "event inbox: late records of an older link are not acknowledged, and hold nothing back") {
  EventInbox inbox;
  inbox.Received(kPeer, Place(7, 1));
  inbox.Received(kPeer, Place(8, 1));
  inbox.Received(kPeer, Place(7, 2));
  inbox.Joined(kPeer, Place(7, 1), 10);
  inbox.Joined(kPeer, Place(7, 2), 10);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 10));
  inbox.Joined(kPeer, Place(8, 1), 10);
  CHECK(inbox.Acknowledgeable(kPeer, 10) == Place(8, 1));
}

}  // namespace
}  // namespace redynamo
