// SPDX-License-Identifier: Apache-2.0
#include "cluster/ring_document.h"

#include <doctest/doctest.h>

#include "base/bytes.h"
#include "base/random.h"
#include "cluster/plan.h"

using namespace redynamo;

namespace {

Member MakeMember(uint8_t number) {
  Member member;
  member.id.bytes.fill(number);
  member.ring_address = {"10.0.0." + std::to_string(number), 17379};
  member.client_host = "redis" + std::to_string(number);
  member.client_port = 7379;
  member.cluster_port = 7380;
  member.host = "host" + std::to_string(number);
  member.zone = "zone" + std::to_string(number % 3);
  member.weight = 100 + number;
  member.capabilities = 0x8000000000000001;
  return member;
}

RingDocument MakeRing(int partitions, int members) {
  std::vector<Member> list;
  for (int i = 1; i <= members; i++) list.push_back(MakeMember(uint8_t(i)));
  Id128 cluster{};
  cluster.fill(0xc1);
  return *NewRing(cluster, 0x1234567890abcdef, partitions, 3, list);
}

// One view in each phase, one member in each state.
RingDocument Varied() {
  RingDocument document = MakeRing(8, 6);
  document.epoch = 77;
  document.members[3].state = MemberState::kJoining;
  document.members[4].state = MemberState::kLeaving;
  Member removed = MakeMember(9);
  removed.state = MemberState::kRemoved;
  removed.incarnation = 3;
  removed.host = removed.zone = removed.client_host = "";
  document.members.push_back(removed);
  document.views[1] = *BeginChange({5, {}, {0, 1, 2}}, 3, 1);
  document.views[2] = *NextPhase(*BeginChange({5, {}, {0, 1, 2}}, 3, kNoMember));
  document.views[3] = *NextPhase(*NextPhase(*BeginChange({5, {}, {0, 1, 4}}, 3, 4)));
  document.views[4] = *BeginChange({300, {}, {0, 1, 4}}, kNoMember, 4);
  return document;
}

std::string WithCrc(std::string body) {
  PutFixed32(&body, Crc32c(body));
  return body;
}

}  // namespace

TEST_CASE("ring_document: what was encoded is decoded") {
  for (const RingDocument& document : {Varied(), MakeRing(1, 1), MakeRing(kSlotCount, 9)}) {
    REQUIRE(ValidateRingDocument(document).ok());
    Result<RingDocument> again = DecodeRingDocument(EncodeRingDocument(document));
    REQUIRE(again.ok());
    CHECK(*again == document);
  }
}

TEST_CASE("ring_document: it is compact") {
  size_t members = EncodeRingDocument(MakeRing(1, 9)).size();
  CHECK(members < 9 * 85);
  CHECK(EncodeRingDocument(MakeRing(1024, 9)).size() - members < 1024 * 5 + 8);
  CHECK(EncodeRingDocument(MakeRing(kSlotCount, 9)).size() - members < kSlotCount * 5 + 8);
}

TEST_CASE("ring_document: cut anywhere or one bit flipped, it is refused") {
  std::string bytes = EncodeRingDocument(Varied());
  for (size_t size = 0; size < bytes.size(); size++) {
    CHECK_FALSE(DecodeRingDocument(std::string_view(bytes).substr(0, size)).ok());
  }
  for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
    std::string flipped = bytes;
    flipped[bit / 8] = char(flipped[bit / 8] ^ 1 << bit % 8);
    Result<RingDocument> document = DecodeRingDocument(flipped);
    REQUIRE_FALSE(document.ok());
    CHECK(document.status().code() == StatusCode::kCorruption);
  }
}

TEST_CASE("ring_document: cut or changed with a right checksum, it is refused or valid") {
  std::string body = EncodeRingDocument(Varied());
  body.resize(body.size() - 4);
  for (size_t size = 0; size < body.size(); size++) {
    CHECK_FALSE(DecodeRingDocument(WithCrc(body.substr(0, size))).ok());
  }
  CHECK_FALSE(DecodeRingDocument(WithCrc(body + '\0')).ok());
  int valid = 0;
  auto try_bytes = [&](const std::string& changed) {
    Result<RingDocument> document = DecodeRingDocument(WithCrc(changed));
    if (!document.ok()) return;
    valid++;
    REQUIRE(ValidateRingDocument(*document).ok());
    CHECK(*DecodeRingDocument(EncodeRingDocument(*document)) == *document);
  };
  for (size_t at = 0; at < body.size(); at++) {
    for (int value = 0; value < 256; value++) {
      std::string changed = body;
      changed[at] = char(value);
      try_bytes(changed);
    }
  }
  Random random(3);
  for (int round = 0; round < 20'000; round++) {
    std::string changed = body;
    for (int i = 0; i < 3; i++) changed[random.Below(body.size())] = char(random.Next());
    try_bytes(changed);
  }
  CHECK(valid > 1000);
}

TEST_CASE("ring_document: a newer version is told apart from damage") {
  std::string body = EncodeRingDocument(Varied());
  body.resize(body.size() - 4);
  body[4] = 2;
  Result<RingDocument> document = DecodeRingDocument(WithCrc(body));
  REQUIRE_FALSE(document.ok());
  CHECK(document.status().code() == StatusCode::kUnsupported);
}

TEST_CASE("ring_document: what is wrong with one is named") {
  auto fault = [](auto change) {
    RingDocument document = Varied();
    change(&document);
    return ValidateRingDocument(document).message();
  };
  auto names = [&](const std::string& word, auto change) {
    CAPTURE(word);
    CHECK(fault(change).find(word) != std::string::npos);
  };
  CHECK(fault([](RingDocument*) {}) == "");
  names("power of two", [](RingDocument* d) { d->views.resize(7); });
  names("replicas", [](RingDocument* d) { d->n = 0; });
  names("replicas", [](RingDocument* d) { d->n = kReplicasMax + 1; });
  names("members", [](RingDocument* d) { d->members.clear(); });
  names("weight 0", [](RingDocument* d) { d->members[1].weight = 0; });
  names("incarnation", [](RingDocument* d) { d->members[1].incarnation = 0; });
  names("ring address", [](RingDocument* d) { d->members[1].ring_address.port = 0; });
  names("ring address", [](RingDocument* d) { d->members[1].ring_address.host = "a b"; });
  names("client host", [](RingDocument* d) { d->members[1].client_host = "a,b"; });
  names("label", [](RingDocument* d) { d->members[1].zone = std::string(256, 'z'); });
  names("label", [](RingDocument* d) { d->members[1].host = "a\nb"; });
  names("twice", [](RingDocument* d) { d->members[1].id = d->members[6].id; });
  names("two members",
        [](RingDocument* d) { d->members[1].ring_address = d->members[0].ring_address; });
  names("partition 5", [](RingDocument* d) { d->views[5].homes = {1, 1}; });
  names("partition 5", [](RingDocument* d) { d->views[5].homes = {}; });
  names("no member", [](RingDocument* d) { d->views[5].homes = {1, 7}; });
  names("no member", [](RingDocument* d) { d->views[5].homes = {1, 6}; });  // was removed
  names("no member", [](RingDocument* d) { d->views[1].pending = 6; });
}

TEST_CASE("ring_document: members are found by id and address") {
  RingDocument document = Varied();
  CHECK(document.Find(document.members[2].id) == 2);
  CHECK(document.Find(document.members[2].id.digits()) == 2);
  CHECK(document.Find("10.0.0.3:17379") == 2);
  CHECK(document.Find("10.0.0.9:17379") == 6);  // removed
  CHECK_FALSE(document.Find("10.0.0.3:1"));
  CHECK_FALSE(document.Find("what"));
  document.members[6].ring_address = document.members[2].ring_address;
  CHECK(document.Find("10.0.0.3:17379") == 2);
}

TEST_CASE("ring_document: neighbouring slots share a partition") {
  for (int partitions = 1; partitions <= kSlotCount; partitions *= 2) {
    CHECK(RingPartitionOf(0, partitions) == 0);
    CHECK(RingPartitionOf(kSlotCount - 1, partitions) == partitions - 1);
    for (int p = 0; p < partitions; p += 1 + partitions / 7) {
      int first = FirstSlotOf(p, partitions);
      CHECK(RingPartitionOf(uint16_t(first), partitions) == p);
      if (p > 0) CHECK(RingPartitionOf(uint16_t(first - 1), partitions) == p - 1);
    }
  }
}
