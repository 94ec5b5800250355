// A group: sixteen bytes in two words, the index of fifteen slots.
//
//   byte   0 .. 14   tag of slot i: 0 probably empty, 1..255 from the hash of its key
//   byte   15        reach: about the keys whose *home* is this group and that lie elsewhere
//                    bits 0..3  how far along the home's probe sequence, as a code (kReachSteps); 0: no such key
//                    bits 4..7  a filter: bit 4 + c is set if one of them has a tag that is c modulo 4
//
// All of it can be recomputed from the slots. A tag changes only under its slot's lock, the reach only under this
// group's home lock; the two words are changed by CAS, since different slots and the home have different owners.
//
// Why a reach and not tombstones or counters of passing keys: it is exact after every crash and every erase, because it
// can be recomputed, so lookups cost the same however often the table was turned over. The filter spares a miss the
// further groups in two of three cases where the home has displaced keys.
//
// Tag groups probed by SIMD are after Abseil's SwissTable and Boost.Unordered's foa table (which uses 15 + 1 as well).
#ifndef SEGDICT_SRC_LAYOUT_GROUP_H_
#define SEGDICT_SRC_LAYOUT_GROUP_H_

#include <cstdint>

#include "src/base/memory.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace segdict::internal {

inline constexpr uint32_t kSlotsPerGroup = 15;

// The reach byte. Codes round up: a lookup goes on for kReachSteps groups behind the home; the last one means to the
// end.
inline constexpr uint32_t kReachSteps[16] = {0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256, ~0u};

// `reach` made to cover a key with `tag` that lies `steps` steps from home. Order does not matter: a set of keys has
// one reach.
constexpr uint32_t ExtendReach(uint32_t reach, uint64_t steps, uint32_t tag) {
  if (steps == 0) return reach;
  uint32_t code = 1;
  while (kReachSteps[code] < steps) ++code;
  return (code > (reach & 15) ? code : reach & 15) | (reach & 0xf0) | 16u << (tag & 3);
}
// Whether a key with `tag` may lie outside of its home group.
constexpr bool ReachMayHold(uint32_t reach, uint32_t tag) { return (reach >> 4 >> (tag & 3) & 1) != 0; }

static_assert(ExtendReach(0, 1, 5) == 0x21 && ExtendReach(0x21, 7, 8) == 0x37 && ExtendReach(0, 1u << 20, 3) == 0x8f);
static_assert(ReachMayHold(0x21, 9) && !ReachMayHold(0x21, 8) && !ReachMayHold(0, 0));

struct alignas(16) Group {
  Word words[2];
};
static_assert(sizeof(Group) == 16);

// Both words of a group as loaded: each word is atomic, the pair is not (nothing relies on it).
struct GroupView {
  uint64_t words[2];

  uint32_t Tag(uint32_t i) const { return static_cast<uint32_t>(words[i / 8] >> (i % 8 * 8)) & 0xff; }
  uint32_t ReachByte() const { return static_cast<uint32_t>(words[1] >> 56); }

  // Bit i is set where slot i's tag equals `tag`.
  uint32_t Match(uint32_t tag) const {
#if defined(__SSE2__)
    const __m128i tags = _mm_set_epi64x(static_cast<int64_t>(words[1]), static_cast<int64_t>(words[0]));
    const __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & 0x7fff;
#else
    return (MatchWord(words[0], tag) | MatchWord(words[1], tag) << 8) & 0x7fff;
#endif
  }

  // The same for one word, without SIMD: exact zero-byte detection (no false positives), then the bits are gathered.
  static constexpr uint32_t MatchWord(uint64_t word, uint32_t tag) {
    const uint64_t x = word ^ (0x0101010101010101ull * tag);
    const uint64_t low7 = (x & 0x7f7f7f7f7f7f7f7full) + 0x7f7f7f7f7f7f7f7full;
    const uint64_t zero = ~(low7 | x | 0x7f7f7f7f7f7f7f7full);  // 0x80 in each byte that is zero
    return static_cast<uint32_t>(((zero >> 7) * 0x0102040810204080ull) >> 56);
  }
};
static_assert(GroupView::MatchWord(0x0500050000000005ull, 5) == 0b10100001);
static_assert(GroupView::MatchWord(0x0100000000000001ull, 0) == 0b01111110);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_GROUP_H_
