// The four ways in which a slot changes: overwrite, insert, erase, move. Each is journaled, shows readers what was
// before, changes the words under the slot's lock, and takes effect by one store, marked COMMIT. At each store it is
// said what a death right after it leaves; recovery.h is the other half.
//
// Common to all. `shown` is cleared before anything is journaled (a stale one would show, or prove, what is not). The
// journal is complete before `op` is stored, `op` before the lock is tried: whoever finds the lock finds in the journal
// what it is for.
#ifndef SEGDICT_SRC_TABLE_PROTOCOL_H_
#define SEGDICT_SRC_TABLE_PROTOCOL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "src/table/home_scan.h"
#include "src/table/recovery.h"

namespace segdict::internal {

enum class Step {
  kDone,
  kLost,     // the entry is not what was looked at any more: look again
  kExpired,  // found expired under the lock
  kFull,     // no empty slot anywhere
  kCorrupt,
};

// A block in w's hands, state RECORD(w).
struct TakenBlock {
  uint64_t granule;
  uint64_t word;
};

template <class Mem>
class Protocol {
 public:
  Protocol(Context<Mem>& context, Recovery<Mem>& recovery) : c_(context), recovery_(recovery), scan_(context) {}

  // ---- Home locks -----------------------------------------------------------------------------------------

  // Serializes insert, erase and move of the keys whose home is `g`. May wait.
  absl::Status LockHome(Writer& w, uint64_t g) {
    JournalHome(*w.record, g);  // death: recovery finds the lock not r's, and ignores it
    Word& lock = c_.regions.home_lock(g);
    for (bool again = false;; again = true) {
      uint64_t word = Mem::Load(lock);
      if (owned::IsLocked(word)) {
        absl::Status status = recovery_.AwaitChange(w, lock, word, {LockName::Kind::kHome, g}, again);
        if (!status.ok()) {
          if (w.process == ProcessGeneration()) Mem::Store(w.record->home, 0);
          return status;
        }
      } else if (Mem::Cas(lock, word, owned::LockedBy(word, w.index))) {
        return absl::OkStatus();  // death: recovery unlocks
      }
    }
  }

  bool TryLockHome(Writer& w, uint64_t g) {
    Word& lock = c_.regions.home_lock(g);
    uint64_t word = Mem::Load(lock);
    if (owned::IsLocked(word)) return false;
    JournalHome(*w.record, g);
    if (Mem::Cas(lock, word, owned::LockedBy(word, w.index))) return true;
    Mem::Store(w.record->home, 0);
    return false;
  }

  void UnlockHome(Writer& w, uint64_t g) {
    Word& lock = c_.regions.home_lock(g);
    Mem::Store(lock, owned::Same(Mem::Load(lock)));
    Mem::Store(w.record->home, 0);
    recovery_.WakeWaiters(*w.record);
  }

  // ---- Overwrite ------------------------------------------------------------------------------------------

  // Replaces the entry that was found (unlocked, at found.seq) by `fresh`. The new words refer to `block`, or, with
  // `keep_block`, to the old entry's, or to none. With `live_until` not kNever the clock is read under the lock, and
  // kExpired says that it had passed.
  Step Overwrite(Writer& w, const Found& found, const SlotCopy& fresh, const TakenBlock* block, bool keep_block,
                 int64_t live_until) {
    WriterRecord& j = *w.record;
    const bool frees = found.copy.ValueInBlock() && !keep_block;
    ClearShown(j);
    OldBlock old;
    if (frees) {
      if (const Step step = JournalOld(j, found, &old); step != Step::kDone) return step;
    }
    const auto expired = [&] { return live_until != kNever && c_.clock->Now() >= live_until; };
    const Step step = Replace(w, found.slot, found.seq, block != nullptr, frees, expired, [&](Slot& slot) {
      StoreWords(slot, fresh);
      if (block != nullptr) c_.arena.Settle(block->granule, block->word, static_cast<uint32_t>(found.slot));
    });
    // Death after COMMIT: not r's any more and SRC shown: committed; recovery frees the old block.
    if (step == Step::kDone && frees) c_.arena.Free(w, old.granule, old.word);
    if (step != Step::kLost) EndOperation(j);
    return step;
  }

  // Replaces the value of a plain entry that was sighted (unlocked, at `seq`) in slot `s`, with a key of `key_length`
  // bytes, by one that fits in its place. False: the slot is not at `seq` any more.
  [[gnu::always_inline]] inline bool OverwritePlain(Writer& w, uint64_t s, uint64_t seq, size_t key_length,
                                                    std::string_view value, uint8_t type) {
    ClearShown(*w.record);
    const Step step = Replace(
        w, s, seq, /*has_new=*/false, /*has_old=*/false, [] { return false; },
        [ =, this ](Slot & slot) __attribute__((always_inline)) { StorePlain(slot, key_length, value, type); });
    if (step == Step::kLost) [[unlikely]]
      return false;
    EndOperation(*w.record);
    return true;
  }

  // ---- Insert ---------------------------------------------------------------------------------------------

  // Adds an entry whose key was not found. REQUIRES: the home lock is held. `place` and `after` get its slot and the
  // seq that it was committed with.
  Step Insert(Writer& w, const Probe& probe, const SlotCopy& fresh, const TakenBlock* block, uint64_t* place,
              uint64_t* after) {
    WriterRecord& j = *w.record;
    ClearShown(j);
    const uint64_t share = Mem::LoadOwn(j.share) + 1;
    Mem::Store(j.share_after, share);
    Mem::Store(j.dst, c_.geometry().slots);  // none yet
    Mem::Store(j.op, OpWord{Operation::kInsert, Outcome::kUndecided, block != nullptr, false}.Encode());
    // Death here and between candidates: no slot is r's, nothing shown: aborted.
    ProbeSequence sequence(probe.home, c_.groups());
    for (uint64_t d = 0; d < c_.groups(); ++d, sequence.Next()) {
      uint32_t empty = c_.LoadGroup(sequence.group()).Match(0);
      while (empty != 0) {
        const uint32_t i = d == 0 ? Reader<Mem>::First(empty, probe) : static_cast<uint32_t>(__builtin_ctz(empty));
        empty &= ~(1u << i);
        const uint64_t s = sequence.group() * kSlotsPerGroup + i;
        Slot& slot = c_.regions.slot(s);
        uint64_t seq = Mem::Load(slot.seq);
        if (owned::IsLocked(seq) || Mem::Load(slot.words[0]) != 0) continue;
        Mem::Store(j.dst, s);
        if (!Mem::Cas(slot.seq, seq, owned::LockedBy(seq, w.index))) continue;
        // Empty at `seq`, and locked from it: empty now. Death: aborted, nothing to clear.
        Mem::Store(j.shown, kShownDst);
        // Death from here: readers see an empty slot; recovery clears tag and words.
        StoreWords(slot, fresh);
        if (block != nullptr) c_.arena.Settle(block->granule, block->word, static_cast<uint32_t>(s));
        // Before the key can be found: a lookup must reach it. Too far for a while is only slow.
        c_.SetReach(probe.home, ExtendReach(c_.LoadGroup(probe.home).ReachByte(), d, probe.tag));
        // Under the lock: set after the release, a rollback could take away an overwrite that was acknowledged
        // meanwhile.
        c_.SetTag(s, probe.tag);
        Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT
        // Death: not r's any more and DST shown: committed; recovery sets the share.
        Mem::Store(j.share, share);
        EndOperation(j);
        *place = s;
        *after = owned::Next(seq);
        return Step::kDone;
      }
    }
    Mem::Store(j.op, OpWord{}.Encode());
    return Step::kFull;
  }

  // ---- Erase ----------------------------------------------------------------------------------------------

  // Removes the entry that was found (unlocked, at found.seq). REQUIRES: the lock of its home is held.
  Step Erase(Writer& w, const Found& found, uint64_t home) {
    WriterRecord& j = *w.record;
    const bool frees = found.copy.ValueInBlock();
    ClearShown(j);
    OldBlock old;
    if (frees) {
      if (const Step step = JournalOld(j, found, &old); step != Step::kDone) return step;
    }
    if (!Remove(w, found.slot, found.seq, frees)) return Step::kLost;
    // Only now: a scan must not see the erased key.
    if (found.displacement > 0) scan_.LowerReach(home);
    Mem::Store(j.share, Mem::LoadOwn(j.share_after));
    if (frees) c_.arena.Free(w, old.granule, old.word);
    EndOperation(j);
    return Step::kDone;
  }

  // Removes the plain entry that was sighted (unlocked, at `seq`) in slot `s` of its home group. False: the slot is not
  // at `seq` any more. REQUIRES: the lock of its home is held.
  bool ErasePlain(Writer& w, uint64_t s, uint64_t seq) {
    WriterRecord& j = *w.record;
    ClearShown(j);
    if (!Remove(w, s, seq, /*has_old=*/false)) return false;
    Mem::Store(j.share, Mem::LoadOwn(j.share_after));
    EndOperation(j);
    return true;
  }

  // ---- Move -----------------------------------------------------------------------------------------------

  // After an erase in group `g`: brings the farthest displaced key whose home is `g` into a free slot there, so that
  // churn does not age the table. Does nothing if there is no such key, no free slot, or anybody else at work there.
  void PullHome(Writer& w, uint64_t g) {
    if (c_.LoadGroup(g).ReachByte() == 0 || !TryLockHome(w, g)) return;
    const GroupView view = c_.LoadGroup(g);
    Found farthest;
    bool found = false;
    uint32_t rest = 0;  // what the reach will be without that one
    const int unread = scan_.VisitDisplaced(g, view.ReachByte(), [&](const Found& displaced) {
      if (found) {
        rest = ExtendReach(rest, displaced.displacement, c_.LoadTag(displaced.slot));
      } else {
        farthest = displaced;
        found = true;
      }
      return true;
    });
    if (unread > 0) rest = view.ReachByte();
    if (found && !owned::IsLocked(farthest.seq)) {
      for (uint32_t empty = view.Match(0); empty != 0; empty &= empty - 1) {
        const uint64_t dst = g * kSlotsPerGroup + static_cast<uint32_t>(__builtin_ctz(empty));
        const uint64_t seq = Mem::Load(c_.regions.slot(dst).seq);
        if (owned::IsLocked(seq) || Mem::Load(c_.regions.slot(dst).words[0]) != 0) continue;
        Move(w, g, farthest, dst, seq, rest);
        break;
      }
    }
    UnlockHome(w, g);
  }

 private:
  struct OldBlock {
    uint64_t granule = 0, word = 0;
  };

  [[gnu::always_inline]] static inline void ClearShown(WriterRecord& j) {
    if (Mem::LoadOwn(j.shown) != 0) Mem::Store(j.shown, 0);
  }

  // Journals the found entry's block. The block of an unlocked slot always says SLOT of that slot.
  Step JournalOld(WriterRecord& j, const Found& found, OldBlock* old) {
    old->granule = found.copy.granule;
    old->word = c_.arena.LoadWord(old->granule);
    const BlockWord block = BlockWord::Decode(old->word);
    if (block.state != BlockState::kSlot || block.owner != found.slot ||
        block.size_class >= c_.arena.classes().count()) {
      return Mem::Load(c_.regions.slot(found.slot).seq) == found.seq ? Step::kCorrupt : Step::kLost;
    }
    Mem::Store(j.old_block, old->granule);
    Mem::Store(j.old_word, old->word);
    return Step::kDone;
  }

  // The count last, before the lock is tried: whoever sees it unchanged knows that no lock was taken meanwhile.
  static void JournalHome(WriterRecord& j, uint64_t g) {
    Mem::Store(j.home, g + 1);
    Mem::Store(j.home_locks, Mem::LoadOwn(j.home_locks) + 1);
  }

  // From `slot` journaled to COMMIT. Afterwards the operation is to be ended, unless kLost is returned.
  template <class Expired, class StoreNew>
  [[gnu::always_inline]] inline Step Replace(Writer& w, uint64_t s, uint64_t seq, bool has_new, bool has_old,
                                             Expired&& expired, StoreNew&& store_new) {
    WriterRecord& j = *w.record;
    Slot& slot = c_.regions.slot(s);
    Mem::Store(j.slot, s);
    Mem::Store(j.op, OpWord{Operation::kOverwrite, Outcome::kUndecided, has_new, has_old}.Encode());
    // Death up to here and after a lost CAS: slot not r's, nothing shown: aborted, the new block is freed.
    uint64_t now = seq;
    if (!Mem::Cas(slot.seq, now, owned::LockedBy(seq, w.index))) [[unlikely]]
      return GiveUp(j);
    // Death: aborted; the words are untouched. Readers: nothing shown, so the slot's words, which are the old ones.
    if (expired()) {
      Mem::Store(slot.seq, owned::Next(seq));
      return Step::kExpired;
    }
    Word *const image = j.image, *const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i)
                                      __attribute__((always_inline)) { Mem::Store(image[i], Mem::LoadOwn(words[i])); });
    Mem::Store(j.shown, kShownSrc);
    // Death from here: readers have the image, recovery puts it back.
    store_new(slot);
    Mem::Commit(slot.seq, owned::Next(seq));  // COMMIT
    return Step::kDone;
  }

  // From `share_after` journaled to the slot's release. False: it was not at `seq` any more.
  [[gnu::always_inline]] inline bool Remove(Writer& w, uint64_t s, uint64_t seq, bool has_old) {
    WriterRecord& j = *w.record;
    Slot& slot = c_.regions.slot(s);
    Mem::Store(j.share_after, Mem::LoadOwn(j.share) - 1);
    Mem::Store(j.slot, s);
    Mem::Store(j.op, OpWord{Operation::kErase, Outcome::kUndecided, false, has_old}.Encode());
    uint64_t now = seq;
    if (!Mem::Cas(slot.seq, now, owned::LockedBy(seq, w.index))) [[unlikely]] {
      GiveUp(j);
      return false;
    }
    StoreImage(j, slot);
    Mem::Store(j.shown, kShownSrc);
    // Death up to here: aborted. Readers that come by the tag have the image.
    c_.SetTag(s, 0);  // COMMIT: whoever looks for the key from now on passes the slot by
    // Death: SRC shown and the tag clear: committed; recovery empties the slot and does the rest.
    Word* const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i) __attribute__((always_inline)) { Mem::Store(words[i], 0); });
    Mem::Store(slot.seq, owned::Next(seq));
    return true;
  }

  // Meta and value of a plain entry whose key is there already; what is behind the value is zero.
  [[gnu::always_inline]] inline void StorePlain(Slot& slot, size_t key_length, std::string_view value, uint8_t type) {
    Mem::Store(slot.words[0], meta::Plain(c_.plain_flags, key_length, value.size(), type));
    Word* const end = slot.words + c_.geometry().slot_words;
    Word* word = end - c_.plain_words + 1 + key_length / 8;
    const char* from = value.data();
    size_t n = value.size();
    if (const size_t skip = key_length % 8; skip == 0) {
      for (; n >= 8; n -= 8, from += 8) Mem::Store(*word++, LoadBytes(from, 8));
      if (n > 0) Mem::Store(*word++, LoadBytes(from, n));
    } else {
      // The value begins in the word where the key ends.
      uint64_t pending = Mem::LoadOwn(*word) & ((1ull << 8 * skip) - 1);
      for (const size_t room = 8 - skip;; from += 8, n -= 8) {
        const uint64_t part = LoadBytes(from, std::min<size_t>(n, 8));
        Mem::Store(*word++, pending | part << 8 * skip);
        if (n <= room) break;
        pending = part >> 8 * room;
        if (n <= 8) {
          Mem::Store(*word++, pending);
          break;
        }
      }
    }
    while (word < end) Mem::Store(*word++, 0);
  }

  Step GiveUp(WriterRecord& j) {
    Mem::Store(j.op, OpWord{}.Encode());
    Mem::Store(j.retries, Mem::LoadOwn(j.retries) + 1);
    return Step::kLost;
  }

  void EndOperation(WriterRecord& j) {
    Mem::Store(j.op, OpWord{}.Encode());
    recovery_.WakeWaiters(j);
  }

  // What a slot holds, for readers and recovery. REQUIRES: its lock is held.
  [[gnu::always_inline]] inline void StoreImage(WriterRecord& j, const Slot& slot) {
    Word* const image = j.image;
    const Word* const words = slot.words;
    ForSlotWords(
        c_.geometry().slot_words, [=](uint32_t i)
                                      __attribute__((always_inline)) { Mem::Store(image[i], Mem::LoadOwn(words[i])); });
  }
  void StoreWords(Slot& slot, const SlotCopy& copy) {
    ForSlotWords(
        c_.geometry().slot_words, [&](uint32_t i)
                                      __attribute__((always_inline)) { Mem::Store(slot.words[i], copy.words[i]); });
  }

  // Moves the displaced entry `src` to slot `dst` of its home group, whose reach without it is `reach`.
  // Both slots stay locked to the end: while either is, nobody can overwrite the key, and so its block cannot be freed
  // under a reader that still finds it by the image of `src`.
  void Move(Writer& w, uint64_t home, const Found& src, uint64_t dst, uint64_t dst_seq, uint32_t reach) {
    WriterRecord& j = *w.record;
    Slot& from = c_.regions.slot(src.slot);
    Slot& to = c_.regions.slot(dst);
    ClearShown(j);
    OldBlock old;
    if (src.copy.ValueInBlock() && JournalOld(j, src, &old) != Step::kDone) return;
    Mem::Store(j.slot, src.slot);
    Mem::Store(j.dst, dst);
    Mem::Store(j.op, OpWord{Operation::kMove, Outcome::kUndecided, false, src.copy.ValueInBlock()}.Encode());
    uint64_t seq = src.seq;
    if (!Mem::Cas(from.seq, seq, owned::LockedBy(seq, w.index))) {
      GiveUp(j);
      return;
    }
    seq = dst_seq;
    if (!Mem::Cas(to.seq, seq, owned::LockedBy(seq, w.index))) {
      Mem::Store(from.seq, owned::Next(src.seq));
      EndOperation(j);
      return;
    }
    // Death up to here: nothing shown: both slots released as they are.
    StoreImage(j, from);
    Mem::Store(j.shown, kShownSrc | kShownDst);
    // Death from here: src by its image, dst empty; recovery clears dst and gives the block back to src.
    if (src.copy.ValueInBlock()) {
      c_.arena.RecoverWord(old.granule, old.word,
                           BlockWord::Decode(old.word).Next(BlockState::kSlot, static_cast<uint32_t>(dst)));
    }
    StoreWords(to, src.copy);
    c_.SetTag(dst, c_.LoadTag(src.slot));
    Mem::Store(j.shown, kShownSrc);  // COMMIT: readers of dst see its words, those of src still the image
    // Death from here: recovery goes on forward.
    // Readers that passed the home group before the tag of dst was there will see another version here, and look again.
    Word& lock = c_.regions.home_lock(home);
    Mem::Store(lock, owned::LockedBy(owned::Next(Mem::Load(lock)), w.index));
    c_.SetTag(src.slot, 0);
    for (uint32_t k = 0; k < c_.geometry().slot_words; ++k) Mem::Store(from.words[k], 0);
    Mem::Store(from.seq, owned::Next(src.seq));
    Mem::Store(to.seq, owned::Next(dst_seq));
    c_.SetReach(home, reach);
    EndOperation(j);
  }

  Context<Mem>& c_;
  Recovery<Mem>& recovery_;
  HomeScan<Mem> scan_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_PROTOCOL_H_
