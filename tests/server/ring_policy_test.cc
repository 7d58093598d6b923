// SPDX-License-Identifier: Apache-2.0
#include "server/ring_policy.h"

#include <doctest/doctest.h>

#include "tests/server/config_support.h"

namespace redynamo {
namespace {

using config_test::Set;
using Words = std::vector<std::string>;

std::string ErrorOf(const Words& words) {
  Result<RingPolicy> policy = ParseRingPolicy(words);
  return policy.ok() ? "" : policy.status().message();
}

TEST_CASE("ring policy: what is written is read, and printed as it was") {
  Words words = {"7", "cart:", "n", "3", "r", "2", "w", "3", "sloppy", "no"};
  Result<RingPolicy> policy = ParseRingPolicy(words);
  REQUIRE(policy.ok());
  CHECK(policy->database == 7);
  CHECK(policy->prefix == "cart:");
  CHECK(policy->quorum == RequestQuorum{3, 2, 3, RequestQuorum::kStrict});
  CHECK(RingPolicyWords(*policy) == words);
  CHECK(ParseRingPolicy(Words{"*", "", "R", "1"})->quorum == RequestQuorum{.r = 1});
}

TEST_CASE("ring policy: what makes no sense is refused with its reason") {
  CHECK(ErrorOf({"0", "a", "r"}).find("pairs") != std::string::npos);
  CHECK(ErrorOf({"0", "a"}).find("pairs") != std::string::npos);
  CHECK(ErrorOf({}).find("pairs") != std::string::npos);
  CHECK(ErrorOf({"x", "a", "r", "1"}).find("'x'") != std::string::npos);
  CHECK(ErrorOf({"-1", "a", "r", "1"}).find("'-1'") != std::string::npos);
  CHECK(ErrorOf({"0", "a", "q", "1"}).find("'q'") != std::string::npos);
  CHECK(ErrorOf({"0", "a", "r", "9"}).find("1 to 8") != std::string::npos);
  CHECK(ErrorOf({"0", "a", "r", "0"}).find("1 to 8") != std::string::npos);
  CHECK(ErrorOf({"0", "a", "sloppy", "maybe"}).find("maybe") != std::string::npos);
  CHECK(ErrorOf({"0", "a", "n", "2", "w", "3"}).find("at most n") != std::string::npos);
}

TEST_CASE("ring policy: the first row that fits speaks for a key") {
  std::vector<RingPolicy> policies = {
      {0, "a:b", {.r = 3}}, {-1, "a:", {.r = 1}}, {5, "", {.w = 1}}};
  CHECK(PolicyOf(policies, 0, "a:b1").r == 3);
  CHECK(PolicyOf(policies, 1, "a:b1").r == 1);
  CHECK(PolicyOf(policies, 0, "a:c").r == 1);
  CHECK(PolicyOf(policies, 5, "z").w == 1);
  CHECK(PolicyOf(policies, 0, "z").usual());
}

TEST_CASE("ring policy: the stricter of two rows has the larger numbers, as the ring has them") {
  RequestQuorum ring{3, 2, 2, RequestQuorum::kSloppy};
  RequestQuorum low{.n = 2, .r = 1, .w = 1};
  CHECK(StricterOf(low, low, ring) == low);
  CHECK(StricterOf(low, {}, ring) == RequestQuorum{3, 2, 2, RequestQuorum::kSloppy});
  CHECK(StricterOf(low, {.w = 3, .sloppiness = RequestQuorum::kStrict}, ring) ==
        RequestQuorum{3, 2, 3, RequestQuorum::kStrict});
}

TEST_CASE("ring policy: bits of a peer give a request that can be counted") {
  for (uint32_t bits = 0; bits < 1u << 16; bits++) {
    RequestQuorum quorum = RequestQuorum::Unpack(bits);
    CHECK_MESSAGE(std::max({quorum.n, quorum.r, quorum.w}) <= kReplicasMax, bits);
    CHECK_MESSAGE(quorum.sloppiness <= RequestQuorum::kStrict, bits);
    CHECK_MESSAGE(RequestQuorum::Unpack(quorum.Pack()) == quorum, bits);
  }
}

TEST_CASE("ring policy: lines of the file add up, CONFIG SET replaces all") {
  Settings settings;
  REQUIRE(
      settings.LoadText("ring-policy 0 a: r 1\nring-policy * \"b c\" w 3 sloppy no\n", "t").ok());
  CHECK(*settings.GetOne("ring-policy") == "0 a: r 1 ; * \"b c\" w 3 sloppy no");
  CHECK(Set(settings, {{"ring-policy", "* x: n 1 r 1 w 1"}}) == "OK");
  CHECK(settings.config().ring_policies.size() == 1);
  CHECK(Set(settings, {{"ring-policy", "0 a r 1 ; 1 b r 2"}}) == "OK");
  CHECK(settings.config().ring_policies.size() == 2);
  CHECK(Set(settings, {{"ring-policy", "0 a r 1 ; 1 b"}}) != "OK");
  CHECK(Set(settings, {{"ring-policy", ";"}}) != "OK");
  CHECK(settings.config().ring_policies.size() == 2);
  CHECK(Set(settings, {{"ring-policy", ""}}) == "OK");
  CHECK(settings.config().ring_policies.empty());
}

}  // namespace
}  // namespace redynamo
