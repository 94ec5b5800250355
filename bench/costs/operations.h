// The operations whose costs are kept in costs.txt, in one order and on one set of tables, so that the counts of
// accesses (counts.cc) and of instructions (instructions.cc) are of the same thing.
//
// Each table is made for and filled with its keys: 75 % load. Keys, values and order are always the same. Operations
// that change which keys are there take a twentieth of them, so that the load stays where it was.
#ifndef SEGDICT_BENCH_COSTS_OPERATIONS_H_
#define SEGDICT_BENCH_COSTS_OPERATIONS_H_

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "src/base/hash.h"

namespace segdict::bench {

struct Workload {
  const char* name;
  size_t key_bytes, value_bytes;
  uint32_t slot_size;
  uint64_t keys;
  uint64_t arena_bytes;
};

inline constexpr Workload kWorkloads[] = {
    {.name = "u64", .key_bytes = 8, .value_bytes = 8, .slot_size = 32, .keys = 100'000, .arena_bytes = 0},
    {.name = "s16", .key_bytes = 16, .value_bytes = 32, .slot_size = 64, .keys = 100'000, .arena_bytes = 0},
    {.name = "s20x1K", .key_bytes = 20, .value_bytes = 1024, .slot_size = 64, .keys = 10'000, .arena_bytes = 12 << 20},
};

inline constexpr uint64_t kSeed = 42;        // of the tables' hash
inline constexpr size_t kKeysOfABatch = 32;  // keys of one GetMany

inline void Require(bool condition, const char* what) {
  if (condition) [[likely]]
    return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// Keys without pattern, all in one array.
class Keys {
 public:
  Keys(size_t key_bytes, uint64_t count) : key_bytes_(key_bytes), bytes_(key_bytes * count, '\0') {
    uint64_t random = 0;
    for (size_t at = 0; at < bytes_.size(); ++at) {
      if (at % 8 == 0) random = internal::Mix(at + 1);
      bytes_[at] = static_cast<char>(random >> at % 8 * 8);
    }
  }
  std::string_view operator[](uint64_t i) const { return {bytes_.data() + i * key_bytes_, key_bytes_}; }

 private:
  size_t key_bytes_;
  std::string bytes_;
};

// Calls measure(name, calls, keys a call, operation) for each operation in turn; it shall call operation(i) for each i
// from 0 to calls - 1. Table has Set, SetInt64, Get, GetMany, Erase and FetchAdd, which all say whether they succeeded.
template <class Table, class Measure>
void ForEachOperation(const Workload& workload, Table& table, Measure&& measure) {
  const uint64_t n = workload.keys, few = n / 20;
  const Keys keys(workload.key_bytes, 2 * n);  // the second half is not in the table at first
  const std::string first(workload.value_bytes, 'a'), second(workload.value_bytes, 'b');
  std::string value(workload.value_bytes, '\0');
  for (uint64_t i = 0; i < n; ++i) Require(table.Set(keys[i], first), "fill");

  measure("get", n, 1, [&](uint64_t i) { Require(table.Get(keys[i], &value), "get"); });
  measure("miss", n, 1, [&](uint64_t i) { Require(!table.Get(keys[n + i], &value), "miss"); });
  measure("getmany32", n / kKeysOfABatch, kKeysOfABatch, [&](uint64_t i) {
    std::array<std::string_view, kKeysOfABatch> batch;
    for (size_t k = 0; k < batch.size(); ++k) batch[k] = keys[i * batch.size() + k];
    Require(table.GetMany(batch, &value), "getmany32");
  });
  measure("overwrite", n, 1, [&](uint64_t i) { Require(table.Set(keys[i], second), "overwrite"); });
  measure("erase", few, 1, [&](uint64_t i) { Require(table.Erase(keys[i]), "erase"); });
  measure("insert", few, 1, [&](uint64_t i) { Require(table.Set(keys[n + i], first), "insert"); });
  measure("churn", few, 1, [&](uint64_t i) {
    Require(table.Erase(keys[few + i]), "churn: erase");
    Require(table.Set(keys[n + few + i], first), "churn: insert");
  });
  for (uint64_t i = n - few; i < n; ++i) Require(table.SetInt64(keys[i], 1), "numbers");
  measure("fetch-add", few, 1, [&](uint64_t i) { Require(table.FetchAdd(keys[n - few + i], 1), "fetch-add"); });
}

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_COSTS_OPERATIONS_H_
