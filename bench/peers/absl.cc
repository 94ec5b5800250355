// absl::flat_hash_map under one absl::Mutex, which readers share.
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "bench/peer.h"
#include "bench/stored.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class AbslFlatHashMap {
 public:
  static constexpr const char* kName = "absl-flat_hash_map";
  static constexpr bool kShared = false;
  using As = Stored<Shape>;

  explicit AbslFlatHashMap(const Setup& setup) { map_.reserve(setup.capacity); }

  bool Get(std::string_view key, char* value) {
    absl::ReaderMutexLock lock(&mutex_);
    const auto it = map_.find(View(key));
    if (it == map_.end()) return false;
    As::CopyOut(it->second, value);
    return true;
  }
  bool Set(std::string_view key, std::string_view value) {
    absl::MutexLock lock(&mutex_);
    const auto [it, is_new] = map_.try_emplace(View(key), As::ToValue(value));
    if (!is_new) it->second = As::ToValue(value);
    return true;
  }
  bool Erase(std::string_view key) {
    absl::MutexLock lock(&mutex_);
    return map_.erase(View(key)) != 0;
  }

 private:
  // Abseil's own string view is another type where it was built for C++ before 17.
  static auto View(std::string_view key) {
    if constexpr (Shape::kIntegers)
      return As::ToKey(key);
    else
      return absl::string_view(key.data(), key.size());
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<typename As::Key, typename As::Value> map_;
};
SEGDICT_BENCH_PEER(AbslFlatHashMap, U64, S16, S20, S64K);

}  // namespace
}  // namespace segdict::bench
