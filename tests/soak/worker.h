// The worker of the soak in C++: calls of every kind, until it is killed.
#ifndef SEGDICT_TESTS_SOAK_WORKER_H_
#define SEGDICT_TESTS_SOAK_WORKER_H_

#include <cstdint>

namespace segdict::soak {

// Sits down on that seat of the board, a memfd. Returns only if something was wrong; the seat then says what.
int RunWorker(uint64_t seat, int board_fd);

// Calls Clear again and again.
int RunClearer(uint64_t seat, int board_fd);

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_WORKER_H_
