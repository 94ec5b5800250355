// Whether the dict is what the board says: settles the dead, and looks at everything while all are at rest.
#ifndef SEGDICT_TESTS_SOAK_ORACLE_H_
#define SEGDICT_TESTS_SOAK_ORACLE_H_

#include <cstdint>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "segdict/dict.h"
#include "tests/soak/board.h"

namespace segdict::soak {

class Oracle {
 public:
  Oracle(const Board& board, Dict dict) : board_(board), dict_(std::move(dict)) {}

  // The counters, and as many of the keys as may be there.
  absl::Status SetUp(std::mt19937_64& random);

  // The worker of that seat is dead. Finds out what became of its call.
  absl::Status Settle(Seat& seat);
  // The worker of that seat stands still: the key that it is changing is read nevertheless.
  absl::Status ReadBehind(const Seat& seat);

  // All are at rest or dead, and settled. With `cleared`, somebody may have erased anything.
  absl::Status Check(bool cleared = false);
  // Fills the dict to the last entry and byte that it promised. Nobody else is at work.
  absl::Status FillToThePromise(std::mt19937_64& random);
  // Empties it: then nothing is in use any more.
  absl::Status ClearAll();

  uint64_t recovered() const { return recovered_; }  // by Check
  Dict& dict() { return dict_; }

 private:
  struct Found {
    uint64_t id = 0;
    uint64_t expires_from = kNeverExpires, expires_to = kNeverExpires;
  };
  absl::Status Read(uint64_t key, Found* found);
  absl::Status CheckSound();
  absl::Status CheckCounters(bool cleared);

  const Board& board_;
  Dict dict_;
  uint64_t recovered_ = 0;
};

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_ORACLE_H_
