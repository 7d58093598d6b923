// SPDX-License-Identifier: Apache-2.0
#include "server/ring_policy.h"

#include <algorithm>
#include <utility>

#include "base/number.h"
#include "server/config_words.h"

namespace redynamo {
namespace {

// "1" to "8".
bool ParseCount(std::string_view word, uint8_t* count) {
  int64_t number = 0;
  if (!ParseInt64(word, &number) || number < 1 || number > kReplicasMax) return false;
  *count = uint8_t(number);
  return true;
}

uint8_t* CountNamed(std::string_view word, RequestQuorum* quorum) {
  if (EqualsIgnoringCase(word, "n")) return &quorum->n;
  if (EqualsIgnoringCase(word, "r")) return &quorum->r;
  if (EqualsIgnoringCase(word, "w")) return &quorum->w;
  return nullptr;
}

}  // namespace

Status SetQuorumPart(std::string_view word, std::string_view value, RequestQuorum* quorum) {
  if (EqualsIgnoringCase(word, "sloppy")) {
    bool yes = EqualsIgnoringCase(value, "yes");
    if (!yes && !EqualsIgnoringCase(value, "no")) {
      return InvalidArgument("sloppy is yes or no, not '" + std::string(value) + "'");
    }
    quorum->sloppiness = yes ? RequestQuorum::kSloppy : RequestQuorum::kStrict;
    return Status::Ok();
  }
  uint8_t* count = CountNamed(word, quorum);
  if (!count) {
    return InvalidArgument("'" + std::string(word) + "' is none of n, r, w, sloppy");
  }
  if (ParseCount(value, count)) return Status::Ok();
  return InvalidArgument("'" + std::string(value) + "' is no number of replicas from 1 to " +
                         FormatInt64(kReplicasMax));
}

Status CheckQuorum(const RequestQuorum& quorum) {
  if (quorum.n > 0 && std::max(quorum.r, quorum.w) > quorum.n) {
    return InvalidArgument("r and w can be at most n: only so many replicas are counted");
  }
  return Status::Ok();
}

Result<RingPolicy> ParseRingPolicy(std::span<const std::string> words) {
  if (words.size() < 4 || words.size() % 2 != 0) {
    return InvalidArgument(
        "a database, a prefix, and pairs of a word and a value are needed, each a word of its own: "
        "ring-policy 0 session: r 1 w 1");
  }
  RingPolicy policy;
  if (words[0] != "*") {
    int64_t number = 0;
    if (!ParseInt64(words[0], &number) || number < 0 || number > INT32_MAX) {
      return InvalidArgument("'" + words[0] + "' is neither the number of a database nor *");
    }
    policy.database = int(number);
  }
  policy.prefix = words[1];
  for (size_t i = 2; i < words.size(); i += 2) {
    Status status = SetQuorumPart(words[i], words[i + 1], &policy.quorum);
    if (!status.ok()) return status;
  }
  if (Status status = CheckQuorum(policy.quorum); !status.ok()) return status;
  return policy;
}

std::vector<std::string> RingPolicyWords(const RingPolicy& policy) {
  const RequestQuorum& quorum = policy.quorum;
  std::vector<std::string> words = {policy.database < 0 ? "*" : FormatInt64(policy.database),
                                    policy.prefix};
  auto add = [&](std::string_view word, uint8_t count) {
    if (count > 0) words.insert(words.end(), {std::string(word), FormatInt64(count)});
  };
  add("n", quorum.n);
  add("r", quorum.r);
  add("w", quorum.w);
  if (quorum.sloppiness != RequestQuorum::kAsRing) {
    bool sloppy = quorum.sloppiness == RequestQuorum::kSloppy;
    words.insert(words.end(), {"sloppy", sloppy ? "yes" : "no"});
  }
  return words;
}

RequestQuorum PolicyOf(std::span<const RingPolicy> policies, int database, std::string_view key) {
  for (const RingPolicy& policy : policies) {
    if (policy.database >= 0 && policy.database != database) continue;
    if (key.starts_with(policy.prefix)) return policy.quorum;
  }
  return {};
}

RequestQuorum StricterOf(const RequestQuorum& a, const RequestQuorum& b,
                         const RequestQuorum& ring) {
  if (a == b) return a;
  RequestQuorum one = a.Or(ring), other = b.Or(ring);
  bool strict =
      one.sloppiness == RequestQuorum::kStrict || other.sloppiness == RequestQuorum::kStrict;
  return {std::max(one.n, other.n), std::max(one.r, other.r), std::max(one.w, other.w),
          strict ? RequestQuorum::kStrict : RequestQuorum::kSloppy};
}

}  // namespace redynamo
