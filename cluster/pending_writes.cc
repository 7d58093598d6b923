// SPDX-License-Identifier: Apache-2.0
#include "cluster/pending_writes.h"

#include <algorithm>
#include <utility>

namespace redynamo {
namespace {

bool Has(const std::vector<Id128>& ids, const Id128& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

PendingWrites::Record* PendingWrites::Find(uint64_t number) {
  if (number < first_number_ || number - first_number_ >= records_.size()) return nullptr;
  return &records_[number - first_number_];
}

uint64_t PendingWrites::Add(std::string_view record, std::vector<HomeSet> sets,
                            int64_t deadline_ms) {
  uint64_t number = first_number_ + records_.size();
  Record& added = records_.emplace_back();
  added.bytes = std::make_shared<const std::string>(record);
  added.sets = std::move(sets);
  added.deadline_ms = deadline_ms;
  for (const HomeSet& set : added.sets) {
    for (const Id128& peer : set.peers) {
      if (!Has(added.peers, peer)) added.peers.push_back(peer);
    }
  }
  kept_bytes_ += record.size();
  unsettled_++;
  if (Reached(added)) Settle(&added, Outcome::kReached);
  DropFinished();
  return number;
}

void PendingWrites::SendNew(int64_t now_ms) {
  for (uint64_t number = std::max(written_ + 1, first_number_); number <= last_number(); number++) {
    Record& record = *Find(number);
    record.sent_ms = now_ms;
    for (const Id128& peer : record.peers) {
      if (acknowledged_.contains(peer)) Give(record, number, peer);
    }
  }
  written_ = last_number();
}

void PendingWrites::Give(Record& record, uint64_t number, const Id128& peer) {
  if (send_(peer, number, *record.bytes)) record.under_way.push_back(peer);
}

void PendingWrites::Await(uint64_t number, const Waiter& waiter) {
  Record* record = Find(number);
  if (!record) return on_settled_(waiter, Outcome::kReached);  // finished: it was reached
  if (record->settled) return on_settled_(waiter, record->outcome);
  record->waiter = waiter;
  record->awaited = true;
}

bool PendingWrites::Reached(const Record& record) const {
  return std::all_of(record.sets.begin(), record.sets.end(), [&](const HomeSet& set) {
    auto has = [&](const Id128& peer) { return Has(record.has, peer); };
    return std::count_if(set.peers.begin(), set.peers.end(), has) >= set.needed;
  });
}

void PendingWrites::Settle(Record* record, Outcome outcome) {
  if (record->settled) return;
  record->settled = true;
  record->outcome = outcome;
  unsettled_--;
  if (std::exchange(record->awaited, false)) on_settled_(record->waiter, outcome);
}

void PendingWrites::Acknowledged(const Id128& peer, uint64_t up_to) {
  auto it = acknowledged_.find(peer);
  if (it == acknowledged_.end() || up_to <= it->second) return;
  uint64_t from = std::max(it->second + 1, first_number_);
  it->second = std::min(up_to, last_number());
  for (uint64_t number = from; number <= it->second; number++) {
    Record* record = Find(number);
    if (std::erase(record->under_way, peer) == 0) continue;
    record->has.push_back(peer);
    if (!record->settled && Reached(*record)) Settle(record, Outcome::kReached);
  }
  DropFinished();
}

void PendingWrites::Refused(const Id128& peer, uint64_t number) {
  if (Record* record = Find(number)) std::erase(record->under_way, peer);
}

void PendingWrites::LinkUp(const Id128& peer, int64_t now_ms) {
  acknowledged_[peer] = 0;
  for (uint64_t number = first_number_; number <= written_; number++) {
    Record& record = *Find(number);
    if (!Has(record.peers, peer) || Has(record.has, peer)) continue;
    record.sent_ms = now_ms;
    Give(record, number, peer);
  }
}

void PendingWrites::LinkDown(const Id128& peer) {
  acknowledged_.erase(peer);
  for (Record& record : records_) std::erase(record.under_way, peer);
}

void PendingWrites::Expire(int64_t now_ms) {
  for (Record& record : records_) {
    if (record.deadline_ms > now_ms) break;  // deadlines ascend
    Settle(&record, Outcome::kUnknown);
    record.peers = record.has;  // nothing more is owed from here: exchange has it
  }
  DropFinished();
}

int64_t PendingWrites::OwedSince(const Id128& peer) const {
  for (const Record& record : records_) {
    if (Has(record.under_way, peer)) return record.sent_ms;
  }
  return 0;
}

void PendingWrites::DropFinished() {
  while (!records_.empty()) {
    const Record& first = records_.front();
    if (!first.settled || first.has.size() < first.peers.size()) return;
    kept_bytes_ -= first.bytes->size();
    records_.pop_front();
    first_number_++;
  }
}

}  // namespace redynamo
