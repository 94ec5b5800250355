// Shapes: the sizes of keys and values that are measured, as types, so that each peer can store them as its users would
// (an eight-byte key as an integer, a fixed array inline) and the compiler knows every length.
#ifndef SEGDICT_BENCH_SHAPE_H_
#define SEGDICT_BENCH_SHAPE_H_

#include <cstddef>

namespace segdict::bench {

template <size_t kKeySize, size_t kValueSize>
struct Shape {
  static constexpr size_t kKey = kKeySize;
  static constexpr size_t kValue = kValueSize;
  // Integers to integers: peers store native ones.
  static constexpr bool kIntegers = kKeySize == 8 && kValueSize == 8;
};

using U64 = Shape<8, 8>;
using S16 = Shape<16, 32>;
using S20 = Shape<20, 1024>;
using S64K = Shape<16, 65536>;

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_SHAPE_H_
