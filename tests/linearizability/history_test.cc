// Histories of real processes and threads on one dict, recorded and checked for linearizability (checker.h): G2, and
// "wholly or not at all" of G3.
//
// A round is a new dict with few keys, one to four processes of one to three threads each, and a mix of all operations,
// all chosen by the round's seed. Each thread writes what it calls and is told into memory that outlives it. Meanwhile
// processes are stopped, continued, killed and replaced. A killed process's last calls are pending: they took effect
// before it was gone, or never. Afterwards Verify must be content, and every key's history linearizable.
//
// What makes calls overlap on a machine with few processors: timers that interrupt each thread at any instruction and
// let it sleep, the same within the dict's clock and Update's function, and SIGSTOP.
//
// SEGDICT_HISTORY_ROUNDS: how many rounds; SEGDICT_SEED: the first one's seed, to make the same choices again (the
// schedule is the kernel's).
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "segdict/dict.h"
#include "tests/linearizability/checker.h"
#include "tests/testing.h"

namespace segdict::linearizability {
namespace {

using test::Child;
using test::IsSound;
using test::Must;
using test::OwnedDict;
using test::SleepMicroseconds;

int64_t Monotonic() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

using Random = std::mt19937_64;

uint64_t Below(Random& random, uint64_t bound) { return random() % bound; }
bool OneIn(Random& random, uint64_t n) { return Below(random, n) == 0; }

// ---- Values that tell what they are -----------------------------------------------------------------------

// A number says the length too: bytes of another value, or of another length, do not pass for it.
constexpr int kLengthBits = 16;
constexpr size_t kMaxLength = 14'000;

std::string BytesOf(uint64_t number) {
  std::string bytes(number & ((1 << kLengthBits) - 1), '\0');
  for (size_t at = 0; at < bytes.size(); at += 8) {
    const uint64_t word = at == 0 ? number : Mix(number + at);
    std::memcpy(bytes.data() + at, &word, std::min<size_t>(8, bytes.size() - at));
  }
  return bytes;
}

// `type` kAnyType: by the length. Other values have more than eight bytes.
Value ValueOf(std::string_view bytes, int type) {
  Value value{.type = type};
  if (bytes.size() < 8) return {.type = type, .torn = true};
  std::memcpy(&value.number, bytes.data(), 8);
  if (type == Value::kInt64 || (type == Value::kAnyType && bytes.size() == 8)) {
    value.torn = bytes.size() != 8;
  } else {
    value.torn = (value.number & ((1 << kLengthBits) - 1)) != bytes.size() || BytesOf(value.number) != bytes;
  }
  return value;
}

// ---- What a round is ---------------------------------------------------------------------------------------

struct Plan {
  uint64_t seed = 0;
  uint32_t processes = 2, threads = 1, calls = 200;
  uint32_t keys = 1, hot = 1;  // of ten calls nine are for the hot ones
  bool crowded = false;        // nearly no slot is free: keys are displaced, and pulled home
  bool expiry = false;
  bool ordered = false;
  bool lock_mode = false;
  bool tight = false;     // values do not always fit into the arena
  bool deadline = false;  // waits for others are bounded
  bool inherit = false;   // processes use the handle that was forked
  uint32_t lengths = 0;   // 0: in the slot, 1: blocks too, 2: and several pages
  uint32_t slot_size = 64;
  uint32_t kills = 0;
  bool stops = false;
  int64_t interrupt_every = 0;  // nanoseconds; 0: never
  bool counting = false;        // half of all calls add to counters

  // Nothing but writes changes a version.
  bool VersionsChangeAlone() const { return crowded || expiry || tight || kills > 0; }
};

Plan PlanOf(uint64_t seed) {
  Random random(seed);
  Plan plan;
  plan.seed = seed;
  plan.processes = 1 + static_cast<uint32_t>(Below(random, 4));
  plan.threads = 1 + static_cast<uint32_t>(Below(random, 3));
  // Many calls that are open at a time make many orders to look at.
  if (plan.processes * plan.threads > 6) plan.threads = plan.processes == 4 ? 1 : 2;
  if (plan.processes * plan.threads < 2) plan.threads = 3;
  plan.calls = static_cast<uint32_t>(1200 / (plan.processes * plan.threads));
  plan.hot = plan.keys = 1 + static_cast<uint32_t>(Below(random, OneIn(random, 2) ? 2 : 6));
  plan.crowded = OneIn(random, 3);
  plan.slot_size = OneIn(random, 4) ? 128 : 64;
  plan.lengths = static_cast<uint32_t>(Below(random, 3));
  plan.expiry = OneIn(random, 2);
  plan.ordered = OneIn(random, 3);
  plan.lock_mode = OneIn(random, 4);
  plan.tight = plan.lengths > 0 && OneIn(random, 4);
  plan.deadline = OneIn(random, 4);
  plan.inherit = OneIn(random, 2);
  plan.kills = OneIn(random, 2) ? 1 + static_cast<uint32_t>(Below(random, 6)) : 0;
  plan.stops = OneIn(random, 2);
  if (!OneIn(random, 5)) plan.interrupt_every = 10'000 + static_cast<int64_t>(Below(random, 90'000));
  if (plan.crowded) {
    plan.keys = 27 + static_cast<uint32_t>(Below(random, 4));
    plan.hot = 2 + static_cast<uint32_t>(Below(random, 5));
  }
  plan.counting = OneIn(random, 4);
  return plan;
}

Options OptionsOf(const Plan& plan, const Clock* clock) {
  Options options;
  // Two groups of fifteen slots, to the last; or plenty.
  options.capacity = plan.crowded ? plan.keys : 60;
  options.max_load = plan.crowded ? 1 : 0.75;
  // Pages of 4 KiB. What is needed at a time: each key's value, and each writer's.
  options.value_bytes = plan.lengths == 0 ? 0 : plan.tight ? 30'000 : plan.crowded ? 1'040'000 : 700'000;
  options.slot_size = plan.slot_size;
  options.max_writers = 32;
  options.ordered = plan.ordered;
  options.lock_mode = plan.lock_mode ? LockMode::kGlobalMutex : LockMode::kPerSlot;
  if (plan.deadline) options.wait_limit = absl::Microseconds(200);
  options.clock = clock;
  return options;
}

std::string ToString(const Plan& plan) {
  std::string text = std::to_string(plan.processes) + " processes of " + std::to_string(plan.threads) + " threads, " +
                     std::to_string(plan.keys) + " keys, lengths " + std::to_string(plan.lengths);
  for (const auto& [is, name] : {std::pair(plan.crowded, ", crowded"),
                                 {plan.expiry, ", expiry"},
                                 {plan.ordered, ", ordered"},
                                 {plan.lock_mode, ", lock mode"},
                                 {plan.tight, ", tight"},
                                 {plan.deadline, ", deadline"},
                                 {plan.inherit, ", inherited"},
                                 {plan.counting, ", counting"},
                                 {plan.stops, ", stops"}}) {
    if (is) text += name;
  }
  return text + ", " + std::to_string(plan.kills) + " kills, interrupts every " +
         std::to_string(plan.interrupt_every / 1000) + " us";
}

// ---- What the processes share -----------------------------------------------------------------------------

struct Record {
  enum State : uint32_t { kNone, kBegun, kEnded };
  Call call;
  uint32_t key;
  bool read_clock;
  std::atomic<uint32_t> state;
};

struct Log {
  static constexpr uint32_t kRecords = 4096;
  std::atomic<uint32_t> count;
  Record records[kRecords];
};

struct Board {
  static constexpr uint32_t kLogs = 64;
  std::atomic<int64_t> clock;
  std::atomic<uint32_t> has_problem;
  std::atomic<uint32_t> done;  // processes
  char problem[400];
  Log logs[kLogs];

  // Keeps the first.
  void Problem(const std::string& text) {
    if (has_problem.exchange(1) == 0) text.copy(problem, sizeof(problem) - 1);
  }
};

class SharedBoard {
 public:
  SharedBoard() {
    void* memory =
        mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    board_ = static_cast<Board*>(memory);
    board_->clock = 1000;
  }
  ~SharedBoard() { munmap(board_, sizeof(Board)); }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  Board* operator->() const { return board_; }
  Board& operator*() const { return *board_; }

 private:
  Board* board_;
};

// ---- Interruptions ----------------------------------------------------------------------------------------

// Of this thread; what its signal handler needs has no constructor.
thread_local uint64_t t_chance = 0;
thread_local bool t_interrupted = false;

// Lets others run now, for up to 100 us.
void Pause() {
  t_chance = Mix(t_chance);
  if (t_chance % 2 == 0) {
    sched_yield();
    return;
  }
  const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(t_chance / 2 % 100'000)};
  nanosleep(&time, nullptr);
}

// In code that runs in the middle of calls.
void PauseSometimes() {
  t_chance = Mix(t_chance);
  if (t_interrupted && t_chance % 16 == 0) Pause();
}

thread_local timer_t t_timer;
thread_local int64_t t_every = 0;

// The next interruption, some time after this: a thread shall get on between two of them.
void Arm() {
  t_chance = Mix(t_chance);
  itimerspec times{};
  times.it_value.tv_nsec = static_cast<long>(1000 + t_chance % static_cast<uint64_t>(2 * t_every));
  timer_settime(t_timer, 0, &times, nullptr);
}

// Signals to this thread, at whatever instruction it is; about `every` nanoseconds, or never.
class Interrupts {
 public:
  explicit Interrupts(int64_t every) {
    t_every = every;
    t_interrupted = every != 0;
    if (every == 0) return;
    prctl(PR_SET_TIMERSLACK, 1);
    struct sigaction action {};
    action.sa_handler = [](int) {
      const int error = errno;
      Pause();
      Arm();
      errno = error;
    };
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    if (timer_create(CLOCK_MONOTONIC, &event, &t_timer) != 0) std::abort();
    Arm();
  }
  ~Interrupts() {
    if (t_interrupted) timer_delete(t_timer);
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
};

// ---- Recording --------------------------------------------------------------------------------------------

// The calls that this thread is in: more than one if it is for many keys.
thread_local std::span<Record> t_open;

// A word that the threads advance by one now and then; what a call reads is written down before the call goes on.
class SharedClock : public Clock {
 public:
  explicit SharedClock(Board& board) : board_(board) {}
  int64_t Now() const override {
    const int64_t now = board_.clock.load();
    for (Record& record : t_open) {
      if (!record.read_clock) record.call.clock_first = now;
      record.call.clock_last = now;
      record.read_clock = true;
    }
    PauseSometimes();
    return now;
  }

 private:
  Board& board_;
};

class Recorder {
 public:
  Recorder(Board& board, uint32_t log) : board_(board), log_(board.logs[log]), thread_(static_cast<int>(log)) {}

  // Another record of the coming call.
  Call& Add(Kind kind, uint32_t key) {
    if (log_.count.load() + added_ >= Log::kRecords) std::abort();
    Record& record = log_.records[log_.count.load() + added_++];
    record.key = key;
    record.call = Call{};
    record.call.kind = kind;
    record.call.thread = thread_;
    return record.call;
  }
  bool HasRoom(uint32_t more) const { return log_.count.load() + more <= Log::kRecords; }

  void Begin() {
    const uint32_t count = log_.count.load();
    t_open = {log_.records + count, added_};
    const int64_t clock = board_.clock.load();
    const int64_t now = Monotonic();
    for (Record& record : t_open) {
      record.call.clock_begin = record.call.clock_first = record.call.clock_last = clock;
      record.call.begin = now;
      record.state.store(Record::kBegun, std::memory_order_relaxed);
    }
    log_.count.store(count + added_, std::memory_order_release);
    added_ = 0;
    NoLoadsAhead();
  }
  // What the calls gave is filled in between.
  void End() {
    const int64_t now = Monotonic();
    const int64_t clock = board_.clock.load();
    for (Record& record : std::exchange(t_open, {})) {
      record.call.clock_end = clock;
      record.call.end = now;
      record.state.store(Record::kEnded, std::memory_order_release);
    }
  }

 private:
  // The call's loads come after the time that was read; the stores before it need not be out, as with any caller.
  static void NoLoadsAhead() {
#if defined(__x86_64__)
    __builtin_ia32_lfence();
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }

  Board& board_;
  Log& log_;
  const int thread_;
  uint32_t added_ = 0;
};

// ---- The mix ----------------------------------------------------------------------------------------------

std::string KeyOf(uint32_t key) { return "key " + std::to_string(key); }

class Worker {
 public:
  Worker(const Plan& plan, Board& board, Dict dict, uint32_t log)
      : plan_(plan),
        board_(board),
        dict_(std::move(dict)),
        log_(log),
        recorder_(board, log),
        random_(Mix(plan.seed) + log),
        versions_(plan.keys),
        buffer_(kMaxLength + 1, '\0') {}

  void Run() {
    t_chance = random_();
    Interrupts interrupts(plan_.interrupt_every);
    for (uint32_t i = 0; i < plan_.calls && recorder_.HasRoom(2 * plan_.keys); ++i) {
      if (plan_.expiry && OneIn(random_, 6)) board_.clock.fetch_add(1);
      One(OneIn(random_, 10) ? static_cast<uint32_t>(Below(random_, plan_.keys))
                             : static_cast<uint32_t>(Below(random_, plan_.hot)));
    }
  }

  // A last look at everything.
  void LookAtAll() {
    for (uint32_t key = 0; key < plan_.keys; ++key) Visit(key);
  }

 private:
  // ---- Arguments ----

  // No other call's, and not to be had from another one's by adding.
  uint64_t Unique() { return (uint64_t{log_ + 1} << 16 | ++made_) << kLengthBits; }

  size_t Length() {
    const size_t inline_bytes = plan_.slot_size / 2 - 10;
    switch (Below(random_, plan_.lengths + 1)) {
      case 0:
        return 9 + Below(random_, inline_bytes);
      case 1:
        return 60 + Below(random_, 900);
      default:
        return OneIn(random_, 2) ? 1000 + Below(random_, 3000) : 4000 + Below(random_, kMaxLength - 4000);
    }
  }

  // What a writing call shall store.
  std::string Choose(Call& call, WriteOptions* options) {
    std::string bytes;
    if (OneIn(random_, 5)) {
      call.stored = {Unique(), Value::kInt64};
      bytes.assign(reinterpret_cast<const char*>(&call.stored.number), 8);
    } else {
      static constexpr int kTypes[] = {0, 1, 32};
      call.stored = {Unique() | Length(), kTypes[Below(random_, 3)]};
      bytes = BytesOf(call.stored.number);
    }
    options->type = static_cast<Type>(call.stored.type);
    ChooseTtl(call, options);
    return bytes;
  }
  void ChooseTtl(Call& call, WriteOptions* options) {
    if (!plan_.expiry) return;
    if (!OneIn(random_, 3)) {
      call.ttl = OneIn(random_, 12) ? 0 : 1 + static_cast<int64_t>(Below(random_, OneIn(random_, 2) ? 4 : 30));
      options->ttl = absl::Nanoseconds(call.ttl);
    }
    call.keep_ttl = options->keep_ttl = OneIn(random_, 4);
  }

  // ---- Results ----

  void Told(Call& call, const absl::Status& status) {
    const bool compares = call.kind == Kind::kCompareAndSet || call.kind == Kind::kCompareAndErase;
    switch (status.code()) {
      case absl::StatusCode::kOk:
        call.result = Result::kOk;
        return;
      case absl::StatusCode::kNotFound:
        call.result = Result::kAbsent;
        return;
      case absl::StatusCode::kAlreadyExists:
        call.result = Result::kExists;
        return;
      case absl::StatusCode::kAborted:
        call.result = compares ? Result::kChanged : Result::kNothingDone;
        return;
      case absl::StatusCode::kFailedPrecondition:
        call.result = Result::kNotInteger;
        if (call.kind == Kind::kFetchAdd) return;
        break;
      case absl::StatusCode::kOutOfRange:
        call.result = Result::kOutOfRange;
        if (call.kind == Kind::kFetchAdd) return;
        break;
      case absl::StatusCode::kDeadlineExceeded:
        call.result = Result::kNothingDone;
        if (plan_.deadline) return;
        break;
      case absl::StatusCode::kResourceExhausted:
        call.result = Result::kNothingDone;
        if (plan_.tight) return;
        break;
      default:
        call.result = Result::kNothingDone;
    }
    board_.Problem(linearizability::ToString(call) + ": " + status.ToString());
  }

  static Token TokenOf(const Version& version) { return {version.slot, version.seq}; }
  static int64_t TtlOf(absl::Duration ttl) {
    return ttl == absl::InfiniteDuration() ? kForever : absl::ToInt64Nanoseconds(ttl);
  }
  void Saw(Call& call, const Entry& entry) {
    call.result = Result::kOk;
    call.seen = ValueOf(entry.value, static_cast<int>(entry.type));
    call.seen_ttl = TtlOf(entry.ttl);
    call.version = TokenOf(entry.version);
    call.order = entry.order;
  }

  // ---- Calls ----

  void One(uint32_t key) {
    if (plan_.counting && OneIn(random_, 2)) return FetchAdd(key);
    switch (Below(random_, 32)) {
      case 0:
      case 1:
        return Get(key);
      case 2:
      case 3:
        return GetIntoBuffer(key);
      case 4:
      case 5:
      case 6:
        return Visit(key);
      case 7:
        return GetMany(key);
      case 8:
        return Contains(key);
      case 9:
        return OneIn(random_, plan_.crowded ? 8 : 3) ? ForEach() : Get(key);
      case 10:
      case 11:
      case 12:
        return Set(key);
      case 13:
        return SetParts(key);
      case 14:
        return SetMany(key);
      case 15:
      case 16:
      case 17:
        return Insert(key);
      case 18:
        return Replace(key);
      case 19:
      case 20:
        return Erase(key);
      case 21:
        return Take(key);
      case 22:
      case 23:
        return CompareAndSet(key);
      case 24:
        return CompareAndErase(key);
      case 25:
      case 26:
        return FetchAdd(key);
      case 27:
      case 28:
        return Update(key);
      case 29:
        return plan_.expiry ? Touch(key) : Insert(key);
      case 30:
        return plan_.lock_mode && !(plan_.expiry && plan_.ordered) ? UpdateUnderLock(key)
               : plan_.ordered                                     ? MoveToEnd(key)
                                                                   : Erase(key);
      default:
        return OneIn(random_, 10) ? Clear() : plan_.expiry ? Sweep() : Set(key);
    }
  }

  void Get(uint32_t key) {
    Call& call = recorder_.Add(Kind::kGet, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    absl::Status status = dict_.Get(name, &buffer_);
    if (status.ok()) call.seen = ValueOf(buffer_, Value::kAnyType);
    Told(call, status);
    recorder_.End();
  }

  void GetIntoBuffer(uint32_t key) {
    Call& call = recorder_.Add(Kind::kGet, key);
    const std::string name = KeyOf(key);
    char bytes[kMaxLength];
    ValueInfo info;
    recorder_.Begin();
    absl::Status status = dict_.Get(name, bytes, &info);
    if (status.ok()) {
      call.seen = ValueOf({bytes, info.length}, static_cast<int>(info.type));
      call.seen_ttl = TtlOf(info.ttl);
      call.version = TokenOf(info.version);
      versions_[key] = info.version;
    }
    Told(call, status);
    recorder_.End();
  }

  void Visit(uint32_t key) {
    Call& call = recorder_.Add(Kind::kGet, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    absl::Status status = dict_.Visit(name, [&](const Entry& entry) {
      Saw(call, entry);
      versions_[key] = entry.version;
    });
    Told(call, status);
    recorder_.End();
  }

  // Of each key, as it is at some moment meanwhile.
  void GetMany(uint32_t first) {
    const uint32_t count = 1 + static_cast<uint32_t>(Below(random_, std::min(plan_.keys, 4u)));
    std::vector<std::string> names;
    std::vector<Call*> calls;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t key = (first + i) % plan_.keys;
      calls.push_back(&recorder_.Add(Kind::kGet, key));
      names.push_back(KeyOf(key));
    }
    const std::vector<std::string_view> keys(names.begin(), names.end());
    recorder_.Begin();
    absl::Status status = dict_.GetMany(keys, [&](size_t i, const Entry* entry) {
      calls[i]->result = Result::kAbsent;
      if (entry != nullptr) Saw(*calls[i], *entry);
      PauseSometimes();
    });
    if (!status.ok()) {
      for (Call* call : calls) Told(*call, status);
    }
    recorder_.End();
  }

  void Contains(uint32_t key) {
    Call& call = recorder_.Add(Kind::kContains, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    absl::StatusOr<bool> there = dict_.Contains(name);
    Told(call, there.status());
    if (there.ok() && !*there) call.result = Result::kAbsent;
    recorder_.End();
  }

  // What was not visited was absent at some moment meanwhile. (In the order of insertion it may also have been moved to
  // the end: then that tells nothing.)
  void ForEach() {
    const bool in_order = plan_.ordered && OneIn(random_, 2);
    std::vector<Call*> calls;
    for (uint32_t key = 0; key < plan_.keys; ++key) calls.push_back(&recorder_.Add(Kind::kGet, key));
    std::vector<uint32_t> visits(plan_.keys);
    const auto visit = [&](const Entry& entry) {
      const uint32_t key = static_cast<uint32_t>(std::strtoul(std::string(entry.key.substr(4)).c_str(), nullptr, 10));
      if (key >= plan_.keys || ++visits[key] > 1) {
        board_.Problem("ForEach: visited twice, or unknown: " + std::string(entry.key));
        return true;
      }
      Saw(*calls[key], entry);
      PauseSometimes();
      return true;
    };
    recorder_.Begin();
    absl::Status status = in_order ? dict_.ForEachOrdered(Direction::kForward, visit) : dict_.ForEach(visit);
    for (uint32_t key = 0; key < plan_.keys; ++key) {
      if (visits[key] > 0) continue;
      calls[key]->result = in_order ? Result::kNothingDone : Result::kAbsent;
      if (!status.ok()) Told(*calls[key], status);
    }
    recorder_.End();
  }

  void Set(uint32_t key) {
    Call& call = recorder_.Add(Kind::kSet, key);
    WriteOptions options;
    const std::string name = KeyOf(key), value = Choose(call, &options);
    recorder_.Begin();
    Told(call, dict_.Set(name, value, options));
    recorder_.End();
  }

  void SetParts(uint32_t key) {
    Call& call = recorder_.Add(Kind::kSet, key);
    WriteOptions options;
    const std::string name = KeyOf(key), value = Choose(call, &options);
    const size_t cut = Below(random_, value.size());
    const std::string_view parts[] = {std::string_view(value).substr(0, cut), std::string_view(value).substr(cut)};
    recorder_.Begin();
    Told(call, dict_.SetParts(name, parts, options));
    recorder_.End();
  }

  void SetMany(uint32_t first) {
    const uint32_t count = 1 + static_cast<uint32_t>(Below(random_, std::min(plan_.keys, 3u)));
    std::vector<std::pair<std::string, std::string>> strings;
    std::vector<Call*> calls;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t key = (first + i) % plan_.keys;
      Call& call = recorder_.Add(Kind::kSet, key);
      call.stored = {Unique() | Length(), 0};
      calls.push_back(&call);
      strings.emplace_back(KeyOf(key), BytesOf(call.stored.number));
    }
    const std::vector<std::pair<std::string_view, std::string_view>> pairs(strings.begin(), strings.end());
    size_t done = 0;
    recorder_.Begin();
    absl::Status status = dict_.SetMany(pairs, {}, &done);
    for (size_t i = 0; i < count; ++i) {
      if (i <= done) {
        Told(*calls[i], i < done ? absl::OkStatus() : status);
      } else {
        calls[i]->result = Result::kNothingDone;
      }
    }
    recorder_.End();
  }

  void Insert(uint32_t key) {
    Call& call = recorder_.Add(Kind::kInsert, key);
    WriteOptions options;
    const std::string name = KeyOf(key), value = Choose(call, &options);
    recorder_.Begin();
    Told(call, dict_.Insert(name, value, options));
    recorder_.End();
  }

  void Replace(uint32_t key) {
    Call& call = recorder_.Add(Kind::kReplace, key);
    WriteOptions options;
    const std::string name = KeyOf(key), value = Choose(call, &options);
    recorder_.Begin();
    Told(call, dict_.Replace(name, value, options));
    recorder_.End();
  }

  void Erase(uint32_t key) {
    Call& call = recorder_.Add(Kind::kErase, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    if (OneIn(random_, 4)) {
      const std::string_view names[] = {name};
      absl::StatusOr<uint64_t> erased = dict_.EraseMany(names);
      Told(call, erased.status());
      if (erased.ok() && *erased == 0) call.result = Result::kAbsent;
    } else {
      Told(call, dict_.Erase(name));
    }
    recorder_.End();
  }

  void Take(uint32_t key) {
    Call& call = recorder_.Add(Kind::kTake, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    absl::StatusOr<std::string> value = dict_.Take(name);
    if (value.ok()) call.seen = ValueOf(*value, Value::kAnyType);
    Told(call, value.status());
    recorder_.End();
  }

  // With what this thread saw last: some time ago, or just now.
  void CompareAndSet(uint32_t key) {
    if (!OneIn(random_, 3)) Visit(key);
    Call& call = recorder_.Add(Kind::kCompareAndSet, key);
    WriteOptions options;
    const std::string name = KeyOf(key), value = Choose(call, &options);
    const Version expected = versions_[key];
    call.expected = TokenOf(expected);
    recorder_.Begin();
    absl::StatusOr<Version> version = dict_.CompareAndSet(name, expected, value, options);
    if (version.ok()) call.version_after = TokenOf(*version);
    Told(call, version.status());
    recorder_.End();
    if (version.ok()) versions_[key] = *version;
  }

  void CompareAndErase(uint32_t key) {
    if (!OneIn(random_, 3)) GetIntoBuffer(key);
    Call& call = recorder_.Add(Kind::kCompareAndErase, key);
    const std::string name = KeyOf(key);
    call.expected = TokenOf(versions_[key]);
    recorder_.Begin();
    Told(call, dict_.CompareAndErase(name, versions_[key]));
    recorder_.End();
  }

  void FetchAdd(uint32_t key) {
    Call& call = recorder_.Add(Kind::kFetchAdd, key);
    const std::string name = KeyOf(key);
    WriteOptions options;
    ChooseTtl(call, &options);
    call.addend =
        OneIn(random_, 20) ? std::numeric_limits<int64_t>::max() : 1 + static_cast<int64_t>(Below(random_, 50));
    std::optional<int64_t> initial;
    if (OneIn(random_, 2)) {
      call.addend %= 1 << kLengthBits;
      call.has_initial = true;
      call.initial = static_cast<int64_t>(Unique());
      initial = call.initial;
    }
    recorder_.Begin();
    absl::StatusOr<int64_t> before = dict_.FetchAdd(name, call.addend, initial, options);
    if (before.ok()) call.seen = {static_cast<uint64_t>(*before), Value::kInt64};
    Told(call, before.status());
    recorder_.End();
  }

  void Update(uint32_t key) {
    Call& call = recorder_.Add(Kind::kUpdate, key);
    const std::string name = KeyOf(key);
    WriteOptions options;
    const std::string value = Choose(call, &options);
    call.stores = !OneIn(random_, 6);
    // Without options the type stays: over an integer, the same number is stored as one.
    call.has_options = call.stored.type == Value::kInt64 || OneIn(random_, 2);
    recorder_.Begin();
    // What was shown last counts; until the call is back, that is not known.
    Call shown;
    absl::Status status = dict_.Update(
        name,
        [&](const Entry* entry) -> std::optional<std::string> {
          shown.result = Result::kAbsent;
          if (entry != nullptr) Saw(shown, *entry);
          PauseSometimes();
          if (!call.stores) return std::nullopt;
          const bool as_integer = !call.has_options && entry != nullptr && entry->type == Type::kInt64;
          return as_integer ? std::string(reinterpret_cast<const char*>(&call.stored.number), 8) : value;
        },
        call.has_options ? std::optional(options) : std::nullopt);
    if (status.ok()) {
      call.seen = shown.seen;
      call.seen_ttl = shown.seen_ttl;
      call.version = shown.version;
      call.order = shown.order;
      call.result = shown.result;
    } else {
      Told(call, status);
    }
    recorder_.End();
  }

  void Touch(uint32_t key) {
    Call& call = recorder_.Add(Kind::kTouch, key);
    const std::string name = KeyOf(key);
    WriteOptions options;
    ChooseTtl(call, &options);
    recorder_.Begin();
    Told(call, dict_.Touch(name, options.ttl));
    recorder_.End();
  }

  void MoveToEnd(uint32_t key) {
    Call& call = recorder_.Add(Kind::kMoveToEnd, key);
    const std::string name = KeyOf(key);
    recorder_.Begin();
    Told(call, dict_.MoveToEnd(name));
    recorder_.End();
  }

  // A look and a Set in one section: all writers take the lock, so it is one atomic step. (Only that the entry may
  // expire between the two, which an insertion number would tell.)
  void UpdateUnderLock(uint32_t key) {
    Call& call = recorder_.Add(Kind::kUpdate, key);
    const std::string name = KeyOf(key);
    call.stored = {Unique() | Length(), 0};
    const std::string value = BytesOf(call.stored.number);
    recorder_.Begin();
    absl::StatusOr<Dict::LockGuard> guard = dict_.Lock();
    absl::Status status = guard.status();
    if (status.ok()) {
      Call shown;
      shown.result = Result::kAbsent;
      (void)dict_.Visit(name, [&](const Entry& entry) { Saw(shown, entry); });
      PauseSometimes();
      status = dict_.Set(name, value);
      if (status.ok()) {
        call.seen = shown.seen;
        call.seen_ttl = shown.seen_ttl;
        call.version = shown.version;
        call.order = shown.order;
        call.result = shown.result;
      }
    }
    if (!status.ok()) Told(call, status);
    recorder_.End();
  }

  void Clear() {
    std::vector<Call*> calls;
    for (uint32_t key = 0; key < plan_.keys; ++key) calls.push_back(&recorder_.Add(Kind::kClear, key));
    recorder_.Begin();
    absl::Status status = dict_.Clear();
    // If it gave up on the way, each may be gone or not.
    if (status.ok() || !plan_.deadline) {
      for (Call* call : calls) Told(*call, status);
    }
    recorder_.End();
  }

  // Changes nothing that calls can tell.
  void Sweep() {
    absl::StatusOr<uint64_t> swept = dict_.Sweep(OneIn(random_, 2) ? 5 : 1000);
    if (swept.ok() || (plan_.deadline && absl::IsDeadlineExceeded(swept.status()))) return;
    board_.Problem("Sweep: " + swept.status().ToString());
  }

  const Plan& plan_;
  Board& board_;
  Dict dict_;
  const uint32_t log_;
  Recorder recorder_;
  Random random_;
  std::vector<Version> versions_;  // by key: what this thread saw last
  std::string buffer_;
  uint64_t made_ = 0;
};

// ---- A round ----------------------------------------------------------------------------------------------

struct Totals {
  uint64_t rounds = 0, calls = 0, pending = 0, histories = 0, undecided = 0, pairs = 0, overlaps = 0;
};

class Round {
 public:
  explicit Round(const Plan& plan)
      : plan_(plan), clock_(*board_), dict_(OptionsOf(plan, &clock_)), random_(Mix(plan.seed + 1)) {}

  // False: not linearizable, or something else is wrong; it was reported.
  bool Run(Totals* totals) {
    for (uint32_t i = 0; i < plan_.processes; ++i) Start();
    Disturb();
    for (Process& process : processes_) {
      if (process.child.has_value()) process.child->Wait();
    }
    EXPECT_EQ(board_->has_problem.load(), 0u) << board_->problem;
    EXPECT_OK(dict_->Recover());
    EXPECT_TRUE(IsSound(*dict_));
    Worker(plan_, *board_, *dict_, next_log_++).LookAtAll();
    return CheckAll(totals) && !testing::Test::HasFailure();
  }

 private:
  struct Process {
    std::optional<Child> child;
    uint32_t first_log;
  };

  void Start() {
    const uint32_t first = next_log_;
    next_log_ += plan_.threads;
    processes_.push_back({std::nullopt, first});
    processes_.back().child.emplace([&] {
      Dict dict = plan_.inherit ? *dict_ : Must(Dict::Open(dict_.name.location(), OptionsOf(plan_, &clock_)));
      std::vector<std::thread> threads;
      for (uint32_t t = 1; t < plan_.threads; ++t) {
        threads.emplace_back([&, t] { Worker(plan_, *board_, dict, first + t).Run(); });
      }
      Worker(plan_, *board_, dict, first).Run();
      for (std::thread& thread : threads) thread.join();
      ++board_->done;
    });
  }

  // Kills, stops and continues, while there are processes at work.
  void Disturb() {
    uint32_t kills = plan_.kills;
    for (uint32_t turn = 0; turn < (plan_.stops ? 20 : 0) + 4 * plan_.kills; ++turn) {
      if (board_->done >= plan_.processes) return;
      SleepMicroseconds(static_cast<int64_t>(Below(random_, 800)));
      Process& process = processes_[Below(random_, processes_.size())];
      if (!process.child.has_value()) continue;
      if (kills > 0 && OneIn(random_, 4)) {
        --kills;
        Kill(&process);
        Start();
      } else if (plan_.stops) {
        kill(process.child->pid(), SIGSTOP);
        SleepMicroseconds(static_cast<int64_t>(Below(random_, 1500)));
        kill(process.child->pid(), SIGCONT);
      }
    }
  }

  void Kill(Process* process) {
    process->child->Kill();
    process->child.reset();
    const int64_t now = Monotonic(), clock = board_->clock.load();
    for (uint32_t i = 0; i < plan_.threads; ++i) {
      Log& log = board_->logs[process->first_log + i];
      for (uint32_t k = 0; k < log.count.load(); ++k) {
        Record& record = log.records[k];
        if (record.state.load() == Record::kEnded) continue;
        record.call.result = Result::kUnknown;
        record.call.end = now;
        record.call.clock_end = clock;
      }
    }
  }

  bool CheckAll(Totals* totals) {
    std::vector<std::vector<Call>> histories(plan_.keys);
    for (uint32_t i = 0; i < next_log_; ++i) {
      Log& log = board_->logs[i];
      for (uint32_t k = 0; k < log.count.load(); ++k) {
        const Record& record = log.records[k];
        histories[record.key].push_back(record.call);
        ++totals->calls;
        if (record.call.result == Result::kUnknown) ++totals->pending;
      }
    }
    CheckOptions options;
    options.versions_change_alone = plan_.VersionsChangeAlone();
    bool right = true;
    for (uint32_t key = 0; key < plan_.keys; ++key) {
      ++totals->histories;
      const Verdict verdict = Check(histories[key], options);
      totals->pairs += verdict.pairs;
      if (verdict.kind == Verdict::Kind::kUndecided) ++totals->undecided;
      if (!verdict.wrong()) continue;
      ADD_FAILURE() << "\"" << KeyOf(key) << "\" is " << Explain(histories[key], options);
      right = false;
    }
    ++totals->rounds;
    return right;
  }

  const Plan plan_;
  SharedBoard board_;
  SharedClock clock_;
  OwnedDict dict_;
  Random random_;
  std::vector<Process> processes_;
  uint32_t next_log_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Histories, AreLinearizable) {
  const uint64_t rounds = FromEnvironment("SEGDICT_HISTORY_ROUNDS", 300);
  const uint64_t first = FromEnvironment("SEGDICT_SEED", Mix(static_cast<uint64_t>(Monotonic())) >> 20);
  Totals totals;
  for (uint64_t i = 0; i < rounds; ++i) {
    const Plan plan = PlanOf(first + i);
    if (Round(plan).Run(&totals)) continue;
    ADD_FAILURE() << ToString(plan) << "\nrepeat: SEGDICT_SEED=" << first + i << " SEGDICT_HISTORY_ROUNDS=100";
    break;
  }
  std::printf("%lu rounds from seed %lu: %lu calls, %lu pending, %lu histories of a key, %lu undecided, %lu pairs\n",
              totals.rounds, first, totals.calls, totals.pending, totals.histories, totals.undecided, totals.pairs);
  EXPECT_LE(totals.undecided * 100, totals.histories) << "of too many histories it is not known whether they are right";
}

}  // namespace
}  // namespace segdict::linearizability
