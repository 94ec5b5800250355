// A process that stops or kills itself after its n-th store to the segment.
#ifndef SEGDICT_TESTS_CRASH_ACTOR_H_
#define SEGDICT_TESTS_CRASH_ACTOR_H_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "tests/table_fixture.h"
#include "tests/testing.h"

namespace segdict::internal::crash {

// Where a process stopped, in memory that it shares with the others.
inline test::SharedWords& Stopped() {
  static auto* const words = new test::SharedWords;
  return *words;
}

// Stops (or kills) the process after the n-th change of the segment.
class StopAfter : public AccessHook {
 public:
  StopAfter(int64_t n, int signal) : left_(n), signal_(signal) {}
  void After(const Access& access) override {
    if (!access.ChangesSegment() || --left_ != 0) return;
    Stopped()[0] = reinterpret_cast<uintptr_t>(access.site.file);  // the same in each forked process
    Stopped()[1] = static_cast<uint64_t>(access.site.line);
    raise(signal_);
  }

 private:
  int64_t left_;
  const int signal_;
};

// A process that stops or dies after its n-th store, or ends; killed at the end of the scope.
class Actor {
 public:
  // `body` makes the hook count from when it likes. Its result, small, is the exit status.
  template <class Body>
  Actor(int64_t n, int signal, Body&& body) {
    Stopped();  // made before it is shared
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      StopAfter hook(n, signal);
      const int result = body(&hook);
      HookedMemory::hook = nullptr;
      _exit(result);
    }
    FIXTURE_CHECK(pid_ > 0);
  }
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() { Kill(); }

  // Returns when it stands still or is gone.
  int Wait() {
    int status = 0;
    while (waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
    if (!WIFSTOPPED(status)) pid_ = -1;
    return status;
  }
  void Kill() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    while (pid_ > 0) Wait();
  }
  void Continue() { kill(pid_, SIGCONT); }

 private:
  pid_t pid_ = -1;
};

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_ACTOR_H_
