// The operations that are killed, and the tables on which they run.
#ifndef SEGDICT_TESTS_MACHINE_CASES_H_
#define SEGDICT_TESTS_MACHINE_CASES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "segdict/dict.h"
#include "tests/machine/segment.h"

namespace segdict::test {

struct Case {
  std::string name;
  SegmentShape shape;
  // Brings an empty dict into the state before the operation.
  std::function<void(Dict&)> set_up;
  // The victim: opens the dict, calls Victim::Ready, and does the operation.
  std::function<void(const Location&)> run;
  // What passes between set_up and run.
  absl::Duration later = absl::ZeroDuration();
  // Done to the bytes of the segment between the two, if anything.
  std::function<void(std::string*)> edit = nullptr;
};

std::vector<Case> Cases();

// Ends this process unless the result is OK.
void Require(const absl::Status& status);

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_MACHINE_CASES_H_
