// SPDX-License-Identifier: Apache-2.0
#include "cluster/guests.h"

#include <fmt/format.h>

#include <utility>

#include "base/log_line.h"

namespace redynamo {
namespace {

constexpr int kReleasedPerTick = 16;

}  // namespace

Guests::Guests(Engine& engine, Exchange& exchange, Exchange::PlaceOf place_of, int partitions,
               uint64_t bytes_max)
    : engine_(engine),
      exchange_(exchange),
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
    if (guest && it == held_.end()) Hold(p, engine_.ReplicaBytes(p), now_ms);
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

void Guests::Tick(int64_t) {
  int left = kReleasedPerTick;
  for (auto it = held_.begin(); it != held_.end() && left > 0;) {
    int partition = it->first;
    // A cheap question first: most of the time some home lacks something.
    Status status = exchange_.WritersCover(partition, engine_.ClockOf(partition), nullptr)
                        ? engine_.DropReplica(partition, exchange_.WritersClock(partition))
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
