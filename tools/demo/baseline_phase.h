// The baseline's part of the demo: the same work by the method of shared-memory-dict.
#ifndef SEGDICT_TOOLS_DEMO_BASELINE_PHASE_H_
#define SEGDICT_TOOLS_DEMO_BASELINE_PHASE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/demo/corpus.h"
#include "tools/demo/status_line.h"

namespace segdict::demo {

struct BaselineResult {
  double reads_per_second = 0;
  double writes_per_second = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t wrong = 0;  // values read
  uint64_t segment_bytes = 0;
};

// Two writers and two readers at work on a WholeDict of all packages for this long. The packages are set at once: one
// by one would take hours.
absl::StatusOr<BaselineResult> RunBaselinePhase(const Corpus& corpus, const std::string& name, absl::Duration duration,
                                                StatusLine* status_line);

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_BASELINE_PHASE_H_
