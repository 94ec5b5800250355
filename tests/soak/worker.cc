#include "tests/soak/worker.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "segdict/dict.h"
#include "tests/soak/board.h"

namespace segdict::soak {
namespace {

[[noreturn]] void Fail(Seat& seat, const std::string& text) {
  const size_t length = std::min(text.size(), sizeof(seat.failure) - 1);
  std::memcpy(seat.failure, text.data(), length);
  seat.failure[length] = '\0';
  seat.failed = 1;
  _exit(1);
}

void SleepAMillisecond() {
  const timespec time{.tv_sec = 0, .tv_nsec = 1'000'000};
  nanosleep(&time, nullptr);
}

class Worker {
 public:
  Worker(const Board& board, uint64_t index, Dict dict)
      : board_(board),
        header_(board.header()),
        seat_(board.seat(index)),
        dict_(std::move(dict)),
        sizing_(board.sizing()),
        first_(index * header_.keys_per_seat),
        random_(Mix(header_.seed + (index << 32) + seat_.next_number)) {
    for (uint64_t key = first_; key < first_ + header_.keys_per_seat; ++key) Account(key, board_.key(key).id, 1);
  }

  [[noreturn]] void Run() {
    for (;;) {
      if (header_.rest != 0) Rest();
      Step();
      ++seat_.calls_of_life;
    }
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  void Rest() {
    for (uint64_t rest; (rest = header_.rest) != 0;) {
      seat_.resting = rest;
      SleepAMillisecond();
    }
    seat_.resting = 0;
  }

  void Step() {
    const uint64_t choice = Below(1000);
    if (choice < 250) return Look(AnyKey());
    if (choice < 300) return LookAtMany();
    if (choice < 750) return ChangeOwn(OwnKey());
    if (choice < 930) return CountUp(Below(kCounters));
    if (choice < 970) return ReadCounter(Below(kCounters));
    if (choice < 990) return Simple(Kind::kRecover, [&] { return dict_.Recover().status(); });
    if (choice < 998) return Simple(Kind::kSweep, [&] { return dict_.Sweep(Below(200)).status(); });
    LookAtAll();
  }

  uint64_t AnyKey() { return Below(board_.keys()); }

  // While much of the share is unused, rather one that is not there.
  uint64_t OwnKey() {
    uint64_t key = first_ + Below(header_.keys_per_seat);
    for (int i = 0; i < 8 && entries_ * 10 < header_.entries_per_seat * 9 && board_.key(key).id != 0; ++i) {
      key = first_ + Below(header_.keys_per_seat);
    }
    return key;
  }

  // ---- Statuses -------------------------------------------------------------------------------------------

  // A call that was told to come again, and changed nothing.
  bool Refused(const absl::Status& status) {
    if (absl::IsAborted(status)) return ++seat_.moved, true;
    if (absl::IsResourceExhausted(status)) return ++seat_.full, true;
    if (absl::IsDeadlineExceeded(status) && seat_.wait_limit_ms != 0) return ++seat_.gave_up, true;
    return false;
  }

  [[noreturn]] void Wrong(const std::string& key, const std::string& what) {
    const Kind kind = static_cast<Kind>(seat_.kind.load());
    Fail(seat_, std::string(kKindNames[static_cast<size_t>(kind)]) + " of " + key.substr(0, 12) + ": " + what);
  }

  void Simple(Kind kind, absl::FunctionRef<absl::Status()> call) {
    Enter(kind);
    const absl::Status status = call();
    if (!status.ok() && !Refused(status)) Wrong("all", status.ToString());
    Leave();
  }

  void Enter(Kind kind) {
    seat_.kind = static_cast<uint64_t>(kind);
    ++seat_.calls[static_cast<size_t>(kind)];
    seat_.state = static_cast<uint64_t>(State::kInCall);
  }
  void Leave() { seat_.state = static_cast<uint64_t>(State::kIdle); }

  // ---- Reading --------------------------------------------------------------------------------------------

  // What was known of a key before it was read.
  struct Before {
    uint64_t key = 0, done = 0, started = 0;
    Expected expected;
    uint64_t time = 0;
  };
  Before Note(uint64_t key) {
    Before before;
    before.key = key;
    before.done = board_.key(key).done;
    before.started = board_.key(key).started;
    before.expected = board_.ExpectedOf(key);
    before.time = Now();
    return before;
  }

  void CheckRead(const Before& before, std::optional<std::string_view> value,
                 std::optional<absl::Duration> ttl = std::nullopt) {
    const uint64_t after = Now();
    const KeyState& state = board_.key(before.key);
    const Expected& expected = before.expected;
    const bool still = before.done == before.started && state.started == before.started;
    const uint64_t newest = state.newest;
    const std::string key = KeyText(before.key);
    if (!value.has_value()) {
      if (still && expected.MustBeThere(before.time, after)) Wrong(key, "not there: " + Text(expected.id));
      return;
    }
    const std::optional<uint64_t> id = board_.IdOf(before.key, *value);
    if (!id.has_value()) Wrong(key, "torn or of another key: " + std::to_string(value->size()) + " bytes");
    if (!still) {
      if (*id < expected.id || *id > newest) {
        Wrong(key, Text(*id) + ", not from " + Text(expected.id) + " to " + Text(newest));
      }
      return;
    }
    if (*id != expected.id) Wrong(key, Text(*id) + " instead of " + Text(expected.id));
    if (expected.MustBeGone(before.time, after)) {
      Wrong(key, "there although it expired " + std::to_string(before.time - expected.expires_to) + " ns ago");
    }
    if (!ttl.has_value()) return;
    const bool never = *ttl == absl::InfiniteDuration();
    const auto left = static_cast<uint64_t>(absl::ToInt64Nanoseconds(*ttl));
    if (never != (expected.expires_from == kNeverExpires) ||
        (!never && (before.time + left > expected.expires_to + Expected::kSlack ||
                    after + left + Expected::kSlack < expected.expires_from))) {
      Wrong(key, "has " + std::to_string(left) + " ns left, more or less than it should");
    }
  }

  static std::string Text(uint64_t id) {
    if (id == 0) return "nothing";
    return "value " + std::to_string(NumberOf(id)) + " of " + std::to_string(LengthOf(id)) + " bytes";
  }

  void Look(uint64_t key) {
    const std::string text = KeyText(key);
    const Before before = Note(key);
    Enter(Kind::kGet);
    absl::Status status;
    std::optional<std::string_view> found;
    std::optional<absl::Duration> ttl;
    switch (Below(3)) {
      case 0:
        status = dict_.Get(text, &value_);
        found = value_;
        break;
      case 1:
        status = dict_.Visit(text, [&](const Entry& entry) {
          value_ = entry.value;
          ttl = entry.ttl;
        });
        found = value_;
        break;
      default: {
        ValueInfo info;
        status = dict_.Get(text, buffer_, &info);
        found = std::string_view(buffer_.data(), info.length);
        ttl = info.ttl;
      }
    }
    if (!status.ok()) found.reset();
    if (!status.ok() && !absl::IsNotFound(status)) {
      if (!Refused(status)) Wrong(text, status.ToString());
    } else {
      CheckRead(before, found, ttl);
    }
    Leave();
  }

  void LookAtMany() {
    std::vector<std::string> texts;
    std::vector<std::string_view> views;
    std::vector<Before> before;
    const uint64_t first = AnyKey();
    for (uint64_t i = 0; i < 6; ++i) texts.push_back(KeyText((first + i) % board_.keys()));
    for (const std::string& text : texts) views.push_back(text);
    for (uint64_t i = 0; i < 6; ++i) before.push_back(Note((first + i) % board_.keys()));
    Enter(Kind::kGetMany);
    const absl::Status status = dict_.GetMany(views, [&](size_t i, const Entry* entry) {
      if (entry == nullptr) return CheckRead(before[i], std::nullopt);
      CheckRead(before[i], entry->value, entry->ttl);
    });
    if (!status.ok() && !Refused(status)) Wrong("many", status.ToString());
    Leave();
  }

  // Nobody else changes this seat's keys, so each of them that is there comes exactly once.
  void LookAtAll() {
    Enter(Kind::kForEach);
    const uint64_t from = Now();
    std::vector<int> seen(header_.keys_per_seat, 0);
    const absl::Status status = dict_.ForEach([&](const Entry& entry) {
      const std::optional<uint64_t> key = NumberOfKey(entry.key);
      if (!key.has_value()) return true;
      const std::optional<uint64_t> id = board_.IdOf(*key, entry.value);
      if (!id.has_value()) Wrong(std::string(entry.key), "torn or of another key");
      if (*key - first_ < seen.size()) {
        ++seen[*key - first_];
        if (*id != board_.key(*key).id) Wrong(std::string(entry.key), Text(*id) + " instead of what is there");
      }
      return true;
    });
    if (!status.ok() && !Refused(status)) Wrong("all", status.ToString());
    const uint64_t to = Now();
    for (uint64_t i = 0; status.ok() && i < seen.size(); ++i) {
      const Expected expected = board_.ExpectedOf(first_ + i);
      if (seen[i] > 1 || (seen[i] == 0 && expected.MustBeThere(from, to)) ||
          (seen[i] == 1 && expected.MustBeGone(from, to))) {
        Wrong(KeyText(first_ + i), "seen " + std::to_string(seen[i]) + " times");
      }
    }
    Leave();
  }

  std::optional<uint64_t> NumberOfKey(std::string_view text) {
    if (text.empty() || text[0] != 'k') return std::nullopt;
    const uint64_t key = std::strtoull(std::string(text.substr(1)).c_str(), nullptr, 10);
    if (key >= board_.keys() || KeyText(key) != text) Wrong(std::string(text), "a key that nobody made");
    return key;
  }

  // ---- Changing its own keys ------------------------------------------------------------------------------

  // What the seat's keys take of its share of entries and bytes; expired ones count until they are replaced.
  uint64_t BytesOf(uint64_t key, uint64_t id) const {
    return Dict::ValueBytesFor(sizing_, KeyText(key).size(), LengthOf(id), /*with_ttl=*/true);
  }
  void Account(uint64_t key, uint64_t id, int sign) {
    if (id == 0) return;
    entries_ += static_cast<uint64_t>(sign);
    bytes_ += static_cast<uint64_t>(sign) * BytesOf(key, id);
  }

  size_t AnyLength() {
    const uint64_t page = header_.page_bytes;
    const uint64_t choice = Below(16);
    if (choice < 7) return kShortestValue + Below(24);  // in most slots
    if (choice < 13) return 32 + Below(970);
    if (choice < 15) return page / 4 + Below(page * 3 / 4);
    return page + Below(2 * page);
  }

  // The id of a next value for the key that fits into the seat's share; 0 if none does.
  uint64_t NextId(uint64_t key) {
    const uint64_t number = ++seat_.next_number;
    if (board_.key(key).id == 0 && entries_ >= header_.entries_per_seat) return 0;
    for (const size_t length : {AnyLength(), kShortestValue + Below(200), kShortestValue}) {
      const uint64_t id = MakeId(number, length);
      if (bytes_ + BytesOf(key, id) <= header_.bytes_per_seat) return id;
    }
    return 0;
  }

  void ChangeOwn(uint64_t key) {
    const Expected now = board_.ExpectedOf(key);
    const uint64_t time = Now();
    const uint64_t id = NextId(key);
    const uint64_t choice = Below(100);
    const std::string text = KeyText(key);
    if (now.MustBeGone(time, time) || OneIn(20)) {  // or the kinds are tried on the wrong case
      if (id == 0) return Remove(key, text, now, Below(3));
      if (choice < 35) return Set(key, text, id);
      if (choice < 75) return Insert(key, text, id);
      if (choice < 85) return Update(key, text, id);
      if (choice < 92) return Replace(key, text, id);
      return Remove(key, text, now, Below(2));
    }
    if (id == 0 || choice < 15) return Remove(key, text, now, Below(3));
    if (choice < 50) return Set(key, text, id);
    if (choice < 58) return Replace(key, text, id);
    if (choice < 66) return Insert(key, text, id);
    if (choice < 76) return Update(key, text, id);
    if (choice < 86) return Swap(key, text, id);
    if (choice < 94 || header_.ordered == 0) return Touch(key, text, now);
    return Change(
        Kind::kMoveToEnd, key, now.id, kKeepsExpiry, [&] { return dict_.MoveToEnd(text); }, kIfThere);
  }

  // When a call may say OK.
  enum When { kAlways, kIfThere, kIfNotThere };

  void Change(Kind kind, uint64_t key, uint64_t new_id, uint64_t ttl, absl::FunctionRef<absl::Status()> call,
              When when) {
    KeyState& state = board_.key(key);
    const Expected was = board_.ExpectedOf(key);
    seat_.key = key;
    seat_.new_id = new_id;
    seat_.ttl = ttl;
    if (new_id != 0) state.newest = new_id;
    seat_.before = Now();
    seat_.kind = static_cast<uint64_t>(kind);
    ++state.started;
    Enter(kind);
    const absl::Status status = call();
    seat_.after = Now();
    seat_.state = static_cast<uint64_t>(status.ok() ? State::kHappened : State::kRefused);
    const bool there = was.MustBeThere(seat_.before, seat_.after), gone = was.MustBeGone(seat_.before, seat_.after);
    if (status.ok()) {
      if ((when == kIfThere && gone) || (when == kIfNotThere && there)) {
        Wrong(KeyText(key), there ? "OK although it is there" : "OK although it is not there");
      }
    } else if (!(absl::IsNotFound(status) && when == kIfThere && !there) &&
               !(absl::IsAlreadyExists(status) && when == kIfNotThere && !gone) && !Refused(status)) {
      Wrong(KeyText(key), status.ToString() + "; what was there: " + Text(was.id));
    }
    board_.Apply(seat_);
    Account(key, was.id, -1);
    Account(key, state.id, 1);
  }

  // A time to live, in some of the changes.
  uint64_t AnyTtl() { return OneIn(6) ? (5 + Below(OneIn(2) ? 50 : 1500)) * 1'000'000 : kNeverExpires; }
  static WriteOptions With(uint64_t ttl) {
    WriteOptions options;
    if (ttl != kNeverExpires) options.ttl = absl::Nanoseconds(static_cast<int64_t>(ttl));
    return options;
  }

  void Set(uint64_t key, const std::string& text, uint64_t id) {
    const std::string value = board_.ValueOf(key, id);
    const uint64_t ttl = AnyTtl();
    Change(
        Kind::kSet, key, id, ttl, [&] { return dict_.Set(text, value, With(ttl)); }, kAlways);
  }
  void Insert(uint64_t key, const std::string& text, uint64_t id) {
    const std::string value = board_.ValueOf(key, id);
    const uint64_t ttl = AnyTtl();
    Change(
        Kind::kInsert, key, id, ttl, [&] { return dict_.Insert(text, value, With(ttl)); }, kIfNotThere);
  }
  void Replace(uint64_t key, const std::string& text, uint64_t id) {
    const std::string value = board_.ValueOf(key, id);
    const uint64_t ttl = AnyTtl();
    Change(
        Kind::kReplace, key, id, ttl, [&] { return dict_.Replace(text, value, With(ttl)); }, kIfThere);
  }
  void Touch(uint64_t key, const std::string& text, const Expected& now) {
    const uint64_t ttl = AnyTtl();
    Change(
        Kind::kTouch, key, now.id, ttl, [&] { return dict_.Touch(text, With(ttl).ttl); }, kIfThere);
  }
  void Update(uint64_t key, const std::string& text, uint64_t id) {
    const uint64_t was = board_.key(key).id;
    const auto fn = [&](const Entry* entry) -> std::optional<std::string> {
      if (entry != nullptr && board_.IdOf(key, entry->value) != was) Wrong(text, "its function got a wrong value");
      seat_.ttl = entry != nullptr ? kKeepsExpiry : kNeverExpires;
      return board_.ValueOf(key, id);
    };
    Change(
        Kind::kUpdate, key, id, kKeepsExpiry, [&] { return dict_.Update(text, fn); }, kAlways);
  }
  void Swap(uint64_t key, const std::string& text, uint64_t id) {
    const std::string value = board_.ValueOf(key, id);
    const uint64_t ttl = AnyTtl();
    const auto call = [&] {
      Version version;
      absl::Status status = dict_.Visit(text, [&](const Entry& entry) { version = entry.version; });
      return status.ok() ? dict_.CompareAndSet(text, version, value, With(ttl)).status() : status;
    };
    Change(Kind::kCompareAndSet, key, id, ttl, call, kIfThere);
  }
  void Remove(uint64_t key, const std::string& text, const Expected& was, uint64_t how) {
    if (how == 0)
      return Change(
          Kind::kErase, key, 0, kNeverExpires, [&] { return dict_.Erase(text); }, kIfThere);
    const auto take = [&] {
      const absl::StatusOr<std::string> value = dict_.Take(text);
      if (value.ok() && board_.IdOf(key, *value) != was.id) Wrong(text, "took what was not there");
      return value.status();
    };
    if (how == 1) return Change(Kind::kTake, key, 0, kNeverExpires, take, kIfThere);
    const auto compare_and_erase = [&] {
      Version version;
      const absl::Status status = dict_.Visit(text, [&](const Entry& entry) { version = entry.version; });
      return status.ok() ? dict_.CompareAndErase(text, version) : status;
    };
    Change(Kind::kCompareAndErase, key, 0, kNeverExpires, compare_and_erase, kIfThere);
  }

  // ---- Counting together ----------------------------------------------------------------------------------

  uint64_t CountOf(uint64_t counter, std::string_view value) {
    const std::optional<uint64_t> id = board_.IdOf(board_.counter_key(counter), value);
    if (!id.has_value()) Wrong(CounterText(counter), "torn or of another key");
    return NumberOf(*id);
  }
  std::string CountValue(uint64_t counter, uint64_t count) {
    return board_.ValueOf(board_.counter_key(counter), MakeId(count, kShortestValue + Below(OneIn(2) ? 20 : 800)));
  }
  void CheckCount(uint64_t counter, uint64_t least, uint64_t count) {
    const uint64_t most = board_.Begun(counter);
    if (count >= least && count <= most) return;
    Wrong(CounterText(counter),
          std::to_string(count) + ", not from " + std::to_string(least) + " to " + std::to_string(most));
  }

  absl::StatusOr<uint64_t> CountNow(uint64_t counter) {
    absl::Status status = dict_.Get(CounterText(counter), &value_);
    if (!status.ok()) return status;
    if (counter != 0) return CountOf(counter, value_);
    int64_t count;
    if (value_.size() != sizeof(count)) Wrong(CounterText(counter), "no number");
    std::memcpy(&count, value_.data(), sizeof(count));
    return static_cast<uint64_t>(count);
  }

  void ReadCounter(uint64_t counter) {
    const uint64_t least = board_.Acknowledged(counter);
    Enter(Kind::kGet);
    const absl::StatusOr<uint64_t> count = CountNow(counter);
    if (count.ok()) {
      CheckCount(counter, least, *count);
    } else if (!Refused(count.status())) {
      Wrong(CounterText(counter), count.status().ToString());
    }
    Leave();
  }

  void CountUp(uint64_t counter) {
    const std::string text = CounterText(counter);
    const uint64_t least = board_.Acknowledged(counter);
    const Kind kind = static_cast<Kind>(static_cast<uint64_t>(Kind::kCountByAdd) + counter);
    seat_.kind = static_cast<uint64_t>(kind);
    seat_.key = counter;
    seat_.new_id = seat_.acknowledged[counter] + 1;
    seat_.ttl = seat_.begun[counter].load();
    ++seat_.begun[counter];
    Enter(kind);
    uint64_t before = least;
    absl::Status status;
    switch (kind) {
      case Kind::kCountByAdd: {
        const absl::StatusOr<int64_t> was = dict_.FetchAdd(text, 1);
        if (was.ok()) before = static_cast<uint64_t>(*was);
        status = was.status();
        break;
      }
      case Kind::kCountBySwap: {
        Version version;
        status = dict_.Visit(text, [&](const Entry& entry) {
          version = entry.version;
          before = CountOf(counter, entry.value);
        });
        if (status.ok()) status = dict_.CompareAndSet(text, version, CountValue(counter, before + 1)).status();
        break;
      }
      case Kind::kCountByUpdate:
        status = dict_.Update(text, [&](const Entry* entry) -> std::optional<std::string> {
          if (entry == nullptr) Wrong(text, "not there");
          before = CountOf(counter, entry->value);
          return CountValue(counter, before + 1);
        });
        break;
      default: {
        const absl::StatusOr<Dict::LockGuard> guard = dict_.Lock();
        status = guard.status();
        if (!guard.ok()) break;
        const absl::StatusOr<uint64_t> count = CountNow(counter);
        status = count.status();
        if (!count.ok()) break;
        before = *count;
        status = dict_.Set(text, CountValue(counter, before + 1));
        // It is acknowledged in here: the next holder of the lock must find it.
        return EndCount(counter, least, before, status);
      }
    }
    EndCount(counter, least, before, status);
  }

  void EndCount(uint64_t counter, uint64_t least, uint64_t before, const absl::Status& status) {
    seat_.state = static_cast<uint64_t>(status.ok() ? State::kHappened : State::kRefused);
    if (!status.ok() && !Refused(status)) Wrong(CounterText(counter), status.ToString());
    if (status.ok()) CheckCount(counter, least, before);
    board_.Apply(seat_);
  }

  const Board& board_;
  BoardHeader& header_;
  Seat& seat_;
  Dict dict_;
  const Options sizing_;
  const uint64_t first_;  // of the seat's keys
  std::mt19937_64 random_;
  uint64_t entries_ = 0, bytes_ = 0;
  std::string value_;
  std::vector<char> buffer_ = std::vector<char>(kLongestValue);
};

size_t SizeOf(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? static_cast<size_t>(status.st_size) : 0;
}

Dict OpenDict(const Board& board, Seat& seat) {
  Options options;
  if (seat.locks != 0) options.lock_mode = LockMode::kGlobalMutex;
  if (seat.wait_limit_ms != 0) options.wait_limit = absl::Milliseconds(static_cast<int64_t>(seat.wait_limit_ms));
  absl::StatusOr<Dict> dict = Dict::Open(board.location(), options);
  if (!dict.ok()) Fail(seat, "Open: " + dict.status().ToString());
  return *std::move(dict);
}

}  // namespace

int RunWorker(uint64_t seat, int board_fd) {
  const Board board(board_fd, SizeOf(board_fd));
  if (!board.mapped() || seat >= board.seats()) return 3;
  Worker(board, seat, OpenDict(board, board.seat(seat))).Run();
}

int RunClearer(uint64_t index, int board_fd) {
  const Board board(board_fd, SizeOf(board_fd));
  if (!board.mapped() || index >= board.seats()) return 3;
  Seat& seat = board.seat(index);
  Dict dict = OpenDict(board, seat);
  seat.kind = static_cast<uint64_t>(Kind::kClear);
  for (;;) {
    seat.state = static_cast<uint64_t>(State::kInCall);
    ++seat.calls[static_cast<size_t>(Kind::kClear)];
    if (const absl::Status status = dict.Clear(); !status.ok()) Fail(seat, "Clear: " + status.ToString());
    seat.state = static_cast<uint64_t>(State::kIdle);
    ++seat.calls_of_life;
  }
}

}  // namespace segdict::soak
