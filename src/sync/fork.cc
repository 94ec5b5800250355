#include "src/sync/fork.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include <atomic>
#include <cstdlib>

#include "src/base/descriptor.h"
#include "src/base/hash.h"

namespace segdict::internal {
namespace {

struct Gates {
  std::mutex registry, gate;
};

Gates& TheGates() {
  // Never destroyed: writers are given back by thread-exit handlers that may run late.
  static Gates* gates = [] {
    auto* made = new Gates;
    // Others' fork handlers may run between these, in the parent and in the child.
    const auto before = [] {
      ProcessSection::Enter();
      TheGates().registry.lock();
      TheGates().gate.lock();
    };
    const auto after = [] {
      TheGates().gate.unlock();
      TheGates().registry.unlock();
      ProcessSection::Leave();
    };
    pthread_atfork(before, after, after);
    return made;
  }();
  return *gates;
}

// Where the kernel refuses (a seccomp filter), no other thread has the same number at the same nanosecond, as good as
// surely: these are names, not secrets.
uint64_t RandomNonzero() {
  uint64_t random = 0;
  if (NoEintr([&] { return getrandom(&random, sizeof(random), 0); }) != sizeof(random)) {
    timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    const int64_t parts[] = {now.tv_sec, now.tv_nsec, getpid(), reinterpret_cast<intptr_t>(&random)};
    random = Hash({reinterpret_cast<const char*>(parts), sizeof(parts)}, 0);
  }
  return random | 1;
}

}  // namespace

std::mutex& ForkRegistryMutex() { return TheGates().registry; }
std::mutex& ForkGate() { return TheGates().gate; }

absl::Status PrepareProcess() {
  const ProcessSection section;
  std::lock_guard<std::mutex> lock(ForkRegistryMutex());
  if (generation_word.load(std::memory_order_relaxed) != nullptr) return absl::OkStatus();
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return SystemError(errno, "cannot map a page");
  if (madvise(page, 4096, MADV_WIPEONFORK) != 0) {  // Linux 4.14 has it
    const int error = errno;
    munmap(page, 4096);
    return SystemError(error, "cannot tell a process from its forked children (MADV_WIPEONFORK)");
  }
  generation_word.store(static_cast<std::atomic<uint64_t>*>(page), std::memory_order_release);
  return absl::OkStatus();
}

uint64_t NewProcessGeneration() {
  if (generation_word.load(std::memory_order_acquire) == nullptr && !PrepareProcess().ok()) std::abort();
  std::atomic<uint64_t>* const word = generation_word.load(std::memory_order_acquire);
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
