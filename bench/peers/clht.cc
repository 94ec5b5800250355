// CLHT, the lock-based one of fixed size: integers to integers, three entries a cache line. It has no overwrite: Set of
// a present key removes it and puts it again.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_CLHT
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "bench/stored.h"

// What is used of clht_lb.h, which C++ does not take; its names.
extern "C" {
struct clht_hashtable_s;
struct clht {            // NOLINT(readability-identifier-naming)
  clht_hashtable_s* ht;  // the first of its members
};
clht* clht_create(uint64_t buckets);
void clht_destroy(clht_hashtable_s* table);
uintptr_t clht_get(clht_hashtable_s* table, uintptr_t key);
int clht_put(clht* table, uintptr_t key, uintptr_t value);
uintptr_t clht_remove(clht* table, uintptr_t key);
}

namespace segdict::bench {
namespace {

template <typename Shape>
class Clht {
 public:
  static constexpr const char* kName = "clht";
  static constexpr bool kShared = false;

  // On average up to two entries a line of three.
  explicit Clht(const Setup& setup) : table_(clht_create(std::bit_ceil(setup.capacity / 2 + 1))) {}
  ~Clht() {
    clht_destroy(table_->ht);
    std::free(table_);
  }

  bool Get(std::string_view key, char* value) {
    const uintptr_t found = clht_get(table_->ht, StoredIntegers::ToKey(key));
    std::memcpy(value, &found, sizeof(found));
    return found != 0;  // values are not 0
  }
  bool Set(std::string_view key, std::string_view value) {
    while (clht_put(table_, StoredIntegers::ToKey(key), StoredIntegers::ToValue(value)) == 0)
      clht_remove(table_, StoredIntegers::ToKey(key));
    return true;
  }
  bool Erase(std::string_view key) { return clht_remove(table_, StoredIntegers::ToKey(key)) != 0; }

 private:
  clht* table_;
};
SEGDICT_BENCH_PEER(Clht, U64);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Clht, "clht", "SEGDICT_BENCH_CLHT named no checkout of it when this was built");
#endif
