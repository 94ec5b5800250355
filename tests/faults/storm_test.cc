// Storms: signals, clocks, more threads than records, more processes than processors. Each with a count at the end that
// has to be exact.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::Await;
using test::Child;
using test::IsSound;
using test::ManualClock;
using test::Must;
using test::OwnedDict;
using test::ScopedName;
using test::SharedWords;
using test::SmallOptions;
using test::Value;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();

// SEGDICT_FAULTS_FULL: the long form.
int Times(int short_form) { return std::getenv("SEGDICT_FAULTS_FULL") != nullptr ? 20 * short_form : short_form; }

// ---- Signals ----------------------------------------------------------------------------------------------

std::atomic<uint64_t> signals_taken{0};

// From here on this process takes a signal every 200 microseconds, and whatever can be interrupted is.
void StartSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { signals_taken.fetch_add(1, std::memory_order_relaxed); };
  ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);  // without SA_RESTART
  const itimerval every{.it_interval = {.tv_sec = 0, .tv_usec = 200}, .it_value = {.tv_sec = 0, .tv_usec = 200}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &every, nullptr), 0);
}
void StopSignals() {
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
}

TEST(Signals, InterruptEverythingAndNothingIsLost) {
  constexpr int kProcesses = 4;
  const int turns = Times(1500);
  for (const LockMode mode : {LockMode::kPerSlot, LockMode::kGlobalMutex}) {
    OwnedDict owned(SmallOptions());
    std::vector<Child> children;
    for (int p = 0; p < kProcesses; ++p) {
      children.emplace_back([&] {
        StartSignals();
        Options options;
        options.lock_mode = mode;
        for (int i = 0; i < turns; ++i) {
          Dict dict = Must(Dict::Open(owned.name.location(), options));  // a new writer each time, and its end
          for (int j = 0; j < 10; ++j) {
            EXPECT_OK(dict.FetchAdd("count", 1, 0));
            EXPECT_OK(dict.Set("block", test::Bytes(500, static_cast<uint64_t>(j))));
            EXPECT_TRUE(Must(dict.Contains("count")));
          }
          if (i % 50 == 0) {
            auto guard = Must(dict.Lock());
            const int64_t before = std::stoll(Value(dict, "section").value_or("0"));
            EXPECT_OK(dict.Set("section", std::to_string(before + 1)));
          }
          if (i % 100 == 0) {
            EXPECT_OK(dict.Recover());
            EXPECT_OK(dict.Verify());
            EXPECT_OK(Dict::List());
            ScopedName own;
            Dict made = Must(Dict::Create(own.location(), SmallOptions()));
            EXPECT_OK(made.Set("k", "v"));
          }
        }
        StopSignals();
        EXPECT_GT(signals_taken, 0u);
      });
    }
    for (Child& child : children) child.Wait();
    EXPECT_EQ(Must(owned->FetchAdd("count", 0)), int64_t{kProcesses} * turns * 10);
    EXPECT_EQ(Value(*owned, "section"), std::to_string(kProcesses * ((turns + 49) / 50)));
    EXPECT_TRUE(IsSound(*owned));
    EXPECT_EQ(Must(owned->GetStats()).writers, 1u) << "this one's";
  }
}

// Reserving memory takes longer than the time from one signal to the next, and on many kernels it is interrupted.
TEST(Signals, DoNotKeepALargeDictFromBeingMade) {
  test::InChild([] {
    StartSignals();
    Options options = SmallOptions();
    options.value_bytes = 256 << 20;
    OwnedDict owned(options);
    StopSignals();
    EXPECT_GT(signals_taken, 0u);
    EXPECT_OK(owned->Set("k", "v"));
  });
}

// ---- Clocks -----------------------------------------------------------------------------------------------

// Whatever the clock says, each answer is one that some time between the steps could give, and nothing else is touched.
TEST(Clocks, StepAndJump) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  ManualClock clock;
  Options options = SmallOptions();
  options.clock = &clock;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("forever", "f"));
  const int64_t times[] = {0, 1, 1'000'000'000, kMax / 2, kMax - 1, kMax, kMax - 1'000'000'000, 12345};
  const absl::Duration ttls[] = {absl::ZeroDuration(),    absl::Nanoseconds(1),    absl::Seconds(1),
                                 absl::Hours(24 * 36500), absl::Nanoseconds(kMax), -absl::InfiniteDuration(),
                                 absl::Seconds(kMax),     absl::Nanoseconds(kMin)};
  for (int turn = 0; turn < Times(20'000); ++turn) {
    const int64_t set_at = times[random() % std::size(times)];
    const absl::Duration ttl = ttls[random() % std::size(ttls)];
    clock.Set(set_at);
    ASSERT_OK(owned->Set("k", "v", {.ttl = ttl}));
    const int64_t length = absl::ToInt64Nanoseconds(ttl);
    const int64_t expiry = length <= 0 ? set_at : length > kMax - set_at ? kMax : set_at + length;
    for (int step = 0; step < 3; ++step) {
      const int64_t now =
          random() % 2 == 0 ? times[random() % std::size(times)]
                            : std::max<int64_t>(0, std::min(expiry, kMax - 1) - static_cast<int64_t>(random() % 3) + 1);
      clock.Set(now);
      // Nothing but a write may reclaim it, and there is none: so the answer is of the expiry alone, also backwards.
      const std::optional<std::string> value = Value(*owned, "k");
      ASSERT_EQ(value.has_value(), now < expiry) << "set at " << set_at << " for " << ttl << ", now " << now;
      if (value.has_value()) {
        ASSERT_OK(owned->Visit("k", [&](const Entry& entry) {
          EXPECT_GE(entry.ttl, absl::ZeroDuration());
          if (expiry != kMax) {
            EXPECT_EQ(entry.ttl, absl::Nanoseconds(expiry) - absl::Nanoseconds(now));
          }
        }));
      }
      ASSERT_EQ(Value(*owned, "forever"), "f");
    }
    switch (random() % 5) {
      case 0: {
        const absl::Status touched = owned->Touch("k", ttls[random() % std::size(ttls)]);
        EXPECT_TRUE(touched.ok() || absl::IsNotFound(touched)) << touched;
        break;
      }
      case 1:
        EXPECT_OK(owned->Sweep());
        break;
      case 2:
        EXPECT_OK(owned->Set("k", "w", {.ttl = ttls[random() % std::size(ttls)], .keep_ttl = true}));
        break;
      case 3:
        EXPECT_OK(owned->FetchAdd("n", 1, 0, {.ttl = ttls[random() % std::size(ttls)]}));
        break;
      default:
        (void)owned->Erase("k");
    }
    if (turn % 1000 == 0) {
      ASSERT_TRUE(IsSound(*owned));
    }
  }
  EXPECT_EQ(Value(*owned, "forever"), "f");
}

// A clock that breaks its promise never to be negative: no crash, no damage, and what does not expire stays.
TEST(Clocks, NegativeOnes) {
  ManualClock clock(kMin);
  Options options = SmallOptions();
  options.clock = &clock;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("forever", "f"));
  for (const int64_t now : {kMin, kMin + 1, kMax, int64_t{-1}, int64_t{0}, kMin / 2}) {
    for (const absl::Duration ttl : {absl::Nanoseconds(1), absl::Nanoseconds(kMax), absl::ZeroDuration()}) {
      clock.Set(now);
      ASSERT_OK(owned->Set("k", "v", {.ttl = ttl}));
      for (const int64_t later : {kMin, int64_t{-1}, int64_t{0}, kMax}) {
        clock.Set(later);
        (void)owned->Get("k");
        (void)owned->Visit("k", [](const Entry&) {});
        (void)owned->Touch("k", ttl);
        EXPECT_OK(owned->GetStats());
        EXPECT_EQ(Value(*owned, "forever"), "f");
      }
      EXPECT_OK(owned->Sweep(5));
      EXPECT_TRUE(IsSound(*owned));
    }
  }
}

// The wall clock of the words in a segment from before a reboot may say anything.
TEST(Clocks, AnyWallClockAfterAReboot) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("forever", "f"));
  FILE* const file = std::fopen(owned.name.path().c_str(), "r+");
  ASSERT_NE(file, nullptr);
  for (const int64_t offset : {kMin, kMin + 1, int64_t{-1}, int64_t{0}, kMax / 2, kMax}) {
    for (const int64_t real : {kMin, kMin + 1, int64_t{-1}, int64_t{0}, kMax / 2, kMax}) {
      const int64_t words[] = {12345, offset, real};  // another boot's
      ASSERT_EQ(std::fseek(file, 656, SEEK_SET), 0);
      ASSERT_EQ(std::fwrite(words, sizeof(words), 1, file), 1u);
      ASSERT_EQ(std::fflush(file), 0);
      Dict dict = Must(Dict::Open(owned.name.location()));
      EXPECT_EQ(Value(dict, "forever"), "f");
      ASSERT_OK(dict.Set("k", "v", {.ttl = absl::Hours(1)}));
      (void)dict.Get("k");
      EXPECT_TRUE(IsSound(dict));
    }
  }
  std::fclose(file);
}

// ---- Threads and records ----------------------------------------------------------------------------------

TEST(Records, FortyThreadsShareFour) {
  constexpr int kThreads = 40;
  const int turns = Times(25);
  Options options = SmallOptions();
  options.max_writers = 4;
  OwnedDict owned(options);
  std::atomic<int64_t> added{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      int attempts = 0;
      for (int done = 0; done < turns;) {
        ASSERT_LT(++attempts, 10'000) << "records do not get free";
        // A thread holds its record until it ends, so each attempt is a thread.
        std::thread([&] {
          for (int i = 0; i < 5; ++i) {
            const absl::Status status = owned->FetchAdd("count", 1, 0).status();
            if (status.ok()) {
              ++added;
              done += i == 4;
            } else {
              EXPECT_CODE(status, kResourceExhausted);
              ++refused;
              EXPECT_EQ(i, 0) << "who has a record keeps it";
              break;
            }
          }
          const absl::Status got = owned->Get("count").status();
          EXPECT_TRUE(got.ok() || absl::IsNotFound(got)) << "reading needs no record: " << got;
        }).join();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Must(owned->GetStats()).writers, 0u) << "all records are free again";
  EXPECT_EQ(Must(owned->FetchAdd("count", 0)), added);
  EXPECT_EQ(added, int64_t{kThreads} * turns * 5);
  RecordProperty("refused", static_cast<int>(refused));
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Records, AThousandShortThreadsLeakNone) {
  Options options = SmallOptions();
  options.max_writers = 2;
  OwnedDict owned(options);
  for (int i = 0; i < Times(1000); ++i) {
    std::thread([&] { ASSERT_OK(owned->FetchAdd("count", 1, 0)); }).join();
  }
  EXPECT_EQ(Must(owned->GetStats()).writers, 0u);
  EXPECT_EQ(Must(owned->FetchAdd("count", 0)), Times(1000));
  EXPECT_TRUE(IsSound(*owned));
}

// ---- Processes --------------------------------------------------------------------------------------------

// Many more processes than processors on three keys; some are killed, a reader goes on all the time.
TEST(Processes, SixtyFourOnThreeKeys) {
  constexpr size_t kProcesses = 64, kKilled = 16;
  constexpr size_t kStop = 0, kReads = 1, kAsked = 100, kAdded = 200;
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto turns = static_cast<uint64_t>(Times(300));
  Options options = SmallOptions();
  options.max_writers = kProcesses + 2;
  OwnedDict owned(options);
  const auto key = [](uint64_t i) { return "key:" + std::to_string(i % 3); };
  for (uint64_t i = 0; i < 3; ++i) ASSERT_OK(owned->FetchAdd(key(i), 0, 0));
  SharedWords words;
  Child reader([&] {
    int64_t last[3] = {};
    while (words[kStop] == 0) {
      for (uint64_t i = 0; i < 3; ++i) {
        ValueInfo info;
        int64_t number = 0;
        ASSERT_OK(owned->Get(key(i), std::span<char>(reinterpret_cast<char*>(&number), sizeof(number)), &info));
        ASSERT_GE(number, last[i]) << "a counter that only grows";
        last[i] = number;
      }
      ++words[kReads];
    }
  });
  std::vector<std::unique_ptr<Child>> children;
  for (size_t p = 0; p < kProcesses; ++p) {
    children.push_back(std::make_unique<Child>([&, p] {
      // Those that are to be killed go on until they are.
      for (uint64_t i = 0; i < turns || p < kKilled; ++i) {
        ++words[kAsked + p];
        ASSERT_OK(owned->FetchAdd(key(i + p), 1));
        ++words[kAdded + p];
      }
    }));
  }
  for (size_t p = 0; p < kKilled; ++p) {
    ASSERT_TRUE(Await([&] { return words[kAdded + p] > random() % 50; })) << "no progress of process " << p;
    children[p].reset();  // SIGKILL
  }
  for (size_t p = kKilled; p < kProcesses; ++p) {
    children[p]->Wait();
    EXPECT_EQ(words[kAdded + p], turns);
  }
  const uint64_t reads = words[kReads];
  EXPECT_TRUE(Await([&] { return words[kReads] > reads; })) << "the reader has not gone on";
  words[kStop] = 1;
  reader.Wait();
  uint64_t asked = 0, added = 0;
  for (size_t p = 0; p < kProcesses; ++p) asked += words[kAsked + p], added += words[kAdded + p];
  uint64_t total = 0;
  for (uint64_t i = 0; i < 3; ++i) total += static_cast<uint64_t>(Must(owned->FetchAdd(key(i), 0)));
  // Of a process that was killed the last addition may or may not have happened.
  EXPECT_GE(total, added);
  EXPECT_LE(total, asked);
  EXPECT_LE(asked - added, kKilled);
  EXPECT_OK(owned->Recover());
  EXPECT_TRUE(IsSound(*owned));
  EXPECT_EQ(Must(owned->GetStats()).writers, 1u);
}

}  // namespace
}  // namespace segdict
