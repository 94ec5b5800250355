// The hardware that every table works on, as a peer: reading random cache lines of a shared mapping as large as
// segdict's segment of the same group, and locking and unlocking a robust mutex.
//
// A dependent line holds the place of the next, in one cycle through all lines, so nothing overlaps: that is the
// latency of memory, its address translation included. Independent lines overlap as the processor can.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "bench/peer.h"
#include "bench/segment.h"

namespace segdict::bench {
namespace {

constexpr size_t kLineSize = 64;

class Hardware final : public Table {
 public:
  explicit Hardware(const Setup& setup) : bytes_(SegmentBytes(setup)), lines_(bytes_ / kLineSize), order_(lines_) {
    const int descriptor = SharedFile(setup.huge_pages);
    if (posix_fallocate(descriptor, 0, static_cast<off_t>(bytes_)) != 0) Fail("no memory for lines");
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) Fail("cannot map lines");
    close(descriptor);
    if (setup.huge_pages) madvise(memory, bytes_, MADV_HUGEPAGE);
    memory_ = static_cast<uint64_t*>(memory);
    std::iota(order_.begin(), order_.end(), 0u);
    std::shuffle(order_.begin(), order_.end(), std::mt19937_64(lines_));
    for (size_t i = 0; i < lines_; ++i) Line(order_[i]) = order_[(i + 1) % lines_];
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
  }
  ~Hardware() override {
    pthread_mutex_destroy(&mutex_);
    munmap(memory_, bytes_);
  }

  static bool Offers(Op op) { return op == Op::kLine || op == Op::kLineIndependent || op == Op::kMutex; }

  double Run(const Share& share) override {
    uint64_t read = 0;
    const double nanoseconds = Timed([&] {
      switch (share.op) {
        case Op::kLine:
          read = order_[share.from % lines_];
          for (uint64_t n = share.count; n > 0; --n) read = Line(read);
          break;
        case Op::kLineIndependent:
          for (uint64_t n = share.count, i = share.from % lines_; n > 0; --n) {
            read += Line(order_[i]);
            if (++i == lines_) i = 0;
          }
          break;
        default:
          for (uint64_t n = share.count; n > 0; --n) {
            if (pthread_mutex_lock(&mutex_) != 0) Fail("a mutex cannot be locked");
            pthread_mutex_unlock(&mutex_);
          }
      }
    });
    asm volatile("" : : "r"(read));
    return nanoseconds / static_cast<double>(share.count);
  }

 private:
  uint64_t& Line(uint64_t i) { return memory_[i * (kLineSize / sizeof(uint64_t))]; }

  const size_t bytes_, lines_;
  std::vector<uint32_t> order_;
  uint64_t* memory_;
  pthread_mutex_t mutex_;
};

[[maybe_unused]] const bool registered = [] {
  Peers().push_back({.name = "hardware", .offers = Hardware::Offers, .make = [](const Setup& setup, const Dataset&) {
                       return std::make_unique<Hardware>(setup);
                     }});
  return true;
}();

}  // namespace
}  // namespace segdict::bench
