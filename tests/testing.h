// What the suites share: statuses in assertions, names that go away, processes whose failures are reported, clocks.
#ifndef SEGDICT_TESTS_TESTING_H_
#define SEGDICT_TESTS_TESTING_H_

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"

namespace segdict::test {

// ---- Statuses ---------------------------------------------------------------------------------------------

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <class T>
::testing::AssertionResult IsOk(const char* text, const T& result) {
  if (StatusOf(result).ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << text << " is " << StatusOf(result).ToString();
}

template <class T>
::testing::AssertionResult HasCode(const char* text, const char*, const T& result, absl::StatusCode code) {
  if (StatusOf(result).code() == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << text << " is " << StatusOf(result).ToString() << ", expected "
                                       << absl::StatusCodeToString(code);
}

#define EXPECT_OK(expression) EXPECT_PRED_FORMAT1(::segdict::test::IsOk, expression)
#define ASSERT_OK(expression) ASSERT_PRED_FORMAT1(::segdict::test::IsOk, expression)
// EXPECT_CODE(dict.Get("x"), kNotFound)
#define EXPECT_CODE(expression, code) \
  EXPECT_PRED_FORMAT2(::segdict::test::HasCode, expression, ::absl::StatusCode::code)
#define ASSERT_CODE(expression, code) \
  ASSERT_PRED_FORMAT2(::segdict::test::HasCode, expression, ::absl::StatusCode::code)

// The result's value; without one the process ends, since no test can go on from there.
template <class T>
T Must(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "Must: %s\n", result.status().ToString().c_str());
    std::abort();
  }
  return *std::move(result);
}

// ---- Names and dicts --------------------------------------------------------------------------------------

// A name for a segment that nobody else has; unlinked at the end of the scope, by the process that made it.
class ScopedName {
 public:
  ScopedName() : owner_(getpid()) {
    static std::atomic<int> next{0};
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    name_ = "segdict-test-" + std::to_string(owner_) + "-" + std::to_string(now.tv_nsec) + "-" + std::to_string(++next);
  }
  ScopedName(const ScopedName&) = delete;
  ScopedName& operator=(const ScopedName&) = delete;
  ~ScopedName() {
    if (getpid() == owner_) (void)Dict::Unlink(location());
  }
  Location location() const { return Name(name_); }
  const std::string& text() const { return name_; }
  std::string path() const { return "/dev/shm/" + name_; }

 private:
  pid_t owner_;
  std::string name_;
};

// A new dict, and its name.
struct OwnedDict {
  explicit OwnedDict(const Options& options) : dict(Must(Dict::Create(name.location(), options))) {}
  Dict* operator->() { return &dict; }
  Dict& operator*() { return dict; }
  ScopedName name;
  Dict dict;
};

// A dict with room for a few things of every kind.
inline Options SmallOptions() {
  Options options;
  options.capacity = 1000;
  options.value_bytes = 1 << 20;
  options.max_writers = 16;
  return options;
}

// The value of `key`; null if it is not there. Any other answer is a failure.
inline std::optional<std::string> Value(const Dict& dict, std::string_view key) {
  absl::StatusOr<std::string> value = dict.Get(key);
  if (value.ok()) return *std::move(value);
  EXPECT_CODE(value, kNotFound) << "Get(\"" << std::string(key.substr(0, 40)) << "\")";
  return std::nullopt;
}

// Every invariant holds, nothing is in flight, and the size is right. For dicts on which nobody is at work.
inline ::testing::AssertionResult IsSound(const Dict& dict) {
  absl::StatusOr<VerifyReport> report = dict.Verify();
  if (!report.ok()) return ::testing::AssertionFailure() << "Verify is " << report.status().ToString();
  auto failure = ::testing::AssertionFailure();
  if (!report->ok()) {
    failure << report->error_count << " errors:";
    for (const std::string& error : report->errors) failure << "\n  " << error;
    return failure;
  }
  if (report->in_flight != 0) return failure << report->in_flight << " things in flight, expected none";
  if (report->entries != dict.size()) {
    return failure << report->entries << " entries, but size() is " << dict.size();
  }
  return ::testing::AssertionSuccess();
}

// Bytes that look random, by `seed`, so that no two values are equal by chance and no part of one fits another.
inline std::string Bytes(size_t length, uint64_t seed) {
  std::string bytes(length, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + length + 1;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 32);
  }
  return bytes;
}

// ---- Time -------------------------------------------------------------------------------------------------

class ManualClock : public Clock {
 public:
  explicit ManualClock(int64_t now = 1'000'000'000) : now_(now) {}
  int64_t Now() const override { return now_.load(std::memory_order_seq_cst); }
  void Advance(absl::Duration by) { now_ += absl::ToInt64Nanoseconds(by); }
  void Set(int64_t now) { now_ = now; }

 private:
  std::atomic<int64_t> now_;
};

// Counts the sleeps of waits; gives up at the one with this number (from 1), counted since Sleeps was called.
class CountedBlocking : public Blocking {
 public:
  explicit CountedBlocking(int64_t give_up_at = std::numeric_limits<int64_t>::max()) : give_up_at_(give_up_at) {}
  bool Sleep(absl::FunctionRef<void()> sleep) override {
    if (++sleeps_ >= give_up_at_) return false;
    sleep();
    return true;
  }
  int64_t Sleeps() { return sleeps_.exchange(0); }

 private:
  const int64_t give_up_at_;
  std::atomic<int64_t> sleeps_{0};
};

inline void SleepMicroseconds(int64_t microseconds) {
  timespec time{.tv_sec = microseconds / 1'000'000, .tv_nsec = microseconds % 1'000'000 * 1'000};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

// Waits until `condition` holds. False, and a failure, after a time that only a hang exceeds.
inline bool Await(absl::FunctionRef<bool()> condition) {
  for (int i = 0; i < 300'000; ++i) {
    if (condition()) return true;
    SleepMicroseconds(i < 1000 ? 20 : 100);
  }
  ADD_FAILURE() << "waited in vain";
  return false;
}

// ---- Processes --------------------------------------------------------------------------------------------

// Words that this process shares with those it forks.
class SharedWords {
 public:
  static constexpr size_t kCount = 512;
  SharedWords() {
    void* page = mmap(nullptr, kCount * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) std::abort();
    words_ = static_cast<std::atomic<uint64_t>*>(page);
  }
  ~SharedWords() { munmap(words_, kCount * sizeof(uint64_t)); }
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;
  std::atomic<uint64_t>& operator[](size_t i) { return words_[i]; }

 private:
  std::atomic<uint64_t>* words_;
};

// Runs `body` and returns the text of its failures; empty if there were none.
inline std::string FailuresOf(absl::FunctionRef<void()> body) {
  ::testing::TestPartResultArray results;
  {
    ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
    body();
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i) {
    const ::testing::TestPartResult& result = results.GetTestPartResult(i);
    if (!result.failed()) continue;
    text += std::string(result.file_name() != nullptr ? result.file_name() : "?") + ":" +
            std::to_string(result.line_number()) + ": " + result.message() + "\n";
  }
  return text;
}

// A forked process. Its failures become failures of the process that waits for it; it dies with its parent.
class Child {
 public:
  explicit Child(absl::FunctionRef<void()> body, bool dies_with_parent = true) {
    // In shared memory, which outlives whatever the child does to its descriptors.
    void* page = mmap(nullptr, kReportSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) std::abort();
    report_ = static_cast<char*>(page);
    std::fflush(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) std::abort();
    if (pid_ > 0) return;
    if (dies_with_parent) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent && getppid() != 0) _exit(3);
    }
    const std::string failures = FailuresOf(body);
    std::memcpy(report_, failures.data(), std::min(failures.size(), kReportSize - 1));
    std::fflush(nullptr);
    _exit(failures.empty() ? 0 : 1);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), report_(std::exchange(other.report_, nullptr)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) Kill();
    if (report_ != nullptr) munmap(report_, kReportSize);
  }

  pid_t pid() const { return pid_; }
  void Signal(int number) const {
    ASSERT_GT(pid_, 0) << "it is gone";
    ASSERT_EQ(kill(pid_, number), 0);
  }
  // Stops the process and returns when it stands still.
  void Stop() const {
    Signal(SIGSTOP);
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status)) << "the child has ended instead: " << status;
  }
  void Continue() const { Signal(SIGCONT); }
  // Kills the process and returns when it is gone. Once.
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    int status;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
  // Waits for its end; its failures, or an end other than by itself, are failures here.
  void Wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    const std::string text = report_;
    EXPECT_TRUE(text.empty()) << "in a child process:\n" << text;
    if (WIFSIGNALED(status)) {
      ADD_FAILURE() << "a child process was ended by signal " << WTERMSIG(status);
    } else if (text.empty()) {
      EXPECT_EQ(WEXITSTATUS(status), 0) << "the status of a child process";
    }
  }

 private:
  static constexpr size_t kReportSize = 1 << 16;
  pid_t pid_ = -1;
  char* report_ = nullptr;
};

// Runs `body` in a process of its own.
inline void InChild(absl::FunctionRef<void()> body) { Child(body).Wait(); }

// The path of this test's program, to execute it anew. Not /proc/self/exe itself: under valgrind that is valgrind.
inline const std::string& ThisProgram() {
  static const std::string* path = new std::string(std::filesystem::read_symlink("/proc/self/exe").string());
  return *path;
}

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_TESTING_H_
