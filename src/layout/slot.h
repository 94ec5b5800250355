// A slot: one entry of the table, 32, 64 or 128 bytes.
//
//   word 0   seq      owned word: the seqlock
//   word 1   meta     0: the slot is empty
//   word 2.. payload  [insertion number] [expiry] [block reference]  then bytes: [key] [value]
//
// The bracketed words are there when meta's flags say so, in that order; key and value bytes follow each other without
// a gap. Three forms, by what fits: key and value in the slot; key in the slot and value in a block; key and value (in
// this order) in a block.
//
//   meta     bits  0..15  key length          16..23  value length if in the slot, else bits 32..39 of it
//                 24..31  type tag            32..47  flags                         48..63  marks (reserved: 0)
//   block reference       bits 0..31 the block's first granule of the arena, 32..63 the low bits of the value length
#ifndef SEGDICT_SRC_LAYOUT_SLOT_H_
#define SEGDICT_SRC_LAYOUT_SLOT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "src/base/memory.h"

namespace segdict::internal {

inline constexpr uint32_t kMaxSlotSize = 128;
inline constexpr uint32_t kMaxSlotWords = kMaxSlotSize / 8 - 1;  // meta and payload
inline constexpr uint32_t kMaxKeyLength = 65535;
inline constexpr uint64_t kMaxValueLength = (1ull << 40) - 1;
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::min();  // an expiry that is none
inline constexpr uint32_t kGranule = 64;                                // unit of the arena's addresses, bytes

// Calls f(i) for the words 0 to count - 1 of a slot; without a loop for the usual size.
template <class F>
[[gnu::always_inline]] inline void ForSlotWords(uint32_t count, F&& f) {
  if (count == 7) [[likely]] {
#pragma GCC unroll 7
    for (uint32_t i = 0; i < 7; ++i) f(i);
  } else {
    for (uint32_t i = 0; i < count; ++i) f(i);
  }
}

// Up to eight bytes as the low bytes of a word, the others zero.
[[gnu::always_inline]] inline uint64_t LoadBytes(const char* from, size_t n) {
  uint64_t word = 0;
  if (n == 8) [[likely]] {
    std::memcpy(&word, from, 8);
    return word;
  }
  if (n >= 4) {
    uint32_t low, high;
    std::memcpy(&low, from, 4);
    std::memcpy(&high, from + n - 4, 4);
    return low | static_cast<uint64_t>(high) << (n - 4) * 8;
  }
  for (size_t i = 0; i < n; ++i) word |= static_cast<uint64_t>(static_cast<uint8_t>(from[i])) << i * 8;
  return word;
}
[[gnu::always_inline]] inline void StoreBytes(char* to, uint64_t word, size_t n) {
  if (n == 8) [[likely]] {
    std::memcpy(to, &word, 8);
    return;
  }
  for (; n > 0; --n, word >>= 8) *to++ = static_cast<char>(word);
}

// A short memcpy by words, for what was just stored, or will be loaded, by words: wider accesses would have to wait
// until the narrower ones before them have left the processor.
[[gnu::always_inline]] inline void CopyByWords(char* to, const char* from, size_t n) {
  for (; n >= 8; n -= 8, from += 8, to += 8) {
    uint64_t part;
    std::memcpy(&part, from, 8);
    asm("" : "+r"(part));  // or the compiler makes a call of memcpy of the loop
    std::memcpy(to, &part, 8);
  }
  for (; n > 0; --n) {
    char part = *from++;
    asm("" : "+r"(part));
    *to++ = part;
  }
}

// A slot's words in the segment; `words` continues to the slot's size.
struct Slot {
  Word seq;
  Word words[1];
};

namespace meta {
inline constexpr uint64_t kOccupied = 1ull << 32;
inline constexpr uint64_t kValueInBlock = 1ull << 33;
inline constexpr uint64_t kKeyInBlock = 1ull << 34;
inline constexpr uint64_t kHasExpiry = 1ull << 35;
inline constexpr uint64_t kHasOrder = 1ull << 36;
inline constexpr uint64_t kKnown = 0x0000'001f'ffff'ffffull;  // every bit that this version gives a meaning

// A plain entry: key and value in the slot, and nothing else but the insertion number in an ordered dict. Its flags:
constexpr uint64_t PlainFlags(bool ordered) { return kOccupied | (ordered ? kHasOrder : 0); }
constexpr bool IsPlain(uint64_t m, uint64_t flags) { return m >> 32 == flags >> 32; }
constexpr uint64_t Plain(uint64_t flags, size_t key_length, size_t value_length, uint8_t type) {
  return flags | key_length | static_cast<uint64_t>(value_length) << 16 | static_cast<uint64_t>(type) << 24;
}
constexpr uint8_t TypeOf(uint64_t m) { return static_cast<uint8_t>(m >> 24); }
constexpr uint64_t PlainValueLength(uint64_t m) { return m >> 16 & 0xff; }
}  // namespace meta

// The words of a slot in private memory: meta and payload, and where in them what lies. Parse() bounds everything, so
// that no later use of a field can leave the copy, whatever the bytes were.
struct SlotCopy {
  uint64_t words[kMaxSlotWords];

  // Filled by Parse:
  uint32_t bytes_at;  // byte offset in `words` of the inline bytes
  uint32_t key_length;
  uint64_t value_length;
  uint64_t granule;  // first granule of the block; meaningful if ValueInBlock()

  uint64_t meta() const { return words[0]; }
  bool Empty() const { return words[0] == 0; }
  bool ValueInBlock() const { return (words[0] & meta::kValueInBlock) != 0; }
  bool KeyInBlock() const { return (words[0] & meta::kKeyInBlock) != 0; }
  bool HasExpiry() const { return (words[0] & meta::kHasExpiry) != 0; }
  bool HasOrder() const { return (words[0] & meta::kHasOrder) != 0; }
  uint8_t Type() const { return meta::TypeOf(words[0]); }
  uint64_t Order() const { return HasOrder() ? words[1] : 0; }
  int64_t Expiry() const { return HasExpiry() ? static_cast<int64_t>(words[1 + (HasOrder() ? 1 : 0)]) : kNever; }
  const char* bytes() const { return reinterpret_cast<const char*>(words) + bytes_at; }
  std::string_view InlineKey() const { return {bytes(), key_length}; }
  std::string_view InlineValue() const { return {bytes() + key_length, static_cast<size_t>(value_length)}; }
  // By words, as they were loaded; see CopyByWords.
  [[gnu::always_inline]] bool InlineKeyEquals(std::string_view key) const {
    const uint64_t* word = words + bytes_at / 8;
    const char* bytes = key.data();
    size_t n = key.size();
    for (; n >= 8; n -= 8, bytes += 8, ++word) {
      if (LoadBytes(bytes, 8) != *word) return false;
    }
    return n == 0 || std::memcmp(word, bytes, n) == 0;
  }
  [[gnu::always_inline]] void CopyInlineValue(char* to) const {
    CopyByWords(to, bytes() + key_length, static_cast<size_t>(value_length));
  }
  // Bytes in the block, key included.
  uint64_t BlockLength() const { return value_length + (KeyInBlock() ? key_length : 0); }

  // Interprets `words` of a slot with `word_count` words. False: not an entry that this library writes (corrupt, or
  // torn and about to be read again). An empty slot is not parsed.
  bool Parse(uint32_t word_count) {
    const uint64_t m = words[0];
    if (meta::IsPlain(m, meta::PlainFlags(false))) [[likely]] {
      key_length = static_cast<uint32_t>(m & 0xffff);
      value_length = meta::PlainValueLength(m);
      bytes_at = 8;
      return key_length + value_length <= (word_count - 1) * uint64_t{8};
    }
    if ((m & meta::kOccupied) == 0 || (m & ~meta::kKnown) != 0) return false;
    if (KeyInBlock() && !ValueInBlock()) return false;
    uint32_t at = 1 + (HasOrder() ? 1 : 0) + (HasExpiry() ? 1 : 0);
    key_length = static_cast<uint32_t>(m & 0xffff);
    value_length = (m >> 16) & 0xff;
    if (ValueInBlock()) {
      if (at >= word_count) return false;
      granule = words[at] & 0xffffffff;
      value_length = (value_length << 32) | (words[at] >> 32);
      ++at;
    }
    bytes_at = at * 8;
    uint64_t inline_length = KeyInBlock() ? 0 : key_length;
    if (!ValueInBlock()) inline_length += value_length;
    return at <= word_count && inline_length <= (word_count - at) * uint64_t{8};
  }
};

// How an entry is laid out, decided by its lengths alone: equal entries have equal words.
struct SlotForm {
  bool key_in_block;
  bool value_in_block;

  static SlotForm Choose(uint32_t word_count, size_t key_length, uint64_t value_length, bool expiry, bool order) {
    const uint32_t words = word_count - (expiry ? 1 : 0) - (order ? 1 : 0);
    if (FitsInline(words, key_length, value_length)) return {false, false};
    return {key_length + 8 > (words - 1) * 8ull, true};
  }
  // Whether meta, key and value take `word_count` words at the most.
  static bool FitsInline(uint32_t word_count, size_t key_length, uint64_t value_length) {
    return value_length <= 255 && key_length + value_length <= (word_count - 1) * 8ull;
  }
  uint64_t BlockLength(size_t key_length, uint64_t value_length) const {
    return !value_in_block ? 0 : value_length + (key_in_block ? key_length : 0);
  }
};

// Builds the words of an entry. `value` is looked at only if the form has it in the slot, `granule` counts only if the
// form needs a block.
[[gnu::always_inline]] inline SlotCopy EncodeSlot(uint32_t word_count, SlotForm form, std::string_view key,
                                                  const char* value, uint64_t value_length, uint8_t type,
                                                  bool has_expiry, int64_t expiry, bool has_order, uint64_t order,
                                                  uint64_t granule) {
  SlotCopy copy;
  ForSlotWords(
      word_count, [&](uint32_t i) __attribute__((always_inline)) { copy.words[i] = 0; });
  uint64_t m = meta::kOccupied | key.size() | static_cast<uint64_t>(type) << 24;
  uint32_t at = 1;
  if (has_order) m |= meta::kHasOrder, copy.words[at++] = order;
  if (has_expiry) m |= meta::kHasExpiry, copy.words[at++] = static_cast<uint64_t>(expiry);
  if (form.value_in_block) {
    m |= meta::kValueInBlock | (form.key_in_block ? meta::kKeyInBlock : 0) | (value_length >> 32) << 16;
    copy.words[at++] = granule | (value_length & 0xffffffff) << 32;
  } else {
    m |= value_length << 16;
  }
  copy.words[0] = m;
  char* bytes = reinterpret_cast<char*>(copy.words + at);
  if (!form.key_in_block) CopyByWords(bytes, key.data(), key.size());
  if (!form.value_in_block) CopyByWords(bytes + key.size(), value, value_length);
  return copy;
}

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_SLOT_H_
