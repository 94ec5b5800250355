#include "tools/demo/workers.h"

#include <random>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace segdict::demo {
namespace {

// No call takes nearly as long, unless the library hangs.
constexpr absl::Duration kTooLong = absl::Seconds(10);
constexpr uint64_t kEraseEvery = 8;      // updates that also erase and insert the size
constexpr uint64_t kSmallReadEvery = 8;  // reads that also look at the size and the count

// Distributes 0, 1, 2 ... over all 64-bit numbers (the finalizer of SplitMix64, Sebastiano Vigna).
uint64_t Scatter(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class Writer {
 public:
  Writer(const World& world, size_t which, Dict dict)
      : world_(world), which_(which), board_(world.board->writers[which]), dict_(std::move(dict)) {}

  absl::Status Run() {
    // A killed predecessor may have left its update half done: it is made once more.
    while (!world_.board->stop.load(std::memory_order_relaxed)) {
      if (absl::Status status = Update(board_.position); !status.ok()) return status;
      ++board_.updates;
      ++board_.position;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Update(uint64_t position) {
    const size_t index = PackageAt(world_.corpus, which_, position);
    const Package& package = world_.corpus[index];
    if (absl::Status status = SetNextVersion(package, &world_.versions[index]); !status.ok()) return status;

    const bool first_time = position < PackagesOf(world_.corpus, which_);
    if (first_time || position % kEraseEvery == 0) {
      const std::string key = SizeKey(package);
      absl::Status status = Timed([&] { return dict_.Erase(key); });
      if (!status.ok() && !absl::IsNotFound(status)) return status;
      const auto size = static_cast<int64_t>(package.stanza.size());
      status = Timed([&] { return dict_.FetchAdd(key, 0, size).status(); });
      if (!status.ok()) return status;
    }

    ++board_.adds_started;
    absl::Status status = Timed([&] { return dict_.FetchAdd(kUpdatesKey, 1, 0).status(); });
    ++board_.adds_finished;
    return status;
  }

  absl::Status SetNextVersion(const Package& package, KeyVersions* versions) {
    const uint32_t version = versions->started.load(std::memory_order_relaxed) + 1;
    Seal(package, version, &value_);
    versions->started.store(version, std::memory_order_release);
    absl::Status status = Timed([&] { return dict_.Set(package.name, value_, {.type = Type::kString}); });
    if (status.ok()) versions->done.store(version, std::memory_order_release);
    return status;
  }

  absl::Status Timed(absl::FunctionRef<absl::Status()> call) {
    const int64_t start = absl::GetCurrentTimeNanos();
    board_.in_call.store(true, std::memory_order_relaxed);
    absl::Status status = call();
    board_.in_call.store(false, std::memory_order_relaxed);
    const int64_t took = absl::GetCurrentTimeNanos() - start;
    if (took > board_.longest_call.load(std::memory_order_relaxed)) board_.longest_call = took;
    return status;
  }

  const World& world_;
  const size_t which_;
  WriterBoard& board_;
  Dict dict_;
  std::string value_;
};

absl::StatusOr<int64_t> ReadInt64(const Dict& dict, std::string_view key) {
  int64_t number = 0;
  ValueInfo info;
  absl::Status status = dict.Get(key, {reinterpret_cast<char*>(&number), sizeof(number)}, &info);
  if (!status.ok()) return status;
  if (info.length != sizeof(number)) return absl::DataLossError("not eight bytes");
  return number;
}

// Counts up the board; the first wrong value is described there.
class Reader {
 public:
  Reader(const World& world, size_t which, Dict dict)
      : world_(world), board_(world.board->readers[which]), dict_(std::move(dict)) {}

  void Run() {
    std::minstd_rand random(std::random_device{}());
    std::uniform_int_distribution<size_t> any(0, world_.corpus.size() - 1);
    std::string buffer;
    for (uint64_t i = 0; !world_.board->stop.load(std::memory_order_relaxed); ++i) {
      const bool small_too = i % kSmallReadEvery == 0;
      Judge(CheckPackage(dict_, world_, any(random), small_too, &buffer));
      ++board_.reads;
      if (small_too) {
        Judge(CheckCount());
        board_.small_reads += 2;
      }
    }
  }

 private:
  // It never goes back.
  std::string CheckCount() {
    const absl::StatusOr<int64_t> count = ReadInt64(dict_, kUpdatesKey);
    if (absl::IsNotFound(count.status()) && last_count_ == 0) return {};
    if (!count.ok()) return absl::StrCat(kUpdatesKey, ": ", count.status().ToString());
    if (*count < last_count_) return absl::StrCat(kUpdatesKey, " went back from ", last_count_, " to ", *count);
    last_count_ = *count;
    return {};
  }

  void Judge(const std::string& wrong) {
    if (wrong.empty()) return;
    ++board_.wrong;
    world_.board->problem.Tell(wrong);
  }

  const World& world_;
  ReaderBoard& board_;
  Dict dict_;
  int64_t last_count_ = 0;
};

absl::StatusOr<Dict> OpenDict(const World& world, bool read_only) {
  Options options;
  options.read_only = read_only;
  options.wait_limit = kTooLong;
  return Dict::Open(Name(world.name), options);
}

int Report(const World& world, const absl::Status& status) {
  if (status.ok()) return 0;
  world.board->problem.Tell(status.ToString());
  return 1;
}

}  // namespace

std::string SizeKey(const Package& package) { return absl::StrCat("size/", package.name); }

uint64_t PackagesOf(const Corpus& corpus, size_t which) { return (corpus.size() - which + kWriters - 1) / kWriters; }

size_t PackageAt(const Corpus& corpus, size_t which, uint64_t position) {
  const uint64_t packages = PackagesOf(corpus, which);
  return which + kWriters * (position < packages ? position : Scatter(position) % packages);
}

int RunWriter(const World& world, size_t which) {
  absl::StatusOr<Dict> dict = OpenDict(world, false);
  if (!dict.ok()) return Report(world, dict.status());
  return Report(world, Writer(world, which, *std::move(dict)).Run());
}

int RunReader(const World& world, size_t which) {
  absl::StatusOr<Dict> dict = OpenDict(world, true);
  if (!dict.ok()) return Report(world, dict.status());
  Reader(world, which, *std::move(dict)).Run();
  return 0;
}

std::string CheckPackage(const Dict& dict, const World& world, size_t package, bool size_too, std::string* buffer) {
  const Package& p = world.corpus[package];
  const KeyVersions& versions = world.versions[package];
  const uint32_t done_before = versions.done.load(std::memory_order_acquire);
  absl::Status status = dict.Get(p.name, buffer);
  // ABORTED asks to try again: the value is being replaced all the time.
  for (int tries = 0; absl::IsAborted(status) && tries < 100; ++tries) status = dict.Get(p.name, buffer);
  if (!status.ok() && !absl::IsNotFound(status)) return absl::StrCat(p.name, ": ", status.ToString());
  const char* wrong = WhatIsWrong(p, versions, done_before, status.ok() ? buffer : nullptr);
  if (wrong != nullptr) return absl::StrCat(p.name, " ", wrong);
  if (size_too) {
    // Absent it may be: writers erase it and insert it again.
    const absl::StatusOr<int64_t> size = ReadInt64(dict, SizeKey(p));
    if (!size.ok() && !absl::IsNotFound(size.status())) return absl::StrCat(SizeKey(p), ": ", size.status().ToString());
    if (size.ok() && *size != static_cast<int64_t>(p.stanza.size())) return absl::StrCat(SizeKey(p), " is ", *size);
  }
  return {};
}

}  // namespace segdict::demo
