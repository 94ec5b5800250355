// How a map inside the process stores a shape, as its users would: integers as integers, everything else as strings.
// Lookups and assignments take string views; only a new entry makes strings.
#ifndef SEGDICT_BENCH_STORED_H_
#define SEGDICT_BENCH_STORED_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace segdict::bench {

template <typename Shape>
struct StoredStrings {
  using Key = std::string;
  using Value = std::string;
  using KeyView = std::string_view;
  static std::string_view ToKey(std::string_view key) { return key; }
  static std::string_view ToValue(std::string_view value) { return value; }
  static void CopyOut(const std::string& from, char* to) { std::memcpy(to, from.data(), Shape::kValue); }
};

struct StoredIntegers {
  using Key = uint64_t;
  using Value = uint64_t;
  using KeyView = uint64_t;
  static uint64_t ToKey(std::string_view key) {
    uint64_t number;
    std::memcpy(&number, key.data(), sizeof(number));
    return number;
  }
  static uint64_t ToValue(std::string_view value) { return ToKey(value); }
  static void CopyOut(uint64_t from, char* to) { std::memcpy(to, &from, sizeof(from)); }
};

template <typename Shape>
using Stored = std::conditional_t<Shape::kIntegers, StoredIntegers, StoredStrings<Shape>>;

// The standard library's hash function, for libraries that bring none of their own; equal for strings and views.
struct StandardHash {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  size_t operator()(uint64_t key) const { return std::hash<uint64_t>()(key); }
};

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_STORED_H_
