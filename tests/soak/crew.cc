#include "tests/soak/crew.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace segdict::soak {
namespace {

// Of one process: 0 and -1 would be many.
void Send(pid_t pid, int number) {
  if (pid > 1) kill(pid, number);
}

int WaitFor(pid_t pid, int options) {
  int status = 0;
  while (waitpid(pid, &status, options) < 0 && errno == EINTR) {
  }
  return status;
}

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Crew::Crew(const Board& board, int board_fd, const Programs& programs)
    : board_(board), board_fd_(board_fd), programs_(programs), members_(board.seats()) {}

absl::Status Crew::Start(uint64_t seat, bool clearer) {
  board_.seat(seat).calls_of_life = 0;
  const std::string seat_text = std::to_string(seat), board_text = std::to_string(board_fd_);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "cannot start a process");
  if (pid == 0) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(3);
    if (in_python(seat) && !clearer) {  // a virtual environment is found by argv[0]
      execl(programs_.python.c_str(), programs_.python.c_str(), programs_.python_worker.c_str(), seat_text.c_str(),
            board_text.c_str(), nullptr);
    } else {
      execl(programs_.self.c_str(), "soak", clearer ? "--clearer" : "--worker", seat_text.c_str(), board_text.c_str(),
            nullptr);
    }
    _exit(127);
  }
  members_[seat] = {.pid = pid};
  return absl::OkStatus();
}

absl::Status Crew::EndedByItself(uint64_t seat, int status) {
  members_[seat] = {};
  std::string how;
  if (WIFSIGNALED(status)) {
    how = absl::StrCat("ended by signal ", WTERMSIG(status));
  } else if (board_.seat(seat).failed != 0) {
    how = absl::StrCat("found ", board_.seat(seat).failure);
  } else {
    how = absl::StrCat("ended with status ", WEXITSTATUS(status));
  }
  return absl::DataLossError(absl::StrCat("worker ", seat, in_python(seat) ? " (Python) " : " ", how));
}

absl::Status Crew::Kill(uint64_t seat) {
  Member& member = members_[seat];
  if (!living(seat)) return absl::InternalError("nobody is there to be killed");
  Send(member.pid, SIGKILL);
  const int status = WaitFor(member.pid, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return EndedByItself(seat, status);
  member = {};
  return absl::OkStatus();
}

absl::Status Crew::Stop(uint64_t seat) {
  if (!living(seat)) return absl::InternalError("nobody is there to be stopped");
  Send(members_[seat].pid, SIGSTOP);
  const int status = WaitFor(members_[seat].pid, WUNTRACED);
  if (!WIFSTOPPED(status)) return EndedByItself(seat, status);
  members_[seat].stopped = true;
  return absl::OkStatus();
}

void Crew::Continue(uint64_t seat) {
  Send(members_[seat].pid, SIGCONT);
  members_[seat].stopped = false;
}

absl::Status Crew::Look() {
  for (uint64_t seat = 0; seat < members_.size(); ++seat) {
    int status = 0;
    if (living(seat) && waitpid(members_[seat].pid, &status, WNOHANG) > 0) return EndedByItself(seat, status);
  }
  return absl::OkStatus();
}

std::string Crew::Describe() const {
  std::string text;
  for (uint64_t i = 0; i < members_.size(); ++i) {
    const Seat& seat = board_.seat(i);
    const uint64_t kind = seat.kind;
    absl::StrAppend(&text, "seat ", i, in_python(i) ? " (Python)" : "", ": ", kind < kKinds ? kKindNames[kind] : "?",
                    ", state ", seat.state.load(), ", key ", seat.key.load(), ", new id ", seat.new_id.load(), ", ttl ",
                    seat.ttl.load(), ", ", seat.calls_of_life.load(), " calls of this life");
    if (living(i)) {
      const std::string proc = absl::StrCat("/proc/", members_[i].pid, "/");
      absl::StrAppend(&text, ", process ", members_[i].pid, members_[i].stopped ? ", stopped" : "", ", waits in ",
                      FileText(proc + "wchan"), ", system call ", FileText(proc + "syscall"), "\n",
                      FileText(proc + "stack"));
    }
    absl::StrAppend(&text, "\n");
    if (seat.failed != 0) absl::StrAppend(&text, "  found ", seat.failure, "\n");
  }
  return text;
}

void Crew::FreezeAll() {
  for (const Member& member : members_) {
    Send(member.pid, SIGSTOP);
  }
}

void Crew::KillAll() {
  for (const Member& member : members_) {
    Send(member.pid, SIGKILL);
  }
  for (Member& member : members_) {
    if (member.pid > 0) WaitFor(member.pid, 0);
    member = {};
  }
}

}  // namespace segdict::soak
