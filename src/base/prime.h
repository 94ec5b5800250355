// Prime numbers, for tables whose probe sequences must visit every group.
#ifndef SEGDICT_SRC_BASE_PRIME_H_
#define SEGDICT_SRC_BASE_PRIME_H_

#include <cstdint>

namespace segdict::internal {

constexpr bool IsPrime(uint64_t n) {
  if (n < 2) return false;
  if (n % 2 == 0) return n == 2;
  for (uint64_t d = 3; d <= n / d; d += 2) {
    if (n % d == 0) return false;
  }
  return true;
}

// The smallest prime >= n, or 1 for n <= 1 (a table of one group needs no sequence). O(sqrt(n) log n).
constexpr uint64_t PrimeAtLeast(uint64_t n) {
  if (n <= 1) return 1;
  while (!IsPrime(n)) ++n;
  return n;
}
static_assert(PrimeAtLeast(1) == 1 && PrimeAtLeast(8) == 11 && PrimeAtLeast(2) == 2);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_PRIME_H_
