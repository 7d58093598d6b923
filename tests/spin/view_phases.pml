// SPDX-License-Identifier: Apache-2.0
/* C makes room for X among the homes ABC, while one client writes and another one reads.
 *
 * Phases as in tests/model/ring_view.py, N = 3, R = W = 2; each node knows a phase of its own and
 * learns of the register's late. One write at any time, coordinated by any home however far behind,
 * pulls at any time, and a read at any time after the write was acknowledged.
 *
 * Checked: a read that begins after the write was acknowledged meets a node that has it. Left out
 * one at a time: OWN_VIEW (counted by the coordinator's phase instead of the newest met),
 * NO_WAIT (a phase is left although the one before can still form a quorum), PULL_ONE (X pulls
 * from one home), PULL_EARLY (a pull counts although its source was not in phase 1 yet),
 * TWO_OF_FOUR (phases 1 and 2 write W instead of W + 1). NO_FENCE is no fault: who counts by the
 * newest phase need not refuse those who are further apart than one.
 */
#define A 1
#define B 2
#define C 4
#define X 8
#define COUNT(mask) (((mask) & 1) + (((mask) >> 1) & 1) + (((mask) >> 2) & 1) + (((mask) >> 3) & 1))

#ifdef TWO_OF_FOUR
#define BOTH 2
#else
#define BOTH 3
#endif
#define WRITTEN(phase, acks) \
  ((phase == 0 && COUNT((acks) & (A | B | C)) >= 2) || \
   ((phase == 1 || phase == 2) && COUNT(acks) >= BOTH) || \
   (phase == 3 && COUNT((acks) & (A | B | X)) >= 2))
#define READ(phase, replies) \
  ((phase <= 1 && COUNT((replies) & (A | B | C)) >= 2) || \
   (phase >= 2 && COUNT((replies) & (A | B | X)) >= 2))
#define IS_HOME(i) ((view[i] <= 1 && i != 3) || (view[i] >= 2 && i != 2))
#define ARRIVED(phase) \
  ((view[0] >= phase) + 2 * (view[1] >= phase) + 4 * (view[2] >= phase) + 8 * (view[3] >= phase))
#ifdef NO_FENCE
#define NEAR(i, j) true
#else
#define NEAR(i, j) (view[i] <= view[j] + 1 && view[j] <= view[i] + 1)
#endif

byte view[4];       /* the phase that A, B, C, X know */
byte settled;      /* the phase that was decided */
byte has;           /* who has the write */
byte pulled;        /* old homes that X has pulled from */
bool acknowledged;

inline any_node(i) {
  if
  :: i = 0
  :: i = 1
  :: i = 2
  :: i = 3
  fi
}

inline meet(phase, i) {
#ifndef OWN_VIEW
  if
  :: view[i] > phase -> phase = view[i]
  :: else
  fi
#endif
  skip
}

inline pull(i) {
  atomic {
    pulled = pulled | (1 << i);
    if
    :: has & (1 << i) -> has = has | X
    :: else
    fi
  }
}

#ifdef NO_WAIT
#define MAY_LEAVE_1 true
#define MAY_LEAVE_2 true
#else
#define MAY_LEAVE_1 (COUNT(ARRIVED(1) & (A | B | C)) >= 2)
#define MAY_LEAVE_2 (COUNT(ARRIVED(2)) >= 2 && COUNT(ARRIVED(2) & (A | B | C)) >= 2)
#endif
#ifdef PULL_ONE
#define SOURCES 1
#else
#define SOURCES 2
#endif
#ifdef PULL_EARLY
#define MAY_COUNT(i) true
#else
#define MAY_COUNT(i) (view[i] >= 1)
#endif

/* Whoever is claimant, the nodes that learn, and X that pulls. A pull that does not count, or comes
 * later, can only help the reader: it is left out. */
proctype Change() {
  do
  :: atomic { settled == 0 -> settled = 1 }
  :: atomic {
       settled == 1 && MAY_LEAVE_1 && COUNT(pulled) >= SOURCES -> settled = 2; pulled = 0
     }
  :: atomic { settled == 2 && MAY_LEAVE_2 -> settled = 3 }
  :: atomic { view[0] < settled -> view[0]++ }
  :: atomic { view[1] < settled -> view[1]++ }
  :: atomic { view[2] < settled -> view[2]++ }
  :: atomic { view[3] < settled -> view[3]++ }
  :: atomic { settled == 1 && !(pulled & A) && MAY_COUNT(0) -> pull(0) }
  :: atomic { settled == 1 && !(pulled & B) && MAY_COUNT(1) -> pull(1) }
  :: atomic { settled == 1 && !(pulled & C) && MAY_COUNT(2) -> pull(2) }
  od
}

proctype Writer() {
  byte at, i, acks, newest;
  atomic {
    any_node(at);
    IS_HOME(at);
    has = has | (1 << at);
    acks = 1 << at;
    newest = view[at]
  }
  do
  :: !WRITTEN(newest, acks) ->
     atomic {
       any_node(i);
       NEAR(i, at) && (i != 3 || newest >= 1) && !(acks & (1 << i));
       has = has | (1 << i);
       acks = acks | (1 << i);
       meet(newest, i);
       meet(newest, at);
       i = 0
     }
  :: WRITTEN(newest, acks) -> break
  od;
  atomic { at = 0; acks = 0; newest = 0; acknowledged = true }
}

proctype Reader() {
  byte at, i, replies, newest;
  atomic {
    acknowledged;
    any_node(at);
    IS_HOME(at);
    newest = view[at]
  }
  do
  :: !READ(newest, replies) ->
     atomic {
       any_node(i);
       NEAR(i, at) && !(replies & (1 << i));
       replies = replies | (1 << i);
       meet(newest, i);
       i = 0
     }
  :: READ(newest, replies) -> assert(has & replies); break
  od
}

init { atomic { run Change(); run Writer(); run Reader() } }
