// The arena's two word formats and its size classes.
//
// Block word (there is one for each 64-byte granule of the arena; a block's is that of its first granule):
//   bits 0..2 state    3..7 class    8..31 generation    32..63 owner
//   FREE(class)        may be taken by CAS
//   RECORD(r)          in flight: taken by writer record r, no slot refers to it yet (or any more)
//   SLOT(s)            slot s refers to it
//   MEMBER(p)          a further page of the chain whose head is page p
//   NONE(p)            no block begins here; behind the first granule of a chain's page: p is the chain's next page
//   RETIRED            its page is on its way back to the pool
// The block word *is* the allocation. Every change bumps the generation, so a CAS from a word seen before cannot
// succeed on a word that has been something else in between (short of exactly 2^24 changes).
//
// Page word:
//   bits 0..2 state    3..7 class    8..31 generation    32..63 writer record
//   POOL, ASSIGNING(r, class), ASSIGNED(class), RETIRING(r, class)
//
// Size classes: a page of P bytes holds 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, ... equal blocks, each rounded down to
// a multiple of 64 bytes; so about four classes a doubling and at most a quarter lost to rounding. Class 0 is a whole
// page. Chains of whole pages hold what is longer: nothing in the arena ever needs two pages side by side.
#ifndef SEGDICT_SRC_LAYOUT_ARENA_WORDS_H_
#define SEGDICT_SRC_LAYOUT_ARENA_WORDS_H_

#include <array>
#include <cstdint>

#include "src/layout/slot.h"

namespace segdict::internal {

enum class BlockState : uint8_t { kNone = 0, kFree = 1, kRecord = 2, kSlot = 3, kMember = 4, kRetired = 5 };
enum class PageState : uint8_t { kPool = 0, kAssigning = 1, kAssigned = 2, kRetiring = 3 };

// Both words share this shape.
template <class State>
struct ArenaWord {
  State state;
  uint32_t size_class;
  uint32_t generation;
  uint32_t owner;

  static constexpr ArenaWord Decode(uint64_t word) {
    return {static_cast<State>(word & 7), static_cast<uint32_t>(word >> 3) & 31,
            static_cast<uint32_t>(word >> 8) & 0xffffff, static_cast<uint32_t>(word >> 32)};
  }
  constexpr uint64_t Encode() const {
    return static_cast<uint64_t>(state) | static_cast<uint64_t>(size_class) << 3 |
           static_cast<uint64_t>(generation & 0xffffff) << 8 | static_cast<uint64_t>(owner) << 32;
  }
  // The word after this one: another state and owner, the next generation.
  constexpr uint64_t Next(State next, uint32_t next_owner = 0) const {
    return ArenaWord{next, size_class, generation + 1, next_owner}.Encode();
  }
  constexpr uint64_t NextOfClass(State next, uint32_t next_class, uint32_t next_owner = 0) const {
    return ArenaWord{next, next_class, generation + 1, next_owner}.Encode();
  }
};
using BlockWord = ArenaWord<BlockState>;
using PageWord = ArenaWord<PageState>;
static_assert(BlockWord::Decode(BlockWord{BlockState::kSlot, 31, 0xffffff, 7}.Encode()).owner == 7);
static_assert(BlockWord::Decode(BlockWord{BlockState::kSlot, 3, 0xffffff, 7}.Next(BlockState::kFree)).generation == 0);

inline constexpr uint32_t kMinPageSize = 4096;
inline constexpr uint32_t kMaxPageSize = 65536;
// The page size of a dict made for `value_bytes`: small dicts have small pages, so that a partly used page a class
// costs little.
constexpr uint32_t PageSizeFor(uint64_t value_bytes) {
  return value_bytes >= (4u << 20) ? 65536 : value_bytes >= (1u << 20) ? 16384 : 4096;
}

inline constexpr uint32_t kMaxClasses = 32;
inline constexpr uint32_t kNoClass = kMaxClasses;

// Blocks a page of each class, and the size of a block; the classes of smaller pages are those whose blocks have at
// least 64 bytes.
class SizeClasses {
 public:
  constexpr explicit SizeClasses(uint32_t page_size) {
    constexpr uint32_t kPerPage[] = {1,  2,  3,  4,  5,  6,  7,  8,   10,  12,  14,  16,  20,  24,  28,
                                     32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 204, 256, 341, 512, 1024};
    uint32_t last = 0;
    for (uint32_t per_page : kPerPage) {
      const uint32_t size = page_size / per_page / kGranule * kGranule;
      if (size == 0 || size == last) continue;
      last = size;
      size_[count_] = size;
      per_page_[count_] = page_size / size;
      ++count_;
    }
  }
  constexpr uint32_t count() const { return count_; }
  constexpr uint32_t size(uint32_t size_class) const { return size_[size_class]; }
  constexpr uint32_t per_page(uint32_t size_class) const { return per_page_[size_class]; }
  // The smallest class whose blocks hold `bytes`; class 0 for a page or more. O(log classes).
  constexpr uint32_t ClassFor(uint64_t bytes) const {
    uint32_t low = 0, high = count_ - 1;
    while (low < high) {
      const uint32_t middle = (low + high + 1) / 2;
      if (size_[middle] >= bytes) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

 private:
  uint32_t count_ = 0;
  std::array<uint32_t, kMaxClasses> size_{};
  std::array<uint32_t, kMaxClasses> per_page_{};
};
static_assert(SizeClasses(65536).count() == 30 && SizeClasses(65536).size(29) == 64);
static_assert(SizeClasses(4096).ClassFor(1) == SizeClasses(4096).count() - 1);
static_assert(SizeClasses(65536).ClassFor(1024) == 19 && SizeClasses(65536).size(19) == 1024);
static_assert(SizeClasses(65536).ClassFor(65537) == 0);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_ARENA_WORDS_H_
