// Several processes and threads on one dict: G2, G3 and G8 with real processes, killed and stopped for real.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "src/base/descriptor.h"
#include "src/sync/liveness.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::Await;
using test::Child;
using test::IsSound;
using test::Must;
using test::OwnedDict;
using test::ScopedName;
using test::SharedWords;
using test::SmallOptions;
using test::ThisProgram;
using test::Value;

std::string Key(uint64_t i) { return "key:" + std::to_string(i); }

// A value of `size` bytes or a few more that tells its own size, and whose every byte follows from its beginning.
std::string SelfDescribing(uint64_t seed, size_t size) {
  std::string value = std::to_string(seed) + "," + std::to_string(size) + ";";
  return value + test::Bytes(size, seed);
}

bool IsWhole(std::string_view value) {
  const size_t comma = value.find(','), semicolon = value.find(';');
  if (comma == std::string_view::npos || semicolon == std::string_view::npos) return false;
  const uint64_t seed = std::strtoull(std::string(value.substr(0, comma)).c_str(), nullptr, 10);
  const uint64_t size = std::strtoull(std::string(value.substr(comma + 1, semicolon - comma - 1)).c_str(), nullptr, 10);
  return size < 10'000'000 && value == SelfDescribing(seed, size);
}

size_t AnySize(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return random() % 30;  // in the slot
    case 1:
      return 50 + random() % 1000;  // a block
    case 2:
      return 3000 + random() % 1500;  // about a page
    default:
      return 5000 + random() % 12'000;  // a chain
  }
}

// ---- Roles of this binary when it is executed anew --------------------------------------------------------

Child Execute(const std::string& role, const std::string& name) {
  return Child([&] {
    execl(ThisProgram().c_str(), "process_test", ("--role=" + role).c_str(), name.c_str(), nullptr);
    ADD_FAILURE() << "exec: " << strerror(errno);
  });
}

void RoleCount(const std::string& name) {
  Dict dict = Must(Dict::Open(Name(name)));
  for (size_t i = 0; i < 3000; ++i) {
    EXPECT_OK(dict.FetchAdd("count", 1, 0));
    EXPECT_OK(dict.Update("text", [](const Entry* entry) {
      return std::optional<std::string>(
          std::to_string(entry == nullptr ? 1 : std::stoi(std::string(entry->value)) + 1));
    }));
    EXPECT_OK(dict.Set(std::to_string(getpid()) + "/" + std::to_string(i % 20), SelfDescribing(i, i % 2000)));
  }
}

void RoleHoldTheLock(const std::string& name) {
  Dict dict = Must(Dict::Open(Name(name)));
  auto guard = dict.Lock();
  EXPECT_OK(guard);
  EXPECT_OK(dict.Set("held", "by me"));
  for (;;) pause();
}

void RoleLinger(const std::string&) {
  for (;;) pause();
}

int RunRole(const std::string& role, const std::string& name) {
  const std::string failures = test::FailuresOf([&] {
    if (role == "count") return RoleCount(name);
    if (role == "hold") return RoleHoldTheLock(name);
    if (role == "linger") return RoleLinger(name);
    ADD_FAILURE() << "no role " << role;
  });
  std::fputs(failures.c_str(), stderr);
  return failures.empty() ? 0 : 1;
}

// ---- Processes --------------------------------------------------------------------------------------------

TEST(Processes, UnrelatedOnesShareADict) {
  OwnedDict owned(SmallOptions());
  std::vector<Child> children;
  for (int i = 0; i < 3; ++i) children.push_back(Execute("count", owned.name.text()));
  for (Child& child : children) child.Wait();
  EXPECT_EQ(Must(owned->FetchAdd("count", 0)), 9000);
  EXPECT_EQ(Value(*owned, "text"), "9000");
  EXPECT_EQ(owned->size(), 62u);
  EXPECT_OK(owned->ForEach([](const Entry& entry) {
    if (entry.key != "count" && entry.key != "text") {
      EXPECT_TRUE(IsWhole(entry.value)) << entry.key;
    }
    return true;
  }));
  EXPECT_TRUE(IsSound(*owned));
  EXPECT_EQ(Must(owned->GetStats()).writers, 1u) << "those that ended gave their records back";
}

TEST(Processes, AnUnrelatedOneKilledWithTheLockIsRecovered) {
  OwnedDict owned(SmallOptions());
  Child child = Execute("hold", owned.name.text());
  ASSERT_TRUE(Await([&] { return *owned->Contains("held"); }));
  child.Kill();
  EXPECT_OK(owned->Lock());
  EXPECT_EQ(Value(*owned, "held"), "by me");
  EXPECT_GE(Must(owned->GetStats()).recoveries, 1u);
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Processes, AForkedChildThatIsKilledLeavesTheParentGoingOn) {
  OwnedDict owned(SmallOptions());
  Dict& dict = *owned;
  ASSERT_OK(dict.Set("parent", SelfDescribing(0, 10)));  // so that there is a record to be inherited wrongly
  std::mt19937_64 random(1);
  for (int round = 0; round < 40; ++round) {
    SharedWords words;
    Child child([&] {
      std::mt19937_64 mine(static_cast<uint64_t>(round));
      for (;;) {
        EXPECT_OK(dict.Set(Key(mine() % 5), SelfDescribing(mine(), AnySize(mine))));
        ++words[0];
      }
    });
    const uint64_t turns = random() % 100;
    for (uint64_t i = 0; words[0] < turns; ++i) {
      ASSERT_OK(dict.Set(Key(random() % 5), SelfDescribing(random(), AnySize(random))));
      ASSERT_OK(dict.FetchAdd("parents", 1, 0));
    }
    child.Kill();
    for (int i = 0; i < 5; ++i) {
      const std::optional<std::string> value = Value(dict, Key(static_cast<uint64_t>(i)));
      if (value.has_value()) {
        EXPECT_TRUE(IsWhole(*value));
      }
      EXPECT_OK(dict.Set(Key(static_cast<uint64_t>(i)), SelfDescribing(1, 60)));
    }
    EXPECT_OK(dict.Recover());
    ASSERT_TRUE(IsSound(dict)) << "round " << round;
  }
  EXPECT_EQ(Must(dict.GetStats()).writers, 1u);
}

TEST(Processes, AParentThatIsKilledIsRecoveredAlthoughItsChildLives) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  constexpr size_t kReady = 0, kStop = 1, kStopped = 2, kWritten = 3;
  Child parent([&] {
    Dict dict = Must(Dict::Open(owned.name.location()));
    EXPECT_OK(dict.Set("parent", "p"));
    auto guard = dict.Lock();
    EXPECT_OK(guard);
    Child child(
        [&] {
          EXPECT_OK(dict.Set("child", "c"));
          words[kReady] = 1;
          while (words[kStop] == 0) {
            EXPECT_OK(dict.FetchAdd("count", 1, 0));
            ++words[kWritten];
            test::SleepMicroseconds(100);
          }
          words[kStopped] = 1;
          _exit(0);
        },
        /*dies_with_parent=*/false);
    for (;;) pause();
  });
  ASSERT_TRUE(Await([&] { return words[kReady] != 0; }));
  parent.Kill();
  EXPECT_OK(owned->Lock()) << "held by the dead parent, whose mapping the child inherited";
  const uint64_t written = words[kWritten];
  EXPECT_TRUE(Await([&] { return words[kWritten] > written; })) << "the child goes on";
  EXPECT_EQ(Must(owned->Recover()), 0u) << "and is not taken for dead";
  words[kStop] = 1;
  ASSERT_TRUE(Await([&] { return words[kStopped] != 0; }));
  EXPECT_EQ(static_cast<uint64_t>(Must(owned->FetchAdd("count", 0))), words[kWritten]);
  EXPECT_EQ(Value(*owned, "parent"), "p");
  EXPECT_EQ(Value(*owned, "child"), "c");
}

// Runs `body` as process 1 of a new pid namespace, in a child; returns the outer child.
Child InPidNamespace(absl::FunctionRef<void()> body) {
  return Child([&] {
    ASSERT_EQ(unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER)), 0)
        << "a pid namespace is needed: run as root, or allow user namespaces; " << strerror(errno);
    Child inner([&] {
      EXPECT_EQ(getpid(), 1);
      body();
    });
    inner.Wait();
  });
}

TEST(Processes, TwoPidNamespacesShareADict) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  constexpr size_t kHeld = 0, kTried = 1, kDone = 2;
  Child first = InPidNamespace([&] {
    Dict dict = Must(Dict::Open(owned.name.location()));
    EXPECT_OK(dict.Set("first", "1"));
    auto guard = dict.Lock();
    EXPECT_OK(guard);
    words[kHeld] = 1;
    for (;;) pause();
  });
  Child second = InPidNamespace([&] {
    Options options;
    options.wait_limit = absl::Milliseconds(30);
    Dict dict = Must(Dict::Open(owned.name.location(), options));
    EXPECT_OK(dict.Set("second", "2"));
    Await([&] { return words[kHeld] != 0; });
    EXPECT_EQ(Value(dict, "first"), "1");
    EXPECT_CODE(dict.Lock(), kDeadlineExceeded) << "the holder lives, in another namespace, with the same pid";
    EXPECT_EQ(Must(dict.Recover()), 0u);
    words[kTried] = 1;
    EXPECT_TRUE(Await([&] { return dict.Lock().ok(); })) << "the holder is dead";
    words[kDone] = 1;
  });
  ASSERT_TRUE(Await([&] { return words[kTried] != 0; }));
  first.Kill();  // and by its parent-death signal the process inside
  second.Wait();
  EXPECT_EQ(words[kDone], 1u);
  EXPECT_OK(owned->Lock());
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Processes, AStoppedWriterHoldsUpOnlyWritersOfItsKey) {
  OwnedDict owned(SmallOptions());
  Options options;
  options.wait_limit = absl::Milliseconds(3);
  Dict limited = Must(Dict::Open(owned.name.location(), options));
  for (uint64_t i = 0; i < 50; ++i) ASSERT_OK(owned->Set(Key(i), "v"));
  ASSERT_OK(owned->Set("hot", SelfDescribing(1, 10)));
  Child writer([&] {
    std::mt19937_64 random(9);
    for (;;) EXPECT_OK(owned->Set("hot", SelfDescribing(random(), AnySize(random))));
  });
  std::mt19937_64 random(2);
  int held_up = 0;
  for (int round = 0; round < 200; ++round) {
    test::SleepMicroseconds(static_cast<int64_t>(random() % 200));
    writer.Stop();
    const std::optional<std::string> value = Value(limited, "hot");
    ASSERT_TRUE(value.has_value());
    EXPECT_TRUE(IsWhole(*value));
    for (uint64_t i = 0; i < 50; ++i) ASSERT_OK(limited.Set(Key(i), "w")) << "other keys go on";
    const absl::Status status = limited.Set("hot", SelfDescribing(2, 100));
    if (!status.ok()) {
      ASSERT_CODE(status, kDeadlineExceeded);
      ++held_up;
      EXPECT_EQ(Value(limited, "hot"), value) << "nothing was changed";
      EXPECT_EQ(Must(limited.Recover()), 0u) << "stopped is not dead";
    } else {
      EXPECT_EQ(Value(limited, "hot"), SelfDescribing(2, 100));
    }
    writer.Continue();
  }
  RecordProperty("held_up", held_up);
  writer.Stop();
  writer.Kill();
  EXPECT_OK(limited.Set("hot", "after its death"));
  EXPECT_OK(owned->Recover());
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Processes, AStoppedHolderOfTheLock) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  SharedWords words;
  Child holder([&] {
    auto guard = owned->Lock();
    EXPECT_OK(guard);
    words[0] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(Await([&] { return words[0] != 0; }));
  holder.Stop();
  Options options;
  options.wait_limit = absl::Milliseconds(10);
  options.lock_mode = LockMode::kGlobalMutex;
  Dict locking = Must(Dict::Open(owned.name.location(), options));
  EXPECT_CODE(locking.Set("k", "w"), kDeadlineExceeded);
  EXPECT_CODE(locking.Lock(), kDeadlineExceeded);
  EXPECT_EQ(Value(locking, "k"), "v");
  EXPECT_EQ(Must(locking.Recover()), 0u);
  EXPECT_OK(owned->Set("k", "w")) << "without the mode";
  holder.Kill();
  EXPECT_OK(locking.Set("k", "x"));
  EXPECT_TRUE(IsSound(*owned));
}

// Whoever may read the file can lock its bytes for reading. That makes no dead writer alive; it only is in the way of
// those who would recover it, for as long as it lasts.
TEST(Processes, AReadLockIsNoSignOfLife) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  Child holder([&] {
    auto guard = owned->Lock();
    EXPECT_OK(guard);
    words[0] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(Await([&] { return words[0] != 0; }));
  const auto open_file = [&] { return internal::UniqueFd(open(owned.name.path().c_str(), O_RDWR | O_CLOEXEC)); };
  const internal::UniqueFd file = open_file();
  const auto liveness =
      internal::MakeOfdLiveness([&] { return open_file(); }, [&] { return absl::StatusOr<int>(file.get()); });
  EXPECT_TRUE(Must(liveness->IsAlive(0)));
  holder.Kill();

  internal::UniqueFd stranger(open(owned.name.path().c_str(), O_RDONLY | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = internal::kLockRange;
  lock.l_len = 16;
  ASSERT_EQ(fcntl(stranger.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_FALSE(Must(liveness->IsAlive(0)));
  Options options = SmallOptions();
  options.wait_limit = absl::Milliseconds(20);
  Dict dict = Must(Dict::Open(owned.name.location(), options));
  EXPECT_CODE(dict.Set("k", "v"), kResourceExhausted) << "no record can be claimed";
  EXPECT_CODE(dict.Get("k"), kNotFound) << "reading needs none";
  stranger = internal::UniqueFd();
  EXPECT_OK(dict.Set("k", "v"));
  EXPECT_OK(dict.Lock());
}

TEST(Processes, AfterCloseRange) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  constexpr size_t kHeld = 0, kClosed = 1, kEnd = 2;
  Child holder([&] {  // lives all the time, and must be seen to live
    Dict dict = Must(Dict::Open(owned.name.location()));
    auto guard = dict.Lock();
    EXPECT_OK(guard);
    words[kHeld] = 1;
    Await([&] { return words[kEnd] != 0; });
    EXPECT_OK(dict.Set("holder", "still alive"));
  });
  ASSERT_TRUE(Await([&] { return words[kHeld] != 0; }));
  Child closer([&] {
    Options options;
    options.wait_limit = absl::Milliseconds(20);
    Dict dict = Must(Dict::Open(owned.name.location(), options));
    EXPECT_OK(dict.Set("k", "v"));
    ASSERT_EQ(syscall(SYS_close_range, 3u, ~0u, 0u), 0);
    // Other files get the numbers, also one of the size and place of a segment.
    std::vector<int> others;
    for (int i = 0; i < 5; ++i) {
      others.push_back(
          open(i % 2 == 0 ? "/dev/null" : "/dev/shm", O_CLOEXEC | (i % 2 == 0 ? O_RDWR : O_TMPFILE | O_RDWR), 0600));
      ASSERT_GE(others.back(), 0);
    }
    EXPECT_EQ(Value(dict, "k"), "v");
    const absl::Status status = dict.Set("k", "w");
    if (!status.ok()) {
      EXPECT_CODE(status, kUnavailable);
    }
    EXPECT_EQ(Value(dict, "k"), status.ok() ? "w" : "v");
    const absl::Status lock = dict.Lock().status();
    EXPECT_FALSE(lock.ok()) << "it is held by the living";
    if (!absl::IsDeadlineExceeded(lock)) {
      EXPECT_CODE(lock, kUnavailable);
    }
    const absl::StatusOr<uint32_t> recovered = dict.Recover();
    if (recovered.ok()) {
      EXPECT_EQ(*recovered, 0u);
    } else {
      EXPECT_CODE(recovered, kUnavailable);
    }
    std::thread([&] {
      const absl::Status other = dict.Set("thread", "t");
      if (!other.ok()) {
        EXPECT_CODE(other, kUnavailable);
      }
    }).join();
    words[kClosed] = 1;
    Await([&] { return words[kEnd] != 0; });
    EXPECT_OK(Dict::Open(owned.name.location())) << "opened again, all is well";
  });
  ASSERT_TRUE(Await([&] { return words[kClosed] != 0; }));
  EXPECT_EQ(Must(owned->Recover()), 0u) << "others see that both live";
  words[kEnd] = 1;
  closer.Wait();
  holder.Wait();
  EXPECT_OK(owned->Recover());
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Processes, AHandleClosesNobodyElsesDescriptor) {
  OwnedDict owned(SmallOptions());
  test::InChild([&] {
    std::vector<int> others;
    {
      Dict dict = Must(Dict::Open(owned.name.location()));
      EXPECT_OK(dict.Set("k", "v"));
      ASSERT_EQ(syscall(SYS_close_range, 3u, ~0u, 0u), 0);
      for (int i = 0; i < 20; ++i) others.push_back(open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    for (const int fd : others) EXPECT_GE(fcntl(fd, F_GETFD), 0) << "descriptor " << fd << " was closed";
  });
}

TEST(Processes, ExecFreesTheRecords) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  Child child([&] {
    Dict dict = Must(Dict::Open(owned.name.location()));
    EXPECT_OK(dict.Set("k", "v"));
    auto guard = dict.Lock();
    EXPECT_OK(guard);
    words[0] = 1;
    execl(ThisProgram().c_str(), "process_test", "--role=linger", "", nullptr);
    ADD_FAILURE() << "exec: " << strerror(errno);
  });
  ASSERT_TRUE(Await([&] { return words[0] != 0; }));
  EXPECT_OK(owned->Lock()) << "the process lives on, but as another program";
  EXPECT_EQ(kill(child.pid(), 0), 0);
  EXPECT_EQ(Must(owned->GetStats()).writers, 1u) << "this one";
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Processes, TwoHundredShortLivedOnesUseUpNothing) {
  Options options = SmallOptions();
  options.max_writers = 3;
  OwnedDict owned(options);
  for (int i = 0; i < 200; ++i) {
    Child child([&] {
      EXPECT_OK(owned->FetchAdd("count", 1, 0));
      if (i % 2 == 0) kill(getpid(), SIGKILL);
    });
    if (i % 2 == 0) {
      siginfo_t info;
      ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
      ASSERT_EQ(info.si_status, SIGKILL);
      child.Kill();
    } else {
      child.Wait();
    }
  }
  EXPECT_EQ(Must(owned->FetchAdd("count", 0)), 200);
  EXPECT_TRUE(IsSound(*owned));
}

// Any operation on any of a few keys; what it may say besides OK is not there, there already, or full.
void AnyOperation(Dict& dict, std::mt19937_64& random, uint64_t keys) {
  const std::string key = Key(random() % keys);
  const WriteOptions expiring{.ttl = random() % 2 == 0 ? absl::Hours(1) : absl::InfiniteDuration()};
  const std::string value = SelfDescribing(random() % 1000, AnySize(random));
  absl::Status status;
  switch (random() % 10) {
    case 0:
    case 1:
      status = dict.Set(key, value);
      break;
    case 2:
    case 3:
      status = dict.Insert(key, value, expiring);
      break;
    case 4:
    case 5:
    case 6:
      status = dict.Erase(key);
      break;
    case 7:
      status = dict.Take(key).status();
      break;
    case 8:
      status = dict.Update(key, [&](const Entry* entry) {
        EXPECT_TRUE(entry == nullptr || IsWhole(entry->value));
        return std::optional<std::string>(value);
      });
      break;
    default:
      status = dict.Touch(key, absl::Hours(2));
      break;
  }
  if (!status.ok() && !absl::IsNotFound(status) && !absl::IsAlreadyExists(status)) {
    EXPECT_CODE(status, kResourceExhausted);
  }
}

class KillLoop : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(SlotSizes, KillLoop, ::testing::Values(32, 64, 128));

TEST_P(KillLoop, AfterEachDeathEverythingIsWhole) {
  // In each of the three. SEGDICT_KILL_ROUNDS asks for more.
  const char* const asked = std::getenv("SEGDICT_KILL_ROUNDS");
  const int rounds = asked != nullptr ? std::atoi(asked) : 100;
  Options options;
  options.capacity = 60;
  options.max_load = 1.0;
  options.value_bytes = 300'000;
  options.slot_size = GetParam();
  options.ordered = GetParam() != 32;
  options.max_writers = 4;
  OwnedDict owned(options);
  Dict& dict = *owned;
  uint64_t recovered = 0;
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < rounds; ++round) {
    SharedWords words;
    std::vector<Child> writers;
    for (int w = 0; w < 2; ++w) {
      const uint64_t own = random();
      writers.emplace_back([&, own] {
        std::mt19937_64 mine(own);
        for (;;) {
          AnyOperation(dict, mine, 64);
          ++words[0];
        }
      });
    }
    ASSERT_TRUE(Await([&] { return words[0] > 3; }));
    for (Child& writer : writers) {
      test::SleepMicroseconds(static_cast<int64_t>(random() % 1500));
      writer.Kill();
    }
    recovered += Must(dict.Recover());
    ASSERT_TRUE(IsSound(dict)) << "round " << round;
    uint64_t entries = 0;
    ASSERT_OK(dict.ForEach([&](const Entry& entry) {
      ++entries;
      EXPECT_TRUE(IsWhole(entry.value)) << entry.key << ", round " << round;
      EXPECT_EQ(Value(dict, entry.key), entry.value);
      return true;
    }));
    ASSERT_EQ(entries, dict.size());
  }
  EXPECT_GE(recovered, static_cast<uint64_t>(rounds)) << "a writer may recover the other one, but nobody the last";
  // Nothing has leaked: cleared, all is free, and all that was promised fits.
  ASSERT_OK(dict.Clear());
  EXPECT_TRUE(IsSound(dict));
  EXPECT_EQ(Must(dict.Verify()).blocks, 0u);
  for (uint64_t i = 0; i < 60; ++i) ASSERT_OK(dict.Insert(Key(i), test::Bytes(4000, i))) << i;
}

TEST(Stress, ProcessesAddExactly) {
  constexpr int kProcesses = 4, kTurns = 3000;
  OwnedDict owned(SmallOptions());
  std::vector<Child> children;
  for (int p = 0; p < kProcesses; ++p) {
    children.emplace_back([&] {
      for (int i = 0; i < kTurns; ++i) {
        EXPECT_OK(owned->FetchAdd("inline", 1, 0));
        EXPECT_OK(owned->Update("block", [](const Entry* entry) {
          const int now = entry == nullptr ? 0 : std::stoi(std::string(entry->value));
          std::string next = std::to_string(now + 1);
          return std::optional<std::string>(next + std::string(60 + static_cast<size_t>(now % 500), ' '));
        }));
        // A ticket that is inserted and erased by whoever comes first.
        if (owned->Insert("ticket", "t").ok()) {
          EXPECT_OK(owned->FetchAdd("tickets", 1, 0));
        }
        if (owned->Take("ticket").ok()) {
          EXPECT_OK(owned->FetchAdd("tickets", -1, 0));
        }
      }
    });
  }
  for (Child& child : children) child.Wait();
  EXPECT_EQ(Must(owned->FetchAdd("inline", 0)), kProcesses * kTurns);
  EXPECT_EQ(std::stoi(*Value(*owned, "block")), kProcesses * kTurns);
  EXPECT_EQ(Must(owned->FetchAdd("tickets", 0)), Must(owned->Contains("ticket")) ? 1 : 0);
  EXPECT_TRUE(IsSound(*owned));
}

// Keys that stay are always found, whole, by Get and by ForEach, while others come and go around them: inserts pass
// full groups, erases pull keys home.
void StayAndChurn(Dict& dict, SharedWords& words, bool churn, uint64_t seed) {
  constexpr uint64_t kStay = 40, kAll = 150;
  std::mt19937_64 random(seed);
  if (churn) {
    while (words[1] == 0) {
      const std::string key = "churn:" + std::to_string(random() % (kAll - kStay));
      const absl::Status status =
          random() % 2 == 0 ? dict.Set(key, SelfDescribing(random() % 9, random() % 60)) : dict.Erase(key);
      if (!status.ok() && !absl::IsNotFound(status)) {
        EXPECT_CODE(status, kResourceExhausted);
      }
      ++words[2];
      const std::string stay = Key(random() % kStay);
      EXPECT_OK(dict.Set(stay, SelfDescribing(random(), random() % 200)));
    }
    return;
  }
  for (int i = 0; i < 4000 || words[2] < 15'000; ++i) {
    const std::optional<std::string> value = Value(dict, Key(random() % kStay));
    ASSERT_TRUE(value.has_value());
    ASSERT_TRUE(IsWhole(*value));
    if (i % 100 == 0) {
      std::map<std::string, int> seen;
      ASSERT_OK(dict.ForEach([&](const Entry& entry) {
        ++seen[std::string(entry.key)];
        EXPECT_TRUE(IsWhole(entry.value));
        return true;
      }));
      for (uint64_t k = 0; k < kStay; ++k) ASSERT_EQ(seen[Key(k)], 1) << Key(k);
    }
  }
}

Options StayAndChurnOptions() {
  Options options;
  options.capacity = 150;
  options.max_load = 1.0;
  options.value_bytes = 200'000;
  options.max_writers = 8;
  return options;
}

void Fill(Dict& dict) {
  for (uint64_t i = 0; i < 40; ++i) ASSERT_OK(dict.Set(Key(i), SelfDescribing(i, i)));
}

TEST(Stress, ProcessesFindWhatStays) {
  OwnedDict owned(StayAndChurnOptions());
  Fill(*owned);
  SharedWords words;
  std::vector<Child> children;
  for (uint64_t i = 0; i < 2; ++i) children.emplace_back([&, i] { StayAndChurn(*owned, words, true, i); });
  Child reader([&] { StayAndChurn(*owned, words, false, 7); });
  reader.Wait();
  words[1] = 1;
  for (Child& child : children) child.Wait();
  EXPECT_TRUE(IsSound(*owned));
}

// ---- Threads ----------------------------------------------------------------------------------------------

TEST(Threads, ComeAndGo) {
  constexpr int kWaves = 25, kThreads = 8;
  Options options = SmallOptions();
  options.max_writers = kThreads;
  OwnedDict owned(options);
  for (int wave = 0; wave < kWaves; ++wave) {
    std::atomic<int> written{0};
    std::atomic<bool> refused{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        EXPECT_OK(owned->FetchAdd("count", 1, 0));
        ++written;
        while (!refused) std::this_thread::yield();
      });
    }
    while (written < kThreads) std::this_thread::yield();
    if (wave % 5 == 0) {
      std::thread([&] {
        EXPECT_CODE(owned->Set("one too many", "t"), kResourceExhausted);
        EXPECT_TRUE(Must(owned->Contains("count"))) << "reading needs no record";
      }).join();
    }
    refused = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Must(owned->GetStats()).writers, 0u);
  }
  EXPECT_EQ(Must(owned->FetchAdd("count", 0)), kWaves * kThreads);
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Threads, AddExactly) {
  constexpr int kThreads = 4, kTurns = 1500;
  OwnedDict owned(SmallOptions());
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Dict dict = *owned;  // a copy: the same handle
      for (int i = 0; i < kTurns; ++i) {
        EXPECT_OK(dict.FetchAdd("inline", 1, 0));
        EXPECT_OK(dict.Update("block", [](const Entry* entry) {
          const int now = entry == nullptr ? 0 : std::stoi(std::string(entry->value));
          return std::optional<std::string>(std::to_string(now + 1) +
                                            std::string(60 + static_cast<size_t>(now % 500), ' '));
        }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Must(owned->FetchAdd("inline", 0)), kThreads * kTurns);
  EXPECT_EQ(std::stoi(*Value(*owned, "block")), kThreads * kTurns);
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Threads, FindWhatStays) {
  OwnedDict owned(StayAndChurnOptions());
  Fill(*owned);
  SharedWords words;
  std::vector<std::thread> churners;
  for (uint64_t i = 0; i < 2; ++i) churners.emplace_back([&, i] { StayAndChurn(*owned, words, true, i); });
  StayAndChurn(*owned, words, false, 7);
  words[1] = 1;
  for (std::thread& thread : churners) thread.join();
  EXPECT_TRUE(IsSound(*owned));
}

TEST(Threads, AWriteByALateDestructorOfTheThread) {
  struct WritesAtTheEnd {
    Dict* dict = nullptr;
    ~WritesAtTheEnd() {
      if (dict != nullptr) {
        EXPECT_OK(dict->Set("late", "l"));
      }
    }
  };
  OwnedDict owned(SmallOptions());
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void* dict) { EXPECT_OK(static_cast<Dict*>(dict)->Set("later", "l")); }), 0);
  std::thread([&] {
    thread_local WritesAtTheEnd at_the_end;
    at_the_end.dict = &*owned;
    pthread_setspecific(key, &*owned);
    EXPECT_OK(owned->Set("k", "v"));
  }).join();
  pthread_key_delete(key);
  EXPECT_EQ(Value(*owned, "late"), "l");
  EXPECT_EQ(Value(*owned, "later"), "l");
  EXPECT_EQ(Must(owned->GetStats()).writers, 0u) << "given back all the same";
}

TEST(Threads, ClosingWhileOthersWrite) {
  for (int round = 0; round < 20; ++round) {
    ScopedName name;
    std::optional<Dict> dict = Must(Dict::Create(name.location(), SmallOptions()));
    std::atomic<int> running{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([copy = *dict, &running]() mutable {
        ++running;
        for (uint64_t i = 0;; ++i) {
          const absl::Status status = copy.Set(Key(i % 9), SelfDescribing(i, 100));
          if (status.ok()) continue;
          EXPECT_CODE(status, kFailedPrecondition);
          return;
        }
      });
    }
    while (running < 3) std::this_thread::yield();
    dict->Close();
    dict.reset();
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(IsSound(Must(Dict::Open(name.location()))));
  }
}

}  // namespace
}  // namespace segdict

int main(int argc, char** argv) {
  if (argc == 3 && std::strncmp(argv[1], "--role=", 7) == 0) return segdict::RunRole(argv[1] + 7, argv[2]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
