// What is crashed: one operation on a table in one state. Neither says how it is crashed; that is what the tests do.
#ifndef SEGDICT_TESTS_CRASH_CASE_H_
#define SEGDICT_TESTS_CRASH_CASE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/table_fixture.h"

namespace segdict::internal::crash {

// A call of the table's, as its caller makes it.
using Operation = std::function<absl::Status(TableFixture&, Writer&)>;

struct Case {
  std::string name;
  TableShape shape;
  // Brings an empty table into the state before the operation.
  std::function<void(TableFixture&, Writer&)> set_up;
  Operation run;
  // What `run` returns if nobody disturbs it.
  absl::StatusCode result = absl::StatusCode::kOk;
  // Whole or not at all. Otherwise each of its keys is.
  bool atomic = true;
  // It sets the clock, which other processes do not see.
  bool sets_clock = false;
  // One of those that stand for the others where each crash costs a process.
  bool core = false;
};

// Every operation on one key, times what the key was before, where it stood and how it is stored, times shapes.
std::vector<Case> ProductCases();
// Those of several keys, of locks, of pages, of full tables.
std::vector<Case> SpecialCases();

// Two operations on one state; the second runs in the middle of the first.
struct Pair {
  std::string name;
  TableShape shape;
  std::function<void(TableFixture&, Writer&)> set_up;
  Operation first, second;
  bool atomic = true;
  // Pages are so few that either may find none while the other is in flight.
  bool tight = false;
  // Worth every moment: the two contend for slots, tags and moves.
  bool important = false;
};
std::vector<Pair> Pairs();

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_CASE_H_
