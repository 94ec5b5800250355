// Which schedules are run: all of them up to a bound, or random ones.
#ifndef SEGDICT_TESTS_SCHEDULE_EXPLORE_H_
#define SEGDICT_TESTS_SCHEDULE_EXPLORE_H_

#include <cstdint>
#include <string>

#include "tests/schedule/scheduler.h"

namespace segdict::internal {

// At most so many of each, and of all together.
struct Bound {
  int switches = 2;
  int deaths = 1;
  int old_values = 1;
  int together = 2;
};

struct Exploration {
  int64_t schedules = 0;
  int64_t with_death = 0;
  int64_t with_old_values = 0;
  std::string wrong;  // what is wrong with the first schedule that is; empty: none is
  Schedule how;       // that one
};

// All schedules within the bound, but for those that differ from others only by where, among accesses that concern
// nobody else, an actor is held. (Preemption bounding: Musuvathi and Qadeer, "Iterative context bounding for
// systematic testing of multithreaded programs", PLDI 2007.)
Exploration ExploreAll(const Scenario& scenario, const Bound& bound);

// `schedules` random ones, by `seed`; a wrong one is made as short as dropping decisions makes it.
Exploration ExploreRandomly(const Scenario& scenario, uint64_t seed, int64_t schedules);

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_SCHEDULE_EXPLORE_H_
