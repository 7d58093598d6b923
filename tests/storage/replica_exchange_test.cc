// SPDX-License-Identifier: Apache-2.0
// Nodes that write for themselves, lose, duplicate and reorder each other's records, pull from each
// other in small interrupted steps, and restart in between: once they have pulled until all clocks
// agree, they have the same rows bit for bit, and those that the specification says.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "tests/support/join_specification.h"
#include "tests/support/random_change.h"
#include "tests/support/replica_nodes.h"

using namespace redynamo;

namespace {

struct Rates {
  uint64_t lose, keep, pull, crash, checkpoint, rotate, forget, full;  // one in so many; 0: never
  uint64_t drop = 0;
};

// Lines that one of the two texts has and the other has not.
std::string Difference(const std::string& a, const std::string& b) {
  auto lines = [](const std::string& text) {
    std::set<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.insert(line);
    return out;
  };
  std::set<std::string> x = lines(a), y = lines(b);
  std::string out;
  for (const std::string& line : x) out += y.contains(line) ? "" : "< " + line + "\n";
  for (const std::string& line : y) out += x.contains(line) ? "" : "> " + line + "\n";
  return out;
}

class Exchange {
 public:
  Exchange(int count, uint64_t seed, Rates rates) : random_(seed), rates_(rates) {
    for (int i = 0; i < count; i++) nodes_.push_back(std::make_unique<ReplicaNode>(i));
    inbox_.resize(size_t(count));
  }

  void Step() {
    size_t i = random_.Below(nodes_.size());
    ReplicaNode& node = *nodes_[i];
    if (random_.Below(3) == 0) {
      Write(i);
    } else if (!inbox_[i].empty()) {
      size_t pick = random_.Below(inbox_[i].size());
      if (!OneIn(rates_.lose)) Accept(i, inbox_[i][pick]);
      if (!OneIn(rates_.keep)) inbox_[i].erase(inbox_[i].begin() + long(pick));
    }
    if (OneIn(rates_.pull)) Pull(i);
    if (OneIn(rates_.checkpoint)) node.Checkpoint();
    if (OneIn(rates_.crash)) node.Crash();
    if (OneIn(rates_.rotate)) REQUIRE(node.side().RotateActor().ok());
    if (OneIn(rates_.forget)) Forget();
    if (OneIn(rates_.full)) FullStep();
    if (OneIn(rates_.drop)) Drop(i);
  }

  // Another node, with nothing, gets all by full syncs from random nodes, while they go on.
  void Join() {
    nodes_.push_back(std::make_unique<ReplicaNode>(int(nodes_.size())));
    inbox_.emplace_back();
    syncing_ = int(nodes_.size()) - 1;
    cursor_ = 0;
  }
  bool syncing() const { return syncing_ >= 0; }
  void EndSync() {
    while (syncing()) FullStep();
  }

  // All that was lost is pulled; then nothing is left to say.
  void Quiesce() {
    for (auto& box : inbox_) box.clear();
    for (bool agree = false; !agree;) {
      agree = true;
      for (auto& a : nodes_) {
        for (auto& b : nodes_) {
          if (a == b || a->Agrees(b.get(), kPartition)) continue;
          agree = false;
          while (a->PullFrom(b.get(), kPartition, 1 + random_.Below(3000), fulls + drops > 0)) {
          }
          ReplicaClock mine = a->side().ClockOf(kPartition);
          bool lacks = b->Pull(kPartition, mine).kind == PullAnswer::kNeedFull;
          if (lacks && drops > 0) FetchAll(*a, *b);
        }
      }
      REQUIRE(++rounds_ < 100'000);
    }
  }

  void Check() {
    RowDump first = nodes_[0]->Rows(kPartition, &names_);
    std::string digest = nodes_[0]->engine->Digest();
    for (auto& node : nodes_) {
      RowDump dump = node->Rows(kPartition, &names_);
      REQUIRE(node->side().ClockOf(kPartition) == nodes_[0]->side().ClockOf(kPartition));
      INFO(ToText(dump));
      REQUIRE(Difference(ToText(dump), ToText(first)) == "");
      REQUIRE(dump.clears == 0);
      REQUIRE(node->side().IrregularHash(kPartition) == 0);
      CheckTree(*node);
      REQUIRE(node->engine->Digest() == digest);
      REQUIRE(node->engine->Ns(0).live == nodes_[0]->engine->Ns(0).live);
      for (uint64_t k = 0; k < 4; k++) {
        uint64_t hash = node->side().KeyStateHash(0, KeyName(k));
        REQUIRE(hash == nodes_[0]->side().KeyStateHash(0, KeyName(k)));
      }
    }
    REQUIRE(LiveOf(first) == specification_.Live());
  }

  uint64_t batches = 0, irregular_seen = 0, duplicates = 0, records = 0, fulls = 0, drops = 0;
  uint64_t leaves_compared = 0;

 private:
  static inline const int kPartition = PartitionOfSlot(KeySlot("{t}"));
  bool OneIn(uint64_t n) { return n > 0 && random_.Below(n) == 0; }

  void Write(size_t i) {
    uint64_t changes = random_.Below(4) ? 1 : 1 + random_.Below(4);  // a MULTI now and then
    Warm(*nodes_[i]);
    std::string record = nodes_[i]->Do(
        [&](Keyspace keys) {
          for (uint64_t c = 0; c < changes; c++) Change(random_, keys, random_.Below(100));
        },
        kJoinNowMs + int64_t(random_.Below(50)));
    if (record.empty()) return;
    records++;
    uint64_t hlc;
    std::vector<PortableEvent> events;
    REQUIRE(ReadPortable(record, 2, &hlc, &events).ok());
    for (PortableEvent& e : events) {
      MapEvent(names_.Map(e.actors), &e.event);
      specification_.Add(e.event);
    }
    for (size_t other = 0; other < nodes_.size(); other++) {
      if (other != i) inbox_[other].push_back(record);
    }
  }
  // As far as leaves have sums that are known: they are those of any other replica.
  void CheckTree(ReplicaNode& node) {
    Tree mine = node.side().TreeOf(kPartition), first = nodes_[0]->side().TreeOf(kPartition);
    REQUIRE(mine.ready);
    std::map<LeafId, TreeLeaf> theirs;
    for (const TreeLeaf& leaf : first.leaves) theirs[leaf.id] = leaf;
    for (const TreeLeaf& leaf : mine.leaves) {
      auto it = theirs.find(leaf.id);
      bool comparable = leaf.settled && (it == theirs.end() || it->second.settled);
      if (!comparable) continue;
      REQUIRE(it != theirs.end());
      REQUIRE(leaf.sum == it->second.sum);
      leaves_compared++;
    }
  }
  // As a server loads before it runs a command.
  void Warm(ReplicaNode& node) {
    for (uint64_t k = 0; k < 4; k++) {
      Row* row;
      SlotTable* table = node.engine->Slot(0, KeySlot("{t}"));
      if (table && table->cold() > 0 &&
          !table->rows.Find(RowTable::HashOf(KeyName(k), node.engine->seed_, kPositionHashBits),
                            KeyName(k))) {
        REQUIRE(node.engine->LoadNow(0, KeyName(k), &row).ok());
      }
    }
  }
  void Accept(size_t i, const std::string& record) {
    Accepted accepted = nodes_[i]->Accept(record);
    REQUIRE_MESSAGE(accepted.status.ok(), accepted.status.message());
    REQUIRE(!accepted.dot_conflict);
    REQUIRE(!accepted.own_actor_rotated);
    for (bool seen : accepted.duplicate) duplicates += seen;
    irregular_seen += nodes_[i]->side().IrregularHash(kPartition) != 0;
  }
  // One piece of the full sync under way, which may be lost, or joined twice.
  void FullStep() {
    if (!syncing()) {
      syncing_ = int(random_.Below(nodes_.size()));
      cursor_ = 0;
    }
    size_t from = random_.Below(nodes_.size());
    if (int(from) == syncing_) return;
    ReplicaNode& node = *nodes_[size_t(syncing_)];
    FullAnswer piece = nodes_[from]->Full(kPartition, cursor_, 1 + random_.Below(500));
    REQUIRE(piece.status.ok());
    if (random_.Below(6) == 0) return;
    bool complete = false;
    for (uint64_t times = 1 + random_.Below(2); times > 0 && !complete; times--) {
      Accepted accepted = node.AcceptFull(kPartition, piece.bytes);
      REQUIRE_MESSAGE(accepted.status.ok(), accepted.status.message());
      complete = accepted.full_complete;
    }
    cursor_ = piece.next;
    if (random_.Below(40) == 0) {  // interrupted: from the beginning again
      node.Crash();
      cursor_ = 0;
      complete = false;
    }
    fulls += complete;
    if (cursor_ == 0 && complete) syncing_ = -1;
  }
  // When all the others have what this one has.
  void Drop(size_t i) {
    if (syncing_ == int(i)) return;
    ReplicaClock everyone = ClockOfAll(i);
    if (!nodes_[i]->side().Holds(kPartition)) return;
    Status status = nodes_[i]->side().Drop(kPartition, everyone);
    REQUIRE((status.ok() || status.code() == StatusCode::kBusy));
    REQUIRE(nodes_[i]->engine->WriteTurn().ok());
    drops += status.ok();
    REQUIRE((!status.ok() || !nodes_[i]->side().Holds(kPartition)));
  }
  void FetchAll(ReplicaNode& to, ReplicaNode& from) {
    uint64_t cursor = 0;
    do {
      FullAnswer piece = from.Full(kPartition, cursor, 1 + random_.Below(500));
      REQUIRE(piece.status.ok());
      Accepted accepted = to.AcceptFull(kPartition, piece.bytes);
      REQUIRE_MESSAGE(accepted.status.ok(), accepted.status.message());
      cursor = piece.next;
    } while (cursor != 0);
  }
  // One batch, which may be lost, or joined twice.
  void Pull(size_t i) {
    size_t other = random_.Below(nodes_.size());
    if (other == i) return;
    ReplicaClock theirs = nodes_[i]->side().ClockOf(kPartition);
    PullAnswer answer = nodes_[other]->Pull(kPartition, theirs, 1 + random_.Below(2000));
    REQUIRE_MESSAGE(answer.status.ok(), answer.status.message());
    if (answer.kind != PullAnswer::kBatch || random_.Below(4) == 0) return;
    for (uint64_t times = 1 + random_.Below(2); times > 0; times--) {
      Accepted accepted = nodes_[i]->AcceptBatch(kPartition, answer.bytes);
      REQUIRE_MESSAGE(accepted.status.ok(), accepted.status.message());
      REQUIRE(!accepted.dot_conflict);
      batches++;
    }
    irregular_seen += nodes_[i]->side().IrregularHash(kPartition) != 0;
  }
  // What all nodes, but for one, have.
  ReplicaClock ClockOfAll(size_t but) {
    size_t first = but == 0 ? 1 : 0;
    ReplicaClock everyone = nodes_[first]->side().ClockOf(kPartition);
    for (size_t i = first + 1; i < nodes_.size(); i++) {
      if (i == but) continue;
      everyone = everyone.Minus(everyone.Minus(nodes_[i]->side().ClockOf(kPartition)));
    }
    return everyone;
  }
  void Forget() {
    ReplicaClock everyone = ClockOfAll(nodes_.size());
    for (auto& node : nodes_) node->side().ForgetDots(kPartition, everyone);
  }

  Random random_;
  Rates rates_;
  std::vector<std::unique_ptr<ReplicaNode>> nodes_;
  std::vector<std::vector<std::string>> inbox_;
  ActorNames names_;
  Specification specification_;
  int rounds_ = 0;
  int syncing_ = -1;  // which node gets full pieces, if any
  uint64_t cursor_ = 0;
};

}  // namespace

TEST_CASE("replica: nodes that pull until they agree have the specified rows, whatever was lost") {
  static constexpr Rates kRates[] = {
      {0, 4, 0, 0, 0, 0, 0, 0},       // records alone: late, twice, in any order
      {3, 4, 12, 0, 0, 0, 0, 0},      // and lost
      {1, 0, 3, 0, 0, 0, 9, 0},       // nothing comes but by pulls
      {3, 4, 12, 25, 30, 0, 20, 0},   // with crashes and checkpoints
      {2, 4, 12, 40, 40, 25, 20, 0},  // and new actors
      {2, 4, 8, 0, 15, 0, 0, 0},      // page-out is by crash only: the index grows
  };
  uint64_t batches = 0, irregular = 0, duplicates = 0, records = 0, leaves = 0;
  for (uint64_t seed = 1; seed <= 18; seed++) {
    CAPTURE(seed);
    Exchange exchange(2 + int(seed % 3), seed, kRates[seed % std::size(kRates)]);
    for (int round = 0; round < 6; round++) {
      CAPTURE(round);
      for (int step = 0; step < 70; step++) exchange.Step();
      exchange.Quiesce();
      exchange.Check();
    }
    batches += exchange.batches;
    irregular += exchange.irregular_seen;
    duplicates += exchange.duplicates;
    leaves += exchange.leaves_compared;
    records += exchange.records;
  }
  CHECK(records > 1000);  // else this test tests nothing
  CHECK(batches > 200);
  CHECK(irregular > 300);
  CHECK(duplicates > 100);
  CHECK(leaves > 100);
}

TEST_CASE("replica: full syncs beside writes, pulls and losses end in the specified rows") {
  static constexpr Rates kRates[] = {
      {4, 4, 20, 0, 0, 0, 0, 0},
      {3, 4, 12, 0, 0, 0, 20, 2},
      {3, 4, 12, 30, 30, 0, 20, 2},
      {2, 4, 12, 40, 25, 25, 20, 1},
  };
  uint64_t fulls = 0;
  for (uint64_t seed = 101; seed <= 112; seed++) {
    CAPTURE(seed);
    Exchange exchange(2, seed, kRates[seed % std::size(kRates)]);
    for (int round = 0; round < 4; round++) {
      CAPTURE(round);
      for (int step = 0; step < 60; step++) exchange.Step();
      if (round < 2) {
        exchange.Join();
        for (int step = 0; step < 20; step++) exchange.Step();
        exchange.EndSync();
      }
      exchange.Quiesce();
      exchange.Check();
    }
    fulls += exchange.fulls;
  }
  CHECK(fulls > 30);
}

TEST_CASE("replica: nodes that let go of what all others have end in the specified rows, too") {
  static constexpr Rates kRates[] = {
      {4, 4, 3, 0, 0, 0, 0, 0, 3},
      {4, 4, 3, 20, 25, 0, 0, 0, 3},
      {4, 4, 3, 20, 12, 40, 15, 0, 4},
      {0, 8, 3, 30, 0, 0, 10, 0, 4},
  };
  uint64_t drops = 0;
  for (uint64_t seed = 201; seed <= 216; seed++) {
    CAPTURE(seed);
    Exchange exchange(2 + int(seed % 3), seed, kRates[seed % std::size(kRates)]);
    for (int round = 0; round < 5; round++) {
      CAPTURE(round);
      for (int step = 0; step < 60; step++) exchange.Step();
      exchange.Quiesce();
      exchange.Check();
    }
    drops += exchange.drops;
  }
  CHECK(drops > 60);
}
