// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "cluster/links.h"

namespace redynamo {

// Links that keep what is sent until the test delivers it.
class HeldLinks : public Links {
 public:
  struct Sent {
    Id128 to{};
    MessageKind kind{};
    std::string payload;
  };
  std::vector<Sent> sent;

  void SetSelf(const wire::Hello&) override {}
  void Connect(const std::string&) override {}
  void Forget(const std::string&) override {}
  SendResult Send(const Id128& peer, Message message) override {
    Sent& one = sent.emplace_back(Sent{peer, message.kind(), {}});
    message.EncodeTo(&one.payload);
    return SendResult::kQueued;
  }
  bool IsUp(const Id128&) const override { return true; }
  void Disconnect(const Id128&) override {}
  std::vector<LinkReport> Report() const override { return {}; }
  LinkStats Stats() const override { return {}; }

  int Count(MessageKind kind) const {
    int count = 0;
    for (const Sent& one : sent) count += one.kind == kind;
    return count;
  }
};

}  // namespace redynamo
