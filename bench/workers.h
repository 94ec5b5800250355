// Workers: n threads, or n forked processes, that do the same thing at the same time. They start together, each times
// itself, and none can hold up the caller for longer than a limit: a process that dies or hangs is an error; a thread
// that fails takes the whole process with it anyway.
#ifndef SEGDICT_BENCH_WORKERS_H_
#define SEGDICT_BENCH_WORKERS_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace segdict::bench {

enum class WorkerKind { kThreads, kProcesses };

struct Worked {
  std::vector<double> results;  // by worker
  std::string error;            // empty: all is well
};

// Calls prepare(w) and then, when all workers are prepared, work(w), whose value is the worker's result.
// Processes that take longer than `limit` hang.
Worked RunWorkers(WorkerKind kind, unsigned workers, const std::function<void(unsigned)>& prepare,
                  const std::function<double(unsigned)>& work,
                  std::chrono::milliseconds limit = std::chrono::minutes(3));

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_WORKERS_H_
