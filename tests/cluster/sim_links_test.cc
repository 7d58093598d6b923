// SPDX-License-Identifier: Apache-2.0
// The simulated links keep the contract of cluster/links.h, whatever a seed does to them.
#include "tests/support/sim_links.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using namespace redynamo;

namespace {

Id128 Id(size_t n) { return {uint8_t(n + 1)}; }

wire::Hello HelloOf(size_t n) {
  return {.cluster_id = Id(50), .node_id = Id(n), .partitions = 1024};
}

// Writes down what it hears, and checks that it may.
struct Ear : public LinkEvents {
  void OnPeerUp(const wire::Hello& hello) override {
    CHECK(!up.contains(hello.node_id));
    up[hello.node_id] = hello.process;
    last.erase(hello.node_id);
    history += "up " + ShortId(hello.node_id) + " " + std::to_string(hello.process) + "\n";
  }
  void OnPeerChanged(const wire::Hello& hello) override {
    CHECK(up[hello.node_id] == hello.process);
    history += "changed " + ShortId(hello.node_id) + "\n";
  }
  void OnPeerDown(const Id128& peer, LinkDown) override {
    CHECK(up.erase(peer) == 1);
    history += "down " + ShortId(peer) + "\n";
  }
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override {
    CHECK(up.contains(peer));
    CHECK(kind == MessageKind::kEvents);
    wire::Events events;
    Status status = wire::Events::Decode(payload, &events);
    in_order &= events.request_id > last[peer];
    last[peer] = events.request_id;
    history += ShortId(peer) + " " + std::to_string(events.request_id) + "\n";
    return status;
  }

  std::map<Id128, uint64_t> up, last;
  bool in_order = true;
  std::string history;
};

struct Outcome {
  std::string history;
  bool in_order = true;
  uint64_t sent = 0, delivered = 0, lost = 0;
};

// Three nodes send, are cut off, heal and start anew, as a seed says.
Outcome RunOf(SimLinksOptions options) {
  SimNetwork network(options);
  Random random(options.seed);
  std::array<Ear, 3> ears;
  std::array<Links*, 3> links;
  for (size_t i = 0; i < 3; ++i) links[i] = &network.Add(HelloOf(i), &ears[i]);
  Outcome outcome;
  uint64_t request_id = 0;
  for (int round = 0; round < 2000; ++round) {
    size_t a = random.Below(3), b = (a + 1 + random.Below(2)) % 3;
    switch (random.Below(100)) {
      case 0: network.Cut(Id(a), Id(b)); break;
      case 1: network.Heal(Id(a), Id(b)); break;
      case 2: links[a]->Disconnect(Id(b)); break;
      case 3: links[a]->SetSelf(HelloOf(a)); break;
      case 4:
        network.Remove(Id(a));
        ears[a].up.clear();
        links[a] = &network.Add(HelloOf(a), &ears[a]);
        break;
      default:
        bool up = ears[a].up.contains(Id(b));
        CHECK(links[a]->IsUp(Id(b)) == up);
        SendResult result = links[a]->Send(Id(b), wire::Events{.request_id = ++request_id});
        CHECK((result == SendResult::kNotConnected) == !up);
        outcome.sent += up;
    }
    for (uint64_t steps = random.Below(4); steps > 0; --steps) network.Step();
  }
  network.HealAll();
  CHECK(network.RunUntilQuiet());
  for (size_t i = 0; i < 3; ++i) {
    CHECK(ears[i].up.size() == 2);
    CHECK(links[i]->Report().size() == 2);
    outcome.history += ears[i].history;
    outcome.in_order &= ears[i].in_order;
  }
  outcome.delivered = network.delivered();
  outcome.lost = network.lost();
  return outcome;
}

}  // namespace

TEST_CASE("sim links: up, messages, down come in that order, whatever breaks") {
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Outcome outcome = RunOf({.seed = seed});
    CHECK(outcome.in_order);
    CHECK(outcome.delivered + outcome.lost >= outcome.sent);  // Hellos count, too
    CHECK(outcome.delivered > outcome.sent / 2);
    lost += outcome.lost;
  }
  CHECK(lost > 0);
}

TEST_CASE("sim links: one seed is one history") {
  SimLinksOptions options{.seed = 9, .overtakes_percent = 10, .drops_percent = 5};
  Outcome first = RunOf(options), second = RunOf(options);
  CHECK(first.history == second.history);
  options.seed = 10;
  CHECK(RunOf(options).history != first.history);
}

TEST_CASE("sim links: messages overtake each other and find queues full when told to") {
  CHECK(!RunOf({.seed = 3, .overtakes_percent = 20}).in_order);
  CHECK(RunOf({.seed = 3, .drops_percent = 50}).lost > 200);
}
