// memcached over a unix socket: a command and its reply for each operation, a multi-get for batches. One connection:
// for one worker.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_LIBMEMCACHED
#include <libmemcached/memcached.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/servers.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class Memcached {
 public:
  static constexpr const char* kName = "memcached";
  static constexpr bool kShared = false;
  static std::string Absent() { return ProgramAbsence("memcached", "memcached"); }

  explicit Memcached(const Setup&)
      : server_(Command(), [this](const std::string& socket) {
          client_.reset(memcached_create(nullptr));
          memcached_server_add_unix_socket(client_.get(), socket.c_str());
          return memcached_exist(client_.get(), "x", 1) == MEMCACHED_NOTFOUND;
        }) {
    memcached_result_create(client_.get(), &result_);
  }
  ~Memcached() { memcached_result_free(&result_); }

  bool Get(std::string_view key, char* value) {
    size_t length = 0;
    uint32_t flags = 0;
    memcached_return_t result;
    const std::unique_ptr<char, decltype(&std::free)> found(
        memcached_get(client_.get(), key.data(), key.size(), &length, &flags, &result), &std::free);
    if (!Done(result)) return false;
    std::memcpy(value, found.get(), Shape::kValue);
    return true;
  }
  // What is there comes back in the order of the keys.
  size_t GetMany(std::span<const std::string_view> keys, char* values) {
    texts_.clear();
    lengths_.clear();
    for (const std::string_view key : keys) {
      texts_.push_back(key.data());
      lengths_.push_back(key.size());
    }
    Done(memcached_mget(client_.get(), texts_.data(), lengths_.data(), texts_.size()));
    size_t found = 0;
    memcached_return_t result;
    while (memcached_fetch_result(client_.get(), &result_, &result) != nullptr)
      std::memcpy(values + Shape::kValue * found++, memcached_result_value(&result_), Shape::kValue);
    return found;
  }
  bool Set(std::string_view key, std::string_view value) {
    return Done(memcached_set(client_.get(), key.data(), key.size(), value.data(), value.size(), 0, 0));
  }
  // Over a connection of its own, without replies; its end says that all has been done.
  bool SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs) {
    const Client writer(memcached_clone(nullptr, client_.get()));
    memcached_behavior_set(writer.get(), MEMCACHED_BEHAVIOR_NOREPLY, 1);
    memcached_behavior_set(writer.get(), MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);
    bool good = true;
    for (const auto& [key, value] : pairs)
      good = Done(memcached_set(writer.get(), key.data(), key.size(), value.data(), value.size(), 0, 0)) && good;
    memcached_quit(writer.get());
    return good;
  }
  bool Erase(std::string_view key) { return Done(memcached_delete(client_.get(), key.data(), key.size(), 0)); }

  std::optional<double> Bytes() { return std::nullopt; }

 private:
  struct Delete {
    void operator()(memcached_st* client) const { memcached_free(client); }
  };

  using Client = std::unique_ptr<memcached_st, Delete>;

  static std::vector<std::string> Command() {
    std::vector<std::string> command = {"memcached", "-s", "{socket}", "-m", "1024"};
    if (geteuid() == 0) command.insert(command.end(), {"-u", "root"});
    return command;
  }

  bool Done(memcached_return_t result) {
    if (memcached_success(result) || result == MEMCACHED_BUFFERED) return true;
    if (result != MEMCACHED_NOTFOUND) Fail(std::string("memcached: ") + memcached_strerror(client_.get(), result));
    return false;
  }

  Client client_;
  Server server_;
  std::vector<const char*> texts_;
  std::vector<size_t> lengths_;
  memcached_result_st result_;
};
SEGDICT_BENCH_PEER(Memcached, S16);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Memcached, "memcached", "not there when this was built; Debian: libmemcached-dev");
#endif
