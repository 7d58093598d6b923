// SPDX-License-Identifier: Apache-2.0
// The answer of every `X HELP`: its lines as status replies.
#pragma once

#include <initializer_list>
#include <string_view>

#include "protocol/reply.h"

namespace redynamo {

// `lines` must have static storage. HELP's own lines are added.
inline Reply HelpReply(std::initializer_list<std::string_view> lines) {
  Reply reply = Reply::Array();
  for (std::string_view line : lines) reply.Add(Reply::StaticStatus(line));
  reply.Add(Reply::StaticStatus("HELP"));
  reply.Add(Reply::StaticStatus("    This text."));
  return reply;
}

}  // namespace redynamo
