// boost::unordered_map of Boost.Interprocess strings in a managed_shared_memory, under one interprocess_mutex.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_INTERPROCESS
#include <sys/mman.h>
#include <unistd.h>

#include <boost/functional/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "bench/stored.h"

namespace segdict::bench {
namespace {

namespace ipc = boost::interprocess;

template <typename Shape>
class BoostInterprocess {
 public:
  static constexpr const char* kName = "boost-interprocess";
  static constexpr bool kShared = true;

  explicit BoostInterprocess(const Setup& setup)
      : name_("segdict-bench-" + std::to_string(getpid())),
        // Node, bucket, two strings, and the allocator's headers.
        memory_(ipc::create_only, name_.c_str(), (256 + Shape::kKey + Shape::kValue) * (setup.capacity + 4096)) {
    ipc::shared_memory_object::remove(name_.c_str());
    AfterFork();
    mutex_ = memory_.construct<ipc::interprocess_mutex>(ipc::anonymous_instance)();
    map_ = memory_.construct<Map>(ipc::anonymous_instance)(0, Hash(), Equal(),
                                                           Allocator<typename Map::value_type>(manager()));
    map_->reserve(setup.capacity);
  }

  bool Get(std::string_view key, char* value) {
    const Lock lock(*mutex_);
    const auto it = map_->find(View(key), Hash(), Equal());
    if (it == map_->end()) return false;
    std::memcpy(value, Bytes(it->second), Shape::kValue);
    return true;
  }
  bool Set(std::string_view key, std::string_view value) {
    const Lock lock(*mutex_);
    const auto it = map_->find(View(key), Hash(), Equal());
    if (it == map_->end())
      map_->emplace(Made(key), Made(value));
    else if constexpr (Shape::kIntegers)
      it->second = View(value);
    else
      it->second.assign(value.data(), value.size());
    return true;
  }
  bool Erase(std::string_view key) {
    const Lock lock(*mutex_);
    const auto it = map_->find(View(key), Hash(), Equal());
    if (it == map_->end()) return false;
    map_->erase(it);
    return true;
  }

  // Maps all pages, of the parent's mapping.
  void AfterFork() { madvise(memory_.get_address(), memory_.get_size(), MADV_POPULATE_WRITE); }

  std::optional<double> Bytes() { return static_cast<double>(memory_.get_size() - memory_.get_free_memory()); }

 private:
  template <typename T>
  using Allocator = ipc::allocator<T, ipc::managed_shared_memory::segment_manager>;
  using String = ipc::basic_string<char, std::char_traits<char>, Allocator<char>>;
  using Element = std::conditional_t<Shape::kIntegers, uint64_t, String>;
  using Lock = ipc::scoped_lock<ipc::interprocess_mutex>;

  // Boost's own hash function, for strings and views of them alike.
  struct Hash {
    size_t operator()(uint64_t key) const { return boost::hash<uint64_t>()(key); }
    size_t operator()(std::string_view key) const { return boost::hash_range(key.begin(), key.end()); }
    size_t operator()(const String& key) const { return (*this)(std::string_view(key.data(), key.size())); }
  };
  struct Equal {
    static uint64_t Same(uint64_t key) { return key; }
    static std::string_view Same(std::string_view key) { return key; }
    static std::string_view Same(const String& key) { return {key.data(), key.size()}; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Same(a) == Same(b);
    }
  };
  using Map = boost::unordered_map<Element, Element, Hash, Equal, Allocator<std::pair<const Element, Element>>>;

  static auto View(std::string_view bytes) { return Stored<Shape>::ToKey(bytes); }
  static const char* Bytes(const uint64_t& value) { return reinterpret_cast<const char*>(&value); }
  static const char* Bytes(const String& value) { return value.data(); }
  Element Made(std::string_view bytes) {
    if constexpr (Shape::kIntegers)
      return View(bytes);
    else
      return String(bytes.data(), bytes.size(), Allocator<char>(manager()));
  }
  auto* manager() { return memory_.get_segment_manager(); }

  const std::string name_;
  ipc::managed_shared_memory memory_;
  ipc::interprocess_mutex* mutex_;
  Map* map_;
};
SEGDICT_BENCH_PEER(BoostInterprocess, U64, S16, S20);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(BoostInterprocess, "boost-interprocess",
                          "not there when this was built; Debian: libboost-dev");
#endif
