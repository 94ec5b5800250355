// The writers of one handle: one a thread, claimed at its first write, given back when the thread ends or the handle
// goes.
//
// A forked child has none of its parent's writers: their tokens are not inherited, so it forgets them and claims its
// own.
#ifndef SEGDICT_SRC_DICT_WRITER_POOL_H_
#define SEGDICT_SRC_DICT_WRITER_POOL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "src/sync/fork.h"
#include "src/sync/writer.h"

namespace segdict::internal {

class WriterPool {
 public:
  using Claim = std::function<absl::StatusOr<std::unique_ptr<Writer>>()>;
  using Release = std::function<void(std::unique_ptr<Writer>)>;

  WriterPool(Claim claim, Release release);
  ~WriterPool();
  WriterPool(const WriterPool&) = delete;
  WriterPool& operator=(const WriterPool&) = delete;

  // The calling thread's writer, if this is the pool that the thread used last; else null.
  Writer* LastOfThisThread() const {
    return last_used.pool == id_ && last_used.generation == ProcessGeneration() ? last_used.writer : nullptr;
  }
  // The calling thread's writer; claims one at the thread's first call.
  absl::StatusOr<Writer*> ForThisThread();

 private:
  struct Held {
    uint64_t pool;
    uint64_t generation;
    Writer* writer;
  };
  // The writer that this thread used last. Trivially destructible, so that it can be looked at also while a thread
  // ends. Hidden: each copy of the library in a process has its own, as it has pools of its own.
  [[gnu::visibility("hidden")]] static constinit inline thread_local Held last_used{0, 0, nullptr};

  // Three words, between which a signal handler may look: to it there is none.
  static void SetLast(const Held& held) {
    last_used.pool = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    last_used.generation = held.generation;
    last_used.writer = held.writer;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    last_used.pool = held.pool;
  }

  struct ThreadState;
  static void EndOfThread(void* state);
  void ForgetInherited(uint64_t generation);

  const uint64_t id_;  // never used again in this process
  Claim claim_;
  Release release_;
  uint64_t generation_;  // of the process that `writers_` are of; guarded by ForkRegistryMutex
  // Those that are not of this process (Writer::process) are memory that may still be referred to: of calls that were
  // under way when it was forked, and of threads that ended in a section.
  std::vector<std::unique_ptr<Writer>> writers_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_DICT_WRITER_POOL_H_
