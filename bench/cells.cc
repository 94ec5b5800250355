#include "bench/cells.h"

#include <algorithm>

#include "bench/shape.h"

namespace segdict::bench {
namespace {

using Names = std::vector<std::string>;

struct Named {
  std::string_view name;
  Op op;
  std::optional<Mix> mix = std::nullopt;
  std::string_view not_offered = {};
};

const Named kCells[] = {
    {"line", Op::kLine},
    {"line-independent", Op::kLineIndependent},
    {"mutex", Op::kMutex},
    {"get", Op::kGet},
    {"get-dependent", Op::kGetDependent},
    {"miss", Op::kMiss},
    {"getmany32", Op::kGetMany},
    {"overwrite", Op::kOverwrite},
    {"churn", Op::kChurn},
    {"insert", Op::kInsert},
    {"mix95-uniform", Op::kScript, Mix{.set = 50}},
    {"mix50-uniform", Op::kScript, Mix{.set = 500}},
    {"mix95-zipf", Op::kScript, Mix{.choice = Mix::Choice::kZipf, .set = 50}},
    {"mix50-zipf", Op::kScript, Mix{.choice = Mix::Choice::kZipf, .set = 500}},
    {"ycsb-a", Op::kScript, Mix{.choice = Mix::Choice::kZipf, .set = 500}},
    {"ycsb-b", Op::kScript, Mix{.choice = Mix::Choice::kZipf, .set = 50}},
    {"ycsb-c", Op::kScript, Mix{.choice = Mix::Choice::kZipf}},
    {"ycsb-d", Op::kScript, Mix{.choice = Mix::Choice::kLatest, .insert = 50}},
    {"ycsb-e", Op::kScript, std::nullopt, "scans in the order of keys are not what hash tables offer"},
    {"ycsb-f", Op::kScript, Mix{.choice = Mix::Choice::kZipf, .modify = 500}},
};

// "get-2t" is the cell "get" by two threads, "get-4p" by four processes.
Cell MakeCell(const std::string& name) {
  std::string base = name;
  std::optional<Workers> workers;
  if (name.size() > 3 && name[name.size() - 3] == '-' && (name.ends_with('t') || name.ends_with('p'))) {
    base = name.substr(0, name.size() - 3);
    workers = Workers{name.ends_with('t') ? WorkerKind::kThreads : WorkerKind::kProcesses,
                      static_cast<unsigned>(name[name.size() - 2] - '0')};
  }
  const Named* cell =
      std::find_if(std::begin(kCells), std::end(kCells), [&](const Named& c) { return c.name == base; });
  if (cell == std::end(kCells)) Fail("unknown cell " + name);
  return {name, cell->op, cell->mix, workers, std::string(cell->not_offered)};
}

Row MakeRow(const Names& cells, Names peers) {
  Row row{{}, std::move(peers)};
  for (const std::string& name : cells) row.cells.push_back(MakeCell(name));
  return row;
}

template <typename Shape>
Setup SetupOf(size_t keys, double max_load = 0.75) {
  return {.key_size = Shape::kKey, .value_size = Shape::kValue, .keys = keys, .max_load = max_load};
}

// Maps inside one process that several threads may use.
const Names kInProcess = {"boost-concurrent_flat_map", "phmap", "libcuckoo", "onetbb", "absl-flat_hash_map"};
// Tables that several processes may use.
const Names kShared = {"segdict", "boost-interprocess", "lmdb"};

Names operator+(Names a, const Names& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The cost against the number of keys, beside the original's.
Group SmallGroup(const std::string& name, size_t keys) {
  return {.name = name,
          .setup = SetupOf<S16>(keys),
          .rows = {MakeRow({"line", "line-independent"}, {"hardware"}),
                   MakeRow({"get", "overwrite"}, {"segdict", "boost-concurrent_flat_map", "original"})}};
}

// Each group measures the line, so that everything can be told in lines of the same run.
std::vector<Group> MakeGroups() {
  constexpr size_t k = 1000, m = 1000 * k;
  const Names hardware = {"hardware"}, lines = {"line", "line-independent"};
  const Names inline_map = {"boost-concurrent_flat_map-inline"};
  const Names long_peers = {"segdict", "boost-concurrent_flat_map", "libcuckoo", "absl-flat_hash_map"};
  const Names servers = {"segdict", "lmdb", "redis", "memcached", "hash-sharedmem"};

  Setup huge = SetupOf<S16>(m);
  huge.huge_pages = true;
  Setup growing = SetupOf<S16>(m);
  growing.capacity = m + m / 16;  // room for ycsb-d's inserts

  return {
      // Integers to integers.
      {.name = "u64-1M",
       .setup = SetupOf<U64>(m),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get", "miss", "getmany32", "overwrite", "churn"}, kShared + kInProcess),
                MakeRow({"get", "miss", "churn"}, {"clht"})}},

      // Short strings, in all sizes.
      SmallGroup("s16-10", 10),
      SmallGroup("s16-100", 100),
      SmallGroup("s16-1k", k),
      {.name = "s16-10k",
       .setup = SetupOf<S16>(10 * k),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get", "get-dependent", "overwrite"}, kShared + kInProcess + inline_map),
                MakeRow({"get", "overwrite"}, {"original"})}},
      {.name = "s16-1M",
       .setup = SetupOf<S16>(m),
       .rows = {MakeRow(lines + Names{"mutex"}, hardware),
                MakeRow({"get", "get-dependent", "miss", "getmany32", "overwrite", "churn"},
                        kShared + kInProcess + inline_map),
                MakeRow({"overwrite"}, {"segdict-lock"})}},
      // By itself: the tables that it destroys leave the allocator much to put in order, in anybody's time.
      {.name = "s16-1M-insert",
       .setup = SetupOf<S16>(m),
       .rows = {MakeRow(lines, hardware), MakeRow({"insert"}, Names{"segdict"} + kInProcess + inline_map)}},
      {.name = "s16-10M",
       .setup = SetupOf<S16>(10 * m),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get", "get-dependent", "miss", "getmany32", "overwrite", "churn"},
                        Names{"segdict", "boost-concurrent_flat_map", "phmap", "libcuckoo"} + inline_map)}},

      // Long values: as many tables as fit into 4 GiB beside the lines.
      {.name = "s20x1K-1M",
       .setup = SetupOf<S20>(m),
       .rows = {MakeRow(lines, hardware), MakeRow({"get", "overwrite"}, {"segdict", "boost-concurrent_flat_map"})}},
      {.name = "s16x64K-10k",
       .setup = SetupOf<S64K>(10 * k),
       .rows = {MakeRow(lines, hardware), MakeRow({"get", "overwrite"}, long_peers)}},

      // Load, age and pages.
      {.name = "s16-1M-load50",
       .setup = SetupOf<S16>(m, 0.50),
       .rows = {MakeRow(lines, hardware), MakeRow({"get", "get-dependent", "miss", "overwrite"}, {"segdict"})}},
      {.name = "s16-1M-load85",
       .setup = SetupOf<S16>(m, 0.85),
       .fresh = true,
       .rows = {MakeRow(lines, hardware), MakeRow({"get", "get-dependent", "miss", "getmany32", "overwrite", "churn"},
                                                  {"segdict", "segdict-aged"})}},
      {.name = "s16-1M-huge",
       .setup = huge,
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get", "get-dependent", "miss", "getmany32", "overwrite"}, {"segdict-huge"})}},

      // Several workers.
      {.name = "s16-1M-processes",
       .setup = SetupOf<S16>(m),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get-1p", "get-2p", "get-4p", "overwrite-1p", "overwrite-2p", "churn-1p", "churn-2p"},
                        kShared)}},
      {.name = "s16-1M-threads",
       .setup = SetupOf<S16>(m),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"get-1t", "get-2t", "overwrite-1t", "overwrite-2t", "churn-1t", "churn-2t"},
                        Names{"segdict"} + kInProcess)}},
      {.name = "s16-1M-mixes",
       .setup = SetupOf<S16>(m),
       .rows = {MakeRow(lines, hardware),
                MakeRow({"mix95-uniform-1t", "mix95-uniform-2t", "mix50-uniform-1t", "mix50-uniform-2t",
                         "mix95-zipf-1t", "mix95-zipf-2t", "mix50-zipf-1t", "mix50-zipf-2t"},
                        Names{"segdict"} + kInProcess)}},

      // YCSB's mixes, with short strings instead of its records of 1 KiB.
      {.name = "ycsb-1M",
       .setup = growing,
       .rows = {MakeRow(lines, hardware),
                MakeRow({"ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"}, Names{"segdict"} + kInProcess)}},

      // What is reached over a socket, or from Perl.
      {.name = "server-100k",
       .setup = SetupOf<S16>(100 * k),
       .rows = {MakeRow(lines, hardware), MakeRow({"get", "getmany32", "overwrite"}, servers)}},
  };
}

}  // namespace

const std::vector<Group>& Groups() {
  static const auto* groups = new std::vector<Group>(MakeGroups());
  return *groups;
}

}  // namespace segdict::bench
