// SPDX-License-Identifier: Apache-2.0
/* The register that holds the ring document: CASPaxos over three acceptors, two proposers.
 *
 * A value is a history of decisions: 2 bits per version, the proposer that made it plus 1. Each
 * proposer reads by ballot, appends itself to the newest value it found and lets that be accepted.
 * Any message may be lost or late: a proposer visits acceptors in any order and may give up.
 *
 * Checked: of any two decided histories one begins with the other, that is, there is one owner
 * list per version. Left out one at a time: ANY_VALUE (not that of the highest ballot),
 * NO_PROMISE (a late accept is taken), VOLATILE (an acceptor that restarts has forgotten).
 */
#define ACCEPTORS 3
#define MAJORITY 2
#define ROUNDS 2
#define VERSIONS 3

byte promised[ACCEPTORS], ballot_of[ACCEPTORS], value_of[ACCEPTORS];
byte votes[8];      /* by ballot: so many have accepted its value */
byte decided;       /* the longest decided history */
bool restarted;

inline decide(history) {
  byte at = 0;
  do
  :: at < VERSIONS ->
     assert(((decided >> (2 * at)) & 3) == 0 || ((history >> (2 * at)) & 3) == 0 ||
            ((decided >> (2 * at)) & 3) == ((history >> (2 * at)) & 3));
     at++
  :: else -> break
  od;
  at = 0;
  if
  :: history > decided -> decided = history   /* longer ones are larger numbers */
  :: else
  fi
}

inline append(history) {
  if
  :: (history & 3) == 0 -> history = id + 1
  :: (history & 3) != 0 && (history & 12) == 0 -> history = history | ((id + 1) << 2)
  :: (history & 12) != 0 && (history & 48) == 0 -> history = history | ((id + 1) << 4)
  :: else
  fi
}

proctype Proposer(byte id) {
  byte round, ballot, best, value, i, asked, count;
  do
  :: round < ROUNDS ->
     d_step { round++; ballot = 2 * round + id - 1; best = 0; value = 0; asked = 0; count = 0 }
     do
     :: count < MAJORITY && asked != 7 ->
        atomic {
          if
          :: !(asked & 1) -> i = 0
          :: !(asked & 2) -> i = 1
          :: !(asked & 4) -> i = 2
          fi;
          asked = asked | (1 << i);
          if
          :: ballot > promised[i] ->
             promised[i] = ballot;
             count++;
             if
#ifdef ANY_VALUE
             :: value_of[i] != 0 -> value = value_of[i]
#else
             :: ballot_of[i] > best -> best = ballot_of[i]; value = value_of[i]
#endif
             :: else
             fi
          :: else
          fi
        }
     :: count < MAJORITY -> goto next      /* gives up */
     :: count >= MAJORITY -> break
     od;
     atomic { append(value); asked = 0; count = 0 }
     do
     :: asked != 7 ->
        atomic {
          if
          :: !(asked & 1) -> i = 0
          :: !(asked & 2) -> i = 1
          :: !(asked & 4) -> i = 2
          fi;
          asked = asked | (1 << i);
          if
#ifdef NO_PROMISE
          :: true ->
#else
          :: ballot >= promised[i] ->
#endif
             promised[i] = ballot; ballot_of[i] = ballot; value_of[i] = value;
             votes[ballot]++;
             if
             :: votes[ballot] == MAJORITY -> decide(value)
             :: else
             fi
          :: else
          fi
        }
     :: break                              /* the rest is lost */
     od;
next:
     skip
  :: else -> break
  od
}

proctype Restart() {
  byte i;
  atomic {
    if
    :: i = 0
    :: i = 1
    :: i = 2
    fi
  }
#ifdef VOLATILE
  atomic { promised[i] = 0; ballot_of[i] = 0; value_of[i] = 0 }
#endif
}

init { atomic { run Proposer(0); run Proposer(1); run Restart() } }
