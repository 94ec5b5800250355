// libcuckoo's cuckoohash_map.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_LIBCUCKOO
#include <functional>
#include <libcuckoo/cuckoohash_map.hh>
#include <string_view>

#include "bench/stored.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class Libcuckoo {
 public:
  static constexpr const char* kName = "libcuckoo";
  static constexpr bool kShared = false;
  using As = Stored<Shape>;

  // Asked for the capacity itself, it would be 95 % full with a million keys, and slow.
  explicit Libcuckoo(const Setup& setup) : map_(static_cast<size_t>(static_cast<double>(setup.capacity) / 0.75)) {}

  bool Get(std::string_view key, char* value) {
    return map_.find_fn(As::ToKey(key), [&](const auto& stored) { As::CopyOut(stored, value); });
  }
  bool Set(std::string_view key, std::string_view value) {
    map_.upsert(
        As::ToKey(key), [&](auto& stored) { stored = As::ToValue(value); }, As::ToValue(value));
    return true;
  }
  bool Erase(std::string_view key) { return map_.erase(As::ToKey(key)); }

 private:
  libcuckoo::cuckoohash_map<typename As::Key, typename As::Value, StandardHash, std::equal_to<>> map_;
};
SEGDICT_BENCH_PEER(Libcuckoo, U64, S16, S20, S64K);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Libcuckoo, "libcuckoo", "not there when this was built; Debian: libcuckoo-dev");
#endif
