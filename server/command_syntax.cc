// SPDX-License-Identifier: Apache-2.0
#include "server/command_syntax.h"

#include <algorithm>

namespace redynamo {
namespace {

bool IsCapital(char c) { return c >= 'A' && c <= 'Z'; }
bool IsSmall(char c) { return c >= 'a' && c <= 'z'; }

bool IsWordByte(char c) {
  return IsCapital(c) || IsSmall(c) || (c >= '0' && c <= '9') ||
         std::string_view("_-:/").find(c) != std::string_view::npos;
}

// What a word means when it does not say so itself; "string" for all others.
struct WordType {
  std::string_view word, type;
};

constexpr WordType kWordTypes[] = {
    {"bit", "integer"},
    {"client-id", "integer"},
    {"count", "integer"},
    {"cursor", "integer"},
    {"db", "integer"},
    {"decrement", "integer"},
    {"destination-db", "integer"},
    {"destkey", "key"},
    {"end", "integer"},
    {"increment", "integer"},
    {"index", "integer"},
    {"index1", "integer"},
    {"index2", "integer"},
    {"key", "key"},
    {"key1", "key"},
    {"key2", "key"},
    {"len", "integer"},
    {"limit", "integer"},
    {"milliseconds", "integer"},
    {"newkey", "key"},
    {"numkeys", "integer"},
    {"numlocal", "integer"},
    {"numreplicas", "integer"},
    {"offset", "integer"},
    {"pattern", "pattern"},
    {"port", "integer"},
    {"protover", "integer"},
    {"seconds", "integer"},
    {"start", "integer"},
    {"timeout", "integer"},
    {"unix-time-milliseconds", "unix-time"},
    {"unix-time-seconds", "unix-time"},
    {"version", "integer"},
};

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = IsCapital(c) ? char(c | 0x20) : c;
  return lower;
}

// Recursive descent: one function for each rule of the grammar.
class SyntaxParser {
 public:
  explicit SyntaxParser(std::string_view text) : text_(text) {}

  bool ParseAll(std::vector<SyntaxNode>* nodes) {
    return Sequence(nodes) && (SkipBlanks(), at_ == text_.size());
  }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
  }
  char Peek() {
    SkipBlanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::string_view Word() {
    size_t begin = at_;
    while (at_ < text_.size() && IsWordByte(text_[at_])) at_++;
    return text_.substr(begin, at_ - begin);
  }

  bool Sequence(std::vector<SyntaxNode>* nodes) {
    while (Peek() == '[' || IsCapital(Peek()) || IsSmall(Peek())) {
      if (!Item(&nodes->emplace_back())) return false;
    }
    return true;
  }

  bool Item(SyntaxNode* node) {
    if (Peek() != '[') return Argument(node);
    at_++;
    bool inner = Argument(node);
    node->optional = true;
    return inner && Peek() == ']' && Take("]");
  }

  bool Argument(SyntaxNode* node) {
    if (IsCapital(Peek())) {
      std::string_view token = Word();
      node->token = token;
      if (!IsSmall(Peek())) {
        node->name = LowerCase(token);
        node->type = "pure-token";
        return true;
      }
    }
    return Value(node) && Repetition(node);
  }

  bool Value(SyntaxNode* node) {
    std::string_view word = Word();
    if (word.empty()) return false;
    if (Take("(")) {
      node->type = "oneof";
      node->name = word;
      return Choices(&node->children) && Take(")");
    }
    if (Take("{")) {
      node->type = "block";
      node->name = word;
      return Sequence(&node->children) && Peek() == '}' && Take("}");
    }
    size_t colon = word.rfind(':');
    node->name = word.substr(0, colon);
    if (colon != std::string_view::npos) {
      node->type = word.substr(colon + 1);
      return true;
    }
    auto known = std::ranges::find(kWordTypes, word, &WordType::word);
    node->type = known == std::end(kWordTypes) ? "string" : known->type;
    return true;
  }

  bool Choices(std::vector<SyntaxNode>* nodes) {
    do {
      if (Peek() == '\0' || !Item(&nodes->emplace_back())) return false;
    } while (Peek() == '|' && Take("|"));
    return true;
  }

  bool Repetition(SyntaxNode* node) {
    if (!Take("...")) return true;
    node->multiple = true;
    node->multiple_token = Take("!");
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

Reply NodeReply(const SyntaxNode& node, int key_specs, int* next_key) {
  Reply map = Reply::Map();
  map.AddView("name").AddBulk(node.name);
  map.AddView("type").AddBulk(node.type);
  if (node.children.empty()) map.AddView("display_text").AddBulk(node.name);
  if (node.type == "key" && key_specs > 0) {
    map.AddView("key_spec_index").AddInteger(std::min(*next_key, key_specs - 1));
    ++*next_key;
  }
  if (!node.token.empty()) map.AddView("token").AddBulk(node.token);
  if (node.optional || node.multiple) {
    Reply flags = Reply::Set();
    if (node.optional) flags.Add(Reply::StaticStatus("optional"));
    if (node.multiple) flags.Add(Reply::StaticStatus("multiple"));
    if (node.multiple_token) flags.Add(Reply::StaticStatus("multiple_token"));
    map.AddView("flags").Add(std::move(flags));
  }
  if (!node.children.empty()) {
    Reply children = Reply::Array();
    for (const SyntaxNode& child : node.children) {
      children.Add(NodeReply(child, key_specs, next_key));
    }
    map.AddView("arguments").Add(std::move(children));
  }
  return map;
}

}  // namespace

bool ParseSyntax(std::string_view text, std::vector<SyntaxNode>* nodes) {
  return SyntaxParser(text).ParseAll(nodes);
}

Reply SyntaxReply(const std::vector<SyntaxNode>& nodes, int key_specs) {
  Reply list = Reply::Array();
  int next_key = 0;
  for (const SyntaxNode& node : nodes) list.Add(NodeReply(node, key_specs, &next_key));
  return list;
}

}  // namespace redynamo
