// The soak: worker processes, in C++ and in Python, use one dict in every way there is, while they are killed (SIGKILL)
// and stopped (SIGSTOP, SIGCONT) at random moments, for as long as one likes. An oracle outside of the segment
// (board.h) knows what must be in the dict; everybody checks all that they read against it.
//
// Time is cut into epochs, each with a new dict of another shape (shape.h). Every few seconds all workers come to rest
// between two calls, and everything is checked: Verify, size, blocks in use, each key, each counter. At the end of an
// epoch the dict is filled up to what it promised, cleared by workers that are killed while they do so, and cleared:
// then nothing may be in use.
//
// A worker that was stopped is continued, or killed, within two seconds. Meanwhile the key that it is writing is read,
// and the others go on. A worker that makes no call for a minute (longer on a loaded machine) hangs.
//
// A seed repeats the choices (shapes, victims, pauses, keys), not the moments: what a run finds, another run with the
// same seed finds only probably. Therefore a failed run keeps the segment and the board.
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "segdict/dict.h"
#include "tests/soak/board.h"
#include "tests/soak/crew.h"
#include "tests/soak/journals.h"
#include "tests/soak/oracle.h"
#include "tests/soak/shape.h"
#include "tests/soak/worker.h"

namespace segdict::soak {
namespace {

struct Settings {
  double minutes = 1;
  uint64_t seed = 0;
  uint64_t workers = 6;
  double epoch_seconds = 25;
  double check_seconds = 4;
  std::string python;
  std::string python_worker = "tests/soak/worker.py";
  std::string keep;
};

constexpr double kWorkerLimit = 60;         // seconds without a call, on a machine without other load
constexpr unsigned kSupervisorLimit = 600;  // of a round of the supervisor: its reads wait for nobody

volatile sig_atomic_t interrupted = 0;
char segment_path[128] = "";  // of the segment, if it has a name

void OnSignal(int number) { interrupted = number; }

// The workers die with this process.
void OnAlarm(int) {
  constexpr std::string_view kText = "wrong: the supervisor hangs, in a read of the dict or in Recover\n";
  if (segment_path[0] != '\0') unlink(segment_path);
  (void)!write(STDOUT_FILENO, kText.data(), kText.size());
  _exit(1);
}

double Seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void SleepSeconds(double seconds) {
  if (seconds <= 0) return;
  timespec time;
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - std::floor(seconds)) * 1e9);
  nanosleep(&time, nullptr);
}

// How much longer than usual things may take.
double LoadFactor() {
  double load = 1;
  if (getloadavg(&load, 1) != 1) return 1;
  return std::max(1.0, load / static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)));
}

std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

struct Totals {
  std::array<uint64_t, kKinds> calls{}, kills_inside{};
  uint64_t kills = 0, python_kills = 0, kills_amid = 0, stops = 0, stops_inside = 0, recoveries = 0, checks = 0,
           epochs = 0;
  uint64_t reads_meanwhile = 0, writes_meanwhile = 0;  // of others, while one was stopped inside a call
  uint64_t full = 0, gave_up = 0, moved = 0;

  static uint64_t Sum(const std::array<uint64_t, kKinds>& of, Kind from = Kind::kGet, Kind to = Kind::kCount) {
    uint64_t sum = 0;
    for (auto kind = static_cast<size_t>(from); kind < static_cast<size_t>(to); ++kind) sum += of[kind];
    return sum;
  }
  uint64_t all_calls() const { return Sum(calls); }
  uint64_t inside() const { return Sum(kills_inside); }
};

// One dict, its board and its workers.
class Epoch {
 public:
  Epoch(const Settings& settings, const Shape& shape, uint64_t number, std::mt19937_64& random, Totals& totals)
      : settings_(settings), shape_(shape), number_(number), random_(random), totals_(totals), seats_(shape.seats) {}

  ~Epoch() {
    crew_.reset();
    if (!name_.empty()) (void)Dict::Unlink(Name(name_));
    segment_path[0] = '\0';
    if (segment_fd_ >= 0) close(segment_fd_);
    if (board_fd_ >= 0) close(board_fd_);
  }

  absl::Status SetUp();
  absl::Status Run(double until, double started);
  absl::Status TearDown();
  // After a failure: writes what there is into a folder.
  void Keep(const std::string& folder);
  std::string Progress(double started) const;
  // Adds the calls of this dict.
  void AddUp(Totals& totals) const;

 private:
  struct Standing {  // of a seat
    uint64_t calls_seen = 0;
    double moved_at = 0;
    double continue_at = 0;
    bool inside = false;
    uint64_t reads_before = 0, writes_before = 0;
  };

  absl::Status Start(uint64_t seat);
  absl::Status Aim(std::optional<uint64_t>* victim);
  absl::Status Kill(uint64_t seat, bool start_another);
  absl::Status Stop(uint64_t seat);
  void Continue(uint64_t seat);
  absl::Status ActAtRandom();
  absl::Status Check();
  absl::Status LookForHangs();
  absl::Status ClearUnderKills();
  std::optional<uint64_t> AnyVictim();
  uint64_t CallsOfOthers(uint64_t seat, Kind from, Kind to) const;

  const Settings& settings_;
  const Shape shape_;
  const uint64_t number_;
  std::mt19937_64& random_;
  Totals& totals_;
  std::vector<Standing> seats_;
  std::string name_;
  int segment_fd_ = -1, board_fd_ = -1;
  std::unique_ptr<Board> board_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<Crew> crew_;
  std::unique_ptr<Journals> journals_;
  uint64_t rests_ = 0;
};

absl::Status Epoch::SetUp() {
  const size_t size = Board::SizeFor(shape_.seats, shape_.keys_per_seat());
  board_fd_ = memfd_create("soak-board", 0);
  if (board_fd_ < 0 || ftruncate(board_fd_, static_cast<off_t>(size)) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make the board");
  }
  board_ = std::make_unique<Board>(board_fd_, size);
  if (!board_->mapped()) return absl::ErrnoToStatus(errno, "cannot map the board");

  absl::StatusOr<Dict> dict = absl::InternalError("");
  if (shape_.named) {
    name_ = absl::StrCat("segdict-soak-", getpid(), "-", absl::Hex(random_(), absl::kZeroPad16));
    std::snprintf(segment_path, sizeof(segment_path), "/dev/shm/%s", name_.c_str());
    dict = Dict::Create(Name(name_), shape_.options);
  } else {
    segment_fd_ = memfd_create("soak-segment", MFD_ALLOW_SEALING);
    dict = Dict::Create(Descriptor(segment_fd_), shape_.options);
  }
  if (!dict.ok()) return dict.status();
  const absl::StatusOr<Stats> stats = dict->GetStats();
  if (!stats.ok()) return stats.status();

  BoardHeader& header = board_->header();
  header.size = size;
  header.seats = shape_.seats;
  header.keys_per_seat = shape_.keys_per_seat();
  header.entries_per_seat = shape_.entries_per_seat;
  header.bytes_per_seat = shape_.bytes_per_seat;
  header.seed = random_();
  header.slot_size = shape_.options.slot_size;
  header.ordered = shape_.options.ordered ? 1 : 0;
  header.page_bytes = stats->page_bytes;
  header.value_bytes = shape_.options.value_bytes;
  header.segment_fd = segment_fd_ < 0 ? 0 : static_cast<uint64_t>(segment_fd_);
  header.noise_size = kNoiseSize;
  std::memcpy(header.name, name_.c_str(), std::min(name_.size() + 1, sizeof(header.name) - 1));
  for (size_t i = 0; i < kNoiseSize; i += 8) {
    const uint64_t word = random_();
    std::memcpy(board_->noise() + i, &word, 8);
  }
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    board_->seat(seat).locks = shape_.LocksAt(seat) ? 1 : 0;
    board_->seat(seat).wait_limit_ms = shape_.WaitLimitAt(seat);
  }
  oracle_ = std::make_unique<Oracle>(*board_, *std::move(dict));
  if (absl::Status status = oracle_->SetUp(random_); !status.ok()) return status;

  Crew::Programs programs{.self = std::filesystem::read_symlink("/proc/self/exe"),
                          .python = settings_.python,
                          .python_worker = settings_.python_worker};
  if (!settings_.python.empty()) programs.python_seats = shape_.seats / 3;
  crew_ = std::make_unique<Crew>(*board_, board_fd_, programs);
  absl::StatusOr<std::unique_ptr<internal::Segment>> segment = internal::Segment::Attach(board_->location(), {});
  if (!segment.ok()) return segment.status();
  journals_ = std::make_unique<Journals>(*std::move(segment));
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    if (absl::Status status = Start(seat); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Epoch::Start(uint64_t seat) {
  seats_[seat] = {.moved_at = Seconds()};
  return crew_->Start(seat);
}

// Seeks a worker in the middle of an operation and stops it there; mostly after its image was shown. Gives up soon.
absl::Status Epoch::Aim(std::optional<uint64_t>* victim) {
  const auto wanted = random_() % 4 == 0 ? Journals::Depth::kJournaled : Journals::Depth::kShown;
  for (int i = 0; i < 300; ++i) {
    SleepSeconds(10e-6);
    const pid_t process = journals_->Find(wanted);
    for (uint64_t seat = 0; process > 1 && seat < shape_.seats; ++seat) {
      if (crew_->process(seat) != process || crew_->stopped(seat)) continue;
      if (absl::Status status = crew_->Stop(seat); !status.ok()) return status;
      *victim = seat;
      if (journals_->Of(process) == wanted) return absl::OkStatus();
      crew_->Continue(seat);
    }
  }
  return absl::OkStatus();
}

absl::Status Epoch::Kill(uint64_t seat, bool start_another) {
  if (journals_->Of(crew_->process(seat)) != Journals::Depth::kIdle && crew_->stopped(seat)) ++totals_.kills_amid;
  if (absl::Status status = crew_->Kill(seat); !status.ok()) return status;
  Seat& dead = board_->seat(seat);
  ++totals_.kills;
  if (crew_->in_python(seat)) ++totals_.python_kills;
  if (dead.state == static_cast<uint64_t>(State::kInCall)) ++totals_.kills_inside[dead.kind];
  if (absl::Status status = oracle_->Settle(dead); !status.ok()) return status;
  return start_another ? Start(seat) : absl::OkStatus();
}

absl::Status Epoch::Stop(uint64_t seat) {
  if (absl::Status status = crew_->Stop(seat); !status.ok()) return status;
  Standing& standing = seats_[seat];
  const double longest = random_() % 10 == 0 ? 2 : 0.1;
  standing.continue_at = Seconds() + longest * static_cast<double>(random_() % 1000) * 1e-3;
  standing.inside = board_->seat(seat).state == static_cast<uint64_t>(State::kInCall);
  ++totals_.stops;
  if (!standing.inside) return absl::OkStatus();
  ++totals_.stops_inside;
  standing.reads_before = CallsOfOthers(seat, Kind::kGet, Kind::kSet);
  standing.writes_before = CallsOfOthers(seat, Kind::kSet, Kind::kRecover);
  return oracle_->ReadBehind(board_->seat(seat));
}

void Epoch::Continue(uint64_t seat) {
  Standing& standing = seats_[seat];
  if (standing.inside) {
    totals_.reads_meanwhile += CallsOfOthers(seat, Kind::kGet, Kind::kSet) - standing.reads_before;
    totals_.writes_meanwhile += CallsOfOthers(seat, Kind::kSet, Kind::kRecover) - standing.writes_before;
  }
  standing.moved_at = Seconds();
  crew_->Continue(seat);
}

uint64_t Epoch::CallsOfOthers(uint64_t seat, Kind from, Kind to) const {
  uint64_t sum = 0;
  for (uint64_t other = 0; other < shape_.seats; ++other) {
    for (auto kind = static_cast<size_t>(from); other != seat && kind < static_cast<size_t>(to); ++kind) {
      sum += board_->seat(other).calls[kind];
    }
  }
  return sum;
}

// Mostly one that is at work; sometimes one that has hardly begun.
std::optional<uint64_t> Epoch::AnyVictim() {
  std::vector<uint64_t> candidates;
  const bool any = random_() % 30 == 0;
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    if (!crew_->stopped(seat) && (any || board_->seat(seat).calls_of_life > 0)) candidates.push_back(seat);
  }
  if (candidates.empty()) return std::nullopt;
  return candidates[random_() % candidates.size()];
}

absl::Status Epoch::ActAtRandom() {
  const uint64_t choice = random_() % 100;
  std::optional<uint64_t> victim = AnyVictim();
  if (!victim.has_value()) return absl::OkStatus();
  if (choice < 35) {
    uint64_t standing = 0;
    for (uint64_t seat = 0; seat < shape_.seats; ++seat) standing += crew_->stopped(seat) ? 1 : 0;
    return standing * 2 < shape_.seats ? Stop(*victim) : absl::OkStatus();
  }
  if (choice < 80) {
    if (absl::Status status = Aim(&victim); !status.ok()) return status;
  }
  if (choice < 97) return Kill(*victim, true);
  // Several at once: recoverers of each other, too.
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    if (random_() % 2 == 0 || board_->seat(seat).calls_of_life == 0) continue;
    if (absl::Status status = Kill(seat, true); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Epoch::LookForHangs() {
  const double now = Seconds(), limit = kWorkerLimit * LoadFactor();
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    Standing& standing = seats_[seat];
    const Seat& of = board_->seat(seat);
    const uint64_t calls = of.calls_of_life;
    if (calls != standing.calls_seen || crew_->stopped(seat) || (of.resting != 0 && of.resting == rests_)) {
      standing.calls_seen = calls;
      standing.moved_at = now;
    } else if (now - standing.moved_at > limit) {
      return absl::DeadlineExceededError(
          absl::StrCat("worker ", seat, " makes no call for ", static_cast<int>(limit), " s:\n", crew_->Describe()));
    }
  }
  return absl::OkStatus();
}

absl::Status Epoch::Check() {
  board_->header().rest = ++rests_;
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    if (crew_->stopped(seat)) Continue(seat);
    seats_[seat].moved_at = Seconds();
  }
  for (uint64_t seat = 0; seat < shape_.seats;) {
    if (board_->seat(seat).resting == rests_) {
      ++seat;
      continue;
    }
    SleepSeconds(0.0005);
    if (absl::Status status = crew_->Look(); !status.ok()) return status;
    if (absl::Status status = LookForHangs(); !status.ok()) return status;
  }
  ++totals_.checks;
  if (absl::Status status = oracle_->Check(); !status.ok()) return status;
  board_->header().rest = 0;
  return absl::OkStatus();
}

absl::Status Epoch::Run(double until, double started) {
  double next_check = Seconds() + settings_.check_seconds, next_look = 0;
  while (Seconds() < until && interrupted == 0) {
    alarm(kSupervisorLimit);
    SleepSeconds(static_cast<double>(random_() % 1000) * (random_() % 2 == 0 ? 1e-6 : 50e-6));
    const double now = Seconds();
    for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
      if (!crew_->stopped(seat) || now < seats_[seat].continue_at) continue;
      if (random_() % 3 != 0) {
        Continue(seat);
      } else if (absl::Status status = Kill(seat, true); !status.ok()) {
        return status;
      }
    }
    if (absl::Status status = crew_->Look(); !status.ok()) return status;
    if (absl::Status status = ActAtRandom(); !status.ok()) return status;
    if (now > next_look) {
      next_look = now + 1;
      if (absl::Status status = LookForHangs(); !status.ok()) return status;
    }
    if (now > next_check) {
      if (absl::Status status = Check(); !status.ok()) return status;
      std::puts(Progress(started).c_str());
      std::fflush(stdout);
      next_check = Seconds() + settings_.check_seconds;
    }
  }
  return absl::OkStatus();
}

absl::Status Epoch::TearDown() {
  for (uint64_t seat = 0; seat < shape_.seats; ++seat) {
    if (absl::Status status = Kill(seat, false); !status.ok()) return status;
  }
  ++totals_.checks;
  if (absl::Status status = oracle_->Check(); !status.ok()) return status;
  if (absl::Status status = oracle_->FillToThePromise(random_); !status.ok()) return status;
  if (absl::Status status = ClearUnderKills(); !status.ok()) return status;
  if (absl::Status status = oracle_->ClearAll(); !status.ok()) return status;
  const absl::StatusOr<Stats> stats = oracle_->dict().GetStats();
  if (!stats.ok()) return stats.status();
  totals_.recoveries += stats->recoveries;
  ++totals_.epochs;
  return absl::OkStatus();
}

absl::Status Epoch::ClearUnderKills() {
  for (int i = 0; i < 2; ++i) {
    if (absl::Status status = crew_->Start(0, /*clearer=*/true); !status.ok()) return status;
    const Seat& seat = board_->seat(0);
    const double until = Seconds() + kWorkerLimit * LoadFactor();
    while (seat.calls_of_life == 0 && seat.state == static_cast<uint64_t>(State::kIdle) && Seconds() < until) {
      if (absl::Status status = crew_->Look(); !status.ok()) return status;
    }
    SleepSeconds(static_cast<double>(random_() % 300) * 1e-6);
    if (absl::Status status = Kill(0, false); !status.ok()) return status;
    if (absl::Status status = oracle_->Check(/*cleared=*/true); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void Epoch::AddUp(Totals& totals) const {
  if (board_ == nullptr || !board_->mapped()) return;
  for (uint64_t i = 0; i < shape_.seats; ++i) {
    const Seat& seat = board_->seat(i);
    for (size_t kind = 0; kind < kKinds; ++kind) totals.calls[kind] += seat.calls[kind];
    totals.full += seat.full;
    totals.gave_up += seat.gave_up;
    totals.moved += seat.moved;
  }
}

std::string Epoch::Progress(double started) const {
  Totals now = totals_;
  AddUp(now);
  const absl::StatusOr<Stats> stats = oracle_->dict().GetStats();
  const auto seconds = static_cast<uint64_t>(Seconds() - started);
  return absl::StrFormat(
      "%d:%02d:%02d  dict %d (%s; %.0f %% full): %s reads, %s writes, %s counts, %s recovers; %s kills (%s inside a "
      "call), "
      "%s stops, %s recoveries",
      seconds / 3600, seconds / 60 % 60, seconds % 60, number_ + 1, shape_.ToString(),
      stats.ok() ? stats->load * 100 : 0.0, Grouped(Totals::Sum(now.calls, Kind::kGet, Kind::kSet)),
      Grouped(Totals::Sum(now.calls, Kind::kSet, Kind::kCountByAdd)),
      Grouped(Totals::Sum(now.calls, Kind::kCountByAdd, Kind::kRecover)),
      Grouped(now.calls[static_cast<size_t>(Kind::kRecover)]), Grouped(now.kills), Grouped(now.inside()),
      Grouped(now.stops), Grouped(now.recoveries + (stats.ok() ? stats->recoveries : 0)));
}

void CopyFile(const std::string& from, const std::string& to) {
  std::ifstream source(from, std::ios::binary);
  std::ofstream(to, std::ios::binary) << source.rdbuf();
}

void Epoch::Keep(const std::string& folder) {
  if (crew_ == nullptr) return;
  crew_->FreezeAll();
  std::ofstream(folder + "/workers") << shape_.ToString() << "\n" << crew_->Describe();
  CopyFile(segment_fd_ >= 0 ? absl::StrCat("/proc/self/fd/", segment_fd_) : "/dev/shm/" + name_, folder + "/segment");
  CopyFile(absl::StrCat("/proc/self/fd/", board_fd_), folder + "/board");
}

void ReportWrong(const Settings& settings, Epoch& epoch, uint64_t number, const absl::Status& status) {
  std::string folder = settings.keep;
  if (folder.empty()) {
    const char* const temporary = getenv("TMPDIR");
    folder = absl::StrCat(temporary != nullptr ? temporary : "/tmp", "/segdict-soak-XXXXXX");
    if (mkdtemp(folder.data()) == nullptr) folder = ".";
  } else {
    (void)mkdir(folder.c_str(), 0700);
  }
  epoch.Keep(folder);
  absl::PrintF(
      "wrong, in dict %d: %s\nsegment, board and workers are kept in %s; the same choices again: --seed %d --workers "
      "%d "
      "--epoch-seconds %g --check-seconds %g\n",
      number + 1, std::string(status.message()), folder, settings.seed, settings.workers, settings.epoch_seconds,
      settings.check_seconds);
}

int Soak(const Settings& settings) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, OnSignal);
  signal(SIGALRM, OnAlarm);
  std::mt19937_64 random(settings.seed);
  const double started = Seconds(), end = started + settings.minutes * 60;
  Totals totals;
  bool wrong = false;
  absl::PrintF("soak: %g min, seed %d, %d workers, %d of them in Python\n", settings.minutes, settings.seed,
               settings.workers, settings.python.empty() ? 0 : settings.workers / 3);
  std::fflush(stdout);
  for (uint64_t number = 0; !wrong && interrupted == 0 && Seconds() < end; ++number) {
    alarm(kSupervisorLimit);
    Epoch epoch(settings, Shape::Choose(number, settings.workers, random), number, random, totals);
    absl::Status status = epoch.SetUp();
    // The last dict gets the rest of the time.
    double until = Seconds() + settings.epoch_seconds;
    if (end - until < settings.epoch_seconds / 2) until = end;
    if (status.ok()) status = epoch.Run(until, started);
    if (status.ok()) status = epoch.TearDown();
    epoch.AddUp(totals);
    if (!status.ok()) {
      wrong = true;
      ReportWrong(settings, epoch, number, status);
    }
  }
  std::string inside;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    absl::StrAppend(&inside, kind == 0 ? "" : ", ", kKindNames[kind], " ", Grouped(totals.kills_inside[kind]));
  }
  absl::PrintF("killed inside: %s; %s of the dead were in Python; at least %s were in the middle of an operation\n",
               inside, Grouped(totals.python_kills), Grouped(totals.kills_amid));
  absl::PrintF(
      "%d dicts, %s checks at rest, %s recoveries; behind %s stopped inside a call, others made %s reads and %s "
      "writes; "
      "%s calls gave up waiting, %s found no room for the moment, %s were to come again\n",
      totals.epochs, Grouped(totals.checks), Grouped(totals.recoveries), Grouped(totals.stops_inside),
      Grouped(totals.reads_meanwhile), Grouped(totals.writes_meanwhile), Grouped(totals.gave_up), Grouped(totals.full),
      Grouped(totals.moved));
  if (totals.kills >= 30 && totals.inside() == 0) {
    std::puts("wrong: nobody was killed inside a call");
    wrong = true;
  }
  if (totals.stops_inside >= 30 && (totals.reads_meanwhile == 0 || totals.writes_meanwhile == 0)) {
    std::puts("wrong: nobody went on while another was stopped");
    wrong = true;
  }
  absl::PrintF("soak: %.4g min, seed %d: %s calls, %s kills (%s inside a call), %s stops, %d wrong%s\n",
               interrupted != 0 ? (Seconds() - started) / 60 : settings.minutes, settings.seed,
               Grouped(totals.all_calls()), Grouped(totals.kills), Grouped(totals.inside()), Grouped(totals.stops),
               wrong ? 1 : 0, interrupted != 0 ? ", interrupted" : "");
  std::fflush(stdout);
  return wrong ? 1 : interrupted != 0 ? 128 + interrupted : 0;
}

// ---- Arguments --------------------------------------------------------------------------------------------

template <class T>
bool Parse(std::string_view text, T from, T to, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value >= from && *value <= to;
}

constexpr char kUsage[] =
    "usage: soak [--minutes N] [--seed S] [--workers N] [--keep FOLDER] [--epoch-seconds N] [--check-seconds N] "
    "[--python INTERPRETER] [--python-worker FILE]";

// Null, or what is wrong.
std::optional<std::string> ParseArguments(const std::vector<std::string>& arguments, Settings* settings) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i], value;
    if (const size_t at = name.find('='); at != std::string::npos) {
      value = name.substr(at + 1);
      name.resize(at);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::StrCat(name, " is no option, or lacks its value; ", kUsage);
    }
    bool good = true;
    if (name == "--minutes") {
      good = Parse(value, 0.05, 1e5, &settings->minutes);
    } else if (name == "--seed") {
      good = Parse<uint64_t>(value, 0, ~uint64_t{0}, &settings->seed);
    } else if (name == "--workers") {
      good = Parse<uint64_t>(value, 2, 64, &settings->workers);
    } else if (name == "--epoch-seconds") {
      good = Parse(value, 1.0, 1e6, &settings->epoch_seconds);
    } else if (name == "--check-seconds") {
      good = Parse(value, 0.1, 1e6, &settings->check_seconds);
    } else if (name == "--python") {
      settings->python = value;
      good = access(value.c_str(), X_OK) == 0;
    } else if (name == "--python-worker") {
      settings->python_worker = value;
    } else if (name == "--keep") {
      settings->keep = value;
      good = !value.empty();
    } else {
      return absl::StrCat("no option ", name, "; ", kUsage);
    }
    if (!good) return absl::StrCat(name, " cannot be '", value, "'");
  }
  return std::nullopt;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.size() == 3 && (arguments[0] == "--worker" || arguments[0] == "--clearer")) {
    const auto seat = static_cast<uint64_t>(std::stoul(arguments[1]));
    const int board = std::stoi(arguments[2]);
    return arguments[0] == "--worker" ? RunWorker(seat, board) : RunClearer(seat, board);
  }
  Settings settings;
  settings.seed = std::random_device()();
  if (const std::optional<std::string> wrong = ParseArguments(arguments, &settings); wrong.has_value()) {
    std::fprintf(stderr, "soak: %s\n", wrong->c_str());
    return 2;
  }
  return Soak(settings);
}

}  // namespace
}  // namespace segdict::soak

int main(int argc, char** argv) { return segdict::soak::Main({argv + 1, argv + argc}); }
