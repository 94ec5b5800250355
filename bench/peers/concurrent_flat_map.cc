// boost::concurrent_flat_map, in the process: with strings, as it is used, and with fixed arrays inline, the best that
// can be made of it when all sizes are known.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_CONCURRENT_FLAT_MAP
#include <algorithm>
#include <array>
#include <boost/unordered/concurrent_flat_map.hpp>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>

#include "bench/stored.h"

namespace segdict::bench {
namespace {

// Boost's own hash function.
struct Hash {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return boost::hash<std::string_view>()(key); }
  size_t operator()(uint64_t key) const { return boost::hash<uint64_t>()(key); }
  template <size_t kSize>
  size_t operator()(const std::array<char, kSize>& key) const {
    return (*this)(std::string_view(key.data(), kSize));
  }
};

template <typename Shape>
struct Arrays {
  using Key = std::array<char, Shape::kKey>;
  using Value = std::array<char, Shape::kValue>;
  static Key ToKey(std::string_view key) {
    Key array;
    std::memcpy(array.data(), key.data(), array.size());
    return array;
  }
  static Value ToValue(std::string_view value) {
    Value array;
    std::memcpy(array.data(), value.data(), array.size());
    return array;
  }
  static void CopyOut(const Value& from, char* to) { std::memcpy(to, from.data(), from.size()); }
};

template <typename Shape, typename As>
class FlatMap {
 public:
  static constexpr bool kShared = false;

  explicit FlatMap(const Setup& setup) { map_.reserve(setup.capacity); }

  bool Get(std::string_view key, char* value) {
    return map_.cvisit(As::ToKey(key), [&](const auto& entry) { As::CopyOut(entry.second, value); }) != 0;
  }
  bool Set(std::string_view key, std::string_view value) {
    map_.insert_or_assign(As::ToKey(key), As::ToValue(value));
    return true;
  }
  bool Erase(std::string_view key) { return map_.erase(As::ToKey(key)) != 0; }

  size_t GetMany(std::span<const std::string_view> keys, char* values) {
    decltype(As::ToKey({})) batch[kBatch];
    size_t found = 0;
    for (size_t done = 0; done < keys.size(); done += kBatch) {
      const std::span part = keys.subspan(done, std::min(kBatch, keys.size() - done));
      std::transform(part.begin(), part.end(), batch, As::ToKey);
      map_.cvisit(batch, batch + part.size(),
                  [&](const auto& entry) { As::CopyOut(entry.second, values + Shape::kValue * found++); });
    }
    return found;
  }

  bool Modify(std::string_view key, std::string_view value) {
    return map_.visit(As::ToKey(key), [&](auto& entry) {
      char before[Shape::kValue];
      As::CopyOut(entry.second, before);
      Use(before);
      entry.second = As::ToValue(value);
    }) != 0;
  }

 private:
  boost::concurrent_flat_map<typename As::Key, typename As::Value, Hash, std::equal_to<>> map_;
};

template <typename Shape>
struct ConcurrentFlatMap : FlatMap<Shape, Stored<Shape>> {
  static constexpr const char* kName = "boost-concurrent_flat_map";
  using FlatMap<Shape, Stored<Shape>>::FlatMap;
};
SEGDICT_BENCH_PEER(ConcurrentFlatMap, U64, S16, S20, S64K);

template <typename Shape>
struct ConcurrentFlatMapInline : FlatMap<Shape, Arrays<Shape>> {
  static constexpr const char* kName = "boost-concurrent_flat_map-inline";
  using FlatMap<Shape, Arrays<Shape>>::FlatMap;
};
SEGDICT_BENCH_PEER(ConcurrentFlatMapInline, S16);

}  // namespace
}  // namespace segdict::bench

#else

namespace segdict::bench {
namespace {

constexpr const char* kReason = "no Boost 1.83 or newer here; SEGDICT_BENCH_BOOST may name a folder of its headers";
SEGDICT_BENCH_ABSENT_PEER(ConcurrentFlatMap, "boost-concurrent_flat_map", kReason);
SEGDICT_BENCH_ABSENT_PEER(ConcurrentFlatMapInline, "boost-concurrent_flat_map-inline", kReason);

}  // namespace
}  // namespace segdict::bench

#endif
