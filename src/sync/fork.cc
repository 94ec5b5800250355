#include "src/sync/fork.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <atomic>
#include <cstdlib>

namespace segdict::internal {
namespace {

struct Gates {
  std::mutex registry, gate;
};

Gates& TheGates() {
  // Never destroyed: writers are given back by thread-exit handlers that may run late.
  static Gates* gates = [] {
    auto* made = new Gates;
    pthread_atfork([] { TheGates().registry.lock(), TheGates().gate.lock(); },
                   [] { TheGates().gate.unlock(), TheGates().registry.unlock(); },
                   [] { TheGates().gate.unlock(), TheGates().registry.unlock(); });
    return made;
  }();
  return *gates;
}

std::atomic<uint64_t>* MakeWipedPage() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // Linux 4.14 has it; without it nothing here is safe, so there is no way on.
  if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0) std::abort();
  return static_cast<std::atomic<uint64_t>*>(page);
}

uint64_t RandomNonzero() {
  uint64_t random = 0;
  while (getrandom(&random, sizeof(random), 0) != sizeof(random) || random == 0) {
  }
  return random;
}

}  // namespace

std::mutex& ForkRegistryMutex() { return TheGates().registry; }
std::mutex& ForkGate() { return TheGates().gate; }

uint64_t NewProcessGeneration() {
  static std::atomic<uint64_t>* const word = MakeWipedPage();
  generation_word.store(word, std::memory_order_release);
  uint64_t generation = word->load(std::memory_order_relaxed);
  if (generation != 0) [[likely]]
    return generation;
  const uint64_t fresh = RandomNonzero();
  // Of several threads the first one's number stays.
  return word->compare_exchange_strong(generation, fresh) ? fresh : generation;
}

uint64_t ThreadIdentity() {
  thread_local uint64_t identity = 0;
  thread_local uint64_t of_process = 0;
  if (const uint64_t process = ProcessGeneration(); of_process != process) {
    of_process = process;
    identity = RandomNonzero();
  }
  return identity;
}

}  // namespace segdict::internal
