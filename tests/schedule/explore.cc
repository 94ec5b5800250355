#include "tests/schedule/explore.h"

#include <functional>
#include <random>
#include <vector>

namespace segdict::internal {
namespace {

using Kind = Choice::Kind;

// Runs schedules, counts them and keeps the first that is wrong.
class Runner {
 public:
  explicit Runner(const Scenario& scenario) : scheduler_(scenario) {}

  Scheduler& scheduler() { return scheduler_; }
  bool failed() const { return !result_.wrong.empty(); }
  Exploration Take() { return std::move(result_); }

  void Judge(const Schedule& schedule) {
    ++result_.schedules;
    bool death = false, old_value = false;
    for (const Choice& d : schedule.decisions) {
      death = death || d.kind == Kind::kDie;
      old_value = old_value || d.kind == Kind::kOld;
    }
    result_.with_death += death ? 1 : 0;
    result_.with_old_values += old_value ? 1 : 0;
    std::string wrong = scheduler_.Judge();
    if (wrong.empty() || failed()) return;
    result_.wrong = std::move(wrong);
    result_.how = schedule;
  }

  // Drops decisions as long as what is left is wrong, too.
  void Shorten() {
    std::vector<Choice>& decisions = result_.how.decisions;
    for (size_t i = 0; i < decisions.size();) {
      Schedule shorter = result_.how;
      shorter.decisions.erase(shorter.decisions.begin() + static_cast<ptrdiff_t>(i));
      scheduler_.Run(shorter);
      if (std::string wrong = scheduler_.Judge(); !wrong.empty()) {
        result_.wrong = std::move(wrong);
        result_.how = std::move(shorter);
        i = 0;
      } else {
        ++i;
      }
    }
  }

 private:
  Scheduler scheduler_;
  Exploration result_;
};

class Search {
 public:
  Search(Runner& runner, const Bound& bound) : runner_(runner), bound_(bound) {}

  void From(int first) {
    schedule_ = {first, {}};
    left_ = bound_;
    Extend();
  }

 private:
  // Runs the schedule, then all that have one more decision behind its last.
  void Extend() {
    std::vector<Tick> ticks;
    runner_.scheduler().Run(schedule_, &ticks);
    runner_.Judge(schedule_);
    if (left_.together == 0) return;
    const int from = schedule_.decisions.empty() ? 0 : schedule_.decisions.back().tick;
    for (const Tick& tick : ticks) {
      if (runner_.failed()) return;
      if (tick.number <= from) continue;
      for (int age = 1; age < tick.choices && left_.old_values > 0; ++age) {
        Try({Kind::kOld, tick.number, age}, &left_.old_values);
      }
      if (tick.choices > 0) continue;
      for (int to = 0; to < runner_.scheduler().actors(); ++to) {
        if (to == tick.actor) continue;
        if (left_.switches > 0 && runner_.scheduler().Shared(tick)) {
          Try({Kind::kSwitch, tick.number, to}, &left_.switches);
        }
        if (left_.deaths > 0 && tick.may_die) Try({Kind::kDie, tick.number, to}, &left_.deaths);
      }
    }
  }

  void Try(Choice decision, int* left) {
    --*left;
    --left_.together;
    schedule_.decisions.push_back(decision);
    Extend();
    schedule_.decisions.pop_back();
    ++left_.together;
    ++*left;
  }

  Runner& runner_;
  const Bound bound_;
  Bound left_;
  Schedule schedule_;
};

}  // namespace

Exploration ExploreAll(const Scenario& scenario, const Bound& bound) {
  Runner runner(scenario);
  const auto all_firsts = [&](const Bound& b) {
    const int first_actors = static_cast<int>(scenario.writers.size() + scenario.others.size());
    for (int first = 0; first < first_actors && !runner.failed(); ++first) Search(runner, b).From(first);
  };
  // What is shared is learned by short schedules, and then on the way: until nothing new was learned.
  const Bound learning{.switches = 1, .deaths = bound.deaths, .old_values = 0, .together = 1};
  all_firsts(learning);
  for (int known = -1; known != runner.scheduler().shared_words() && !runner.failed();) {
    known = runner.scheduler().shared_words();
    all_firsts(bound);
  }
  return runner.Take();
}

Exploration ExploreRandomly(const Scenario& scenario, uint64_t seed, int64_t schedules) {
  Runner runner(scenario);
  std::mt19937_64 random(seed);
  const auto one_in = [&](uint64_t n) { return random() % n == 0; };
  const auto actors = static_cast<uint64_t>(runner.scheduler().actors());
  const uint64_t first_actors = scenario.writers.size() + scenario.others.size();
  for (int64_t i = 0; i < schedules && !runner.failed(); ++i) {
    const bool look = one_in(4);
    const uint64_t rarity = 2 + random() % 40, deadliness = 20 + random() % 400;
    const Schedule schedule =
        runner.scheduler().Run(static_cast<int>(random() % first_actors), look, [&](const Tick& tick) {
          std::optional<Choice> decision;
          if (tick.choices > 0) {
            if (!look && one_in(2)) {
              decision = {Kind::kOld, tick.number, static_cast<int>(random() % static_cast<uint64_t>(tick.choices))};
            }
          } else if (tick.may_die && one_in(deadliness)) {
            decision = {Kind::kDie, tick.number, static_cast<int>(random() % actors)};
          } else if (one_in(rarity)) {
            decision = {Kind::kSwitch, tick.number, static_cast<int>(random() % actors)};
          }
          return decision;
        });
    runner.Judge(schedule);
  }
  if (runner.failed()) runner.Shorten();
  return runner.Take();
}

}  // namespace segdict::internal
