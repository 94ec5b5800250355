// The owned word: one format for slot sequence words, home locks and the global lock.
//
//   63                16 15           1   0
//   +-------------------+-------------+---+
//   |      version      | writer      | L |      U(v): L = 0, writer 0      L(v, r): L = 1, writer record r
//   +-------------------+-------------+---+
//
// Locked by CAS U(v) -> L(v, r), naming the writer record, so that whoever waits can ask whether the owner lives. Only
// the owner (or, when it is dead, its one recoverer) changes a locked word, by a plain store. The version is never
// reset, also not by erase or recovery, so a word that compares equal has not changed in between (no ABA): 2^48 commits
// of one slot at 100 ns each take 325 days, and a reader would have to sleep through exactly that many.
#ifndef SEGDICT_SRC_LAYOUT_OWNED_WORD_H_
#define SEGDICT_SRC_LAYOUT_OWNED_WORD_H_

#include <cstdint>

namespace segdict::internal {

inline constexpr uint32_t kMaxRecords = 1u << 15;  // what 15 bits can name

namespace owned {

inline constexpr uint64_t kVersionOne = 1ull << 16;

constexpr bool IsLocked(uint64_t word) { return (word & 1) != 0; }
constexpr uint32_t Owner(uint64_t word) { return static_cast<uint32_t>(word >> 1) & (kMaxRecords - 1); }
constexpr uint64_t Version(uint64_t word) { return word >> 16; }
constexpr uint64_t Unlocked(uint64_t version) { return version << 16; }
constexpr bool IsLockedBy(uint64_t word, uint32_t record) { return IsLocked(word) && Owner(word) == record; }

// U(v) -> L(v, r)
constexpr uint64_t LockedBy(uint64_t word, uint32_t record) {
  return (word & ~(kVersionOne - 1)) | (static_cast<uint64_t>(record) << 1) | 1;
}
// L(v, r) or U(v) -> U(v + 1); wraps around
constexpr uint64_t Next(uint64_t word) { return (word & ~(kVersionOne - 1)) + kVersionOne; }
// L(v, r) -> U(v)
constexpr uint64_t Same(uint64_t word) { return word & ~(kVersionOne - 1); }

static_assert(Version(Next(LockedBy(Unlocked(7), 3))) == 8 && !IsLocked(Next(LockedBy(Unlocked(7), 3))));
static_assert(Owner(LockedBy(Unlocked(7), 32767)) == 32767 && Version(LockedBy(Unlocked(7), 32767)) == 7);
static_assert(Version(Next(Unlocked((1ull << 48) - 1))) == 0);

}  // namespace owned
}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_OWNED_WORD_H_
