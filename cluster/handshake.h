// SPDX-License-Identifier: Apache-2.0
// What a Hello is worth: pure decisions, the same on both sides of a link.
//
// Two nodes that know each other's address dial at the same time, and get two connections. Both
// keep the one that the node with the smaller id dialled, without another word:
//
//   node 1 ──(a)──> node 2      1 and 2 both see a and b, and both keep a: 1 < 2
//   node 1 <──(b)── node 2
#pragma once

#include <string>

#include "cluster/message.h"

namespace redynamo {

enum class HelloVerdict {
  kWelcome,
  kSelf,     // the process has reached itself
  kRefused,  // `reason` says why, for one log line
};
struct HelloCheck {
  HelloVerdict verdict = HelloVerdict::kWelcome;
  std::string reason;
};

// Whether a node that says `self` may have a link with one that says `theirs`. Refused are another
// ring's nodes, versions without overlap, another number of partitions, and a second process under
// the same node id, which is a copied data directory. A node without a ring is welcome anywhere:
// that is how it comes to one.
HelloCheck CheckHello(const wire::Hello& self, const wire::Hello& theirs);

// Of two connections between the same two processes: whether the one that `dialler` dialled is to
// be kept rather than the one that `other` dialled.
inline bool KeepsDialOf(const Id128& dialler, const Id128& other) { return dialler < other; }

// The first eight hex digits: enough to tell nodes apart in a log.
std::string ShortId(const Id128& id);

}  // namespace redynamo
