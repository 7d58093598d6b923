// SPDX-License-Identifier: Apache-2.0
// Histories of tests/model, joined here: after every join the rows must be the model's. So the
// algorithm that the model has found right is the one that runs.
#include <doctest/doctest.h>
#include <stdio.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/sabotage.h"
#include "tests/support/join_nodes.h"

using namespace redynamo;

namespace {

constexpr int kRuns = 150, kSteps = 100;
constexpr int kActors = 4;  // of the model: A, B, C, and F, who keeps things for others
constexpr uint64_t kHlc = uint64_t(kJoinNowMs) << 16;
constexpr int64_t kFarOffMs = kJoinNowMs + 1'000'000'000;  // deadlines pass by events alone

int NodeOf(const std::string& name) { return name == "F" ? 3 : name[0] - 'A'; }

// "2:17", or "-" for none.
Dot DotOf(const std::string& text) {
  if (text == "-") return 0;
  size_t colon = text.find(':');
  return MakeDot(uint16_t(std::stoi(text) - 1), std::stoull(text.substr(colon + 1)));
}
std::string DotText(Dot dot) {
  if (dot == 0) return "-";
  return std::to_string(DotActor(dot) + 1) + ":" + std::to_string(DotCounter(dot));
}

// Keys of a run that share a partition with no other run's.
std::string TagOf(int run) {
  for (int i = 0;; i++) {
    std::string tag = "{" + std::to_string(i) + "}";
    if (PartitionOfSlot(KeySlot(tag)) == run) return tag;
  }
}

RowKind KindOf(const std::string& name) {
  if (name == "base" || name == "str") return RowKind::kBase;
  if (name == "total") return RowKind::kTotal;
  if (name == "deadline") return RowKind::kDeadline;
  return RowKind::kField;
}
std::string NameOf(RowKind kind) {
  switch (kind) {
    case RowKind::kBase: return "base";
    case RowKind::kTotal: return "total";
    case RowKind::kDeadline: return "deadline";
    default: return "field";
  }
}

std::string Lines(const std::set<std::string>& rows) {
  std::string out;
  for (const std::string& row : rows) out += row + "\n";
  return out;
}

// One run's events as records, by dot.
class Replay {
 public:
  Replay(int run, std::vector<std::unique_ptr<JoinNode>>* nodes)
      : nodes_(*nodes), tag_(TagOf(run)), partition_(uint16_t(run)) {}

  void Event(std::istringstream& in) {
    uint64_t hlc;
    in >> dot_ >> hlc;
    std::string& record = records_[dot_];
    record.push_back(char(kEventsRecord));
    PutFixed64(&record, kHlc + hlc);
  }
  void Again(std::istringstream& in) { in >> dot_; }
  void Clear(std::istringstream& in) {
    std::string scope, ns, key, kind;
    in >> scope >> ns >> key >> kind;
    Effect effect;
    effect.kind = RowKind::kClear;
    effect.scope = scope == "all"   ? ClearScope::kPartition
                   : scope == "ns"  ? ClearScope::kNamespace
                   : scope == "key" ? ClearScope::kKey
                                    : ClearScope::kKeyKind;
    if (scope == "kind") effect.cleared_kind = KindOf(kind == "hash" ? "field" : "base");
    std::string name = tag_ + key;
    if (effect.scope <= ClearScope::kKeyKind) effect.key = name;
    for (std::string dot; in >> dot;) effect.context.Add(DotOf(dot));
    Put(ns, effect);
  }
  void Row(std::istringstream& in) {
    std::string ns, key, kind, element, base, value;
    in >> ns >> key >> kind >> element >> base >> value;
    Effect effect;
    effect.kind = KindOf(kind);
    std::string name = tag_ + key;
    effect.key = name;
    if (element != "-") effect.element = element;
    effect.base_dot = DotOf(base);
    effect.has_value = value != "-" && value != "implicit";
    if (value == "implicit") effect.kind = RowKind::kImplicitBase;
    bool number = effect.kind == RowKind::kTotal || effect.kind == RowKind::kDeadline;
    if (effect.has_value && number) effect.number = std::stoll(value);
    if (effect.has_value && effect.kind == RowKind::kDeadline) effect.number += kFarOffMs;
    if (!number) effect.value = value;
    for (std::string dot; in >> dot;) effect.removed.push_back(DotOf(dot));
    Put(ns, effect);
  }
  void Join(std::istringstream& in) {
    std::string node;
    in >> node;
    nodes_[size_t(NodeOf(node))]->Join(records_.at(dot_));
  }
  // What hangs on a base that is live, and all else.
  std::set<std::string> Rows(const std::string& node) {
    std::set<std::string> out;
    waiting_ = 0;
    RowDump dump = nodes_[size_t(NodeOf(node))]->Rows(tag_);
    for (const auto& [at, held] : dump.keys) {
      for (const auto& [id, state] : held.rows) {
        if (state.live.empty()) continue;
        auto base = held.rows.find({RowKind::kBase, {}, 0, 0});
        bool waits =
            id.base != 0 && (base == held.rows.end() || !base->second.live.contains(id.base));
        waiting_ += waits;
        if (waits) continue;
        bool owned = id.kind == RowKind::kTotal;
        std::string line = "n" + std::to_string(at.first + 1) + " " +
                           at.second.substr(tag_.size()) + " " + NameOf(id.kind) + " " +
                           (id.element.empty() ? "-" : id.element) + " " + DotText(id.base) + " " +
                           std::to_string(owned ? id.actor + 1 : 0);
        for (const auto& [dot, version] : state.live) {
          line += " " + DotText(dot) + "=" + ValueText(id.kind, version);
        }
        out.insert(line);
      }
    }
    return out;
  }

  // The homes have had all events: they show the same, and nothing waits any more.
  std::string DifferenceAtEnd() {
    std::set<std::string> first = Rows("A");
    for (const char* node : {"A", "B", "C"}) {
      if (Rows(node) != first)
        return std::string(node) + " has\n" + Lines(Rows(node)) + "at the end";
      if (waiting_ > 0) return std::string(node) + " has rows without their bases at the end";
    }
    return "";
  }

 private:
  static std::string ValueText(RowKind kind, const RowVersion& version) {
    if (version.implicit) return "implicit";
    if (kind == RowKind::kDeadline) return std::to_string(version.number - kFarOffMs);
    return kind == RowKind::kTotal ? std::to_string(version.number) : version.value;
  }
  void Put(const std::string& ns, const Effect& effect) {
    uint16_t number = ns == "n2" ? 1 : 0;
    PutEvent(&records_[dot_], {partition_, number, DotOf(dot_)});
    PutEffect(&records_[dot_], effect);
  }

  std::vector<std::unique_ptr<JoinNode>>& nodes_;
  std::string tag_;
  uint16_t partition_;
  std::map<std::string, std::string> records_;
  std::string dot_;
  int waiting_ = 0;  // rows that Rows has left out
};

struct Outcome {
  std::string difference;  // the first one
  int runs = 0;
  uint64_t joins = 0, rows = 0;
};

// Line by line what the model says, to its end or the first difference.
Outcome ReplayModel(FILE* model) {
  std::vector<std::unique_ptr<JoinNode>> nodes;
  for (int i = 0; i < kActors; i++) {
    nodes.push_back(std::make_unique<JoinNode>(kActors + 1, kActors));  // it writes nothing itself
  }
  Outcome out;
  std::unique_ptr<Replay> replay;
  std::vector<char> buffer(1 << 16);
  auto next_line = [&] { return fgets(buffer.data(), int(buffer.size()), model) != nullptr; };
  while (next_line()) {
    std::istringstream in(buffer.data());
    std::string word;
    in >> word;
    if (word == "run") replay = std::make_unique<Replay>(out.runs++, &nodes);
    if (word == "event") replay->Event(in);
    if (word == "again") replay->Again(in);
    if (word == "clear") replay->Clear(in);
    if (word == "row") replay->Row(in);
    if (word == "join") replay->Join(in);
    if (word == "end") out.difference = replay->DifferenceAtEnd();
    if (word == "rows") {
      std::string node;
      size_t count;
      in >> node >> count;
      std::set<std::string> want;
      while (want.size() < count) {
        REQUIRE(next_line());
        std::string line(buffer.data());
        want.insert(line.substr(0, line.find_last_not_of("\n") + 1));
      }
      out.joins++;
      out.rows += count;
      std::set<std::string> here = replay->Rows(node);
      if (here != want) out.difference = node + " has\n" + Lines(here) + "not\n" + Lines(want);
    }
    if (!out.difference.empty()) break;
  }
  return out;
}

Outcome ReplayModel(int runs) {
  std::string command = "exec /usr/bin/python3 " REDYNAMO_SOURCE_DIR
                        "/tests/model/export_histories.py " +
                        std::to_string(runs) + " " + std::to_string(kSteps) + " 2>/dev/null";
  FILE* model = popen(command.c_str(), "r");
  REQUIRE(model);
  Outcome out = ReplayModel(model);
  int code = pclose(model);
  if (out.difference.empty()) CHECK(code == 0);  // else it could not write to its end
  return out;
}

}  // namespace

TEST_CASE("join: histories of the model end in the model's rows, join by join") {
  Outcome out = ReplayModel(kRuns);
  CHECK_MESSAGE(out.difference.empty(), "run ", out.runs - 1, ": ", out.difference);
  CHECK(out.runs == kRuns);
  CHECK(out.joins > uint64_t(kRuns) * kSteps / 2);  // else this test tests nothing
  CHECK(out.rows > out.joins);
}

TEST_CASE("join: that a removal, or a clear, is forgotten shows in the model's histories") {
  for (Sabotage rule : {Sabotage::kForgetGone, Sabotage::kForgetClear}) {
    CAPTURE(int(rule));
    sabotage = rule;
    CHECK(ReplayModel(kRuns).difference != "");
    sabotage = Sabotage::kNone;
  }
}
