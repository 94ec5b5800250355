// What the environment asks the crash tests for.
#ifndef SEGDICT_TESTS_CRASH_OPTIONS_H_
#define SEGDICT_TESTS_CRASH_OPTIONS_H_

#include <cstdint>
#include <cstdlib>
#include <string>

namespace segdict::internal::crash {

// SEGDICT_CRASH_FULL=1: the long form.
inline bool Long() {
  const char* const full = std::getenv("SEGDICT_CRASH_FULL");
  return full != nullptr && std::string(full) != "0";
}

// SEGDICT_CRASH_CASE=name: only the case or pair of this name; null: all.
inline const char* Only() { return std::getenv("SEGDICT_CRASH_CASE"); }
inline bool Chosen(const std::string& name) { return Only() == nullptr || name == Only(); }

// SEGDICT_CRASH_SEED=n: of what is drawn in the short form.
inline uint64_t Seed() {
  const char* const seed = std::getenv("SEGDICT_CRASH_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 0);
}

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_OPTIONS_H_
