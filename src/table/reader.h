// Reading: slots and lookups, without a store to the segment and without waiting.
//
// A slot under a lock is read from its owner's image, so the last committed state is had although the owner is stopped
// or dead. Every read ends by seeing the slot's seq unchanged, and is done again otherwise, which means that somebody
// committed or was recovered meanwhile (G1). `shown` and the image are the owner's journal (layout/writer_record.h):
//
//   seq = U(v):    the slot's words
//   seq = L(v,o):  shown(o) has DST and dst(o) is this slot:   empty
//                  shown(o) has SRC and slot(o) is this slot:  the words of o's image
//                  neither: the slot's words, provided that shown(o) is unchanged afterwards ("still neither" would not
//                  do: the target of a move is neither before it is shown as empty, and again once it is filled)
//
// Why it suffices: o sets `shown` before it changes a word of the slot, so whoever has read a changed word sees `shown`
// set (its release, our later load). o clears `shown` and journals another slot only after it has let this one go with
// a new version, so whoever has read a word of a later operation's image or journal sees another seq. What is read in
// between is thrown away, but it is bounded first: torn words must not lead out of the mapping.
//
// Lookup. home's words; a tag that matches is compared with the key. If nothing of this home is displaced, that was
// all. Otherwise the whole sequence within the home's reach is looked through, and a miss counts only if no
// key was moved home meanwhile (the version of the home lock): the key may have jumped over the reader.
//
// What nearly every lookup meets (a key whose tag is alone in its home group, an unlocked slot, all of the entry in it
// and no expiry) is for Sight: the same steps without a turn and without a copy, short enough that the processor has
// the memory accesses of several lookups under way at once. Whatever is different there is left to Find, which knows it
// all.
#ifndef SEGDICT_SRC_TABLE_READER_H_
#define SEGDICT_SRC_TABLE_READER_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "src/table/context.h"

namespace segdict::internal {

enum class Read {
  kFound,      // slot reads: an entry
  kMissing,    // slot reads: empty
  kUnusual,    // Sight and ReadUsual only: ask Find
  kContended,  // changed under the reader kMaxReadTries times in a row
  kCorrupt,    // not a state that the protocol can produce
};

inline constexpr int kMaxReadTries = 10'000;

// A found entry, or where the reading of it stood. Not initialized by itself: lookups have no time for it.
struct Found {
  uint64_t slot;
  uint64_t seq;           // as it was when the words were read: locked means that they came from an image
  uint64_t displacement;  // steps from home
  SlotCopy copy;
};

template <class Mem>
class Reader {
 public:
  explicit Reader(const Context<Mem>& context)
      : c_(context),
        slot_words_(context.geometry().slot_words),
        plain_flags_(context.plain_flags),
        plain_bytes_(context.plain_words * 8 - 8),
        plain_at_(slot_words_ - context.plain_words + 1) {}

  // Reads slot `s` into `found`. `body(const SlotCopy&)` runs once for each try, before the final look at seq, for what
  // must be consistent with the words: copying the block's bytes, reading the clock. Its effects count only if kFound
  // is returned. REQUIRES: s < slots.
  template <class Body>
  [[gnu::always_inline]] inline Read ReadSlot(uint64_t s, Found* found, Body&& body) const {
    Slot& slot = c_.regions.slot(s);
    SlotCopy& copy = found->copy;
    found->slot = s;
    bool parsed = false;
    for (int tries = 0; tries < kMaxReadTries; ++tries) {
      const uint64_t seq = Mem::Load(slot.seq);
      found->seq = seq;
      if (!owned::IsLocked(seq)) [[likely]] {
        LoadWords(slot.words, &copy);
      } else {
        const uint32_t owner = owned::Owner(seq);
        if (owner >= c_.records()) return Read::kCorrupt;
        const WriterRecord& record = c_.regions.record(owner);
        const uint64_t shown = Mem::Load(record.shown);
        if ((shown & kShownDst) != 0 && Mem::Load(record.dst) == s) {
          copy.words[0] = 0;
        } else if ((shown & kShownSrc) != 0 && Mem::Load(record.slot) == s) {
          LoadWords(record.image, &copy);
        } else {
          LoadWords(slot.words, &copy);
          if (Mem::Load(record.shown) != shown) continue;
        }
      }
      if (copy.Empty()) {
        if (Mem::Load(slot.seq) == seq) return Read::kMissing;
        continue;
      }
      parsed = copy.Parse(slot_words_);
      if (parsed && copy.ValueInBlock()) {
        // Torn words may claim any length: the block is touched only for words that are known to belong together.
        if (Mem::Load(slot.seq) != seq) continue;
        parsed = c_.arena.InBounds(copy.granule, copy.BlockLength());
      }
      if (parsed) body(static_cast<const SlotCopy&>(copy));
      if (Mem::Load(slot.seq) == seq) [[likely]] {
        return parsed ? Read::kFound : Read::kCorrupt;
      }
      Mem::Pause();
    }
    return Read::kContended;
  }
  Read ReadSlot(uint64_t s, Found* found) const {
    return ReadSlot(s, found, [](const SlotCopy&) {});
  }

  // The preferred slot if it is among them: its line is on its way already. REQUIRES: not none.
  [[gnu::always_inline]] static inline uint32_t First(uint32_t candidates, const Probe& probe) {
    // Without a branch: the processor would guess wrong in one of three lookups.
    const auto lowest = static_cast<uint32_t>(__builtin_ctz(candidates | 1u << 31));
    return lowest ^ ((lowest ^ probe.preferred) & -(candidates >> probe.preferred & 1));
  }

  // Where an entry seems to be: its key was there at `seq`, unlocked, if the slot still has that seq.
  struct Sighting {
    uint64_t slot, seq, meta;
    uint64_t order;  // set by ReadUsual alone
  };

  // Looks for what is usual; at most one slot is looked at. kFound: a plain entry, sighted. kMissing: there is no entry
  // of the key. kUnusual: not known.
  [[gnu::always_inline]] inline Read Sight(std::string_view key, const Probe& probe, Sighting* sighting) const {
    const GroupView home = c_.LoadGroup(probe.home);
    const uint32_t candidates = home.Match(probe.tag);
    if (candidates == 0) return ReachMayHold(home.ReachByte(), probe.tag) ? Read::kUnusual : Read::kMissing;
    const uint64_t s = probe.home * kSlotsPerGroup + First(candidates, probe);
    const Slot& slot = c_.regions.slot(s);
    const uint64_t seq = Mem::Load(slot.seq), meta = Mem::Load(slot.words[0]);
    // Lengths that the slot has no room for are torn, or damage: Find will tell.
    if (owned::IsLocked(seq) || !meta::IsPlain(meta, plain_flags_) || (meta & 0xffff) != key.size() ||
        key.size() + meta::PlainValueLength(meta) > plain_bytes_) [[unlikely]] {
      return Read::kUnusual;
    }
    const Word* word = slot.words + plain_at_;
    const char* bytes = key.data();
    size_t n = key.size();
    for (; n >= 8; n -= 8, bytes += 8, ++word) {
      if (Mem::Load(*word) != LoadBytes(bytes, 8)) [[unlikely]]
        return Read::kUnusual;
    }
    if (n > 0 && ((Mem::Load(*word) ^ LoadBytes(bytes, n)) << (64 - 8 * n)) != 0) [[unlikely]]
      return Read::kUnusual;
    sighting->slot = s;
    sighting->seq = seq;
    sighting->meta = meta;
    return Read::kFound;
  }

  // The slot of the home group that Sight would look at; the preferred one if it would look at none.
  uint32_t FirstCandidate(const Probe& probe) const {
    const uint32_t candidates = c_.LoadGroup(probe.home).Match(probe.tag);
    return candidates == 0 ? probe.preferred : First(candidates, probe);
  }

  // Sights the entry and copies its value; `reserve(bytes)` gives where to, or null for kUnusual. What was copied
  // counts only if kFound is returned.
  template <class Reserve>
  [[gnu::always_inline]] inline Read ReadUsual(std::string_view key, const Probe& probe, Sighting* sighting,
                                               Reserve&& reserve) const {
    if (const Read read = Sight(key, probe, sighting); read != Read::kFound) return read;
    const Slot& slot = c_.regions.slot(sighting->slot);
    size_t n = meta::PlainValueLength(sighting->meta);
    char* to = reserve(n);
    if (to == nullptr) [[unlikely]]
      return Read::kUnusual;
    sighting->order = plain_at_ == 1 ? 0 : Mem::Load(slot.words[1]);
    // The value begins in the word where the key ends.
    const Word* word = slot.words + plain_at_ + key.size() / 8;
    if (const size_t skip = key.size() % 8; skip == 0) {
      for (; n >= 8; n -= 8, to += 8, ++word) StoreBytes(to, Mem::Load(*word), 8);
      if (n > 0) StoreBytes(to, Mem::Load(*word), n);
    } else if (n > 0) {
      uint64_t now = Mem::Load(*word) >> 8 * skip;
      for (size_t have = 8 - skip; n > have; n -= 8, to += 8) {
        const uint64_t next = Mem::Load(*++word);
        StoreBytes(to, now | next << 8 * have, std::min<size_t>(n, 8));
        if (n <= 8) {
          n = 0;
          break;
        }
        now = next >> 8 * skip;
      }
      if (n > 0) StoreBytes(to, now, n);
    }
    return Mem::Load(slot.seq) == sighting->seq ? Read::kFound : Read::kUnusual;
  }

  // Looks for the entry at `probe` for which `matches(const SlotCopy&)` says so; `matches` is ReadSlot's body, so it
  // also copies what is wanted of a match. At most reach + 2 groups are read a try; a try is repeated only if a key of
  // this home was moved meanwhile.
  template <class Matches>
  Read Find(const Probe& probe, Found* found, Matches&& matches) const {
    const GroupView home = c_.LoadGroup(probe.home);
    const Read read = SearchGroup(probe.home, home, probe, found, matches);
    found->displacement = 0;
    if (read != Read::kMissing || !ReachMayHold(home.ReachByte(), probe.tag)) [[likely]]
      return read;
    return FindDisplaced(probe, found, matches);
  }

  // Whether the entry's key is `key`; for ReadSlot bodies.
  [[gnu::always_inline]] inline bool KeyEquals(const SlotCopy& copy, std::string_view key) const {
    if (copy.key_length != key.size()) return false;
    if (!copy.KeyInBlock()) [[likely]]
      return copy.InlineKeyEquals(key);
    return BlockKeyEquals(copy, key);
  }

  bool BlockKeyEquals(const SlotCopy& copy, std::string_view key) const {
    char buffer[512];
    for (uint64_t at = 0; at < key.size(); at += sizeof(buffer)) {
      const uint64_t n = std::min<uint64_t>(sizeof(buffer), key.size() - at);
      if (!c_.arena.CopyOut(copy.granule, copy.BlockLength(), at, buffer, n)) return false;
      if (std::memcmp(buffer, key.data() + at, n) != 0) return false;
    }
    return true;
  }

  // The bytes of the entry's key: in the copy itself, or fetched from its block into `buffer` (65,535 bytes at the
  // most). Callable in a ReadSlot body, or afterwards if nobody can change the entry. Empty if the block cannot be
  // read: validation will tell.
  std::string_view KeyOf(const SlotCopy& copy, std::string* buffer) const {
    if (!copy.KeyInBlock()) return copy.InlineKey();
    buffer->resize(copy.key_length);
    if (!c_.arena.CopyOut(copy.granule, copy.BlockLength(), 0, buffer->data(), copy.key_length)) buffer->clear();
    return *buffer;
  }

  // The hash of the entry's key, as KeyOf but without memory for it: for what happens under a lock.
  uint64_t HashOfKey(const SlotCopy& copy) const {
    if (!copy.KeyInBlock()) return c_.HashOf(copy.InlineKey());
    PiecewiseHash hash(c_.seed);
    char buffer[512];
    for (uint64_t at = 0; at < copy.key_length; at += sizeof(buffer)) {
      const uint64_t n = std::min<uint64_t>(sizeof(buffer), copy.key_length - at);
      if (!c_.arena.CopyOut(copy.granule, copy.BlockLength(), at, buffer, n)) return 0;
      hash.Add(buffer, n);
    }
    return hash.Result();
  }

  // Copies the entry's value; for a ReadSlot body. False: a chain is damaged, or about to be noticed as changed.
  bool CopyValue(const SlotCopy& copy, char* to) const {
    if (copy.ValueInBlock()) {
      return c_.arena.CopyOut(copy.granule, copy.BlockLength(), copy.KeyInBlock() ? copy.key_length : 0, to,
                              copy.value_length);
    }
    copy.CopyInlineValue(to);
    return true;
  }

  [[gnu::always_inline]] inline void LoadWords(const Word* words, SlotCopy* copy) const {
    ForSlotWords(
        slot_words_, [&](uint32_t i) __attribute__((always_inline)) { copy->words[i] = Mem::Load(words[i]); });
  }

 private:
  template <class Matches>
  [[gnu::noinline]] Read FindDisplaced(const Probe& probe, Found* found, Matches& matches) const {
    for (int tries = 0; tries < kMaxReadTries; ++tries) {
      const uint64_t moves = owned::Version(Mem::Load(c_.regions.home_lock(probe.home)));
      // Home again, after `moves` was read: what was moved before that is seen here.
      const GroupView home = c_.LoadGroup(probe.home);
      const uint64_t reach = c_.ReachSteps(home.ReachByte());
      ProbeSequence sequence(probe.home, c_.groups());
      for (uint64_t d = 0; d <= reach; ++d, sequence.Next()) {
        const GroupView view = d == 0 ? home : c_.LoadGroup(sequence.group());
        const Read read = SearchGroup(sequence.group(), view, probe, found, matches);
        found->displacement = d;
        if (read != Read::kMissing) return read;
      }
      if (owned::Version(Mem::Load(c_.regions.home_lock(probe.home))) == moves) return Read::kMissing;
      Mem::Pause();
    }
    return Read::kContended;
  }

  template <class Matches>
  [[gnu::always_inline]] inline Read SearchGroup(uint64_t g, const GroupView& view, const Probe& probe, Found* found,
                                                 Matches& matches) const {
    uint32_t candidates = view.Match(probe.tag);
    uint32_t next = First(candidates, probe);
    while (candidates != 0) {
      const Read read = CompareSlot(g * kSlotsPerGroup + next, found, matches);
      if (read != Read::kMissing) [[likely]]
        return read;
      candidates &= ~(1u << next);
      next = static_cast<uint32_t>(__builtin_ctz(candidates | 1u << 31));
    }
    return Read::kMissing;
  }

  template <class Matches>
  [[gnu::always_inline]] inline Read CompareSlot(uint64_t s, Found* found, Matches& matches) const {
    bool equal = false;
    const Read read = ReadSlot(s, found, [&](const SlotCopy& copy) { equal = matches(copy); });
    return read == Read::kFound && !equal ? Read::kMissing : read;
  }

  const Context<Mem>& c_;
  const uint32_t slot_words_;
  const uint64_t plain_flags_;
  const uint32_t plain_bytes_;  // that key and value of a plain entry take at the most
  const uint32_t plain_at_;     // the word where they begin
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_READER_H_
