// Copies between the segment and private memory that may race with another process, defined and fast.
//
// A plain memcpy that races is undefined behaviour, and relaxed 8-byte atomics measured half as fast as memcpy at 1
// KiB. So on x86-64 the bytes are moved by inline assembly: to the compiler it is an opaque volatile access of memory
// it knows nothing of, so no language-level data race exists, and the processor's loads and stores are whole-byte
// atomic. Elsewhere, and in sanitizer builds (which cannot see into assembly), 8-byte atomic accesses do the same job;
// they acquire and release, because ThreadSanitizer does not know fences.
//
// Fences (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012):
//   CopyIn  = release fence, then the stores. A reader that sees one of these bytes and then fences sees, at its
//             re-check of the slot's seq, that the block's former owner had let go of it.
//   CopyOut = the loads, then an acquire fence. Partner of the above; the re-check of seq stays behind the loads.
#ifndef SEGDICT_SRC_BASE_COPY_H_
#define SEGDICT_SRC_BASE_COPY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace segdict::internal {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SEGDICT_COPY_WORDS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SEGDICT_COPY_WORDS 1
#endif
#endif
#if !defined(SEGDICT_COPY_WORDS) && !defined(__x86_64__)
#define SEGDICT_COPY_WORDS 1
#endif

// Segment addresses are 8-byte aligned, and a segment region is readable and writable up to the next multiple of 8
// bytes.

#ifdef SEGDICT_COPY_WORDS

inline void CopyOut(void* to, const void* from, size_t n) {
  // A value behind a key begins anywhere: whole words around it are loaded, and what belongs to it is taken out.
  size_t skip = reinterpret_cast<uintptr_t>(from) % 8;
  const auto* word = reinterpret_cast<const std::atomic<uint64_t>*>(static_cast<const char*>(from) - skip);
  for (auto* out = static_cast<char*>(to); n > 0; ++word) {
    const uint64_t value = word->load(std::memory_order_acquire);
    const size_t size = n < 8 - skip ? n : 8 - skip;
    std::memcpy(out, reinterpret_cast<const char*>(&value) + skip, size);
    out += size;
    n -= size;
    skip = 0;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
}

// REQUIRES: `to` is 8-byte aligned.
inline void CopyIn(void* to, const void* from, size_t n) {
  std::atomic_thread_fence(std::memory_order_release);
  auto* word = static_cast<std::atomic<uint64_t>*>(to);
  const auto* in = static_cast<const char*>(from);
  for (; n >= 8; n -= 8, in += 8, ++word) {
    uint64_t value;
    std::memcpy(&value, in, 8);
    word->store(value, std::memory_order_release);
  }
  if (n > 0) {
    uint64_t value = 0;
    std::memcpy(&value, in, n);
    word->store(value, std::memory_order_release);
  }
}

#else  // x86-64 by assembly

// From here on `rep movsb` (microcoded, whole lines at a time) beats a loop of 16-byte moves.
inline constexpr size_t kRepMovsFrom = 768;

inline void CopyBytes(void* to, const void* from, size_t n) {
  if (n >= kRepMovsFrom) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return;
  }
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (; n >= 64; n -= 64, out += 64, in += 64) {
    asm volatile(
        "movdqu   (%1), %%xmm0\n\t movdqu 16(%1), %%xmm1\n\t movdqu 32(%1), %%xmm2\n\t movdqu 48(%1), %%xmm3\n\t"
        "movdqu %%xmm0,   (%0)\n\t movdqu %%xmm1, 16(%0)\n\t movdqu %%xmm2, 32(%0)\n\t movdqu %%xmm3, 48(%0)"
        :
        : "r"(out), "r"(in)
        : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
  }
  for (; n >= 8; n -= 8, out += 8, in += 8) {
    uint64_t value;
    asm volatile("movq (%2), %0\n\t movq %0, (%1)" : "=&r"(value) : "r"(out), "r"(in) : "memory");
  }
  for (; n > 0; --n, ++out, ++in) {
    uint32_t value;
    asm volatile("movzbl (%2), %0\n\t movb %b0, (%1)" : "=&q"(value) : "r"(out), "r"(in) : "memory");
  }
}

inline void CopyOut(void* to, const void* from, size_t n) {
  CopyBytes(to, from, n);
  std::atomic_thread_fence(std::memory_order_acquire);
}

inline void CopyIn(void* to, const void* from, size_t n) {
  std::atomic_thread_fence(std::memory_order_release);
  CopyBytes(to, from, n);
}

#endif

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_COPY_H_
