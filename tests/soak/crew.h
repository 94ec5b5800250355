// The worker processes: real ones, each a program executed anew, in C++ or Python.
#ifndef SEGDICT_TESTS_SOAK_CREW_H_
#define SEGDICT_TESTS_SOAK_CREW_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/soak/board.h"

namespace segdict::soak {

// An error of any call below means that a worker ended by itself; it tells what the worker found wrong.
class Crew {
 public:
  struct Programs {
    std::string self;    // this program; not /proc/self/exe itself, which is valgrind under valgrind
    std::string python;  // interpreter; empty: no workers in Python
    std::string python_worker;
    uint64_t python_seats = 0;  // the last ones
  };

  Crew(const Board& board, int board_fd, const Programs& programs);
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() { KillAll(); }

  absl::Status Start(uint64_t seat, bool clearer = false);
  // Returns when the process is gone, or stands still.
  absl::Status Kill(uint64_t seat);
  absl::Status Stop(uint64_t seat);
  void Continue(uint64_t seat);
  // Whether all that should be running are.
  absl::Status Look();

  bool living(uint64_t seat) const { return members_[seat].pid > 0; }
  pid_t process(uint64_t seat) const { return members_[seat].pid; }
  bool stopped(uint64_t seat) const { return members_[seat].stopped; }
  bool in_python(uint64_t seat) const { return seat >= board_.seats() - programs_.python_seats; }

  // What each is doing, for people.
  std::string Describe() const;
  // After a failure: nothing is changed any more; then the end.
  void FreezeAll();
  void KillAll();

 private:
  struct Member {
    pid_t pid = -1;
    bool stopped = false;
  };
  absl::Status EndedByItself(uint64_t seat, int status);

  const Board& board_;
  const int board_fd_;
  const Programs programs_;
  std::vector<Member> members_;
};

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_CREW_H_
