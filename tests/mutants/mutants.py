"""The mutants: deliberate breakages of the protocol, each with the suite that is expected to notice it.

A mutant replaces one piece of source by another; `old` occurs exactly once in its file.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """A test program that can kill mutants: Bazel target, arguments and configuration of the build."""

    target: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    config: str = "dev"


SUITES = {
    "schedule": Suite("//tests/schedule:schedule_test"),
    "crash": Suite("//tests/crash:exhaustive_test"),
    "hostile": Suite("//tests:hostile_test", config="asan_ubsan"),
    "process": Suite("//tests:process_test", ("--gtest_filter=-Threads.*",)),
    "history": Suite("//tests/linearizability:history_test"),
    "arena": Suite("//tests:arena_test"),
    "dict": Suite("//tests:dict_test"),
    "random": Suite("//tests:random_test"),
    "interruption": Suite("//tests:interruption_test"),
    "memory": Suite("//tests:out_of_memory_test"),
    "waiting": Suite("//tests/crash:waiting_test"),
    "segment": Suite("//tests:segment_test"),
    "lock": Suite("//tests:lock_test", config="asan_ubsan"),
}


@dataclass(frozen=True)
class Mutant:
    """What is broken, where, and by whom it is killed."""

    name: str
    what: str
    file: str
    old: str
    new: str
    killer: str
    also: tuple[tuple[str, str], ...] = ()  # further replacements in the same file


PROTOCOL = "src/table/protocol.h"
READER = "src/table/reader.h"
RECOVERY = "src/table/recovery.h"
TABLE = "src/table/table.h"
CONTEXT = "src/table/context.h"
ARENA = "src/arena/arena.h"

MUTANTS = [
    # --- An order weakened --------------------------------------------------------------------------------------
    Mutant(
        "overwrite_commit_by_release",
        "the commit of an overwrite is a release store: not ordered before the writer's later loads",
        PROTOCOL,
        "    store_new(slot);\n    Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT",
        "    store_new(slot);\n    Mem::Store(slot.seq, owned::Next(seq));  // COMMIT",
        "schedule",
    ),
    Mutant(
        "seq_loaded_relaxed",
        "a reader's first load of seq acquires nothing: the words may be older than it",
        READER,
        "      const uint64_t seq = Mem::Load(slot.seq);\n      found->seq = seq;",
        "      const uint64_t seq = Mem::LoadOwn(slot.seq);\n      found->seq = seq;",
        "schedule",
    ),
    Mutant(
        "sight_seq_loaded_relaxed",
        "the same where the usual lookup begins",
        READER,
        "const uint64_t seq = Mem::Load(slot.seq), meta = Mem::Load(slot.words[0]);",
        "const uint64_t seq = Mem::LoadOwn(slot.seq), meta = Mem::Load(slot.words[0]);",
        "schedule",
    ),
    Mutant(
        "shown_loaded_relaxed",
        "a reader's load of shown acquires nothing: the image may not be complete",
        READER,
        "        const uint64_t shown = Mem::Load(record.shown);",
        "        const uint64_t shown = Mem::LoadOwn(record.shown);",
        "schedule",
    ),
    # --- Two stores swapped -------------------------------------------------------------------------------------
    Mutant(
        "shown_before_image",
        "the image is shown before it is complete",
        PROTOCOL,
        """        c_.geometry().slot_words, [=](uint32_t i)
                                      __attribute__((always_inline)) { Mem::Store(image[i], Mem::LoadOwn(words[i])); });
    Mem::Store(j.shown, kShownSrc);
    // Death from here: readers have the image""",
        """        c_.geometry().slot_words, [=, &j](uint32_t i)
                                      __attribute__((always_inline)) { if (i == 0) Mem::Store(j.shown, kShownSrc);
                                      Mem::Store(image[i], Mem::LoadOwn(words[i])); });
    // Death from here: readers have the image""",
        "schedule",
    ),
    Mutant(
        "tag_after_release",
        "an insert sets its tag when the slot is released already",
        PROTOCOL,
        "        c_.SetTag(s, probe.tag);\n        Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT",
        "        Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT\n        c_.SetTag(s, probe.tag);",
        "schedule",
    ),
    Mutant(
        "reach_after_commit",
        "an insert raises the reach of its home too late",
        PROTOCOL,
        """        c_.SetReach(probe.home, ExtendReach(c_.LoadGroup(probe.home).ReachByte(), d, probe.tag));
        // Under the lock: set after the release, a rollback could take away an overwrite that was acknowledged
        // meanwhile.
        c_.SetTag(s, probe.tag);
        Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT""",
        """        c_.SetTag(s, probe.tag);
        Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT
        c_.SetReach(probe.home, ExtendReach(c_.LoadGroup(probe.home).ReachByte(), d, probe.tag));""",
        "schedule",
    ),
    Mutant(
        "erase_clears_words_first",
        "an erase empties the slot before the tag, which is its commit",
        PROTOCOL,
        """    c_.SetTag(s, 0);  // COMMIT: whoever looks for the key from now on passes the slot by
    // Death: SRC shown and the tag clear: committed; recovery empties the slot and does the rest.
    Word* const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i) __attribute__((always_inline)) { Mem::Store(words[i], 0); });""",
        """    Word* const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i) __attribute__((always_inline)) { Mem::Store(words[i], 0); });
    c_.SetTag(s, 0);""",
        "crash",
    ),
    Mutant(
        "op_after_lock",
        "the operation is journaled when its lock is held already",
        PROTOCOL,
        """    Mem::Store(j.op, OpWord{Operation::kOverwrite, Outcome::kUndecided, has_new, has_old}.Encode());
    // Death up to here and after a lost CAS: slot not r's, nothing shown: aborted, the new block is freed.
    uint64_t now = seq;
    if (!Mem::Cas(slot.seq, now, owned::LockedBy(seq, w.index))) [[unlikely]]
      return GiveUp(j);""",
        """    uint64_t now = seq;
    if (!Mem::Cas(slot.seq, now, owned::LockedBy(seq, w.index))) [[unlikely]]
      return GiveUp(j);
    Mem::Store(j.op, OpWord{Operation::kOverwrite, Outcome::kUndecided, has_new, has_old}.Encode());""",
        "crash",
    ),
    Mutant(
        "group_words_in_the_other_order",
        "a lookup loads the word with the reach last: a key that is moved home meanwhile is in neither",
        CONTEXT,
        """    view.words[1] = Mem::Load(regions.group(g).words[1]);
    view.words[0] = Mem::Load(regions.group(g).words[0]);""",
        """    view.words[0] = Mem::Load(regions.group(g).words[0]);
    view.words[1] = Mem::Load(regions.group(g).words[1]);""",
        "schedule",
    ),
    Mutant(
        "move_releases_before_emptying",
        "a move releases the new place while the old one still shows the key",
        PROTOCOL,
        """    c_.SetTag(src.slot, 0);
    for (uint32_t k = 0; k < c_.geometry().slot_words; ++k) Mem::Store(from.words[k], 0);
    Mem::Store(from.seq, owned::Next(src.seq));
    Mem::Store(to.seq, owned::Next(dst_seq));""",
        """    Mem::Store(to.seq, owned::Next(dst_seq));
    c_.SetTag(src.slot, 0);
    for (uint32_t k = 0; k < c_.geometry().slot_words; ++k) Mem::Store(from.words[k], 0);
    Mem::Store(from.seq, owned::Next(src.seq));""",
        "schedule",
    ),
    # --- A step left out ----------------------------------------------------------------------------------------
    Mutant(
        "image_skipped",
        "an overwrite keeps no undo image",
        PROTOCOL,
        """    Word *const image = j.image, *const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i)
                                      __attribute__((always_inline)) { Mem::Store(image[i], Mem::LoadOwn(words[i])); });
""",
        "",
        "crash",
    ),
    Mutant(
        "version_not_bumped",
        "an overwrite releases its slot at the version that it had",
        PROTOCOL,
        "    store_new(slot);\n    Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT",
        "    store_new(slot);\n    Mem::Commit(slot.seq, owned::Same(seq));  // COMMIT",
        "schedule",
    ),
    Mutant(
        "shown_not_cleared",
        "an operation leaves the last one's shown bits in the journal",
        PROTOCOL,
        "    if (Mem::LoadOwn(j.shown) != 0) Mem::Store(j.shown, 0);",
        "    (void)j;",
        "schedule",
    ),
    Mutant(
        "insert_looks_not_again",
        "an insert does not look for its key again under the home lock",
        TABLE,
        "LookUp(key, probe, &again, [](uint64_t) -> char* { return nullptr; }) != read) {",
        "false && LookUp(key, probe, &again, [](uint64_t) -> char* { return nullptr; }) != read) {",
        "schedule",
    ),
    Mutant(
        "usual_insert_looks_not_again",
        "the same in the fast way",
        TABLE,
        "    if (reader_.Sight(key, probe, &at) == Read::kMissing) {\n      const uint64_t order",
        "    {\n      const uint64_t order",
        "schedule",
    ),
    Mutant(
        "home_version_not_bumped",
        "a move does not tell lookups that were under way",
        PROTOCOL,
        "    Mem::Store(lock, owned::LockedBy(owned::Next(Mem::Load(lock)), w.index));",
        "    Mem::Store(lock, owned::LockedBy(owned::Same(Mem::Load(lock)), w.index));",
        "schedule",
    ),
    Mutant(
        "block_freed_early",
        "an overwrite frees the old block before it commits",
        PROTOCOL,
        "      StoreWords(slot, fresh);\n      if (block != nullptr)",
        "      if (frees) c_.arena.Free(w, old.granule, old.word);\n"
        "      StoreWords(slot, fresh);\n      if (block != nullptr)",
        "schedule",
    ),
    Mutant(
        "block_not_settled",
        "a new block is not handed to its slot",
        PROTOCOL,
        "      if (block != nullptr) c_.arena.Settle(block->granule, block->word, static_cast<uint32_t>(found.slot));",
        "",
        "crash",
    ),
    Mutant(
        "share_not_stored",
        "an erase does not count",
        PROTOCOL,
        """    if (found.displacement > 0) scan_.LowerReach(home);
    Mem::Store(j.share, Mem::LoadOwn(j.share_after));""",
        "    if (found.displacement > 0) scan_.LowerReach(home);",
        "crash",
    ),
    # --- A check forgotten --------------------------------------------------------------------------------------
    Mutant(
        "seq_not_looked_at_again",
        "a reader believes what it copied, whatever became of the slot",
        READER,
        "      if (Mem::Load(slot.seq) == seq) [[likely]] {\n        return parsed",
        "      if (Mem::Load(slot.seq) != 0) [[likely]] {\n        return parsed",
        "schedule",
    ),
    Mutant(
        "usual_seq_not_looked_at_again",
        "the same in the fast way",
        READER,
        "    return Mem::Load(slot.seq) == sighting->seq ? Read::kFound : Read::kUnusual;",
        "    return Read::kFound;",
        "schedule",
    ),
    Mutant(
        "shown_not_looked_at_again",
        "a reader of a locked slot's words does not ask again whether they are still what counts",
        READER,
        "          if (Mem::Load(record.shown) != shown) continue;",
        "",
        "schedule",
    ),
    Mutant(
        "moves_not_looked_at_again",
        "a lookup takes a miss for good although a key was moved home",
        READER,
        "      if (owned::Version(Mem::Load(c_.regions.home_lock(probe.home))) == moves) return Read::kMissing;",
        "      (void)moves;\n      return Read::kMissing;",
        "schedule",
    ),
    Mutant(
        "place_not_looked_at_again",
        "an insert takes a slot by its tag alone",
        PROTOCOL,
        "        if (owned::IsLocked(seq) || Mem::Load(slot.words[0]) != 0) continue;\n        Mem::Store(j.dst, s);",
        "        if (owned::IsLocked(seq)) continue;\n        Mem::Store(j.dst, s);",
        "schedule",
    ),
    Mutant(
        "expiry_not_asked_under_the_lock",
        "a write that needs a live entry does not look at the clock under the lock",
        PROTOCOL,
        "    if (expired()) {",
        "    if (false && expired()) {",
        "dict",
    ),
    Mutant(
        "block_bounds_dropped",
        "a block reference is followed wherever it leads",
        READER,
        "        parsed = c_.arena.InBounds(copy.granule, copy.BlockLength());",
        "        parsed = true;",
        "hostile",
    ),
    Mutant(
        "owner_bounds_dropped",
        "a lock's owner is looked up without asking whether there is such a record",
        READER,
        "        if (owner >= c_.records()) return Read::kCorrupt;",
        "",
        "hostile",
    ),
    # --- Recovery -----------------------------------------------------------------------------------------------
    Mutant(
        "outcome_not_stored",
        "a recovery does not write down what it decided",
        RECOVERY,
        "        Mem::Store(j.op, op.Encode());\n      }",
        "      }",
        "crash",
    ),
    Mutant(
        "same_version_at_recovery",
        "a recovery releases a slot at the version that it had",
        RECOVERY,
        "    Mem::Store(seq, owned::Next(Mem::Load(seq)));",
        "    Mem::Store(seq, owned::Same(Mem::Load(seq)));",
        "schedule",
    ),
    Mutant(
        "recovered_share_not_stored",
        "a recovery finishes an insert or erase without counting it",
        RECOVERY,
        "    if (committed && op.operation != Operation::kOverwrite) Mem::Store(j.share, Mem::Load(j.share_after));",
        "",
        "crash",
    ),
    Mutant(
        "recovered_block_not_freed",
        "a recovery keeps the block of an aborted write",
        RECOVERY,
        "        c_.arena.RecoverFree(r, Mem::Load(j.new_block), "
        "taken.Next(BlockState::kSlot, static_cast<uint32_t>(target)));",
        "",
        "crash",
    ),
    Mutant(
        "home_lock_left",
        "a recovery leaves the dead one's home lock",
        RECOVERY,
        "        Mem::Store(lock, owned::Same(Mem::Load(lock)));\n      }\n    }\n    Word& global",
        "      }\n    }\n    Word& global",
        "crash",
    ),
    Mutant(
        "global_lock_left",
        "a recovery leaves the dead one's global lock",
        RECOVERY,
        "owned::IsLockedBy(word, r)) Mem::Store(global, owned::Next(word));",
        "owned::IsLockedBy(word, r)) (void)word;",
        "crash",
    ),
    Mutant(
        "move_source_left_locked",
        "a recovery leaves the source of a move that it undid locked",
        RECOVERY,
        "    if (LockedBy(r, src)) Release(src);\n  }",
        "  }",
        "crash",
    ),
    Mutant(
        "retaken_block_freed",
        "a recovery frees the block that the journal names, whoever has it by now",
        ARENA,
        "    if (now != word && now != in_record) return;\n",
        "",
        "crash",
    ),
    Mutant(
        "page_assigned_too_early",
        "a page says that it is assigned before its blocks are free to be taken",
        ARENA,
        "          MakeAssigned(page, assigning);\n          Mem::Store(w.record->page, 0);",
        "          Mem::Store(w.record->page, 0);\n          MakeAssigned(page, assigning);",
        "crash",
    ),
    Mutant(
        "block_journaled_too_late",
        "a block is taken before the journal names it",
        ARENA,
        "    return Mem::Cas(shared, word, taken);\n    // A crash here: the block's word is new_word",
        "    const bool won = Mem::Cas(shared, word, taken);\n"
        "    Mem::Store(w.record->new_block, granule), Mem::Store(w.record->new_word, taken);\n"
        "    return won;\n    // A crash here: the block's word is new_word",
        "crash",
        also=(
            (
                "      Mem::Store(w.record->new_block, granule);\n      Mem::Store(w.record->new_word, taken);\n",
                "",
            ),
        ),
    ),
    Mutant(
        "liveness_not_asked",
        "whoever waits for a lock, or for a free record, recovers its owner, dead or alive",
        "src/sync/liveness.cc",
        "    return lock.l_type != F_UNLCK;",
        "    return false;",
        "process",
        also=(("    if (!locked.ok() || !*locked) return locked;", "    if (!locked.ok()) return locked;"),),
    ),
    # --- Where one protocol meets another -----------------------------------------------------------------------
    Mutant(
        "home_forgotten_before_unlock",
        "the journal forgets a home lock before it is let go",
        PROTOCOL,
        "    Mem::Store(lock, owned::Same(Mem::Load(lock)));\n    Mem::Store(w.record->home, 0);\n",
        "    Mem::Store(w.record->home, 0);\n    Mem::Store(lock, owned::Same(Mem::Load(lock)));\n",
        "schedule",
    ),
    Mutant(
        "reach_lowered_too_early",
        "an erase computes the reach while its key still counts, and leaves it too far for ever",
        PROTOCOL,
        """    if (!Remove(w, found.slot, found.seq, frees)) return Step::kLost;
    // Only now: a scan must not see the erased key.
    if (found.displacement > 0) scan_.LowerReach(home);""",
        """    if (found.displacement > 0) scan_.LowerReach(home);
    if (!Remove(w, found.slot, found.seq, frees)) return Step::kLost;""",
        "schedule",
    ),
    Mutant(
        "reach_of_a_move_forgets_others",
        "a move sets the reach to nothing, whoever else is displaced",
        PROTOCOL,
        "    c_.SetReach(home, reach);\n    EndOperation(j);",
        "    c_.SetReach(home, 0 * reach);\n    EndOperation(j);",
        "random",
    ),
    Mutant(
        "pull_home_without_lock",
        "a key is pulled home without its home lock",
        PROTOCOL,
        "    if (c_.LoadGroup(g).ReachByte() == 0 || !TryLockHome(w, g)) return;",
        "    if (c_.LoadGroup(g).ReachByte() == 0) return;",
        "schedule",
        also=(
            (
                "        Move(w, g, farthest, dst, seq, rest);\n        break;\n      }\n    }\n    UnlockHome(w, g);",
                "        Move(w, g, farthest, dst, seq, rest);\n        break;\n      }\n    }",
            ),
        ),
    ),
    Mutant(
        "move_not_told_at_recovery",
        "a recovery finishes a move without telling lookups that are under way",
        RECOVERY,
        "        if (owned::IsLockedBy(word, r)) Mem::Store(lock, owned::LockedBy(owned::Next(word), r));",
        "        if (owned::IsLockedBy(word, r)) Mem::Store(lock, owned::LockedBy(owned::Same(word), r));",
        "schedule",
    ),
    Mutant(
        "moved_block_not_given_back",
        "a recovery undoes a move, but leaves its block to the new place",
        RECOVERY,
        "    if (op.has_old) {\n      const BlockWord old",
        "    if (false && op.has_old) {\n      const BlockWord old",
        "crash",
    ),
    Mutant(
        "home_not_loaded_again",
        "a lookup that goes on behind its home group does not look at that group again",
        READER,
        "        const GroupView view = d == 0 ? home : c_.LoadGroup(sequence.group());\n"
        "        const Read read = SearchGroup(",
        "        const GroupView view = c_.LoadGroup(sequence.group());\n"
        "        const Read read = d == 0 ? Read::kMissing : SearchGroup(",
        "schedule",
    ),
    Mutant(
        "visit_does_not_look_again",
        "a visit of all entries takes a home as it looked, although a key was moved meanwhile",
        "src/table/table_view.h",
        "      if (owned::Version(Mem::Load(c_.regions.home_lock(home))) == moves) return absl::OkStatus();",
        "      if (owned::Version(Mem::Load(c_.regions.home_lock(home))) >= moves) return absl::OkStatus();",
        "schedule",
    ),
    Mutant(
        "page_retired_by_stores",
        "a page's free blocks are retired without asking whether they still are free",
        ARENA,
        "            if (Mem::Cas(block_word, now, block.Next(BlockState::kRetired))) break;\n            continue;",
        "            Mem::Store(block_word, block.Next(BlockState::kRetired));\n            break;",
        "schedule",
    ),
    Mutant(
        "chain_freed_from_its_head",
        "a chain's head is free before its members are",
        ARENA,
        "    if (block.size_class == 0 && HasMembers(granule)) {\n      if (block.state != BlockState::kRecord) {",
        "    if (block.size_class == 0 && HasMembers(granule)) {\n"
        "      Mem::Store(shared, BlockWord::Decode(Mem::Load(shared)).Next(BlockState::kFree));\n"
        "      return FreeMembers(granule);\n"
        "      if (block.state != BlockState::kRecord) {",
        "crash",
    ),
    Mutant(
        "members_forgotten_at_recovery",
        "a recovery frees a chain's head alone",
        ARENA,
        "        Mem::Cas(member, member_word, m.Next(BlockState::kFree));",
        "        (void)m;",
        "crash",
    ),
    Mutant(
        "clock_read_after_the_check",
        "a lookup asks whether an entry has expired when it no longer knows that it is the entry",
        "src/table/table_view.h",
        "      return buffer->data();\n    });\n",
        "      return buffer->data();\n    });\n"
        "    if (read == Read::kFound) lookup.expired = Expired(lookup.found.copy);\n",
        "dict",
    ),
    # --- What interrupts a call ---------------------------------------------------------------------------------
    Mutant(
        "inherited_lock_let_go",
        "a child forked in Update's function lets its parent's lock go",
        "src/dict/handle.h",
        "        if (w.process != ProcessGeneration()) return;\n        if (locked)",
        "        if (locked)",
        "interruption",
    ),
    Mutant(
        "inherited_block_freed",
        "a child forked in Update's function frees the block that its parent is about to store",
        TABLE,
        "if (has_ && w_.process == ProcessGeneration()) table_",
        "if (has_) table_",
        "interruption",
    ),
    Mutant(
        "inherited_guard_used",
        "a guard's copy in a forked child uses its parent's writer, which may be forgotten there",
        "src/dict/dict.cc",
        "if (writer_ != nullptr && process_ == internal::ProcessGeneration()) handle_",
        "if (writer_ != nullptr) handle_",
        "lock",
    ),
    Mutant(
        "busy_writer_used_again",
        "a signal handler that interrupts a write writes with the same writer",
        "src/dict/handle.cc",
        "  if ((*writer)->busy) return UnderWay();\n",
        "",
        "interruption",
    ),
    Mutant(
        "allocation_behind_a_claim",
        "a thread that has claimed a record has no memory to remember it",
        "src/dict/writer_pool.cc",
        "  state->held.reserve(state->held.size() + 1);  // what cannot be had is missed before there is a writer\n",
        "",
        "memory",
    ),
    Mutant(
        "allocation_under_a_lock",
        "an evacuation that has no memory throws while it holds a page",
        TABLE,
        "new (std::nothrow) char[page_size]",
        "new char[page_size]",
        "memory",
    ),
    # --- How long a call waits ----------------------------------------------------------------------------------
    Mutant(
        "wait_limit_for_each_holder",
        "a call waits anew for whoever takes the lock next",
        RECOVERY,
        "        if (again && Late(w)) return TooLate();\n",
        "",
        "waiting",
    ),
    Mutant(
        "dead_holder_given_up_on",
        "a call that is late does not recover a dead holder",
        RECOVERY,
        "      absl::StatusOr<bool> alive = c_.liveness->IsAlive(owner);\n",
        "      if (again && Late(w)) return TooLate();\n"
        "      absl::StatusOr<bool> alive = c_.liveness->IsAlive(owner);\n",
        "waiting",
    ),
    Mutant(
        "memfd_left_unsealed",
        "who attaches to a memfd whose creator died before its seals does not seal it",
        "src/segment/segment.cc",
        "  if (location.kind() == Location::Kind::kDescriptor) Seal(fd.get());\n",
        "",
        "segment",
    ),
]
