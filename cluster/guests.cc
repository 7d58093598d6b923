// SPDX-License-Identifier: Apache-2.0
#include "cluster/guests.h"

#include <fmt/format.h>

#include <utility>

#include "base/log_line.h"
#include "base/sabotage.h"

namespace redynamo {
namespace {

constexpr int kReleasedPerTick = 16;
constexpr int64_t kVerifyAgainMs = 5000;  // longer than a difference takes to be confirmed
// Then the clocks decide alone. A replica found at the start may be a few hints, which nobody can
// compare: the homes' dots are older than what the dot index knows.
constexpr int kVainVerificationsMax = 3;

}  // namespace

Guests::Guests(Engine& engine, Exchange& exchange, Merkle& merkle, Exchange::PlaceOf place_of,
               int partitions, uint64_t bytes_max)
    : engine_(engine),
      exchange_(exchange),
      merkle_(merkle),
      place_of_(std::move(place_of)),
      partitions_(partitions),
      bytes_max_(bytes_max) {}

void Guests::Hold(int partition, uint64_t bytes, int64_t now_ms) {
  auto [it, fresh] = held_.try_emplace(partition);
  if (fresh) it->second.since_ms = now_ms;
  it->second.bytes += bytes;
  bytes_ += bytes;
}

void Guests::ViewsChanged(int64_t now_ms) {
  for (int p = 0; p < partitions_; p++) {
    bool guest = !place_of_(p).self_writes && engine_.HoldsReplica(p);
    auto it = held_.find(p);
    if (guest && it == held_.end()) {
      Hold(p, engine_.ReplicaBytes(p), now_ms);
      held_[p].verifications_left = kVainVerificationsMax;
    }
    if (!guest && it != held_.end()) {
      bytes_ -= it->second.bytes;
      held_.erase(it);
    }
  }
}

void Guests::Taken(int partition, uint64_t bytes, int64_t now_ms) {
  taken_++;
  Hold(partition, bytes, now_ms);
}

void Guests::Pulled(int partition, int64_t now_ms) {
  if (Holds(partition) || !engine_.HoldsReplica(partition)) return;
  Hold(partition, engine_.ReplicaBytes(partition), now_ms);
}

// Whether the clocks are to decide now.
bool Guests::Verified(int partition, Held* held, int64_t now_ms) {
  if (held->verifications_left == 0) return true;
  uint64_t clock = engine_.ClockHash(partition);
  if (held->verified_clock == clock) return true;
  if (held->verifying || now_ms < held->next_verification_ms) return false;
  std::vector<Id128> writers = place_of_(partition).writers;
  std::erase_if(writers, [&](const Id128& id) { return !merkle_.Reaches(id); });
  if (writers.empty()) return false;
  held->verifying = true;
  held->next_verification_ms = now_ms + kVerifyAgainMs;
  const Id128& peer = writers[size_t(partition) % writers.size()];
  merkle_.Verify(peer, partition, [this, partition, clock](Merkle::Verdict verdict) {
    auto it = held_.find(partition);
    if (it == held_.end()) return;
    it->second.verifying = false;
    if (verdict == Merkle::Verdict::kSame) it->second.verified_clock = clock;
    if (verdict == Merkle::Verdict::kUnknown && it->second.verifications_left > 0) {
      it->second.verifications_left--;
    }
  });
  return false;
}

void Guests::Tick(int64_t now_ms) {
  int left = kReleasedPerTick;
  for (auto it = held_.begin(); it != held_.end() && left > 0;) {
    int partition = it->first;
    // A cheap question first: most of the time some home lacks something.
    if (LeftOut(Sabotage::kGuestDropsAtOnce)) {
      if (engine_.DropReplica(partition, engine_.HandoverClock(partition)).ok()) {
        it = held_.erase(it);
      } else {
        ++it;
      }
      continue;
    }
    bool may_go = exchange_.WritersCover(partition, engine_.ClockOf(partition), nullptr) &&
                  Verified(partition, &it->second, now_ms);
    Status status = may_go ? engine_.DropReplica(partition, exchange_.WritersClock(partition))
                           : Status(StatusCode::kBusy, "");
    if (status.code() == StatusCode::kBusy) {
      ++it;
      continue;
    }
    if (!status.ok()) {
      LogWarning(fmt::format("Partition {} cannot be let go: {}", partition, status.message()));
      return;
    }
    bytes_ -= it->second.bytes;
    it = held_.erase(it);
    released_++;
    left--;
  }
}

std::vector<GuestReport> Guests::Report(int64_t now_ms) const {
  std::vector<GuestReport> out;
  for (const auto& [partition, held] : held_) {
    GuestReport& report = out.emplace_back();
    report.partition = partition;
    report.age_ms = now_ms - held.since_ms;
    report.bytes = held.bytes;
    exchange_.WritersCover(partition, engine_.HandoverClock(partition), &report.owed_to);
  }
  return out;
}

}  // namespace redynamo
