/* A full home group with displaced keys: insert, overwrite, erase and pull-home (move) of several keys of one or two homes; the home lock as the
   journals name it, and the reach; a reader, a death and its recovery.

   Modelled (docs/design.md, one store or compare-and-swap a step): group 0 with slot 0, group 1 with slots 1 and 2; keys A and B with home 0, key C with
   home 0 or, TWOHOMES, 1. B stands displaced in slot 1; slot 0 is taken by A, or by C, displaced too; so group 0 is full. Two writers with a record
   each do a list of operations each; an erase ends with the pull-home for the group that got room. The home locks with `home` and `home_locks` of the record: a
   waiter asks, at any time, whether the owner's journal names the lock, or whether the lock survived its dead owner's recovery. (It does so once a
   wait: as it remembers nothing, further times would add nothing.) All keys have the same tag, so a reach is one bit. A reader gets one key
   once, at any time: reach, tags, each slot, the home's version before and after are a step of their own. Journal words are stored together with `op`,
   the image with `shown`: nobody looks at them before.

   Deaths: one writer stops for ever after any of its steps; recovery may start anew once after any of its steps. With REUSE a new thread has
   the record then, with a list of its own.

   Checked: the get returns a value that the key had between its beginning and its end; no waiter reports DATA_LOSS, and the owner of a locked slot names it in its
   journal; at the end nothing is locked, the size and the reaches are exact, and each key is in one slot, with the value that was committed last, or in
   none. A process that cannot go on, unless it is dead, is an error.

   Not modelled: weak memory; blocks, slots of several words and so torn reads (a read of a slot is one step, which slot.pml and move.pml show that it
   can be taken for); the steps of a writer's own lookup (what it found, the slot's lock proves; a miss is looked for again under the home lock) and
   of the scan for displaced keys (under the home lock they stay what they are); sequences of more than two groups, the filter bits, slots
   that cannot be read; expiry; a table that stays full; owners that end without dying.

   Forms (-D):  P1=, P2= what writers 1 and 2 do, two digits each, two at the most: 1 erase, 2 set (insert or overwrite); 1 A, 2 B, 3 C. Default: 11, 23
                OR= another list for writer 2: either
                READ= the key that is got: 2, B (default), 1, 3; 0: no reader
                TWOHOMES slot 0 is taken by C, with home 1, and A is absent
                REUSE= what the new thread with the record of the dead does
                NODEATH nobody dies; ONLY1 nobody but writer 1 dies; ONCE recovery does not start anew
   Mutants:     NOCOUNT, NOCOUNTTHEN a waiter does not look at home_locks: while the owner lives, after its recovery; COUNTFIRST the count is journaled
                before the home; HOMEFIRST the home is taken out of the journal before the unlock; LOWEROTHER an erase lowers the reach of the group
                that it makes room in, whose lock it does not hold (the trap: an insert passes the full group meanwhile); ERASEFREE, PULLFREE erase, pull-home do
                without the home lock; SCANEARLY the reach is recomputed before the key is erased; REACHLATE it is raised after the commit; NOAGAIN an
                insert does not look again under the home lock; ERASEBLIND erase takes the slot at any version; RESTZERO a move sets the reach to 0;
                NOVERSION the reader does not look at the home's version again; NORESCAN recovery leaves the reach as it is; LOSTVERSION recovery of
                a move does not bump the home's version; DROPHOME recovery forgets the home before it unlocks it
   Run:  spin -a group.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000       or ./run */
#ifndef P1
#define P1 11
#endif
#ifndef P2
#define P2 23
#endif
#ifndef READ
#define READ 2
#endif
#define NONE 7
#define SLOTS 3

/* operations, outcomes */
#define IDLE 0
#define ERASE 1
#define INSERT 2
#define OVERWRITE 3
#define MOVE 4
#define COMMITTED 8
#define ABORTED 16
#define OP(r) (j_op[r] & 7)
/* bits of shown */
#define SRC 1
#define DST 2

/* a slot's word: key * 4 + value; 0: empty */
#define KEY(w) ((w) >> 2)
#define VALUE(w) ((w) & 3)
#define GROUP(s) ((s) != 0)
#ifdef TWOHOMES
#define HOME(k) ((k) == 3)
#else
#define HOME(k) 0
#endif

bit tag[SLOTS], reach[2];
byte ver[SLOTS], own[SLOTS], word[SLOTS]; /* seq: version, owner (0: unlocked) */
byte hver[2], hown[2];                    /* home locks: version (moves), owner */
byte j_op[3], j_slot[3], j_dst[3], j_after[3], share[3], shown[3], image[3], j_home[3], home_locks[3];
bool dead[3], fin[3], again, recovered, got;
byte cur[4], seen;                        /* committed values (0: absent); a bit for each that READ had since the get began */
bit reading;

#define COMMIT(k, x) cur[k] = x; if :: (k) == READ && reading -> seen = seen | (1 << (x)) :: else fi
#define UNLOCK(s) own[s] = 0; ver[s]++
/* what a read of slot s gives: the last committed state */
#define SHOWN(s) \
  (own[s] == 0 -> word[s] : ((shown[own[s]] & DST) && j_dst[own[s]] == (s) -> 0 : \
   ((shown[own[s]] & SRC) && j_slot[own[s]] == (s) -> image[own[s]] : word[s])))
#define NAMED(s) (j_op[own[s]] != IDLE && (j_slot[own[s]] == (s) || j_dst[own[s]] == (s)))
#define HOLDS(s, k) (tag[s] && KEY(SHOWN(s)) == (k) && (GROUP(s) == HOME(k) || reach[HOME(k)]))
/* slot s holds a displaced key of home h */
#define DISPLACED(s, h) (tag[s] && SHOWN(s) != 0 && GROUP(s) != (h) && HOME(KEY(SHOWN(s))) == (h))
#define EMPTY(s) (!tag[s] && own[s] == 0 && word[s] == 0)

/* x: the reach that home h needs, if none needs more than it has */
inline needed(h) {
  d = 0;
  do
  :: d < SLOTS && !DISPLACED(d, h) -> d++
  :: else -> break
  od;
  x = (d < SLOTS && reach[h]); d = 0
}

/* s, v: where the key is, unlocked; s == NONE: nowhere. What is local to a writer is put to the store that follows: fewer states. */
inline find(k) {
  do
  :: atomic {
       s = 0;
       do
       :: s < SLOTS && !HOLDS(s, k) -> s++
       :: else -> break
       od;
       if
       :: s == SLOTS -> s = NONE; break
       :: s < SLOTS && own[s] == 0 -> v = ver[s]; break
       :: s < SLOTS && own[s] != 0 -> assert(NAMED(s))
       fi
     }
     (own[s] == 0)
  od
}

#ifdef COUNTFIRST
#define JOURNAL_HOME(g) home_locks[r]++
#define JOURNAL_COUNT(g) j_home[r] = (g) + 1
#else
#define JOURNAL_HOME(g) j_home[r] = (g) + 1
#define JOURNAL_COUNT(g) home_locks[r]++
#endif
#ifdef NOCOUNT
#define OTHER_HOLDING false
#else
#define OTHER_HOLDING (home_locks[o] != taken)
#endif
#ifdef NOCOUNTTHEN
#define OTHER_HOLDING_THEN false
#else
#define OTHER_HOLDING_THEN (home_locks[o] != taken)
#endif

inline lock_home(g) { /* after JOURNAL_HOME */
  JOURNAL_COUNT(g);
  do
  :: atomic { hown[g] == 0 -> hown[g] = r; break }
  :: atomic { hown[g] != 0 -> o = hown[g]; ov = hver[g] }
     taken = home_locks[o];
     named = (j_home[o] == (g) + 1);
     if
     :: atomic { !(hown[g] == o && hver[g] == ov) }
     :: atomic { hown[g] == o && hver[g] == ov }
        if
        :: atomic { !dead[o] || !recovered -> assert(named || OTHER_HOLDING); taken = 0; named = 0 }
           (hown[g] != o || hver[g] != ov)
        :: atomic { dead[o] -> recovered;
             if
             :: hown[g] == o && hver[g] == ov -> assert(OTHER_HOLDING_THEN)
             :: else
             fi
           }
        fi
     fi;
     atomic { o = 0; ov = 0; taken = 0; named = 0 }
  od
}

inline unlock_home(g) {
#ifdef HOMEFIRST
  j_home[r] = 0;
  hown[g] = 0
#else
  hown[g] = 0;
  j_home[r] = 0
#endif
}

/* a compare-and-swap of slot s at version v is the choice of an `if` */
#define WON(s, v) own[s] == 0 && ver[s] == v -> own[s] = r; v = 0
#define LOST(s, v) !(own[s] == 0 && ver[s] == v) -> v = 0

inline pull_home(g) {
  if
  :: atomic { !reach[g] || hown[g] != 0 }
#ifdef PULLFREE
  :: atomic { reach[g] && hown[g] == 0 -> choose(g) }
     move(g)
#else
  :: atomic { reach[g] && hown[g] == 0 -> JOURNAL_HOME(g) }
     JOURNAL_COUNT(g);
     if
     :: atomic { hown[g] != 0 -> j_home[r] = 0 }
     :: atomic { hown[g] == 0 -> hown[g] = r }
        atomic { choose(g) }
        move(g);
        unlock_home(g)
     fi
#endif
  fi
}

inline choose(g) { /* s, v: the first displaced key, unlocked; x: what the reach is without it; d, dv: an empty slot at home */
  s = 0; d = 0; x = 0;
  do
  :: s < SLOTS && !DISPLACED(s, g) -> s++
  :: else -> break
  od;
  do
  :: d < SLOTS && !(GROUP(d) == (g) && EMPTY(d)) -> d++
  :: else -> break
  od;
#ifndef RESTZERO
  x = s + 1;
  do
  :: x < SLOTS && !DISPLACED(x, g) -> x++
  :: else -> break
  od;
  x = (x < SLOTS);
#endif
  if
  :: s < SLOTS && d < SLOTS && own[s] == 0 -> v = ver[s]; dv = ver[d]
  :: else -> s = NONE; d = 0; x = 0
  fi
}

inline move(g) {
  if
  :: atomic { s == NONE }
  :: atomic { s != NONE -> shown[r] = 0; j_slot[r] = s; j_dst[r] = d; j_op[r] = MOVE }
     if
     :: atomic { LOST(s, v) }
     :: atomic { WON(s, v) }
        if
        :: atomic { LOST(d, dv) }
           atomic { UNLOCK(s) }
        :: atomic { WON(d, dv) }
           atomic { image[r] = word[s]; shown[r] = SRC | DST }
           word[d] = image[r];
           tag[d] = 1;
           shown[r] = SRC; /* commit */
           hver[g]++;
           tag[s] = 0;
           word[s] = 0;
           atomic { UNLOCK(s) }
           atomic { UNLOCK(d) }
           atomic { reach[g] = x; x = 0 }
        fi
     fi;
     atomic { j_op[r] = IDLE; x = 0; d = 0; dv = 0; v = 0 }
  fi
}

inline rescan(h) {
  atomic { needed(h) }
  atomic { reach[h] = x; x = 0 }
}

inline erase(k) {
  do
  :: find(k);
     if
     :: atomic { s == NONE -> break }
#ifdef ERASEFREE
     :: atomic { s != NONE }
#else
     :: atomic { s != NONE -> JOURNAL_HOME(HOME(k)) }
        lock_home(HOME(k));
#endif
        atomic { shown[r] = 0; j_after[r] = share[r] - 1; j_slot[r] = s; j_op[r] = ERASE }
        if
        :: atomic { LOST(s, v) }
           j_op[r] = IDLE;
#ifndef ERASEFREE
           unlock_home(HOME(k))
#endif
#ifdef ERASEBLIND
        :: atomic { own[s] == 0 && word[s] != 0 -> own[s] = r; v = 0 }
#else
        :: atomic { WON(s, v) }
#endif
           atomic { image[r] = word[s]; shown[r] = SRC }
#ifdef SCANEARLY
           if
           :: GROUP(s) != HOME(k) -> rescan(HOME(k))
           :: GROUP(s) == HOME(k)
           fi;
#endif
           atomic { tag[s] = 0; COMMIT(k, 0) }
           word[s] = 0;
           atomic { UNLOCK(s) }
#ifndef SCANEARLY
           if
           :: GROUP(s) != HOME(k) -> rescan(HOME(k))
           :: GROUP(s) == HOME(k)
           fi;
#endif
#ifdef LOWEROTHER
           rescan(GROUP(s));
#endif
           share[r] = j_after[r];
           j_op[r] = IDLE;
#ifndef ERASEFREE
           unlock_home(HOME(k));
#endif
           g = GROUP(s);
           pull_home(g);
           break
        fi
     fi
  od
}

/* the next candidate: nearest first */
#define NEXT(k) s = (HOME(k) -> (s == 0 -> NONE : (s == 2 -> 0 : 2)) : (s == 2 -> NONE : s + 1))

inline insert(k) { /* o == 1: done */
  atomic { shown[r] = 0; j_after[r] = share[r] + 1; j_dst[r] = NONE; j_op[r] = INSERT; s = HOME(k) }
  do
  :: atomic { s != NONE && EMPTY(s) -> v = ver[s]; j_dst[r] = s }
     if
     :: atomic { WON(s, v) }
        shown[r] = DST;
        word[s] = (k) * 4 + r + 1;
#ifndef REACHLATE
        atomic { if :: GROUP(s) != HOME(k) -> reach[HOME(k)] = 1 :: else fi }
#endif
        tag[s] = 1;
        atomic { UNLOCK(s); COMMIT(k, r + 1) }
#ifdef REACHLATE
        atomic { if :: GROUP(s) != HOME(k) -> reach[HOME(k)] = 1 :: else fi }
#endif
        atomic { share[r] = j_after[r]; o = 1; break }
     :: atomic { LOST(s, v); NEXT(k) }
     fi
  :: atomic { s != NONE && !EMPTY(s) -> NEXT(k) }
  :: atomic { s == NONE -> break }
  od;
  j_op[r] = IDLE
}

inline set(k) { /* r + 1 */
  do
  :: find(k);
     if
     :: atomic { s != NONE -> shown[r] = 0; j_slot[r] = s; j_op[r] = OVERWRITE }
        if
        :: atomic { LOST(s, v) }
        :: atomic { WON(s, v) }
           atomic { image[r] = word[s]; shown[r] = SRC }
           word[s] = (k) * 4 + r + 1;
           atomic { UNLOCK(s); COMMIT(k, r + 1); o = 1 }
        fi;
        j_op[r] = IDLE
     :: atomic { s == NONE -> JOURNAL_HOME(HOME(k)) }
        lock_home(HOME(k));
#ifndef NOAGAIN
        find(k);
#endif
        if
        :: s != NONE -> v = 0 /* somebody else inserted it */
        :: s == NONE -> insert(k)
        fi;
        unlock_home(HOME(k))
     fi;
     if
     :: atomic { o == 1 -> o = 0; break }
     :: atomic { o == 0 && (s != NONE || EMPTY(0) || EMPTY(1) || EMPTY(2)) } /* lost, or was full */
     fi
  od
}

/* What nobody will look at any more is set to 0: fewer states. */
#define LOCALS s = 0; v = 0; d = 0; dv = 0; x = 0; o = 0; ov = 0; taken = 0; named = 0; g = 0; k = 0; e = 0
#define CLEAR(r) j_slot[r] = 0; j_dst[r] = 0; j_after[r] = 0; image[r] = 0; shown[r] = 0

proctype Writer(byte r; short todo) {
  byte s, v, d, dv, o, ov, taken, k, x;
  bit named, g, e;
  {
    do
    :: atomic { todo == 0 -> break }
    :: atomic { todo != 0 -> k = (todo > 99 -> todo / 100 : todo) % 10; e = (todo > 99 -> todo / 1000 : todo / 10) == 1; todo = (todo > 99 -> todo % 100 : 0) }
       if
       :: e -> erase(k)
       :: !e -> set(k)
       fi;
       atomic { LOCALS }
    od
  } unless { dead[r] };
  atomic { LOCALS; todo = 0; if :: !dead[r] -> CLEAR(r) :: else fi; fin[r] = true }
}

/* A step of recovery, after which the recoverer may die and the next one start from the beginning. */
#define STEP(x) atomic { x; if :: again -> again = false; goto recover :: skip fi }

proctype Recoverer() {
  byte r, s, c, d;
  bit x;
  if
#ifndef NODEATH
  :: atomic { !fin[1] -> dead[1] = true; r = 1 }
#ifndef ONLY1
  :: atomic { !fin[2] -> dead[2] = true; r = 2 }
#endif
#endif
  :: atomic { fin[1] && fin[2] -> goto end }
  fi;
#ifndef ONCE
  again = true;
#endif
recover:
  atomic { /* the outcome */
    s = j_slot[r];
    if :: OP(r) == INSERT -> s = j_dst[r] :: else fi;
    if
    :: j_op[r] > 7 -> c = j_op[r] & 24
    :: j_op[r] == IDLE -> c = 0
    :: else ->
      c = ABORTED;
      if
      :: OP(r) == OVERWRITE && own[s] != r && (shown[r] & SRC) -> c = COMMITTED
      :: OP(r) == INSERT && s != NONE && own[s] != r && (shown[r] & DST) -> c = COMMITTED
      :: OP(r) == ERASE && (shown[r] & SRC) && (own[s] != r || !tag[s]) -> c = COMMITTED
      :: OP(r) == MOVE && shown[r] == SRC -> c = COMMITTED
      :: else
      fi
    fi;
    if :: j_op[r] != IDLE -> j_op[r] = OP(r) + c :: else fi;
    if :: again -> again = false; goto recover :: skip fi
  }
  if
  :: OP(r) == OVERWRITE ->
    if
    :: c == ABORTED && own[s] == r ->
      if :: shown[r] & SRC -> STEP(word[s] = image[r]) :: else fi;
      STEP(UNLOCK(s))
    :: else
    fi
  :: OP(r) == INSERT && c == COMMITTED ->
    STEP(share[r] = j_after[r])
  :: OP(r) == INSERT && c == ABORTED ->
    if
    :: s != NONE && own[s] == r ->
      if :: shown[r] & DST -> STEP(tag[s] = 0); STEP(word[s] = 0) :: else fi;
      STEP(UNLOCK(s))
    :: else
    fi
  :: OP(r) == ERASE ->
    if
    :: own[s] == r ->
      if :: c == COMMITTED -> STEP(tag[s] = 0); STEP(word[s] = 0) :: else fi;
      STEP(UNLOCK(s))
    :: else
    fi;
    if :: c == COMMITTED -> STEP(share[r] = j_after[r]) :: else fi
  :: OP(r) == MOVE && c == COMMITTED ->
#ifndef LOSTVERSION
    STEP(if :: j_home[r] != 0 && hown[j_home[r] - 1] == r -> hver[j_home[r] - 1]++ :: else fi);
#endif
    if
    :: own[s] == r -> STEP(tag[s] = 0); STEP(word[s] = 0); STEP(UNLOCK(s))
    :: else
    fi;
    if
    :: own[j_dst[r]] == r -> STEP(UNLOCK(j_dst[r]))
    :: else
    fi
  :: OP(r) == MOVE && c == ABORTED ->
    if
    :: own[j_dst[r]] == r ->
      if :: shown[r] & DST -> STEP(tag[j_dst[r]] = 0); STEP(word[j_dst[r]] = 0) :: else fi;
      STEP(UNLOCK(j_dst[r]))
    :: else
    fi;
    if
    :: own[s] == r -> STEP(UNLOCK(s))
    :: else
    fi
  :: else
  fi;
  STEP(j_op[r] = IDLE);
  atomic { s = j_home[r]; c = 0 }
#ifdef DROPHOME
  STEP(j_home[r] = 0);
#endif
  if
  :: atomic { s != 0 && hown[s - 1] == r -> s = s - 1 }
#ifndef NORESCAN
    STEP(needed(s); reach[s] = x; x = 0);
#endif
    STEP(hown[s] = 0)
  :: atomic { else }
  fi;
  STEP(j_home[r] = 0);
  STEP(shown[r] = 0);
  d_step { CLEAR(r); s = 0; again = false; recovered = true }
#ifdef REUSE
  atomic { fin[r] -> dead[r] = false; fin[r] = false; run Writer(r, REUSE) }
#endif
end:
  atomic { r = 0; s = 0; c = 0; recovered = true }
}

#if READ == 3 && defined(TWOHOMES)
#define HOMETAGS t1 = tag[1]; t2 = tag[2]
#define FARTAGS t1 = tag[0]
#define FIRST (p == 3 -> 1 : 0)
#else
#define HOMETAGS t1 = tag[0]
#define FARTAGS t1 = tag[1]; t2 = tag[2]
#define FIRST (p == 3 -> 0 : 1)
#endif
#define LOOK(s) if :: own[s] != 0 -> assert(NAMED(s)) :: else fi; if :: KEY(SHOWN(s)) == READ -> x = VALUE(SHOWN(s)) :: else fi
/* what comes after the loads of tags and slots */
#define GOON \
  if \
  :: x == 0 && (t1 || t2) \
  :: x == 0 && !(t1 || t2) && p == 5 -> p = 6 \
  :: x == 0 && !(t1 || t2) && p == 3 && rc -> p = (far -> 4 : 0); far = 1 \
  :: else -> break \
  fi

proctype Reader() {
  byte x, m, p = 1;
  bit far, t1, t2, rc;
  d_step { reading = 1; seen = 1 << cur[READ] }
  do
  :: atomic { p == 0 -> m = hver[HOME(READ)]; p = 1 }
  :: atomic { p == 1 -> rc = reach[HOME(READ)]; p = 2 }
  :: atomic { p == 2 -> HOMETAGS; p = 3; GOON }
  :: atomic { p == 4 -> FARTAGS; p = 5; GOON }
  :: atomic { (p == 3 || p == 5) && t1 -> t1 = 0; LOOK(FIRST); GOON }
  :: atomic { (p == 3 || p == 5) && !t1 && t2 -> t2 = 0; LOOK(2); GOON }
#ifdef NOVERSION
  :: atomic { p == 6 -> break }
#else
  :: atomic { p == 6 -> if :: hver[HOME(READ)] == m -> break :: else -> m = 0; p = 0 fi }
#endif
  od;
  atomic { assert(seen & (1 << x)); reading = 0; seen = 0; x = 0; far = 0; m = 0; rc = 0; t1 = 0; t2 = 0; p = 0; got = true }
}

#define FULL(s) (word[s] != 0)
init {
  byte s, n, d;
  bit x;
  d_step {
    tag[0] = 1; tag[1] = 1; word[1] = 2 * 4 + 1; reach[0] = 1; cur[2] = 1; share[1] = 4; share[2] = 4;
#ifdef TWOHOMES
    word[0] = 3 * 4 + 1; reach[1] = 1; cur[3] = 1
#else
    word[0] = 1 * 4 + 1; cur[1] = 1
#endif
  }
  atomic {
    run Writer(1, P1);
#ifdef OR
    if :: run Writer(2, P2) :: run Writer(2, OR) fi;
#else
    run Writer(2, P2);
#endif
    run Recoverer();
#if READ == 0
    got = true
#else
    run Reader()
#endif
  }
  timeout ->
  atomic { /* nobody can go on: everybody must be through, and everything settled */
    assert(fin[1] && fin[2] && recovered && got);
    assert(own[0] == 0 && own[1] == 0 && own[2] == 0 && hown[0] == 0 && hown[1] == 0);
    assert(tag[0] == FULL(0) && tag[1] == FULL(1) && tag[2] == FULL(2));
    assert(share[1] + share[2] == 6 + FULL(0) + FULL(1) + FULL(2));
    s = reach[0]; reach[0] = 1; needed(0); assert(s == x);
    s = reach[1]; reach[1] = 1; needed(1); assert(s == x);
    s = 1;
    do
    :: s < 4 ->
      n = (KEY(word[0]) == s) + (KEY(word[1]) == s) + (KEY(word[2]) == s);
      assert(n == (cur[s] != 0));
      assert(n == 0 || word[0] == s * 4 + cur[s] || word[1] == s * 4 + cur[s] || word[2] == s * 4 + cur[s]);
      s++
    :: else -> break
    od
  }
}
