// What has to be known and held still about fork(2), and what is a process's own.
#ifndef SEGDICT_SRC_SYNC_FORK_H_
#define SEGDICT_SRC_SYNC_FORK_H_

#include <atomic>
#include <cstdint>
#include <mutex>

#include "absl/status/status.h"

namespace segdict::internal {

// Forks by libc wait while either of these is held, and a child finds both free. Order: Registry, then Gate.
std::mutex& ForkRegistryMutex();  // guards the process's lists of handles and writers
std::mutex& ForkGate();           // held while a description that carries a liveness lock has a descriptor

// Stands for a part of a call that this thread must not begin again before it has ended: it holds one of the mutexes,
// or changes the process's lists. A signal handler that interrupts it, or another library's fork handler while ours
// hold the mutexes, would wait for its own thread; so writes ask first.
class ProcessSection {
 public:
  ProcessSection() { Enter(); }
  ~ProcessSection() { Leave(); }
  ProcessSection(const ProcessSection&) = delete;
  ProcessSection& operator=(const ProcessSection&) = delete;

  static bool Entered() { return depth_.load(std::memory_order_relaxed) > 0; }
  // For what begins in one function and ends in another. The fences are the compiler's: a handler runs on this thread.
  static void Enter() {
    depth_.store(depth_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  static void Leave() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    depth_.store(depth_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }

 private:
  [[gnu::visibility("hidden")]] static constinit inline thread_local std::atomic<int> depth_{0};
};

// Makes the page that the next two need; once a process, before its first handle. An error can be tried again.
absl::Status PrepareProcess();

// A number that differs between a process and its forked children. Read from a page that the kernel wipes in children
// (MADV_WIPEONFORK), so it holds for every kind of fork. Two loads in the common case.
uint64_t NewProcessGeneration();
// Set once, by PrepareProcess. Hidden: each copy of the library in a process has its own.
[[gnu::visibility("hidden")]] inline std::atomic<std::atomic<uint64_t>*> generation_word = nullptr;
inline uint64_t ProcessGeneration() {
  if (const auto* word = generation_word.load(std::memory_order_acquire); word != nullptr) [[likely]] {
    if (const uint64_t generation = word->load(std::memory_order_relaxed); generation != 0) [[likely]]
      return generation;
  }
  return NewProcessGeneration();
}

// A random number that no other thread has, here or in another process; a forked child's thread has another than its
// parent's.
uint64_t ThreadIdentity();

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_SYNC_FORK_H_
