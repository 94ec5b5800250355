// Every operation, stopped and then killed at every one of its stores to the segment.
//
// For each case a table is set up, a forked process runs the operation and stops itself (SIGSTOP) right after its i-th
// store, for every i until the operation ends. While it is stopped, at each i:
//   G1  every key is read; what is had is the old or the new state, never anything else, and reading ends;
//   G3  writers of other keys of other homes go on; one of the key in flight goes on or meets its deadline; one that
//   gives its wait up leaves nothing.
// Then the process is killed (SIGKILL), and somebody recovers:
//   G3  the key in flight is old or new, everything else as it was, size and arena exact (Verify), no lock left, every
//   key can be
//       written and erased again.
// The recovery itself dies at each of its stores in turn, for the cases at every `stride`-th store; then another one
// finishes it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <set>

#include "tests/table_fixture.h"
#include "tests/testing.h"

namespace segdict::internal {
namespace {

// Stops (or kills) the process after the n-th change of the segment.
class StopAfter : public AccessHook {
 public:
  StopAfter(int n, int signal) : left_(n), signal_(signal) {}
  void After(const Access& access) override {
    if (!access.ChangesSegment() || --left_ != 0) return;
    raise(signal_);
  }

 private:
  int left_;
  int signal_;
};

struct Case {
  std::string name;
  TableShape shape;
  // Brings an empty table into the state before the operation.
  std::function<void(TableFixture&, Writer&)> set_up;
  // The operation, run in another process.
  std::function<void(TableFixture&, Writer&)> run;
  // The keys that it may change.
  std::function<std::vector<std::string>(TableFixture&)> keys;
  int recovery_stride = 1;
};

// Filler values: inline, in a block, longer than a page.
std::string Inline(char c) { return std::string(20, c); }
std::string Block(char c) { return std::string(300, c); }
std::string Chain(char c) { return std::string(3 * 4096 - 100, c); }

class CrashTest : public testing::TestWithParam<Case> {};

// The state of one key: its value, or that it is not there.
std::optional<ModelValue> StateOf(const Model& model, const std::string& key) {
  const auto at = model.find(key);
  if (at == model.end()) return std::nullopt;
  return at->second;
}

// Each key in flight is as in one of the two models, everything else as in both.
void ExpectOldOrNew(const Model& now, const Model& old_model, const Model& new_model, const std::string& where) {
  std::set<std::string> keys;
  for (const Model* m : {&now, &old_model, &new_model}) {
    for (const auto& [key, value] : *m) keys.insert(key);
  }
  for (const std::string& key : keys) {
    const auto state = StateOf(now, key);
    EXPECT_TRUE(state == StateOf(old_model, key) || state == StateOf(new_model, key)) << where << ": key " << key;
  }
}

void ExpectSound(const TableFixture& fixture, const std::string& where) {
  const VerifyReport report = fixture.Verify();
  EXPECT_EQ(report.in_flight, 0u) << where;
  EXPECT_TRUE(report.ok()) << where << ": " << (report.errors.empty() ? "" : report.errors[0]);
  EXPECT_EQ(report.entries, const_cast<TableFixture&>(fixture).table().Size()) << where;
}

int WaitFor(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  return status;
}

// Runs `body` in a child that stops or dies after its n-th store; false if it ended before.
template <class Body>
pid_t Start(int n, int signal, Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    StopAfter hook(n, signal);
    body(hook);
    _exit(0);
  }
  return child;
}

class CrashRun {
 public:
  explicit CrashRun(const Case& c) : case_(c) {}

  void All() {
    {
      TableFixture fixture(case_.shape);
      auto w = fixture.Claim();
      case_.set_up(fixture, *w);
      old_ = fixture.Contents();
      case_.run(fixture, *w);
      new_ = fixture.Contents();
      ExpectSound(fixture, "without a crash");
    }
    for (int i = 1; !testing::Test::HasFailure(); ++i) {
      if (!At(i)) {
        testing::Test::RecordProperty("stores", i - 1);
        EXPECT_GT(i, 3) << "the operation stored next to nothing: the test is wrong";
        break;
      }
      // The same with a recovery that dies at each of its stores.
      if (i % case_.recovery_stride != 0) continue;
      for (int j = 1; !testing::Test::HasFailure() && WithRecoveryDying(i, j); ++j) {
      }
    }
  }

 private:
  std::unique_ptr<TableFixture> Prepared() {
    auto fixture = std::make_unique<TableFixture>(case_.shape);
    auto w = fixture->Claim();
    case_.set_up(*fixture, *w);
    ReleaseWriter<Mem>(std::move(w));
    return fixture;
  }

  pid_t StartOperation(TableFixture& fixture, int i, int signal) {
    return Start(i, signal, [&](StopAfter& hook) {
      auto w = fixture.Claim();
      HookedMemory::hook = &hook;
      case_.run(fixture, *w);
      HookedMemory::hook = nullptr;
    });
  }

  // Stopped after store i, then killed. False: the operation has fewer stores.
  bool At(int i) {
    const std::string where = case_.name + " at store " + std::to_string(i);
    auto fixture = Prepared();
    const pid_t child = StartOperation(*fixture, i, SIGSTOP);
    const int status = WaitFor(child);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      ExpectSound(*fixture, where);
      return false;
    }
    EXPECT_TRUE(WIFSTOPPED(status)) << where;
    ReadAll(*fixture, where);
    WriteElsewhere(*fixture, where);
    kill(child, SIGKILL);
    WaitFor(child);
    ReadAll(*fixture, where + ", killed");
    // Whoever writes next recovers; no call of Recover is needed.
    auto w = fixture->Claim();
    EXPECT_TRUE(fixture->table().recovery().RecoverDead().ok());
    Check(*fixture, *w, where);
    return !testing::Test::HasFailure();
  }

  bool WithRecoveryDying(int i, int j) {
    const std::string where =
        case_.name + " killed at store " + std::to_string(i) + ", recovery at store " + std::to_string(j);
    auto fixture = Prepared();
    WaitFor(StartOperation(*fixture, i, SIGKILL));
    const pid_t recoverer = Start(j, SIGKILL, [&](StopAfter& hook) {
      HookedMemory::hook = &hook;
      (void)fixture->table().recovery().RecoverDead();
    });
    const bool died = WIFSIGNALED(WaitFor(recoverer));
    ReadAll(*fixture, where);
    auto w = fixture->Claim();
    EXPECT_TRUE(fixture->table().recovery().RecoverDead().ok());
    Check(*fixture, *w, where);
    return died;
  }

  void ReadAll(const TableFixture& fixture, const std::string& where) {
    std::string value;
    for (const std::string& key : case_.keys(const_cast<TableFixture&>(fixture))) {
      const absl::Status status = fixture.Get(key, &value);
      EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << where << ": " << status;
      std::optional<std::string> old_value, new_value, now;
      if (auto s = StateOf(old_, key)) old_value = s->value;
      if (auto s = StateOf(new_, key)) new_value = s->value;
      if (status.ok()) now = value;
      EXPECT_TRUE(now == old_value || now == new_value) << where << ": key " << key;
    }
    ExpectOldOrNew(fixture.Contents(), old_, new_, where);
  }

  // While the operation is stopped: other homes' keys can be inserted, overwritten and erased (in a table of one group
  // there are none).
  void WriteElsewhere(TableFixture& fixture, const std::string& where) {
    auto w = fixture.Claim(1);
    std::set<uint64_t> homes;
    for (const std::string& key : case_.keys(fixture)) homes.insert(fixture.HomeOf(key));
    for (const auto& [key, value] : old_) homes.insert(fixture.HomeOf(key));
    for (uint64_t home = 0; home < case_.shape.groups; ++home) {
      if (homes.contains(home)) continue;
      const std::string key = fixture.KeyOfHome(home, 7);
      w->deadline = Recovery<Mem>::MonotonicNow() + 2'000'000'000;
      EXPECT_TRUE(fixture.Set(*w, key, Inline('e')).ok()) << where;
      EXPECT_TRUE(fixture.Set(*w, key, Inline('f')).ok()) << where;
      EXPECT_TRUE(fixture.Erase(*w, key).ok()) << where;
      break;
    }
    for (const std::string& key : case_.keys(fixture)) {
      // A writer of the key in flight is held up at the most; it changes nothing here.
      w->deadline = Recovery<Mem>::MonotonicNow() + 1'000'000;
      const absl::Status status = fixture.table().Mutate(
          *w, key, fixture.HashOf(key), false, true, [](const Current&) { return Decision::Return(absl::OkStatus()); });
      EXPECT_TRUE(status.ok() || absl::IsDeadlineExceeded(status)) << where << ": " << status;
      GiveUpBeside(fixture, *w, key, where);
      break;
    }
    ReleaseWriter<Mem>(std::move(w));
  }

  // Inserts and erases another key of the home of `key`, or gives up: then nothing of it is left.
  void GiveUpBeside(TableFixture& fixture, Writer& w, const std::string& key, const std::string& where) {
    test::CountedBlocking blocking(1);
    w.deadline = kNoDeadline;
    w.blocking = &blocking;
    const std::string beside = fixture.KeyOfHome(fixture.HomeOf(key), 40);
    const absl::Status set = fixture.Set(w, beside, Block('g'));
    if (set.ok()) {
      EXPECT_TRUE(fixture.Erase(w, beside).ok()) << where;
    } else {
      EXPECT_TRUE(absl::IsCancelled(set)) << where << ": " << set;
    }
    EXPECT_EQ(blocking.Sleeps(), set.ok() ? 0 : 1) << where;
    EXPECT_EQ(w.record->op, OpWord{}.Encode()) << where;
    EXPECT_EQ(w.record->home, 0u) << where;
    EXPECT_EQ(w.record->page, 0u) << where;
    EXPECT_TRUE(absl::IsNotFound(fixture.Get(beside, &w.scratch))) << where;
    w.blocking = nullptr;
  }

  void Check(TableFixture& fixture, Writer& w, const std::string& where) {
    ExpectSound(fixture, where);
    ExpectOldOrNew(fixture.Contents(), old_, new_, where);
    // No lock is left, and everything can still be done.
    w.deadline = Recovery<Mem>::MonotonicNow() + 10'000'000'000;
    for (const auto& [key, value] : fixture.Contents()) {
      EXPECT_TRUE(fixture.Set(w, key, Inline('z')).ok()) << where;
      EXPECT_TRUE(fixture.Erase(w, key).ok()) << where;
    }
    for (uint64_t home = 0; home < case_.shape.groups; ++home) {
      const std::string key = fixture.KeyOfHome(home, 3);
      EXPECT_TRUE(fixture.Set(w, key, Block('y')).ok()) << where;
      EXPECT_TRUE(fixture.Erase(w, key).ok()) << where;
    }
    EXPECT_TRUE(fixture.table().Clear(w).ok()) << where;  // what has expired, too
    ExpectSound(fixture, where + ", afterwards");
    EXPECT_EQ(fixture.table().Size(), 0u) << where;
    const auto stats = Inspector<Mem>(fixture.table()).CountStats();
    for (const auto& c : stats.arena) EXPECT_EQ(c.blocks_used, 0u) << where << ": a block leaked";
  }

  const Case& case_;
  Model old_, new_;
};

TEST_P(CrashTest, EveryStore) { CrashRun(GetParam()).All(); }

// The last slot of all is in the hands of a stopped writer: others wait for it as long as there is hope, or give up.
TEST(Waiting, ForTheLastSlotInOtherHands) {
  TableFixture fixture({.groups = 3});
  auto w = fixture.Claim();
  for (int i = 0; i < 44; ++i) FIXTURE_CHECK(fixture.Set(*w, fixture.KeyOfHome(0, i), Inline('a')).ok());
  // For every store of an insert until it holds the slot.
  bool waited = false;
  for (int i = 1; !waited && !HasFailure(); ++i) {
    const pid_t child = Start(i, SIGSTOP, [&](StopAfter& hook) {
      auto own = fixture.Claim(1);
      HookedMemory::hook = &hook;
      FIXTURE_CHECK(fixture.Set(*own, fixture.KeyOfHome(1, 0), Inline('b')).ok());
    });
    ASSERT_TRUE(WIFSTOPPED(WaitFor(child))) << "it ended, and nobody ever waited";
    test::CountedBlocking gives_up(2), waits;
    w->blocking = &gives_up;
    const absl::Status status = fixture.Set(*w, fixture.KeyOfHome(2, 0), Inline('c'));
    if (status.ok()) {
      EXPECT_TRUE(fixture.Erase(*w, fixture.KeyOfHome(2, 0)).ok());
    } else {
      waited = true;
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_EQ(gives_up.Sleeps(), 2);
      w->blocking = &waits;
      const absl::Status full = fixture.Set(*w, fixture.KeyOfHome(2, 0), Inline('c'));
      EXPECT_TRUE(absl::IsResourceExhausted(full)) << full << ": not for ever";
      EXPECT_GT(waits.Sleeps(), 10);
    }
    kill(child, SIGKILL);
    WaitFor(child);
    w->blocking = nullptr;
    EXPECT_TRUE(fixture.table().recovery().RecoverDead().ok());
    ExpectSound(fixture, std::to_string(i));
    EXPECT_EQ(fixture.table().Size(), 44u) << i;
  }
}

// Its owner is dead, and another recovers it at this moment.
TEST(Waiting, ForAnotherThatRecovers) {
  class BeingRecovered : public Liveness {
   public:
    struct NoToken : Token {};
    absl::StatusOr<bool> IsAlive(uint32_t record) override { return record != 1; }
    absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t) override { return std::make_unique<NoToken>(); }
    absl::StatusOr<bool> TryAdopt(uint32_t, absl::FunctionRef<void()>) override { return false; }
  };
  TableFixture fixture({}, std::make_unique<BeingRecovered>());
  auto w = fixture.Claim(0), dead = fixture.Claim(1);
  ASSERT_EQ(dead->index, 1u);
  Mem::Store(dead->record->thread, 1);  // another thread's
  ASSERT_TRUE(fixture.table().LockGlobal(*dead).ok());
  test::CountedBlocking gives_up(3);
  w->blocking = &gives_up;
  EXPECT_TRUE(absl::IsCancelled(fixture.table().LockGlobal(*w)));
  EXPECT_EQ(gives_up.Sleeps(), 3);
  EXPECT_EQ(w->global_depth, 0u);
  fixture.table().UnlockGlobal(*dead);
  EXPECT_TRUE(fixture.table().LockGlobal(*w).ok());
  fixture.table().UnlockGlobal(*w);
}

// ---- The cases --------------------------------------------------------------------------------------------

std::vector<std::string> OneKey(TableFixture& f) { return {f.KeyOfHome(0, 0)}; }

// Fills home group 0 with keys of home 0; `more` of them are displaced, with `value` each.
void Crowd(TableFixture& f, Writer& w, int count, const std::string& value) {
  for (int i = 0; i < count; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), value).ok());
}

Case Overwrites(const std::string& name, std::string from, std::string to, TableShape shape = {}) {
  return {.name = "Overwrite" + name,
          .shape = shape,
          .set_up = [from](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), from).ok()); },
          .run = [to](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), to).ok()); },
          .keys = OneKey};
}

Case Inserts(const std::string& name, std::string value, int crowd, TableShape shape = {}) {
  return {
      .name = "Insert" + name,
      .shape = shape,
      .set_up = [crowd](TableFixture& f, Writer& w) { Crowd(f, w, crowd, Inline('c')); },
      .run = [crowd, value](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, crowd), value).ok()); },
      .keys = [crowd](TableFixture& f) { return std::vector<std::string>{f.KeyOfHome(0, crowd)}; }};
}

// Erases key number `which` of `crowd` keys of one home.
Case Erases(const std::string& name, std::string value, int crowd, int which, TableShape shape = {}) {
  return {.name = "Erase" + name,
          .shape = shape,
          .set_up = [crowd, value](TableFixture& f, Writer& w) { Crowd(f, w, crowd, value); },
          .run = [which](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Erase(w, f.KeyOfHome(0, which)).ok()); },
          .keys =
              [crowd](TableFixture& f) {
                std::vector<std::string> keys;
                for (int i = 0; i < crowd; ++i) keys.push_back(f.KeyOfHome(0, i));
                return keys;
              }};
}

std::vector<Case> Cases() {
  const TableShape small{.groups = 1, .pages = 6};
  const TableShape narrow{.groups = 3, .slot_size = 32};
  const TableShape wide{.groups = 3, .slot_size = 128};
  const TableShape ordered{.groups = 3, .ordered = true};
  std::vector<Case> cases = {
      Overwrites("InlineByInline", Inline('a'), Inline('b')),
      Overwrites("InlineByBlock", Inline('a'), Block('b')),
      Overwrites("BlockByInline", Block('a'), Inline('b')),
      Overwrites("BlockByBlock", Block('a'), Block('b')),
      Overwrites("BlockByChain", Block('a'), Chain('b')),
      Overwrites("ChainByChain", Chain('a'), Chain('b')),
      Overwrites("ChainByInline", Chain('a'), Inline('b')),
      Overwrites("Narrow", std::string(5, 'a'), Block('b'), narrow),
      Overwrites("Wide", std::string(100, 'a'), std::string(90, 'b'), wide),
      Overwrites("Ordered", Inline('a'), Block('b'), ordered),
      Overwrites("OrderedInlineByInline", Inline('a'), Inline('b'), ordered),
      Inserts("Inline", Inline('n'), 0),
      Inserts("Block", Block('n'), 3),
      Inserts("Chain", Chain('n'), 0),
      Inserts("Displaced", Inline('n'), 15),
      Inserts("DisplacedBlock", Block('n'), 16),
      Inserts("OneGroup", Block('n'), 4, small),
      Inserts("Ordered", Inline('n'), 2, ordered),
      Erases("Inline", Inline('a'), 1, 0),
      Erases("Block", Block('a'), 1, 0, small),
      Erases("Ordered", Inline('a'), 17, 3, ordered),
      Erases("Chain", Chain('a'), 1, 0),
      // A key at home goes; a displaced one is pulled home into its place.
      Erases("ThenPullHome", Inline('a'), 17, 3),
      Erases("ThenPullBlockHome", Block('a'), 17, 3),
      Erases("Displaced", Block('a'), 17, 16),
  };
  cases.push_back(
      {.name = "FetchAdd",
       .shape = {},
       .set_up = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), "12345678").ok()); },
       .run =
           [](TableFixture& f, Writer& w) {
             std::string next;
             FIXTURE_CHECK(f.table()
                               .Mutate(w, f.KeyOfHome(0, 0), f.HashOf(f.KeyOfHome(0, 0)), true, false,
                                       [&](const Current& now) {
                                         next = std::string(now.value);
                                         ++next[0];
                                         Decision d = Decision::Store(next, 2, kNever);
                                         d.if_live = true;
                                         return d;
                                       })
                               .ok());
           },
       .keys = OneKey});
  cases.push_back({.name = "Touch",
                   .shape = {},
                   .set_up = [](TableFixture& f,
                                Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Block('a'), 5'000'000).ok()); },
                   .run =
                       [](TableFixture& f, Writer& w) {
                         FIXTURE_CHECK(f.table()
                                           .Mutate(w, f.KeyOfHome(0, 0), f.HashOf(f.KeyOfHome(0, 0)), true, false,
                                                   [&](const Current& now) {
                                                     Decision d = Decision::Store(now.value, now.type, 9'000'000);
                                                     d.if_live = true;
                                                     d.keep_value = true;
                                                     return d;
                                                   })
                                           .ok());
                       },
                   .keys = OneKey});
  cases.push_back(
      {.name = "OverwriteExpired",
       .shape = ordered,
       .set_up =
           [](TableFixture& f, Writer& w) {
             FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Block('a'), 2'000'000).ok());
             f.clock().now = 3'000'000;
           },
       .run = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Block('b')).ok()); },
       .keys = OneKey});
  cases.push_back(
      {.name = "InsertReclaimsExpired",
       .shape = {},
       .set_up =
           [](TableFixture& f, Writer& w) {
             for (int i = 0; i < 15; ++i) {
               FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), Block('a'), i == 4 ? 2'000'000 : kNever).ok());
             }
             f.clock().now = 3'000'000;
           },
       .run = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 20), Inline('n')).ok()); },
       .keys =
           [](TableFixture& f) {
             return std::vector<std::string>{f.KeyOfHome(0, 20), f.KeyOfHome(0, 4)};
           }});
  cases.push_back({.name = "Sweep",
                   .shape = small,
                   .set_up =
                       [](TableFixture& f, Writer& w) {
                         for (int i = 0; i < 3; ++i)
                           FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), Block('a'), 2'000'000).ok());
                         f.clock().now = 3'000'000;
                       },
                   .run = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.table().Sweep(w, 15).ok()); },
                   .keys =
                       [](TableFixture& f) {
                         return std::vector<std::string>{f.KeyOfHome(0, 0), f.KeyOfHome(0, 1)};
                       },
                   .recovery_stride = 5});
  cases.push_back({.name = "Clear",
                   .shape = {},
                   .set_up = [](TableFixture& f, Writer& w) { Crowd(f, w, 17, Inline('a')); },
                   .run = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.table().Clear(w).ok()); },
                   .keys = OneKey,
                   .recovery_stride = 40});
  cases.push_back(
      {.name = "LockedSection",
       .shape = small,
       .set_up = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Inline('a')).ok()); },
       .run =
           [](TableFixture& f, Writer& w) {
             FIXTURE_CHECK(f.table().LockGlobal(w).ok());
             FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Inline('b')).ok());
             f.table().UnlockGlobal(w);
           },
       .keys = OneKey});
  // All pages belong to one class and are nearly empty: another class needs one of them, whose blocks are evacuated
  // first.
  cases.push_back({.name = "SetEvacuatesAPage",
                   .shape = {.groups = 5, .pages = 3},
                   .set_up =
                       [](TableFixture& f, Writer& w) {
                         for (int i = 0; i < 36; ++i)
                           FIXTURE_CHECK(f.Set(w, f.KeyOfHome(static_cast<uint64_t>(i % 5), i / 5), Block('a')).ok());
                         for (int i = 0; i < 36; ++i) {
                           if (i % 12 >= 2)
                             FIXTURE_CHECK(f.Erase(w, f.KeyOfHome(static_cast<uint64_t>(i % 5), i / 5)).ok());
                         }
                       },
                   .run = [](TableFixture& f,
                             Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(1, 9), std::string(2000, 'n')).ok()); },
                   .keys =
                       [](TableFixture& f) {
                         return std::vector<std::string>{f.KeyOfHome(1, 9), f.KeyOfHome(0, 0)};
                       },
                   .recovery_stride = 3});
  // A writer that comes and goes.
  cases.push_back(
      {.name = "ClaimAndRelease",
       .shape = small,
       .set_up = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Inline('a')).ok()); },
       .run =
           [](TableFixture& f, Writer&) {
             auto another = f.Claim(2);
             FIXTURE_CHECK(f.Set(*another, f.KeyOfHome(0, 0), Inline('b')).ok());
             ReleaseWriter<Mem>(std::move(another));
           },
       .keys = OneKey});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, CrashTest, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

}  // namespace
}  // namespace segdict::internal
