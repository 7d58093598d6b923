// SPDX-License-Identifier: Apache-2.0
#include "cluster/preference_list.h"

#include <doctest/doctest.h>

#include <set>

#include "base/random.h"
#include "cluster/plan.h"

using namespace redynamo;

namespace {

// Eight partitions; the members' hosts by name, "" for none.
RingDocument Ring(const std::vector<std::string>& hosts) {
  std::vector<Member> members;
  for (size_t i = 0; i < hosts.size(); i++) {
    Member member;
    member.id.bytes.fill(uint8_t(i + 1));
    member.ring_address = {"n" + std::to_string(i), 17379};
    member.host = hosts[i];
    members.push_back(member);
  }
  return *NewRing({}, 1, 8, 3, members);
}

void SetFirsts(RingDocument* document, const std::vector<HomeList>& homes) {
  for (size_t p = 0; p < homes.size(); p++) document->views[p].homes = homes[p];
}

using List = std::vector<MemberIndex>;

}  // namespace

TEST_CASE("preference_list: a slot's homes in order, and whoever has to be written to") {
  RingDocument document = Ring({"", "", "", ""});
  SetFirsts(&document, {{0, 1, 2}, {1, 2, 3}});
  PreferenceList list = PreferenceListOf(document, 2048);
  CHECK(list.partition == 1);
  CHECK(list.homes == HomeList{1, 2, 3});
  CHECK(list.targets == HomeList{1, 2, 3});

  View& view = document.views[1];
  view = *BeginChange(view, 0, 1);
  CHECK(PreferenceListOf(document, 2048).homes == HomeList{1, 2, 3});
  CHECK(PreferenceListOf(document, 2048).targets == HomeList{1, 2, 3, 0});
  view = *NextPhase(view);
  CHECK(PreferenceListOf(document, 4095).homes == HomeList{0, 2, 3});
  CHECK(PreferenceListOf(document, 4095).targets == HomeList{1, 2, 3, 0});
  view = *NextPhase(view);
  CHECK(PreferenceListOf(document, 4095).homes == HomeList{0, 2, 3});
  CHECK(PreferenceListOf(document, 4095).targets == HomeList{0, 2, 3});
}

TEST_CASE("preference_list: the first home that is not suspected coordinates") {
  CHECK(FirstHealthy({4, 5, 6}, {}) == 4);
  CHECK(FirstHealthy({4, 5, 6}, {0, 0, 0, 0, 1, 1}) == 6);
  CHECK_FALSE(FirstHealthy({0, 1}, {1, 1}));
}

TEST_CASE("preference_list: fallbacks follow clockwise over first owners") {
  RingDocument document = Ring({"", "", "", "", "", "", ""});
  SetFirsts(
      &document,
      {{0, 1, 2}, {3, 0, 1}, {0, 2, 3}, {4, 0, 1}, {5, 0, 1}, {1, 2, 3}, {2, 3, 4}, {5, 1, 0}});
  CHECK(FallbacksOf(document, 0, {}, 9) == List{3, 4, 5, 6});  // 6 is first nowhere
  CHECK(FallbacksOf(document, 0, {}, 2) == List{3, 4});
  CHECK(FallbacksOf(document, 0, {}, 0).empty());
  CHECK(FallbacksOf(document, 6, {}, 9) == List{5, 0, 1, 6});
  CHECK(FallbacksOf(document, 0, {1, 0, 0, 1}, 2) == List{4, 5});  // 0 and 3 are suspected
  document.members[4].state = MemberState::kLeaving;
  CHECK(FallbacksOf(document, 0, {}, 2) == List{3, 5});
  document.views[0] = *BeginChange(document.views[0], 5, 1);  // a pending home is no fallback
  CHECK(FallbacksOf(document, 0, {}, 9) == List{3, 6});
}

TEST_CASE("preference_list: fallbacks stand on hosts that hold no replica, while there are such") {
  RingDocument document = Ring({"a", "b", "c", "a", "d", "d", "e"});
  SetFirsts(
      &document,
      {{0, 1, 2}, {3, 1, 2}, {4, 1, 2}, {5, 1, 2}, {6, 1, 2}, {6, 1, 2}, {6, 1, 2}, {6, 1, 2}});
  CHECK(FallbacksOf(document, 0, {}, 1) == List{4});
  CHECK(FallbacksOf(document, 0, {}, 2) == List{4, 6});
  CHECK(FallbacksOf(document, 0, {}, 3) == List{4, 6, 3});
  CHECK(FallbacksOf(document, 0, {}, 4) == List{4, 6, 3, 5});
}

TEST_CASE("preference_list: on random rings fallbacks are distinct, healthy and no homes") {
  Random random(5);
  for (int round = 0; round < 2000; round++) {
    std::vector<std::string> hosts(1 + random.Below(12));
    for (std::string& host : hosts) {
      host = random.Below(3) ? "h" + std::to_string(random.Below(6)) : "";
    }
    RingDocument document = Ring(hosts);
    Suspects suspects(hosts.size());
    for (size_t m = 0; m < hosts.size(); m++) suspects[m] = random.Below(4) == 0;
    int partition = int(random.Below(8));
    const HomeList& homes = document.views[size_t(partition)].homes;
    size_t healthy = 0;
    for (MemberIndex m = 0; m < MemberIndex(hosts.size()); m++) {
      healthy += !homes.Contains(m) && !Suspected(suspects, m);
    }
    for (size_t count = 0; count <= hosts.size(); count++) {
      List list = FallbacksOf(document, partition, suspects, count);
      CHECK(list.size() == std::min(count, healthy));
      CHECK(std::set<MemberIndex>(list.begin(), list.end()).size() == list.size());
      for (MemberIndex m : list) CHECK_FALSE((homes.Contains(m) || suspects[m]));
    }
  }
}
