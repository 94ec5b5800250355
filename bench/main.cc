// The benchmark program: every cell for every peer that is here, as "<group>/<cell>/<peer>".
//
// Google Benchmark decides how many operations a repetition has, repeats, interleaves and reports. Each repetition is
// one timed loop, and its time is given by hand; the names are rid of the "/manual_time" that this adds, which is why
// the filter and the list of names are made here. Tables are made at their first use, untimed, and kept until another
// group's turn comes: to interleave repetitions, filter one group.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/cells.h"
#include "bench/dataset.h"
#include "bench/table.h"
#include "bench/workers.h"

namespace segdict::bench {
namespace {

// The data and tables of a group, made when they are first asked for.
class Fixture {
 public:
  explicit Fixture(const Group& group) : group_(group) {}

  const Group& group() const { return group_; }

  // A table, and how many operations of each cell it has seen: the next go on from there.
  struct Used {
    std::unique_ptr<Table> table;
    std::map<std::string, uint64_t> done;
  };
  Used& Find(const PeerInfo& peer) {
    Used& used = tables_[peer.name];
    if (used.table == nullptr) used.table = peer.make(group_.setup, data());
    return used;
  }

  const Script* ScriptOf(const Cell& cell) {
    if (!cell.mix) return nullptr;
    auto [it, is_new] = scripts_.try_emplace(cell.name);
    if (is_new) it->second = MakeScript(data(), group_.setup.key_size, *cell.mix, kScriptLength);
    return &it->second;
  }

 private:
  static constexpr size_t kScriptLength = 1'000'000;

  const Dataset& data() {
    const Setup& setup = group_.setup;
    if (data_ == nullptr) data_ = std::make_unique<Dataset>(setup.key_size, setup.value_size, setup.keys);
    return *data_;
  }

  const Group& group_;
  std::unique_ptr<Dataset> data_;
  std::map<std::string, Used> tables_;
  std::map<std::string, Script> scripts_;
};

// The fixture of the group that is being measured; only one exists at a time.
Fixture& FixtureOf(const Group& group) {
  static std::unique_ptr<Fixture> fixture;
  if (fixture == nullptr || &fixture->group() != &group) {
    fixture.reset();
    fixture = std::make_unique<Fixture>(group);
  }
  return *fixture;
}

// One repetition: each worker does `count` operations on its part of the keys. Nanoseconds per operation and worker.
double RunOnce(const Group& group, const Cell& cell, const Script* script, Table& table, uint64_t from, uint64_t count,
               std::string* error) {
  const unsigned workers = cell.workers ? cell.workers->count : 1;
  const size_t size = group.setup.keys / workers;
  const auto share = [&](unsigned w) {
    // Workers on one script begin at different places of it.
    const uint64_t start = script == nullptr ? from : from + w * (script->actions.size() / workers);
    return Share{cell.op, w * size, size, start, count, script, group.fresh};
  };
  if (!cell.workers) return table.Run(share(0));
  const bool forked = cell.workers->kind == WorkerKind::kProcesses;
  const Worked worked = RunWorkers(
      cell.workers->kind, workers,
      [&](unsigned) {
        if (forked) table.AfterFork();
      },
      [&](unsigned w) { return table.Run(share(w)); });
  *error = worked.error;
  return std::accumulate(worked.results.begin(), worked.results.end(), 0.0) / workers;
}

benchmark::IterationCount RoundedUp(benchmark::IterationCount count, benchmark::IterationCount unit) {
  return (count + unit - 1) / unit * unit;
}

// Shared memory of this process that lies in huge pages.
double HugePageBytes() {
  std::ifstream smaps("/proc/self/smaps_rollup");
  for (std::string line; std::getline(smaps, line);)
    if (line.starts_with("ShmemPmdMapped:")) return std::stod(line.substr(line.find(':') + 1)) * 1024;
  return 0;
}

void RunCell(benchmark::State& state, const Group& group, const Cell& cell, const PeerInfo& peer) {
  Fixture& fixture = FixtureOf(group);
  Fixture::Used& used = fixture.Find(peer);
  uint64_t& done = used.done[cell.name];
  double ns_per_op = 0;
  auto count = state.max_iterations;
  if (cell.op == Op::kInsert) count = RoundedUp(count, static_cast<benchmark::IterationCount>(group.setup.keys));
  while (state.KeepRunningBatch(count)) {
    std::string error;
    ns_per_op = RunOnce(group, cell, fixture.ScriptOf(cell), *used.table, done, static_cast<uint64_t>(count), &error);
    if (!error.empty()) return state.SkipWithError(error.c_str());
    done += static_cast<uint64_t>(count);
    state.SetIterationTime(ns_per_op * 1e-9 * static_cast<double>(count));
  }
  state.counters["ns_per_op"] = ns_per_op;
  if (const auto bytes = used.table->Bytes())
    state.counters["bytes_per_entry"] = *bytes / static_cast<double>(group.setup.keys);
  if (group.setup.huge_pages) state.counters["huge_page_bytes"] = HugePageBytes();
}

const PeerInfo* FindPeer(const std::string& name, const Setup& setup) {
  for (const PeerInfo& peer : Peers())
    if (peer.name == name &&
        (peer.key_size == 0 || (peer.key_size == setup.key_size && peer.value_size == setup.value_size)))
      return &peer;
  return nullptr;
}

// As Google Benchmark's filter: a regular expression for a part of the name; a leading '-' turns it round.
class Filter {
 public:
  explicit Filter(const std::string& text) : not_(text.starts_with('-')), all_(text.empty() || text == "all") {
    if (!all_) regex_ = std::regex(text.substr(not_ ? 1 : 0), std::regex::extended | std::regex::optimize);
  }
  bool operator()(const std::string& name) const { return all_ || std::regex_search(name, regex_) != not_; }

 private:
  bool not_, all_;
  std::regex regex_;
};

// Reports names as they were registered.
class PlainReporter : public benchmark::BenchmarkReporter {
 public:
  explicit PlainReporter(BenchmarkReporter* reporter) : reporter_(reporter) {}

  bool ReportContext(const Context& context) override {
    reporter_->SetOutputStream(&GetOutputStream());
    reporter_->SetErrorStream(&GetErrorStream());
    return reporter_->ReportContext(context);
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> plain = runs;
    for (Run& run : plain) run.run_name.time_type.clear();
    reporter_->ReportRuns(plain);
  }
  void Finalize() override { reporter_->Finalize(); }

 private:
  std::unique_ptr<BenchmarkReporter> reporter_;
};

struct Benchmark {
  std::string name;
  const Group* group;
  const Cell* cell;
  const PeerInfo* peer;
};

// All that `filter` lets through and that can run here; what cannot goes to `skipped`, with its reason.
std::vector<Benchmark> Select(const Filter& filter, std::set<std::string>* skipped) {
  std::vector<Benchmark> selected;
  const auto consider = [&](const Group& group, const Cell& cell, const std::string& peer_name) {
    const std::string name = absl::StrCat(group.name, "/", cell.name, "/", peer_name);
    if (!filter(name)) return;
    const PeerInfo* peer = FindPeer(peer_name, group.setup);
    if (peer == nullptr) Fail(name + ": there is no such peer");
    if (!cell.not_offered.empty())
      skipped->insert(absl::StrCat(cell.name, ": ", cell.not_offered));
    else if (const std::string reason = peer->absent(); !reason.empty())
      skipped->insert(absl::StrCat(peer_name, ": ", reason));
    else if (peer->offers(cell.op))
      selected.push_back({name, &group, &cell, peer});
  };
  for (const Group& group : Groups())
    for (const Row& row : group.rows)
      for (const Cell& cell : row.cells)
        for (const std::string& peer : row.peers) consider(group, cell, peer);
  return selected;
}

int Main(int argc, char** argv) {
  // Memory that one table gives back serves the next; what is timed waits less often for the kernel.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  const std::vector<std::string_view> arguments(argv, argv + argc);
  const auto has = [&](std::string_view flag) {
    return std::any_of(arguments.begin(), arguments.end(), [&](std::string_view a) { return a.starts_with(flag); });
  };
  const bool list = has("--benchmark_list_tests") && !has("--benchmark_list_tests=false");
  const bool to_file = has("--benchmark_out=");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;

  std::set<std::string> skipped;
  const std::vector<Benchmark> selected = Select(Filter(benchmark::GetBenchmarkFilter()), &skipped);
  for (const std::string& line : skipped) std::fprintf(stderr, "bench: skipped %s\n", line.c_str());
  if (list) {
    for (const Benchmark& b : selected) std::puts(b.name.c_str());
    return 0;
  }
  benchmark::AddCustomContext("skipped", absl::StrJoin(skipped, "; "));
#ifndef __clang_analyzer__  // to which Google Benchmark's list of benchmarks is a leak
  for (const Benchmark& b : selected) {
    const auto run = [&b](benchmark::State& state) { RunCell(state, *b.group, *b.cell, *b.peer); };
    benchmark::RegisterBenchmark(b.name.c_str(), run)->UseManualTime();
  }
#endif
  PlainReporter display(benchmark::CreateDefaultDisplayReporter());
  PlainReporter file(new benchmark::JSONReporter);
  benchmark::RunSpecifiedBenchmarks(&display, to_file ? &file : nullptr, "all");
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace segdict::bench

int main(int argc, char** argv) { return segdict::bench::Main(argc, argv); }
