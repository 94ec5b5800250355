// Recovery of a dead writer, and waiting for a live one.
//
// Recover(r) runs under r's kernel lock, so r's owner is dead and nobody else recovers it. It waits for nobody, and
// writes only r's journal and what r held. It first decides what became of the operation and *stores* that, then
// finishes or undoes; each step applies only while what it is about is still as r left it (a lock that names r, a block
// word that r journaled), so a recovery that dies is simply run again by the next one.
//
//   OVERWRITE   seq(slot) locked by r: aborted; else SRC shown: committed; else aborted
//               committed: free the old block.  aborted: image back if SRC shown; release; free the new block
//   INSERT      seq(dst) locked by r: aborted; else DST shown: committed; else aborted
//               committed: share.  aborted: tag and words cleared if DST shown; release; free the new block
//   ERASE       SRC shown, and seq(slot) not locked by r or its tag clear: committed; else aborted
//               committed: words cleared; release; share; free the old block.  aborted: release
//   MOVE        SRC shown without DST: committed; else aborted
//               committed: home version; src cleared; both released.
//               aborted: dst cleared if shown; block back to src; both released
//
// "SRC shown and not locked" proves that the lock was won and let go: `shown` is set only under the lock, is never set
// by an operation that gives up, and is cleared before the next one is journaled. A release always bumps the version,
// so a reader that saw half an operation's words cannot take them for good.
#ifndef SEGDICT_SRC_TABLE_RECOVERY_H_
#define SEGDICT_SRC_TABLE_RECOVERY_H_

#include <time.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/sync/sleep.h"
#include "src/sync/writer.h"
#include "src/table/home_scan.h"

namespace segdict::internal {

// A lock that somebody waits for, so that its owner's journal can be asked whether it knows of it.
struct LockName {
  enum class Kind { kSlot, kHome, kGlobal } kind;
  uint64_t index;
};

template <class Mem>
class Recovery {
 public:
  explicit Recovery(Context<Mem>& context) : c_(context), scan_(context) {}

  // Undoes or finishes what record `r` left behind and frees the record. REQUIRES: the caller holds r's kernel lock.
  void Recover(uint32_t r) {
    WriterRecord& j = c_.regions.record(r);
    if (Mem::Load(j.in_use) == 0) return;
    const uint64_t op_word = Mem::Load(j.op);
    // A damaged journal names nothing that could be undone.
    OpWord op = OpWord::Valid(op_word) ? OpWord::Decode(op_word) : OpWord{};
    if (op.operation != Operation::kIdle) {
      if (op.outcome == Outcome::kUndecided) {
        op.outcome = Decide(r, j, op);
        Mem::Store(j.op, op.Encode());
      }
      Settle(r, j, op);
      Mem::Store(j.op, OpWord{}.Encode());
    }
    // A block taken and not (or no more) part of an operation.
    const uint64_t new_word = Mem::Load(j.new_word);
    const BlockWord block = BlockWord::Decode(new_word);
    if (block.state == BlockState::kRecord && block.owner == r)
      c_.arena.RecoverFree(r, Mem::Load(j.new_block), new_word);
    if (const uint64_t page = Mem::Load(j.page); page != 0) c_.arena.RecoverPage(r, page - 1);
    if (const uint64_t home = Mem::Load(j.home); home >= 1 && home <= c_.groups()) {
      Word& lock = c_.regions.home_lock(home - 1);
      if (owned::IsLockedBy(Mem::Load(lock), r)) {
        scan_.LowerReach(home - 1);
        Mem::Store(lock, owned::Same(Mem::Load(lock)));
      }
    }
    Word& global = c_.regions.header().global_lock;
    if (const uint64_t word = Mem::Load(global); owned::IsLockedBy(word, r)) Mem::Store(global, owned::Next(word));
    Mem::Store(j.home, 0);
    Mem::Store(j.page, 0);
    Mem::Store(j.shown, 0);
    Mem::FetchAdd(j.recoveries, 1);
    Mem::Store(j.in_use, 0);
    WakeWaiters(j);
  }

  // Recovers every record whose owner is dead; returns how many.
  absl::StatusOr<uint32_t> RecoverDead() {
    uint32_t recovered = 0;
    for (uint32_t r = 0; r < c_.records(); ++r) {
      if (Mem::Load(c_.regions.record(r).in_use) == 0) continue;
      absl::StatusOr<bool> alive = c_.liveness->IsAlive(r);
      if (!alive.ok()) return alive.status();
      if (*alive) continue;
      absl::StatusOr<bool> adopted = c_.liveness->TryAdopt(r, [&] { Recover(r); });
      if (!adopted.ok()) return adopted.status();
      recovered += *adopted ? 1 : 0;
    }
    return recovered;
  }

  // Returns when `lock` has changed from `seen`, a locked state: because its owner let go, or because the owner was
  // dead and has been recovered here. Spins briefly; then asks whether the owner lives and sleeps for a millisecond at
  // the most, in turns. DEADLINE_EXCEEDED at w's deadline; CANCELLED if the sleep was given up; DATA_LOSS for a lock
  // that nobody can let go.
  // `again`: the call has waited before, and lost the lock to others. Then it does not wait for another living holder
  // when it is late. The dead are recovered however late it is.
  absl::Status AwaitChange(Writer& w, Word& lock, uint64_t seen, LockName name, bool again) {
    for (int i = 0; i < kSpins; ++i) {
      if (Mem::Load(lock) != seen) return absl::OkStatus();
      Mem::Pause();
    }
    Mem::Store(w.record->waits, Mem::LoadOwn(w.record->waits) + 1);
    const uint32_t owner = owned::Owner(seen);
    if (owner >= c_.records() || owner == w.index) return Damaged(name, "names an owner that cannot hold it");
    WriterRecord& record = c_.regions.record(owner);
    if (Mem::Load(record.thread) == Mem::LoadOwn(w.record->thread) && Mem::Load(lock) == seen) {
      return OwnThread();
    }
    for (;;) {
      // The journal names a lock before it is taken and until after it is released; so if the lock has not changed
      // since, this is about the same holding of it. A home lock may look the same when its owner has taken it again:
      // then the owner has counted one more (after it journaled the name, before it took the lock).
      const uint64_t taken = Mem::Load(record.home_locks);
      const bool named = Names(record, name);
      if (Mem::Load(lock) != seen) return absl::OkStatus();
      const auto same_holding = [&] {
        return name.kind != LockName::Kind::kHome || Mem::Load(record.home_locks) == taken;
      };
      absl::StatusOr<bool> alive = c_.liveness->IsAlive(owner);
      if (!alive.ok()) return alive.status();
      if (*alive) {
        if (!named && same_holding()) return Damaged(name, "is not in its owner's journal");
        if (again && Late(w)) return TooLate();
        Mem::Store(record.waiters, 1);
        if (Mem::Load(lock) != seen) return absl::OkStatus();
        if (absl::Status status = Sleep<Mem>(w, record.waiters, 1, kMaxSleep); !status.ok()) return status;
      } else {
        absl::StatusOr<bool> adopted = c_.liveness->TryAdopt(owner, [&] { Recover(owner); });
        if (!adopted.ok()) return adopted.status();
        if (*adopted && Mem::Load(lock) == seen && same_holding()) {
          return Damaged(name, "survived its dead owner's recovery");
        }
        if (!*adopted) {
          absl::Status status = Sleep<Mem>(w, record.waiters, Mem::Load(record.waiters), kMaxSleep / 10);
          if (!status.ok()) return status;
        }
      }
      if (Mem::Load(lock) != seen) return absl::OkStatus();
      if (Late(w)) return TooLate();
    }
  }

  // Wakes whoever sleeps on a lock of this record. A hint: its sender may die before it, so sleepers wake by themselves
  // as well.
  static void WakeWaiters(WriterRecord& record) {
    if (Mem::Load(record.waiters) == 0) [[likely]]
      return;
    Mem::Store(record.waiters, 0);
    Mem::FutexWake(record.waiters);
  }

  // Whether w's call has waited as long as it may.
  static bool Late(const Writer& w) { return w.deadline != kNoDeadline && MonotonicNow() >= w.deadline; }
  static absl::Status TooLate() {
    return absl::DeadlineExceededError("others hold what this call needs (one may be stopped, or they are many)");
  }
  // Made once, by the first handle: in a signal handler there is no malloc.
  static const absl::Status& OwnThread() {
    static const auto* status = new absl::Status(absl::FailedPreconditionError(
        "this thread holds the dict's lock through another handle, or is in the middle of a write through it"));
    return *status;
  }

  static int64_t MonotonicNow() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
  }

 private:
  static constexpr int kSpins = 200;
  static constexpr int64_t kMaxSleep = 1'000'000;  // nanoseconds

  static absl::Status Damaged(LockName name, const char* what) {
    const char* kind = name.kind == LockName::Kind::kSlot   ? "slot"
                       : name.kind == LockName::Kind::kHome ? "home"
                                                            : "global";
    return absl::DataLossError(absl::StrCat("the segment is damaged: ", kind, " lock ", name.index, " ", what,
                                            "; copy out what can be read, and make the dict anew"));
  }

  bool Names(const WriterRecord& record, LockName name) const {
    switch (name.kind) {
      case LockName::Kind::kSlot:
        return Mem::Load(record.op) != 0 &&
               (Mem::Load(record.slot) == name.index || Mem::Load(record.dst) == name.index);
      case LockName::Kind::kHome:
        return Mem::Load(record.home) == name.index + 1;
      case LockName::Kind::kGlobal:
        return Mem::Load(record.in_use) != 0;
    }
    return false;
  }

  bool LockedBy(uint32_t r, uint64_t s) const {
    return s < c_.geometry().slots && owned::IsLockedBy(Mem::Load(c_.regions.slot(s).seq), r);
  }

  Outcome Decide(uint32_t r, const WriterRecord& j, const OpWord& op) const {
    const uint64_t shown = Mem::Load(j.shown);
    const uint64_t slot = Mem::Load(j.slot), dst = Mem::Load(j.dst);
    bool committed = false;
    switch (op.operation) {
      case Operation::kIdle:
        break;
      case Operation::kOverwrite:
        committed = !LockedBy(r, slot) && (shown & kShownSrc) != 0;
        break;
      case Operation::kInsert:
        committed = !LockedBy(r, dst) && (shown & kShownDst) != 0;
        break;
      case Operation::kErase:
        committed = (shown & kShownSrc) != 0 && (!LockedBy(r, slot) || c_.LoadTag(slot) == 0);
        break;
      case Operation::kMove:
        committed = shown == kShownSrc;
        break;
    }
    return committed ? Outcome::kCommitted : Outcome::kAborted;
  }

  void Settle(uint32_t r, WriterRecord& j, const OpWord& op) {
    const uint64_t slot = Mem::Load(j.slot), dst = Mem::Load(j.dst);
    const uint64_t shown = Mem::Load(j.shown);
    const bool committed = op.outcome == Outcome::kCommitted;
    switch (op.operation) {
      case Operation::kIdle:
        return;
      case Operation::kOverwrite:
        if (!committed && LockedBy(r, slot)) {
          if ((shown & kShownSrc) != 0) RestoreWords(j, slot);
          Release(slot);
        }
        break;
      case Operation::kInsert:
        if (!committed && LockedBy(r, dst)) {
          if ((shown & kShownDst) != 0) ClearSlot(dst);
          Release(dst);
        }
        break;
      case Operation::kErase:
        if (LockedBy(r, slot)) {
          if (committed) ClearSlot(slot);
          Release(slot);
        }
        break;
      case Operation::kMove:
        SettleMove(r, j, op, slot, dst, shown);
        return;
    }
    if (committed && op.operation != Operation::kOverwrite) Mem::Store(j.share, Mem::Load(j.share_after));
    if (committed && op.has_old) c_.arena.RecoverFree(r, Mem::Load(j.old_block), Mem::Load(j.old_word));
    if (!committed && op.has_new) {
      // The new block may have been handed to the slot already, which is not to keep it.
      const BlockWord taken = BlockWord::Decode(Mem::Load(j.new_word));
      const uint64_t target = op.operation == Operation::kInsert ? dst : slot;
      if (taken.state == BlockState::kRecord && taken.owner == r) {
        c_.arena.RecoverFree(r, Mem::Load(j.new_block), taken.Encode());
        c_.arena.RecoverFree(r, Mem::Load(j.new_block), taken.Next(BlockState::kSlot, static_cast<uint32_t>(target)));
      }
    }
  }

  void SettleMove(uint32_t r, WriterRecord& j, const OpWord& op, uint64_t src, uint64_t dst, uint64_t shown) {
    if (op.outcome == Outcome::kCommitted) {
      if (const uint64_t home = Mem::Load(j.home); home >= 1 && home <= c_.groups()) {
        Word& lock = c_.regions.home_lock(home - 1);
        const uint64_t word = Mem::Load(lock);
        if (owned::IsLockedBy(word, r)) Mem::Store(lock, owned::LockedBy(owned::Next(word), r));
      }
      if (LockedBy(r, src)) {
        ClearSlot(src);
        Release(src);
      }
      if (LockedBy(r, dst)) Release(dst);
      return;
    }
    if (op.has_old) {
      const BlockWord old = BlockWord::Decode(Mem::Load(j.old_word));
      const BlockWord moved = BlockWord::Decode(old.Next(BlockState::kSlot, static_cast<uint32_t>(dst)));
      c_.arena.RecoverWord(Mem::Load(j.old_block), moved.Encode(),
                           moved.Next(BlockState::kSlot, static_cast<uint32_t>(src)));
    }
    if (LockedBy(r, dst)) {
      if ((shown & kShownDst) != 0) ClearSlot(dst);
      Release(dst);
    }
    if (LockedBy(r, src)) Release(src);
  }

  // REQUIRES of these three: slot s is locked by the record that is being recovered.
  void RestoreWords(const WriterRecord& j, uint64_t s) {
    Slot& slot = c_.regions.slot(s);
    for (uint32_t i = 0; i < c_.geometry().slot_words; ++i) Mem::Store(slot.words[i], Mem::Load(j.image[i]));
  }
  void ClearSlot(uint64_t s) {
    c_.SetTag(s, 0);
    Slot& slot = c_.regions.slot(s);
    for (uint32_t i = 0; i < c_.geometry().slot_words; ++i) Mem::Store(slot.words[i], 0);
  }
  void Release(uint64_t s) {
    Word& seq = c_.regions.slot(s).seq;
    Mem::Store(seq, owned::Next(Mem::Load(seq)));
  }

  Context<Mem>& c_;
  HomeScan<Mem> scan_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_RECOVERY_H_
