#include "tests/linearizability/checker.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace segdict::linearizability {
namespace {

// ---- One key, used by one thread alone --------------------------------------------------------------------

// Everything about the entry that later calls can tell.
struct State {
  bool present = false;  // possibly expired
  Value value;
  int64_t expiry = kForever;
  uint64_t order = 0;            // 0: nobody has been told yet
  std::vector<uint32_t> tokens;  // versions under which this state of the entry was seen, ascending
  int64_t clock = 0;             // has been reached

  auto operator<=>(const State&) const = default;
};

State Absent(int64_t clock) {
  State state;
  state.clock = clock;
  return state;
}

// What makes no sense of itself, or names a state that is over, depends on which calls came before.
class Past {
 public:
  virtual ~Past() = default;
  // A call that was already placed has seen this version, or this insertion number.
  virtual bool HasSeenVersion(uint32_t token) const = 0;
  virtual bool HasSeenOrder(uint64_t order) const = 0;
};

// A call, with its versions numbered. kNoToken: none, or one that no other call names.
struct Numbered {
  static constexpr uint32_t kNoToken = ~uint32_t{0};
  const Call* call;
  uint32_t expected = kNoToken, version = kNoToken, version_after = kNoToken;
};

class Sequential {
 public:
  Sequential(const std::vector<Call>& calls, bool versions_change_alone)
      : versions_change_alone_(versions_change_alone) {
    for (const Call& call : calls) {
      if (call.kind == Kind::kFetchAdd) {
        stored_.insert(static_cast<uint64_t>(call.initial) + static_cast<uint64_t>(call.addend));
        stored_.insert(call.seen.number + static_cast<uint64_t>(call.addend));
      } else {
        stored_.insert(call.stored.number);
      }
    }
  }

  // Appends to `to` what the call can make of `from`. If that is nothing, `why` says what does not fit.
  void Step(const State& from, const Numbered& numbered, const Past& past, std::vector<State>* to, std::string* why) {
    call_ = numbered.call;
    numbered_ = &numbered;
    past_ = &past;
    to_ = to;
    why_ = why;
    if (!CanGive(call_->kind, call_->result)) return Reject("gave what such a call never gives");
    if (!from.present) return WithoutEntry(from, /*expired=*/false);
    if (from.expiry == kForever) return WithEntry(from);
    const Call& call = *call_;
    // An extending write has looked at the clock some time in its duration; all else is at a moment after `clock`.
    const int64_t reading = Extends() ? call.clock_first : std::max(call.clock_first, from.clock);
    if (reading < from.expiry) {
      State live = from;
      live.clock = std::max(live.clock, call.clock_first);
      WithEntry(std::move(live));
      // Whether it had expired makes no difference to a plain Set: this is the case that binds the clock less.
      if (call.kind == Kind::kSet && !call.keep_ttl && from.order == 0) return;
    } else if (call.result != Result::kAbsent && call.result != Result::kUnknown) {
      Reject("found an entry after its time had run out");
    }
    const int64_t expired_at = std::max(from.expiry, std::min(call.clock_first, call.clock_begin));
    const int64_t not_before = ChangesState() ? expired_at : std::max(expired_at, from.clock);
    if (std::max(call.clock_last, call.clock_end) >= not_before) {
      const size_t before = to->size();
      WithoutEntry(Absent(std::max(from.clock, expired_at)), /*expired=*/true);
      if (ChangesState()) return;
      // What is only seen as absent is still there, for a write that has looked at the clock earlier.
      for (size_t i = before; i < to->size(); ++i) {
        const int64_t clock = (*to)[i].clock;
        (*to)[i] = from;
        (*to)[i].clock = clock;
      }
    } else if (call.result == Result::kAbsent) {
      Reject("did not find an entry whose time had not run out");
    }
  }

 private:
  bool Unknown() const { return call_->result == Result::kUnknown; }

  static bool CanGive(Kind kind, Result result) {
    switch (result) {
      case Result::kUnknown:
      case Result::kOk:
        return true;
      case Result::kAbsent:
        return kind != Kind::kSet && kind != Kind::kInsert && kind != Kind::kClear;
      case Result::kExists:
        return kind == Kind::kInsert;
      case Result::kChanged:
        return kind == Kind::kCompareAndSet || kind == Kind::kCompareAndErase;
      case Result::kNotInteger:
      case Result::kOutOfRange:
        return kind == Kind::kFetchAdd;
      case Result::kNothingDone:
        return false;
    }
    return false;
  }

  // Stores over a live entry, and so makes it last longer than its time, perhaps.
  bool Extends() const {
    switch (call_->kind) {
      case Kind::kSet:
      case Kind::kReplace:
      case Kind::kFetchAdd:
      case Kind::kTouch:
      case Kind::kMoveToEnd:
      case Kind::kCompareAndSet:
        return call_->result == Result::kOk || Unknown();
      case Kind::kUpdate:
        return call_->stores;
      default:
        return false;
    }
  }
  bool ChangesState() const {
    switch (call_->kind) {
      case Kind::kGet:
      case Kind::kContains:
        return false;
      case Kind::kUpdate:
        return call_->stores;
      default:
        return call_->result == Result::kOk || Unknown();
    }
  }

  void Reject(const char* why) {
    if (why_ != nullptr && why_->empty()) *why_ = why;
  }

  // ---- The two cases: there is a live entry, or none ----

  void WithEntry(State state) {
    const Call& call = *call_;
    const bool ok = call.result == Result::kOk;
    switch (call.kind) {
      case Kind::kGet:
      case Kind::kContains:
        if (!ok) return Reject("did not find an entry that was there");
        if (call.kind == Kind::kContains || Sees(&state)) Give(std::move(state));
        return;
      case Kind::kSet:
        return Store(state, call.stored, call.keep_ttl);
      case Kind::kInsert:
        if (call.result == Result::kExists) return Give(std::move(state));
        return Reject("inserted a key that was there");
      case Kind::kReplace:
        if (ok || Unknown()) return Store(state, call.stored, call.keep_ttl);
        return Reject("did not find an entry that was there");
      case Kind::kErase:
      case Kind::kTake:
        if (!ok && !Unknown()) return Reject("did not find an entry that was there");
        if (ok && call.kind == Kind::kTake && !Sees(&state)) return;
        return Give(Absent(state.clock));
      case Kind::kClear:
        return Give(Absent(state.clock));
      case Kind::kCompareAndSet:
      case Kind::kCompareAndErase: {
        const bool same = std::binary_search(state.tokens.begin(), state.tokens.end(), numbered_->expected);
        if (call.result == Result::kAbsent) return Reject("did not find an entry that was there");
        if (call.result == Result::kChanged) {
          if (same && !versions_change_alone_) return Reject("says that the entry had changed, but it had not");
          return Give(std::move(state));
        }
        if (!same) return Reject("succeeded although the entry had changed");
        if (call.kind == Kind::kCompareAndErase) return Give(Absent(state.clock));
        return Store(state, call.stored, call.keep_ttl);
      }
      case Kind::kFetchAdd: {
        int64_t sum = 0;
        if (state.value.type != Value::kInt64) {
          if (call.result == Result::kNotInteger) return Give(std::move(state));
          return Reject("added to a value that is no integer");
        }
        if (call.result == Result::kNotInteger) return Reject("says that the value is no integer, but it is");
        if (call.result == Result::kAbsent) return Reject("did not find an entry that was there");
        if (__builtin_add_overflow(static_cast<int64_t>(state.value.number), call.addend, &sum)) {
          if (call.result == Result::kOutOfRange) return Give(std::move(state));
          return Reject("added beyond the range");
        }
        if (call.result == Result::kOutOfRange) return Reject("says that the sum is out of range, but it is not");
        if (ok && call.seen.number != state.value.number) return Reject("added to another number than was there");
        return Store(state, {static_cast<uint64_t>(sum), Value::kInt64}, /*keep_ttl=*/true);
      }
      case Kind::kUpdate:
        if (call.result == Result::kAbsent) return Reject("did not find an entry that was there");
        if (ok && !Sees(&state)) return;
        if (!call.stores) return Give(std::move(state));
        if (call.has_options) return Store(state, call.stored, call.keep_ttl);
        return Store(state, {call.stored.number, state.value.type}, /*keep_ttl=*/true);
      case Kind::kTouch:
        if (!ok && !Unknown()) return Reject("did not find an entry that was there");
        return Store(state, state.value);
      case Kind::kMoveToEnd:
        if (!ok && !Unknown()) return Reject("did not find an entry that was there");
        state.order = 0;
        state.tokens.clear();
        return Give(std::move(state));
    }
  }

  void WithoutEntry(State state, bool expired) {
    const Call& call = *call_;
    const char* const found =
        expired ? "found an entry after its time had run out" : "found an entry where there was none";
    switch (call.kind) {
      case Kind::kSet:
      case Kind::kClear:
        break;
      case Kind::kInsert:
        if (call.result == Result::kExists) return Reject(found);
        break;
      case Kind::kFetchAdd:
        if (call.result == Result::kAbsent && !call.has_initial) return Give(std::move(state));
        if (!call.has_initial || (call.result != Result::kOk && !Unknown())) return Reject(found);
        if (call.result == Result::kOk && static_cast<int64_t>(call.seen.number) != call.initial) {
          return Reject("gave neither the number that was there nor the initial one");
        }
        return Store(state, {static_cast<uint64_t>(call.initial) + static_cast<uint64_t>(call.addend), Value::kInt64});
      case Kind::kUpdate:
        if (call.result == Result::kOk) return Reject(found);
        if (!call.stores) return Give(std::move(state));
        if (!call.has_options) return StoreUntil(state, {call.stored.number, 0}, kForever, state.clock);
        break;
      default:
        if (call.result == Result::kAbsent) return Give(std::move(state));
        return Reject(found);
    }
    if (call.kind == Kind::kClear) return Give(std::move(state));
    Store(state, call.stored);
  }

  // ---- What is told of the entry, and what becomes of it ----

  bool Fails(const char* why) {
    Reject(why);
    return false;
  }

  bool Sees(State* state) {
    const Call& call = *call_;
    if (call.seen.torn) return Fails("saw a torn value");
    if (call.seen.number != state->value.number) {
      return Fails(stored_.contains(call.seen.number) ? "saw another value than the one that was there"
                                                      : "saw a value that nobody has stored");
    }
    if (call.seen.type != Value::kAnyType && call.seen.type != state->value.type) {
      return Fails("saw another type than the one that was there");
    }
    if (call.seen_ttl >= 0 && !SeesTtl(state)) return Fails("saw another time to live than the entry had");
    if (call.order != 0 && state->order != call.order) {
      if (state->order != 0 || past_->HasSeenOrder(call.order)) {
        return Fails("saw the insertion number of another entry");
      }
      state->order = call.order;
    }
    return SeesVersion(state, numbered_->version);
  }

  // The clock was read once more for it.
  bool SeesTtl(State* state) {
    const int64_t ttl = call_->seen_ttl;
    if (ttl == kForever || state->expiry == kForever) return ttl == state->expiry;
    if (ttl == 0) return call_->clock_last >= state->expiry;
    const int64_t reading = state->expiry - ttl;
    const int64_t first = Extends() ? call_->clock_first : std::max(call_->clock_first, state->clock);
    return first <= reading && reading <= call_->clock_last;
  }

  bool SeesVersion(State* state, uint32_t token) {
    if (token == Numbered::kNoToken) return true;
    const auto at = std::lower_bound(state->tokens.begin(), state->tokens.end(), token);
    if (at != state->tokens.end() && *at == token) return true;
    if (past_->HasSeenVersion(token)) return Fails("saw a version that another state of the entry had");
    if (!versions_change_alone_ && !state->tokens.empty()) return Fails("saw another version of an unchanged entry");
    state->tokens.insert(at, token);
    return true;
  }

  // The entry with another value, and the call's time to live. If finite, it counts from any of the call's readings.
  void Store(const State& over, const Value& value) {
    if (call_->ttl == kForever) return StoreUntil(over, value, kForever, over.clock);
    for (int64_t now = call_->clock_first; now <= call_->clock_last; ++now) {
      const int64_t clock = std::max(over.clock, now);
      if (call_->ttl > 0) {
        StoreUntil(over, value, now + call_->ttl, clock);
      } else {
        Give(Absent(clock));  // expired at once
      }
    }
  }
  // Over a live entry with `keep_ttl`: and the expiry that it has.
  void Store(const State& over, const Value& value, bool keep_ttl) {
    if (!keep_ttl) return Store(over, value);
    StoreUntil(over, value, over.expiry, over.clock);
  }
  void StoreUntil(const State& over, const Value& value, int64_t expiry, int64_t clock) {
    State state = over;
    state.present = true;
    state.value = value;
    state.expiry = expiry;
    state.clock = clock;
    state.tokens.clear();
    if (SeesVersion(&state, numbered_->version_after)) Give(std::move(state));
  }

  void Give(State state) { to_->push_back(std::move(state)); }

  std::set<uint64_t> stored_;  // numbers
  const bool versions_change_alone_;
  const Call* call_ = nullptr;
  const Numbered* numbered_ = nullptr;
  const Past* past_ = nullptr;
  std::vector<State>* to_ = nullptr;
  std::string* why_ = nullptr;
};

// ---- The search -------------------------------------------------------------------------------------------

struct Pair {
  State state;
  uint64_t placed = 0;  // of the open calls, by their places

  auto operator<=>(const Pair&) const = default;
};

class Search {
 public:
  Search(const std::vector<Call>& calls, const CheckOptions& options)
      : calls_(calls),
        options_(options),
        sequential_(calls, options.versions_change_alone),
        places_(calls.size(), kNoPlace),
        ended_(calls.size(), false) {
    NumberVersions();
  }

  Verdict Run() {
    struct Event {
      int64_t time;
      bool is_end;  // what begins when another ends overlaps it
      size_t call;
      auto operator<=>(const Event&) const = default;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      if (call.result == Result::kNothingDone) continue;
      if (call.result == Result::kUnknown && (call.kind == Kind::kGet || call.kind == Kind::kContains)) continue;
      events.push_back({call.begin, false, i});
      if (call.end != kForever) events.push_back({call.end, true, i});
    }
    std::sort(events.begin(), events.end());
    Verdict verdict;
    std::set<Pair> pairs = {Pair{}};
    for (const Event& event : events) {
      if (!event.is_end) {
        if (~used_ == 0) return Undecided(verdict);
        places_[event.call] = static_cast<uint32_t>(std::countr_one(used_));
        used_ |= Bit(event.call);
        open_.push_back(event.call);
        continue;
      }
      std::set<Pair> after;
      std::set<std::string> whys;
      if (!End(event.call, pairs, &after, &verdict, &whys)) return Undecided(verdict);
      if (after.empty()) {
        verdict.kind = Verdict::Kind::kWrong;
        verdict.failed = event.call;
        for (const std::string& why : whys) verdict.message += (verdict.message.empty() ? "" : "; or ") + why;
        return verdict;
      }
      pairs = std::move(after);
      used_ &= ~Bit(event.call);
      open_.erase(std::find(open_.begin(), open_.end(), event.call));
      ended_[event.call] = true;
    }
    return verdict;
  }

 private:
  static constexpr uint32_t kNoPlace = 64;

  class PastOf : public Past {
   public:
    PastOf(const Search& search, uint64_t placed) : search_(search), placed_(placed) {}
    bool HasSeenVersion(uint32_t token) const override { return Any(search_.tellers_[token]); }
    bool HasSeenOrder(uint64_t order) const override { return Any(search_.order_tellers_.at(order)); }

   private:
    bool Any(const std::vector<size_t>& tellers) const {
      return std::any_of(tellers.begin(), tellers.end(), [this](size_t i) {
        return search_.ended_[i] || (search_.places_[i] != kNoPlace && (placed_ & search_.Bit(i)) != 0);
      });
    }
    const Search& search_;
    const uint64_t placed_;
  };

  uint64_t Bit(size_t call) const { return uint64_t{1} << places_[call]; }

  static Verdict Undecided(Verdict verdict) {
    verdict.kind = Verdict::Kind::kUndecided;
    return verdict;
  }

  // Versions that are named once tell nothing, if they may change alone.
  void NumberVersions() {
    std::map<Token, size_t> named;
    for (const Call& call : calls_) {
      for (const Token& token : {call.expected, call.version, call.version_after}) {
        if (token.known()) ++named[token];
      }
    }
    std::map<Token, uint32_t> numbers;
    for (const auto& [token, times] : named) {
      if (times > 1 || !options_.versions_change_alone) numbers.emplace(token, static_cast<uint32_t>(numbers.size()));
    }
    tellers_.resize(numbers.size());
    const auto number = [&](const Token& token) {
      const auto at = numbers.find(token);
      return at == numbers.end() ? Numbered::kNoToken : at->second;
    };
    for (size_t i = 0; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      const Numbered numbered{&call, number(call.expected), number(call.version), number(call.version_after)};
      for (const uint32_t token : {numbered.version, numbered.version_after}) {
        if (token != Numbered::kNoToken) tellers_[token].push_back(i);
      }
      if (call.order != 0) order_tellers_[call.order].push_back(i);
      numbered_.push_back(numbered);
    }
  }

  // The pairs after the end of `call`: it has been placed, after any of the other open ones. False: out of budget.
  bool End(size_t call, const std::set<Pair>& pairs, std::set<Pair>* after, Verdict* verdict,
           std::set<std::string>* whys) {
    const uint64_t bit = Bit(call);
    std::set<Pair> seen;
    std::vector<Pair> work;
    for (const Pair& pair : pairs) {
      if ((pair.placed & bit) != 0) {
        after->insert({pair.state, pair.placed & ~bit});
      } else {
        if (calls_[call].result == Result::kUnknown) after->insert(pair);  // it never happened
        seen.insert(pair);
        work.push_back(pair);
      }
    }
    std::vector<State> states;
    while (!work.empty()) {
      const Pair pair = std::move(work.back());
      work.pop_back();
      for (const size_t next : open_) {
        if ((pair.placed & Bit(next)) != 0) continue;
        states.clear();
        std::string why;
        sequential_.Step(pair.state, numbered_[next], PastOf(*this, pair.placed), &states, &why);
        if (next == call && states.empty() && !why.empty()) whys->insert(std::move(why));
        for (State& state : states) {
          if (++verdict->pairs > options_.budget) return false;
          if (next == call) {
            after->insert({std::move(state), pair.placed});
          } else if (const auto [at, is_new] = seen.insert({std::move(state), pair.placed | Bit(next)}); is_new) {
            work.push_back(*at);
          }
        }
      }
    }
    return true;
  }

  const std::vector<Call>& calls_;
  const CheckOptions options_;
  Sequential sequential_;
  std::vector<Numbered> numbered_;
  std::vector<std::vector<size_t>> tellers_;               // by version: who has seen it
  std::map<uint64_t, std::vector<size_t>> order_tellers_;  // by insertion number
  std::vector<uint32_t> places_;                           // of calls that have begun
  std::vector<bool> ended_;
  std::vector<size_t> open_;
  uint64_t used_ = 0;  // places of open calls
};

// ---- For people -------------------------------------------------------------------------------------------

std::string Number(int64_t number) { return number == kForever ? "forever" : std::to_string(number); }

std::string ToString(const Value& value) {
  if (value.torn) return "(torn)";
  if (value.type == Value::kInt64) return std::to_string(static_cast<int64_t>(value.number));
  return "#" + std::to_string(value.number) + (value.type > 0 ? " type " + std::to_string(value.type) : "");
}

std::string ToString(const Token& token) { return std::to_string(token.slot) + "@" + std::to_string(token.seq); }

std::string Microseconds(int64_t nanoseconds) {
  std::string text = std::to_string(nanoseconds / 1000) + "." + std::to_string(nanoseconds % 1000 + 1000).substr(1);
  return std::string(text.size() < 11 ? 11 - text.size() : 0, ' ') + text;
}

}  // namespace

std::string ToString(const Call& call, int64_t origin) {
  static constexpr const char* kKinds[] = {"Get",      "Contains", "Set",   "Insert",        "Replace",
                                           "Erase",    "Take",     "Clear", "CompareAndSet", "CompareAndErase",
                                           "FetchAdd", "Update",   "Touch", "MoveToEnd"};
  static constexpr const char* kResults[] = {"killed",  "OK",         "NOT_FOUND",    "ALREADY_EXISTS",
                                             "ABORTED", "no integer", "OUT_OF_RANGE", "failed, nothing done"};
  std::string text = Microseconds(call.begin - origin) + (call.end == kForever ? " ..        " : " ..") +
                     (call.end == kForever ? "" : Microseconds(call.end - origin)) + " us  thread " +
                     std::to_string(call.thread) + "  " + kKinds[static_cast<size_t>(call.kind)] + "(";
  std::vector<std::string> asked;
  if (call.expected.known()) asked.push_back("expected " + ToString(call.expected));
  switch (call.kind) {
    case Kind::kUpdate:
      if (!call.stores) {
        asked.push_back("no change");
        break;
      }
      if (!call.has_options) asked.push_back("no options");
      [[fallthrough]];
    case Kind::kSet:
    case Kind::kInsert:
    case Kind::kReplace:
    case Kind::kCompareAndSet:
      asked.push_back(ToString(call.stored));
      break;
    case Kind::kFetchAdd:
      asked.push_back(std::to_string(call.addend));
      if (call.has_initial) asked.push_back("initial " + std::to_string(call.initial));
      break;
    default:
      break;
  }
  if (call.ttl != kForever) asked.push_back("ttl " + Number(call.ttl));
  if (call.keep_ttl) asked.push_back("keep_ttl");
  for (size_t i = 0; i < asked.size(); ++i) text += (i == 0 ? "" : ", ") + asked[i];
  text += std::string(") = ") + kResults[static_cast<size_t>(call.result)];
  const bool sees =
      call.kind == Kind::kGet || call.kind == Kind::kTake || call.kind == Kind::kFetchAdd || call.kind == Kind::kUpdate;
  if (sees && call.result == Result::kOk) text += ", saw " + ToString(call.seen);
  if (call.seen_ttl >= 0) text += ", ttl " + Number(call.seen_ttl);
  if (call.version.known()) text += ", version " + ToString(call.version);
  if (call.version_after.known()) text += ", now version " + ToString(call.version_after);
  if (call.order != 0) text += ", order " + std::to_string(call.order);
  if (call.clock_last != 0) {
    text += "  [clock " + std::to_string(call.clock_first) + ".." + std::to_string(call.clock_last) +
            (call.clock_end > call.clock_last ? ", then " + std::to_string(call.clock_end) : "") + "]";
  }
  return text;
}

Verdict Check(const std::vector<Call>& calls, const CheckOptions& options) { return Search(calls, options).Run(); }

std::string Explain(const std::vector<Call>& calls, const CheckOptions& options) {
  Verdict verdict = Check(calls, options);
  if (!verdict.wrong()) return "";
  // What begins later than the end that cannot be had is of no account; what ends later is open then.
  std::vector<Call> kept;
  const int64_t at = calls[verdict.failed].end;
  for (const Call& call : calls) {
    if (call.begin > at) continue;
    kept.push_back(call);
    if (call.end > at) kept.back().end = kForever;
  }
  // Latest first: what the failure needs is near it, and so found soon.
  std::sort(kept.begin(), kept.end(), [](const Call& a, const Call& b) { return a.begin < b.begin; });
  const auto only_reads = [](const Call& call) {
    switch (call.kind) {
      case Kind::kGet:
      case Kind::kContains:
        return true;
      case Kind::kUpdate:
        return !call.stores;
      default:
        return call.result != Result::kOk && call.result != Result::kUnknown;
    }
  };
  // Whoever told a version that was then expected: without that call, no success could be right.
  const auto tells_expected = [&](const Call& call) {
    return call.version.known() &&
           std::any_of(kept.begin(), kept.end(), [&](const Call& other) { return other.expected == call.version; });
  };
  for (size_t i = 0; i < kept.size();) {
    if (only_reads(kept[i]) && !tells_expected(kept[i])) {
      std::vector<Call> fewer = kept;
      fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
      if (Check(fewer, options).wrong()) {
        kept = std::move(fewer);
        continue;
      }
    }
    ++i;
  }
  const std::string message = std::exchange(verdict, Check(kept, options)).message;
  const int64_t origin = kept.front().begin;
  std::string text = "not linearizable: " + message + "\n  at " + ToString(kept[verdict.failed], origin) +
                     "\n  in this history, reads that do not matter left out:\n";
  for (size_t i = 0; i < kept.size(); ++i) {
    text += (i == verdict.failed ? "  > " : "    ") + ToString(kept[i], origin) + "\n";
  }
  return text;
}

}  // namespace segdict::linearizability
