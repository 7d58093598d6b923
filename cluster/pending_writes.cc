// SPDX-License-Identifier: Apache-2.0
#include "cluster/pending_writes.h"

#include <algorithm>
#include <utility>

#include "base/sabotage.h"
#include "cluster/event_inbox.h"

namespace redynamo {
namespace {

bool Has(const std::vector<Id128>& ids, const Id128& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

const PendingWrites::Record* PendingWrites::Find(uint64_t number) const {
  if (number < first_number_ || number - first_number_ >= records_.size()) return nullptr;
  return &records_[number - first_number_];
}

// Who has to have the record, as things are now.
void PendingWrites::Aim(Record* record) {
  record->targets = targets_of_(record->partitions, record->quorum);
  record->peers.clear();
  for (const HomeSet& set : record->targets.sets) {
    for (const Id128& peer : set.peers) {
      if (!Has(record->peers, peer)) record->peers.push_back(peer);
    }
  }
}

uint64_t PendingWrites::Add(std::string_view record, std::vector<uint16_t> partitions,
                            int64_t deadline_ms, const RequestQuorum& quorum,
                            std::vector<Base> bases) {
  uint64_t number = first_number_ + records_.size();
  Record& added = records_.emplace_back();
  added.number = number;
  added.bytes = std::make_shared<const std::string>(record);
  added.partitions = std::move(partitions);
  added.bases = std::move(bases);
  added.deadline_ms = deadline_ms;
  added.quorum = quorum;
  Aim(&added);
  kept_bytes_ += record.size();
  unsettled_++;
  for (uint16_t partition : added.partitions) {
    if (partition >= unsettled_of_.size()) unsettled_of_.resize(partition + 1u);
    unsettled_of_[partition].insert(number);
  }
  if (Reached(added)) Settle(&added, Outcome::kReached);
  DropFinished();
  return number;
}

void PendingWrites::SendNew(int64_t now_ms) {
  for (uint64_t number = std::max(written_ + 1, first_number_); number <= last_number(); number++) {
    Record& record = *Find(number);
    record.sent_ms = now_ms;
    GiveToAll(record, number);
  }
  written_ = last_number();
}

// To those that have a link, and have not been given it.
void PendingWrites::GiveToAll(Record& record, uint64_t number) {
  for (const Id128& peer : record.peers) Give(record, number, peer, Id128{});
  for (const StandIn& stand_in : record.targets.stand_ins) {
    if (!Has(record.peers, stand_in.peer)) Give(record, number, stand_in.peer, stand_in.home);
  }
}

void PendingWrites::Give(Record& record, uint64_t number, const Id128& peer,
                         const Id128& hinted_for) {
  if (Has(record.under_way, peer) || Has(record.has, peer)) return;
  auto it = links_.find(peer);
  if (it == links_.end()) return;
  Link& link = it->second;
  if (!send_(peer, link.next_place, *record.bytes, hinted_for)) return;
  link.under_way.emplace_back(link.next_place++, number);
  record.under_way.push_back(peer);
  hints_sent_ += hinted_for != Id128{};
}

void PendingWrites::Refresh(int64_t now_ms) {
  for (uint64_t number = first_number_; number <= last_number(); number++) {
    Record& record = *Find(number);
    if (record.expired) continue;
    Aim(&record);
    if (number <= written_) {
      size_t before = record.under_way.size();
      GiveToAll(record, number);
      if (record.under_way.size() > before) record.sent_ms = now_ms;
    }
    if (!record.settled && Reached(record)) Settle(&record, Outcome::kReached);
  }
  DropFinished();
}

void PendingWrites::Await(uint64_t number, const Waiter& waiter) {
  Record* record = Find(number);
  if (!record) return on_settled_(waiter, Outcome::kReached);  // finished: it was reached
  if (record->settled) return on_settled_(waiter, record->outcome);
  record->waiter = waiter;
  record->awaited = true;
}

// Whether the stand-in's copy of the record is worth something without this node.
bool PendingWrites::HasBases(const Id128& stand_in, const Record& record) const {
  if (LeftOut(Sabotage::kThinCounts)) return true;
  // Of own writes: it has those before the record that have no W copies, whichever the base is.
  auto has_own = [&](uint16_t partition) {
    if (thin_.contains(partition)) return false;
    for (uint64_t number : unsettled_of_[partition]) {
      if (number >= record.number) break;
      if (!Has(Find(number)->has, stand_in)) return false;
    }
    return true;
  };
  for (const Base& base : record.bases) {
    if (base.own && has_own(base.event.partition)) continue;
    if (well_copied_(base.event)) continue;
    wants_copies_ = true;
    return false;
  }
  return true;
}

bool PendingWrites::Reached(const Record& record) const {
  if (LeftOut(Sabotage::kOneCopy)) return true;
  const Targets& targets = record.targets;
  std::optional<size_t> guests;  // stand-ins that count: asked for when homes do not suffice
  auto count_guests = [&] {
    guests = std::ranges::count_if(record.has, [&](const Id128& peer) {
      return targets.sloppy && !Has(record.peers, peer) && HasBases(peer, record);
    });
  };
  return std::all_of(targets.sets.begin(), targets.sets.end(), [&](const HomeSet& set) {
    auto is_home = [&](const Id128& peer) { return Has(set.peers, peer); };
    size_t homes = size_t(std::ranges::count_if(record.has, is_home));
    if (int(homes) >= set.needed) return true;
    if (!guests) count_guests();
    return int(homes + std::min(*guests, set.peers.size() - homes)) >= set.needed;
  });
}

bool PendingWrites::Everywhere(const Record& record) {
  return std::ranges::all_of(record.peers,
                             [&](const Id128& peer) { return Has(record.has, peer); });
}

std::optional<int> PendingWrites::FewestCopies(
    uint64_t up_to, const std::function<bool(const Id128&)>& counts) const {
  std::optional<int> fewest;
  uint64_t number = first_number_;
  for (const Record& record : records_) {
    if (number++ > up_to) break;
    int copies = int(std::ranges::count_if(record.has, counts));
    if (!fewest || copies < *fewest) fewest = copies;
  }
  return fewest;
}

bool PendingWrites::Lacks(const Id128& peer, uint64_t up_to) const {
  uint64_t number = first_number_;
  for (const Record& record : records_) {
    if (number++ > up_to) break;
    if (Has(record.peers, peer) && !Has(record.has, peer)) return true;
  }
  return false;
}

void PendingWrites::Settle(Record* record, Outcome outcome) {
  if (record->settled) return;
  record->settled = true;
  record->outcome = outcome;
  unsettled_--;
  for (uint16_t partition : record->partitions) unsettled_of_[partition].erase(record->number);
  if (std::exchange(record->awaited, false)) on_settled_(record->waiter, outcome);
}

// Records behind this one in its partitions, which stand-ins had before they had this one.
void PendingWrites::SettleBehind(const Record& record) {
  for (uint16_t partition : record.partitions) {
    const absl::btree_set<uint64_t>& unsettled = unsettled_of_[partition];
    for (auto next = unsettled.upper_bound(record.number); next != unsettled.end();) {
      Record* behind = Find(*next);
      if (!Reached(*behind)) break;
      Settle(behind, Outcome::kReached);
      next = unsettled.upper_bound(behind->number);
    }
  }
}

void PendingWrites::MarkThin(uint16_t partition) {
  thin_.insert(partition);
  newly_thin_.push_back(partition);
}

void PendingWrites::Acknowledged(const Id128& peer, uint64_t up_to_place) {
  auto it = links_.find(peer);
  if (it == links_.end()) return;
  auto& under_way = it->second.under_way;
  for (; !under_way.empty() && under_way.front().first <= up_to_place; under_way.pop_front()) {
    Record* record = Find(under_way.front().second);
    if (!record || std::erase(record->under_way, peer) == 0) continue;
    record->has.push_back(peer);
    if (!record->settled && Reached(*record)) Settle(record, Outcome::kReached);
    SettleBehind(*record);
  }
  DropFinished();
}

void PendingWrites::Refused(const Id128& peer, uint64_t place) {
  auto it = links_.find(peer);
  if (it == links_.end()) return;
  auto& under_way = it->second.under_way;
  for (auto sent = under_way.begin(); sent != under_way.end(); ++sent) {
    if (sent->first != place) continue;
    if (Record* record = Find(sent->second)) std::erase(record->under_way, peer);
    under_way.erase(sent);
    return;
  }
}

void PendingWrites::LinkUp(const Id128& peer, int64_t now_ms) {
  links_[peer] = {++generation_ << kPlaceBits | 1, {}};
  Refresh(now_ms);
}

void PendingWrites::LinkDown(const Id128& peer) {
  links_.erase(peer);
  for (Record& record : records_) std::erase(record.under_way, peer);
}

void PendingWrites::Expire(int64_t now_ms) {
  for (Record& record : records_) {
    if (record.deadline_ms > now_ms) break;  // deadlines ascend
    if (!record.settled) {
      for (uint16_t partition : record.partitions) MarkThin(partition);
    }
    Settle(&record, Outcome::kUnknown);
    if (!record.expired && !Everywhere(record)) {
      given_up_.insert(record.partitions.begin(), record.partitions.end());
    }
    record.expired = true;  // nothing more is owed from here: exchange has it
  }
  DropFinished();
}

bool PendingWrites::Settled(uint64_t number) const {
  return number < first_number_ || records_[size_t(number - first_number_)].settled;
}

int64_t PendingWrites::OwedSince(const Id128& peer) const {
  auto it = links_.find(peer);
  if (it == links_.end()) return 0;
  for (const auto& [place, number] : it->second.under_way) {
    if (number >= first_number_) return records_[number - first_number_].sent_ms;
  }
  return 0;
}

void PendingWrites::DropFinished() {
  while (!records_.empty()) {
    const Record& first = records_.front();
    if (!first.settled || !(first.expired || Everywhere(first))) return;
    kept_bytes_ -= first.bytes->size();
    records_.pop_front();
    first_number_++;
  }
}

}  // namespace redynamo
