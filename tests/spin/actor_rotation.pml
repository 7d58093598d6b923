// SPDX-License-Identifier: Apache-2.0
/* Three replicas of a partition with two rows. A writes, loses power with what it had not synced,
 * although it may have been sent, and goes on under another actor; events come in any order, or not
 * at all; each replica tells the others what it has, index entries that all have are collected, and
 * who lacks something pulls it.
 *
 * Checked: no dot is used for two contents; nobody lacks a dot of which all index entries that could
 * give it have been collected; and when all have pulled from all, they have the same rows. Left out
 * one at a time: NO_ROTATION (A goes on under its old actor, from the counter that it finds),
 * VOLATILE_REPORT (what is told is not durable yet), NO_GONE (a removal of what has not come yet is
 * forgotten), JUMP (who pulls one dot takes over the whole clock), ONE_REPORT (an entry is collected
 * when one other has it).
 *
 * A dot is a bit: A's old actor has 0 to 2, its new one 3 to 5. Each event writes one row, and
 * removes what it saw there.
 */
#ifndef EVENTS
#define EVENTS 2 /* 3: 19 million states */
#endif
#define DOTS 6
#define BIT(d) (1 << (d))
#ifdef ONE_REPORT
#define EVERYWHERE(i, j, k) (told[i] & (told[j] | told[k]))
#else
#define EVERYWHERE(i, j, k) (told[i] & told[j] & told[k])
#endif

typedef Replica {
  byte seen;     /* the clock */
  byte live[2];  /* by row */
  byte gone;     /* removed, and not seen */
  byte index     /* dots that can be given to others */
}
Replica now[3], disk;    /* A, B, C; and what A finds after it lost power */
byte told[3];            /* what each has said to have */
byte content[DOTS];      /* the number of the event that the dot stands for; 0: not used */
byte row_of[EVENTS + 1], removes[EVENTS + 1], dot_of[EVENTS + 1];  /* by event, from 1 on */
byte sent[3];            /* events under way to B and C, by bits */
byte events, counter, disk_counter;
bool new_actor, cut, healed;

/* Replica i takes in what the event of dot d did; `lives`: the dot is not removed where it comes from. */
inline take(i, d, e, lives) {
  now[i].live[0] = now[i].live[0] & ~removes[e];
  now[i].live[1] = now[i].live[1] & ~removes[e];
#ifndef NO_GONE
  now[i].gone = now[i].gone | (removes[e] & ~now[i].seen);
#endif
  if
  :: lives && !(now[i].gone & BIT(d)) ->
     now[i].live[row_of[e]] = now[i].live[row_of[e]] | BIT(d)
  :: else
  fi;
  now[i].seen = now[i].seen | BIT(d);
  now[i].gone = now[i].gone & ~now[i].seen;
  now[i].index = now[i].index | BIT(d)
}

inline copy(to, from) {
  to.seen = from.seen;
  to.live[0] = from.live[0];
  to.live[1] = from.live[1];
  to.gone = from.gone;
  to.index = from.index
}

inline write(row) {
  d_step {
    events++;
    d = counter + (new_actor -> 3 : 0);
    counter++;
    assert(content[d] == 0);
    content[d] = events;
    dot_of[events] = d;
    row_of[events] = row;
    removes[events] = now[0].live[row];
    take(0, d, events, true);
    sent[1] = sent[1] | BIT(events);
    sent[2] = sent[2] | BIT(events);
    d = 0
  }
}

inline deliver(i) {
  d_step {
    e = 1;
    do
    :: e <= EVENTS && !(sent[i] & BIT(e)) -> e++
    :: else -> break
    od;
    sent[i] = sent[i] & ~BIT(e);
    if
    :: !(now[i].seen & BIT(dot_of[e])) -> take(i, dot_of[e], e, true)
    :: else
    fi;
    e = 0
  }
}

inline deliver_last(i) {
  d_step {
    e = EVENTS;
    do
    :: e > 0 && !(sent[i] & BIT(e)) -> e--
    :: else -> break
    od;
    sent[i] = sent[i] & ~BIT(e);
    if
    :: !(now[i].seen & BIT(dot_of[e])) -> take(i, dot_of[e], e, true)
    :: else
    fi;
    e = 0
  }
}

/* Replica i gets from j what it lacks and j can give. */
inline pull(i, j) {
  d = 0;
  do
  :: d < DOTS ->
     if
     :: (now[j].seen & BIT(d)) && !(now[i].seen & BIT(d)) && (now[j].index & BIT(d)) ->
        e = content[d];
        take(i, d, e, (now[j].live[row_of[e]] & BIT(d)));
#ifdef JUMP
        now[i].seen = now[i].seen | now[j].seen;
#endif
        e = 0
     :: else
     fi;
     d++
  :: else -> break
  od;
  d = 0
}

inline lose_power() {
  d_step {
    copy(now[0], disk);
    cut = true;
#ifdef NO_ROTATION
    counter = disk_counter
#else
    new_actor = true;
    counter = 0
#endif
  }
}

/* Everybody is there, and all pull from all until nobody gets more. */
inline heal() {
  d_step {
    healed = true;
    sent[1] = 0;
    sent[2] = 0;
    pull(0, 1); pull(0, 2); pull(1, 0); pull(1, 2); pull(2, 0); pull(2, 1);
    pull(0, 1); pull(0, 2); pull(1, 0); pull(1, 2); pull(2, 0); pull(2, 1);
    assert(now[0].seen == now[1].seen && now[1].seen == now[2].seen);
    assert(now[0].live[0] == now[1].live[0] && now[1].live[0] == now[2].live[0]);
    assert(now[0].live[1] == now[1].live[1] && now[1].live[1] == now[2].live[1])
  }
}

active proctype World() {
  byte d, e;
  do
  :: !healed && events < EVENTS -> write(0)
  :: !healed && events < EVENTS -> write(1)
  :: !healed && sent[1] -> deliver(1)
  :: !healed && sent[1] -> deliver_last(1)
  :: !healed && sent[2] -> deliver_last(2)
  :: !healed && now[0].seen != disk.seen -> d_step { copy(disk, now[0]); disk_counter = counter }
  :: !healed && !cut -> lose_power()
#ifdef VOLATILE_REPORT
  :: !healed && told[0] != now[0].seen -> told[0] = now[0].seen
#else
  :: !healed && told[0] != disk.seen && (disk.seen & now[0].seen) == disk.seen ->
     told[0] = disk.seen
#endif
  :: !healed && told[1] != now[1].seen -> told[1] = now[1].seen
  :: !healed && told[2] != now[2].seen -> told[2] = now[2].seen
  :: !healed && (now[0].index & EVERYWHERE(0, 1, 2)) ->
     now[0].index = now[0].index & ~EVERYWHERE(0, 1, 2)
  :: !healed && (now[1].index & EVERYWHERE(1, 2, 0)) ->
     now[1].index = now[1].index & ~EVERYWHERE(1, 2, 0)
  :: !healed && (now[2].index & EVERYWHERE(2, 0, 1)) ->
     now[2].index = now[2].index & ~EVERYWHERE(2, 0, 1)
  :: !healed && (now[1].seen & ~now[2].seen) -> d_step { pull(2, 1) }
  :: !healed && (now[1].seen & ~now[0].seen) -> d_step { pull(0, 1) }
  :: !healed -> heal()
  :: healed -> break
  od
}
