#include "src/dict/writer_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "src/base/descriptor.h"

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

  // Made at the first write; an error number if the process has no key left (there are 1024), which may change. Without
  // a lock: a thread that writes to two dicts in turn comes here each time.
  [[gnu::visibility("hidden")]] static int Key(pthread_key_t* key) {
    static std::atomic<int64_t> made{-1};
    int64_t known = made.load(std::memory_order_acquire);
    if (known < 0) {
      if (const int error = pthread_key_create(key, &WriterPool::EndOfThread); error != 0) return error;
      if (made.compare_exchange_strong(known, *key)) return 0;
      pthread_key_delete(*key);  // of several threads the first one's key stays
    }
    *key = static_cast<pthread_key_t>(known);
    return 0;
  }
};

void WriterPool::EndOfThread(void* state) {
  const ProcessSection section;
  std::unique_ptr<ThreadState> mine(static_cast<ThreadState*>(state));
  SetLast({0, 0, nullptr});
  const uint64_t generation = ProcessGeneration();
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  for (const Held& held : mine->held) {
    const auto pool = Pools().find(held.pool);
    if (held.generation != generation || pool == Pools().end()) continue;
    auto& writers = pool->second->writers_;
    const auto at = std::find_if(writers.begin(), writers.end(), [&](const auto& w) { return w.get() == held.writer; });
    if (at == writers.end()) continue;
    if ((*at)->global_depth > 0 || (*at)->busy) {
      // Ended inside a call or a section: its locks go with the record's recovery, as if the thread had been killed.
      // But a guard may be destroyed by a later one of the thread's destructors, or never.
      (*at)->process = 0;
      (*at)->token.reset();
    } else {
      pool->second->release_(std::move(*at));
      writers.erase(at);
    }
  }
}

WriterPool::WriterPool(Claim claim, Release release)
    : id_(NextId()), claim_(std::move(claim)), release_(std::move(release)), generation_(ProcessGeneration()) {
  const ProcessSection section;
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  Pools()[id_] = this;
}

WriterPool::~WriterPool() {
  const ProcessSection section;
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  Pools().erase(id_);
  const uint64_t generation = ProcessGeneration();
  ForgetInherited(generation);
  for (auto& writer : writers_) {
    if (writer->process == generation) release_(std::move(writer));
  }
}

void WriterPool::ForgetInherited(uint64_t generation) {
  if (generation_ == generation) return;
  // The call that forked, in Update's function, has its writer's memory under it also in the child.
  std::erase_if(writers_, [](const auto& writer) { return !writer->busy; });
  generation_ = generation;
}

absl::StatusOr<Writer*> WriterPool::ForThisThread() {
  if (Writer* const writer = LastOfThisThread(); writer != nullptr) return writer;
  const uint64_t generation = ProcessGeneration();
  const ProcessSection section;
  pthread_key_t key;
  if (const int error = ThreadState::Key(&key); error != 0) {
    return absl::ResourceExhaustedError(
        "the process has used up its thread-specific data keys (pthread_key_create), and a writer needs one");
  }
  auto* state = static_cast<ThreadState*>(pthread_getspecific(key));
  if (state == nullptr) {
    auto made = std::make_unique<ThreadState>();
    if (const int error = pthread_setspecific(key, made.get()); error != 0) {
      return SystemError(error, "cannot set a writer's thread-specific data");
    }
    state = made.release();
  }
  std::erase_if(state->held, [&](const Held& held) { return held.generation != generation; });
  for (const Held& held : state->held) {
    if (held.pool == id_) {
      SetLast(held);
      return held.writer;
    }
  }
  state->held.reserve(state->held.size() + 1);  // what cannot be had is missed before there is a writer
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
  SetLast(state->held.back());
  return writer;
}

}  // namespace segdict::internal
