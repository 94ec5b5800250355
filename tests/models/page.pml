/* The arena: a page that is retired and assigned to another class under allocators that know it from before, and chains; a death and its
   recovery.

   Modelled (docs/design.md, one store or compare-and-swap a step): a page with its page word and two block words. Class 0 has two blocks of one
   unit (words 0 and 1), class 1 has one block of two units (word 0; word 1 stays RETIRED). Writer 1 retires the page and assigns it, to
   a class of its choice; writers 2 and 3 allocate a block of class 0 and of class 1, ROUNDS times, choosing by block words alone (as by
   a stale hint: they never look at the page word), and free it. With CHAIN instead: three blocks, two writers who allocate a chain of two (head,
   then MEMBER(head)), put it into a slot, free it, and take all again.

   Deaths: one writer stops after any of its steps; recovery may start anew once after any of its steps.

   Checked: nobody wins a block of which a unit is owned (`unit`), so also none of another class; at the end no block is lost: every word
   of the page is FREE of the page's class where the class has a block, RETIRED elsewhere and in the pool; chains are whole or gone.

   Not modelled: weak memory, the relocation of blocks in slots (evacuation.pml), more pages, what a block holds.

   Forms (-D):  ROUNDS=1; CHAIN
   Mutants:     ROLLBACK recovery answers ASSIGNING by POOL; RETIREPLAIN words are retired by a store; RETIREBLIND a page goes to the pool
                although a block is in use; NOCLASS an allocator's compare-and-swap compares neither class nor generation; NOPAGE recovery
                forgets the page; with CHAIN: HEADFIRST the head is freed before its members; MEMBERFIRST a member is taken before the head is;
                NOSCAN recovery frees the head only
   Run:  spin -a page.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000       or ./run */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifdef CHAIN
#define BLOCKS 3
#else
#define BLOCKS 2
#endif
#define NONE 7

/* block word: generation * 32 + class * 16 + state */
#define FREE 0
#define RECORD(r) (r)
#define RETIRED 4
#define SLOT 5
#define MEMBER(h) (6 + (h))
#define STATE(w) ((w) & 15)
#define CLASS(w) (((w) >> 4) & 1)
#define WORD(w, c, st) ((((w) >> 5) + 1) * 32 + (c) * 16 + (st))
#define NEXT(w, st) WORD(w, CLASS(w), st)

/* page word: state, class, record */
#define POOL 0
#define ASSIGNING 1
#define ASSIGNED 2
#define RETIRING 3
#define HAS(c, i) ((c) == 0 || (i) == 0) /* class c has a block at word i */

short bw[BLOCKS];
byte pstate = ASSIGNED, pclass, prec;
byte j_page[4], j_nb[4];
short j_nw[4];
bool unit[BLOCKS];                /* owned */
bool dead[4], fin[4], again, recovered;

#define TAKE(b, c) \
  assert(!unit[b]); unit[b] = true; \
  if :: (c) == 1 -> assert(!unit[1]); unit[1] = true :: else fi
#define GIVE(b, c) unit[b] = false; if :: (c) == 1 -> unit[1] = false :: else fi

#ifndef CHAIN
proctype Pager() { /* record 1 */
  byte i, c;
  short w;
  bool ok;
  {
    if
    :: true ->
      /* retire */
      j_page[1] = 1;
      atomic { pstate == ASSIGNED -> pstate = RETIRING; prec = 1; c = pclass }
      ok = true; i = 0;
      do
      :: i < BLOCKS && HAS(c, i) && ok ->
#ifdef RETIREPLAIN
        if :: STATE(bw[i]) == FREE -> w = bw[i]; bw[i] = NEXT(w, RETIRED) :: else -> ok = false fi;
#else
        atomic { if :: STATE(bw[i]) == FREE -> bw[i] = NEXT(bw[i], RETIRED) :: else -> ok = false fi }
#endif
        i++
      :: else -> break
      od;
#ifdef RETIREBLIND
      ok = true;
#endif
      if
      :: ok -> atomic { pstate = POOL; prec = 0 }
      :: else -> /* given up */
        i = 0;
        do
        :: i < BLOCKS && HAS(c, i) -> atomic { if :: STATE(bw[i]) == RETIRED -> bw[i] = NEXT(bw[i], FREE) :: else fi }; i++
        :: else -> break
        od;
        atomic { pstate = ASSIGNED; prec = 0 }
      fi;
      if
      :: ok ->
        /* assign, to either class */
        if :: c = 0 :: c = 1 fi;
        atomic { pstate == POOL -> pstate = ASSIGNING; pclass = c; prec = 1 }
        i = 0;
        do
        :: i < BLOCKS && HAS(c, i) -> bw[i] = WORD(bw[i], c, FREE); i++
        :: else -> break
        od;
        atomic { pstate = ASSIGNED; prec = 0 }
      :: else
      fi
    :: true
    fi;
    j_page[1] = 0
  } unless { dead[1] };
  atomic { i = 0; c = 0; w = 0; ok = false; fin[1] = true }
}

proctype Allocator(byte r, c) {
  byte b, k;
  short w;
  {
    do
    :: k < ROUNDS ->
      k++;
      /* a block of the class, by its word: seen now, tried later */
      if
      :: atomic { STATE(bw[0]) == FREE && CLASS(bw[0]) == c -> b = 0; w = bw[0] }
      :: atomic { STATE(bw[1]) == FREE && CLASS(bw[1]) == c && c == 0 -> b = 1; w = bw[1] }
      :: b = NONE
      fi;
      if
      :: b != NONE ->
        atomic { j_nb[r] = b; j_nw[r] = NEXT(w, RECORD(r)) }
#ifdef NOCLASS
        atomic { if :: STATE(bw[b]) == FREE -> bw[b] = j_nw[r]; TAKE(b, c) :: else -> b = NONE fi; w = 0 }
#else
        atomic { if :: bw[b] == w -> bw[b] = j_nw[r]; TAKE(b, c) :: else -> b = NONE fi; w = 0 }
#endif
        if
        :: b != NONE ->
          atomic { bw[b] == j_nw[r] -> bw[b] = NEXT(bw[b], SLOT) }
          atomic { bw[b] == NEXT(j_nw[r], SLOT) -> GIVE(b, c); bw[b] = NEXT(bw[b], FREE) }
        :: else
        fi
      :: else
      fi
    :: else -> break
    od
  } unless { dead[r] };
  atomic { b = 0; k = 0; w = 0; fin[r] = true }
}
#else
/* A chain of two: head b, member m. */
proctype Chainer(byte r) {
  byte b, m, k;
  short w;
  {
    do
    :: k < ROUNDS ->
      k++;
      if
      :: atomic { STATE(bw[0]) == FREE -> b = 0; w = bw[0] }
      :: atomic { STATE(bw[1]) == FREE -> b = 1; w = bw[1] }
      :: atomic { STATE(bw[2]) == FREE -> b = 2; w = bw[2] }
      :: b = NONE
      fi;
      if
      :: b != NONE ->
        atomic { j_nb[r] = b; j_nw[r] = NEXT(w, RECORD(r)) }
#ifndef MEMBERFIRST
        atomic { if :: bw[b] == w -> bw[b] = j_nw[r]; TAKE(b, 0) :: else -> b = NONE fi; w = 0 }
#endif
        if
        :: b != NONE ->
          if
          :: atomic { b != 0 && STATE(bw[0]) == FREE -> m = 0; bw[0] = NEXT(bw[0], MEMBER(b)); TAKE(0, 0) }
          :: atomic { b != 1 && STATE(bw[1]) == FREE -> m = 1; bw[1] = NEXT(bw[1], MEMBER(b)); TAKE(1, 0) }
          :: atomic { b != 2 && STATE(bw[2]) == FREE -> m = 2; bw[2] = NEXT(bw[2], MEMBER(b)); TAKE(2, 0) }
          :: m = NONE /* out of memory */
          fi;
#ifdef MEMBERFIRST
          if
          :: atomic { bw[b] == w -> bw[b] = j_nw[r]; TAKE(b, 0) }
          :: atomic { bw[b] != w ->
               if :: m != NONE -> GIVE(m, 0); bw[m] = NEXT(bw[m], FREE) :: else fi; b = NONE }
          fi;
#endif
          if
          :: b != NONE && m != NONE ->
            bw[b] = NEXT(bw[b], SLOT);
            bw[b] = NEXT(bw[b], RECORD(r))
          :: else
          fi;
          /* free: the members, then the head */
#ifdef HEADFIRST
          if :: b != NONE -> atomic { GIVE(b, 0); bw[b] = NEXT(bw[b], FREE) } :: else fi;
#endif
          if :: b != NONE && m != NONE -> atomic { GIVE(m, 0); bw[m] = NEXT(bw[m], FREE) } :: else fi;
#ifndef HEADFIRST
          if :: b != NONE -> atomic { GIVE(b, 0); bw[b] = NEXT(bw[b], FREE) } :: else fi
#endif
        :: else
        fi
      :: else
      fi
    :: else -> break
    od
  } unless { dead[r] };
  atomic { b = 0; m = 0; k = 0; w = 0; fin[r] = true }
}
#endif

/* A step of recovery, after which the recoverer may die and the next one start from the beginning. */
#define STEP(x) atomic { x; if :: again -> again = false; goto recover :: skip fi }
#define OWNED(r) (j_nb[r] != NONE && STATE(bw[j_nb[r]]) == RECORD(r))
#define FREEMEMBER(m) \
  if :: OWNED(r) && STATE(bw[m]) == MEMBER(j_nb[r]) -> GIVE(m, 0); bw[m] = NEXT(bw[m], FREE) :: else fi

proctype Recoverer() {
  byte r, i;
  if
  :: atomic { !fin[1] -> dead[1] = true; r = 1 }
  :: atomic { !fin[2] -> dead[2] = true; r = 2 }
  :: atomic { !fin[3] -> dead[3] = true; r = 3 }
  :: atomic { fin[1] && fin[2] && fin[3] -> goto end }
  fi;
  again = true;
recover:
#ifdef CHAIN
#ifndef NOSCAN
  STEP(FREEMEMBER(0)); STEP(FREEMEMBER(1)); STEP(FREEMEMBER(2));
#endif
  STEP(if :: OWNED(r) -> GIVE(j_nb[r], 0); bw[j_nb[r]] = NEXT(bw[j_nb[r]], FREE) :: else fi);
#else
  STEP(if :: OWNED(r) -> GIVE(j_nb[r], CLASS(bw[j_nb[r]])); bw[j_nb[r]] = NEXT(bw[j_nb[r]], FREE) :: else fi);
#ifndef NOPAGE
  if
  :: j_page[r] && prec == r ->
#ifdef ROLLBACK
    if
    :: pstate == ASSIGNING -> STEP(pstate = POOL; prec = 0)
    :: else ->
#endif
      /* both go forward to ASSIGNED: what is RETIRED becomes FREE */
      STEP(if :: STATE(bw[0]) == RETIRED -> bw[0] = WORD(bw[0], pclass, FREE) :: else fi);
      STEP(if :: HAS(pclass, 1) && STATE(bw[1]) == RETIRED -> bw[1] = WORD(bw[1], pclass, FREE) :: else fi);
      STEP(pstate = ASSIGNED; prec = 0)
#ifdef ROLLBACK
    fi
#endif
  :: else
  fi;
#endif
#endif
  again = false;
#ifndef CHAIN
  /* someone takes the page from the pool again, and there is no other */
  if
  :: atomic { pstate == POOL && fin[1] -> pstate = ASSIGNING; pclass = 1; prec = 0 }
    bw[0] = WORD(bw[0], 1, FREE);
    pstate = ASSIGNED
  :: atomic { pstate != POOL && fin[1] }
  fi;
#endif
end:
  atomic { r = 0; i = 0; recovered = true }
}

init {
  atomic {
    j_nb[1] = NONE; j_nb[2] = NONE; j_nb[3] = NONE;
#ifdef CHAIN
    fin[3] = true;
    run Chainer(1); run Chainer(2);
#else
    run Pager(); run Allocator(2, 0); run Allocator(3, 1);
#endif
    run Recoverer()
  }
  timeout ->
  atomic { /* nobody can go on: everybody must be through, and everything settled */
    assert(fin[1] && fin[2] && fin[3] && recovered);
#ifdef CHAIN
    /* a chain that is in a slot has its member */
    byte b, m, n;
    do
    :: b < BLOCKS ->
      n = 0; m = 0;
      do
      :: m < BLOCKS -> n = n + (STATE(bw[m]) == MEMBER(b)); m++
      :: else -> break
      od;
      assert(n == (STATE(bw[b]) == SLOT));
      assert(STATE(bw[b]) == FREE || STATE(bw[b]) == SLOT || STATE(bw[b]) >= MEMBER(0));
      assert(unit[b] == (STATE(bw[b]) != FREE));
      b++
    :: else -> break
    od
#else
    assert(pstate == ASSIGNED && prec == 0);
    assert((STATE(bw[0]) == FREE || STATE(bw[0]) == SLOT) && CLASS(bw[0]) == pclass);
    assert((pclass == 1 -> STATE(bw[1]) == RETIRED : (STATE(bw[1]) == FREE || STATE(bw[1]) == SLOT) && CLASS(bw[1]) == 0));
    assert(unit[0] == (STATE(bw[0]) == SLOT));
    assert(unit[1] == (pclass == 1 -> unit[0] : STATE(bw[1]) == SLOT))
#endif
  }
}
