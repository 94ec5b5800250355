#include "tools/demo/baseline_phase.h"

#include <malloc.h>

#include <atomic>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tools/demo/process.h"
#include "tools/demo/sealed_value.h"
#include "tools/demo/whole_dict_baseline.h"

namespace segdict::demo {
namespace {

constexpr size_t kWriters = 2;
constexpr size_t kReaders = 2;

// One worker's, in shared memory.
struct alignas(64) Count {
  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<int64_t> nanoseconds{0};  // from the start of the work to the end of its last operation

  double PerSecond() const {
    const auto seconds = static_cast<double>(nanoseconds.load()) * 1e-9;
    return seconds > 0 ? static_cast<double>(operations.load()) / seconds : 0;
  }
};

struct Board {
  Count writers[kWriters];
  Count readers[kReaders];
  std::atomic<bool> stop{false};
  FirstProblem problem;
};

class BaselinePhase {
 public:
  BaselinePhase(const Corpus& corpus, absl::Duration duration, StatusLine* status_line, WholeDict dict)
      : corpus_(corpus),
        duration_(duration),
        status_line_(*status_line),
        dict_(std::move(dict)),
        versions_(corpus.size()) {}

  absl::StatusOr<BaselineResult> Run() {
    if (absl::Status status = Load(); !status.ok()) return status;
    start_ = absl::Now();
    std::vector<Child> children;
    for (size_t i = 0; i < kWriters + kReaders; ++i) {
      absl::StatusOr<Child> child = Child::Start([&] {
        KeepFreedMemory();
        return i < kWriters ? Write(i, &board_->writers[i]) : Read(&board_->readers[i - kWriters]);
      });
      if (!child.ok()) return child.status();
      children.push_back(*std::move(child));
    }
    while (absl::Now() - start_ < duration_) {
      absl::SleepFor(absl::Milliseconds(50));
      if (Interrupted() != 0) return absl::CancelledError("interrupted");
      for (Child& child : children) {
        if (child.Ended()) return absl::InternalError(absl::StrCat("a baseline process ended: ", Problem()));
      }
      const BaselineResult now = Sum();
      status_line_.Update(absl::StrFormat("baseline: %.0f of %.0f s, %d reads, %d writes",
                                          absl::ToDoubleSeconds(absl::Now() - start_), absl::ToDoubleSeconds(duration_),
                                          now.reads, now.writes));
    }
    board_->stop = true;
    for (Child& child : children) {
      if (absl::Status status = child.Join(absl::Seconds(60)); !status.ok()) return status;
    }
    return Sum();
  }

 private:
  // Freeing a parsed dict must not give its pages back to the kernel: the next operation needs them again.
  static void KeepFreedMemory() {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 64 << 20);
  }

  absl::Status Load() {
    WholeDict::Map map;
    map.reserve(corpus_.size());
    std::string value;
    for (size_t i = 0; i < corpus_.size(); ++i) {
      Seal(corpus_[i], 1, &value);
      map.emplace(corpus_[i].name, value);
      versions_[i].started = 1;
      versions_[i].done = 1;
    }
    return dict_.SetAll(map);
  }

  int Write(size_t which, Count* count) {
    std::minstd_rand random(static_cast<unsigned>(which + 1));
    // This writer's packages: which, which + kWriters, ...
    std::uniform_int_distribution<size_t> any(0, (corpus_.size() - which - 1) / kWriters);
    std::string value;
    while (!board_->stop) {
      const size_t i = which + kWriters * any(random);
      const uint32_t version = versions_[i].started + 1;
      Seal(corpus_[i], version, &value);
      versions_[i].started = version;
      if (absl::Status status = dict_.Set(corpus_[i].name, value); !status.ok()) {
        board_->problem.Tell(status.ToString());
        return 1;
      }
      versions_[i].done = version;
      Counted(count);
    }
    return 0;
  }

  int Read(Count* count) {
    std::minstd_rand random(std::random_device{}());
    std::uniform_int_distribution<size_t> any(0, corpus_.size() - 1);
    std::string value;
    while (!board_->stop) {
      const size_t i = any(random);
      const uint32_t done_before = versions_[i].done;
      const bool found = dict_.Get(corpus_[i].name, &value);
      if (WhatIsWrong(corpus_[i], versions_[i], done_before, found ? &value : nullptr) != nullptr) ++count->wrong;
      Counted(count);
    }
    return 0;
  }

  void Counted(Count* count) const {
    ++count->operations;
    count->nanoseconds = absl::ToInt64Nanoseconds(absl::Now() - start_);
  }

  std::string Problem() const {
    std::string problem = board_->problem.text();
    return problem.empty() ? "killed" : problem;
  }

  BaselineResult Sum() const {
    BaselineResult sum;
    for (const Count& count : board_->writers) {
      sum.writes += count.operations;
      sum.writes_per_second += count.PerSecond();
    }
    for (const Count& count : board_->readers) {
      sum.reads += count.operations;
      sum.reads_per_second += count.PerSecond();
      sum.wrong += count.wrong;
    }
    return sum;
  }

  const Corpus& corpus_;
  const absl::Duration duration_;
  StatusLine& status_line_;
  WholeDict dict_;
  Shared<KeyVersions> versions_;
  Shared<Board> board_;
  absl::Time start_;
};

}  // namespace

absl::StatusOr<BaselineResult> RunBaselinePhase(const Corpus& corpus, const std::string& name, absl::Duration duration,
                                                StatusLine* status_line) {
  status_line->Begin("baseline: loading");
  size_t bytes = 0;
  for (const Package& package : corpus) {
    bytes += WholeDict::BytesFor(package.name.size(), package.stanza.size() + kSealLength);
  }
  absl::StatusOr<WholeDict> dict = WholeDict::Create(name, bytes);
  if (!dict.ok()) return dict.status();
  absl::StatusOr<BaselineResult> result = BaselinePhase(corpus, duration, status_line, *std::move(dict)).Run();
  if (result.ok()) result->segment_bytes = bytes;
  return result;
}

}  // namespace segdict::demo
