// SPDX-License-Identifier: Apache-2.0
// Reads a command's arguments in order and latches the first error, so that a handler reads them
// all, checks once and acts:
//
//   std::string_view key = args.Next();
//   int64_t seconds = args.Int64();
//   if (!args.ok()) return args.error();
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/reply.h"

namespace redynamo {

class ArgReader {
 public:
  // `args` without the command's (and subcommand's) name. Arity has been checked.
  explicit ArgReader(std::span<const std::string_view> args) : args_(args) {}

  size_t remaining() const { return args_.size() - at_; }
  bool done() const { return at_ == args_.size(); }
  std::string_view peek() const { return done() ? std::string_view() : args_[at_]; }
  std::span<const std::string_view> rest() const { return args_.subspan(at_); }

  std::string_view Next();  // latches a syntax error at the end
  // Integers by Redis' rules; else latches `error`, a full text with static storage.
  int64_t Int64(std::string_view error = "ERR value is not an integer or out of range");
  int64_t Int64In(int64_t low, int64_t high, std::string_view error);
  double Double(std::string_view error = "ERR value is not a valid float");
  bool TryWord(std::string_view word);  // consumes it when it is next, in any case

  bool ok() const { return error_.empty(); }
  Reply error() const { return Reply::Error(error_); }
  void Fail(std::string_view error) {  // static text; the first one stays
    if (error_.empty()) error_ = error;
  }
  void FailSyntax() { Fail("ERR syntax error"); }

 private:
  std::span<const std::string_view> args_;
  size_t at_ = 0;
  std::string_view error_;
};

bool EqualsIgnoreCase(std::string_view a, std::string_view b);

}  // namespace redynamo
