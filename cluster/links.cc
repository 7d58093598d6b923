// SPDX-License-Identifier: Apache-2.0
#include "cluster/links.h"

namespace redynamo {

std::string_view LinkDownText(LinkDown reason) {
  switch (reason) {
    case LinkDown::kClosed: return "the connection has ended";
    case LinkDown::kSilent: return "nothing was heard for too long";
    case LinkDown::kRestarted: return "the node has started anew";
    case LinkDown::kRefused: return "the node does not belong here";
    case LinkDown::kBadBytes: return "it sent what cannot be understood";
    case LinkDown::kNotReading: return "it does not read what is sent to it";
    case LinkDown::kDisconnected: return "this node has closed it";
  }
  return "?";
}

}  // namespace redynamo
