// Every bit of a sound segment flipped, one at a time: whatever follows from it, opening, reading, checking and writing
// end, within the mapping, with what dict.h says.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "segdict/clock.h"
#include "segdict/dict.h"
#include "tests/fuzz/bases.h"

namespace segdict::internal {
namespace {

class FixedClock : public Clock {
 public:
  int64_t Now() const override { return 1'000'000; }
};

void Expected(const absl::Status& status, uint64_t bit) {
  EXPECT_TRUE(status.ok() || absl::IsNotFound(status) || absl::IsDataLoss(status) || absl::IsAborted(status) ||
              absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status) ||
              absl::IsFailedPrecondition(status))
      << "bit " << bit << ": " << status;
}

// What one flipped bit can be met with. Returns whether the segment was taken.
bool Use(int fd, const Clock& clock, uint64_t bit) {
  auto dict = Dict::Open(Descriptor(fd), {.wait_limit = absl::Milliseconds(50), .clock = &clock});
  Expected(dict.status(), bit);
  if (!dict.ok()) return false;
  std::string value;
  for (int i = 0; i < kKeys; ++i) Expected(dict->Get(KeyOf(i), &value), bit);
  size_t bytes = 0;
  Expected(dict->ForEach([&](const Entry& entry) {
    bytes += entry.key.size() + entry.value.size();
    return true;
  }),
           bit);
  Expected(dict->Verify().status(), bit);
  Expected(dict->Set(KeyOf(1), "another value"), bit);
  Expected(dict->Erase(KeyOf(2)), bit);
  return true;
}

// SEGDICT_FLIP_STRIDE: every so manieth bit, from a different one in each byte; 1: all.
uint64_t Stride() {
  if (const char* text = std::getenv("SEGDICT_FLIP_STRIDE"); text != nullptr) {
    return std::max<uint64_t>(1, std::strtoull(text, nullptr, 10));
  }
  return 1;
}

TEST(FlipTest, EveryBit) {
  const Base& base = Bases()[kSmallest];
  const uint64_t bits = base.geometry.size * 8, stride = Stride();
  constexpr uint64_t kBatch = 8192;
  uint64_t taken = 0;
  for (uint64_t from = 0; from < bits; from += kBatch) {
    // In a child, which names the bit that it is at in memory that outlives it.
    auto* now = static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(now, MAP_FAILED);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const int fd = memfd_create("segdict-flip", MFD_CLOEXEC);
      if (fd < 0 || ftruncate(fd, static_cast<off_t>(base.geometry.size)) != 0) _exit(3);
      auto* bytes = static_cast<char*>(mmap(nullptr, base.geometry.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
      if (bytes == MAP_FAILED) _exit(3);
      const FixedClock clock;
      for (uint64_t bit = (stride - from % stride) % stride + from; bit < from + kBatch && bit < bits; bit += stride) {
        now[0] = bit;
        std::memcpy(bytes, base.states[0].data(), base.geometry.size);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
        alarm(30);
        now[1] += Use(fd, clock, bit) ? 1 : 0;
      }
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "bit " << now[0] << " (byte " << now[0] / 8 << "), status " << status
        << (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": did not end" : "");
    taken += now[1];
    munmap(now, 4096);
  }
  // All but those of the header that the checksum covers.
  EXPECT_GE(taken, (bits - 4096) / stride - 1);
}

}  // namespace
}  // namespace segdict::internal
