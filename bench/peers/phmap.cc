// phmap::parallel_flat_hash_map: 64 maps, each under a shared_mutex.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_PHMAP
#include <parallel_hashmap/phmap.h>

#include <memory>
#include <shared_mutex>
#include <string_view>
#include <utility>

#include "bench/stored.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class Phmap {
 public:
  static constexpr const char* kName = "phmap";
  static constexpr bool kShared = false;
  using As = Stored<Shape>;

  explicit Phmap(const Setup& setup) { map_.reserve(setup.capacity); }

  bool Get(std::string_view key, char* value) {
    return map_.if_contains(As::ToKey(key), [&](const auto& entry) { As::CopyOut(entry.second, value); });
  }
  bool Set(std::string_view key, std::string_view value) {
    map_.try_emplace_l(
        As::ToKey(key), [&](auto& entry) { entry.second = As::ToValue(value); }, As::ToValue(value));
    return true;
  }
  bool Erase(std::string_view key) { return map_.erase(As::ToKey(key)) != 0; }

 private:
  using Key = typename As::Key;
  using Value = typename As::Value;
  phmap::parallel_flat_hash_map<Key, Value, phmap::priv::hash_default_hash<Key>, phmap::priv::hash_default_eq<Key>,
                                std::allocator<std::pair<const Key, Value>>, 6, std::shared_mutex>
      map_;
};
SEGDICT_BENCH_PEER(Phmap, U64, S16, S20, S64K);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Phmap, "phmap", "SEGDICT_BENCH_PHMAP named no folder of its headers when this was built");
#endif
