// A group: sixteen bytes in two words, the index of fifteen slots.
//
//   byte   0 .. 14   tag of slot i: 0 probably empty, 1..255 from the hash of its key
//   byte   15        max displacement: how many steps along its probe sequence the keys whose *home* is this group
//   reach;
//                    255: to the end of the sequence
//
// All of it can be recomputed from the slots. A tag changes only under its slot's lock, the displacement only under
// this group's home lock; the two words are changed by CAS, since different slots and the home have different owners.
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
inline constexpr uint32_t kDisplacementToEnd = 255;  // "look through the whole sequence"

struct alignas(16) Group {
  Word words[2];
};
static_assert(sizeof(Group) == 16);

// Both words of a group as loaded: each word is atomic, the pair is not (nothing relies on it).
struct GroupView {
  uint64_t words[2];

  uint32_t Tag(uint32_t i) const { return static_cast<uint32_t>(words[i / 8] >> (i % 8 * 8)) & 0xff; }
  uint32_t MaxDisplacement() const { return static_cast<uint32_t>(words[1] >> 56); }

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
