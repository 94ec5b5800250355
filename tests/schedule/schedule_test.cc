// Schedules of the table's operations: every one up to a bound, for every pair of operations in every state; deeper for
// some of them; and random ones of longer programs.
//
// A wrong schedule is printed with the command that runs it again: SEGDICT_SCHEDULE="..." with the test's own filter.
// SEGDICT_SCHEDULES=full: the pairs at the full bound, the 52 with a Clear of many keys, and the longest of the deeper:
// an hour of one core. SEGDICT_SCHEDULE_SEED and SEGDICT_SCHEDULE_COUNT: of the random ones.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/schedule/explore.h"
#include "tests/schedule/operations.h"

namespace segdict::internal {
namespace {

bool Full() {
  const char* full = std::getenv("SEGDICT_SCHEDULES");
  return full != nullptr && std::string(full) == "full";
}

int64_t Number(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

std::string TestName() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  return std::string(info->test_suite_name()) + "." + info->name();
}

// Runs the one schedule that is asked for; false: none is.
bool Repeated(const Scenario& scenario) {
  const char* text = std::getenv("SEGDICT_SCHEDULE");
  if (text == nullptr) return false;
  const auto schedule = Schedule::Parse(text);
  EXPECT_TRUE(schedule.has_value()) << "SEGDICT_SCHEDULE is no schedule: " << text;
  if (!schedule.has_value()) return true;
  Scheduler scheduler(scenario);
  scheduler.Run(*schedule);
  EXPECT_EQ(scheduler.Judge(), "");
  return true;
}

void Report(const Exploration& e, const std::string& environment = "") {
  if (!e.wrong.empty()) {
    ADD_FAILURE() << e.wrong << "\nagain: " << environment << "SEGDICT_SCHEDULE='" << e.how.ToText()
                  << "' schedule_test --gtest_filter=" << TestName();
  }
}

struct Totals {
  int64_t scenarios = 0, schedules = 0, with_death = 0, with_old_values = 0;
  void Add(const Exploration& e) {
    ++scenarios;
    schedules += e.schedules;
    with_death += e.with_death;
    with_old_values += e.with_old_values;
  }
  void Print(const char* what) const {
    std::printf("%s: %lld programs, %lld schedules, %lld with a death, %lld with old values\n", what,
                static_cast<long long>(scenarios), static_cast<long long>(schedules),
                static_cast<long long>(with_death), static_cast<long long>(with_old_values));
  }
};

// ---- Every pair of operations, in every state -------------------------------------------------------------

struct BoundedScenario {
  Scenario scenario;
  Bound bound;
};

// With one decision, in the full form with two. A Clear of many keys, which with two would take days, is in the full
// form alone, with one.
std::vector<BoundedScenario> Pairs() {
  std::vector<BoundedScenario> scenarios;
  const auto first = Operations('b'), second = Operations('c');
  for (const NamedState& state : States()) {
    const auto clears_many = [&](const NamedOperation& o) { return o.all_keys && state.many_keys; };
    const auto has_a_point = [&](const NamedOperation& o) {
      return state.name.find(o.only) != std::string::npos && (Full() || !clears_many(o));
    };
    for (size_t i = 0; i < first.size(); ++i) {
      for (size_t k = i; k < second.size(); ++k) {
        if (!has_a_point(first[i]) || !has_a_point(second[k])) continue;
        Scenario s{.name = state.name + "_" + first[i].name + "_" + second[k].name,
                   .set_up = state.set_up,
                   .writers = {first[i].actor, second[k].actor},
                   .others = {Get()}};
        s.shape.ordered = state.ordered;
        const bool two = Full() && !clears_many(first[i]) && !clears_many(second[k]);
        scenarios.push_back({std::move(s), {.together = two ? 2 : 1}});
      }
    }
  }
  return scenarios;
}

class PairTest : public testing::TestWithParam<BoundedScenario> {
 protected:
  static void TearDownTestSuite() { totals.Print("pairs of operations"); }
  static Totals totals;
};
Totals PairTest::totals;

TEST_P(PairTest, AllSchedules) {
  const auto& [scenario, bound] = GetParam();
  if (Repeated(scenario)) return;
  const Exploration e = ExploreAll(scenario, bound);
  Report(e);
  EXPECT_GT(e.schedules, 20);
  totals.Add(e);
}

INSTANTIATE_TEST_SUITE_P(Pairs, PairTest, testing::ValuesIn(Pairs()),
                         [](const testing::TestParamInfo<BoundedScenario>& info) { return info.param.scenario.name; });

// ---- Some of them deeper ----------------------------------------------------------------------------------

std::vector<BoundedScenario> DeepScenarios() {
  const std::string a = Short('a'), b = Short('b'), c = Short('c');
  std::vector<BoundedScenario> scenarios;
  const auto add = [&](std::string name, std::function<void(TableFixture&, Writer&)> set_up, std::vector<Actor> writers,
                       std::vector<Actor> others, Bound bound = {}) {
    scenarios.push_back({{.name = std::move(name),
                          .set_up = std::move(set_up),
                          .writers = std::move(writers),
                          .others = std::move(others)},
                         bound});
  };
  add("OverwriteOverwrite", With(a), {Set(b), Set(c)}, {Get(2)});
  add("MoveGet", Displaced(a), {EraseOther(3)}, {Get()});
  add("MoveVisit", Displaced(a), {EraseOther(3)}, {Visit()},
      {.switches = 2, .deaths = 1, .old_values = 0, .together = 2});
  add("MoveVisitToTheEnd", Displaced(a), {EraseOther(3)}, {VisitToTheEnd()},
      {.switches = 2, .deaths = 1, .old_values = 0, .together = 2});
  add("EraseVisitToTheEnd", Displaced(Long('a')), {Erase()}, {VisitToTheEnd()});
  add("InsertVisitToTheEnd", FullHome(), {Insert(b)}, {VisitToTheEnd()});
  add("OverwriteBlocks", With(Long('a')), {Set(Long('b')), Set(Long('c'))}, {Get()});
  add("InsertInsert", Nothing(), {Insert(Long('b')), Insert(c)}, {Get()});
  add("EraseInsert", With(a), {Erase(), Insert(b)}, {Get(2)});
  add("EraseOverwriteBlock", With(Long('a')), {Erase(), Set(b)}, {Get()});
  add("EraseErase", With(a), {Erase(), Erase()}, {Get()});
  add("EraseInsertAgainOverwrite", With(a), {Then(Erase(), Insert(b)), Set(c)}, {Get()});
  add("MoveOverwrite", Displaced(Long('a')), {EraseOther(3), Set(Long('b'))}, {Get()});
  add("MoveErase", Displaced(a), {EraseOther(3), Erase()}, {Get()});
  add("MoveInsertTakesThePlace", Displaced(a), {EraseOther(3), SetOther(20, "new")}, {Get()});
  // A reader that passed the home before the key was moved there reads the old place's image. Nobody may get at the
  // block that it refers to, free it and fill it with something else, before the image counts no more.
  add("MoveBlockReused", Displaced(Long('a')), {EraseOther(3), Then(Set(Long('b')), SetOther(5, Long('o')))}, {Get()},
      {.switches = 2, .deaths = 0, .old_values = 0, .together = 2});
  {
    // Two keys of different homes come for the last slot of group 0: no home lock keeps them apart. Three groups; the
    // key under test is at home there, the other one displaced, since its own home is full.
    ProbeSequence of_home_1(1, 3);
    of_home_1.Next();
    const uint64_t other_home = of_home_1.group() == 0 ? 1 : 2;
    const auto set_up = [=](TableFixture& f, Writer& w) {
      for (int i = 1; i <= 14; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), "other").ok());
      for (int i = 1; i <= 15; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(other_home, i), "other").ok());
    };
    const Actor displaced = [=](Scheduler& t, int self) {
      FIXTURE_CHECK(t.fixture().Set(t.writer(self), t.fixture().KeyOfHome(other_home, 0), Short('o')).ok());
    };
    add("LastSlot", set_up, {Insert(b), displaced}, {Get()});
    scenarios.back().scenario.shape.groups = 3;
  }
  {
    // The only page is of another class and free: one writer retires it for a longer value, another takes a block of
    // it.
    const auto set_up = [](TableFixture& f, Writer& w) {
      FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 1), Long('a')).ok());
      FIXTURE_CHECK(f.Erase(w, f.KeyOfHome(0, 1)).ok());
    };
    const auto set_if_there_is_room = [](int n, std::string value) -> Actor {
      return [=](Scheduler& t, int self) {
        const absl::Status status = t.fixture().Set(t.writer(self), t.key(n), value);
        FIXTURE_CHECK(status.ok() || absl::IsResourceExhausted(status));
      };
    };
    add("RetireAllocate", set_up, {set_if_there_is_room(2, std::string(1000, 'l')), set_if_there_is_room(3, Long('b'))},
        {});
    scenarios.back().scenario.shape.pages = 1;
  }
  // A torn read takes three: a reader in the middle of a slot, a writer in the middle of it, and somebody else before
  // both end.
  const Bound three{.switches = 3, .deaths = 0, .old_values = 1, .together = 3};
  add("Overwrite3", With(a), {Set(b)}, {Get()}, three);
  add("OverwriteBlock3", With(Long('a')), {Set(Long('b'))}, {Get()}, three);
  add("Insert3", Nothing(), {Insert(a)}, {Get()}, three);
  add("Erase3", With(a), {Erase()}, {Get()}, three);
  if (Full()) add("Move3", Displaced(a), {EraseOther(3)}, {Get()}, three);  // as many schedules as half of all others
  // A reader in the middle of a slot whose writer dies, and is recovered before the reader looks at seq again.
  add("OverwriteDies3", With(a), {Set(b)}, {Get()}, {.switches = 2, .deaths = 1, .old_values = 0, .together = 3});
  // Two readers, who must agree on the order of what they see.
  add("TwoReaders", With(a), {Set(b)}, {Get(2), Get(2)}, {.switches = 2, .deaths = 0, .old_values = 2, .together = 3});
  {
    // Each stores one key and then reads the other's: one of the two stores came first, so not both can miss (store
    // buffering).
    const auto missed = std::make_shared<std::array<bool, 2>>();
    const auto store_and_read = [missed](int mine, int others) -> Actor {
      return [=](Scheduler& s, int self) {
        (*missed)[static_cast<size_t>(self)] = false;
        FIXTURE_CHECK(s.fixture().Set(s.writer(self), s.key(mine), Short('n')).ok());
        std::string value;
        (*missed)[static_cast<size_t>(self)] = s.fixture().Get(s.key(others), &value).ok() && value == Short('a');
      };
    };
    Scenario s{.name = "TwoKeys",
               .set_up =
                   [](TableFixture& f, Writer& w) {
                     for (int i = 1; i <= 2; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), Short('a')).ok());
                   },
               .writers = {store_and_read(1, 2), store_and_read(2, 1)},
               .others = {},
               .recoverer = false};
    s.judge = [missed] { return (*missed)[0] && (*missed)[1] ? "each missed the other's store" : std::string(); };
    scenarios.push_back({std::move(s), {.switches = 2, .deaths = 0, .old_values = 2, .together = 3}});
  }
  return scenarios;
}

class DeepTest : public testing::TestWithParam<BoundedScenario> {
 protected:
  static void TearDownTestSuite() { totals.Print("deeper"); }
  static Totals totals;
};
Totals DeepTest::totals;

TEST_P(DeepTest, AllSchedules) {
  const auto& [scenario, bound] = GetParam();
  if (Repeated(scenario)) return;
  const Exploration e = ExploreAll(scenario, bound);
  Report(e);
  EXPECT_GT(e.schedules, 1000);
  std::printf("%s: %lld schedules\n", scenario.name.c_str(), static_cast<long long>(e.schedules));
  totals.Add(e);
}

INSTANTIATE_TEST_SUITE_P(Scenarios, DeepTest, testing::ValuesIn(DeepScenarios()),
                         [](const testing::TestParamInfo<BoundedScenario>& info) { return info.param.scenario.name; });

// ---- Random schedules of random programs ------------------------------------------------------------------

// Two writers with three operations each, a reader and a recoverer.
Scenario RandomProgram(uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::vector<NamedState> states = States();
  const NamedState& state = states[random() % states.size()];
  Scenario scenario{.name = state.name, .set_up = state.set_up, .writers = {}, .others = {Get(3)}};
  scenario.shape.ordered = state.ordered;
  scenario.shape.slot_size = 32u << random() % 3;
  if (scenario.shape.slot_size == 32 && state.ordered) scenario.shape.slot_size = 64;
  scenario.shape.groups = random() % 2 == 0 ? 2 : 3;
  char value = 'b';
  for (int w = 0; w < 2; ++w) {
    Actor program;
    for (int i = 0; i < 3; ++i) {
      const auto operations = Operations(value++);
      const NamedOperation* operation;
      do {
        operation = &operations[random() % operations.size()];
      } while (operation->only == "Ordered" && !state.ordered);
      scenario.name += "_" + operation->name;
      program = i == 0 ? operation->actor : Then(program, operation->actor);
    }
    scenario.writers.push_back(program);
  }
  return scenario;
}

TEST(RandomSchedules, OfRandomPrograms) {
  const int64_t first = Number("SEGDICT_SCHEDULE_SEED", static_cast<int64_t>(std::random_device()()));
  const int64_t programs = Number("SEGDICT_SCHEDULE_COUNT", Full() ? 5000 : 150);
  if (std::getenv("SEGDICT_SCHEDULE") != nullptr) {
    Repeated(RandomProgram(static_cast<uint64_t>(first)));
    return;
  }
  Totals totals;
  for (int64_t seed = first; seed < first + programs && !HasFailure(); ++seed) {
    const Scenario program = RandomProgram(static_cast<uint64_t>(seed));
    const Exploration e = ExploreRandomly(program, static_cast<uint64_t>(seed), 1000);
    SCOPED_TRACE(program.name);
    Report(e, "SEGDICT_SCHEDULE_SEED=" + std::to_string(seed) + " ");
    totals.Add(e);
  }
  std::printf("seeds from %lld\n", static_cast<long long>(first));
  totals.Print("random programs");
}

// ---- By hand ----------------------------------------------------------------------------------------------

// A waiter asks the owner's journal for a home lock just when the owner has let it go, and finds it locked, as before,
// because the owner has taken it once more. That is no damage. It needs three switches at chosen places, so it is
// scripted: the owner's part is done by hand.
TEST(ScriptedSchedule, HomeLockTakenAgainWhileItsOwnerIsAskedFor) {
  TableFixture fixture({.groups = 1, .pages = 1, .records = 2});
  const auto owner = fixture.Claim(0), waiter = fixture.Claim(1);

  class Owner : public AccessHook {
   public:
    Owner(TableFixture& f, Writer& w) : lock_(f.regions().home_lock(0)), record_(*w.record), index_(w.index) {}
    void Take() {
      record_.home.store(1);
      record_.home_locks.fetch_add(1);
      lock_.store(owned::LockedBy(lock_.load(), index_));
    }
    void LetGo() {
      lock_.store(owned::Same(lock_.load()));
      record_.home.store(0);
    }
    void Before(const Access& access) override {
      if (access.address == &record_.home && !asked_) LetGo();
      if (access.kind == AccessKind::kFutexWait) LetGo();  // at last
    }
    void After(const Access& access) override {
      if (access.address != &record_.home || asked_) return;
      asked_ = true;
      Take();
    }
    bool asked() const { return asked_; }

   private:
    Word& lock_;
    WriterRecord& record_;
    uint32_t index_;
    bool asked_ = false;
  } script(fixture, *owner);

  script.Take();
  HookedMemory::hook = &script;
  const absl::Status status = fixture.Set(*waiter, "key", "value");
  HookedMemory::hook = nullptr;
  EXPECT_TRUE(script.asked());
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace segdict::internal
