// SPDX-License-Identifier: Apache-2.0
// Commands of many keys that may be split by key, since each key's part means the same alone: MGET,
// MSET, DEL, UNLINK, EXISTS, TOUCH. On a ring each part runs at the coordinator of its keys.
#pragma once

#include <span>
#include <string_view>

#include "server/command_table.h"
#include "server/gather.h"

namespace redynamo {

// A plan for the command, unless one node coordinates all of its keys, or it cannot be split, or it
// only reads and this node is a home of all keys. `slots`: of its keys, in order. REQUIRES: the
// arguments fit the command's arity.
GatherChoice PlanScatter(Node& node, const Command& command, std::span<const std::string_view> argv,
                         std::span<const uint16_t> slots, const RequestQuorum& quorum);

// Whether this node is a home of all of these.
bool IsHomeOf(const Node& node, std::span<const uint16_t> slots);
// A node that can be reached and is a home of all of these, when this one is none: for a command
// that one node must do alone.
std::optional<Id128> CommonHome(const Node& node, std::span<const uint16_t> slots);

}  // namespace redynamo
