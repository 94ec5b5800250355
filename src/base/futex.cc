#include "src/base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "segdict needs a little-endian Linux: x86-64 or AArch64"
#endif

namespace segdict::internal {

void FutexWait(std::atomic<uint64_t>& word, uint64_t value, int64_t nanoseconds) {
  const timespec timeout{.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
  // Shared (not FUTEX_PRIVATE_FLAG): the waker may be another process.
  syscall(SYS_futex, &word, FUTEX_WAIT, static_cast<uint32_t>(value), &timeout, nullptr, 0);
}

void FutexWake(std::atomic<uint64_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace segdict::internal
