/* A move (pull-home) of a displaced key against an overwriter of that key, an inserter of another key, a reader, a death and its recovery.

   Modelled (docs/design.md, one store or compare-and-swap a step): key K stands in slot 1, displaced (max displacement 1), and is moved to
   slot 0, in its home group; its content (key half, value half) is in a block whose word goes SLOT(1) -> SLOT(0). Writer 1 is the mover, holding
   the home lock with its move count; writer 2 overwrites K once, with a new block; writer 3 inserts key J, whose home is another one but whose tag
   is the same, into slot 0 if it gets it. Free blocks are reused at once. The reader gets K as in "Lookup": home group first, the reload
   and the move count, then the displaced slot; the word with the max displacement and the word with the tag are two loads.

   Deaths, recovery and what is checked: as in slot.pml; and K must be found by every get.

   Not modelled: weak memory, the rest of the arena, a second home, moves of several keys, erase (it needs the home lock, which the mover holds
   until its end).

   Forms (-D):  NOINSERTER, NOOVERWRITER, NOREADER leave one out; TWICE the overwriter does it twice; NODEATH nobody dies; ONLYMOVER nobody but
                the mover dies; BLOCKS=2
   Mutants:     DSTFIRST dst is released before src is emptied (the reader of src can meet a reused block); NOMOVECOUNT the reader does not check the
                move count; BUMPEARLY the count is bumped before the copy is committed; MAXLAST the reader loads the max displacement
                after the tag; NODST the empty dst is not shown; BLOCKLATE the block word goes over after dst is released; DSTBLIND dst
                is not checked to be empty; NOBUMP an abort releases at the same version; MAXEARLY max lowered before the count is bumped;
                NOBACK recovery does not give the block back to src; STILLNEITHER the reader of a locked slot takes its words if
                shown has no bit for it again, though it was changed (dst: 0, SRC|DST, SRC)
   Run:  spin -a move.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000       or ./run */
#ifndef BLOCKS
#define BLOCKS 2
#endif
#define NONE 7
#define K 1
#define J 2

#define IDLE 0
#define MOVE 1
#define INSERT 2
#define OVERWRITE 3
#define COMMITTED 4
#define ABORTED 8
#define OP(r) (j_op[r] & 3)
#define SRC 1
#define DST 2

/* block word: generation * 8 + state */
#define FREE 0
#define RECORD(r) (r)
#define SLOT(s) (4 + (s))
#define STATE(w) ((w) & 7)
#define NEXT(w, st) ((((w) >> 3) + 1) * 8 + (st))

bit tag[2], max;
byte ver[2], own[2], wa[2], wb[2];
byte home, moves;                 /* home lock: owner, version */
byte bw[BLOCKS], bkey[BLOCKS], bval[BLOCKS];
byte j_op[4], j_slot[4], j_dst[4], j_nb[4], j_nw[4], j_ob[4], j_ow[4], j_after[4], share[4], shown[4], ia[4], ib[4];
bool dead[4], fin[4], again, recovered, got;
byte cur, seen;                   /* K's committed value; a bit for each committed since the get began */
bit reading;

#define COMMIT(x) cur = x; seen = seen | (reading << x)
#define LOCKED(s, v, r) (ver[s] == (v) && own[s] == (r))
#define UNLOCK(s) own[s] = 0; ver[s]++
#define LOCALS b = 0; w = 0; s = 0; v = 0; o = 0
#define CLEAR(r) j_slot[r] = 0; j_dst[r] = 0; j_nb[r] = NONE; j_nw[r] = 0; j_ob[r] = NONE; j_ow[r] = 0; j_after[r] = 0; ia[r] = 0; ib[r] = 0
#define FORGET(r) LOCALS; if :: !dead[r] -> CLEAR(r); shown[r] = 0 :: else fi

inline cas_block(b, from, to) { d_step { if :: (b) != NONE && bw[b] == (from) -> bw[b] = (to) :: else fi } }

inline allocate(r, k, x) {
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
      bkey[b] = k; bval[b] = x
    :: atomic { bw[b] != w -> b = NONE; w = 0; j_nb[r] = NONE; j_nw[r] = 0 }
    fi
  :: else
  fi
}

proctype Mover() {
  byte b, w, s, v, o;
  {
    home = 1;
    /* src and dst as seen: unlocked, dst empty; o: version of dst */
    if
    :: atomic { own[1] == 0 -> v = ver[1]; b = wa[1] - 1; w = bw[b] }
      if
#ifdef DSTBLIND
      :: atomic { own[0] == 0 -> o = ver[0]; s = 1 }
#else
      :: atomic { own[0] == 0 && wa[0] == 0 -> o = ver[0]; s = 1 }
#endif
      :: atomic { own[0] != 0 || wa[0] != 0 -> s = 0 }
      fi
    :: atomic { own[1] != 0 -> s = 0 }
    fi;
    if
    :: s == 1 ->
      shown[1] = 0;
      d_step { j_slot[1] = 1; j_dst[1] = 0; j_ob[1] = b; j_ow[1] = w; j_nw[1] = NEXT(w, SLOT(0)); w = 0; b = 0 }
      j_op[1] = MOVE;
      atomic { if :: LOCKED(1, v, 0) -> own[1] = 1 :: else -> s = 0 fi; v = 0 }
      if
      :: s == 1 ->
#ifdef DSTBLIND
        atomic { if :: own[0] == 0 -> own[0] = 1 :: else -> s = 0 fi; o = 0 }
#else
        atomic { if :: LOCKED(0, o, 0) -> own[0] = 1 :: else -> s = 0 fi; o = 0 }
#endif
        if
        :: s == 0 -> d_step { UNLOCK(1) }
        :: else ->
          d_step { ia[1] = wa[1]; ib[1] = wb[1] }
#ifdef NODST
          shown[1] = SRC;
#else
          shown[1] = SRC | DST;
#endif
#ifndef BLOCKLATE
          cas_block(j_ob[1], j_ow[1], j_nw[1]);
#endif
          wb[0] = ib[1]; wa[0] = ia[1];
          tag[0] = 1;
#ifdef BUMPEARLY
          moves++;
#endif
#ifdef MAXEARLY
          max = 0;
#endif
#ifdef DSTFIRST
          d_step { UNLOCK(0) }
#else
          shown[1] = SRC;
#endif
#ifndef BUMPEARLY
          moves++;
#endif
          tag[1] = 0;
          wa[1] = 0; wb[1] = 0;
          d_step { UNLOCK(1) }
#ifndef DSTFIRST
          d_step { UNLOCK(0) }
#endif
#ifdef BLOCKLATE
          cas_block(j_ob[1], j_ow[1], j_nw[1]);
#endif
          max = 0
        fi
      :: else
      fi;
      j_op[1] = IDLE
    :: else
    fi;
    home = 0
  } unless { dead[1] };
  atomic { FORGET(1); fin[1] = true }
}

proctype Overwriter() {
  byte b, w, s, v, o, x;
  {
    x = 2;
  next:
    allocate(2, K, x);
    do
    :: b == NONE -> break
    :: else ->
      if
      :: atomic { own[0] == 0 && tag[0] && wa[0] != 0 && bkey[wa[0] - 1] == K -> s = 0; v = ver[0]; o = wa[0] - 1 }
      :: atomic { own[1] == 0 && tag[1] && wa[1] != 0 -> s = 1; v = ver[1]; o = wa[1] - 1 }
      fi;
      w = bw[o];
      shown[2] = 0;
      d_step { j_slot[2] = s; j_ob[2] = o; j_ow[2] = w; w = 0 }
      j_op[2] = OVERWRITE;
      atomic { if :: LOCKED(s, v, 0) -> own[s] = 2; o = 1 :: else -> o = 0 fi; v = 0 }
      if
      :: o == 0 -> j_op[2] = IDLE
      :: else ->
        d_step { ia[2] = wa[s]; ib[2] = wb[s] }
        shown[2] = SRC;
        wb[s] = b + 1; wa[s] = b + 1;
        cas_block(b, j_nw[2], NEXT(j_nw[2], SLOT(s)));
        d_step { UNLOCK(s); COMMIT(x) }
        cas_block(j_ob[2], j_ow[2], NEXT(j_ow[2], FREE));
        j_op[2] = IDLE;
        break
      fi
    od;
#ifdef TWICE
    if :: atomic { x == 2 -> x = 3; LOCALS; goto next } :: x == 3 fi;
#endif
    skip
  } unless { dead[2] };
  atomic { FORGET(2); x = 0; fin[2] = true }
}

proctype Inserter() { /* of J, into slot 0 or nowhere */
  byte b, w, s, v, o;
  {
    allocate(3, J, 3);
    if
    :: b != NONE ->
      shown[3] = 0;
      j_after[3] = share[3] + 1;
      j_op[3] = INSERT;
      if
      :: atomic { own[0] == 0 && wa[0] == 0 -> v = ver[0]; s = 1 }
      :: atomic { own[0] != 0 || wa[0] != 0 -> s = 0 }
      fi;
      j_dst[3] = 0;
      atomic { if :: s == 1 && LOCKED(0, v, 0) -> own[0] = 3 :: else -> s = 0 fi; v = 0 }
      if
      :: s == 0 -> j_op[3] = IDLE; cas_block(b, j_nw[3], NEXT(j_nw[3], FREE))
      :: else ->
        shown[3] = DST;
        wb[0] = b + 1; wa[0] = b + 1;
        tag[0] = 1;
        cas_block(b, j_nw[3], NEXT(j_nw[3], SLOT(0)));
        d_step { UNLOCK(0) }
        share[3] = j_after[3];
        j_op[3] = IDLE
      fi
    :: else
    fi
  } unless { dead[3] };
  atomic { FORGET(3); fin[3] = true }
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
  byte r, s, c;
  if
#ifndef NODEATH
  :: atomic { !fin[1] -> dead[1] = true; r = 1 }
#ifndef ONLYMOVER
  :: atomic { !fin[2] -> dead[2] = true; r = 2 }
  :: atomic { !fin[3] -> dead[3] = true; r = 3 }
#endif
#endif
  :: atomic { fin[1] && fin[2] && fin[3] -> goto end }
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
#ifdef DSTFIRST
      :: OP(r) == MOVE && own[j_dst[r]] != r && (shown[r] & DST) -> c = COMMITTED
#else
      :: OP(r) == MOVE && shown[r] == SRC -> c = COMMITTED
#endif
      :: else
      fi
    fi;
    if :: j_op[r] != IDLE -> j_op[r] = OP(r) + c :: else fi;
    if :: again -> again = false; goto recover :: skip fi
  }
  if
  :: OP(r) == OVERWRITE && c == COMMITTED ->
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
    STEP(share[r] = j_after[r])
  :: OP(r) == INSERT && c == ABORTED ->
    if
    :: own[s] == r ->
      if
      :: shown[r] & DST -> STEP(tag[s] = 0); STEP(wa[s] = 0); STEP(wb[s] = 0)
      :: else
      fi;
      STEP(RELEASE(s))
    :: else
    fi;
    STEP(FREENEW(s))
  :: OP(r) == MOVE && c == COMMITTED ->
    STEP(moves++);
    if
    :: own[1] == r -> STEP(tag[1] = 0); STEP(wa[1] = 0); STEP(wb[1] = 0); STEP(UNLOCK(1))
    :: else
    fi;
    if
    :: own[0] == r -> STEP(UNLOCK(0))
    :: else
    fi
  :: OP(r) == MOVE && c == ABORTED ->
    if
    :: own[0] == r ->
      if
      :: shown[r] & DST -> STEP(tag[0] = 0); STEP(wa[0] = 0); STEP(wb[0] = 0)
      :: else
      fi;
#ifndef NOBACK
      STEP(CAS(j_ob[r], j_nw[r], NEXT(j_nw[r], SLOT(1))));
#endif
      STEP(RELEASE(0))
    :: else
    fi;
    if
    :: own[1] == r -> STEP(RELEASE(1))
    :: else
    fi
  :: else
  fi;
  STEP(j_op[r] = IDLE);
  STEP(if :: j_nb[r] != NONE && STATE(bw[j_nb[r]]) == RECORD(r) -> bw[j_nb[r]] = NEXT(bw[j_nb[r]], FREE) :: else fi);
  if
  :: home == r -> STEP(max = (wa[1] != 0)); STEP(home = 0)
  :: else
  fi;
  STEP(shown[r] = 0);
  atomic { CLEAR(r); c = 0; s = 0; again = false }
end:
  atomic { r = 0; c = 0; s = 0; recovered = true }
}

inline read(s) { /* x: K's value, 0: not K */
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
    :: a != 0 && a == b ->
      key = bkey[a - 1];
      if :: key == K -> x = bval[a - 1] :: else fi
    :: else
    fi;
    if
    :: ok == 2 ->
#ifdef STILLNEITHER
      atomic {
        if
        :: (shown[o] & DST) && j_dst[o] == s -> ok = 0
        :: (shown[o] & SRC) && j_slot[o] == s -> ok = 0
        :: else
        fi
      }
#else
      atomic { if :: shown[o] != sh -> ok = 0 :: else fi }
#endif
    :: else
    fi;
    atomic {
      if
      :: ok && LOCKED(s, v, o) -> assert(a == b); a = 0; b = 0; v = 0; o = 0; sh = 0; ok = 0; key = 0; break
      :: else -> a = 0; b = 0; x = 0; v = 0; o = 0; sh = 0; ok = 0; key = 0
      fi
    }
  od
}

proctype Reader() {
  byte v, o, a, b, x, sh, ok, key, m;
  bit far, reach;
  d_step { reading = 1; seen = 1 << cur }
  do
  ::
    if :: far -> m = moves :: else fi;
#ifdef MAXLAST
    if :: tag[0] -> read(0) :: else fi;
    reach = max;
#else
    reach = max;
    if :: tag[0] -> read(0) :: else fi;
#endif
    if
    :: x != 0 -> break
    :: x == 0 && !far -> if :: !reach -> break :: else -> far = 1 fi
    :: x == 0 && far ->
      if :: reach -> if :: tag[1] -> read(1) :: else fi :: else fi;
#ifdef NOMOVECOUNT
      break
#else
      if
      :: x != 0 -> break
      :: else -> if :: moves == m -> break :: else fi
      fi
#endif
    fi
  od;
  atomic { assert(seen & (1 << x)); reading = 0; seen = 0; x = 0; far = 0; reach = 0; m = 0; got = true }
}

init {
  byte b;
  d_step {
    j_nb[1] = NONE; j_nb[2] = NONE; j_nb[3] = NONE; j_ob[1] = NONE; j_ob[2] = NONE; j_ob[3] = NONE;
    tag[1] = 1; max = 1; wa[1] = 1; wb[1] = 1; bw[0] = SLOT(1); bkey[0] = K; bval[0] = 1; cur = 1; share[1] = 1
  }
  atomic {
    run Mover();
#ifdef NOOVERWRITER
    fin[2] = true;
#else
    run Overwriter();
#endif
#ifdef NOINSERTER
    fin[3] = true;
#else
    run Inserter();
#endif
    run Recoverer();
#ifdef NOREADER
    got = true
#else
    run Reader()
#endif
  }
  timeout ->
  atomic { /* nobody can go on: everybody must be through, and everything settled */
    assert(fin[1] && fin[2] && fin[3] && recovered && got);
    assert(own[0] == 0 && own[1] == 0 && home == 0);
    assert(wa[0] == wb[0] && wa[1] == wb[1]);
    assert(tag[0] == (wa[0] != 0) && tag[1] == (wa[1] != 0) && max == (wa[1] != 0));
    assert(share[1] + share[2] + share[3] == (wa[0] != 0) + (wa[1] != 0));
    do
    :: b < BLOCKS ->
      assert(STATE(bw[b]) == FREE || STATE(bw[b]) == SLOT(0) || STATE(bw[b]) == SLOT(1));
      assert((STATE(bw[b]) == SLOT(0)) == (wa[0] == b + 1) && (STATE(bw[b]) == SLOT(1)) == (wa[1] == b + 1));
      b++
    :: else -> break
    od;
    if
    :: wa[1] != 0 -> assert(bkey[wa[1] - 1] == K && bval[wa[1] - 1] == cur); assert(wa[0] == 0 || bkey[wa[0] - 1] == J)
    :: else -> assert(wa[0] != 0 && bkey[wa[0] - 1] == K && bval[wa[0] - 1] == cur)
    fi
  }
}
