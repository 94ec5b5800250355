// Segments to damage: small dicts of each shape, whole and in the middle of every operation.
#ifndef SEGDICT_TESTS_FUZZ_BASES_H_
#define SEGDICT_TESTS_FUZZ_BASES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "src/layout/geometry.h"
#include "src/layout/header.h"

namespace segdict::internal {

struct Base {
  Geometry geometry;
  bool callers_clock = true;
  // The bytes of the segment: first of the sound one, then as a writer leaves it who is killed behind some store.
  std::vector<std::string> states;
};

// The keys of every base are KeyOf(0) to KeyOf(kKeys - 1), as far as they fit.
inline constexpr int kKeys = 30;
std::string KeyOf(int i);

inline constexpr size_t kSmallest = 3;  // the index of a base of 16 KiB
const std::vector<Base>& Bases();

// Makes the checksum right for what the header holds.
void Seal(FixedHeader* fixed);

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_FUZZ_BASES_H_
