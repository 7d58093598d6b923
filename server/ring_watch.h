// SPDX-License-Identifier: Apache-2.0
// WATCH of keys that another node coordinates. This one keeps their versions; EXEC takes them along
// to the node that runs the transaction, which compares them with its own before anything runs:
//
//   WATCH k            node 1 ── WATCH k ──────────────> node 2, coordinates k     "8123"
//   MULTI, SET k v
//   EXEC               node 1 ── 1 0 k 8123, SET k v ──> node 3, if 2 has died: still 8123?
//
// A version is 64 bits of the dots that the key shows, 0 when there is no such key. Replicas that
// agree give the same one, so any of them may run the EXEC; each makes its copy as new as R of them
// first. Every write changes it. Only a key that was not there, came and went again is as it was:
// the transaction sees what it would have seen without that.
//
// Of a key with very many rows the version is one node's own (Engine::KeyVersion): it changes with
// other keys of its slot, too, and at another node it is another one. EXEC fails then, although
// nothing has changed, and the client begins anew.
//
// Data thread only.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/gather.h"
#include "server/session.h"

namespace redynamo {

bool IsWatch(const Command& command);

// The answer to a forwarded WATCH. REQUIRES: the keys are in memory, and as new as they have to be.
Reply VersionsReply(Engine& engine, int database, std::span<const std::string_view> keys);

// A plan for WATCH at the nodes that coordinate its keys; what they answer is watched from then on.
// `slots`: of the keys, in order.
GatherChoice PlanWatch(Server& server, const Session& session,
                       std::span<const std::string_view> argv, std::span<const uint16_t> slots);

bool WatchesElsewhere(const Session& session);
// Those keys, as their versions need them.
void AddWatchedElsewhere(const Session& session, std::vector<KeyRef>* keys);
// Whether one of them has changed. REQUIRES: as VersionsReply.
bool WatchedElsewhereChanged(Server& server, const Session& session);

// What the session watches, as it stands in front of a forwarded transaction: the number of keys,
// and for each its database, its name and its version, numbers in decimal.
std::vector<std::string> WatchedWords(const Session& session);
// Has the session watch these; gives the words behind them, or nothing when they are malformed.
std::optional<std::span<const std::string_view>> TakeWatchedWords(
    Server& server, Session& session, std::span<const std::string_view> words);

}  // namespace redynamo
