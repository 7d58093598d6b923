// SPDX-License-Identifier: Apache-2.0
// Rules of replication that a test may leave out, one at a time, to prove that the simulator's
// checkers notice (tests/sim/sabotage_test.cc). Nothing sets them in production.
#pragma once

namespace redynamo {

enum class Sabotage {
  kNone,
  kForgetGone,        // a removal that arrives before what it removes is not remembered
  kNoRotation,        // an old disk goes on writing under its old actor
  kAckBeforeDurable,  // a replica acknowledges what its log may still lose
  kOneCopy,           // a write is answered when this node has it
  kGuestDropsAtOnce,  // a guest lets go without asking the homes' clocks
  kNoPull,            // what a replica lacks is never asked for
  kSendBeforeLog,     // events leave before the own log has them
  kCountStale,        // views: acknowledgements are counted by the document of before
  kForgetClear,       // a clear removes what is here, and is not remembered for what is not
  kFormerHomeDrops,   // who was a home lets go as soon as the view says so
  kReportUndurable,   // clocks are told before what they stand for is durable
  kPhaseUnheeded,     // the claimant does not wait for members to take a phase
};

// Read in hot paths: a plain variable, of the thread that runs the simulation.
inline Sabotage sabotage = Sabotage::kNone;

inline bool LeftOut(Sabotage rule) { return __builtin_expect(sabotage == rule, 0); }

}  // namespace redynamo
