// The main part of the demo: two processes load all packages into a dict and go on updating them, two others read and
// check them, and again and again a writer is killed in the middle of its work.
#ifndef SEGDICT_TOOLS_DEMO_SEGDICT_PHASE_H_
#define SEGDICT_TOOLS_DEMO_SEGDICT_PHASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "segdict/options.h"
#include "tools/demo/corpus.h"
#include "tools/demo/status_line.h"

namespace segdict::demo {

// One SIGKILL of a writer.
struct Kill {
  bool in_call = false;  // of the dict, when it died
  // From before kill() until the parent, after waitpid and Recover, had written the key that the dead writer was at.
  absl::Duration recovery;
  absl::Duration recover_call;  // Recover and that write alone: without the kernel taking the process down
  // The longest single call of the other writer, which shares the key count/updates with the dead one: around the
  // kill, and just before it for as long.
  absl::Duration longest_around;
  absl::Duration longest_before;
};

struct SegdictResult {
  double load_seconds = 0;
  double seconds = 0;      // of the main phase
  uint64_t reads = 0;      // of packages, in the main phase
  uint64_t writes = 0;     // of packages, in the main phase
  uint64_t all_reads = 0;  // of any key, loading included
  uint64_t wrong = 0;      // among all reads
  std::vector<Kill> kills;
  // At the end:
  std::string problem;     // the first of those that the processes told of
  uint64_t end_wrong = 0;  // packages, sizes and the count of updates
  uint64_t entries = 0;
  uint64_t expected_entries = 0;
  int64_t leaked_blocks = 0;
  uint64_t segment_bytes = 0;
  VerifyReport verified;

  bool ok() const {
    return problem.empty() && wrong == 0 && end_wrong == 0 && verified.ok() && verified.in_flight == 0 &&
           leaked_blocks == 0 && entries == expected_entries && verified.entries == expected_entries;
  }
};

// The dict is made under `name`, and its name taken away at the end in any case.
absl::StatusOr<SegdictResult> RunSegdictPhase(const Corpus& corpus, const std::string& name, absl::Duration duration,
                                              StatusLine* status_line);

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_SEGDICT_PHASE_H_
