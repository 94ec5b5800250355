#include "tests/machine/tracer.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

// What the victim is led to when it shall make a system call for the tracer.
extern "C" const char segdict_test_system_call[];
asm(".pushsection .text\n"
    "segdict_test_system_call: syscall\n"
    "int3\n"
    ".popsection");

namespace segdict::test {
namespace {

constexpr uint64_t kInt3 = 0xcc;
constexpr uint64_t kSyscall = 0x050f;  // the two bytes of `syscall`
constexpr int kSystemCallStop = SIGTRAP | 0x80;

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
  std::abort();
}

pid_t Wait(pid_t who, int* status) {
  for (;;) {
    const pid_t pid = waitpid(who, status, __WALL);
    if (pid >= 0 || errno != EINTR) return pid;
  }
}

uint64_t Peek(pid_t thread, uint64_t address) {
  errno = 0;
  const long word = ptrace(PTRACE_PEEKTEXT, thread, address, 0);
  if (word == -1 && errno != 0) Die("PTRACE_PEEKTEXT");
  return static_cast<uint64_t>(word);
}

void Poke(pid_t thread, uint64_t address, uint64_t word) {
  if (ptrace(PTRACE_POKETEXT, thread, address, word) != 0) Die("PTRACE_POKETEXT");
}

}  // namespace

std::string Moment::Describe() const {
  std::ostringstream text;
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(pc), &info) != 0 && info.dli_fname != nullptr) {
    text << info.dli_fname << "+0x" << std::hex << pc - reinterpret_cast<uint64_t>(info.dli_fbase) << std::dec;
  } else {
    text << "0x" << std::hex << pc << std::dec;
  }
  text << ", arrival " << arrival;
  if (repetition > 1) text << ", repetition " << repetition;
  return text.str();
}

Victim::Victim(absl::FunctionRef<void()> body) {
  std::fflush(nullptr);
  const pid_t tracer = getpid();
  process_ = fork();
  if (process_ < 0) Die("fork");
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != tracer) _exit(3);
    setpgid(0, 0);  // so that its threads can be waited for, and nobody else
    body();
    std::fflush(nullptr);
    _exit(0);
  }
  setpgid(process_, process_);
  int status;
  thread_ = Wait(-process_, &status);
  if (thread_ < 0) Die("waitpid");
  Note(status);
  if (ended_) return;
  if (ptrace(PTRACE_SETOPTIONS, thread_, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) != 0) Die("PTRACE_SETOPTIONS");
}

void Victim::Ready() {
  if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) Die("PTRACE_TRACEME");
  asm volatile("int3" ::: "memory");
}

std::string Victim::WhyNot() {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) Die("fork");
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(errno);
    raise(SIGSTOP);
    _exit(0);
  }
  int status;
  if (Wait(pid, &status) != pid) Die("waitpid");
  if (!WIFSTOPPED(status)) {
    return std::string("PTRACE_TRACEME: ") + strerror(WIFEXITED(status) ? WEXITSTATUS(status) : EPERM);
  }
  std::string why;
  if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) != 0) {
    why = std::string("PTRACE_SINGLESTEP: ") + strerror(errno);
  } else if (Wait(pid, &status) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
    why = "PTRACE_SINGLESTEP: the process did not stop after a step";
  }
  kill(pid, SIGKILL);
  while (Wait(pid, &status) > 0 && WIFSTOPPED(status)) {
  }
  return why;
}

bool Victim::Step() {
  if (ended_) return false;
  const uint64_t pc = Pc();
  if (pc == last_.pc) {
    ++last_.repetition;
  } else {
    last_ = {.pc = pc, .arrival = ++arrivals_[pc], .repetition = 1};
  }
  bool going = Resume(PTRACE_SINGLESTEP);
  stored_ = std::exchange(faulted_, false);
  if (!stored_) return going;
  Protect(PROT_READ | PROT_WRITE);
  going = Resume(PTRACE_SINGLESTEP);
  if (going) Protect(PROT_READ);
  return going;
}

bool Victim::AtSystemCall() const { return !ended_ && (Peek(thread_, Pc()) & 0xffff) == kSyscall; }

bool Victim::RunTo(const Moment& moment) {
  if (ended_) return false;
  const uint64_t original = Peek(thread_, moment.pc);
  const uint64_t trap = (original & ~uint64_t{0xff}) | kInt3;
  for (uint64_t arrival = 1;; ++arrival) {
    Poke(thread_, moment.pc, trap);
    if (!Resume(PTRACE_CONT)) return false;
    if (Pc() != moment.pc + 1) {
      failure_ = "stopped at another place than the breakpoint";
      return false;
    }
    Poke(thread_, moment.pc, original);
    SetPc(moment.pc);
    if (arrival == moment.arrival) break;
    do {
      if (!Resume(PTRACE_SINGLESTEP)) return false;
    } while (Pc() == moment.pc);
  }
  for (uint64_t repetition = 1; repetition <= moment.repetition; ++repetition) {
    if (Pc() != moment.pc) return false;  // fewer repetitions
    if (!Resume(PTRACE_SINGLESTEP)) return false;
  }
  return true;
}

bool Victim::NextSystemCall() { return !ended_ && Resume(PTRACE_SYSCALL); }

void Victim::Kill() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  int status;
  while (Wait(-process_, &status) > 0) {  // its threads, then itself
  }
  process_ = -1;
  ended_ = true;
}

bool Victim::Resume(int request) {
  if (ptrace(static_cast<__ptrace_request>(request), thread_, 0, 0) != 0) Die("resuming the victim");
  int status;
  if (Wait(thread_, &status) != thread_) Die("waitpid");
  Note(status);
  return !ended_;
}

void Victim::Note(int status) {
  if (WIFSTOPPED(status) && (WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == kSystemCallStop)) return;
  if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV) {
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, thread_, 0, &info) != 0) Die("PTRACE_GETSIGINFO");
    const auto at = reinterpret_cast<uint64_t>(info.si_addr);
    faulted_ = guarded_ <= at && at < guarded_end_;
    if (faulted_) return;
  }
  ended_ = true;
  if (!WIFSTOPPED(status) && thread_ == process_) process_ = -1;  // waited for: the number may be another's now
  if (WIFSTOPPED(status)) {
    failure_ = std::string("got a signal: ") + strsignal(WSTOPSIG(status));
  } else if (WIFSIGNALED(status)) {
    failure_ = std::string("was ended by a signal: ") + strsignal(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    failure_ = "ended with status " + std::to_string(WEXITSTATUS(status));
  }
}

uint64_t Victim::Pc() const {
  errno = 0;
  const long pc = ptrace(PTRACE_PEEKUSER, thread_, offsetof(user, regs.rip), 0);
  if (pc == -1 && errno != 0) Die("PTRACE_PEEKUSER");
  return static_cast<uint64_t>(pc);
}

void Victim::SetPc(uint64_t pc) {
  if (ptrace(PTRACE_POKEUSER, thread_, offsetof(user, regs.rip), pc) != 0) Die("PTRACE_POKEUSER");
}

void Victim::Protect(int protection) {
  user_regs_struct saved;
  if (ptrace(PTRACE_GETREGS, thread_, 0, &saved) != 0) Die("PTRACE_GETREGS");
  user_regs_struct call = saved;
  call.rip = reinterpret_cast<uint64_t>(segdict_test_system_call);
  call.rax = SYS_mprotect;
  call.orig_rax = ~uint64_t{0};  // in no system call
  call.rdi = guarded_;
  call.rsi = guarded_end_ - guarded_;
  call.rdx = static_cast<uint64_t>(protection);
  if (ptrace(PTRACE_SETREGS, thread_, 0, &call) != 0) Die("PTRACE_SETREGS");
  if (!Resume(PTRACE_SINGLESTEP)) Die("mprotect by the victim");
  if (ptrace(PTRACE_GETREGS, thread_, 0, &call) != 0) Die("PTRACE_GETREGS");
  if (call.rax != 0) Die("mprotect by the victim");
  if (ptrace(PTRACE_SETREGS, thread_, 0, &saved) != 0) Die("PTRACE_SETREGS");
}

internal::UniqueFd Victim::Guard() {
  if (ended_) return {};
  const std::string proc = "/proc/" + std::to_string(process_);
  std::ifstream maps(proc + "/maps");
  for (std::string line; std::getline(maps, line);) {
    // 7f0123456000-7f0123460000 rw-s 00000000 00:01 1234 /memfd:name (deleted)
    char permissions[8];
    unsigned device_major = 0, device_minor = 0;
    unsigned long long inode = 0, begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx %7s %*s %x:%x %llu", &begin, &end, permissions, &device_major,
                    &device_minor, &inode) != 6 ||
        std::strcmp(permissions, "rw-s") != 0) {
      continue;
    }
    DIR* const open_files = opendir((proc + "/fd").c_str());
    if (open_files == nullptr) continue;
    internal::UniqueFd found;
    while (const dirent* entry = readdir(open_files)) {
      const std::string path = proc + "/fd/" + entry->d_name;
      struct stat info;
      if (stat(path.c_str(), &info) != 0 || info.st_ino != inode || major(info.st_dev) != device_major ||
          minor(info.st_dev) != device_minor) {
        continue;
      }
      found = internal::UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      break;
    }
    closedir(open_files);
    if (!found) continue;
    guarded_ = begin;
    guarded_end_ = end;
    Protect(PROT_READ);
    return found;
  }
  return {};
}

Shadow::Shadow(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) Die("fstat");
  seen_.resize(static_cast<size_t>(info.st_size));
  void* const map = mmap(nullptr, seen_.size(), PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) Die("mmap");
  map_ = static_cast<char*>(map);
  std::memcpy(seen_.data(), map_, seen_.size());
}

Shadow::~Shadow() { munmap(map_, seen_.size()); }

bool Shadow::Changed() {
  if (std::memcmp(seen_.data(), map_, seen_.size()) == 0) return false;
  std::memcpy(seen_.data(), map_, seen_.size());
  return true;
}

}  // namespace segdict::test
