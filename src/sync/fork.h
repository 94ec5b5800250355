// What has to be known and held still about fork(2).
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
