#include "tools/demo/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace segdict::demo {
namespace {

std::atomic<int> caught_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) { caught_signal.store(signal, std::memory_order_relaxed); }

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void CatchSignals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) Handle(signal, OnSignal);
  Handle(SIGPIPE, SIG_IGN);
}

int Interrupted() { return caught_signal.load(std::memory_order_relaxed); }

absl::StatusOr<Child> Child::Start(absl::FunctionRef<int()> work) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "cannot start a process");
  if (pid == 0) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) Handle(signal, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died before prctl
    _exit(work());
  }
  Child child;
  child.pid_ = pid;
  return child;
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    Kill();
    pid_ = std::exchange(other.pid_, -1);
    wait_status_ = other.wait_status_;
  }
  return *this;
}

void Child::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

bool Child::Ended() {
  if (pid_ >= 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

absl::Status Child::Join(absl::Duration limit) {
  const absl::Time deadline = absl::Now() + limit;
  while (!Ended()) {
    if (absl::Now() > deadline) return absl::DeadlineExceededError("a process does not end");
    absl::SleepFor(absl::Milliseconds(1));
  }
  if (WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0) return absl::OkStatus();
  return absl::InternalError(WIFSIGNALED(wait_status_)
                                 ? absl::StrCat("a process was killed by signal ", WTERMSIG(wait_status_))
                                 : absl::StrCat("a process ended with status ", WEXITSTATUS(wait_status_)));
}

}  // namespace segdict::demo
