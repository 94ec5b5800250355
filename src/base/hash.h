// The stored hash: XXH3 64-bit with the segment's random seed (github.com/Cyan4973/xxHash). Its values are part of the
// format, so a segment carries a test vector and its hash id. XXH3 is no pseudo-random function: whoever can read the
// seed can make keys collide; Stats shows probe lengths.
#ifndef SEGDICT_SRC_BASE_HASH_H_
#define SEGDICT_SRC_BASE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace segdict::internal {

inline constexpr uint32_t kHashXxh3 = 1;  // the format's id of this hash

// Short keys in place (some twenty instructions), others by a call.
[[gnu::always_inline]] inline uint64_t Hash(std::string_view bytes, uint64_t seed) {
  if (bytes.size() <= 16) [[likely]]
    return XXH3_len_0to16_64b(reinterpret_cast<const xxh_u8*>(bytes.data()), bytes.size(), XXH3_kSecret, seed);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// The same of bytes that come in pieces.
class PiecewiseHash {
 public:
  explicit PiecewiseHash(uint64_t seed) { XXH3_64bits_reset_withSeed(&state_, seed); }
  void Add(const char* bytes, size_t n) { XXH3_64bits_update(&state_, bytes, n); }
  uint64_t Result() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_{};
};

// A cheap bijective mixer of 64-bit integers (the finalizer of MurmurHash3, Austin Appleby).
constexpr uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

// Maps a uniform 64-bit x onto [0, n) by multiplication (Lemire, "Fast random integer generation in an interval",
// 2019).
constexpr uint64_t Reduce(uint64_t x, uint64_t n) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(x) * n) >> 64);
}

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_HASH_H_
