/* The slot protocol: overwrite, insert and erase of one key against readers, a death and its recovery.

   Modelled (docs/design.md, one store or compare-and-swap a step): one key; slot 0 in its home group, slot 1 displaced (max displacement 1);
   two writers with a record each, their journals, images and lazily cleared `shown` bits; the home lock; arena blocks with their words
   {FREE, RECORD(r), SLOT(s)} and a content, free blocks reused at once; shares of the size; a reader that begins at any time and
   gets the key once, probing both slots, each word and the block a step of its own. (A get leaves no trace and each commit is one step of
   the model, so gets that are valid one by one are valid in sequence: a second one would add nothing.)

   Deaths: one writer stops for ever after any of its steps (`dead`). The recoverer stores the outcome,
   finishes or undoes, and may itself start anew once after any of its steps, which is what a second recoverer would do.

   Checked: no torn read is accepted; the get returns a value that the key had between its beginning and its end (`seen`); at the end nothing is locked, the size is exact, the key is in at
   most one slot, tags and max displacement are exact, each block is FREE or the one its slot refers to. A process that
   cannot go on, unless it is dead, is an error.

   Not modelled: weak memory (steps are sequentially consistent; docs/memory-ordering.md argues the orders), several keys, the global lock,
   the arena's pages (page.pml), moves (move.pml), expiry, the wrap-around of versions and generations.

   Forms (-D):  P1OPS=12 writer 1 erases, then inserts (default); 31 overwrites, then erases; 1 erases; 3 overwrites; 2 inserts
                (key absent at first); 21 inserts, then erases
                P2OPS=3 writer 2 overwrites once (default); 33 twice
                BLOCKS=2 blocks in the arena
                NOREADER without the reader (for the longer forms)
                REUSE the record of the dead is taken by a new thread, which overwrites the key
   Mutants (-D, each must be found violated): NOOUTCOME outcome not stored; NOEMPTY insert does not show DST; TAGLATE tag set after the
                commit; LATECLEAR shown cleared after the next operation is journaled; NOBUMP an abort releases at the same version;
                EARLYFREE old block freed before the commit; LATEOWN new block goes to SLOT(s) after the commit; NORECHECK the
                reader does not look at shown again; SHAREDELTA recovery adds to the share; MAXLATE max raised after the commit;
                NOIMAGE overwrite does not show its image; ZEROFIRST erase empties the words before it clears the tag
   Run:  spin -a slot.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000       or ./run */
#ifndef P1OPS
#define P1OPS 12
#endif
#ifndef P2OPS
#define P2OPS 3
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#define NONE 7

/* operations, outcomes */
#define IDLE 0
#define ERASE 1
#define INSERT 2
#define OVERWRITE 3
#define COMMITTED 4
#define ABORTED 8
#define OP(r) (j_op[r] & 3)
/* bits of shown */
#define SRC 1
#define DST 2

/* block word: generation * 8 + state */
#define FREE 0
#define RECORD(r) (r)
#define SLOT(s) (4 + (s))
#define STATE(w) ((w) & 7)
#define NEXT(w, st) ((((w) >> 3) + 1) * 8 + (st))

bit tag[2];
bit max;
byte ver[2], own[2];              /* seq: version, owner (0: unlocked) */
byte wa[2], wb[2];                /* words of a slot: meta, payload; each block + 1, or 0 */
byte home;                        /* owner of the home lock */
byte bw[BLOCKS], bytes[BLOCKS];   /* block words, contents */
byte j_op[3], j_slot[3], j_dst[3], j_nb[3], j_nw[3], j_ob[3], j_ow[3], j_after[3], share[3], shown[3], ia[3], ib[3];
bool dead[3], fin[3], again, recovered, got;
byte cur, seen;                   /* the committed value (0: absent); a bit for each committed since the get began */
bit reading;

#define COMMIT(x) cur = x; seen = seen | (reading << x)
#define LOCKED(s, v, r) (ver[s] == (v) && own[s] == (r))
#define UNLOCK(s) own[s] = 0; ver[s]++

inline cas_block(b, from, to) { d_step { if :: (b) != NONE && bw[b] == (from) -> bw[b] = (to) :: else fi } }

inline rescan() { /* read(1): last committed state of slot 1 */
  d_step {
    if
    :: own[1] == 0 -> max = (wa[1] != 0)
    :: else ->
      if
      :: (shown[own[1]] & DST) && j_dst[own[1]] == 1 -> max = 0
      :: (shown[own[1]] & SRC) && j_slot[own[1]] == 1 -> max = (ia[own[1]] != 0)
      :: else -> max = (wa[1] != 0)
      fi
    fi
  }
}

inline allocate(r, x) { /* b == NONE: out of memory */
  d_step {
    b = 0;
    do
    :: b < BLOCKS && STATE(bw[b]) == FREE -> w = bw[b]; j_nb[r] = b; j_nw[r] = NEXT(w, RECORD(r)); break
    :: b < BLOCKS && STATE(bw[b]) != FREE -> b++
    :: b == BLOCKS -> b = NONE; w = 0; j_nb[r] = NONE; j_nw[r] = 0; break
    od;
    skip
  }
  if
  :: b != NONE ->
    if
    :: atomic { bw[b] == w -> bw[b] = j_nw[r]; w = 0 }
      bytes[b] = x
    :: atomic { bw[b] != w -> b = NONE; w = 0; j_nb[r] = NONE; j_nw[r] = 0 }
    fi
  :: else
  fi
}

inline find() { /* s, v, o: the key's slot, seen unlocked; s == NONE: absent */
  if
  :: atomic { wa[0] != 0 && tag[0] && own[0] == 0 -> s = 0; v = ver[0]; o = wa[0] - 1 }
  :: atomic { wa[1] != 0 && tag[1] && own[1] == 0 -> s = 1; v = ver[1]; o = wa[1] - 1 }
  :: atomic { !tag[0] && !tag[1] -> s = NONE }
  fi
}

#ifdef LATECLEAR
#define START(r)
#define STARTED(r) shown[r] = 0;
#else
#define START(r) shown[r] = 0;
#define STARTED(r)
#endif

inline overwrite(r, x) {
  allocate(r, x);
  do
  :: b == NONE -> break
  :: else ->
    find();
    if :: s == NONE -> cas_block(b, j_nw[r], NEXT(j_nw[r], FREE)); break :: else fi;
    w = bw[o];
    START(r)
    d_step { j_slot[r] = s; j_ob[r] = o; j_ow[r] = w; w = 0 }
    j_op[r] = OVERWRITE;
    STARTED(r)
    atomic { if :: LOCKED(s, v, 0) -> own[s] = r; o = 1 :: else -> o = 0 fi; v = 0 }
    if
    :: o == 0 -> j_op[r] = IDLE
    :: else ->
      d_step { ia[r] = wa[s]; ib[r] = wb[s] }
#ifndef NOIMAGE
      shown[r] = SRC;
#endif
#ifdef EARLYFREE
      cas_block(j_ob[r], j_ow[r], NEXT(j_ow[r], FREE));
#endif
      wb[s] = b + 1; wa[s] = b + 1;
#ifndef LATEOWN
      cas_block(b, j_nw[r], NEXT(j_nw[r], SLOT(s)));
#endif
      d_step { UNLOCK(s); COMMIT(x) }
#ifdef LATEOWN
      cas_block(b, j_nw[r], NEXT(j_nw[r], SLOT(s)));
#endif
      cas_block(j_ob[r], j_ow[r], NEXT(j_ow[r], FREE));
      j_op[r] = IDLE;
      break
    fi
  od
}

inline erase(r) {
  atomic { home == 0 -> home = r }
  START(r)
  do
  :: find();
    if :: s == NONE -> j_op[r] = IDLE; break :: else fi;
    w = bw[o];
    d_step { j_slot[r] = s; j_ob[r] = o; j_ow[r] = w; w = 0; j_after[r] = share[r] - 1 }
    j_op[r] = ERASE;
    STARTED(r)
    atomic { if :: LOCKED(s, v, 0) -> own[s] = r; o = 1 :: else -> o = 0 fi; v = 0 }
    if
    :: o == 0
    :: else ->
      d_step { ia[r] = wa[s]; ib[r] = wb[s] }
      shown[r] = SRC;
#ifdef ZEROFIRST
      wa[s] = 0; wb[s] = 0;
      d_step { tag[s] = 0; UNLOCK(s); COMMIT(0) }
#else
      d_step { tag[s] = 0; COMMIT(0) }
      wa[s] = 0; wb[s] = 0;
      d_step { UNLOCK(s) }
#endif
      if :: s == 1 -> rescan() :: else fi;
      share[r] = j_after[r];
      cas_block(j_ob[r], j_ow[r], NEXT(j_ow[r], FREE));
      j_op[r] = IDLE;
      break
    fi
  od;
  home = 0
}

inline insert(r, x) {
  allocate(r, x);
  if
  :: b != NONE ->
    atomic { home == 0 -> home = r }
    find();
    if
    :: s != NONE -> cas_block(b, j_nw[r], NEXT(j_nw[r], FREE)) /* found: not inserted */
    :: else ->
      START(r)
      j_after[r] = share[r] + 1;
      j_op[r] = INSERT;
      STARTED(r)
      if :: s = 0 :: s = 1 fi;
      j_dst[r] = s;
      atomic { own[s] == 0 && wa[s] == 0 -> own[s] = r }
#ifndef NOEMPTY
      shown[r] = DST;
#endif
      wb[s] = b + 1; wa[s] = b + 1;
#ifndef MAXLATE
      if :: s == 1 -> max = 1 :: else fi;
#endif
#ifndef TAGLATE
      tag[s] = 1;
#endif
#ifndef LATEOWN
      cas_block(b, j_nw[r], NEXT(j_nw[r], SLOT(s)));
#endif
      d_step { UNLOCK(s); COMMIT(x) }
#ifdef MAXLATE
      if :: s == 1 -> max = 1 :: else fi;
#endif
#ifdef TAGLATE
      tag[s] = 1;
#endif
#ifdef LATEOWN
      cas_block(b, j_nw[r], NEXT(j_nw[r], SLOT(s)));
#endif
      share[r] = j_after[r];
      j_op[r] = IDLE
    fi;
    home = 0
  :: else
  fi
}

/* What nobody will look at any more is set to 0: fewer states. */
#define LOCALS b = 0; w = 0; s = 0; v = 0; o = 0
#define FORGET(r) LOCALS; \
  if :: !dead[r] -> j_slot[r] = 0; j_dst[r] = 0; j_nb[r] = NONE; j_nw[r] = 0; j_ob[r] = 0; j_ow[r] = 0; j_after[r] = 0; ia[r] = 0; \
    ib[r] = 0; shown[r] = 0 \
     :: else fi

proctype Writer1() {
  byte b, w, s, v, o;
  {
#if P1OPS == 1
    erase(1);
#elif P1OPS == 2
    insert(1, 2);
#elif P1OPS == 3
    overwrite(1, 2);
#elif P1OPS == 12
  erase(1); atomic { LOCALS } insert(1, 2);
#elif P1OPS == 31
  overwrite(1, 2); atomic { LOCALS } erase(1);
#else
  insert(1, 2); atomic { LOCALS } erase(1);
#endif
  skip
  } unless { dead[1] };
  d_step { FORGET(1); fin[1] = true }
}

proctype Writer2() {
  byte b, w, s, v, o;
  {
  overwrite(2, 3);
#if P2OPS == 33
  atomic { LOCALS } overwrite(2, 4);
#endif
  skip
  } unless { dead[2] };
  d_step { FORGET(2); fin[2] = true }
}

/* A step of recovery, after which the recoverer may die and the next one start from the beginning. */
#define STEP(x) atomic { x; if :: again -> again = false; goto recover :: skip fi }
#ifdef NOBUMP
#define RELEASE(s) own[s] = 0
#else
#define RELEASE(s) UNLOCK(s)
#endif
#define CAS(b, from, to) if :: (b) != NONE && bw[b] == (from) -> bw[b] = (to) :: else fi
#define FREENEW(s) /* from RECORD(r), or from SLOT(s) */ \
  if :: j_nb[r] != NONE && bw[j_nb[r]] == j_nw[r] -> bw[j_nb[r]] = NEXT(j_nw[r], FREE) \
     :: j_nb[r] != NONE && bw[j_nb[r]] == NEXT(j_nw[r], SLOT(s)) -> bw[j_nb[r]] = NEXT(NEXT(j_nw[r], SLOT(s)), FREE) \
     :: else fi

proctype Recoverer() {
  byte r, s, c, b, w, v, o;
  if
  :: atomic { !fin[1] -> dead[1] = true; r = 1 }
  :: atomic { !fin[2] -> dead[2] = true; r = 2 }
  :: atomic { fin[1] && fin[2] -> goto end }
  fi;
  again = true;
recover:
  atomic { /* the outcome */
    s = j_slot[r];
    if :: OP(r) == INSERT -> s = j_dst[r] :: else fi;
    if
    :: j_op[r] > 3 -> c = j_op[r] & 12
    :: j_op[r] == IDLE -> c = 0
    :: else ->
      c = ABORTED;
      if
      :: OP(r) == OVERWRITE && own[s] != r && (shown[r] & SRC) -> c = COMMITTED
      :: OP(r) == INSERT && own[s] != r && (shown[r] & DST) -> c = COMMITTED
      :: OP(r) == ERASE && own[s] == r && (shown[r] & SRC) && !tag[s] -> c = COMMITTED
      :: OP(r) == ERASE && own[s] != r && (shown[r] & SRC) -> c = COMMITTED
      :: else
      fi
    fi;
#ifndef NOOUTCOME
    if :: j_op[r] != IDLE -> j_op[r] = OP(r) + c :: else fi;
#endif
    if :: again -> again = false; goto recover :: skip fi
  }
  if
  :: OP(r) == OVERWRITE && c == COMMITTED ->
#ifdef LATEOWN
    STEP(CAS(j_nb[r], j_nw[r], NEXT(j_nw[r], SLOT(s))));
#endif
    STEP(CAS(j_ob[r], j_ow[r], NEXT(j_ow[r], FREE)))
  :: OP(r) == OVERWRITE && c == ABORTED ->
    if
    :: own[s] == r ->
      if
      :: shown[r] & SRC -> STEP(wa[s] = ia[r]); STEP(wb[s] = ib[r])
      :: else
      fi;
      STEP(RELEASE(s))
    :: else
    fi;
    STEP(FREENEW(s))
  :: OP(r) == INSERT && c == COMMITTED ->
#ifdef LATEOWN
    STEP(CAS(j_nb[r], j_nw[r], NEXT(j_nw[r], SLOT(s))));
#endif
#ifdef SHAREDELTA
    STEP(share[r]++)
#else
    STEP(share[r] = j_after[r])
#endif
  :: OP(r) == INSERT && c == ABORTED ->
    if
    :: own[s] == r ->
#ifndef NOEMPTY
      if
      :: shown[r] & DST ->
#endif
        STEP(tag[s] = 0); STEP(wa[s] = 0); STEP(wb[s] = 0)
#ifndef NOEMPTY
      :: else
      fi
#endif
      ; STEP(RELEASE(s))
    :: else
    fi;
    STEP(FREENEW(s))
  :: OP(r) == ERASE && c == COMMITTED ->
    if
    :: own[s] == r -> STEP(tag[s] = 0); STEP(wa[s] = 0); STEP(wb[s] = 0); STEP(UNLOCK(s))
    :: else
    fi;
    STEP(share[r] = j_after[r]);
    STEP(CAS(j_ob[r], j_ow[r], NEXT(j_ow[r], FREE)))
  :: OP(r) == ERASE && c == ABORTED ->
    if :: own[s] == r -> STEP(RELEASE(s)) :: else fi
  :: else
  fi;
  STEP(j_op[r] = IDLE);
  STEP(if :: j_nb[r] != NONE && STATE(bw[j_nb[r]]) == RECORD(r) -> bw[j_nb[r]] = NEXT(bw[j_nb[r]], FREE) :: else fi);
  if :: home == r -> STEP(rescan()); STEP(home = 0) :: else fi;
  STEP(shown[r] = 0);
  d_step {
    j_slot[r] = 0; j_dst[r] = 0; j_nb[r] = NONE; j_nw[r] = 0; j_ob[r] = 0; j_ow[r] = 0; j_after[r] = 0; ia[r] = 0; ib[r] = 0;
    c = 0; s = 0; again = false
  }
#ifdef REUSE
  if :: r == 1 -> overwrite(1, 5) :: r == 2 -> overwrite(2, 5) fi;
#endif
end:
  skip;
  d_step { LOCALS; r = 0; c = 0; recovered = true }
}

inline read(s) { /* x: the value, 0: empty */
  do
  :: atomic { v = ver[s]; o = own[s] }
    ok = 1;
    if
    :: o == 0 -> a = wa[s]; b = wb[s]
    :: else ->
      sh = shown[o];
      if
      :: (sh & DST) && j_dst[o] == s -> a = 0; b = 0
      :: (sh & SRC) && j_slot[o] == s && !((sh & DST) && j_dst[o] == s) -> a = ia[o]; b = ib[o]
      :: else -> a = wa[s]; b = wb[s]; ok = 2
      fi
    fi;
    if
    :: a != 0 && a == b -> x = bytes[a - 1]
    :: else
    fi;
#ifndef NORECHECK
    if
    :: ok == 2 ->
      atomic { if :: shown[o] != sh -> ok = 0 :: else fi }
    :: else
    fi;
#endif
    atomic {
      if
      :: ok && LOCKED(s, v, o) -> assert(a == b); a = 0; b = 0; v = 0; o = 0; sh = 0; ok = 0; break
      :: else -> a = 0; b = 0; x = 0; v = 0; o = 0; sh = 0; ok = 0
      fi
    }
  od
}

proctype Reader() {
  byte v, o, a, b, x, sh, ok;
  bit m;
  d_step { reading = 1; seen = 1 << cur }
  m = max;
  if :: tag[0] -> read(0) :: else fi;
  if
  :: x == 0 && m -> if :: tag[1] -> read(1) :: else fi
  :: else
  fi;
  atomic { assert(seen & (1 << x)); reading = 0; seen = 0; x = 0; m = 0; got = true }
}

init {
  byte b, s;
  d_step {
    j_nb[1] = NONE; j_nb[2] = NONE; share[1] = 1; share[2] = 1;
#if P1OPS != 21 && P1OPS != 2
    tag[1] = 1; max = 1; wa[1] = 1; wb[1] = 1; bw[0] = SLOT(1); bytes[0] = 1; cur = 1; share[2] = 2
#endif
  }
  atomic {
    run Writer1(); run Writer2(); run Recoverer();
#ifdef NOREADER
    got = true
#else
    run Reader()
#endif
  }
  timeout ->
  atomic { /* nobody can go on: everybody must be through, and everything settled */
    assert(fin[1] && fin[2] && recovered && got);
    assert(own[0] == 0 && own[1] == 0 && home == 0);
    assert(wa[0] == wb[0] && wa[1] == wb[1]);
    assert(wa[0] == 0 || wa[1] == 0);
    assert(tag[0] == (wa[0] != 0) && tag[1] == (wa[1] != 0) && max == (wa[1] != 0));
    assert(share[1] + share[2] == 2 + (wa[0] != 0) + (wa[1] != 0));
    do
    :: b < BLOCKS ->
      assert(STATE(bw[b]) == FREE || STATE(bw[b]) == SLOT(0) || STATE(bw[b]) == SLOT(1));
      assert((STATE(bw[b]) == SLOT(0)) == (wa[0] == b + 1) && (STATE(bw[b]) == SLOT(1)) == (wa[1] == b + 1));
      b++
    :: else -> break
    od;
    s = wa[0] + wa[1];
    if
    :: s != 0 -> assert(bytes[s - 1] == cur)
    :: else -> assert(cur == 0)
    fi
  }
}
