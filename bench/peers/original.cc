// The original's method, in C++: the whole dict lies serialized in a shared mapping; a read deserializes all of it, a
// write deserializes, changes and serializes all of it. Like the original without its lock: for one worker.
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "bench/peer.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class Original {
 public:
  static constexpr const char* kName = "original";
  static constexpr bool kShared = true;

  explicit Original(const Setup& setup) : size_(8 + setup.capacity * (8 + Shape::kKey + Shape::kValue)) {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) Fail("no memory for the original");
    memory_ = static_cast<char*>(memory);
  }
  ~Original() { munmap(memory_, size_); }

  bool Get(std::string_view key, char* value) {
    const Map map = Load();
    const auto it = map.find(std::string(key));
    if (it == map.end()) return false;
    std::memcpy(value, it->second.data(), Shape::kValue);
    return true;
  }
  bool Set(std::string_view key, std::string_view value) { return SetMany({{{key, value}}}); }
  bool SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs) {
    Map map = Load();
    for (const auto& [key, value] : pairs) map.insert_or_assign(std::string(key), std::string(value));
    return Save(map);
  }
  bool Erase(std::string_view key) {
    Map map = Load();
    return map.erase(std::string(key)) != 0 && Save(map);
  }
  std::optional<double> Bytes() { return static_cast<double>(size_); }

 private:
  using Map = std::unordered_map<std::string, std::string>;

  // The number of entries, and for each the key's length, the key, the value's length, the value.
  Map Load() const {
    const char* at = memory_;
    uint64_t entries;
    std::memcpy(&entries, at, sizeof(entries));
    at += sizeof(entries);
    const auto next = [&] {
      uint32_t length;
      std::memcpy(&length, at, sizeof(length));
      std::string bytes(at + sizeof(length), length);
      at += sizeof(length) + length;
      return bytes;
    };
    Map map;
    map.reserve(entries);
    for (uint64_t i = 0; i < entries; ++i) {
      std::string key = next();
      map.emplace(std::move(key), next());
    }
    return map;
  }
  bool Save(const Map& map) {
    char* at = memory_;
    const uint64_t entries = map.size();
    if (8 + entries * (8 + Shape::kKey + Shape::kValue) > size_) return false;
    std::memcpy(at, &entries, sizeof(entries));
    at += sizeof(entries);
    const auto put = [&](const std::string& bytes) {
      const auto length = static_cast<uint32_t>(bytes.size());
      std::memcpy(at, &length, sizeof(length));
      at = std::copy(bytes.begin(), bytes.end(), at + sizeof(length));
    };
    for (const auto& [key, value] : map) {
      put(key);
      put(value);
    }
    return true;
  }

  const size_t size_;
  char* memory_;
};
SEGDICT_BENCH_PEER(Original, S16);

}  // namespace
}  // namespace segdict::bench
