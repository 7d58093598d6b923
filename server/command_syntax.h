// SPDX-License-Identifier: Apache-2.0
// The arguments of a command, written as one reads them in a manual, and the tree that COMMAND DOCS
// answers (redis-cli draws its hints from it).
//
//   key value [condition(NX | XX)] [EX seconds] field_value{field value}...
//
//   word         an argument; its type follows from the word ("key", "seconds"), or word:type
//   NX           a word in capitals alone is itself what one types
//   EX seconds   in capitals before an argument: the token that introduces it
//   [x]          may be left out
//   x...         may be repeated; x...! with its token each time
//   name(x | y)  one of these
//   name{x y}    these together
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/reply.h"

namespace redynamo {

struct SyntaxNode {
  std::string name;
  std::string type;  // "key", "string", "integer", "oneof", "block", "pure-token", ...
  std::string token;
  bool optional = false, multiple = false, multiple_token = false;
  std::vector<SyntaxNode> children;  // of "oneof" and "block"
};

// False when `text` does not follow the grammar above: a bug of ours, which a unit test finds.
bool ParseSyntax(std::string_view text, std::vector<SyntaxNode>* nodes);

// COMMAND DOCS' "arguments". `key_specs`: how many key specifications the command has; keys are
// numbered by them in order, further ones with the last.
Reply SyntaxReply(const std::vector<SyntaxNode>& nodes, int key_specs);

}  // namespace redynamo
