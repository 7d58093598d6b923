// SPDX-License-Identifier: Apache-2.0
// RING.WHY: what each replica holds of a key, side by side, as it is: nothing is repaired first.
//
//   RING.WHY k  ->  [ {node, address, is: "home", rows: [...], last-repair: nil},
//                     {node, address, is: "home", error: "it did not answer in time"}, ... ]
//
// The coordinators' order; then this node, if it is none of them and holds something. Data thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/command.h"
#include "server/gather.h"
#include "storage/engine.h"

namespace redynamo {

// "1f2e3d4c:17": the actor's first digits and the number.
std::string DotText(const PortableDot& dot);

Reply RingWhy(CommandContext& context, ArgReader& args);
// A plan for the command, when other nodes hold replicas of its key. `version`: of the client.
GatherChoice PlanWhy(const Node& node, std::span<const std::string_view> argv, RespVersion version);

}  // namespace redynamo
