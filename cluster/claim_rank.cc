// SPDX-License-Identifier: Apache-2.0
#include "cluster/claim_rank.h"

#include <algorithm>
#include <tuple>

namespace redynamo {
namespace {

constexpr uint32_t kNoPartition = UINT32_MAX;
constexpr int kSpreadPasses = 4;  // more change next to nothing

// The new homes in the old order: the k-th that came stands where the k-th that went stood.
HomeList InOldOrder(const HomeList& old, const HomeList& homes) {
  HomeList out = old, came = homes.Minus(old), went = old.Minus(homes);
  for (size_t i = 0; i < came.size(); i++) {
    if (i < went.size()) {
      out.Replace(went[i], came[i]);
    } else {
      out.Add(came[i]);
    }
  }
  for (size_t i = came.size(); i < went.size(); i++) out.Remove(went[i]);
  return out;
}

class Ranks {
 public:
  Ranks(const std::vector<HomeList>& old, const std::vector<double>& shares,
        std::vector<HomeList>* homes)
      : old_(old), shares_(shares), homes_(*homes), first_of_(shares.size()), at_(homes->size()) {}

  void Run() {
    for (uint32_t p = 0; p < homes_.size(); p++) {
      if (!old_[p].empty()) {
        homes_[p] = InOldOrder(old_[p], homes_[p]);
      } else {
        ChooseFirst(p);
      }
      if (!homes_[p].empty()) Enter(p, homes_[p][0]);
    }
    const auto nodes = MemberIndex(shares_.size());
    // Nobody above the ceiling of its share, then nobody below its floor.
    for (MemberIndex m = 0; m < nodes; m++) {
      while (Count(m) > ShareCeil(shares_[m]) &&
             Pass(m, [&](MemberIndex to) { return Count(to) < ShareCeil(shares_[to]); })) {
      }
    }
    for (MemberIndex m = 0; m < nodes; m++) {
      while (Count(m) > ShareFloor(shares_[m]) &&
             Pass(m, [&](MemberIndex to) { return Count(to) < ShareFloor(shares_[to]); })) {
      }
    }
    SpreadSeconds();
  }

 private:
  int Count(MemberIndex m) const { return int(first_of_[m].size()); }

  void Enter(uint32_t p, MemberIndex m) {
    at_[p] = first_of_[m].size();
    first_of_[m].push_back(p);
  }
  void Leave(uint32_t p, MemberIndex m) {
    uint32_t last = first_of_[m].back();
    first_of_[m][at_[p]] = last;
    at_[last] = at_[p];
    first_of_[m].pop_back();
  }
  void MakeFirst(uint32_t p, MemberIndex m) {
    HomeList& list = homes_[p];
    Leave(p, list[0]);
    list.Swap(0, size_t(std::find(list.begin(), list.end(), m) - list.begin()));
    Enter(p, m);
  }

  // Of a partition that is new: whoever is furthest from its share. Of equals it is each one's
  // turn.
  void ChooseFirst(uint32_t p) {
    HomeList& list = homes_[p];
    size_t best = 0;
    double least = 2;
    for (size_t i = 0; i < list.size(); i++) {
      size_t rank = (i + p) % list.size();
      double filled = Count(list[rank]) / std::max(shares_[list[rank]], 1.0);
      if (filled < least) least = filled, best = rank;
    }
    if (!list.empty()) list.Swap(0, best);
  }

  // Along the shortest way on which each node hands the rank 0 of one partition to the next, from
  // `from` to the first node that `wants` one. False when there is none.
  template <typename Wants>
  bool Pass(MemberIndex from, Wants wants) {
    std::vector<uint32_t> by(shares_.size(), kNoPartition);  // through which partition reached
    std::vector<MemberIndex> before(shares_.size(), kNoMember), queue{from};
    before[from] = from;
    for (size_t next = 0; next < queue.size(); next++) {
      MemberIndex at = queue[next];
      for (uint32_t p : first_of_[at]) {
        for (MemberIndex m : homes_[p]) {
          if (before[m] != kNoMember) continue;
          before[m] = at;
          by[m] = p;
          queue.push_back(m);
          if (!wants(m)) continue;
          for (MemberIndex on = m; on != from; on = before[on]) MakeFirst(by[on], on);
          return true;
        }
      }
    }
    return false;
  }

  // Among ranks 1 and up of partitions whose homes changed, the one that follows rank 0 least often
  // comes first.
  void SpreadSeconds() {
    std::vector<int> follows(shares_.size() * shares_.size());
    auto changed = [&](uint32_t p) { return !homes_[p].SameMembers(old_[p]); };
    auto count = [&](uint32_t p, size_t i) -> int& {
      return follows[homes_[p][0] * shares_.size() + homes_[p][i]];
    };
    for (uint32_t p = 0; p < homes_.size(); p++) {
      if (homes_[p].size() > 1) count(p, 1)++;
    }
    for (int pass = 0; pass < kSpreadPasses; pass++) {
      for (uint32_t p = 0; p < homes_.size(); p++) {
        if (homes_[p].size() < 3 || !changed(p)) continue;
        count(p, 1)--;
        size_t best = 1;
        for (size_t i = 2; i < homes_[p].size(); i++) {
          if (count(p, i) < count(p, best)) best = i;
        }
        homes_[p].Swap(1, best);
        count(p, 1)++;
      }
    }
  }

  const std::vector<HomeList>& old_;
  const std::vector<double>& shares_;
  std::vector<HomeList>& homes_;
  std::vector<std::vector<uint32_t>> first_of_;  // by node: partitions in which it is rank 0
  std::vector<size_t> at_;                       // by partition: its place in there
};

}  // namespace

std::vector<double> FirstSharesOf(const ClaimInput& input, const ClaimDomains& domains,
                                  const std::vector<HomeList>& homes) {
  std::vector<double> weights, held(input.nodes.size(), 0);
  for (size_t s = 0; s < input.nodes.size(); s++) {
    weights.push_back(domains.node_host[s] < 0 ? 0 : double(input.nodes[s].weight));
  }
  for (const HomeList& list : homes) {
    for (MemberIndex m : list) held[m]++;
  }
  return FillByWeight(weights, held, double(homes.size()));
}

void RankHomes(const std::vector<HomeList>& old, const std::vector<double>& first_shares,
               std::vector<HomeList>* homes) {
  Ranks(old, first_shares, homes).Run();
}

}  // namespace redynamo
