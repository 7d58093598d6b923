// SPDX-License-Identifier: Apache-2.0
// Policies: how many replicas the requests on some keys shall meet (cluster/request_quorum.h). Rows
// in order, the first that fits a key speaks for it:
//
//   ring-policy 0 session:  n 3 r 1 w 1              fast, a lost node may cost the newest ones
//   ring-policy * cart:     r 2 w 3 sloppy no        never without all three
//   ring-policy 7 ""        r 1                      all keys of database 7
//
// A command with several keys goes by the strictest of their rows. What a client has said with
// RING.QUORUM comes first. Pure functions of values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cluster/request_quorum.h"

namespace redynamo {

struct RingPolicy {
  int database = -1;   // -1: any
  std::string prefix;  // of keys
  RequestQuorum quorum;
  bool operator==(const RingPolicy&) const = default;
};

// `<database | *> <prefix> [n N] [r R] [w W] [sloppy yes|no]`; errors: the reason alone.
Result<RingPolicy> ParseRingPolicy(std::span<const std::string> words);
// Its words again.
std::vector<std::string> RingPolicyWords(const RingPolicy& policy);

// What one word of a policy, or of RING.QUORUM, and the value behind it say. Errors: the reason.
Status SetQuorumPart(std::string_view word, std::string_view value, RequestQuorum* quorum);
// Whether its numbers fit together; errors: the reason.
Status CheckQuorum(const RequestQuorum& quorum);

RequestQuorum PolicyOf(std::span<const RingPolicy> policies, int database, std::string_view key);

// As strict as either of two requests, on a ring with these numbers: the larger n, r and w, no
// stand-ins if one wants none.
RequestQuorum StricterOf(const RequestQuorum& a, const RequestQuorum& b, const RequestQuorum& ring);

}  // namespace redynamo
