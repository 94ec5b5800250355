// Every operation, stopped and then killed at its stores to the segment: by SIGSTOP and SIGKILL, in a process of its
// own, with the kernel's locks for liveness. exhaustive_test tries far more states, without processes.
//
// A forked process runs the operation and stops itself right after its i-th store, for every i until it ends.
// Meanwhile:
//   G1  every key is read; what is had is the old or the new state, never anything else, and reading ends;
//   G3  writers of other keys of other homes go on; one of the key in flight goes on or meets its deadline; one that
//       gives its wait up leaves nothing.
// Then it is killed, or, in turn, continued: it ends with success. Somebody recovers the dead:
//   G3  readers have what they had before, size and arena are exact, no lock is left, everything can be done.
// A recovery dies at its stores likewise; and a second process is stopped or killed in the middle of the first.
//
// SEGDICT_CRASH_FULL=1: each recovery at each of its stores, and pairs at each moment. Otherwise a few of them, drawn
// by SEGDICT_CRASH_SEED (printed). SEGDICT_CRASH_CASE=name: only that case or pair.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/actor.h"
#include "tests/crash/options.h"
#include "tests/crash/pairs.h"
#include "tests/testing.h"

namespace segdict::internal::crash {
namespace {

struct Signals {
  uint64_t stops = 0, kills = 0, continued = 0, recoveries_killed = 0, pairs = 0;
};
Signals totals;

// A table with real liveness, brought back into the state before the operation again and again.
class Stage {
 public:
  Stage(const TableShape& shape, const std::function<void(TableFixture&, Writer&)>& set_up) : fixture_(shape) {
    auto w = fixture_.Claim(Lab::kThird);
    set_up(fixture_, *w);
    ReleaseWriter<Mem>(std::move(w));
    base_ = std::make_unique<State>(fixture_);
    for (uint64_t home = 0; home < shape.groups; ++home) fresh_keys_.push_back(fixture_.KeyOfHome(home, 40));
  }
  TableFixture& fixture() { return fixture_; }
  void Reset() { base_->Restore(fixture_); }

  // Runs `operation` as the writer with record `r`.
  auto Calls(const Operation& operation, uint32_t r, Blocking* blocking = nullptr) {
    return [this, &operation, r, blocking](AccessHook* hook) {
      auto w = fixture_.Claim(r);
      FIXTURE_CHECK(w->index == r);
      w->blocking = blocking;
      HookedMemory::hook = hook;
      return static_cast<int>(operation(fixture_, *w).code());
    };
  }
  auto Recovers() {
    return [this](AccessHook* hook) {
      HookedMemory::hook = hook;
      RecoverDead(fixture_, [] { return "a recovery that should have died"; });
      return 0;
    };
  }

  // Everybody else is gone: recovers them; then all is as it was for readers, sound and usable.
  void Settle(const Allowed& allowed, const Where& where) {
    const Model view = View(fixture_, where);
    ExpectAllowed(view, allowed, where);
    auto w = fixture_.Claim(Lab::kOther);
    RecoverDead(fixture_, where);
    EXPECT_TRUE(View(fixture_, where) == view) << where << ": recovery changed what readers have";
    ExpectSound(fixture_, where);
    ExpectUsable(fixture_, *w, fresh_keys_, where);
    ReleaseWriter<Mem>(std::move(w));
  }

 private:
  TableFixture fixture_;
  std::unique_ptr<State> base_;
  std::vector<std::string> fresh_keys_;
};

void CountStop() {
  const Site site{reinterpret_cast<const char*>(Stopped()[0].load()), static_cast<int>(Stopped()[1].load())};
  Totals::Get().Crashed(site);
}

class SignalRun {
 public:
  SignalRun(const Case& c, std::mt19937_64& random)
      : case_(c), random_(random), lab_(c.shape, c.set_up), stage_(c.shape, c.set_up) {
    const auto after = lab_.RunAll({{Lab::kFirst, &c.run}});
    EXPECT_EQ(after.results[0], c.result) << c.name;
    old_ = lab_.before();
    new_ = after.model;
    for (const Model* model : {&old_, &new_}) {
      for (const auto& [key, value] : *model) {
        homes_.insert(stage_.fixture().HomeOf(key));
        if (StateOf(old_, key) != StateOf(new_, key)) in_flight_ = key;
      }
    }
    if (in_flight_.empty() && !old_.empty()) in_flight_ = old_.begin()->first;
  }

  // `recoveries`: how many stores of each recovery, at the most.
  // `one_store`: at one in so many stores the process is also continued, and its recoverer killed.
  void All(int64_t one_store, size_t recoveries) {
    for (int64_t i = 1; !testing::Test::HasFailure() && At(i, i % one_store == 0); ++i) {
      if (i % one_store != 0) continue;
      std::vector<int64_t> stores(static_cast<size_t>(CountRecovery(i)));
      std::iota(stores.begin(), stores.end(), 1);
      std::shuffle(stores.begin(), stores.end(), random_);
      if (stores.size() > recoveries) stores.resize(recoveries);
      for (const int64_t j : stores) WithRecoveryDying(i, j);
    }
  }

 private:
  Allowed Either() const { return {{&old_, &new_}, case_.atomic}; }

  // Stopped after store i, then killed or continued. False: the operation has fewer stores.
  bool At(int64_t i, bool also_continues) {
    const Where where = [this, i] { return case_.name + " at store " + std::to_string(i); };
    for (const bool continues : {false, true}) {
      if (continues && !also_continues) break;
      stage_.Reset();
      Actor actor(i, SIGSTOP, stage_.Calls(case_.run, Lab::kFirst));
      const int status = actor.Wait();
      if (WIFEXITED(status)) {
        EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(case_.result)) << where;
        EXPECT_GT(i, 3) << where << ": next to nothing is stored: the case is wrong";
        stage_.Settle({{&new_}, case_.atomic}, where);
        return false;
      }
      EXPECT_TRUE(WIFSTOPPED(status)) << where;
      ++totals.stops;
      CountStop();
      ExpectAllowed(View(stage_.fixture(), where), Either(), where);
      WriteMeanwhile(where);
      if (continues) {
        ++totals.continued;
        actor.Continue();
        const int ended = actor.Wait();
        EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == static_cast<int>(case_.result)) << where << ": " << ended;
        stage_.Settle({{&new_}, case_.atomic}, [&] { return where() + ", continued"; });
      } else {
        ++totals.kills;
        actor.Kill();
        stage_.Settle(Either(), [&] { return where() + ", killed"; });
      }
      if (testing::Test::HasFailure()) return false;
    }
    return true;
  }

  void KillAt(int64_t i) {
    stage_.Reset();
    Actor actor(i, SIGKILL, stage_.Calls(case_.run, Lab::kFirst));
    EXPECT_TRUE(WIFSIGNALED(actor.Wait()));
    ++totals.kills;
  }

  // How many stores the recovery of store i has.
  int64_t CountRecovery(int64_t i) {
    KillAt(i);
    Trace trace;
    Recorder recorder(stage_.fixture(), &trace);
    RecoverDead(stage_.fixture(), [] { return "counting"; });
    return recorder.stores();
  }

  void WithRecoveryDying(int64_t i, int64_t j) {
    const Where where = [this, i, j] {
      return case_.name + " killed at store " + std::to_string(i) + ", recovery at store " + std::to_string(j);
    };
    KillAt(i);
    Actor recoverer(j, SIGKILL, stage_.Recovers());
    EXPECT_TRUE(WIFSIGNALED(recoverer.Wait())) << where;
    CountStop();
    ++totals.recoveries_killed;
    stage_.Settle(Either(), where);
  }

  void WriteMeanwhile(const Where& where) {
    if (in_flight_.empty()) return;
    auto w = stage_.fixture().Claim(Lab::kSecond);
    ExpectOthersGoOn(stage_.fixture(), *w, homes_, in_flight_, where);
    ReleaseWriter<Mem>(std::move(w));
  }

  const Case& case_;
  std::mt19937_64& random_;
  Lab lab_;
  Stage stage_;
  Model old_, new_;
  std::set<uint64_t> homes_;  // of all keys of the case
  std::string in_flight_;
};

TEST(Signals, EveryStoreOfEveryOperation) {
  std::mt19937_64 random(Seed());
  std::vector<Case> cases = Long() ? ProductCases() : std::vector<Case>();
  if (!Long()) {
    for (Case& c : ProductCases()) {
      if (c.core && (Only() != nullptr || random() % 8 == 0)) cases.push_back(std::move(c));
    }
  }
  for (Case& c : SpecialCases()) cases.push_back(std::move(c));
  for (const Case& c : cases) {
    if (!Chosen(c.name) || c.sets_clock) continue;
    ++Totals::Get().cases;
    SignalRun(c, random).All(Long() ? 1 : 5, Long() ? SIZE_MAX : 1);
    if (HasFailure()) return;
  }
}

// ---- Two processes ----------------------------------------------------------------------------------------

absl::Status StatusOfExit(int status) {
  return absl::Status(static_cast<absl::StatusCode>(WEXITSTATUS(status)), "as its process said");
}

// The first stopped after its store i. The second: to its end in this process, or stopped or killed after store j > 0
// in another. Then the first continues, or is killed. False: the first, or the second, has fewer stores.
bool CrashPair(const Pair& pair, PairLab& lab, Stage& stage, int64_t i, int64_t j, bool second_killed, bool continues) {
  const Where where = [&] {
    return pair.name + ", the first stopped at store " + std::to_string(i) + ", the second " +
           (j == 0 ? "to its end" : (second_killed ? "killed" : "stopped") + (" at store " + std::to_string(j))) +
           ", the first " + (continues ? "continued" : "killed") + "; repeat: SEGDICT_CRASH_CASE=" + pair.name +
           " SEGDICT_CRASH_SEED=" + std::to_string(Seed()) + "\n";
  };
  using Fate = PairLab::Fate;
  stage.Reset();
  // Patient where the other one is through or dead, whatever the machine's load.
  const Fate fate = j == 0 ? Fate::kEnds : second_killed ? Fate::kKilled : Fate::kStopped;
  test::CountedBlocking first_blocking(fate == Fate::kStopped ? 3 : 10'000), second_blocking(2);
  Actor first(i, SIGSTOP, stage.Calls(pair.first, Lab::kFirst, &first_blocking));
  if (!WIFSTOPPED(first.Wait())) return false;
  CountStop();
  ++totals.stops;
  PairLab::Run run;
  {
    std::unique_ptr<Actor> second;
    if (j == 0) {
      auto w = stage.fixture().Claim(Lab::kSecond);
      w->blocking = &second_blocking;
      run.second = pair.second(stage.fixture(), *w);
      w->blocking = nullptr;
      ReleaseWriter<Mem>(std::move(w));
    } else {
      second = std::make_unique<Actor>(j, second_killed ? SIGKILL : SIGSTOP,
                                       stage.Calls(pair.second, Lab::kSecond, &second_blocking));
      if (WIFEXITED(second->Wait())) return false;
      CountStop();
      ++(second_killed ? totals.kills : totals.stops);
    }
    View(stage.fixture(), where);
    if (continues) {
      first.Continue();
      const int ended = first.Wait();
      EXPECT_TRUE(WIFEXITED(ended)) << where << ": " << ended;
      run.first = StatusOfExit(ended);
      ++totals.continued;
    } else {
      first.Kill();
      ++totals.kills;
    }
  }
  ++totals.pairs;
  stage.Settle(lab.AtTheEnd(run, fate, !continues), where);
  return true;
}

TEST(Signals, TwoProcesses) {
  std::mt19937_64 random(Seed());
  for (const Pair& pair : Pairs()) {
    const uint64_t draw = random();
    if (!Chosen(pair.name) || (!Long() && Only() == nullptr && draw % 24 != 0)) continue;
    PairLab lab(pair);
    Stage stage(pair.shape, pair.set_up);
    const auto first = static_cast<int64_t>(lab.FirstAlone().trace.size());
    const auto second = static_cast<int64_t>(lab.SecondAlone().trace.size());
    if (first == 0 || second == 0) continue;
    // Moments of the two, drawn; in the long form all of some pairs, and many of each.
    const bool all = Long() && draw % 16 == 0;
    const int64_t tries = all ? first * second : Long() ? 60 : 6;
    for (int64_t n = 0; n < tries && !HasFailure(); ++n) {
      const int64_t i = all ? 1 + n % first : 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(first));
      const int64_t j = all ? n / first : static_cast<int64_t>(random() % static_cast<uint64_t>(second + 1));
      for (const bool continues : {false, true}) {
        CrashPair(pair, lab, stage, i, 0, false, continues);
        if (j == 0) continue;
        CrashPair(pair, lab, stage, i, j, false, continues);
        CrashPair(pair, lab, stage, i, j, true, continues);
      }
    }
    if (HasFailure()) return;
  }
}

TEST(Signals, ZTotals) {
  std::printf(
      "%llu cases; operations stopped %llu times, killed %llu, continued %llu; recoveries killed %llu; two processes "
      "%llu times; killed or stopped at %zu store sites\n",
      static_cast<unsigned long long>(Totals::Get().cases), static_cast<unsigned long long>(totals.stops),
      static_cast<unsigned long long>(totals.kills), static_cast<unsigned long long>(totals.continued),
      static_cast<unsigned long long>(totals.recoveries_killed), static_cast<unsigned long long>(totals.pairs),
      Totals::Get().sites.size());
}

}  // namespace
}  // namespace segdict::internal::crash
