/* Evacuation: the blocks of a sparse page are moved out of it, the page is retired and assigned to another class, whose block is filled; against an
   overwriter or eraser of the same slot, a reader of the block, a death and its recovery.

   Modelled (docs/design.md, one store or compare-and-swap a step): page 0 has two blocks of class 0 (words 0 and 1), or one of class 1 (word 0; word 1
   then stays RETIRED); the blocks of page 1 are of class 0. The value of slot 0 lies in block 0. Writer 1 retires page 0: first what is FREE, then
   each block that a slot has is relocated: seen in the slot, copied to another block of the class, and the slot overwritten by itself, at the version
   that was seen; what has become FREE is retired. Writer 2 overwrites or erases the value of slot 0. Both take blocks by their words alone (as by a
   stale hint: neither looks at the page word), or find none. Free blocks are reused at once. Writer 3 takes page 0 for class 1 as soon as it is in
   the pool, and fills its block. A reader gets slot 0 once, at any time: each word and the bytes are a step of their own. Journal words are stored together
   with `op`, the image with `shown`: nobody looks at them before.

   Deaths: writer 1 or 2 stops for ever after any of its steps; recovery may start anew once after any of its steps.

   Checked: nobody wins a block of which a unit is owned (`unit`), nobody but its holder changes its word; the block of an unlocked slot says SLOT of
   that slot (a writer would report DATA_LOSS); the get returns a value that the slot had between its beginning and its end; at the end nothing is locked, the page
   is ASSIGNED, each word is FREE or SLOT of the slot that refers to it where the page's class has a block, RETIRED elsewhere, and each slot has the value that was
   committed last. A process that cannot go on, unless it is dead, is an error.

   Not modelled: weak memory; the choice of the page; chains; how a page is assigned, and a death there (page.pml; here one step); several words a slot,
   shares, the eraser's home lock (slot.pml); a slot that is moved (move.pml); the look at seq between copying for a relocation and the lock (the lock
   proves it).

   Forms (-D):  P2=3 writer 2 overwrites (default); 33 twice; 1 erases; 31 overwrites, then erases; 30
                either of 33 and 31
                BLOCKS=3 words, of which one is in page 1 (default); 4
                TWOLIVE block 1 has a value too, of slot 1: two relocations
                NOREADER; NODEATH nobody dies; ONLY1 nobody but writer 1 dies; ONCE recovery does not start anew
   Mutants:     ANYVERSION a relocation takes the slot at any version; EARLYFREE the old block is freed before the commit; LATEOWN the new block goes to
                SLOT(s) after the commit; NORECHECK the reader does not look at seq again; RETIREANY a page goes to the pool although a relocation
                was given up; FREEANY a retirement that is given up frees every block of the page; NOPAGE recovery forgets the page; NOOLD recovery
                of a committed overwrite keeps the old block; NONEW recovery of an aborted one keeps the new block; FREEBLIND recovery frees the
                old block whatever its word is; NOIMAGE an overwrite does not show its image; NOOUTCOME outcome not stored
   Run:  spin -a evacuation.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000       or ./run */
#ifndef P2
#define P2 3
#endif
#ifndef BLOCKS
#define BLOCKS 3
#endif
#define NONE 7

/* operations, outcomes */
#define IDLE 0
#define ERASE 1
#define OVERWRITE 3
#define COMMITTED 4
#define ABORTED 8
#define OP(r) (j_op[r] & 3)

/* block word: generation * 32 + class * 16 + state */
#define FREE 0
#define RECORD(r) (r)
#define RETIRED 4
#define SLOT(s) (5 + (s))
#define STATE(w) ((w) & 15)
#define CLASS(w) (((w) >> 4) & 1)
#define WORD(w, c, st) ((((w) >> 5) + 1) * 32 + (c) * 16 + (st))
#define NEXT(w, st) WORD(w, CLASS(w), st)

/* page word of page 0: state, class, record */
#define POOL 0
#define ASSIGNED 2
#define RETIRING 3

short bw[BLOCKS];
byte bytes[BLOCKS];
bool unit[BLOCKS];                /* owned */
byte pstate = ASSIGNED, pclass, prec;
bit tag[2];
byte ver[2], own[2], word[2];     /* seq: version, owner (0: unlocked); a slot's word: its block + 1, 0: empty */
byte j_op[3], j_slot[3], j_nb[3], j_ob[3], j_page[3], shown[3], image[3];
short j_nw[3], j_ow[3];
bool dead[4], fin[4], again, recovered, got;
byte cur, seen;                   /* slot 0's committed value (0: absent); a bit for each since the get began */
bit reading;

#define COMMIT(s, x) if :: (s) == 0 -> cur = x; seen = seen | (reading << (x)) :: else fi
#define UNLOCK(s) own[s] = 0; ver[s]++
/* a block changes hands */
#define TAKE(b) assert(!unit[b]); unit[b] = true
#define GIVE(b, w) assert(bw[b] == (w)); unit[b] = false; bw[b] = NEXT(w, FREE)
/* a compare-and-swap of slot s at version v is the choice of an `if` */
#define WON(s, v) own[s] == 0 && ver[s] == v -> own[s] = r; v = 0
#define LOST(s, v) !(own[s] == 0 && ver[s] == v) -> v = 0

#define SEEN(i) STATE(bw[i]) == FREE && CLASS(bw[i]) == 0 -> b = i; j_nb[r] = i; j_nw[r] = NEXT(bw[i], RECORD(r))

/* b: a block of class 0, taken and filled with x, or NONE */
inline allocate(x) {
  if
  :: atomic { SEEN(0) }
  :: atomic { SEEN(1) }
  :: atomic { SEEN(2) }
#if BLOCKS == 4
  :: atomic { SEEN(3) }
#endif
  :: atomic { b = NONE; j_nb[r] = NONE; j_nw[r] = 0 }
  fi;
  if
  :: atomic { b != NONE && STATE(bw[b]) == FREE && NEXT(bw[b], RECORD(r)) == j_nw[r] -> bw[b] = j_nw[r]; TAKE(b) }
     bytes[b] = x
  :: atomic { b != NONE && !(STATE(bw[b]) == FREE && NEXT(bw[b], RECORD(r)) == j_nw[r]) -> b = NONE; j_nb[r] = NONE; j_nw[r] = 0 }
  :: atomic { b == NONE }
  fi
}

/* What is seen of the old block, o, is journaled: as in JournalOld, else than SLOT(s) would be damage if the slot still is at v. */
#define JOURNAL(s, op) \
  if \
  :: STATE(bw[o]) != SLOT(s) -> assert(!(own[s] == 0 && ver[s] == v)) \
  :: else \
  fi; \
  shown[r] = 0; j_slot[r] = s; j_ob[r] = o; j_ow[r] = bw[o]; j_op[r] = op; o = 0

/* slot s, seen at v with block o, gets block b; done: it did. x: the value, unless it stays the same. */
inline overwrite(s, x, same) {
  atomic { JOURNAL(s, OVERWRITE) }
  if
  :: atomic { LOST(s, v) }
#ifdef ANYVERSION
  :: atomic { own[s] == 0 && (same || ver[s] == v) -> own[s] = r; v = 0 }
#else
  :: atomic { WON(s, v) }
#endif
#ifdef NOIMAGE
     skip;
#else
     atomic { image[r] = word[s]; shown[r] = 1 }
#endif
#ifdef EARLYFREE
     atomic { GIVE(j_ob[r], j_ow[r]) }
#endif
     word[s] = b + 1;
#ifndef LATEOWN
     atomic { assert(bw[b] == j_nw[r]); bw[b] = NEXT(bw[b], SLOT(s)) }
#endif
     atomic { UNLOCK(s); if :: !same -> COMMIT(s, x) :: else fi; done = true }
#ifdef LATEOWN
     atomic { assert(bw[b] == j_nw[r]); bw[b] = NEXT(bw[b], SLOT(s)) }
#endif
#ifndef EARLYFREE
     atomic { GIVE(j_ob[r], j_ow[r]) }
#endif
  fi;
  j_op[r] = IDLE
}

/* What nobody will look at any more is set to 0: fewer states. */
#define LOCALS b = 0; o = 0; v = 0; x = 0; done = false
#define CLEAR(r) j_slot[r] = 0; j_nb[r] = NONE; j_nw[r] = 0; j_ob[r] = 0; j_ow[r] = 0; image[r] = 0; shown[r] = 0; j_page[r] = 0
#define FINISH(r) LOCALS; if :: !dead[r] -> CLEAR(r) :: else fi; fin[r] = true

inline relocate(s, i) { /* done: it is */
  if
  :: atomic { own[s] == 0 && word[s] == i + 1 -> v = ver[s]; o = i }
     x = bytes[i];
     allocate(x);
     if
     :: atomic { b == NONE }
     :: atomic { b != NONE -> x = 0 }
        overwrite(s, 0, true);
        if
        :: atomic { done -> b = 0 }
        :: atomic { !done -> GIVE(b, j_nw[r]); b = 0 }
        fi
     fi
  :: atomic { !(own[s] == 0 && word[s] == i + 1) }
  fi
}

#define RETIRE(i) STATE(bw[i]) == FREE -> bw[i] = NEXT(bw[i], RETIRED)
#ifdef FREEANY
#define UNRETIRE(i) if :: STATE(bw[i]) != FREE -> bw[i] = NEXT(bw[i], FREE) :: else fi
#else
#define UNRETIRE(i) if :: STATE(bw[i]) == RETIRED -> bw[i] = NEXT(bw[i], FREE) :: else fi
#endif

proctype Evacuator() {
  byte r = 1, b, o, v, x, i;
  bool done;
  {
    j_page[r] = 1;
    atomic { pstate == ASSIGNED -> pstate = RETIRING; prec = r }
    atomic { if :: RETIRE(0) :: else fi }
    atomic { if :: RETIRE(1) :: else fi }
    do
    :: atomic { i < 2 && STATE(bw[i]) == RETIRED -> i++ }
    :: atomic { i < 2 && RETIRE(i); i++ }
    :: atomic { i < 2 && STATE(bw[i]) >= SLOT(0) -> x = STATE(bw[i]) - SLOT(0) }
       if
       :: x == 0 -> relocate(0, i)
       :: x == 1 -> relocate(1, i)
       fi;
#ifdef RETIREANY
       atomic { LOCALS; i++ }
#else
       if
       :: atomic { done -> LOCALS }
       :: atomic { !done -> LOCALS; i = NONE }
       fi
#endif
    :: atomic { i < 2 && STATE(bw[i]) == RECORD(2) -> i = NONE }
    :: atomic { i == 2 -> pstate = POOL; prec = 0; break }
    :: atomic { i == NONE -> UNRETIRE(0) }
       atomic { UNRETIRE(1) }
       atomic { pstate = ASSIGNED; prec = 0; break }
    od;
    j_page[r] = 0
  } unless { dead[r] };
  atomic { FINISH(r); i = 0 }
}

inline set(n) {
  allocate(n);
  do
  :: atomic { b == NONE || done -> break }
  :: atomic { b != NONE && !done && !tag[0] -> GIVE(b, j_nw[r]); break }
  :: atomic { b != NONE && !done && tag[0] && own[0] == 0 -> v = ver[0]; o = word[0] - 1 }
     overwrite(0, n, false)
  od;
  atomic { LOCALS }
}

inline erase() {
  do
  :: atomic { done || !tag[0] -> break }
  :: atomic { !done && tag[0] && own[0] == 0 -> v = ver[0]; o = word[0] - 1 }
     atomic { JOURNAL(0, ERASE) }
     if
     :: atomic { LOST(0, v) }
     :: atomic { WON(0, v) }
        atomic { image[r] = word[0]; shown[r] = 1 }
        atomic { tag[0] = 0; COMMIT(0, 0) }
        word[0] = 0;
        atomic { UNLOCK(0) }
        atomic { GIVE(j_ob[r], j_ow[r]); done = true }
     fi;
     j_op[r] = IDLE
  od;
  atomic { LOCALS }
}

proctype Writer2() {
  byte r = 2, b, o, v, x;
  bool done;
  {
#if P2 == 1
    erase()
#elif P2 == 31
    set(2); erase()
#elif P2 == 33
    set(2); set(3)
#elif P2 == 30
    set(2);
    if :: set(3) :: erase() fi
#else
    set(2)
#endif
  } unless { dead[r] };
  atomic { FINISH(r) }
}

proctype Taker() {
  if
  :: atomic { pstate == POOL -> pstate = ASSIGNED; pclass = 1; if :: STATE(bw[0]) == RETIRED -> bw[0] = WORD(bw[0], 1, FREE) :: else fi }
     atomic { STATE(bw[0]) == FREE && CLASS(bw[0]) == 1 -> bw[0] = NEXT(bw[0], RECORD(3)); TAKE(0); TAKE(1) }
     atomic { bytes[0] = 9; bytes[1] = 9 }
     atomic { bw[0] = NEXT(bw[0], SLOT(2)); fin[3] = true }
  :: atomic { fin[1] && (!dead[1] || recovered) && pstate != POOL -> fin[3] = true }
  fi
}

/* A step of recovery, after which the recoverer may die and the next one start from the beginning. */
#define STEP(x) atomic { x; if :: again -> again = false; goto recover :: skip fi }
#define FREEIF(b, w) if :: (b) != NONE && bw[b] == (w) -> GIVE(b, w) :: else fi
#ifdef FREEBLIND
#define FREEOLD STEP(unit[j_ob[r]] = false; bw[j_ob[r]] = NEXT(bw[j_ob[r]], FREE))
#elif defined(NOOLD)
#define FREEOLD skip
#else
#define FREEOLD STEP(FREEIF(j_ob[r], j_ow[r]))
#endif

proctype Recoverer() {
  byte r, s, c;
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
    if
    :: j_op[r] > 3 -> c = j_op[r] & 12
    :: j_op[r] == IDLE -> c = 0
    :: else ->
      c = ABORTED;
      if
      :: OP(r) == OVERWRITE && own[s] != r && shown[r] -> c = COMMITTED
      :: OP(r) == ERASE && shown[r] && (own[s] != r || !tag[s]) -> c = COMMITTED
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
    FREEOLD
  :: OP(r) == OVERWRITE && c == ABORTED ->
    if
    :: own[s] == r ->
      if :: shown[r] -> STEP(word[s] = image[r]) :: else fi;
      STEP(UNLOCK(s))
    :: else
    fi;
#ifdef NONEW
    skip
#else
    STEP(FREEIF(j_nb[r], j_nw[r]));
    STEP(FREEIF(j_nb[r], NEXT(j_nw[r], SLOT(s))))
#endif
  :: OP(r) == ERASE ->
    if
    :: own[s] == r ->
      if :: c == COMMITTED -> STEP(tag[s] = 0); STEP(word[s] = 0) :: else fi;
      STEP(UNLOCK(s))
    :: else
    fi;
    if :: c == COMMITTED -> FREEOLD :: else fi
  :: else
  fi;
  STEP(j_op[r] = IDLE);
  STEP(FREEIF(j_nb[r], j_nw[r]));
#ifndef NOPAGE
  if
  :: j_page[r] && prec == r && pstate == RETIRING ->
    STEP(UNRETIRE(0));
    STEP(UNRETIRE(1));
    STEP(pstate = ASSIGNED; prec = 0)
  :: else
  fi;
#endif
  STEP(j_page[r] = 0);
  STEP(shown[r] = 0);
  atomic { CLEAR(r); again = false }
end:
  atomic { r = 0; s = 0; c = 0; recovered = true }
}

#define AGAIN x = 0; a = 0; v = 0; o = 0; sh = 0; p = 1
proctype Reader() { /* of slot 0 */
  byte v, o, a, x, sh, p;
  atomic { reading = 1; seen = 1 << cur }
  do
  :: atomic { p == 0 -> if :: tag[0] -> p = 1 :: else -> break fi }
  :: atomic { p == 1 -> v = ver[0]; o = own[0]; p = 2 }
  :: atomic { p == 2 ->
       if
       :: o != 0 && shown[o] && j_slot[o] == 0 -> a = image[o]; p = 4
       :: o != 0 && !(shown[o] && j_slot[o] == 0) -> sh = shown[o]; a = word[0]; p = 3
       :: o == 0 -> a = word[0]; p = 4
       fi
     }
  :: atomic { p == 3 -> if :: shown[o] == sh -> p = 4; sh = 0 :: else -> AGAIN fi }
  :: atomic { p == 4 && a != 0 -> x = bytes[a - 1]; a = 0; p = 5
#ifdef NORECHECK
       ; break
#endif
     }
  :: atomic { p == 5 || (p == 4 && a == 0) -> if :: own[0] == o && ver[0] == v -> break :: else -> AGAIN fi }
  od;
  atomic { assert(seen & (1 << x)); reading = 0; seen = 0; x = 0; v = 0; o = 0; p = 0; got = true }
}

#define INUSE(b, s) (word[s] == (b) + 1)
init {
  byte b;
  d_step {
    j_nb[1] = NONE; j_nb[2] = NONE;
    tag[0] = 1; word[0] = 1; bw[0] = SLOT(0); unit[0] = true; bytes[0] = 1; cur = 1;
#ifdef TWOLIVE
    tag[1] = 1; word[1] = 2; bw[1] = SLOT(1); unit[1] = true; bytes[1] = 5
#endif
  }
  atomic {
    run Evacuator(); run Writer2(); run Taker(); run Recoverer();
#ifdef NOREADER
    got = true
#else
    run Reader()
#endif
  }
  timeout ->
  atomic { /* nobody can go on: everybody must be through, and everything settled */
    assert(fin[1] && fin[2] && fin[3] && recovered && got);
    assert(own[0] == 0 && own[1] == 0);
    assert(pstate == ASSIGNED && prec == 0);
    assert(tag[0] == (word[0] != 0) && tag[1] == (word[1] != 0));
    do
    :: b < BLOCKS ->
      if
      :: b < 2 && pclass == 1 ->
        assert(CLASS(bw[b]) == (b == 0) && STATE(bw[b]) == (b == 0 -> SLOT(2) : RETIRED) && bytes[b] == 9 && unit[b]);
        assert(!INUSE(b, 0) && !INUSE(b, 1))
      :: else ->
        assert(CLASS(bw[b]) == 0 && unit[b] == (STATE(bw[b]) != FREE));
        assert(STATE(bw[b]) == FREE || STATE(bw[b]) == SLOT(0) || STATE(bw[b]) == SLOT(1));
        assert((STATE(bw[b]) == SLOT(0)) == INUSE(b, 0) && (STATE(bw[b]) == SLOT(1)) == INUSE(b, 1))
      fi;
      b++
    :: else -> break
    od;
    assert(word[0] == 0 || bytes[word[0] - 1] == cur);
    assert((word[0] != 0) == (cur != 0));
#ifdef TWOLIVE
    assert(word[1] != 0 && bytes[word[1] - 1] == 5)
#endif
  }
}
