// Makes chosen system calls of another process fail: a tracer.
//
// A forked process brackets the calls in question with FaultWindow::Open and Close. Open asks to be traced, by ptrace,
// and stops; the parent's Trace takes it from there: it notes every system call of that one thread, and lets those that
// its plan names fail, by giving the kernel no call to make and the caller an error number. Close ends the tracing, so
// all else that the process does is at its own speed.
//
// A call of close(2) is made all the same, as the kernel does: after an error of close the descriptor is gone.
#ifndef SEGDICT_TESTS_FAULTS_FAULT_INJECTOR_H_
#define SEGDICT_TESTS_FAULTS_FAULT_INJECTOR_H_

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace segdict::test {

// One call, as its caller made it.
struct SystemCall {
  int64_t number = 0;
  std::array<uint64_t, 6> arguments{};

  bool IsOpenOfTemporaryFile() const {
    return number == SYS_openat && (arguments[2] & O_TMPFILE) == static_cast<uint64_t>(O_TMPFILE);
  }
  // The same function of the kernel: fcntl is many.
  bool IsLike(const SystemCall& other) const {
    return number == other.number && (number != SYS_fcntl || arguments[1] == other.arguments[1]);
  }
};

struct FaultPlan {
  size_t nth = 0;  // the call to fail, from 1; 0: none
  int error = 0;
  bool lasting = false;                         // and all like it that follow
  bool no_temporary_files = false;              // O_TMPFILE always fails, as on a filesystem that does not know it
  uint64_t longest_reservation = ~uint64_t{0};  // a longer fallocate is always interrupted, as by a fast timer
};

struct FaultTrace {
  std::vector<SystemCall> calls;
  int injected = 0;     // of the plan's nth
  int death = 0;        // the signal that ended the process in the window
  std::string trouble;  // of the tracer itself; empty if all went well
};

// Whether a process may let itself be traced here.
inline bool TracingIsPermitted() {
  const pid_t pid = fork();
  if (pid == 0) _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// In the process that is to suffer.
class FaultWindow {
 public:
  // Marks the end; no kernel has a call of this number.
  static constexpr long kCloseMarker = 0x5e6d1c;

  static void Open() {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
  }
  static void Close() { syscall(kCloseMarker); }
};

namespace internal_faults {

// The call that a thread stopped at the entry of shall make; -1: none.
inline bool SetCallNumber(pid_t thread, int64_t number) {
#if defined(__x86_64__)
  return ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, orig_rax), number) == 0;
#else
  int wanted = static_cast<int>(number);
  iovec part{&wanted, sizeof(wanted)};
  return ptrace(PTRACE_SETREGSET, thread, NT_ARM_SYSTEM_CALL, &part) == 0;
#endif
}

// What a call returns, at its exit.
inline bool SetResult(pid_t thread, int64_t result) {
#if defined(__x86_64__)
  return ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, rax), result) == 0;
#else
  user_regs_struct registers;
  iovec part{&registers, sizeof(registers)};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &part) != 0) return false;
  registers.regs[0] = static_cast<uint64_t>(result);
  return ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &part) == 0;
#endif
}

}  // namespace internal_faults

// Waits for a child's window and sees it through. The child's end, if it comes outside of the window, is left to
// whoever waits for the child. A window that never closes is ended by the child's own alarm(2).
inline FaultTrace TraceFaults(const FaultPlan& plan) {
  FaultTrace trace;
  const auto trouble = [&](const std::string& what) {
    trace.trouble = what + ": " + std::to_string(errno);
    return trace;
  };
  // Not waited for by its process id: it may be any thread of the child.
  siginfo_t seen{};
  if (waitid(P_ALL, 0, &seen, WEXITED | WSTOPPED | WNOWAIT | __WALL) != 0) return trouble("waitid");
  if (seen.si_code != CLD_TRAPPED) {
    trace.trouble = "the child has ended without a window";
    return trace;
  }
  const pid_t thread = seen.si_pid;
  int status = 0;
  if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) return trouble("waitpid");
  if (ptrace(PTRACE_SETOPTIONS, thread, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0) {
    return trouble("PTRACE_SETOPTIONS");
  }
  int64_t pass_on = 0;  // a signal
  int failing = 0;      // the error number of the call under way, if it is to fail
  std::optional<SystemCall> target;
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, thread, nullptr, pass_on) != 0) return trouble("PTRACE_SYSCALL");
    pass_on = 0;
    if (waitpid(thread, &status, __WALL) != thread) return trouble("waitpid");
    if (WIFSIGNALED(status)) {
      trace.death = WTERMSIG(status);
      return trace;
    }
    if (WIFEXITED(status)) {
      trace.trouble = "the child ended in its window";
      return trace;
    }
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      pass_on = WSTOPSIG(status);
      continue;
    }
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) <= 0) return trouble("PTRACE_GET_SYSCALL_INFO");
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      if (failing != 0 && !internal_faults::SetResult(thread, -failing)) return trouble("cannot set a result");
      failing = 0;
      continue;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
    SystemCall call{.number = static_cast<int64_t>(info.entry.nr)};
    for (size_t i = 0; i < call.arguments.size(); ++i) call.arguments[i] = info.entry.args[i];
    if (call.number == FaultWindow::kCloseMarker) {
      if (ptrace(PTRACE_DETACH, thread, nullptr, nullptr) != 0) return trouble("PTRACE_DETACH");
      return trace;
    }
    trace.calls.push_back(call);
    if (trace.calls.size() == plan.nth) target = call;
    if (target.has_value() && (trace.calls.size() == plan.nth || (plan.lasting && call.IsLike(*target)))) {
      failing = plan.error;
      ++trace.injected;
    } else if (plan.no_temporary_files && call.IsOpenOfTemporaryFile()) {
      failing = EOPNOTSUPP;
    } else if (call.number == SYS_fallocate && call.arguments[3] > plan.longest_reservation) {
      failing = EINTR;
    }
    if (failing != 0 && call.number != SYS_close && !internal_faults::SetCallNumber(thread, -1)) {
      return trouble("cannot take a call away");
    }
  }
}

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_FAULTS_FAULT_INJECTOR_H_
