// How long single gets take: alone, beside two writers, and beside a writer that is stopped in the middle of a write.
//
// The dict has a million entries (16-byte keys, 32-byte values, 75 % load), its pages mapped beforehand. Two key sets:
//   all   every key of the dict, at random: a get reads memory
//   hot   64 of the keys, at random: a get finds everything in the cache, and meets the writers all the time
// and four cases, in which the writers overwrite keys of the same set at random, as fast as they can:
//   quiet             no writer
//   writers           two writer processes
//   stopped           one of the two is stopped by SIGSTOP at a random moment; timed while it is
//   stopped-in-write  the same, at moments inside a write: it is let go on and stopped again until a probe finds the
//                     key that it is writing locked. Not of `all`, where nearly no get is of that key
// The cases take turns, round after round, so a drift of the machine meets all of them.
//
// The reader has the first CPU for itself, both writers share the second. The one that is not stopped keeps writing: it
// passes by the key that the other was found to hold.
//
// Each get is timed by itself with steady_clock, whose own 20 ns or so are included; its key is in the cache, chosen
// before. Every value is checked. Nothing is rounded: the histograms count exact nanoseconds. On stdout, as JSON:
//   {"entries", "hot_keys", "reader_cpu", "writer_cpu", "rounds",
//    "cases": [{"name": "hot/quiet", "gets", "stops", "writes", "histogram": [[nanoseconds, count], ...]}, ...]}
// `gets` is the sum of the counts, `stops` how often a writer was stopped, `writes` what the writers did while the gets
// were timed. Exit status 1, and a line on stderr, if anything failed or a value was wrong.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "segdict/dict.h"

ABSL_FLAG(uint32_t, rounds, 20, "how often the cases take turns");
ABSL_FLAG(uint32_t, gets, 200'000, "gets a case and round");
ABSL_FLAG(uint32_t, stops, 10, "moments at which a writer is stopped, a case and round");

namespace segdict {
namespace {

constexpr size_t kEntries = 1'000'000, kHotKeys = 64;
constexpr size_t kKeyLength = 16, kValueLength = 32;
using Key = std::array<char, kKeyLength>;
using Value = std::array<char, kValueLength>;  // the key, then anything
using Random = std::minstd_rand;

[[noreturn]] void Fail(std::string_view what) {
  std::fprintf(stderr, "latency: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

std::string_view Bytes(const Key& key) { return {key.data(), key.size()}; }

// ---- CPUs ---------------------------------------------------------------------------------------------------

struct Cpus {
  int reader, writer;  // the same if there is but one
};

Cpus ChooseCpus() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) Fail("sched_getaffinity failed");
  std::vector<int> found;
  for (int cpu = 0; cpu < CPU_SETSIZE && found.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) found.push_back(cpu);
  }
  return {found.front(), found.back()};
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) Fail("sched_setaffinity failed");
}

// ---- Counting -----------------------------------------------------------------------------------------------

class Histogram {
 public:
  Histogram() : short_(size_t{1} << 16) {}

  void Add(int64_t nanoseconds) {
    if (static_cast<uint64_t>(nanoseconds) < short_.size()) {
      ++short_[static_cast<size_t>(nanoseconds)];
    } else {
      ++long_[nanoseconds];
    }
    ++total_;
  }
  uint64_t total() const { return total_; }
  std::string Json() const {
    std::string text;
    const auto append = [&text](int64_t nanoseconds, uint64_t count) {
      absl::StrAppend(&text, text.empty() ? "[" : ",", "[", nanoseconds, ",", count, "]");
    };
    for (size_t i = 0; i < short_.size(); ++i) {
      if (short_[i] != 0) append(static_cast<int64_t>(i), short_[i]);
    }
    for (const auto& [nanoseconds, count] : long_) append(nanoseconds, count);
    return text.empty() ? "[]" : text + "]";
  }

 private:
  std::vector<uint64_t> short_;
  std::map<int64_t, uint64_t> long_;
  uint64_t total_ = 0;
};

struct Case {
  uint64_t stops = 0;
  uint64_t writes = 0;
  Histogram histogram;
};

// ---- The dict -----------------------------------------------------------------------------------------------

struct World {
  World() : keys(kEntries) {
    Random random(1);
    for (Key& key : keys) {
      for (char& c : key) c = static_cast<char>('a' + random() % 26);
    }
    descriptor = memfd_create("segdict-latency", MFD_CLOEXEC);
    if (descriptor < 0) Fail("memfd_create failed");
    absl::StatusOr<Dict> dict = Dict::Create(Descriptor(descriptor), {.capacity = kEntries});
    Check(dict.status());
    for (const Key& key : keys) Check(dict->Set(Bytes(key), {ValueOf(key, 0).data(), kValueLength}));
  }
  Dict Open(absl::Duration wait_limit) const {
    absl::StatusOr<Dict> dict = Dict::Open(Descriptor(descriptor), {.wait_limit = wait_limit, .prefault = true});
    Check(dict.status());
    return *std::move(dict);
  }
  static Value ValueOf(const Key& key, uint64_t number) {
    Value value{};
    std::memcpy(value.data(), key.data(), kKeyLength);
    std::memcpy(value.data() + kKeyLength, &number, sizeof(number));
    return value;
  }

  std::vector<Key> keys;
  int descriptor = -1;
};

// ---- Writers ------------------------------------------------------------------------------------------------

constexpr uint64_t kNoKey = ~uint64_t{0};

// What a writer and the reader tell each other.
struct alignas(64) Board {
  std::atomic<uint64_t> key{0};  // that it is writing, or is about to
  std::atomic<uint64_t> writes{0};
  std::atomic<uint64_t> pass_by{kNoKey};  // a key that it is not to write
  std::atomic<bool> end{false};
};

Board* SharedBoards() {
  void* memory = mmap(nullptr, 2 * sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap failed");
  auto* boards = static_cast<Board*>(memory);
  for (size_t i = 0; i < 2; ++i) new (&boards[i]) Board();
  return boards;
}

// A process that overwrites the first `key_count` keys at random until the board says end.
class Writer {
 public:
  Writer(const World& world, size_t key_count, int cpu, unsigned seed, Board* board) : board_(*board) {
    board_.end = false;
    board_.writes = 0;
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) Fail("fork failed");
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(0);
    PinTo(cpu);
    Run(world, key_count, seed);
    std::_Exit(0);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    board_.end = true;
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_ || status != 0) Fail("a writer failed");
  }

  Board& board() const { return board_; }
  void AwaitWrites(uint64_t count) const {
    const uint64_t enough = board_.writes.load() + count;
    while (board_.writes.load() < enough) {
      if (waitpid(pid_, nullptr, WNOHANG) != 0) Fail("a writer ended");
      std::this_thread::yield();
    }
  }
  // Returns when the kernel has stopped it.
  void Stop() const {
    int status = 0;
    if (kill(pid_, SIGSTOP) != 0 || waitpid(pid_, &status, WUNTRACED) != pid_ || !WIFSTOPPED(status)) {
      Fail("a writer could not be stopped");
    }
  }
  void Continue() const { kill(pid_, SIGCONT); }

 private:
  void Run(const World& world, size_t key_count, unsigned seed) {
    Dict dict = world.Open(absl::ZeroDuration());
    Random random(seed);
    for (uint64_t i = 0; !board_.end.load(std::memory_order_relaxed); ++i) {
      const size_t index = random() % key_count;
      if (index == board_.pass_by.load(std::memory_order_relaxed)) continue;
      const Value value = World::ValueOf(world.keys[index], i);
      board_.key.store(index, std::memory_order_relaxed);
      const absl::Status status = dict.Set(Bytes(world.keys[index]), {value.data(), value.size()});
      if (!status.ok() && !absl::IsDeadlineExceeded(status)) Check(status);
      board_.writes.store(i + 1, std::memory_order_relaxed);
    }
  }

  Board& board_;
  pid_t pid_ = -1;
};

// ---- The reader ---------------------------------------------------------------------------------------------

class Reader {
 public:
  // The key set is the first `key_count` keys.
  Reader(const World& world, const Dict& dict, size_t key_count) : world_(world), dict_(dict), key_count_(key_count) {}

  void Time(uint64_t gets, Histogram* histogram) {
    for (uint64_t i = 0; i < gets; ++i) {
      const Key key = world_.keys[random_() % key_count_];
      Value value;
      ValueInfo info;
      std::atomic_signal_fence(std::memory_order_seq_cst);  // the key is here before the clock is read
      const auto start = std::chrono::steady_clock::now();
      const absl::Status status = dict_.Get(Bytes(key), value, &info);
      const auto end = std::chrono::steady_clock::now();
      Check(status);
      if (info.length != kValueLength || std::memcmp(value.data(), key.data(), kKeyLength) != 0) Fail("a wrong value");
      histogram->Add(std::chrono::nanoseconds(end - start).count());
    }
  }

 private:
  const World& world_;
  const Dict& dict_;
  const size_t key_count_;
  Random random_{7};
};

// One key set with its four cases.
class Experiment {
 public:
  Experiment(const World& world, const Dict& dict, Cpus cpus, Board* boards, std::string name, size_t key_count,
             int tries)
      : world_(world),
        probe_(world.Open(absl::Milliseconds(2))),
        cpus_(cpus),
        boards_(boards),
        name_(std::move(name)),
        key_count_(key_count),
        tries_(tries),
        reader_(world, dict, key_count) {}

  void Round(uint64_t gets, uint64_t stops) {
    reader_.Time(gets, &quiet_.histogram);
    const auto seed = static_cast<unsigned>(random_());
    const Writer first(world_, key_count_, cpus_.writer, seed, &boards_[0]);
    const Writer second(world_, key_count_, cpus_.writer, seed + 1, &boards_[1]);
    first.AwaitWrites(1000);
    second.AwaitWrites(1000);
    const uint64_t writes_before = Writes();
    reader_.Time(gets, &writers_.histogram);
    writers_.writes += Writes() - writes_before;
    for (uint64_t i = 0; i < stops; ++i) {
      const Writer& writer = i % 2 == 0 ? first : second;
      const Writer& other = i % 2 == 0 ? second : first;
      StopAtRandom(writer, other);
      TimeBesideStopped(gets / stops, &stopped_);
      Continue(writer, other);
      for (int tries = 0; tries < tries_; ++tries) {
        const bool in_write = StopAtRandom(writer, other);
        if (in_write) TimeBesideStopped(gets / stops, &stopped_in_write_);
        Continue(writer, other);
        if (in_write) break;
      }
    }
  }

  std::string Json() const {
    return absl::StrCat(CaseJson("quiet", quiet_), ",\n", CaseJson("writers", writers_), ",\n",
                        CaseJson("stopped", stopped_),
                        tries_ == 0 ? "" : ",\n" + CaseJson("stopped-in-write", stopped_in_write_));
  }

 private:
  // Returns whether the moment was inside a write: then an overwrite of the writer's key waits until its limit.
  bool StopAtRandom(const Writer& writer, const Writer& other) {
    writer.AwaitWrites(100);  // it runs
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 100));
    writer.Stop();
    const uint64_t index = writer.board().key.load();
    const Key& key = world_.keys[index];
    const Value value = World::ValueOf(key, 0);
    const absl::Status status = probe_.Set(Bytes(key), {value.data(), value.size()});
    if (status.ok()) return false;
    if (!absl::IsDeadlineExceeded(status)) Check(status);
    other.board().pass_by = index;
    return true;
  }

  static void Continue(const Writer& writer, const Writer& other) {
    other.board().pass_by = kNoKey;
    writer.Continue();
  }

  void TimeBesideStopped(uint64_t gets, Case* result) {
    const uint64_t writes_before = Writes();
    reader_.Time(gets, &result->histogram);
    result->writes += Writes() - writes_before;
    ++result->stops;
  }

  uint64_t Writes() const { return boards_[0].writes.load() + boards_[1].writes.load(); }

  std::string CaseJson(const char* name, const Case& result) const {
    return absl::StrCat("  {\"name\": \"", name_, "/", name, "\", \"gets\": ", result.histogram.total(),
                        ", \"stops\": ", result.stops, ", \"writes\": ", result.writes,
                        ", \"histogram\": ", result.histogram.Json(), "}");
  }

  const World& world_;
  Dict probe_;
  const Cpus cpus_;
  Board* const boards_;
  const std::string name_;
  const size_t key_count_;
  const int tries_;  // to stop a writer inside a write
  Reader reader_;
  std::minstd_rand random_{13};
  Case quiet_, writers_, stopped_, stopped_in_write_;
};

void Main() {
  const uint64_t rounds = absl::GetFlag(FLAGS_rounds), gets = absl::GetFlag(FLAGS_gets);
  const uint64_t stops = absl::GetFlag(FLAGS_stops);
  if (rounds == 0 || stops == 0 || gets < stops) Fail("--rounds and --stops are at least 1, --gets at least --stops");
  const Cpus cpus = ChooseCpus();
  PinTo(cpus.reader);
  const World world;
  const Dict dict = world.Open(absl::InfiniteDuration());
  Board* boards = SharedBoards();
  Experiment hot(world, dict, cpus, boards, "hot", kHotKeys, 200);
  Experiment all(world, dict, cpus, boards, "all", kEntries, 0);
  for (uint64_t i = 0; i < rounds; ++i) {
    hot.Round(gets, stops);
    all.Round(gets, stops);
  }
  std::printf(
      "{\"entries\": %zu, \"hot_keys\": %zu, \"reader_cpu\": %d, \"writer_cpu\": %d, \"rounds\": %llu, \"cases\": [\n"
      "%s,\n%s\n]}\n",
      kEntries, kHotKeys, cpus.reader, cpus.writer, static_cast<unsigned long long>(rounds), hot.Json().c_str(),
      all.Json().c_str());
}

}  // namespace
}  // namespace segdict

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("times gets beside writers, one of them stopped; prints histograms as JSON");
  if (absl::ParseCommandLine(argc, argv).size() > 1) {
    std::fputs("latency: takes no arguments besides its options; --help lists them\n", stderr);
    return 1;
  }
  segdict::Main();
  return 0;
}
