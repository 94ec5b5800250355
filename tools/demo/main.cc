// The demo of segdict: Debian's package index in a dict that two processes write and two read, while writers are
// killed; and the same work by the method of shared-memory-dict, to compare. Exit status 0 if nothing was wrong.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tools/demo/baseline_phase.h"
#include "tools/demo/corpus.h"
#include "tools/demo/process.h"
#include "tools/demo/report.h"
#include "tools/demo/segdict_phase.h"
#include "tools/demo/status_line.h"

ABSL_FLAG(double, seconds, 15, "how long the main phase with segdict takes");
ABSL_FLAG(double, baseline_seconds, 10, "how long the baseline takes");
ABSL_FLAG(std::string, corpus, "", "file of stanzas to use instead of `apt-cache dumpavail`");
ABSL_FLAG(std::string, name, "", "name of the shared memory object; by default segdict-demo-<pid>");

namespace segdict::demo {
namespace {

int Fail(const absl::Status& status) {
  const int signal = Interrupted();
  std::fprintf(stderr, "demo: %s\n", signal != 0 ? "interrupted" : std::string(status.message()).c_str());
  return signal != 0 ? 128 + signal : 1;
}

int Main() {
  const double seconds = absl::GetFlag(FLAGS_seconds);
  const double baseline_seconds = absl::GetFlag(FLAGS_baseline_seconds);
  if (!(seconds >= 1 && seconds <= 3600 && baseline_seconds >= 1 && baseline_seconds <= 3600)) {
    return Fail(absl::InvalidArgumentError("--seconds and --baseline_seconds are 1 to 3600"));
  }
  std::string name = absl::GetFlag(FLAGS_name);
  if (name.empty()) name = absl::StrCat("segdict-demo-", getpid());
  CatchSignals();

  StatusLine status_line;
  status_line.Begin("reading the package index");
  absl::StatusOr<Corpus> corpus = Corpus::Load(absl::GetFlag(FLAGS_corpus));
  if (!corpus.ok()) {
    status_line.Clear();
    return Fail(corpus.status());
  }
  absl::StatusOr<SegdictResult> segdict = RunSegdictPhase(*corpus, name, absl::Seconds(seconds), &status_line);
  if (!segdict.ok()) {
    status_line.Clear();
    return Fail(segdict.status());
  }
  absl::StatusOr<BaselineResult> baseline =
      RunBaselinePhase(*corpus, absl::StrCat(name, "-baseline"), absl::Seconds(baseline_seconds), &status_line);
  status_line.Clear();
  if (!baseline.ok()) return Fail(baseline.status());
  PrintReport(*corpus, *segdict, *baseline);
  std::fflush(stdout);
  if (!segdict->ok() || baseline->wrong != 0)
    return Fail(absl::DataLossError("something was wrong; the table tells what"));
  return 0;
}

}  // namespace
}  // namespace segdict::demo

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "loads Debian's package index into a dict, updates and checks it while writers are killed, and compares");
  if (absl::ParseCommandLine(argc, argv).size() > 1) {
    std::fputs("demo: takes no arguments besides its options; --help lists them\n", stderr);
    return 1;
  }
  return segdict::demo::Main();
}
