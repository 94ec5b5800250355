// Whether the recorded history of one key is linearizable: whether there is an order of its calls that agrees with
// their times (a call that ended before another began comes first) and in which each gives what a dict used by one
// thread alone would give.
//
// One key at a time suffices for a history of many: linearizability is local (Herlihy and Wing 1990, theorem 1; used to
// cut histories up by Horn and Kroening 2015). If the history of each key has such an order, with all times from one
// clock, then so has the whole, across keys: this is what "operations on several keys one after the other" promises.
//
// The search is that of Wing and Gong (1993) with Lowe's (2017) memoization on the set of placed calls and the state.
// It goes through the history in time and keeps every pair (state, open calls that are already placed) that some order
// leads to; each is kept once. Only when a call ends it must have been placed, so only then others are placed before
// it, if at all ("just in time"). The history is wrong when no pair is left. Calls that ended are placed in every pair,
// so the open ones alone tell the whole set; there are no more pairs than states times 2^(open calls), for a wrong
// history as for a right one.
//
// Killed processes. A call that never gave its result happened or not; it may have taken effect until its `end`. A
// recorder that knows when the process was gone says so: the dict commits every operation by a store of the process
// itself, so after that nothing may begin to show. Without that knowledge `end` is kForever.
//
// Expiry is by a clock that all processes share, and counts single steps. A call tells the first and last reading that
// it can have got. An entry is there until the clock reads its expiry. Reads are exact: there is one moment for what
// was read and when, and these moments are in order. A write that depends on a live entry and extends it
// (docs/memory-ordering.md, "What the clock can promise") may have looked at the clock earlier in its own duration.
#ifndef SEGDICT_TESTS_LINEARIZABILITY_CHECKER_H_
#define SEGDICT_TESTS_LINEARIZABILITY_CHECKER_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace segdict::linearizability {

inline constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

// What an entry holds. Each stored value has a number of its own, except that counters add up.
struct Value {
  static constexpr int kAnyType = -1;  // what was read does not tell
  static constexpr int kInt64 = 2;     // as in segdict::Type; the number is the value
  uint64_t number = 0;
  int type = 0;
  bool torn = false;  // bytes that were never stored together

  auto operator<=>(const Value&) const = default;
};

// segdict::Version; none: not told.
struct Token {
  uint64_t slot = ~uint64_t{0};
  uint64_t seq = 0;

  bool known() const { return slot != ~uint64_t{0}; }
  auto operator<=>(const Token&) const = default;
};

enum class Kind : uint8_t {
  kGet,  // and whatever else looks at an entry: it fills in what it is told
  kContains,
  kSet,
  kInsert,
  kReplace,
  kErase,
  kTake,
  kClear,  // erases the entry, if any, without telling
  kCompareAndSet,
  kCompareAndErase,
  kFetchAdd,
  kUpdate,
  kTouch,
  kMoveToEnd,
};

enum class Result : uint8_t {
  kUnknown,      // killed
  kOk,           // found, done
  kAbsent,       // NOT_FOUND; of Update: was shown no entry
  kExists,       // ALREADY_EXISTS
  kChanged,      // ABORTED
  kNotInteger,   // FAILED_PRECONDITION
  kOutOfRange,   // the sum
  kNothingDone,  // failed in a way that promises that nothing was changed
};

// One call, as it was recorded. Plain bytes: it lies in memory that processes share.
struct Call {
  Kind kind = Kind::kGet;
  Result result = Result::kUnknown;
  int thread = 0;
  // Nanoseconds of CLOCK_MONOTONIC, before and after.
  int64_t begin = 0;
  int64_t end = kForever;
  // The readings of the dict's clock that it can have got; whoever finds an entry that can expire live has read it.
  int64_t clock_first = 0;
  int64_t clock_last = 0;
  // Where the clock stood before and after, if that is wider: somebody else may have found the entry expired, and
  // reclaimed it, and the call have found nothing to read the clock for.
  int64_t clock_begin = kForever;
  int64_t clock_end = 0;

  // Asked for.
  Value stored;
  int64_t ttl = kForever;
  bool keep_ttl = false;
  bool stores = true;       // Update: its function gave a value
  bool has_options = true;  // Update: without, type and time to live stay
  bool has_initial = false;
  int64_t initial = 0;  // FetchAdd: stored if there is no entry
  int64_t addend = 0;
  Token expected;

  // Told.
  Value seen;
  int64_t seen_ttl = -1;  // -1: not told
  Token version;          // of the entry that was seen
  uint64_t order = 0;     // its insertion number; 0: not told
  Token version_after;    // of the entry that was stored
};
static_assert(std::is_trivially_copyable_v<Call>);

// For people: one line, times in microseconds since `origin`.
std::string ToString(const Call& call, int64_t origin = 0);

struct CheckOptions {
  // Whether versions may change without a write: entries are moved, recovered, or evacuated.
  bool versions_change_alone = true;
  // Pairs that may be made before the checker gives up.
  size_t budget = 2'000'000;
};

struct Verdict {
  enum class Kind { kLinearizable, kWrong, kUndecided } kind = Kind::kLinearizable;
  std::string message;  // if wrong: the call that fits nowhere, and why
  size_t failed = 0;    // its index
  size_t pairs = 0;     // that were made
  bool linearizable() const { return kind == Kind::kLinearizable; }
  bool wrong() const { return kind == Kind::kWrong; }
};

// The history of one key, in any order, from an absent entry.
Verdict Check(const std::vector<Call>& calls, const CheckOptions& options = {});

// For a wrong history: the part of it that is still wrong after everything that may be left out was left out, with the
// message. What begins after the failure says nothing about it, and what only reads can be left out of a right history
// without making it wrong; writes stay.
std::string Explain(const std::vector<Call>& calls, const CheckOptions& options = {});

}  // namespace segdict::linearizability

#endif  // SEGDICT_TESTS_LINEARIZABILITY_CHECKER_H_
