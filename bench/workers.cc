#include "bench/workers.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>

namespace segdict::bench {
namespace {

constexpr unsigned kMaxWorkers = 64;

// What the workers and the caller share.
struct Board {
  std::atomic<unsigned> prepared{0};
  double results[kMaxWorkers] = {};
};

// The last to come in lets all go. Yields, because there may be more workers than processors.
void Meet(Board& board, unsigned workers) {
  board.prepared.fetch_add(1);
  while (board.prepared.load() < workers) sched_yield();
}

void RunThreads(Board& board, unsigned workers, const std::function<void(unsigned)>& prepare,
                const std::function<double(unsigned)>& work) {
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      prepare(w);
      Meet(board, workers);
      board.results[w] = work(w);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// An error, or an empty string. All the processes are gone afterwards.
std::string RunProcesses(Board& board, unsigned workers, const std::function<void(unsigned)>& prepare,
                         const std::function<double(unsigned)>& work, std::chrono::milliseconds limit) {
  std::vector<pid_t> running;
  std::string error;
  const pid_t parent = getpid();
  for (unsigned w = 0; w < workers; ++w) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      prepare(w);
      Meet(board, workers);
      board.results[w] = work(w);
      _exit(0);
    }
    if (pid < 0) {
      error = "cannot fork";
      break;
    }
    running.push_back(pid);
  }
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!running.empty() && error.empty()) {
    for (size_t i = 0; i < running.size() && error.empty();) {
      int status = 0;
      const pid_t ended = waitpid(running[i], &status, WNOHANG);
      if (ended == 0) {
        ++i;
        continue;
      }
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) error = "a worker process died";
    }
    if (std::chrono::steady_clock::now() > deadline) error = "a worker process hangs";
    if (!running.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const pid_t pid : running) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  return error;
}

}  // namespace

Worked RunWorkers(WorkerKind kind, unsigned workers, const std::function<void(unsigned)>& prepare,
                  const std::function<double(unsigned)>& work, std::chrono::milliseconds limit) {
  if (workers > kMaxWorkers) return {{}, "too many workers"};
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {{}, "no memory"};
  auto* board = new (memory) Board;
  Worked worked;
  if (kind == WorkerKind::kThreads)
    RunThreads(*board, workers, prepare, work);
  else
    worked.error = RunProcesses(*board, workers, prepare, work, limit);
  worked.results.assign(board->results, board->results + workers);
  munmap(memory, sizeof(Board));
  return worked;
}

}  // namespace segdict::bench
