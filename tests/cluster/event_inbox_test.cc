// SPDX-License-Identifier: Apache-2.0
#include "cluster/event_inbox.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

const Id128 kPeer = {1};
const Id128 kOther = {2};

TEST_CASE("event inbox: what is acknowledged is joined and safe, and so is all before it") {
  EventInbox inbox;
  uint64_t first = inbox.Received(kPeer, 5), second = inbox.Received(kPeer, 6);
  inbox.Joined(kPeer, second, 20);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 100));
  inbox.Joined(kPeer, first, 30);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 29));
  CHECK(inbox.Acknowledgeable(kPeer, 30) == 6);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 30));
  CHECK(inbox.waiting(kPeer) == 0);
}

TEST_CASE("event inbox: a refused record holds nothing back") {
  EventInbox inbox;
  uint64_t first = inbox.Received(kPeer, 1), second = inbox.Received(kPeer, 2);
  inbox.Joined(kPeer, second, 10);
  inbox.Refused(kPeer, first);
  CHECK(inbox.Acknowledgeable(kPeer, 10) == 2);
}

TEST_CASE("event inbox: a link that broke takes its records along") {
  EventInbox inbox;
  uint64_t old = inbox.Received(kPeer, 1);
  uint64_t others = inbox.Received(kOther, 1);
  inbox.LinkDown(kPeer);
  inbox.Received(kPeer, 9);
  inbox.Joined(kPeer, old, 10);
  CHECK_FALSE(inbox.Acknowledgeable(kPeer, 100));
  inbox.Joined(kOther, others, 10);
  CHECK(inbox.Acknowledgeable(kOther, 10) == 1);
}

}  // namespace
}  // namespace redynamo
