// The memory seam: the one way to the segment.
//
// Everything above this layer is a template over a Memory policy and touches shared words and bytes only through its
// static functions. RealMemory below is what ships; the tests bring policies that count accesses, kill or stop
// the process at the i-th store, or hand control to a scheduler, and so drive the very code that ships.
//
// Orders. Loads and compare-and-swaps are seq_cst, stores release; the store that commits an operation is seq_cst
// (Commit). Crash safety and torn-read detection need only acquire and release; the single total order makes operations
// on *different* keys linearizable too (a thread that wrote x and then reads y, against one that wrote y and then reads
// x). A seq_cst load is the same instruction as an acquire load on x86-64 and AArch64. No protocol relies on TSO. The
// bytes of arena blocks are copied with fences, see base/copy.h. docs/memory-ordering.md lists the ordering points and
// their partners.
#ifndef SEGDICT_SRC_BASE_MEMORY_H_
#define SEGDICT_SRC_BASE_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/base/copy.h"
#include "src/base/futex.h"

namespace segdict::internal {

// A shared word. Little-endian on every supported platform, address-free because lock-free.
using Word = std::atomic<uint64_t>;
static_assert(sizeof(Word) == 8 && alignof(Word) == 8 && Word::is_always_lock_free);

// Where in the source an access stands; taken by default argument, so that policies can name it. Costs nothing in
// RealMemory.
struct Site {
  const char* file;
  int line;
  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

struct RealMemory {
  static uint64_t Load(const Word& word, Site = Site::Here()) { return word.load(std::memory_order_seq_cst); }

  // For a word that only the calling thread changes: no order needed.
  static uint64_t LoadOwn(const Word& word, Site = Site::Here()) { return word.load(std::memory_order_relaxed); }

  static void Store(Word& word, uint64_t value, Site = Site::Here()) { word.store(value, std::memory_order_release); }

  // The store that makes an operation take effect: ordered before every later load of this thread.
  static void Commit(Word& word, uint64_t value, Site = Site::Here()) { word.store(value, std::memory_order_seq_cst); }

  // Strong compare-and-swap; on failure `expected` becomes the value seen.
  static bool Cas(Word& word, uint64_t& expected, uint64_t desired, Site = Site::Here()) {
    return word.compare_exchange_strong(expected, desired, std::memory_order_seq_cst);
  }

  // Adds without order: statistics and number dispensers, on which nothing else hangs.
  static uint64_t FetchAdd(Word& word, uint64_t addend, Site = Site::Here()) {
    return word.fetch_add(addend, std::memory_order_relaxed);
  }

  // Copies `n` bytes from the segment to private memory; racing writers are allowed (the caller validates afterwards).
  static void CopyOut(void* to, const void* from, size_t n, Site = Site::Here()) {
    segdict::internal::CopyOut(to, from, n);
  }

  // Copies `n` bytes of private memory into a block that the caller holds; stale readers may still be looking.
  static void CopyIn(void* to, const void* from, size_t n, Site = Site::Here()) {
    segdict::internal::CopyIn(to, from, n);
  }

  // Sleeps while the low half of `word` equals the low half of `value`, for `nanoseconds` at the most.
  static void FutexWait(Word& word, uint64_t value, int64_t nanoseconds) {
    segdict::internal::FutexWait(word, value, nanoseconds);
  }
  static void FutexWake(Word& word) { segdict::internal::FutexWake(word); }

  // Brings a line near; a hint. By assembly: GCC takes a function that does nothing but __builtin_prefetch for one
  // without effects, and drops the calls.
  static void Prefetch(const void* address) {
#if defined(__x86_64__)
    asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
#elif defined(__aarch64__)
    asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(address)));
#endif
  }

  // One turn of a spin loop.
  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
  }
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_MEMORY_H_
