// Every operation, in every state of table that matters to it, dead after every one of its stores; the recovery dead
// after every one of *its* stores; two writers, each dead or stopped in the middle of the other; and the proof that no
// store of the source was left out. Within one process, see lab.h and pairs.h; signal_test kills real ones.
//
// SEGDICT_CRASH_FULL=1: all of the product, recoveries that die three times in a row, far more of the pairs (minutes).
// Otherwise a fifth of it, drawn by SEGDICT_CRASH_SEED. SEGDICT_CRASH_CASE=name: only that case or pair, in full.
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/lab.h"
#include "tests/crash/options.h"
#include "tests/crash/pairs.h"
#include "tests/crash/source_sites.h"

namespace segdict::internal::crash {
namespace {

std::string Repeat(const std::string& name) {
  return "; repeat: SEGDICT_CRASH_CASE=" + name + " SEGDICT_CRASH_SEED=" + std::to_string(Seed()) + "\n";
}

// ---- One writer -------------------------------------------------------------------------------------------

// `depth`: how many recoveries die, one after the other.
void CrashEverywhere(const Case& c, int depth) {
  Lab lab(c.shape, c.set_up);
  const Lab::Sequence after = lab.RunAll({{Lab::kFirst, &c.run}});
  EXPECT_EQ(after.results[0], c.result) << c.name;
  Trace trace;
  lab.Restore(lab.base());
  {
    Recorder recorder(lab.fixture(), &trace);
    (void)c.run(lab.fixture(), *lab.NewWriter(Lab::kFirst));
  }
  EXPECT_GT(trace.size(), 3u) << c.name << ": next to nothing is stored: the case is wrong";
  Totals& totals = Totals::Get();
  ++totals.cases;
  totals.stores += trace.size();
  const Allowed either{{&lab.before(), &after.model}, c.atomic};
  State state = lab.base();
  for (size_t i = 1; i <= trace.size() && !testing::Test::HasFailure(); ++i) {
    const Site site = trace[i - 1].site;
    state.Apply(trace[i - 1]);
    ++totals.crashes;
    totals.Crashed(site);
    lab.Explore(state, {Lab::kFirst}, either, depth, [&] {
      return c.name + ", killed after store " + std::to_string(i) + " (" + Lab::Place(site) + ")" + Repeat(c.name);
    });
  }
}

TEST(Crash, A_SpecialCases) {
  for (const Case& c : SpecialCases()) {
    if (Chosen(c.name)) CrashEverywhere(c, Long() ? 3 : 1);
    if (HasFailure()) return;
  }
}

TEST(Crash, B_EveryOperationTimesEveryState) {
  std::mt19937_64 random(Seed());
  for (const Case& c : ProductCases()) {
    const bool drawn = Long() || Only() != nullptr || c.core || random() % 5 == 0;
    if (drawn && Chosen(c.name)) CrashEverywhere(c, Long() && c.core ? 3 : 1);
    if (HasFailure()) return;
  }
}

// ---- Two writers ------------------------------------------------------------------------------------------

// How much of a pair is tried.
struct Effort {
  size_t moments;      // at which the second comes: before the first's accesses, and after its stores
  size_t stops;        // of the second, at each moment
  uint64_t one_state;  // in so many is explored; those after a store that was not crashed at before always
  int depth;
};

// Some `count` of `all`.
template <class T>
std::vector<T> Draw(std::vector<T> all, size_t count, std::mt19937_64& random) {
  std::shuffle(all.begin(), all.end(), random);
  if (all.size() > count) all.resize(count);
  return all;
}

void CrashPair(const Pair& pair, const Effort& effort, std::mt19937_64& random) {
  using Fate = PairLab::Fate;
  PairLab lab(pair);
  ++Totals::Get().pairs;
  const PairLab::Alone alone = lab.FirstAlone();
  std::vector<int64_t> moments;  // as the Recorder's interrupt_at
  for (int64_t at = 1; at <= alone.accesses; ++at) moments.push_back(at);
  for (int64_t at = 1; at <= static_cast<int64_t>(alone.trace.size()); ++at) moments.push_back(-at);
  const auto worth = [&](const Site& site) { return !Totals::Get().Knows(site) || random() % effort.one_state == 0; };
  for (const int64_t at : Draw(std::move(moments), effort.moments, random)) {
    const std::string when = pair.name + ", the first frozen " + (at > 0 ? "before access " : "after store ") +
                             std::to_string(std::abs(at)) + ", the second ";
    const PairLab::Run whole = lab.Together(at, Fate::kEnds, 0);
    lab.Explore(whole, whole.begin, Fate::kEnds, /*first_died=*/false, effort.depth, worth,
                [&] { return when + "to its end" + Repeat(pair.name); });
    std::vector<size_t> stops;
    for (size_t j = 1; j < whole.stores; ++j) stops.push_back(j);
    for (const size_t j : Draw(std::move(stops), effort.stops, random)) {
      for (const Fate fate : {Fate::kStopped, Fate::kKilled}) {
        const PairLab::Run part = lab.Together(at, fate, j);
        lab.Explore(part, part.end, fate, /*first_died=*/false, effort.depth, worth, [&] {
          return when + (fate == Fate::kStopped ? "stopped" : "killed") + " after its store " + std::to_string(j) +
                 Repeat(pair.name);
        });
      }
    }
    if (at < 0) {
      const PairLab::Run after = lab.After(alone.trace, static_cast<size_t>(-at));
      lab.Explore(after, after.begin, Fate::kEnds, /*first_died=*/true, effort.depth, worth, [&] {
        return pair.name + ", the first killed after store " + std::to_string(-at) + ", then the second" +
               Repeat(pair.name);
      });
    }
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Crash, C_Pairs) {
  std::mt19937_64 random(Seed());
  for (const Pair& pair : Pairs()) {
    if (!Chosen(pair.name)) continue;
    const Effort all{.moments = SIZE_MAX, .stops = SIZE_MAX, .one_state = 64, .depth = 0};
    const Effort every_moment{.moments = SIZE_MAX, .stops = 2, .one_state = 64, .depth = 0};
    const Effort much{.moments = 40, .stops = 6, .one_state = 8, .depth = 1};
    const Effort little{.moments = 4, .stops = 1, .one_state = 16, .depth = 0};
    const bool full = Only() != nullptr || (Long() && pair.important);
    CrashPair(pair, full ? all : Long() ? much : pair.important ? every_moment : little, random);
    if (HasFailure()) return;
  }
}

// ---- All stores of the source -----------------------------------------------------------------------------

// What no call of the table's can reach, and who kills there, or why nobody need to.
struct Elsewhere {
  const char* file;
  const char* text;  // that the line contains
  const char* why;
  size_t sites = 1;
};
// Those of the boot clock, which is not over the memory seam: a segment gets it before anybody can see it, and again by
// whoever opens it first after a reboot, holding the segment's kernel lock. tests/machine kills at each of them, in the
// cases that are named. The boot id is stored last, in both.
constexpr Elsewhere kElsewhere[] = {
    {"src/dict/boot_clock.cc", "Mem::Store(header.clock_offset, 0)", "MachineCreation.AtAName"},
    {"src/dict/boot_clock.cc", "Mem::Store(header.clock_real, ", "MachineCreation.AtAName"},
    {"src/dict/boot_clock.cc", "Mem::Store(header.clock_offset, static_cast<uint64_t>(offset))",
     "FirstOpenAfterAReboot"},
    {"src/dict/boot_clock.cc", "Mem::Store(header.boot_id, boot)", "both", 2},
};
constexpr Elsewhere kBare[] = {
    {"src/dict/boot_clock.cc", "known.store", "not in the segment"},
    {"src/dict/handle.h", "closed_.store", "not in the segment"},
    {"src/dict/writer_pool.cc", "made.compare_exchange_strong", "not in the segment"},
    {"src/dict/writer_pool.cc", "next.fetch_add", "not in the segment"},
    {"src/sync/fork.h", "depth_.store", "not in the segment", 2},
    {"src/segment/segment.cc", "store(magic", "the publication itself: segment_test kills creators"},
    {"src/sync/fork.cc", "generation_word.store", "not in the segment"},
    {"src/sync/fork.cc", "compare_exchange_strong(generation", "not in the segment"},
};

// Whether `list` has the site; takes it from there.
template <class List>
bool Excused(const List& list, const SourceSite& site) {
  return std::any_of(std::begin(list), std::end(list), [&](const Elsewhere& e) {
    return site.file == e.file && site.text.find(e.text) != std::string::npos;
  });
}

TEST(Crash, D_AllStoresOfTheSource) {
  const std::vector<SourceSite> sites = FindSourceSites(".");
  ASSERT_GT(sites.size(), 50u) << "the sources are not where they should be";
  size_t crashed = 0, elsewhere = 0;
  std::set<std::pair<std::string, int>> unknown = Totals::Get().sites;
  for (const SourceSite& site : sites) {
    bool any = false;
    for (int line = site.first_line; line <= site.last_line; ++line) {
      any = unknown.erase({site.file, line}) > 0 || any;
    }
    for (const SourceSite& other : sites) {
      EXPECT_TRUE(&other == &site || other.file != site.file || other.first_line > site.last_line ||
                  other.last_line < site.first_line)
          << site.file << ":" << site.first_line << ": two stores in one line cannot be told apart";
    }
    if (Excused(kElsewhere, site)) {
      ++elsewhere;
      EXPECT_FALSE(any) << site.file << ":" << site.first_line << " can be reached";
      continue;
    }
    crashed += any ? 1 : 0;
    if (Only() == nullptr) {
      EXPECT_TRUE(any) << "no crash after the store at " << site.file << ":" << site.first_line << ": " << site.text;
    }
  }
  size_t listed = 0;
  for (const Elsewhere& e : kElsewhere) listed += e.sites;
  EXPECT_EQ(elsewhere, listed) << "a store that tests/machine kills at is not there any more";
  for (const auto& [file, line] : unknown) {
    ADD_FAILURE() << file << ":" << line << " stores, but was not found in the source";
  }
  const std::vector<SourceSite> bare = FindBareStores(".");
  for (const SourceSite& site : bare) {
    EXPECT_TRUE(Excused(kBare, site)) << site.file << ":" << site.first_line
                                      << " stores past the memory seam: " << site.text;
  }
  const Totals& t = Totals::Get();
  std::printf("store sites in src: %zu; crashed at: %zu here and %zu in tests/machine\n", sites.size(), crashed,
              elsewhere);
  std::printf("%" PRIu64 " cases with %" PRIu64 " stores, %" PRIu64 " pairs at %" PRIu64 " moments: %" PRIu64
              " crashes, %" PRIu64 " recoveries killed, %" PRIu64 " different states explored\n",
              t.cases, t.stores, t.pairs, t.runs, t.crashes, t.recoveries_killed, t.states);
}

}  // namespace
}  // namespace segdict::internal::crash
