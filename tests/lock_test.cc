// G10: the global lock and LockMode::kGlobalMutex.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "src/sync/fork.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::Await;
using test::Child;
using test::InChild;
using test::IsSound;
using test::Must;
using test::OwnedDict;
using test::SharedWords;
using test::SmallOptions;
using test::Value;

Options Locking(absl::Duration wait_limit = absl::InfiniteDuration()) {
  Options options = SmallOptions();
  options.lock_mode = LockMode::kGlobalMutex;
  options.wait_limit = wait_limit;
  return options;
}

constexpr absl::Duration kShort = absl::Milliseconds(10);

// Whether somebody else can get the lock now. From a thread of its own: the lock is recursive.
bool IsFree(const OwnedDict& owned) {
  bool free = false;
  std::thread([&] {
    Dict dict = Must(Dict::Open(owned.name.location(), Locking(kShort)));
    const absl::Status status = dict.Lock().status();
    free = status.ok();
    if (!free) {
      EXPECT_CODE(status, kDeadlineExceeded);
    }
  }).join();
  return free;
}

// Reads, adds one and writes back, which is exact only if nobody comes between.
void AddOne(Dict& dict) {
  auto guard = dict.Lock();
  ASSERT_OK(guard);
  const std::optional<std::string> now = Value(dict, "count");
  EXPECT_OK(dict.Set("count", std::to_string(now.has_value() ? std::stoi(*now) + 1 : 1)));
}

TEST(Lock, SerializesSectionsOfUnrelatedHandlesInManyProcesses) {
  constexpr int kProcesses = 4, kTurns = 500;
  OwnedDict owned(SmallOptions());
  std::vector<Child> children;
  for (int p = 0; p < kProcesses; ++p) {
    children.emplace_back([&, p] {
      Dict dict = Must(Dict::Open(owned.name.location(), p % 2 == 0 ? Locking() : SmallOptions()));
      for (int i = 0; i < kTurns; ++i) AddOne(dict);
    });
  }
  for (Child& child : children) child.Wait();
  EXPECT_EQ(Value(*owned, "count"), std::to_string(kProcesses * kTurns));
  EXPECT_TRUE(IsFree(owned));
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Lock, WithoutItTheSameSectionsAreNotExact) {
  // The counterpart of the test above: here an update must come between, or that test shows nothing.
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("count", "0"));
  const std::optional<std::string> now = Value(*owned, "count");
  InChild([&] { EXPECT_OK(owned->Set("count", "1")); });
  ASSERT_OK(owned->Set("count", std::to_string(std::stoi(*now) + 1)));
  EXPECT_EQ(Value(*owned, "count"), "1") << "two were made";
}

TEST(Lock, EveryWriteOfAHandleInTheModeWaitsForIt) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  auto guard = owned->Lock();
  ASSERT_OK(guard);
  InChild([&] {
    Dict dict = Must(Dict::Open(owned.name.location(), Locking(kShort)));
    EXPECT_CODE(dict.Set("k", "w"), kDeadlineExceeded);
    EXPECT_CODE(dict.SetParts("k", std::vector<std::string_view>(200, "w")), kDeadlineExceeded);
    EXPECT_CODE(dict.Insert("n", "w"), kDeadlineExceeded);
    EXPECT_CODE(dict.Replace("k", "w"), kDeadlineExceeded);
    EXPECT_CODE(dict.Erase("k"), kDeadlineExceeded);
    EXPECT_CODE(dict.Take("k"), kDeadlineExceeded);
    EXPECT_CODE(dict.FetchAdd("n", 1, 1), kDeadlineExceeded);
    EXPECT_CODE(dict.Touch("k", absl::Hours(1)), kDeadlineExceeded);
    EXPECT_CODE(dict.Clear(), kDeadlineExceeded);
    EXPECT_CODE(dict.Sweep(), kDeadlineExceeded);
    EXPECT_CODE(dict.Lock(), kDeadlineExceeded);
    EXPECT_CODE(dict.CompareAndSet("k", Version{}, "w"), kDeadlineExceeded);
    bool ran = false;
    EXPECT_CODE(dict.Update("k",
                            [&](const Entry*) {
                              ran = true;
                              return std::optional<std::string>("w");
                            }),
                kDeadlineExceeded);
    EXPECT_FALSE(ran);
    EXPECT_EQ(Value(dict, "k"), "v") << "reads go on";
    EXPECT_TRUE(Must(dict.Contains("k")));
    EXPECT_OK(dict.ForEach([](const Entry&) { return true; }));
    EXPECT_OK(dict.GetStats());
    EXPECT_EQ(dict.size(), 1u);
    Dict without = Must(Dict::Open(owned.name.location()));
    EXPECT_OK(without.Set("k", "by a handle without the mode"));
  });
  EXPECT_EQ(Value(*owned, "k"), "by a handle without the mode");
}

TEST(Lock, AWaiterGoesOnWhenItIsFreed) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  std::optional<Dict::LockGuard> guard = Must(owned->Lock());
  Child child([&] {
    Dict dict = Must(Dict::Open(owned.name.location(), Locking()));
    words[0] = 1;
    EXPECT_OK(dict.Set("k", "w"));
    words[0] = 2;
  });
  ASSERT_TRUE(Await([&] { return Must(owned->GetStats()).waits >= 1; }));
  test::SleepMicroseconds(5000);
  EXPECT_EQ(words[0], 1u);
  EXPECT_EQ(Value(*owned, "k"), std::nullopt);
  guard.reset();
  child.Wait();
  EXPECT_EQ(words[0], 2u);
}

TEST(Lock, IsRecursive) {
  OwnedDict owned(Locking());
  std::optional<Dict::LockGuard> outer = Must(owned->Lock());
  {
    Dict copy = *owned;
    std::optional<Dict::LockGuard> inner = Must(copy.Lock());
    EXPECT_OK(owned->Set("k", "v")) << "a write that takes it itself";
    EXPECT_OK(owned->Update("k", [](const Entry*) { return std::optional<std::string>("w"); }));
    EXPECT_FALSE(IsFree(owned));
  }
  EXPECT_FALSE(IsFree(owned)) << "one guard is left";
  EXPECT_OK(owned->Set("k", "x"));
  EXPECT_FALSE(IsFree(owned)) << "a write gives back only what it took";
  outer.reset();
  EXPECT_TRUE(IsFree(owned));
  EXPECT_OK(owned->Set("k", "y"));
  EXPECT_TRUE(IsFree(owned));
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Lock, IsRecursivePerThreadAlsoOverTwoHandles) {
  // One thread, two handles of the same dict: to wait for oneself would be for ever.
  OwnedDict owned(Locking(absl::Milliseconds(50)));
  Dict other = Must(Dict::Open(owned.name.location(), Locking(absl::Milliseconds(50))));
  auto guard = owned->Lock();
  ASSERT_OK(guard);
  const absl::Status status = other.Set("k", "v");
  EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status)) << status;
  EXPECT_FALSE(IsFree(owned));
}

TEST(Lock, AGuardThatWasMovedFreesOnce) {
  OwnedDict owned(SmallOptions());
  {
    Dict::LockGuard first = Must(owned->Lock());
    std::optional<Dict::LockGuard> second(std::move(first));
    EXPECT_FALSE(IsFree(owned));
    second.reset();
    EXPECT_TRUE(IsFree(owned));
    auto again = owned->Lock();
    EXPECT_OK(again);
  }
  EXPECT_TRUE(IsFree(owned));
}

TEST(Lock, AGuardOutlivesItsDict) {
  OwnedDict owned(SmallOptions());
  {
    std::optional<Dict> dict = Must(Dict::Open(owned.name.location()));
    std::optional<Dict::LockGuard> guard = Must(dict->Lock());
    dict->Close();
    dict.reset();
    EXPECT_FALSE(IsFree(owned));
    guard.reset();
    EXPECT_TRUE(IsFree(owned));
  }
}

TEST(Lock, AKilledHolderFreesIt) {
  OwnedDict owned(SmallOptions());
  for (int round = 0; round < 20; ++round) {
    SharedWords words;
    Child holder([&] {
      Dict dict = Must(Dict::Open(owned.name.location(), Locking()));
      auto outer = dict.Lock();
      auto inner = dict.Lock();
      EXPECT_OK(inner);
      EXPECT_OK(dict.Set("round", std::to_string(round)));
      words[0] = 1;
      for (;;) pause();
    });
    ASSERT_TRUE(Await([&] { return words[0] != 0; }));
    // One that waits already when the holder dies, and one that comes later.
    Child waiter([&] {
      words[1] = 1;
      EXPECT_OK(Must(Dict::Open(owned.name.location(), Locking())).Set("waiter", std::to_string(round)));
    });
    ASSERT_TRUE(Await([&] { return words[1] != 0; }));
    holder.Kill();
    waiter.Wait();
    EXPECT_OK(owned->Lock());
    EXPECT_EQ(Value(*owned, "round"), std::to_string(round)) << "what the section did is there";
    EXPECT_EQ(Value(*owned, "waiter"), std::to_string(round));
  }
  EXPECT_GE(Must(owned->GetStats()).recoveries, 20u);
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Lock, KilledAnywhereInSectionsItIsFree) {
  OwnedDict owned(SmallOptions());
  for (int round = 0; round < 100; ++round) {
    SharedWords words;
    std::vector<Child> children;
    for (int i = 0; i < 2; ++i) {
      children.emplace_back([&] {
        Dict dict = Must(Dict::Open(owned.name.location(), Locking()));
        for (;;) {
          AddOne(dict);
          ++words[0];
        }
      });
    }
    ASSERT_TRUE(Await([&] { return words[0] > static_cast<uint64_t>(round); }));
    for (Child& child : children) child.Kill();
    ASSERT_OK(owned->Lock());
    ASSERT_OK(owned->Recover());
    ASSERT_TRUE(IsSound(*owned)) << "round " << round;
  }
}

TEST(Lock, AThreadThatEndsWithItFreesIt) {
  OwnedDict owned(SmallOptions());
  std::thread([&] {
    // Never destroyed: as if the thread had been cancelled.
    alignas(Dict::LockGuard) static unsigned char place[sizeof(Dict::LockGuard)];
    new (place) Dict::LockGuard(Must(owned->Lock()));
  }).join();
  EXPECT_TRUE(IsFree(owned));
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Lock, AForkedChildHasNotItsParentsLock) {
  OwnedDict owned(Locking());
  std::optional<Dict::LockGuard> guard = Must(owned->Lock());
  InChild([&] {
    Dict dict = Must(Dict::Open(owned.name.location(), Locking(kShort)));
    EXPECT_CODE(dict.Set("k", "v"), kDeadlineExceeded);
  });
  InChild([&] {
    guard.reset();  // the child's copy, as when it leaves the scope
    _exit(0);
  });
  EXPECT_FALSE(IsFree(owned)) << "a child that leaves the scope frees nothing of its parent";
  InChild([&] {
    Options options = SmallOptions();
    Dict dict = Must(Dict::Open(owned.name.location(), options));
    EXPECT_OK(owned->Recover());
    std::thread([&] { EXPECT_OK(dict.Set("child", "c")); }).join();
  });
  EXPECT_FALSE(IsFree(owned));
  EXPECT_OK(owned->Set("k", "v")) << "the parent goes on";
  guard.reset();
  EXPECT_TRUE(IsFree(owned));
}

TEST(Lock, AForkedChildThatWritesBeforeItLeavesTheScope) {
  OwnedDict owned(SmallOptions());
  std::optional<Dict::LockGuard> guard = Must(owned->Lock());
  InChild([&] {
    EXPECT_OK(owned->Set("child", "c"));  // gets a writer of its own, and forgets the inherited one
    guard.reset();
  });
  EXPECT_FALSE(IsFree(owned));
  EXPECT_EQ(Value(*owned, "child"), "c");
  guard.reset();
  EXPECT_TRUE(IsFree(owned));
}

TEST(Lock, ThreadsExcludeEachOther) {
  constexpr int kThreads = 4, kTurns = 500;
  OwnedDict owned(Locking());
  int plain = 0;  // no atomic: the lock must order the accesses
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTurns; ++i) {
        auto guard = owned->Lock();
        ASSERT_OK(guard);
        ++plain;
        AddOne(*owned);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(plain, kThreads * kTurns);
  EXPECT_EQ(Value(*owned, "count"), std::to_string(kThreads * kTurns));
}

// ---- Options::blocking ------------------------------------------------------------------------------------

// A process that stands still (SIGSTOP) and holds the lock.
struct StoppedHolder {
  explicit StoppedHolder(OwnedDict& owned)
      : child([&] {
          {
            auto guard = owned->Lock();
            EXPECT_OK(guard);
            EXPECT_OK(owned->Set("holder", "h"));
            words[0] = 1;
            EXPECT_TRUE(Await([&] { return words[0] == 2; }));
          }
          words[0] = 3;
        }) {
    EXPECT_TRUE(Await([&] { return words[0] == 1; }));
    child.Stop();
  }
  // Goes on, and ends.
  void Continue() {
    words[0] = 2;
    child.Continue();
  }
  SharedWords words;
  Child child;
};

Dict WithBlocking(const OwnedDict& owned, Blocking& blocking, absl::Duration wait_limit = absl::InfiniteDuration()) {
  Options options = Locking(wait_limit);
  options.blocking = &blocking;
  return Must(Dict::Open(owned.name.location(), options));
}

TEST(Blocking, GivesUpEveryWaitForAStoppedHolder) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  StoppedHolder holder(owned);
  test::CountedBlocking blocking(3);
  Dict dict = WithBlocking(owned, blocking);
  const auto gives_up = [&](const auto& result) {
    EXPECT_CODE(result, kCancelled);
    EXPECT_EQ(blocking.Sleeps(), 3);
  };
  const std::string_view key = "k";
  gives_up(dict.Set("k", "w"));
  gives_up(dict.Set("k", std::string(500, 'w')));
  gives_up(dict.SetParts("k", std::vector<std::string_view>(500, "w")));
  gives_up(dict.SetMany(std::vector<std::pair<std::string_view, std::string_view>>{{"k", "w"}, {"n", "w"}}));
  gives_up(dict.Insert("n", "w"));
  gives_up(dict.Replace("k", "w"));
  gives_up(dict.Erase("k"));
  gives_up(dict.EraseMany({&key, 1}));
  gives_up(dict.Take("k"));
  gives_up(dict.CompareAndSet("k", Version{}, "w"));
  gives_up(dict.CompareAndErase("k", Version{}));
  gives_up(dict.FetchAdd("n", 1, 1));
  gives_up(dict.Update("k", [](const Entry*) { return std::optional<std::string>("w"); }));
  gives_up(dict.Touch("k", absl::Hours(1)));
  gives_up(dict.Clear());
  gives_up(dict.Sweep());
  gives_up(dict.Lock());
  EXPECT_EQ(Value(dict, "k"), "v");
  EXPECT_EQ(dict.size(), 2u);
  EXPECT_EQ(blocking.Sleeps(), 0) << "reads wait for nobody";
  holder.Continue();
  holder.child.Wait();
  EXPECT_OK(dict.Set("k", "w"));
  EXPECT_TRUE(IsFree(owned));
  EXPECT_EQ(blocking.Sleeps(), 0) << "nothing is in the way";
  EXPECT_EQ(Value(dict, "holder"), "h");
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Blocking, EndsWithTheWait) {
  OwnedDict owned(SmallOptions());
  StoppedHolder holder(owned);
  // Sleeps itself, or not at all.
  class Goes : public Blocking {
   public:
    explicit Goes(StoppedHolder& holder) : holder_(holder) {}
    bool Sleep(absl::FunctionRef<void()> sleep) override {
      if (++sleeps == 5) holder_.Continue();
      if (sleeps % 2 == 0) sleep();
      return true;
    }
    int sleeps = 0;

   private:
    StoppedHolder& holder_;
  } blocking(holder);
  Dict dict = WithBlocking(owned, blocking);
  EXPECT_OK(dict.Set("k", "v"));
  EXPECT_GE(blocking.sleeps, 5);
  holder.child.Wait();
  EXPECT_EQ(Value(*owned, "k"), "v");
  EXPECT_EQ(holder.words[0], 3u);
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Blocking, TheWaitLimitHolds) {
  OwnedDict owned(SmallOptions());
  StoppedHolder holder(owned);
  test::CountedBlocking blocking;
  Dict dict = WithBlocking(owned, blocking, kShort);
  EXPECT_CODE(dict.Set("k", "v"), kDeadlineExceeded);
  EXPECT_GE(blocking.Sleeps(), 1);
  holder.child.Kill();
  EXPECT_OK(dict.Set("k", "v"));
  EXPECT_EQ(blocking.Sleeps(), 0) << "the dead are not waited for";
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Blocking, IsOfTheHandle) {
  OwnedDict owned(SmallOptions());
  StoppedHolder holder(owned);
  test::CountedBlocking first_gives_up(1), second_gives_up(2);
  Dict first = WithBlocking(owned, first_gives_up), second = WithBlocking(owned, second_gives_up);
  Dict without = Must(Dict::Open(owned.name.location(), Locking(kShort)));
  for (int round = 0; round < 3; ++round) {
    EXPECT_CODE(first.Set("k", "v"), kCancelled);
    EXPECT_CODE(second.Lock(), kCancelled);
    EXPECT_CODE(without.Set("k", "v"), kDeadlineExceeded);
    std::thread([&] { EXPECT_CODE(first.Set("k", "v"), kCancelled); }).join();
    EXPECT_EQ(first_gives_up.Sleeps(), 2);
    EXPECT_EQ(second_gives_up.Sleeps(), 2);
  }
}

// A thread that has its writers does not take the process's locks again: somebody may hold them who waits for it (in a
// fork's handlers), or for long.
TEST(Threads, ThatWriteToTwoDictsInTurnTakeNoLockOfTheProcess) {
  OwnedDict first(SmallOptions()), second(SmallOptions());
  InChild([&] {
    EXPECT_OK(first->Set("k", "v"));
    EXPECT_OK(second->Set("k", "v"));
    std::lock_guard<std::mutex> held(internal::ForkRegistryMutex());
    alarm(60);  // it would wait for itself
    for (int i = 0; i < 10; ++i) {
      EXPECT_OK(first->Set("k", "v"));
      EXPECT_OK(second->Set("k", "v"));
    }
  });
}

}  // namespace
}  // namespace segdict
