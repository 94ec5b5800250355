// Redis over a unix socket, without persistence: a command and its reply for each operation, MGET for batches. One
// connection: for one worker.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_HIREDIS
#include <hiredis/hiredis.h>

#include <cstring>
#include <initializer_list>
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
class Redis {
 public:
  static constexpr const char* kName = "redis";
  static constexpr bool kShared = false;
  static std::string Absent() { return ProgramAbsence("redis-server", "redis-server"); }

  explicit Redis(const Setup&)
      : server_({"redis-server", "--port", "0", "--unixsocket", "{socket}", "--dir", "{folder}", "--save", "",
                 "--appendonly", "no", "--daemonize", "no"},
                [this](const std::string& socket) {
                  context_.reset(redisConnectUnix(socket.c_str()));
                  return context_ != nullptr && context_->err == 0;
                }) {}

  bool Get(std::string_view key, char* value) { return CopyOut(*Call({"GET", key}), value); }
  size_t GetMany(std::span<const std::string_view> keys, char* values) {
    words_.assign({"MGET"});
    words_.insert(words_.end(), keys.begin(), keys.end());
    const Reply reply = Call(words_);
    size_t found = 0;
    for (size_t i = 0; i < reply->elements; ++i) found += CopyOut(*reply->element[i], values + found * Shape::kValue);
    return found;
  }
  bool Set(std::string_view key, std::string_view value) {
    return Call({"SET", key, value})->type == REDIS_REPLY_STATUS;
  }
  bool SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs) {
    if (pairs.empty()) return true;
    words_.assign({"MSET"});
    for (const auto& [key, value] : pairs) words_.insert(words_.end(), {key, value});
    return Call(words_)->type == REDIS_REPLY_STATUS;
  }
  bool Erase(std::string_view key) { return Call({"DEL", key})->integer == 1; }

  std::optional<double> Bytes() {
    const Reply reply = Call({"INFO", "memory"});
    const char* line = std::strstr(reply->str, "used_memory:");
    return line == nullptr ? std::nullopt : std::optional(std::atof(line + std::strlen("used_memory:")));
  }

 private:
  struct Delete {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
    void operator()(redisContext* context) const { redisFree(context); }
  };
  using Reply = std::unique_ptr<redisReply, Delete>;

  Reply Call(std::span<const std::string_view> words) {
    texts_.clear();
    lengths_.clear();
    for (const std::string_view word : words) {
      texts_.push_back(word.data());
      lengths_.push_back(word.size());
    }
    const int count = static_cast<int>(words.size());
    Reply reply(static_cast<redisReply*>(redisCommandArgv(context_.get(), count, texts_.data(), lengths_.data())));
    if (reply == nullptr) Fail(std::string("redis: ") + context_->errstr);
    if (reply->type == REDIS_REPLY_ERROR) Fail(std::string("redis: ") + reply->str);
    return reply;
  }
  Reply Call(std::initializer_list<std::string_view> words) { return Call(std::span(words.begin(), words.end())); }

  static bool CopyOut(const redisReply& reply, char* value) {
    if (reply.type != REDIS_REPLY_STRING) return false;
    std::memcpy(value, reply.str, Shape::kValue);
    return true;
  }

  std::unique_ptr<redisContext, Delete> context_;
  Server server_;
  std::vector<std::string_view> words_;
  std::vector<const char*> texts_;
  std::vector<size_t> lengths_;
};
SEGDICT_BENCH_PEER(Redis, S16);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Redis, "redis", "hiredis was not there when this was built; Debian: libhiredis-dev");
#endif
