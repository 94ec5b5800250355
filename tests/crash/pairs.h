// Two writers in one process: the second works in the middle of the first.
//
// The first is frozen before or after one of its accesses to the segment (its stack stays where it is); the second runs
// its call to the end, or gives up waiting, or is stopped or killed after one of its stores, too. Then the first goes
// on, and must succeed unless the second holds what it needs and is only stopped. After each store of either, everybody
// in flight is killed, and the state explored (lab.h). What the table may contain, and what the calls may return, is
// what some order of the two gives.
#ifndef SEGDICT_TESTS_CRASH_PAIRS_H_
#define SEGDICT_TESTS_CRASH_PAIRS_H_

#include <string>
#include <utility>
#include <vector>

#include "tests/crash/lab.h"
#include "tests/testing.h"

namespace segdict::internal::crash {

class PairLab {
 public:
  // What becomes of the second writer in the middle of the first one's call.
  enum class Fate { kEnds, kStopped, kKilled };

  // More sleeps than anybody needs for another one who is dead or through.
  static constexpr int64_t kPatience = 100;

  explicit PairLab(const Pair& pair)
      : pair_(pair),
        lab_(pair.shape, pair.set_up),
        neither_{lab_.before(), {}},
        first_(lab_.RunAll({{Lab::kFirst, &pair.first}})),
        second_(lab_.RunAll({{Lab::kSecond, &pair.second}})),
        first_second_(lab_.RunAll({{Lab::kFirst, &pair.first}, {Lab::kSecond, &pair.second}})),
        second_first_(lab_.RunAll({{Lab::kSecond, &pair.second}, {Lab::kFirst, &pair.first}})) {
    std::swap(second_first_.results[0], second_first_.results[1]);  // first, second
  }

  // What one of them stores, alone, and how many accesses that takes.
  struct Alone {
    Trace trace;
    int64_t accesses = 0;
  };
  Alone FirstAlone() { return RunAlone(pair_.first, Lab::kFirst); }
  Alone SecondAlone() { return RunAlone(pair_.second, Lab::kSecond); }

  struct Run {
    Trace trace;
    size_t begin = 0, end = 0;  // the second's stores in it, as far as they were done
    size_t stores = 0;          // that the second would have done
    absl::Status first, second;
  };

  // `at`: as the Recorder's interrupt_at. `until`: after how many stores the second is stopped or killed.
  Run Together(int64_t at, Fate fate, size_t until) {
    Run run;
    lab_.Restore(lab_.base());
    test::CountedBlocking gives_up(3), never(kPatience);
    auto first = lab_.NewWriter(Lab::kFirst);
    first->blocking = fate == Fate::kStopped ? &gives_up : &never;
    Recorder recorder(lab_.fixture(), &run.trace, at, [&] {
      run.begin = run.trace.size();
      RunSecond(&run, /*first_is_dead=*/false);
      if (fate == Fate::kEnds) return;
      // Back to where it is stopped.
      while (run.trace.size() > run.begin + until) {
        Undo(run.trace.back());
        run.trace.pop_back();
      }
      run.end = run.trace.size();
      if (fate == Fate::kKilled) lab_.Kill({Lab::kSecond});
    });
    run.first = pair_.first(lab_.fixture(), *first);
    ++Totals::Get().runs;
    return run;
  }

  // The first is dead after its store number `at`; the second meets what it left.
  Run After(const Trace& alone, size_t at) {
    Run run;
    State state = lab_.base();
    for (size_t i = 0; i < at; ++i) state.Apply(alone[i]);
    lab_.Restore(state);
    run.trace.assign(alone.begin(), alone.begin() + static_cast<ptrdiff_t>(at));
    run.begin = at;
    lab_.Kill({Lab::kFirst});
    RunSecond(&run, /*first_is_dead=*/true);
    ++Totals::Get().runs;
    return run;
  }

  // Explores the states after the stores from number `from` on that `worth(site)` picks. `first_died`: it never goes
  // on.
  template <class Worth>
  void Explore(const Run& run, size_t from, Fate fate, bool first_died, int depth, Worth&& worth, const Where& where) {
    const Part second = fate == Fate::kEnds ? Took(run.second, Results(Which::kSecond)) : Part::kMaybe;
    Part first = first_died ? Part::kMaybe : Took(run.first, Results(Which::kFirst));
    if (!first_died && run.first.code() == absl::StatusCode::kCancelled && fate != Fate::kStopped) {
      ADD_FAILURE() << where << ": the first waited in vain: " << run.first;
    }
    if (first_died && run.second.code() == absl::StatusCode::kCancelled) {
      ADD_FAILURE() << where << ": the second waited in vain for a dead one";
    }
    if (first == Part::kOther) ADD_FAILURE() << where << ": the first returned " << run.first;
    if (second == Part::kOther) ADD_FAILURE() << where << ": the second returned " << run.second;
    State state = lab_.base();
    for (size_t p = 1; p <= run.trace.size() && !testing::Test::HasFailure(); ++p) {
      const Change& change = run.trace[p - 1];
      state.Apply(change);
      const bool last = p == run.trace.size();
      if (p <= from && !last) continue;
      if (!last && !worth(change.site)) continue;
      const bool second_is_through = fate == Fate::kEnds && p >= run.end;
      const bool first_is_through = last && !first_died;
      std::vector<uint32_t> in_flight;
      if (!first_is_through) in_flight.push_back(Lab::kFirst);
      if (!second_is_through) in_flight.push_back(Lab::kSecond);
      const Allowed allowed = May(first_is_through ? first
                                  : p == 0         ? Part::kNo
                                                   : Part::kMaybe,
                                  second_is_through ? second
                                  : p <= run.begin  ? Part::kNo
                                                    : Part::kMaybe,
                                  run);
      ++Totals::Get().crashes;
      Totals::Get().Crashed(change.site);
      lab_.Explore(state, in_flight, allowed, depth, [&] {
        return where() + ", killed after store " + std::to_string(p) + " of both (" + Lab::Place(change.site) + ")";
      });
    }
  }

  // What is allowed when both are through, or dead.
  Allowed AtTheEnd(const Run& run, Fate fate, bool first_died) const {
    return May(first_died ? Part::kMaybe : Took(run.first, Results(Which::kFirst)),
               fate == Fate::kEnds ? Took(run.second, Results(Which::kSecond)) : Part::kMaybe, run);
  }

  Lab& lab() { return lab_; }

 private:
  enum class Part { kNo, kMaybe, kYes, kOther };
  enum class Which { kFirst, kSecond };

  Alone RunAlone(const Operation& operation, uint32_t r) {
    Alone alone;
    lab_.Restore(lab_.base());
    Recorder recorder(lab_.fixture(), &alone.trace);
    (void)operation(lab_.fixture(), *lab_.NewWriter(r));
    alone.accesses = recorder.accesses();
    return alone;
  }

  void RunSecond(Run* run, bool first_is_dead) {
    // Nobody gives up waiting for the dead: there is no need to wait for them.
    test::CountedBlocking sleeps(first_is_dead ? 1 : 3);
    auto second = lab_.NewWriter(Lab::kSecond);
    second->blocking = &sleeps;
    {
      Recorder recorder(lab_.fixture(), &run->trace);
      run->second = pair_.second(lab_.fixture(), *second);
    }
    run->end = run->trace.size();
    run->stores = run->end - run->begin;
    if (!absl::IsCancelled(run->second)) return;
    const WriterRecord& record = *second->record;
    for (const Word* word : {&record.op, &record.home, &record.page}) {
      EXPECT_EQ(word->load(), 0u) << pair_.name << ": who gave up leaves something in its journal";
    }
  }

  void Undo(const Change& change) {
    auto* const words = reinterpret_cast<Word*>(lab_.fixture().segment().base());
    for (const Change::OneWord& word : change.words) words[word.at].store(word.before, std::memory_order_relaxed);
  }

  std::vector<absl::StatusCode> Results(Which which) const {
    if (which == Which::kFirst) {
      return {first_.results[0], first_second_.results[0], second_first_.results[0]};
    }
    return {second_.results[0], first_second_.results[1], second_first_.results[1]};
  }

  // Whether a call that returned `status` took effect.
  Part Took(const absl::Status& status, const std::vector<absl::StatusCode>& results) const {
    for (const absl::StatusCode result : results) {
      if (status.code() == result) return Part::kYes;
    }
    const bool gave_up = absl::IsCancelled(status) || (pair_.tight && absl::IsResourceExhausted(status));
    return !gave_up ? Part::kOther : pair_.atomic ? Part::kNo : Part::kMaybe;
  }

  Allowed May(Part first, Part second, const Run& run) const {
    Allowed allowed{{}, pair_.atomic};
    const auto add = [&](bool has_first, bool has_second, const Lab::Sequence& sequence) {
      if (first == (has_first ? Part::kNo : Part::kYes) || second == (has_second ? Part::kNo : Part::kYes)) return;
      if (has_first && has_second && first == Part::kYes && second == Part::kYes &&
          (sequence.results[0] != run.first.code() || sequence.results[1] != run.second.code())) {
        return;  // another order, or none
      }
      allowed.models.push_back(&sequence.model);
    };
    add(false, false, neither_);
    add(true, false, first_);
    add(false, true, second_);
    add(true, true, first_second_);
    add(true, true, second_first_);
    EXPECT_FALSE(allowed.models.empty()) << pair_.name << ": in no order they return " << run.first << " and "
                                         << run.second;
    return allowed;
  }

  const Pair& pair_;
  Lab lab_;
  Lab::Sequence neither_, first_, second_, first_second_, second_first_;
};

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_PAIRS_H_
