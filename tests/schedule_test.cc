// Every interleaving, up to a bound, of a few actors on a tiny table.
//
// The actors are fibers of one thread; the memory policy hands control to a scheduler before each access to the
// segment. A schedule is given by its preemptions: at which step (access) the running actor is held and who goes on.
// All schedules with at most two preemptions are run, and, where a case asks for it, with the death of a writer at any
// of them (it is never resumed, and its record is dead to the others). An actor that would wait hands over by itself.
// After each run: the history of the key is linearizable (calls that were killed may or may not have happened), the
// table is sound and nothing is in flight.
//
// Sequentially consistent: every load sees the last store. What weaker memory may do is argued in
// docs/memory-ordering.md. Preemption bounding: Musuvathi and Qadeer, "Iterative context bounding for systematic
// testing of multithreaded programs", PLDI 2007.
#include <gtest/gtest.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

// Who is alive is what the scheduler says.
class ScriptedLiveness : public Liveness {
 public:
  struct NoToken : Token {};
  absl::StatusOr<bool> IsAlive(uint32_t record) override { return !dead[record] || adopted[record]; }
  absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t) override { return std::unique_ptr<Token>(new NoToken); }
  absl::StatusOr<bool> TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) override {
    if (!dead[record] || adopted[record]) return false;
    adopted[record] = true;
    recover();
    adopted[record] = false;
    dead[record] = false;
    return true;
  }
  bool dead[8] = {};
  bool adopted[8] = {};
};

// One call on the key under test, as its caller saw it.
struct Call {
  enum Kind { kSet, kInsert, kErase, kGet } kind;
  std::string value;  // stored, or read
  bool ok = false;    // inserted, erased, found
  int begin = 0;
  int end = -1;  // -1: never came back
};

// Whether the calls can be put in an order that agrees with their times and with what each saw, starting from `state`
// and ending at `last`.
bool Linearizable(const std::vector<Call>& calls, std::vector<bool>& done, std::optional<std::string> state,
                  const std::optional<std::string>& last) {
  bool all = true;
  for (size_t i = 0; i < calls.size(); ++i) all = all && (done[i] || calls[i].end < 0);
  if (all && state == last) return true;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (done[i]) continue;
    const Call& c = calls[i];
    // Somebody else who ended before this one began, and is not yet placed, goes first.
    bool first = true;
    for (size_t k = 0; k < calls.size(); ++k) first = first && (done[k] || calls[k].end < 0 || calls[k].end >= c.begin);
    if (!first) continue;
    std::optional<std::string> next = state;
    const bool pending = c.end < 0;
    bool fits = true;
    switch (c.kind) {
      case Call::kSet:
        next = c.value;
        break;
      case Call::kInsert:
        fits = pending || c.ok == !state.has_value();
        if (!state.has_value()) next = c.value;
        break;
      case Call::kErase:
        fits = pending || c.ok == state.has_value();
        next.reset();
        break;
      case Call::kGet:
        fits = pending || (c.ok ? state == std::optional<std::string>(c.value) : !state.has_value());
        break;
    }
    if (!fits) continue;
    done[i] = true;
    if (Linearizable(calls, done, next, last)) return true;
    done[i] = false;
  }
  return false;
}

class Scheduler;

// What an actor does, given its writer (readers have one, too, and do not use it).
using Actor = std::function<void(Scheduler&, int self)>;

struct Scenario {
  std::string name;
  TableShape shape{.groups = 2, .pages = 3, .records = 4};
  std::function<void(TableFixture&, Writer&)> set_up;
  std::vector<Actor> actors;
  bool deaths = false;  // writers (actors 0 and 1) may die
  int bound = 2;        // preemptions
};

class Scheduler : public AccessHook {
 public:
  static constexpr int kStepLimit = 50'000;
  static constexpr size_t kStack = 256 * 1024;

  struct Preemption {
    int step;
    int to;
    bool dies;
  };

  explicit Scheduler(const Scenario& scenario) : scenario_(scenario) {
    auto liveness = std::make_unique<ScriptedLiveness>();
    liveness_ = liveness.get();
    fixture_ = std::make_unique<TableFixture>(scenario.shape, std::move(liveness));
    auto w = fixture_->Claim(3);
    scenario.set_up(*fixture_, *w);
    key_ = fixture_->KeyOfHome(0, 0);
    std::string value;
    if (fixture_->Get(key_, &value).ok()) initial_ = value;
    ReleaseWriter<Mem>(std::move(w));
    for (size_t i = 0; i < scenario.actors.size(); ++i) {
      writers_.push_back(fixture_->Claim(static_cast<uint32_t>(i)));
      stacks_.emplace_back(kStack);
    }
    image_.assign(fixture_->segment().base(), fixture_->segment().base() + fixture_->segment().geometry().size);
  }

  // Runs one schedule; returns its number of steps. Actor `first` begins.
  int Run(int first, const std::vector<Preemption>& preemptions) {
    std::memcpy(fixture_->segment().base(), image_.data(), image_.size());
    preemptions_ = &preemptions;
    next_ = 0;
    step_ = 0;
    calls_.clear();
    const int n = static_cast<int>(scenario_.actors.size());
    state_.assign(static_cast<size_t>(n), State::kReady);
    std::fill(std::begin(liveness_->dead), std::end(liveness_->dead), false);
    std::fill(std::begin(liveness_->adopted), std::end(liveness_->adopted), false);
    contexts_.resize(static_cast<size_t>(n));
    for (int i = 0; i < n; ++i) {
      Writer fresh;
      fresh.index = writers_[At(i)]->index;
      fresh.record = writers_[At(i)]->record;
      std::swap(writers_[At(i)]->hints, fresh.hints);
      writers_[At(i)]->pool_hint = 0;
      writers_[At(i)]->global_depth = 0;
      getcontext(&contexts_[At(i)]);
      contexts_[At(i)].uc_stack = {.ss_sp = stacks_[At(i)].data(), .ss_flags = 0, .ss_size = kStack};
      contexts_[At(i)].uc_link = &main_;
      const auto self = reinterpret_cast<uintptr_t>(this);
      makecontext(&contexts_[At(i)], reinterpret_cast<void (*)()>(&Scheduler::Enter), 3,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self), static_cast<unsigned>(i));
    }
    running_ = first;
    HookedMemory::hook = this;
    while (running_ >= 0) {
      swapcontext(&main_, &contexts_[At(running_)]);
      // Here when an actor has ended, or nobody can go on.
      if (running_ < 0) break;
      state_[At(running_)] = State::kEnded;
      running_ = NextReady(running_);
    }
    HookedMemory::hook = nullptr;
    return step_;
  }

  // After a run: what is wrong with it; empty if nothing.
  std::string Judge() {
    if (step_ >= kStepLimit) return "did not end";
    // Whoever died is recovered by the next one.
    EXPECT_TRUE(fixture_->table().recovery().RecoverDead().ok());
    const VerifyReport report = fixture_->Verify();
    if (!report.ok()) return report.errors[0];
    if (report.in_flight != 0) return "something is left in flight";
    std::string value;
    std::optional<std::string> last;
    if (fixture_->Get(key_, &value).ok()) last = value;
    std::vector<bool> done(calls_.size());
    if (!Linearizable(calls_, done, initial_, last)) {
      std::string text = "not linearizable:";
      for (const Call& c : calls_) {
        text += " " +
                std::string(c.kind == Call::kSet      ? "set"
                            : c.kind == Call::kInsert ? "insert"
                            : c.kind == Call::kErase  ? "erase"
                                                      : "get") +
                "(" + c.value.substr(0, 2) + (c.ok ? ",yes" : ",no") + ")@" + std::to_string(c.begin) + ".." +
                std::to_string(c.end);
      }
      return text + "; at the end " + (last ? last->substr(0, 2) : "none");
    }
    return {};
  }

  TableFixture& fixture() { return *fixture_; }
  const std::string& key() const { return key_; }
  Writer& writer(int self) { return *writers_[At(self)]; }
  size_t Begin(Call::Kind kind, std::string value) {
    calls_.push_back({kind, std::move(value), false, step_, -1});
    return calls_.size() - 1;
  }
  void End(size_t call, bool ok, const std::string* value = nullptr) {
    calls_[call].ok = ok;
    calls_[call].end = step_;
    if (value != nullptr) calls_[call].value = *value;
  }

  void Before(const Access& access) override {
    ++step_;
    if (step_ >= kStepLimit) Switch(-1);
    if (access.kind == AccessKind::kPause || access.kind == AccessKind::kFutexWait) {
      // Waiting: somebody else goes on.
      const int to = NextReady(running_);
      if (to >= 0 && to != running_) Switch(to);
      return;
    }
    if (next_ >= preemptions_->size() || (*preemptions_)[next_].step != step_) return;
    const Preemption& p = (*preemptions_)[next_++];
    if (p.dies) {
      if (running_ > 1 ||
          std::any_of(std::begin(liveness_->adopted), std::end(liveness_->adopted), [](bool a) { return a; }))
        return;
      state_[At(running_)] = State::kDead;
      liveness_->dead[writers_[At(running_)]->index] = true;
    }
    int to = p.to;
    if (to == running_ || state_[At(to)] != State::kReady) to = NextReady(running_);
    if (to >= 0) {
      Switch(to);
    } else if (p.dies) {
      Switch(-1);
    }
  }

 private:
  enum class State { kReady, kEnded, kDead };
  static size_t At(int i) { return static_cast<size_t>(i); }

  static void Enter(unsigned high, unsigned low, unsigned actor) {
    auto* scheduler = reinterpret_cast<Scheduler*>(static_cast<uintptr_t>(high) << 32 | low);
    scheduler->scenario_.actors[actor](*scheduler, static_cast<int>(actor));
  }

  int NextReady(int after) const {
    const int n = static_cast<int>(state_.size());
    for (int i = 1; i <= n; ++i) {
      if (state_[At((after + i) % n)] == State::kReady) return (after + i) % n;
    }
    return -1;
  }

  void Switch(int to) {
    const int from = running_;
    running_ = to;
    swapcontext(&contexts_[At(from)], to >= 0 ? &contexts_[At(to)] : &main_);
  }

  const Scenario& scenario_;
  ScriptedLiveness* liveness_;
  std::unique_ptr<TableFixture> fixture_;
  std::string key_;
  std::optional<std::string> initial_;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<std::vector<char>> stacks_;
  std::vector<char> image_;
  std::vector<ucontext_t> contexts_;
  ucontext_t main_{};
  std::vector<State> state_;
  std::vector<Call> calls_;
  const std::vector<Preemption>* preemptions_ = nullptr;
  size_t next_ = 0;
  int step_ = 0;
  int running_ = -1;
};

// ---- Actors -----------------------------------------------------------------------------------------------

std::string Long(char c) { return std::string(200, c); }  // in a block

Actor Set(std::string value) {
  return [value](Scheduler& s, int self) {
    const size_t call = s.Begin(Call::kSet, value);
    const absl::Status status = s.fixture().Set(s.writer(self), s.key(), value);
    FIXTURE_CHECK(status.ok());
    s.End(call, true);
  };
}
Actor Insert(std::string value) {
  return [value](Scheduler& s, int self) {
    const size_t call = s.Begin(Call::kInsert, value);
    bool inserted = false;
    const absl::Status status = s.fixture().table().Mutate(
        s.writer(self), s.key(), s.fixture().HashOf(s.key()), false, true, [&](const Current& now) {
          inserted = !now.live;
          return now.live ? Decision::Return() : Decision::Store(value, 0, kNever);
        });
    FIXTURE_CHECK(status.ok());
    s.End(call, inserted);
  };
}
Actor Erase() {
  return [](Scheduler& s, int self) {
    const size_t call = s.Begin(Call::kErase, "");
    const absl::Status status = s.fixture().Erase(s.writer(self), s.key());
    FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
    s.End(call, status.ok());
  };
}
Actor Get(int times = 1) {
  return [times](Scheduler& s, int) {
    for (int i = 0; i < times; ++i) {
      const size_t call = s.Begin(Call::kGet, "");
      std::string value;
      const absl::Status status = s.fixture().Get(s.key(), &value);
      FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
      s.End(call, status.ok(), &value);
    }
  };
}
Actor Then(Actor a, Actor b) {
  return [a, b](Scheduler& s, int self) {
    a(s, self);
    b(s, self);
  };
}
// Erases another key of the same home, so that a displaced key is pulled home.
Actor EraseOther(int n) {
  return [n](Scheduler& s, int self) {
    const absl::Status status = s.fixture().Erase(s.writer(self), s.fixture().KeyOfHome(0, n));
    FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
  };
}
Actor SetOther(int n, std::string value) {
  return [n, value](Scheduler& s, int self) {
    FIXTURE_CHECK(s.fixture().Set(s.writer(self), s.fixture().KeyOfHome(0, n), value).ok());
  };
}
Actor Recoverer() {
  return [](Scheduler& s, int) { FIXTURE_CHECK(s.fixture().table().recovery().RecoverDead().ok()); };
}

std::function<void(TableFixture&, Writer&)> With(std::string value) {
  return [value](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), value).ok()); };
}
void Nothing(TableFixture&, Writer&) {}
// Home group 0 is full of keys 1 to 15 of that home; the key under test is displaced.
std::function<void(TableFixture&, Writer&)> Displaced(std::string value) {
  return [value](TableFixture& f, Writer& w) {
    for (int i = 1; i <= 15; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), "other").ok());
    FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), value).ok());
  };
}

std::vector<Scenario> Scenarios() {
  const std::string a(20, 'a'), b(20, 'b'), c(20, 'c');
  std::vector<Scenario> scenarios;
  const auto add = [&](std::string name, std::function<void(TableFixture&, Writer&)> set_up, std::vector<Actor> actors,
                       bool deaths) {
    scenarios.push_back(
        {.name = std::move(name), .set_up = std::move(set_up), .actors = std::move(actors), .deaths = deaths});
  };
  add("OverwriteOverwriteGet", With(a), {Set(b), Set(c), Get(2)}, false);
  add("OverwriteBlocksGet", With(Long('a')), {Set(Long('b')), Set(Long('c')), Get()}, false);
  add("OverwriteDiesGet", With(a), {Set(b), Set(c), Get(2)}, true);
  add("OverwriteBlockDiesGet", With(Long('a')), {Set(Long('b')), Recoverer(), Get()}, true);
  add("InsertInsertGet", Nothing, {Insert(a), Insert(b), Get()}, false);
  add("InsertDiesInsert", Nothing, {Insert(Long('a')), Insert(b), Get()}, true);
  add("EraseInsertGet", With(a), {Erase(), Insert(b), Get(2)}, false);
  add("EraseDiesOverwrite", With(Long('a')), {Erase(), Set(b), Get()}, true);
  add("EraseEraseGet", With(a), {Erase(), Erase(), Get()}, false);
  add("EraseInsertAgainOverwrite", With(a), {Then(Erase(), Insert(b)), Set(c), Get()}, false);
  add("MoveGet", Displaced(a), {EraseOther(3), Get(2)}, true);
  add("MoveOverwriteGet", Displaced(Long('a')), {EraseOther(3), Set(Long('b')), Get()}, false);
  add("MoveDiesOverwrite", Displaced(Long('a')), {EraseOther(3), Set(Long('b'))}, true);
  add("MoveErase", Displaced(a), {EraseOther(3), Erase(), Get()}, false);
  add("MoveInsertTakesThePlace", Displaced(a), {EraseOther(3), SetOther(20, "new"), Get()}, false);
  // What needs a third preemption: a reader in the middle of a slot, a writer in the middle of it, and somebody else
  // before both end.
  add("OverwriteGet3", With(a), {Set(b), Get()}, false);
  scenarios.back().bound = 3;
  add("InsertGet3", Nothing, {Insert(a), Get()}, false);
  scenarios.back().bound = 3;
  add("EraseGet3", With(a), {Erase(), Get()}, false);
  scenarios.back().bound = 3;
  return scenarios;
}

class ScheduleTest : public testing::TestWithParam<Scenario> {};

TEST_P(ScheduleTest, AllUpToTheBound) {
  const Scenario& scenario = GetParam();
  Scheduler scheduler(scenario);
  const int n = static_cast<int>(scenario.actors.size());
  int64_t runs = 0;
  std::vector<Scheduler::Preemption> preemptions;
  const auto run = [&](int first) {
    const int steps = scheduler.Run(first, preemptions);
    ++runs;
    if (const std::string wrong = scheduler.Judge(); !wrong.empty()) {
      std::string schedule = "first " + std::to_string(first);
      for (const auto& p : preemptions) {
        schedule += ", at step " + std::to_string(p.step) + (p.dies ? " dies, then " : " to ") + std::to_string(p.to);
      }
      ADD_FAILURE() << wrong << "\n  schedule: " << schedule;
    }
    return steps;
  };
  // Runs `preemptions`, then everything that has one more behind the last.
  const std::function<void(int)> explore = [&](int first) {
    const int steps = run(first);
    if (static_cast<int>(preemptions.size()) == scenario.bound) return;
    const int from = preemptions.empty() ? 1 : preemptions.back().step + 1;
    const bool died = std::any_of(preemptions.begin(), preemptions.end(), [](const auto& p) { return p.dies; });
    for (int i = from; i <= steps && !HasFailure(); ++i) {
      for (int to = 0; to < n && !HasFailure(); ++to) {
        for (const bool dies : {false, true}) {
          if (dies && (!scenario.deaths || died)) continue;
          preemptions.push_back({i, to, dies});
          explore(first);
          preemptions.pop_back();
        }
      }
    }
  };
  for (int first = 0; first < n; ++first) explore(first);
  EXPECT_GT(runs, 1000);
  RecordProperty("schedules", static_cast<int>(runs));
  std::printf("%s: %lld schedules\n", scenario.name.c_str(), static_cast<long long>(runs));
}

INSTANTIATE_TEST_SUITE_P(Scenarios, ScheduleTest, testing::ValuesIn(Scenarios()),
                         [](const testing::TestParamInfo<Scenario>& info) { return info.param.name; });

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
