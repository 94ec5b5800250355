// What the demo stores: a package's stanza, made recognizable, so that a reader can tell a right value from a wrong one
// while writers replace it.
#ifndef SEGDICT_TOOLS_DEMO_SEALED_VALUE_H_
#define SEGDICT_TOOLS_DEMO_SEALED_VALUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/demo/corpus.h"

namespace segdict::demo {

// The value of a package at a version is its stanza and
//
//   \nDemo-Version: 0000000042\nDemo-Check: 0123456789abcdef\n
//
// The check is the XXH3 of all that precedes it, seeded with that of the name. All versions have the same length.
inline constexpr size_t kSealLength = 55;

void Seal(const Package& package, uint32_t version, std::string* value);

// The version, if `value` is what Seal makes of `package`; else nothing.
std::optional<uint32_t> VersionOf(std::string_view value, const Package& package);

// What the writer of a key tells everybody about it, outside of the dict; lies in memory that the processes share.
// `started` is stored before the version is set in the dict, `done` after that was acknowledged. So a read that begins
// when `done` is d and ends when `started` is s returns a version of d to s, whoever is killed meanwhile.
struct KeyVersions {
  std::atomic<uint32_t> started{0};
  std::atomic<uint32_t> done{0};
};

// Judges one read. `done_before` is KeyVersions::done before the read began; `value` is null if the key was not there.
// Returns what is wrong with it, or null.
const char* WhatIsWrong(const Package& package, const KeyVersions& versions, uint32_t done_before,
                        const std::string* value);

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_SEALED_VALUE_H_
