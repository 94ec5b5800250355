#include "src/dict/writer_pool.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace segdict::internal {
namespace {

// The living pools of this process, so that an ending thread finds those it has writers of. Guarded by
// ForkRegistryMutex.
std::unordered_map<uint64_t, WriterPool*>& Pools() {
  static auto* pools = new std::unordered_map<uint64_t, WriterPool*>;
  return *pools;
}

uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// All writers of a thread; owned by a pthread key, whose destructor runs again if a later one of the thread's
// destructors writes once more.
struct WriterPool::ThreadState {
  std::vector<Held> held;

  [[gnu::visibility("hidden")]] static pthread_key_t Key() {
    static const pthread_key_t key = [] {
      pthread_key_t made;
      pthread_key_create(&made, &WriterPool::EndOfThread);
      return made;
    }();
    return key;
  }
};

void WriterPool::EndOfThread(void* state) {
  std::unique_ptr<ThreadState> mine(static_cast<ThreadState*>(state));
  last_used = {0, 0, nullptr};
  const uint64_t generation = ProcessGeneration();
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  for (const Held& held : mine->held) {
    const auto pool = Pools().find(held.pool);
    if (held.generation != generation || pool == Pools().end()) continue;
    auto& writers = pool->second->writers_;
    const auto at = std::find_if(writers.begin(), writers.end(), [&](const auto& w) { return w.get() == held.writer; });
    if (at == writers.end()) continue;
    // Ended inside a call or a section: its locks go with the record's recovery, as if the thread had been killed.
    if ((*at)->global_depth == 0 && !(*at)->busy) pool->second->release_(std::move(*at));
    writers.erase(at);
  }
}

WriterPool::WriterPool(Claim claim, Release release)
    : id_(NextId()), claim_(std::move(claim)), release_(std::move(release)), generation_(ProcessGeneration()) {
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  Pools()[id_] = this;
}

WriterPool::~WriterPool() {
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  Pools().erase(id_);
  ForgetInherited(ProcessGeneration());
  for (auto& writer : writers_) release_(std::move(writer));
}

void WriterPool::ForgetInherited(uint64_t generation) {
  if (generation_ == generation) return;
  // The tokens' mappings do not exist in this process, and something else may stand at their addresses: nothing may be
  // unmapped.
  for (auto& writer : writers_) (void)writer->token.release();
  writers_.clear();
  generation_ = generation;
}

absl::StatusOr<Writer*> WriterPool::ForThisThread() {
  if (Writer* const writer = LastOfThisThread(); writer != nullptr) return writer;
  const uint64_t generation = ProcessGeneration();
  auto* state = static_cast<ThreadState*>(pthread_getspecific(ThreadState::Key()));
  if (state == nullptr) {
    state = new ThreadState;
    pthread_setspecific(ThreadState::Key(), state);
  }
  std::erase_if(state->held, [&](const Held& held) { return held.generation != generation; });
  for (const Held& held : state->held) {
    if (held.pool == id_) {
      last_used = held;
      return held.writer;
    }
  }
  absl::StatusOr<std::unique_ptr<Writer>> claimed = claim_();
  if (!claimed.ok()) return claimed.status();
  Writer* const writer = claimed->get();
  {
    std::lock_guard<std::mutex> lock(ForkRegistryMutex());
    ForgetInherited(generation);
    writers_.push_back(*std::move(claimed));
    std::erase_if(state->held, [](const Held& held) { return !Pools().contains(held.pool); });
  }
  state->held.push_back({id_, generation, writer});
  last_used = state->held.back();
  return writer;
}

}  // namespace segdict::internal
