// Linux futex on the low 32 bits of a shared word. Both calls are hints: a waiter always wakes by itself after its
// time, and a waker may die before it wakes anybody.
#ifndef SEGDICT_SRC_BASE_FUTEX_H_
#define SEGDICT_SRC_BASE_FUTEX_H_

#include <atomic>
#include <cstdint>

namespace segdict::internal {

// Sleeps for at most `nanoseconds` while the low half of `word` equals the low half of `value`. Returns early on a
// wake, on a signal, or for no reason. Needs a writable mapping.
void FutexWait(std::atomic<uint64_t>& word, uint64_t value, int64_t nanoseconds);

// Wakes everybody who sleeps on `word`, in any process.
void FutexWake(std::atomic<uint64_t>& word);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_FUTEX_H_
