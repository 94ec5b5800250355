// What comes in the middle of a call, on its own thread: a function of the caller that forks, the handler of a signal,
// another library's handlers of fork, the thread's end. Each finds the dict usable or is told that it is not now;
// nobody waits for himself, and what the interrupted call holds stays its own.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "segdict/dict.h"
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

// Runs `body` in a child. One that hangs is killed, and has failed.
void InChildThatMayHang(absl::FunctionRef<void()> body, const char* hang) {
  SharedWords done;
  Child child([&] {
    body();
    done[0] = 1;
  });
  if (Await([&] { return done[0] == 1; })) {
    child.Wait();
  } else {
    ADD_FAILURE() << hang;
    child.Kill();
  }
}

// ---- Update's function forks ------------------------------------------------------------------------------

// The child comes back from the call as well: whoever called it has to end it.
struct Forker {
  pid_t child = -1;
  void Fork() {
    child = fork();
    ASSERT_GE(child, 0);
  }
  bool InTheChild() const { return child == 0; }
  void Wait() const {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child ended with status " << status;
  }
};

TEST(UpdateThatForks, KeepsTheLockOfItsMode) {
  Options options = SmallOptions();
  options.lock_mode = LockMode::kGlobalMutex;
  OwnedDict owned(options);
  Forker forker;
  const absl::Status status = owned->Update("k", [&](const Entry*) -> std::optional<std::string> {
    forker.Fork();
    if (forker.InTheChild()) return "child";
    forker.Wait();  // it has left its Update
    InChild([&] {
      Options bounded = options;
      bounded.wait_limit = absl::Milliseconds(50);
      EXPECT_CODE(Must(Dict::Open(owned.name.location(), bounded)).Set("other", "o"), kDeadlineExceeded);
    });
    return "parent";
  });
  if (forker.InTheChild()) _exit(absl::IsFailedPrecondition(status) ? 0 : 1);
  EXPECT_OK(status);
  EXPECT_EQ(Value(*owned, "k"), "parent");
  EXPECT_OK(owned->Set("other", "o"));
  EXPECT_TRUE(IsSound(*owned));
}

// At its second try, when the first one's block is in its hands.
class UpdateThatForksLate : public testing::Test {
 protected:
  // `in_child` runs in the function.
  void Run(absl::FunctionRef<bool(const Entry& entry)> in_child) {
    ASSERT_OK(owned_->Set("k", std::string(900, 'a')));
    Forker forker;
    int tries = 0;
    bool fine = false;
    const absl::Status status = owned_->Update("k", [&](const Entry* entry) -> std::optional<std::string> {
      if (++tries == 1) {
        std::thread([&] { EXPECT_OK(owned_->Set("k", std::string(2000, 'b'))); }).join();
        return std::string(900, 'c');
      }
      forker.Fork();
      if (forker.InTheChild()) {
        fine = in_child(*entry);
      } else {
        forker.Wait();
        // They would take the block if the child had freed it.
        std::thread([&] {
          for (int i = 0; i < 20; ++i) EXPECT_OK(owned_->Set("x" + std::to_string(i), std::string(900, 'x')));
        }).join();
      }
      return std::string(900, 'd');
    });
    if (forker.InTheChild()) _exit(fine && absl::IsFailedPrecondition(status) ? 0 : 1);
    EXPECT_OK(status);
    EXPECT_EQ(tries, 2);
    EXPECT_TRUE(IsSound(*owned_));
    EXPECT_EQ(Value(*owned_, "k"), std::string(900, 'd'));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(Value(*owned_, "x" + std::to_string(i)), std::string(900, 'x')) << i;
  }

  OwnedDict owned_{SmallOptions()};
};

TEST_F(UpdateThatForksLate, KeepsItsBlock) {
  Run([](const Entry&) { return true; });
}

TEST_F(UpdateThatForksLate, AndTheChildWritesInItsPlace) {
  Run([&](const Entry& entry) {
    return owned_->Set("child", "c").ok() && entry.value == std::string(2000, 'b');  // what it was given is still there
  });
  EXPECT_EQ(Value(*owned_, "child"), "c");
}

// Also what runs while the call waits may fork.
TEST(BlockingThatForks, LeavesTheCallToTheParent) {
  Options options = SmallOptions();
  options.lock_mode = LockMode::kGlobalMutex;
  OwnedDict owned(options);
  struct Forks : Blocking {
    bool Sleep(absl::FunctionRef<void()>) override {
      if (forker.child >= 0) return false;
      forker.Fork();
      return true;
    }
    Forker forker;
  } blocking;
  Options waiting = options;
  waiting.blocking = &blocking;
  Dict dict = Must(Dict::Open(owned.name.location(), waiting));
  absl::Status status;
  {
    auto guard = owned->Lock();
    ASSERT_OK(guard);
    std::thread([&] {
      status = dict.Set("k", "v");
      if (blocking.forker.InTheChild()) _exit(absl::IsFailedPrecondition(status) ? 0 : 1);
    }).join();
  }
  blocking.forker.Wait();
  EXPECT_CODE(status, kCancelled);
  EXPECT_OK(owned->Set("k", "w"));
  EXPECT_TRUE(IsSound(*owned));
}

// ---- Signal handlers --------------------------------------------------------------------------------------

// What the handler writes to, and what became of it.
Dict* handlers_dict = nullptr;
std::array<std::atomic<uint64_t>, 20> handlers_codes;

void WriteInHandler(int) {
  const absl::Status status = handlers_dict->Set("handler", "h");
  handlers_codes[static_cast<size_t>(status.code()) % handlers_codes.size()].fetch_add(1);
}

class SignalHandler : public testing::Test {
 protected:
  void SetUp() override {
    for (auto& codes : handlers_codes) codes = 0;
  }
  static uint64_t Codes(absl::StatusCode code) { return handlers_codes[static_cast<size_t>(code)]; }
  // Only these two: it was possible, or was told that it is not now.
  static void ExpectWrittenOrRefused() {
    for (size_t i = 0; i < handlers_codes.size(); ++i) {
      const auto code = static_cast<absl::StatusCode>(i);
      if (code == absl::StatusCode::kOk || code == absl::StatusCode::kFailedPrecondition) continue;
      EXPECT_EQ(handlers_codes[i], 0u) << absl::StatusCodeToString(code);
    }
  }
};

// SIGALRM every 20 microseconds while it lives.
class Alarms {
 public:
  explicit Alarms(void (*handler)(int)) {
    signal(SIGALRM, handler);
    Set(20);
  }
  ~Alarms() {
    Set(0);
    signal(SIGALRM, SIG_DFL);
  }
  // Where handlers take most of the time (sanitizers, a busy machine), a loop hardly gets on.
  bool Long() const { return absl::Now() > begin_ + absl::Seconds(5); }

 private:
  static void Set(int microseconds) {
    const itimerval timer{{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }

  const absl::Time begin_ = absl::Now();
};

// Threads that come and go, each of which is interrupted while it gets its writer.
TEST_F(SignalHandler, DuringAThreadsFirstWrite) {
  OwnedDict owned(SmallOptions());
  const auto body = [&] {
    handlers_dict = &*owned;
    signal(SIGUSR1, WriteInHandler);
    for (int i = 0; i < 300 || Codes(absl::StatusCode::kFailedPrecondition) == 0; ++i) {
      std::thread([&] {
        // A signal for this thread alone, soon after it has begun to write.
        sigevent event{};
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGUSR1;
        event._sigev_un._tid = gettid();
        timer_t timer;
        ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        const itimerspec once{{0, 0}, {0, 1 + i % 100 * 1000}};
        timer_settime(timer, 0, &once, nullptr);
        EXPECT_OK(owned->Set("first", "f"));
        timer_delete(timer);
      }).join();
    }
    ExpectWrittenOrRefused();
  };
  InChildThatMayHang(body, "a thread waits for itself");
}

TEST_F(SignalHandler, WhileAGuardIsTakenAndReleased) {
  Options options = SmallOptions();
  options.lock_mode = LockMode::kGlobalMutex;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("handler", ""));
  handlers_dict = &*owned;
  {
    const Alarms alarms(WriteInHandler);
    for (int i = 0; i < 300'000 && !alarms.Long(); ++i) {
      auto guard = owned->Lock();
      if (!guard.ok()) break;
    }
  }
  ExpectWrittenOrRefused();
  EXPECT_GT(Codes(absl::StatusCode::kOk) + Codes(absl::StatusCode::kFailedPrecondition), 0u);
  EXPECT_TRUE(IsSound(*owned));
}

// The thread's writer of the one dict is not taken for that of the other.
TEST_F(SignalHandler, BetweenWritesToTwoDicts) {
  OwnedDict first(SmallOptions()), second(SmallOptions());
  handlers_dict = &*first;
  ASSERT_OK(first->Set("handler", ""));
  ASSERT_OK(second->Set("k", ""));
  {
    const Alarms alarms([](int signal) {
      WriteInHandler(signal);
      (void)handlers_dict->Erase("handler");
    });
    for (int i = 0; i < 300'000 && !alarms.Long(); ++i) {
      const std::string key = std::to_string(i % 20);
      (void)first->Set(key, "v");
      (void)second->Set(key, "v");
      (void)first->Erase(key);
      (void)second->Erase(key);
    }
  }
  ExpectWrittenOrRefused();
  EXPECT_TRUE(IsSound(*first));
  EXPECT_TRUE(IsSound(*second));
}

// The interrupted write has the key's slot locked: by another writer of this thread.
TEST_F(SignalHandler, ThroughAnotherHandle) {
  struct RaisingClock : Clock {
    int64_t Now() const override {
      if (armed.exchange(false)) raise(SIGUSR1);
      return 1'000'000;
    }
    mutable std::atomic<bool> armed{false};
  } clock;
  Options options = SmallOptions();
  options.clock = &clock;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("handler", "v", {.ttl = absl::Hours(1)}));
  const auto body = [&] {
    Dict other = Must(Dict::Open(owned.name.location(), options));
    EXPECT_OK(other.Set("mine", "x"));
    handlers_dict = &other;
    signal(SIGUSR1, WriteInHandler);
    // A write over a live entry with an expiry asks for the time when it has locked it.
    EXPECT_OK(owned->Update("handler", [&](const Entry*) {
      clock.armed = true;
      return std::optional<std::string>("w");
    }));
    EXPECT_EQ(Codes(absl::StatusCode::kFailedPrecondition), 1u);
  };
  InChildThatMayHang(body, "it waits for the call that it interrupted");
  EXPECT_OK(owned->Recover());
  EXPECT_TRUE(IsSound(*owned));
}

// ---- Handlers of fork -------------------------------------------------------------------------------------

// Registered (by an initializer whose value nobody wants) before the library's: run after it before the fork, and
// before it in the child.
Dict* fork_handlers_dict = nullptr;
SharedWords* fork_handlers_words = nullptr;
void WriteInForkHandler(size_t word) {
  if (fork_handlers_dict == nullptr) return;
  const absl::Status status = fork_handlers_dict->Set("handler", "h");
  (*fork_handlers_words)[word] = 1 + static_cast<uint64_t>(status.code());
}
[[maybe_unused]] const int registered =
    pthread_atfork([] { WriteInForkHandler(0); }, [] { WriteInForkHandler(1); }, [] { WriteInForkHandler(2); });

TEST(ForkHandlers, OfOthersThatWrite) {
  OwnedDict owned(SmallOptions());
  SharedWords words;
  fork_handlers_words = &words;
  const auto body = [&] {
    EXPECT_OK(owned->Set("k", "v"));
    fork_handlers_dict = &*owned;
    const pid_t child = fork();
    fork_handlers_dict = nullptr;
    if (child == 0) _exit(owned->Set("child", "c").ok() ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  };
  InChildThatMayHang(body, "the child waits for itself");
  const uint64_t refused = 1 + static_cast<uint64_t>(absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(words[0], 1u) << "the parent has its writer";
  EXPECT_EQ(words[1], 1u);
  EXPECT_EQ(words[2], refused) << "the child has none yet";
  EXPECT_TRUE(IsSound(*owned));
}

// ---- The end of a thread ----------------------------------------------------------------------------------

// A guard that a destructor of the thread ends, after the library's own.
TEST(ThreadsEnd, WithAGuardInThreadSpecificData) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));  // the library's key is the older one
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void* guard) { delete static_cast<Dict::LockGuard*>(guard); }), 0);
  std::thread([&] { pthread_setspecific(key, new Dict::LockGuard(Must(owned->Lock()))); }).join();
  pthread_key_delete(key);
  EXPECT_OK(owned->Lock());
  EXPECT_EQ(Must(owned->GetStats()).writers, 1u);
  EXPECT_TRUE(IsSound(*owned));
}

}  // namespace
}  // namespace segdict
