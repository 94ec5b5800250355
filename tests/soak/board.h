// The oracle of the soak: memory beside the segment, shared by the supervisor and all workers, that knows what must be
// in the dict.
//
// There are `seats`, each taken by one worker process at a time (C++ or Python); when the worker is killed the next one
// sits down there. Each seat owns some keys: only it changes them, everybody reads them. Before a call the worker
// writes into its seat what it is about to do, after it how the call ended. So when it dies,
//
//   state kIdle                 nothing was under way
//   state kHappened, kRefused   the call had returned: its effect is known
//   state kInCall               killed inside the call: the key is old or new. The supervisor reads which one, at once
//                               and as a rule before anybody has recovered the dead; from then on it must stay that.
//
// A reader of any key notes `done`, `started` and the rest of its KeyState, reads the dict, and notes `started` again.
// Nobody was at it if all three are equal: then exactly that value must be there. Else the value must be whole, of
// this key, and between the one that was acknowledged before and the last one begun. An expiry is known up to the clock
// as it was before and after the call that set it; an entry must be there before that interval and gone after it.
//
// Counters are everybody's. Each seat counts the increments that it began and those that were acknowledged; at any
// time the counter is at least the sum of those acknowledged before the read and at most the sum of those begun before
// its end. One counter goes up by FetchAdd, one by CompareAndSet, one by Update, one by Get and Set in a locked
// section: a lost update, or two that are told that they were first, shows in the sum.
//
// All of it consists of 64-bit words at offsets that worker.py knows too.
#ifndef SEGDICT_TESTS_SOAK_BOARD_H_
#define SEGDICT_TESTS_SOAK_BOARD_H_

#include <sys/mman.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "segdict/location.h"
#include "segdict/options.h"

namespace segdict::soak {

using Word = std::atomic<uint64_t>;

enum class Kind : uint64_t {
  kGet,
  kGetMany,
  kForEach,
  kSet,
  kInsert,
  kReplace,
  kErase,
  kTake,
  kUpdate,
  kTouch,
  kCompareAndSet,
  kCompareAndErase,
  kMoveToEnd,
  kCountByAdd,
  kCountBySwap,
  kCountByUpdate,
  kCountByLock,
  kRecover,
  kSweep,
  kClear,
  kCount,
};
inline constexpr size_t kKinds = static_cast<size_t>(Kind::kCount);
inline constexpr const char* kKindNames[kKinds] = {
    "Get",          "GetMany",         "ForEach",       "Set",     "Insert",          "Replace",   "Erase",
    "Take",         "Update",          "Touch",         "CAS",     "CompareAndErase", "MoveToEnd", "count by add",
    "count by CAS", "count by Update", "count by lock", "Recover", "Sweep",           "Clear"};
inline bool ChangesOwnKey(Kind kind) { return kind >= Kind::kSet && kind <= Kind::kMoveToEnd; }
inline bool Counts(Kind kind) { return kind >= Kind::kCountByAdd && kind <= Kind::kCountByLock; }

enum class State : uint64_t { kIdle, kInCall, kHappened, kRefused };

inline constexpr size_t kCounters = 4;
inline constexpr uint64_t kNeverExpires = INT64_MAX;
inline constexpr uint64_t kKeepsExpiry = ~uint64_t{0};  // as Seat::ttl

// What a key must be. Of the fields, the owner writes all; the supervisor does when the owner is dead.
struct KeyState {
  Word started;  // changes begun
  Word done;     // equal to `started` while nobody is at it
  Word id;       // of the value; 0: not there
  Word expires_from, expires_to;
  Word newest;  // id of the last change begun
  Word unused[2];
};
static_assert(sizeof(KeyState) == 64);

struct Seat {
  Word calls_of_life;  // of the worker that sits here now
  Word state;
  Word kind;
  Word key;            // or the number of the counter
  Word new_id;         // 0: the key goes. For a counter: increments acknowledged once this one is
  Word ttl;            // nanoseconds, or one of the constants above. For a counter: increments begun before this one
  Word before, after;  // the clock
  Word resting;        // the number of the rest that it keeps
  Word next_number;    // of values, never used twice
  Word locks;          // whether its handle is in lock mode
  Word wait_limit_ms;  // of its handle; 0: none
  Word gave_up;        // calls that ended with DEADLINE_EXCEEDED
  Word full;           // calls that ended with RESOURCE_EXHAUSTED
  Word failed;         // 1: `failure` says what was wrong
  Word moved;          // comparisons and lookups that ended with ABORTED
  Word calls[24];
  Word acknowledged[kCounters];
  Word begun[kCounters];
  Word unused[16];
  char failure[512];
};
static_assert(sizeof(Seat) == 1024 && kKinds <= 24);

struct BoardHeader {
  Word size;
  Word seats;
  Word keys_per_seat;
  Word entries_per_seat;  // that it may have at a time
  Word bytes_per_seat;    // of values, as ValueBytesFor counts them
  Word rest;              // not 0: all come to rest between two calls
  Word seed;
  Word slot_size;
  Word ordered;
  Word page_bytes;
  Word value_bytes;
  Word segment_fd;  // of a memfd; 0: the segment has a name
  Word noise_size;
  Word count_base[kCounters];
  Word unused[7];
  char name[64];
};
inline constexpr size_t kHeaderSize = 256;
static_assert(sizeof(BoardHeader) == kHeaderSize);

inline constexpr size_t kNoiseSize = 1 << 20;
inline constexpr size_t kLongestValue = 200'000;
inline constexpr size_t kShortestValue = 8;

// The finalizer of SplitMix64 (Sebastiano Vigna).
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

inline uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// ---- Keys and values --------------------------------------------------------------------------------------

// Keys are numbered; the counters' numbers follow those of the seats' keys. Some are too long for any slot.
inline std::string KeyText(uint64_t key) {
  std::string text = "k" + std::to_string(key);
  if (key % 8 == 7) text.resize(150, '_');
  return text;
}
inline std::string CounterText(uint64_t counter) { return "c" + std::to_string(counter); }

// A value's id tells its length and, of an owned key, never comes again. For a counter it is the count.
inline uint64_t MakeId(uint64_t number, size_t length) { return number << 24 | length; }
inline uint64_t NumberOf(uint64_t id) { return id >> 24; }
inline size_t LengthOf(uint64_t id) { return id & 0xffffff; }

// ---- What must be -----------------------------------------------------------------------------------------

// A KeyState as it was at one moment at which nobody was at it.
struct Expected {
  uint64_t id = 0;
  uint64_t expires_from = kNeverExpires, expires_to = kNeverExpires;

  static constexpr uint64_t kSlack = 1000;  // nanoseconds, for the rounding of times to live
  // Whether it must be there, or cannot be there any more, for one who looked between these two times.
  bool MustBeThere(uint64_t, uint64_t to) const {
    return id != 0 && (expires_from == kNeverExpires || to + kSlack < expires_from);
  }
  bool MustBeGone(uint64_t from, uint64_t) const {
    return id == 0 || (expires_to != kNeverExpires && from > expires_to + kSlack);
  }
};

class Board {
 public:
  static size_t SizeFor(uint64_t seats, uint64_t keys_per_seat) {
    return kHeaderSize + seats * sizeof(Seat) + seats * keys_per_seat * sizeof(KeyState) + kNoiseSize;
  }
  // Of a memfd of that size; maps it.
  explicit Board(int fd, size_t size) : size_(size) {
    void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    base_ = at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board() {
    if (base_ != nullptr) munmap(base_, size_);
  }

  bool mapped() const { return base_ != nullptr; }
  BoardHeader& header() const { return *reinterpret_cast<BoardHeader*>(base_); }
  Seat& seat(uint64_t i) const { return reinterpret_cast<Seat*>(base_ + kHeaderSize)[i]; }
  KeyState& key(uint64_t i) const {
    return reinterpret_cast<KeyState*>(base_ + kHeaderSize + seats() * sizeof(Seat))[i];
  }
  char* noise() const { return base_ + size_ - kNoiseSize; }
  uint64_t seats() const { return header().seats; }
  uint64_t keys() const { return seats() * header().keys_per_seat; }
  uint64_t counter_key(uint64_t counter) const { return keys() + counter; }

  Location location() const {
    if (header().segment_fd != 0) return Descriptor(static_cast<int>(header().segment_fd));
    return Name(header().name);
  }
  Options sizing() const {
    Options options;
    options.value_bytes = header().value_bytes;
    options.slot_size = static_cast<uint32_t>(header().slot_size);
    options.ordered = header().ordered != 0;
    return options;
  }

  // Eight bytes of id and key, then a piece of the noise that both determine: nothing of one value fits another.
  std::string ValueOf(uint64_t key, uint64_t id) const {
    std::string value(LengthOf(id), '\0');
    const uint64_t first = id ^ Mix(key);
    std::memcpy(value.data(), &first, 8);
    std::memcpy(value.data() + 8, Noise(key, id), value.size() - 8);
    return value;
  }
  // The id of a value; null if it is torn, or another key's.
  std::optional<uint64_t> IdOf(uint64_t key, std::string_view value) const {
    if (value.size() < kShortestValue || value.size() > kLongestValue) return std::nullopt;
    uint64_t first;
    std::memcpy(&first, value.data(), 8);
    const uint64_t id = first ^ Mix(key);
    if (LengthOf(id) != value.size()) return std::nullopt;
    if (std::memcmp(value.data() + 8, Noise(key, id), value.size() - 8) != 0) return std::nullopt;
    return id;
  }

  Expected ExpectedOf(uint64_t i) const {
    const KeyState& state = key(i);
    return {.id = state.id, .expires_from = state.expires_from, .expires_to = state.expires_to};
  }

  uint64_t Acknowledged(size_t counter) const { return Sum(counter, &Seat::acknowledged); }
  uint64_t Begun(size_t counter) const { return Sum(counter, &Seat::begun); }

  // Makes the outcome of a call that has returned the key's or the counter's state. May be done twice.
  void Apply(Seat& seat) const {
    const bool happened = seat.state == static_cast<uint64_t>(State::kHappened);
    const Kind kind = static_cast<Kind>(seat.kind.load());
    if (Counts(kind)) {
      const uint64_t counter = seat.key;
      if (happened) {
        seat.acknowledged[counter] = seat.new_id.load();
      } else {
        seat.begun[counter] = seat.ttl.load();
      }
    } else if (ChangesOwnKey(kind)) {
      KeyState& state = key(seat.key);
      const uint64_t ttl = seat.ttl;
      if (happened) {
        state.id = seat.new_id.load();
        if (ttl != kKeepsExpiry) {
          state.expires_from = ttl == kNeverExpires ? ttl : seat.before + ttl;
          state.expires_to = ttl == kNeverExpires ? ttl : seat.after + ttl;
        }
      }
      state.done = state.started.load();
    }
    seat.state = static_cast<uint64_t>(State::kIdle);
  }

 private:
  const char* Noise(uint64_t key, uint64_t id) const {
    return noise() + Mix(id + Mix(key)) % (kNoiseSize - kLongestValue);
  }
  uint64_t Sum(size_t counter, Word (Seat::*words)[kCounters]) const {
    uint64_t sum = header().count_base[counter];
    for (uint64_t i = 0; i < seats(); ++i) sum += (seat(i).*words)[counter];
    return sum;
  }

  char* base_;
  const size_t size_;
};

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_BOARD_H_
