// SPDX-License-Identifier: Apache-2.0
// Rules of replication that a test may leave out, one at a time, to prove that the simulator's
// checkers notice (tests/sim/sabotage_test.cc). Nothing sets this in production.
#pragma once

namespace redynamo {

enum class Sabotage {
  kNone,
  kForgetGone,        // a removal that comes before what it removes is not remembered
  kForgetClear,       // nor is a clear, for what it cleared and was not here
  kNoRotation,        // an old copy of a disk goes on writing under its actor
  kAckBeforeDurable,  // a replica acknowledges what its log may still lose
  kOneCopy,           // a write is answered when this node has it
  kGuestDropsAtOnce,  // a guest lets go without asking the homes' clocks
  kNoPull,            // what a replica lacks is never asked for
  kBaseUnheeded,      // what hangs on a base that is not here is acknowledged
  kThinCounts,        // stand-ins count behind a write that has too few copies
  kReadAlone,         // a read shows what this replica has, and asks nobody
};

// Set by a test before anything runs.
inline Sabotage sabotage = Sabotage::kNone;

inline bool LeftOut(Sabotage rule) { return __builtin_expect(sabotage == rule, 0); }

}  // namespace redynamo
