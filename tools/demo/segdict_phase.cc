#include "tools/demo/segdict_phase.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "segdict/dict.h"
#include "tools/demo/process.h"
#include "tools/demo/sealed_value.h"
#include "tools/demo/workers.h"

namespace segdict::demo {
namespace {

constexpr int kKills = 10;
constexpr absl::Duration kLoadLimit = absl::Seconds(60);
constexpr absl::Duration kStopLimit = absl::Seconds(15);

void ForEachEntry(const Corpus& corpus, absl::FunctionRef<void(std::string_view key, uint64_t value_length)> visit) {
  for (const Package& package : corpus) {
    visit(package.name, package.stanza.size() + kSealLength);
    visit(SizeKey(package), sizeof(int64_t));
  }
  visit(kUpdatesKey, sizeof(int64_t));
}

// Just what the corpus needs, and the new values that are being written while the old ones are still there: one for
// each writer, and one that a killed writer has left.
Options OptionsFor(const Corpus& corpus) {
  Options options;
  options.capacity = 2 * corpus.size() + 1;
  options.value_bytes = corpus.stanza_bytes();
  while (true) {
    // ValueBytesFor depends on value_bytes, in a few steps.
    uint64_t needed = 0;
    uint64_t largest = 0;
    ForEachEntry(corpus, [&](std::string_view key, uint64_t length) {
      const uint64_t bytes = Dict::ValueBytesFor(options, key.size(), length);
      needed += bytes;
      largest = std::max(largest, bytes);
    });
    needed += (kWriters + 1) * largest;
    if (needed <= options.value_bytes) return options;
    options.value_bytes = needed;
  }
}

class SegdictPhase {
 public:
  SegdictPhase(const Corpus& corpus, const std::string& name, absl::Duration duration, StatusLine* status_line,
               Dict dict)
      : world_(corpus, name), duration_(duration), status_line_(*status_line), dict_(std::move(dict)) {}

  absl::StatusOr<SegdictResult> Run() {
    absl::Status status = Load();
    if (status.ok()) status = MainPhase();
    if (status.ok()) status = Stop();
    if (status.ok()) status = CheckEverything();
    result_.problem = world_.board->problem.text();
    if (!status.ok()) {
      return absl::Status(status.code(), result_.problem.empty()
                                             ? std::string(status.message())
                                             : absl::StrCat(status.message(), ": ", result_.problem));
    }
    return std::move(result_);
  }

 private:
  absl::Status Load() {
    status_line_.Begin("segdict: loading");
    const absl::Time start = absl::Now();
    for (size_t i = 0; i < kReaders; ++i) {
      absl::StatusOr<Child> reader = Child::Start([&] { return RunReader(world_, i); });
      if (!reader.ok()) return reader.status();
      readers_[i] = *std::move(reader);
    }
    for (size_t i = 0; i < kWriters; ++i) {
      if (absl::Status status = StartWriter(i); !status.ok()) return status;
    }
    const auto loaded = [&] {
      for (size_t i = 0; i < kWriters; ++i) {
        if (world_.board->writers[i].position < PackagesOf(world_.corpus, i)) return false;
      }
      return true;
    };
    while (!loaded()) {
      if (absl::Now() - start > kLoadLimit) return absl::DeadlineExceededError("loading takes too long");
      if (absl::Status status = Watch(absl::Now() + absl::Milliseconds(5)); !status.ok()) return status;
    }
    result_.load_seconds = absl::ToDoubleSeconds(absl::Now() - start);
    return absl::OkStatus();
  }

  absl::Status StartWriter(size_t which) {
    absl::StatusOr<Child> writer = Child::Start([&] { return RunWriter(world_, which); });
    if (!writer.ok()) return writer.status();
    writers_[which] = *std::move(writer);
    return absl::OkStatus();
  }

  absl::Status MainPhase() {
    const uint64_t reads_before = Reads();
    const uint64_t writes_before = Writes();
    start_ = absl::Now();
    for (int i = 0; i < kKills; ++i) {
      const absl::Duration turn = duration_ / kKills;
      if (absl::Status status = KillOne(static_cast<size_t>(i) % kWriters, start_ + i * turn, turn); !status.ok()) {
        return status;
      }
    }
    if (absl::Status status = Watch(start_ + duration_); !status.ok()) return status;
    result_.reads = Reads() - reads_before;
    result_.writes = Writes() - writes_before;
    result_.seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    return absl::OkStatus();
  }

  // Kills writer `which` at some moment of the turn, recovers what it left, and starts it again.
  absl::Status KillOne(size_t which, absl::Time begin, absl::Duration turn) {
    WriterBoard& dead = world_.board->writers[which];
    std::atomic<int64_t>& longest = world_.board->writers[(which + 1) % kWriters].longest_call;
    const absl::Duration window = std::min(turn / 4, absl::Milliseconds(100));
    const double chance = std::uniform_real_distribution<double>(0, 1)(random_);
    if (absl::Status status = Watch(begin + chance * (turn - 3 * window)); !status.ok()) return status;

    Kill kill;
    longest = 0;
    if (absl::Status status = Watch(absl::Now() + window); !status.ok()) return status;
    kill.longest_before = absl::Nanoseconds(longest.exchange(0));

    const absl::Time killed = absl::Now();
    writers_[which].Kill();
    const absl::Time down = absl::Now();
    if (absl::StatusOr<uint32_t> recovered = dict_.Recover(); !recovered.ok()) return recovered.status();
    const Package& package = world_.corpus[PackageAt(world_.corpus, which, dead.position)];
    absl::Status status = dict_.Touch(package.name, absl::InfiniteDuration());
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    const absl::Time recovered = absl::Now();
    kill.in_call = dead.in_call.exchange(false);
    kill.recovery = recovered - killed;
    kill.recover_call = recovered - down;

    if (status = StartWriter(which); !status.ok()) return status;
    if (status = Watch(killed + window); !status.ok()) return status;
    kill.longest_around = absl::Nanoseconds(longest.load());
    result_.kills.push_back(kill);
    return absl::OkStatus();
  }

  // Waits, shows how far it is, and fails if a process ends or a signal arrives.
  absl::Status Watch(absl::Time until) {
    while (true) {
      if (Interrupted() != 0) return absl::CancelledError("interrupted");
      for (Child& child : writers_) {
        if (child.Ended()) return absl::InternalError("a writer has ended");
      }
      for (Child& child : readers_) {
        if (child.Ended()) return absl::InternalError("a reader has ended");
      }
      const double seconds = start_ == absl::InfinitePast() ? 0 : absl::ToDoubleSeconds(absl::Now() - start_);
      status_line_.Update(absl::StrFormat("segdict: %.0f of %.0f s, %d reads, %d writes, %d kills, %d wrong", seconds,
                                          absl::ToDoubleSeconds(duration_), Reads(), Writes(), result_.kills.size(),
                                          Wrong()));
      const absl::Duration left = until - absl::Now();
      if (left <= absl::ZeroDuration()) return absl::OkStatus();
      absl::SleepFor(std::min(left, absl::Milliseconds(50)));
    }
  }

  absl::Status Stop() {
    world_.board->stop = true;
    for (Child* child : {&writers_[0], &writers_[1], &readers_[0], &readers_[1]}) {
      if (absl::Status status = child->Join(kStopLimit); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Nobody else is at work now: everything is exact.
  absl::Status CheckEverything() {
    status_line_.Begin("segdict: checking everything");
    result_.wrong = Wrong();
    for (const ReaderBoard& reader : world_.board->readers) result_.all_reads += reader.reads + reader.small_reads;
    std::string buffer;
    for (size_t i = 0; i < world_.corpus.size(); ++i) {
      CountEndWrong(CheckPackage(dict_, world_, i, true, &buffer));
    }
    CountEndWrong(CheckUpdates());

    absl::StatusOr<Stats> stats = dict_.GetStats();
    if (!stats.ok()) return stats.status();
    absl::StatusOr<VerifyReport> verified = dict_.Verify();
    if (!verified.ok()) return verified.status();
    const Options options = OptionsFor(world_.corpus);
    uint64_t blocks = 0;
    ForEachEntry(world_.corpus, [&](std::string_view key, uint64_t length) {
      // A long value has a block for each of its pages.
      const uint64_t bytes = Dict::ValueBytesFor(options, key.size(), length);
      blocks += (bytes + stats->page_bytes - 1) / stats->page_bytes;
      ++result_.expected_entries;
    });
    result_.entries = dict_.size();
    result_.leaked_blocks = static_cast<int64_t>(verified->blocks) - static_cast<int64_t>(blocks);
    result_.segment_bytes = stats->segment_bytes;
    result_.verified = *std::move(verified);
    return absl::OkStatus();
  }

  // Each update that was acknowledged is counted, and those under way at a kill are counted or not.
  std::string CheckUpdates() {
    int64_t started = 0;
    int64_t finished = 0;
    for (const WriterBoard& writer : world_.board->writers) {
      started += static_cast<int64_t>(writer.adds_started.load());
      finished += static_cast<int64_t>(writer.adds_finished.load());
    }
    const absl::StatusOr<int64_t> count = dict_.FetchAdd(kUpdatesKey, 0);
    if (!count.ok()) return count.status().ToString();
    if (*count >= finished && *count <= started) return {};
    return absl::StrCat(kUpdatesKey, " is ", *count, ", but ", finished, " to ", started, " were made");
  }

  void CountEndWrong(const std::string& wrong) {
    if (wrong.empty()) return;
    ++result_.end_wrong;
    world_.board->problem.Tell(wrong);
  }

  uint64_t Reads() const {
    uint64_t sum = 0;
    for (const ReaderBoard& reader : world_.board->readers) sum += reader.reads;
    return sum;
  }
  uint64_t Writes() const {
    uint64_t sum = 0;
    for (const WriterBoard& writer : world_.board->writers) sum += writer.updates;
    return sum;
  }
  uint64_t Wrong() const {
    uint64_t sum = 0;
    for (const ReaderBoard& reader : world_.board->readers) sum += reader.wrong;
    return sum;
  }

  World world_;
  const absl::Duration duration_;
  StatusLine& status_line_;
  Dict dict_;
  std::mt19937 random_{std::random_device{}()};
  Child writers_[kWriters];
  Child readers_[kReaders];
  absl::Time start_ = absl::InfinitePast();  // of the main phase
  SegdictResult result_;
};

}  // namespace

absl::StatusOr<SegdictResult> RunSegdictPhase(const Corpus& corpus, const std::string& name, absl::Duration duration,
                                              StatusLine* status_line) {
  absl::StatusOr<Dict> dict = Dict::Create(Name(name), OptionsFor(corpus));
  if (!dict.ok()) return dict.status();
  const absl::Cleanup unlink = [&] { Dict::Unlink(Name(name)).IgnoreError(); };
  return SegdictPhase(corpus, name, duration, status_line, *std::move(dict)).Run();
}

}  // namespace segdict::demo
