// oneTBB's concurrent_hash_map: values are reached through accessors, each a lock on its entry.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_ONETBB
#include <oneapi/tbb/concurrent_hash_map.h>

#include <optional>
#include <string_view>

#include "bench/stored.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class OneTbb {
 public:
  static constexpr const char* kName = "onetbb";
  static constexpr bool kShared = false;
  using As = Stored<Shape>;

  explicit OneTbb(const Setup& setup) : map_(setup.capacity) {}

  bool Get(std::string_view key, char* value) {
    typename Map::const_accessor entry;
    if (!map_.find(entry, As::ToKey(key))) return false;
    As::CopyOut(entry->second, value);
    return true;
  }
  bool Set(std::string_view key, std::string_view value) {
    typename Map::accessor entry;
    map_.insert(entry, As::ToKey(key));
    entry->second = As::ToValue(value);
    return true;
  }
  bool Erase(std::string_view key) { return map_.erase(As::ToKey(key)); }

  std::optional<double> Bytes() { return std::nullopt; }  // its allocator does not tell

 private:
  struct HashCompare {
    using is_transparent = void;
    using View = typename As::KeyView;
    size_t hash(const View& key) const { return tbb::tbb_hash_compare<View>().hash(key); }
    bool equal(const View& a, const View& b) const { return a == b; }
  };
  using Map = tbb::concurrent_hash_map<typename As::Key, typename As::Value, HashCompare>;
  Map map_;
};
SEGDICT_BENCH_PEER(OneTbb, U64, S16, S20, S64K);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(OneTbb, "onetbb", "not there when this was built; Debian: libtbb-dev");
#endif
