// Deaths within one process: the states that they leave (trace.h), recovered and checked by the thousand.
//
// Each state that is come by is explored:
//   readers have what they may have;
//   everybody in flight is dead; somebody recovers, and readers have after it *exactly* what they had before;
//   the table is sound, and everything can be done with it;
//   and the state after each store of that recovery is explored likewise, to the depth asked for.
// A state that was explored before, at that depth, is not again: recovery depends on nothing but the segment.
#ifndef SEGDICT_TESTS_CRASH_LAB_H_
#define SEGDICT_TESTS_CRASH_LAB_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "tests/crash/case.h"
#include "tests/crash/check.h"
#include "tests/crash/trace.h"

namespace segdict::internal::crash {

// Totals of all laboratories of the process.
struct Totals {
  uint64_t cases = 0, pairs = 0, runs = 0;  // runs: pairs at one moment
  uint64_t stores = 0;                      // of operations
  uint64_t crashes = 0;                     // after one of them
  uint64_t recoveries_killed = 0;           // after one of their stores
  uint64_t states = 0;                      // different ones, of both
  // The stores after which there was a crash: file, from src/ on, and line.
  std::set<std::pair<std::string, int>> sites;

  static Totals& Get() {
    static auto* const totals = new Totals;
    return *totals;
  }
  bool Knows(const Site& site) const { return known.contains({site.file, site.line}); }
  void Crashed(const Site& site) {
    if (!known.insert({site.file, site.line}).second) return;
    const std::string file = site.file;
    const size_t src = file.rfind("src/");
    sites.insert({src == std::string::npos ? file : file.substr(src), site.line});
  }

 private:
  std::set<std::pair<const char*, int>> known;
};

// Writers that die when they are told to.
class ScriptedLiveness : public Liveness {
 public:
  absl::StatusOr<bool> IsAlive(uint32_t record) override { return !dead.contains(record) || adopted == record; }
  absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t) override { return std::make_unique<NoToken>(); }
  absl::StatusOr<bool> TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) override {
    if (!dead.contains(record) || adopted == record) return false;
    const auto outer = std::exchange(adopted, record);
    recover();
    adopted = outer;
    return true;
  }
  std::set<uint32_t> dead;
  std::optional<uint32_t> adopted;

 private:
  struct NoToken : Token {};
};

class Lab {
 public:
  // The records of the two writers, of who looks after them, and of another that a writer may claim.
  static constexpr uint32_t kFirst = 0, kSecond = 1, kOther = 2, kThird = 3;

  Lab(const TableShape& shape, const std::function<void(TableFixture&, Writer&)>& set_up) {
    auto liveness = std::make_unique<ScriptedLiveness>();
    liveness_ = liveness.get();
    fixture_ = std::make_unique<TableFixture>(shape, std::move(liveness));
    auto w = fixture_->Claim(kThird);
    set_up(*fixture_, *w);
    ReleaseWriter<Mem>(std::move(w));
    for (const uint32_t r : {kFirst, kSecond, kOther}) FIXTURE_CHECK(fixture_->Claim(r)->index == r);
    for (uint64_t home = 0; home < shape.groups; ++home) fresh_keys_.push_back(fixture_->KeyOfHome(home, 40));
    base_ = std::make_unique<State>(*fixture_);
    before_ = View(*fixture_, [] { return "set up"; });
    Remember(before_);
  }

  TableFixture& fixture() { return *fixture_; }
  const State& base() const { return *base_; }
  const Model& before() const { return before_; }

  void Restore(const State& state) {
    state.Restore(*fixture_);
    liveness_->dead.clear();
  }
  void Kill(std::initializer_list<uint32_t> records) { liveness_->dead.insert(records.begin(), records.end()); }

  std::unique_ptr<Writer> NewWriter(uint32_t r) const {
    auto w = std::make_unique<Writer>();
    w->index = r;
    w->record = &fixture_->regions().record(r);
    w->process = ProcessGeneration();
    return w;
  }

  // The contents after `operations`, one after the other, by the writers with these records; and what they returned.
  struct Sequence {
    Model model;
    std::vector<absl::StatusCode> results;
  };
  Sequence RunAll(const std::vector<std::pair<uint32_t, const Operation*>>& operations) {
    Restore(*base_);
    Sequence sequence;
    for (const auto& [r, operation] : operations) {
      sequence.results.push_back((*operation)(*fixture_, *NewWriter(r)).code());
    }
    const Where where = [] { return "without a crash"; };
    sequence.model = View(*fixture_, where);
    ExpectSound(*fixture_, where);
    Remember(sequence.model);
    return sequence;
  }

  // Explores `state`, in which the writers in `in_flight` are dead. `depth`: of recoveries that die.
  void Explore(const State& state, const std::vector<uint32_t>& in_flight, const Allowed& allowed, int depth,
               const Where& where) {
    uint64_t key = Mix(state.Fingerprint() + allowed.models.size());
    for (const Model* model : allowed.models) key = Mix(key + reinterpret_cast<uintptr_t>(model));
    for (const uint32_t r : in_flight) key = Mix(key + r + 1);
    if (const auto [at, fresh] = explored_.emplace(key, depth); !fresh) {
      if (at->second >= depth) return;
      at->second = depth;
    } else {
      ++Totals::Get().states;
    }

    Restore(state);
    liveness_->dead.insert(in_flight.begin(), in_flight.end());
    // What a dead writer may have claimed besides.
    if (Mem::Load(fixture_->regions().record(kThird).in_use) != 0) liveness_->dead.insert(kThird);
    const Model view = View(*fixture_, where);
    ExpectAllowed(view, allowed, where);
    ExpectFound(*fixture_, keys_, view, where);

    Trace trace;
    {
      Recorder recorder(*fixture_, &trace);
      RecoverDead(*fixture_, where);
    }
    State after = state;
    for (const Change& change : trace) after.Apply(change);
    if (ends_.insert(after.Fingerprint()).second) {
      const Where recovered = [&] { return where() + ", recovered"; };
      ExpectSound(*fixture_, recovered);
      ExpectUsable(*fixture_, *NewWriter(kOther), fresh_keys_, recovered);
      after.Restore(*fixture_);
    }
    const Model now = View(*fixture_, where);
    EXPECT_TRUE(now == view) << where << ": recovery changed what readers have: " << Difference(view, now);

    if (depth == 0) return;
    State step = state;
    for (size_t j = 1; j <= trace.size() && !testing::Test::HasFailure(); ++j) {
      step.Apply(trace[j - 1]);
      ++Totals::Get().recoveries_killed;
      Totals::Get().Crashed(trace[j - 1].site);
      Explore(step, in_flight, allowed, depth - 1, [&where, j, &trace] {
        return where() + ", recovery killed at its store " + std::to_string(j) + " (" + Place(trace[j - 1].site) + ")";
      });
    }
  }

  static std::string Place(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

  // What lookups are made for.
  void Remember(const Model& model) {
    for (const auto& [key, value] : model) {
      if (std::find(keys_.begin(), keys_.end(), key) == keys_.end()) keys_.push_back(key);
    }
  }

 private:
  static std::string Difference(const Model& a, const Model& b) {
    std::string text;
    for (const Model* model : {&a, &b}) {
      for (const auto& [key, value] : *model) {
        if (StateOf(a, key) == StateOf(b, key)) continue;
        text += "\n  " + key + ": " + Describe(StateOf(a, key)) + ", then " + Describe(StateOf(b, key));
      }
    }
    return text;
  }

  ScriptedLiveness* liveness_;
  std::unique_ptr<TableFixture> fixture_;
  std::vector<std::string> keys_, fresh_keys_;
  std::unique_ptr<State> base_;
  Model before_;
  std::unordered_map<uint64_t, int> explored_;  // to which depth
  std::set<uint64_t> ends_;                     // states after a recovery, checked
};

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_LAB_H_
