// What loads may give under the C++ memory model: not only the newest value.
//
// The program runs one access at a time, and the real memory always has the newest values. Beside it this class keeps,
// for each word that was written, all values that it had (its modification order), each with what its writer knew when
// it wrote: a vector clock, so many stores of each thread. A load may give any value that is not older than
//
//   * the newest one that the thread knows of (happens-before, and coherence);
//   * for a seq_cst load, also the newest one that a seq_cst access of the word has stored or given before: all seq_cst
//     operations have one total order, here that of execution.
//
// An acquire load then knows what the writer of its value knew. So a value that another thread stored by release may
// stay unseen for any time, as it may in a store buffer or a cache, and different threads may see stores to different
// words in different orders as far as acquire and release let them. (View-based operational semantics: Kang et al., "A
// promising semantics for relaxed-memory concurrency", POPL 2017; seq_cst by C++20's coherence-ordered-before.)
//
// Not modelled: loads that give values of the future (which acquire and release forbid but for one relaxed counter),
// stores that go before another thread's in modification order although they are executed later, and compare-and-swaps
// that fail by an old value.
#ifndef SEGDICT_TESTS_SCHEDULE_WEAK_MEMORY_H_
#define SEGDICT_TESTS_SCHEDULE_WEAK_MEMORY_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace segdict::internal {

class WeakMemory {
 public:
  static constexpr int kMaxThreads = 6;

  // How many stores of each thread are known.
  using Clock = std::array<uint32_t, kMaxThreads>;
  static void Join(Clock& to, const Clock& from) {
    for (size_t t = 0; t < kMaxThreads; ++t) to[t] = std::max(to[t], from[t]);
  }

  enum class StoreOrder {
    kRelease,
    kSeqCst,
    kReadModifyWrite,         // seq_cst, reads the newest value
    kRelaxedReadModifyWrite,  // joins neither way; whoever acquires from it acquires what it had read from
    kRelaxed,                 // behind a release fence: whoever acquires from it acquires what was known at the fence
  };

  // Of `bytes` bytes from `base` on, 8-byte aligned.
  WeakMemory(const void* base, size_t bytes) : base_(static_cast<const char*>(base)), words_(bytes / 8) {}

  // From now on every thread knows all that is in memory.
  void Reset();

  // Thread `t` has stored `value`, which the real memory has by now, over `before`. `fence`: for kRelaxed.
  void Stored(int t, const void* word, uint64_t before, uint64_t value, StoreOrder order, const Clock* fence = nullptr);

  // How many values a load by thread `t` can give: 1, the newest, at least.
  int Choices(int t, const void* word, bool seq_cst) const;

  // What the load gives that chooses the value `age` steps older than the newest, `latest`. `learned` gets what its
  // writer knew: the thread's clock, or what a fence after the load will add to it; null for a relaxed load. REQUIRES:
  // age < Choices().
  uint64_t Loaded(int t, const void* word, uint64_t latest, int age, bool seq_cst, Clock* learned);

  Clock& clock(int t) { return clocks_[static_cast<size_t>(t)]; }

 private:
  struct Value {
    uint64_t value;
    int thread;      // that stored it; -1: it was there from the beginning
    uint32_t count;  // so many stores of that thread, this one included
    Clock clock;     // what an acquire load of it learns
  };
  struct Location {
    std::vector<Value> values;                  // in modification order; empty: never written
    size_t seq_cst = 0;                         // the newest that a seq_cst access stored or gave
    std::array<uint32_t, kMaxThreads> given{};  // the newest that each thread's loads gave
  };

  size_t IndexOf(const void* word) const { return static_cast<size_t>(static_cast<const char*>(word) - base_) / 8; }
  // The oldest value that the load may give.
  size_t Floor(int t, const Location& location, bool seq_cst) const;

  const char* const base_;
  std::vector<Location> words_;
  std::vector<size_t> touched_;
  std::array<Clock, kMaxThreads> clocks_{};
};

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_SCHEDULE_WEAK_MEMORY_H_
