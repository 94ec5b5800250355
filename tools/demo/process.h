// Worker processes, and the memory that they share with their parent besides the dict.
#ifndef SEGDICT_TOOLS_DEMO_PROCESS_H_
#define SEGDICT_TOOLS_DEMO_PROCESS_H_

#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace segdict::demo {

// A forked process. It dies with its parent, and with this object.
class Child {
 public:
  // Forks; the child runs `work` and ends with what it returns. It ignores SIGINT and SIGTERM: its parent sees to it.
  static absl::StatusOr<Child> Start(absl::FunctionRef<int()> work);

  Child() = default;
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { Kill(); }

  // SIGKILL, and wait until the kernel has taken the process down. Nothing if it has ended.
  void Kill();
  // Whether it has ended; without waiting.
  bool Ended();
  // Waits until it has ended. DEADLINE_EXCEEDED after `limit`, INTERNAL if it failed.
  absl::Status Join(absl::Duration limit);

 private:
  pid_t pid_ = -1;
  int wait_status_ = 0;
};

// From now on SIGINT, SIGTERM and SIGHUP only set what Interrupted tells, and SIGPIPE is ignored.
void CatchSignals();
// The signal that has arrived, or 0.
int Interrupted();

// `count` objects of T in anonymous memory that this process shares with its later children.
template <class T>
class Shared {
 public:
  explicit Shared(size_t count = 1)
      : bytes_(count * sizeof(T)),
        at_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) throw std::bad_alloc();
    for (size_t i = 0; i < count; ++i) new (&(*this)[i]) T();
  }
  ~Shared() { ::munmap(at_, bytes_); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T& operator[](size_t i) const { return static_cast<T*>(at_)[i]; }
  T& operator*() const { return (*this)[0]; }
  T* operator->() const { return &(*this)[0]; }

 private:
  size_t bytes_;
  void* at_;
};

// The first thing that went wrong in any of the processes, in words.
class FirstProblem {
 public:
  void Tell(std::string_view what) {
    if (taken_.exchange(true)) return;
    std::memcpy(text_, what.data(), what.size() < sizeof(text_) ? what.size() : sizeof(text_) - 1);
    told_.store(true, std::memory_order_release);
  }
  // Empty if there is none.
  std::string text() const { return told_.load(std::memory_order_acquire) ? text_ : ""; }

 private:
  std::atomic<bool> taken_{false};
  std::atomic<bool> told_{false};
  char text_[256] = {};
};

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_PROCESS_H_
