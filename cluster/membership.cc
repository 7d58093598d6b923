// SPDX-License-Identifier: Apache-2.0
#include "cluster/membership.h"

#include <utility>

#include "base/log_line.h"

namespace redynamo {
namespace {

constexpr int64_t kDriveMs = 200;      // between two looks at what may be done
constexpr int64_t kStepMs = 2000;      // for the members to decide a step
constexpr int64_t kChangeMs = 10'000;  // for them to decide an operator's change

}  // namespace

Membership::Membership(const Id128& self, Surroundings& around, Random& random,
                       ClaimantOptions options)
    : self_(self), around_(around), register_(self, *this, random), claimant_(options) {}

void Membership::SetDocument(const RingDocument& document) {
  document_ = document;
  register_.SetDocument(document);
  claimant_.SetDocument(document);
  next_drive_ms_ = 0;
}

void Membership::Change(const RingChange& change, int64_t now_ms, Done done) {
  Begin({[change](const RingDocument& document) { return WithChange(document, change); },
         now_ms + kChangeMs, std::move(done)},
        now_ms);
}

void Membership::Begin(Wish wish, int64_t now_ms) {
  if (wish_) return wish.done({StatusCode::kBusy, "another change is being decided, try again"});
  wish_ = std::move(wish);
  if (!register_.proposing()) Propose(now_ms);
}

void Membership::Propose(int64_t now_ms) {
  Result<RingDocument> next = wish_->next(*document_);
  if (!next.ok()) return EndWish(next.status());
  register_.Propose(*next, now_ms, wish_->deadline_ms, [this](const RingDecision& decision) {
    if (!wish_) return;
    switch (decision.outcome) {
      case RingOutcome::kDecided: return EndWish(Status::Ok());
      case RingOutcome::kAnotherFirst:
        // Made anew on the newer document, unless the change is in there already.
        if (now_ms_ < wish_->deadline_ms) return;
        [[fallthrough]];
      case RingOutcome::kNoMajority:
      case RingOutcome::kRefused: return EndWish({StatusCode::kBusy, decision.text});
      case RingOutcome::kNotKept: return EndWish({StatusCode::kIoError, decision.text});
    }
  });
}

void Membership::EndWish(const Status& status) {
  Wish wish = std::move(*wish_);
  wish_.reset();
  wish.done(status);
}

void Membership::Tick(int64_t now_ms) {
  now_ms_ = now_ms;
  register_.Tick(now_ms);
  if (!document_ || register_.proposing()) return;
  if (wish_) return Propose(now_ms);
  if (now_ms >= next_drive_ms_) Drive(now_ms);
}

void Membership::Drive(int64_t now_ms) {
  next_drive_ms_ = now_ms + kDriveMs;
  std::vector<MemberReport> reports = around_.MemberReports();
  MemberIndex claimant = ClaimantOf(*document_, reports);
  if (claimant == kNoMember || document_->members[claimant].id.bytes != self_) {
    step_.reset();
    return;
  }
  step_ = claimant_.Next(reports);
  if (!step_->next) return;
  register_.Propose(*step_->next, now_ms, now_ms + kStepMs,
                    [what = step_->what](const RingDecision& decision) {
                      if (decision.outcome == RingOutcome::kDecided) {
                        LogNotice("Ring: " + what);
                      } else if (decision.outcome != RingOutcome::kAnotherFirst) {
                        LogWarning("Ring: a step could not be decided: " + decision.text);
                      }
                    });
}

}  // namespace redynamo
