#include "tools/demo/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace segdict::demo {
namespace {

// With commas between thousands.
std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}
std::string Rate(double rate) {
  return rate < 100 ? absl::StrFormat("%.1f", rate) : Grouped(static_cast<uint64_t>(std::llround(rate)));
}
std::string Ratio(double a, double b) { return b > 0 ? absl::StrCat(Rate(a / b), " x") : "-"; }
std::string Megabytes(uint64_t bytes) { return absl::StrFormat("%.1f MB", static_cast<double>(bytes) * 1e-6); }

void Row(std::string_view what, std::string_view segdict, std::string_view baseline = "", std::string_view ratio = "") {
  std::string line = absl::StrFormat("%-34s %16s %14s %14s", what, segdict, baseline, ratio);
  line.erase(line.find_last_not_of(' ') + 1);
  std::puts(line.c_str());
}

struct Spread {
  double median;
  double max;
};

Spread SpreadOf(const std::vector<Kill>& kills, absl::Duration Kill::*field) {
  std::vector<double> milliseconds;
  milliseconds.reserve(kills.size());
  for (const Kill& kill : kills) milliseconds.push_back(absl::ToDoubleMilliseconds(kill.*field));
  std::sort(milliseconds.begin(), milliseconds.end());
  if (milliseconds.empty()) return {0, 0};
  const size_t n = milliseconds.size();
  return {(milliseconds[(n - 1) / 2] + milliseconds[n / 2]) / 2, milliseconds.back()};
}

void KillRow(std::string_view what, const std::vector<Kill>& kills, absl::Duration Kill::*field) {
  const Spread spread = SpreadOf(kills, field);
  Row(what, absl::StrFormat("%.2f ms", spread.median), absl::StrFormat("%.2f ms", spread.max));
}

}  // namespace

void PrintReport(const Corpus& corpus, const SegdictResult& segdict, const BaselineResult& baseline) {
  const double reads = static_cast<double>(segdict.reads) / segdict.seconds;
  const double writes = static_cast<double>(segdict.writes) / segdict.seconds;
  absl::PrintF("%s packages, %s; 2 writers and 2 readers at a time; segdict %.1f s\n\n", Grouped(corpus.size()),
               Megabytes(corpus.stanza_bytes()), segdict.seconds);

  Row("", "segdict", "whole dict", "ratio");
  Row("packages read and checked, a second", Rate(reads), Rate(baseline.reads_per_second),
      Ratio(reads, baseline.reads_per_second));
  Row("packages written, a second", Rate(writes), Rate(baseline.writes_per_second),
      Ratio(writes, baseline.writes_per_second));
  Row("values read and checked", Grouped(segdict.all_reads), Grouped(baseline.reads));
  Row("  of them wrong", Grouped(segdict.wrong), Grouped(baseline.wrong));
  Row("memory of the segment", Megabytes(segdict.segment_bytes), Megabytes(baseline.segment_bytes));
  std::puts("");

  const auto in_call =
      std::count_if(segdict.kills.begin(), segdict.kills.end(), [](const Kill& k) { return k.in_call; });
  Row(absl::StrFormat("%d writers killed, %d in a call", segdict.kills.size(), in_call), "median", "max");
  KillRow("from the kill to recovered", segdict.kills, &Kill::recovery);
  KillRow("  of it, after the kernel's part", segdict.kills, &Kill::recover_call);
  KillRow("other writer's longest call then", segdict.kills, &Kill::longest_around);
  KillRow("  the same without a kill", segdict.kills, &Kill::longest_before);
  std::puts("");

  Row("at the end: entries", Grouped(segdict.entries), absl::StrCat("of ", Grouped(segdict.expected_entries)));
  Row("  wrong or lost", Grouped(segdict.end_wrong));
  Row("  leaked blocks", absl::StrCat(segdict.leaked_blocks));
  Row("  in flight", Grouped(segdict.verified.in_flight));
  Row("  Verify", segdict.verified.ok() ? "ok" : absl::StrCat(segdict.verified.error_count, " errors"));
  std::puts("");
  if (!segdict.problem.empty()) std::printf("first problem: %s\n", segdict.problem.c_str());
  if (!segdict.verified.errors.empty()) std::printf("first error: %s\n", segdict.verified.errors[0].c_str());
  if (segdict.ok() && baseline.wrong == 0) std::puts("Nothing was wrong.");
}

}  // namespace segdict::demo
