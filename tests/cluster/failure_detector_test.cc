// SPDX-License-Identifier: Apache-2.0
#include "cluster/failure_detector.h"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>

namespace redynamo {
namespace {

using wire::MemberState;

constexpr int64_t kTickMs = 50;

Id128 Name(int n) { return Id128{uint8_t(n + 1)}; }

// Nodes whose messages take a tick, are lost by a percentage, and go only over ways that are not
// cut. What a node reaches is what its link would say: both directions are open, and it is awake.
class World {
 public:
  World(int nodes, uint64_t seed, uint64_t loss_percent = 0)
      : random_(seed), loss_percent_(loss_percent) {
    for (int i = 0; i < nodes; i++) nodes_.push_back(std::make_unique<One>());
    for (int i = 0; i < nodes; i++) Start(i, 1000);
  }
  void Start(int i, uint64_t incarnation) {
    std::vector<Id128> others;
    for (int j = 0; j < int(nodes_.size()); j++) {
      if (j != i) others.push_back(Name(j));
    }
    FailureDetector::Surroundings around;
    around.reaches = [this, i](const Id128& id) { return Reaches(i, id[0] - 1); };
    around.speaks = [this](const Id128& id) { return nodes_[size_t(id[0] - 1)]->speaks; };
    around.send = [this, i](const Id128& to, Message message) {
      Sent sent{i, to[0] - 1, message.kind(), {}};
      message.EncodeTo(&sent.payload);
      under_way_.push_back(std::move(sent));
    };
    around.changed = [this, i](const Id128& id, const FailureDetector::Opinion& opinion) {
      if (opinion.state == MemberState::kDown) nodes_[size_t(i)]->said_down.insert(id);
    };
    around.ring_epoch = [] { return uint64_t(1); };
    One& one = *nodes_[size_t(i)];
    one.up = true;
    one.detector =
        std::make_unique<FailureDetector>(Name(i), incarnation, random_.Next(), std::move(around));
    one.detector->SetMembers(others);
  }
  void Kill(int i) { nodes_[size_t(i)]->up = false; }
  void CutWay(int from, int to) { cuts_.insert({from, to}); }
  void Cut(int a, int b) {
    CutWay(a, b);
    CutWay(b, a);
  }
  void Isolate(int i) {
    for (int j = 0; j < int(nodes_.size()); j++) Cut(i, j);
  }
  void HealAll() { cuts_.clear(); }
  void SetSpeaks(int i, bool speaks) { nodes_[size_t(i)]->speaks = speaks; }

  void Pass(int64_t ms) {
    for (; ms > 0; ms -= kTickMs) {
      now_ms_ += kTickMs;
      for (auto& one : nodes_) {
        if (one->up && one->speaks) one->detector->Tick(now_ms_);
      }
      std::deque<Sent> arriving;
      arriving.swap(under_way_);
      for (const Sent& sent : arriving) Deliver(sent);
    }
  }
  // When it holds; -1: not in time.
  int64_t PassUntil(const std::function<bool()>& done, int64_t ms_max = 60'000) {
    int64_t begun = now_ms_;
    while (!done() && now_ms_ - begun < ms_max) Pass(kTickMs);
    return done() ? now_ms_ - begun : -1;
  }
  MemberState State(int by, int of) const {
    return nodes_[size_t(by)]->detector->OpinionOf(Name(of)).state;
  }
  bool AllThink(int of, MemberState state) const {
    for (int i = 0; i < int(nodes_.size()); i++) {
      if (i != of && nodes_[size_t(i)]->up && State(i, of) != state) return false;
    }
    return true;
  }
  FailureDetector& detector(int i) { return *nodes_[size_t(i)]->detector; }
  bool AnySaidDown() const {
    for (auto& one : nodes_) {
      if (!one->said_down.empty()) return true;
    }
    return false;
  }

 private:
  struct One {
    bool up = true, speaks = true;
    std::unique_ptr<FailureDetector> detector;
    std::set<Id128> said_down;
  };
  struct Sent {
    int from, to;
    MessageKind kind;
    std::string payload;
  };
  bool Reaches(int from, int to) const {
    return nodes_[size_t(to)]->up && !cuts_.contains({from, to}) && !cuts_.contains({to, from});
  }
  void Deliver(const Sent& sent) {
    if (!nodes_[size_t(sent.to)]->up || cuts_.contains({sent.from, sent.to})) return;
    if (random_.Below(100) < loss_percent_) return;
    CHECK(nodes_[size_t(sent.to)]->speaks);
    FailureDetector& detector = *nodes_[size_t(sent.to)]->detector;
    Status status = VisitMessage(sent.kind, sent.payload, [&](const auto& message) {
      if constexpr (requires { detector.On(Name(0), message); }) {
        return detector.On(Name(sent.from), message);
      } else {
        return InvalidArgument("no message of the detector");
      }
    });
    CHECK(status.ok());
  }

  Random random_;
  uint64_t loss_percent_;
  int64_t now_ms_ = 10'000;
  std::vector<std::unique_ptr<One>> nodes_;
  std::set<std::pair<int, int>> cuts_;
  std::deque<Sent> under_way_;
};

TEST_CASE("failure detector: a node that dies is suspect at once, and down within the timeout") {
  for (int nodes : {2, 3, 5, 20}) {
    CAPTURE(nodes);
    World world(nodes, uint64_t(nodes));
    world.Pass(3000);
    world.Kill(1);
    int64_t suspected = world.PassUntil([&] { return world.State(0, 1) == MemberState::kSuspect; });
    CHECK(suspected >= 0);
    CHECK(suspected <= 1500);
    int64_t down = world.PassUntil([&] { return world.AllThink(1, MemberState::kDown); });
    CHECK(down >= 900);     // there was time to refute it
    CHECK(down <= 12'000);  // 4 log10(21) s and the way of the last gossip
    world.Start(1, 5000);
    CHECK(world.PassUntil([&] { return world.AllThink(1, MemberState::kAlive); }) <= 3000);
  }
}

TEST_CASE("failure detector: one lost link is nobody's death") {
  World world(5, 1);
  world.Pass(1000);
  SUBCASE("in both directions") { world.Cut(0, 1); }
  SUBCASE("in one direction") { world.CutWay(1, 0); }
  world.Pass(60'000);
  CHECK_FALSE(world.AnySaidDown());
  CHECK(world.AllThink(1, MemberState::kAlive));
  CHECK(world.AllThink(0, MemberState::kAlive));
  CHECK(world.detector(0).OpinionOf(Name(1)).only_others);
  CHECK_FALSE(world.detector(2).OpinionOf(Name(1)).only_others);
  world.HealAll();
  world.Pass(200);
  CHECK_FALSE(world.detector(0).OpinionOf(Name(1)).only_others);
}

TEST_CASE("failure detector: who is cut off from all says nothing of them") {
  World world(5, 2);
  world.Pass(1000);
  world.Isolate(0);
  world.Pass(60'000);
  for (int i = 1; i < 5; i++) {
    CHECK(world.State(0, i) == MemberState::kAlive);  // it has nobody to ask
    CHECK(world.State(i, 0) == MemberState::kDown);
  }
  world.HealAll();
  CHECK(world.PassUntil([&] { return world.AllThink(0, MemberState::kAlive); }) >= 0);
}

TEST_CASE("failure detector: a suspicion is refuted by who is suspected") {
  World world(5, 3);
  world.Pass(1000);
  uint64_t before = world.detector(1).incarnation();
  wire::Gossip lie{.ring_epoch = 1, .members = {{Name(1), before, MemberState::kSuspect, Name(2)}}};
  CHECK(world.detector(0).On(Name(2), lie).ok());
  CHECK(world.State(0, 1) == MemberState::kSuspect);
  CHECK(world.PassUntil([&] { return world.State(0, 1) == MemberState::kAlive; }) <= 1000);
  CHECK(world.detector(1).incarnation() == before + 1);
  world.Pass(30'000);
  CHECK_FALSE(world.AnySaidDown());
  // What is older than the refutation means nothing any more; nor does an impossible incarnation.
  CHECK(world.detector(0).On(Name(2), lie).ok());
  CHECK(world.State(0, 1) == MemberState::kAlive);
  wire::Gossip most{.ring_epoch = 1,
                    .members = {{Name(1), kIncarnationMax, MemberState::kDown, {}}}};
  CHECK(world.detector(1).On(Name(2), most).ok());
  CHECK(world.detector(1).incarnation() == kIncarnationMax);
  world.Pass(1000);
}

TEST_CASE("failure detector: a pause that is shorter than the timeout is forgiven") {
  World world(5, 4);
  world.Pass(1000);
  world.Kill(3);  // its process is stopped, say
  CHECK(world.PassUntil([&] { return world.State(0, 3) == MemberState::kSuspect; }) >= 0);
  world.Start(3, 1000);  // the same incarnation as before: it is the same life
  CHECK(world.PassUntil([&] { return world.AllThink(3, MemberState::kAlive); }) >= 0);
  CHECK_FALSE(world.AnySaidDown());
}

TEST_CASE("failure detector: twenty nodes that lose a fifth of their messages accuse nobody") {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    CAPTURE(seed);
    World world(20, seed, 20);
    world.Pass(60'000);
    CHECK_FALSE(world.AnySaidDown());
    world.Kill(7);
    CHECK(world.PassUntil([&] { return world.AllThink(7, MemberState::kDown); }) >= 0);
    for (int i = 0; i < 20; i++) {
      if (i != 7) CHECK(world.AllThink(i, MemberState::kAlive));
    }
  }
}

TEST_CASE("failure detector: further accusers shorten the suspicion") {
  World alone(3, 5), together(3, 5);
  alone.SetSpeaks(1, false);  // an older version: it is neither asked nor told
  alone.Kill(2);
  alone.Pass(60'000);
  CHECK(alone.State(0, 2) == MemberState::kAlive);  // nobody could be asked
  together.Kill(2);
  int64_t down = together.PassUntil([&] { return together.AllThink(2, MemberState::kDown); });
  CHECK(down >= 2000);
  CHECK(down <= 4000);
}

TEST_CASE("failure detector: members come and go") {
  World world(4, 6);
  world.Pass(1000);
  world.Kill(3);
  world.Pass(20'000);
  CHECK(world.AllThink(3, MemberState::kDown));
  world.detector(0).SetMembers({Name(1), Name(2)});
  CHECK(world.detector(0).OpinionOf(Name(3)).state == MemberState::kAlive);  // none of its business
  wire::Gossip said{.ring_epoch = 1, .members = {{Name(3), 9000, MemberState::kDown, {}}}};
  CHECK(world.detector(0).On(Name(1), said).ok());
  CHECK(world.detector(0).OpinionOf(Name(3)).state == MemberState::kAlive);
}

}  // namespace
}  // namespace redynamo
