// The table's operations: what readers do (table_view.h), and writes, put together from lookups (reader.h), changes
// (protocol.h) and recovery (recovery.h).
//
// Every write is one loop, Mutate: look the entry up, decide what it shall become (the decision sees a private copy and
// may run again), bring the new value into a block if it needs one, and change the slot if it still is as it was looked
// at. An overwrite changes the slot by itself; an insert or erase holds the home lock and looks again under it. Nothing
// is allocated and no foreign code runs under a lock.
#ifndef SEGDICT_SRC_TABLE_TABLE_H_
#define SEGDICT_SRC_TABLE_TABLE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "segdict/options.h"
#include "src/sync/fork.h"
#include "src/table/protocol.h"
#include "src/table/table_view.h"

namespace segdict::internal {

// A value that is what its parts are, one after the other.
struct ValueInParts {
  std::span<const std::string_view> parts;
  uint64_t length;  // of all together: too long for any slot
};

// What a decision wants.
struct Decision {
  enum class Action { kReturn, kStore, kErase } action = Action::kReturn;
  absl::Status status;                  // what the call returns when this is done
  std::string_view value;               // to be stored: must stay valid until the next decision
  const ValueInParts* parts = nullptr;  // instead of `value`; only in calls that do not want the old value
  uint8_t type = 0;
  int64_t expiry = kNever;
  bool if_live = false;     // kStore over a live entry that must not expire before it is done
  bool keep_value = false;  // kStore of the value that is there already: only expiry or order change
  bool to_end = false;      // kStore over a live entry, which goes behind all others

  static Decision Return(absl::Status status = absl::OkStatus()) {
    Decision d;
    d.status = std::move(status);
    return d;
  }
  static Decision Erase(absl::Status status = absl::OkStatus()) {
    Decision d = Return(std::move(status));
    d.action = Action::kErase;
    return d;
  }
  static Decision Store(std::string_view value, uint8_t type, int64_t expiry) {
    Decision d;
    d.action = Action::kStore;
    d.value = value;
    d.type = type;
    d.expiry = expiry;
    return d;
  }
  static Decision Store(const ValueInParts& parts, uint8_t type, int64_t expiry) {
    Decision d = Store(std::string_view(), type, expiry);
    d.parts = &parts;
    return d;
  }

  uint64_t Length() const { return parts == nullptr ? value.size() : parts->length; }
};

template <class Mem>
class Table : public TableView<Mem> {
  using Base = TableView<Mem>;
  using Base::c_;
  using Base::Describe;
  using Base::DescribePlain;
  using Base::reader_;
  using Base::scan_;
  using Base::SnapshotHome;

 public:
  using Base::Expired;
  using Base::Failed;
  using Base::LookUp;
  using Base::Prefetch;
  using Base::Size;
  using typename Base::Lookup;
  using typename Base::Sighting;
  using typename Base::Snapshot;
  using typename Base::Snapshots;

  Table(const Regions& regions, uint64_t seed, bool ordered, Liveness* liveness, const Clock* clock)
      : Base(regions, seed, ordered, liveness, clock), recovery_(c_), protocol_(c_, recovery_) {}

  Context<Mem>& mutable_context() { return c_; }
  Recovery<Mem>& recovery() { return recovery_; }

  // The hash of a key that will be written soon; what it needs of memory is under way.
  [[gnu::always_inline]] inline uint64_t Prepare(std::string_view key) const {
    const uint64_t hash = c_.HashOf(key);
    Prefetch(c_.Locate(hash));
    return hash;
  }

  // The same for a key that will be erased.
  [[gnu::always_inline]] inline uint64_t PrepareErase(std::string_view key) const {
    const uint64_t hash = Prepare(key);
    Mem::Prefetch(&c_.regions.home_lock(c_.Locate(hash).home));
    return hash;
  }

  // What is usual of Set and Erase: a plain entry is sighted, or surely none, a plain entry is to be stored, no lock is
  // held by others. That a sighting was right is known when its slot's lock is won at that seq. False: nothing was
  // done.
  [[gnu::always_inline]] inline bool SetUsual(Writer& w, std::string_view key, uint64_t hash, std::string_view value,
                                              uint8_t type) {
    if (!SlotForm::FitsInline(c_.plain_words, key.size(), value.size())) return false;
    const Probe probe = c_.Locate(hash);
    Sighting at;
    const Read read = reader_.Sight(key, probe, &at);
    if (read == Read::kFound) [[likely]]
      return protocol_.OverwritePlain(w, at.slot, at.seq, key.size(), value, type);
    return read == Read::kMissing && InsertUsual(w, key, probe, value, type);
  }
  [[gnu::always_inline]] inline bool EraseUsual(Writer& w, std::string_view key, uint64_t hash) {
    const Probe probe = c_.Locate(hash);
    Sighting at;
    if (reader_.Sight(key, probe, &at) != Read::kFound || !protocol_.TryLockHome(w, probe.home)) return false;
    const bool done = protocol_.ErasePlain(w, at.slot, at.seq);
    protocol_.UnlockHome(w, probe.home);
    if (done) protocol_.PullHome(w, probe.home);
    return done;
  }

  // Inserts or overwrites.
  absl::Status Set(Writer& w, std::string_view key, uint64_t hash, std::string_view value, uint8_t type,
                   int64_t expiry) {
    if (expiry == kNever && SetUsual(w, key, hash, value, type)) return absl::OkStatus();
    return Mutate(w, key, hash, /*wants_value=*/false, /*constant=*/true,
                  [&](const Current&) { return Decision::Store(value, type, expiry); });
  }

  // NOT_FOUND if there is none, or an expired one, which is reclaimed.
  absl::Status Erase(Writer& w, std::string_view key, uint64_t hash) {
    if (EraseUsual(w, key, hash)) return absl::OkStatus();
    return Mutate(w, key, hash, /*wants_value=*/false, /*constant=*/true, [](const Current& now) {
      return Decision::Erase(now.live ? absl::OkStatus() : absl::Status(absl::StatusCode::kNotFound, ""));
    });
  }

  // Makes of the entry of `key` what `decide(const Current&)` says; returns the decision's status when that is done.
  // `decide` is called without any lock held and may be called again, with a newer state. `constant`: it always gives
  // the same value bytes. `after` gets the version that was written, if asked for.
  template <class Decide>
  absl::Status Mutate(Writer& w, std::string_view key, uint64_t hash, bool wants_value, bool constant, Decide&& decide,
                      Version* after = nullptr) {
    // As in SetUsual. What the decision sees has been seen unchanged.
    Sighting at;
    char value[kMaxSlotSize];
    if (wants_value && reader_.ReadUsual(key, c_.Locate(hash), &at, [&](size_t) { return value; }) == Read::kFound) {
      const Decision decision = decide(static_cast<const Current&>(DescribePlain(at, value)));
      if (decision.action == Decision::Action::kReturn) return decision.status;
      bool lost = false;
      if (decision.action == Decision::Action::kStore && decision.expiry == kNever && !decision.to_end &&
          SlotForm::FitsInline(c_.plain_words, key.size(), decision.value.size())) {
        lost = !protocol_.OverwritePlain(w, at.slot, at.seq, key.size(), decision.value, decision.type);
        if (!lost) {
          if (after != nullptr) *after = {at.slot, owned::Version(owned::Next(at.seq))};
          return decision.status;
        }
      }
      // What was decided stays so while the entry does.
      const auto decided = [&](const Current& now) {
        const bool same = !lost && now.live && now.version == Version{at.slot, owned::Version(at.seq)};
        lost = true;  // the next decision is a new one
        return same ? decision : decide(now);
      };
      return MutateUnusual(w, key, hash, wants_value, constant, decided, after);
    }
    return MutateUnusual(w, key, hash, wants_value, constant, decide, after);
  }

  // Mutate, for any entry and any decision.
  template <class Decide>
  [[gnu::noinline]] absl::Status MutateUnusual(Writer& w, std::string_view key, uint64_t hash, bool wants_value,
                                               bool constant, Decide& decide, Version* after) {
    if (key.size() > kMaxKeyLength) {
      return absl::InvalidArgumentError(
          absl::StrCat("the key has ", key.size(), " bytes; keys may have ", kMaxKeyLength));
    }
    const Probe probe = c_.Locate(hash);
    InFlight block(*this, w);
    int made_room = 0;
    bool waited = false;
    for (int tries = 0; tries < kMaxWriteTries; ++tries) {
      if (tries % 1024 == 1023 && recovery_.Late(w)) return Recovery<Mem>::TooLate();
      Lookup now;
      const Read read = LookUp(key, probe, &now, [&](uint64_t bytes) -> char* {
        if (!wants_value) return nullptr;
        w.scratch.resize(static_cast<size_t>(bytes));
        return w.scratch.data();
      });
      if (read == Read::kContended) return Failed(read);
      // What a try that was thrown away failed to copy is of no account.
      if (read == Read::kCorrupt || (read == Read::kFound && !now.copied)) return Failed(Read::kCorrupt);
      const bool found = read == Read::kFound;
      if (found && owned::IsLocked(now.found.seq)) {
        absl::Status status = recovery_.AwaitChange(w, c_.regions.slot(now.found.slot).seq, now.found.seq,
                                                    {LockName::Kind::kSlot, now.found.slot}, waited);
        if (!status.ok()) return status;
        waited = true;
        continue;
      }
      Current current;
      if (found) current = Describe(now, w.scratch);
      const Decision decision = decide(static_cast<const Current&>(current));
      if (decision.action == Decision::Action::kReturn) return decision.status;
      const bool store = decision.action == Decision::Action::kStore;
      if (!store && !found) return decision.status;

      SlotCopy fresh;
      bool keep_block = false;
      if (store) {
        absl::Status status = Encode(key, decision, now, current.live, constant, &block, &fresh, &keep_block);
        if (!status.ok()) return status;
      }
      Step step;
      uint64_t place = found ? now.found.slot : 0;
      if (store && found) {
        step = protocol_.Overwrite(w, now.found, fresh, block.taken(), keep_block,
                                   decision.if_live ? current.expiry : kNever);
        if (step == Step::kDone && after != nullptr) *after = {place, owned::Version(owned::Next(now.found.seq))};
      } else {
        absl::Status status = protocol_.LockHome(w, probe.home);
        if (!status.ok()) return status;
        if (!store) {
          step = protocol_.Erase(w, now.found, probe.home);
        } else if (Lookup again; LookUp(key, probe, &again, [](uint64_t) -> char* { return nullptr; }) != read) {
          step = Step::kLost;  // somebody else inserted it
        } else {
          ReclaimInHome(w, probe.home);
          uint64_t seq = 0;
          step = protocol_.Insert(w, probe, fresh, block.taken(), &place, &seq);
          if (step == Step::kDone && after != nullptr) *after = {place, owned::Version(seq)};
        }
        protocol_.UnlockHome(w, probe.home);
        if (step == Step::kDone && !store) protocol_.PullHome(w, place / kSlotsPerGroup);
      }
      switch (step) {
        case Step::kDone:
          if (store) block.Settled();
          return decision.status;
        case Step::kLost:
        case Step::kExpired:
          continue;
        case Step::kCorrupt:
          return Failed(Read::kCorrupt);
        case Step::kFull:
          absl::Status status = MakeRoom(w, made_room++);
          if (!status.ok()) return status;
          continue;
      }
    }
    return absl::AbortedError(
        absl::StrCat("the entry changed ", kMaxWriteTries, " times while this call tried to; try again"));
  }

  // Erases expired entries among the next `budget` slots; returns how many. Any number of writers may sweep at once.
  absl::StatusOr<uint64_t> Sweep(Writer& w, uint64_t budget) {
    Word& cursor = c_.regions.header().sweep_at;
    const uint64_t slots = c_.geometry().slots;
    uint64_t at = Mem::Load(cursor) % slots;
    uint64_t swept = 0;
    std::string key;
    for (uint64_t left = std::min(budget, slots); left > 0; --left) {
      const uint64_t s = at;
      at = at + 1 == slots ? 0 : at + 1;
      if (Mem::Load(c_.regions.slot(s).words[0]) == 0) continue;
      Found found;
      bool expired = false;
      const Read read = reader_.ReadSlot(s, &found, [&](const SlotCopy& copy) {
        expired = Expired(copy);
        if (expired) key = std::string(reader_.KeyOf(copy, &key));
      });
      if (read != Read::kFound || !expired) continue;
      bool erased = false;
      absl::Status status = Mutate(w, key, c_.HashOf(key), false, true, [&](const Current& now) {
        erased = now.found && !now.live;
        return erased ? Decision::Erase() : Decision::Return();
      });
      if (!status.ok()) return status;
      if (!erased) continue;
      ++swept;
      // A key from further on may have been pulled into this group: look at it from its beginning, at the same expense.
      at = s - s % kSlotsPerGroup;
      left += s - at + 1;
    }
    Mem::Store(cursor, at);
    return swept;
  }

  // Erases every entry that is there when its home is come by. Not atomic as a whole: each entry is erased by itself.
  absl::Status Clear(Writer& w) {
    Snapshots entries;
    for (uint64_t home = 0; home < c_.groups(); ++home) {
      if (absl::Status status = SnapshotHome(home, /*with_values=*/false, &entries, /*expired_too=*/true);
          !status.ok()) {
        return status;
      }
      for (size_t i = 0; i < entries.size(); ++i) {
        const Snapshot entry = entries[i];
        absl::Status status =
            Mutate(w, entry.key, entry.hash, false, true, [](const Current&) { return Decision::Erase(); });
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  // Serializes with everybody else who takes the global lock. Recursive by w.global_depth.
  absl::Status LockGlobal(Writer& w) {
    if (w.global_depth > 0) {
      ++w.global_depth;
      return absl::OkStatus();
    }
    Word& lock = c_.regions.header().global_lock;
    for (bool again = false;; again = true) {
      uint64_t word = Mem::Load(lock);
      if (owned::IsLocked(word)) {
        absl::Status status = recovery_.AwaitChange(w, lock, word, {LockName::Kind::kGlobal, 0}, again);
        if (!status.ok()) return status;
      } else if (Mem::Cas(lock, word, owned::LockedBy(word, w.index))) {
        w.global_depth = 1;
        return absl::OkStatus();  // a death here: recovery unlocks
      }
    }
  }
  void UnlockGlobal(Writer& w) {
    if (--w.global_depth > 0) return;
    Word& lock = c_.regions.header().global_lock;
    Mem::Store(lock, owned::Next(Mem::Load(lock)));
    recovery_.WakeWaiters(*w.record);
  }

  // The arena bytes that an entry takes.
  uint64_t BlockBytes(size_t key_length, uint64_t value_length, bool expiry) const {
    return SlotForm::Choose(c_.geometry().slot_words, key_length, value_length, expiry, c_.ordered)
        .BlockLength(key_length, value_length);
  }

 private:
  static constexpr int kMaxWriteTries = 1'000'000;
  static constexpr int kMaxRoomTries = 100;

  // A block that was taken for a value and is given back if the value was not stored.
  class InFlight {
   public:
    InFlight(Table& table, Writer& w) : table_(table), w_(w) {}
    ~InFlight() { GiveBack(); }
    const TakenBlock* taken() const { return has_ ? &block_ : nullptr; }
    bool Holds(uint64_t bytes) const { return has_ && bytes_ == bytes; }
    void Settled() { has_ = false; }
    void GiveBack() {
      // In a child that the decision forked, the block is the parent's.
      if (has_ && w_.process == ProcessGeneration()) table_.c_.arena.Free(w_, block_.granule, block_.word);
      has_ = false;
    }
    absl::Status Take(uint64_t bytes) {
      GiveBack();
      absl::Status status = table_.Allocate(w_, bytes, &block_.granule);
      if (!status.ok()) return status;
      block_.word = table_.c_.arena.LoadWord(block_.granule);
      bytes_ = bytes;
      has_ = true;
      return absl::OkStatus();
    }

   private:
    Table& table_;
    Writer& w_;
    bool has_ = false;
    uint64_t bytes_ = 0;
    TakenBlock block_{};
  };

  [[gnu::noinline]] bool InsertUsual(Writer& w, std::string_view key, Probe probe, std::string_view value,
                                     uint8_t type) {
    // Under way together: the lock, and the slot that the entry will come to.
    Mem::Prefetch(&c_.regions.home_lock(probe.home));
    if (const uint32_t empty = c_.LoadGroup(probe.home).Match(0); empty != 0) {
      Mem::Prefetch(&c_.regions.slot(probe.home * kSlotsPerGroup + reader_.First(empty, probe)));
    }
    if (Mem::Load(c_.regions.header().expiry_used) != 0 || !protocol_.TryLockHome(w, probe.home)) return false;
    // Looked for again, now that nobody else can insert it.
    Sighting at;
    bool done = false;
    if (reader_.Sight(key, probe, &at) == Read::kMissing) {
      const uint64_t order = c_.ordered ? NextOrder() : 0;
      const SlotCopy fresh = EncodeSlot(c_.geometry().slot_words, {false, false}, key, value.data(), value.size(), type,
                                        false, 0, c_.ordered, order, 0);
      uint64_t place, seq;
      done = protocol_.Insert(w, probe, fresh, nullptr, &place, &seq) == Step::kDone;
    }
    protocol_.UnlockHome(w, probe.home);
    return done;
  }

  // Brings the decision into the form of a slot, with a block of its own if it needs one.
  absl::Status Encode(std::string_view key, const Decision& decision, const Lookup& now, bool live, bool constant,
                      InFlight* block, SlotCopy* fresh, bool* keep_block) {
    const uint32_t words = c_.geometry().slot_words;
    const SlotCopy& old = now.found.copy;
    const bool expires = decision.expiry != kNever;
    const SlotForm form = SlotForm::Choose(words, key.size(), decision.Length(), expires, c_.ordered);
    const uint64_t bytes = form.BlockLength(key.size(), decision.Length());
    uint64_t granule = 0;
    *keep_block =
        decision.keep_value && form.value_in_block && old.ValueInBlock() && form.key_in_block == old.KeyInBlock();
    if (*keep_block) {
      block->GiveBack();
      granule = old.granule;
    } else if (form.value_in_block) {
      if (bytes > kMaxValueLength || c_.arena.PagesFor(bytes) > c_.geometry().shape.pages) {
        return absl::InvalidArgumentError(
            absl::StrCat("a value of ", decision.Length(), " bytes can never fit into this dict's arena of ",
                         c_.arena.granules() * kGranule, " bytes; make the dict with more value_bytes"));
      }
      if (!constant || !block->Holds(bytes)) {
        absl::Status status = block->Take(bytes);
        if (!status.ok()) return status;
        if (decision.parts == nullptr && !form.key_in_block) {
          c_.arena.Fill(block->taken()->granule, decision.value);
        } else {
          FillInPieces(block->taken()->granule, form.key_in_block ? key : std::string_view(), decision);
        }
      }
      granule = block->taken()->granule;
    } else {
      block->GiveBack();
    }
    uint64_t order = 0;
    if (c_.ordered) order = live && !decision.to_end ? old.Order() : NextOrder();
    if (expires && Mem::Load(c_.regions.header().expiry_used) == 0) Mem::Store(c_.regions.header().expiry_used, 1);
    *fresh = EncodeSlot(words, form, key, decision.value.data(), decision.Length(), decision.type, expires,
                        decision.expiry, c_.ordered, order, granule);
    return absl::OkStatus();
  }

  uint64_t NextOrder() { return Mem::FetchAdd(c_.regions.header().next_order, 1) + 1; }

  [[gnu::noinline]] void FillInPieces(uint64_t granule, std::string_view key, const Decision& decision) {
    typename Arena<Mem>::Filler filler(c_.arena, granule, key.size() + decision.Length());
    filler.Add(key);
    if (decision.parts == nullptr) return filler.Add(decision.value);
    for (const std::string_view part : decision.parts->parts) filler.Add(part);
  }

  // A block, after recovering the dead and reclaiming what expired if there is none at first.
  absl::Status Allocate(Writer& w, uint64_t bytes, uint64_t* granule) {
    const auto relocate = [&](uint32_t slot, uint64_t from) { return Relocate(w, slot, from); };
    const auto recover = [&] {
      const absl::StatusOr<uint32_t> dead = recovery_.RecoverDead();
      return dead.ok() && *dead > 0;
    };
    absl::Status status = c_.arena.Allocate(w, bytes, relocate, recover, granule);
    // Done, given up, or in a child that was forked: the call is its parent's.
    if (status.ok() || !absl::IsResourceExhausted(status)) return status;
    absl::StatusOr<uint32_t> recovered = recovery_.RecoverDead();
    absl::StatusOr<uint64_t> swept = SweepAll(w);
    if (absl::IsCancelled(swept.status()) || absl::IsFailedPrecondition(swept.status())) return swept.status();
    if ((!recovered.ok() || *recovered == 0) && (!swept.ok() || *swept == 0)) return status;
    return c_.arena.Allocate(w, bytes, relocate, recover, granule);
  }

  absl::StatusOr<uint64_t> SweepAll(Writer& w) {
    if (Mem::Load(c_.regions.header().expiry_used) == 0) return uint64_t{0};
    return Sweep(w, c_.geometry().slots);
  }

  // Gives the value of slot `slot`, which lies in the block at `from`, another block: an overwrite by itself.
  bool Relocate(Writer& w, uint32_t slot, uint64_t from) {
    if (slot >= c_.geometry().slots) return false;
    // Chains never stand in the way. Without memory for a block's bytes, it stays where it is.
    const uint64_t page_size = c_.geometry().shape.page_size;
    const std::unique_ptr<char[]> bytes(new (std::nothrow) char[page_size]);
    if (bytes == nullptr) return false;
    Found found;
    bool copied = false;
    const Read read = reader_.ReadSlot(slot, &found, [&](const SlotCopy& copy) {
      copied = copy.ValueInBlock() && copy.granule == from && copy.BlockLength() <= page_size &&
               c_.arena.CopyOut(copy.granule, copy.BlockLength(), 0, bytes.get(), copy.BlockLength());
    });
    if (read != Read::kFound || !copied || owned::IsLocked(found.seq)) return false;
    const uint64_t length = found.copy.BlockLength();
    TakenBlock block;
    if (!c_.arena.TryAllocateBlock(w, c_.arena.classes().ClassFor(length), &block.granule)) return false;
    block.word = c_.arena.LoadWord(block.granule);
    c_.arena.Fill(block.granule, {bytes.get(), length});
    SlotCopy fresh = found.copy;
    // The block reference is the last word before the inline bytes; its upper half is the length.
    uint64_t& reference = fresh.words[fresh.bytes_at / 8 - 1];
    reference = (reference & ~uint64_t{0xffffffff}) | block.granule;
    if (protocol_.Overwrite(w, found, fresh, &block, /*keep_block=*/false, kNever) == Step::kDone) return true;
    c_.arena.Free(w, block.granule, block.word);
    return false;
  }

  // Writers reclaim as they pass: where a home group is full, its own expired entries go before a new key is displaced.
  // REQUIRES: the home lock is held, nothing is journaled.
  void ReclaimInHome(Writer& w, uint64_t home) {
    if (Mem::Load(c_.regions.header().expiry_used) == 0 || c_.LoadGroup(home).Match(0) != 0) return;
    for (uint32_t i = 0; i < kSlotsPerGroup; ++i) {
      Found found;
      bool expired = false;
      const Read read = scan_.ReadOfHome(home, home * kSlotsPerGroup + i, &found,
                                         [&](const SlotCopy& copy) { expired = Expired(copy); });
      found.displacement = 0;
      if (read == Read::kFound && expired && !owned::IsLocked(found.seq)) (void)protocol_.Erase(w, found, home);
    }
  }

  // No slot was empty. OK: something has changed, or may be changing; try again. `turn` counts.
  absl::Status MakeRoom(Writer& w, int turn) {
    absl::StatusOr<uint32_t> recovered = recovery_.RecoverDead();
    if (!recovered.ok()) return recovered.status();
    absl::StatusOr<uint64_t> swept = SweepAll(w);
    if (!swept.ok()) return swept.status();
    if (*recovered > 0 || *swept > 0) return absl::OkStatus();
    if (Size() >= c_.geometry().slots || turn >= kMaxRoomTries) {
      return absl::ResourceExhaustedError(absl::StrCat("the dict is full: all of its ", c_.geometry().slots,
                                                       " slots are taken; erase entries, or make it larger"));
    }
    // Somebody is between two steps of an insert, erase or move; let it go on.
    return Sleep<Mem>(w, w.record->waiters, Mem::Load(w.record->waiters), 100'000);
  }

  Recovery<Mem> recovery_;
  Protocol<Mem> protocol_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_TABLE_H_
