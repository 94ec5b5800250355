// The checker itself: right histories are accepted; wrong ones of every kind are rejected, and for the right reason;
// and on small random histories, right and spoilt, it says exactly what trying all orders on a real object says.
#include "tests/linearizability/checker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace segdict::linearizability {
namespace {

// ---- Histories in short -----------------------------------------------------------------------------------

// A call from `begin` to `end`; what it was asked and told follows: Set(1, 2).Stores(5).
struct Made : Call {
  Made(Kind k, Result r, int64_t b, int64_t e) {
    kind = k;
    result = r;
    begin = b;
    end = e;
  }
  Made Stores(uint64_t number, int type = 0) const {
    Made m = *this;
    m.stored = {number, type};
    return m;
  }
  Made Sees(uint64_t number, int type = 0) const {
    Made m = *this;
    m.seen = {number, type};
    return m;
  }
  Made Torn() const {
    Made m = *this;
    m.seen.torn = true;
    return m;
  }
  Made Version(uint64_t seq) const {
    Made m = *this;
    m.version = {1, seq};
    return m;
  }
  Made Expects(uint64_t seq) const {
    Made m = *this;
    m.expected = {1, seq};
    return m;
  }
  Made NowAt(uint64_t seq) const {
    Made m = *this;
    m.version_after = {1, seq};
    return m;
  }
  Made Order(uint64_t number) const {
    Made m = *this;
    m.order = number;
    return m;
  }
  Made Ttl(int64_t nanoseconds) const {
    Made m = *this;
    m.ttl = nanoseconds;
    return m;
  }
  Made SeesTtl(int64_t nanoseconds) const {
    Made m = *this;
    m.seen_ttl = nanoseconds;
    return m;
  }
  Made KeepTtl() const {
    Made m = *this;
    m.keep_ttl = true;
    return m;
  }
  Made At(int64_t first, int64_t last) const {
    Made m = *this;
    m.clock_first = first;
    m.clock_last = last;
    return m;
  }
  Made At(int64_t clock) const { return At(clock, clock); }
  Made BeginsAt(int64_t clock) const {
    Made m = *this;
    m.clock_begin = clock;
    return m;
  }
  Made EndsAt(int64_t clock) const {
    Made m = *this;
    m.clock_end = clock;
    return m;
  }
  Made Adds(int64_t number) const {
    Made m = *this;
    m.addend = number;
    return m;
  }
  Made Initial(int64_t number) const {
    Made m = *this;
    m.has_initial = true;
    m.initial = number;
    return m;
  }
  Made NoOptions() const {
    Made m = *this;
    m.has_options = false;
    return m;
  }
  Made NoChange() const {
    Made m = *this;
    m.stores = false;
    return m;
  }
};

#define SEGDICT_CALL(name) \
  Made name(int64_t begin, int64_t end, Result result = Result::kOk) { return Made(Kind::k##name, result, begin, end); }
SEGDICT_CALL(Get)
SEGDICT_CALL(Contains)
SEGDICT_CALL(Set)
SEGDICT_CALL(Insert)
SEGDICT_CALL(Replace)
SEGDICT_CALL(Erase)
SEGDICT_CALL(Take)
SEGDICT_CALL(Clear)
SEGDICT_CALL(CompareAndSet)
SEGDICT_CALL(CompareAndErase)
SEGDICT_CALL(FetchAdd)
SEGDICT_CALL(Update)
SEGDICT_CALL(Touch)
SEGDICT_CALL(MoveToEnd)
#undef SEGDICT_CALL

constexpr Result kNone = Result::kAbsent;
constexpr Result kKilled = Result::kUnknown;
constexpr int kInt = Value::kInt64;

std::vector<Call> History(const std::vector<Made>& calls) { return {calls.begin(), calls.end()}; }

struct Case {
  std::string name;
  std::vector<Made> calls;
  std::string why;  // in the message; empty: right
  bool versions_change_alone = true;
};

std::vector<Case> Right() {
  return {
      {"nothing", {}, ""},
      {"absent at first", {Get(1, 2, kNone), Erase(3, 4, kNone), Set(5, 6).Stores(7), Get(7, 8).Sees(7)}, ""},
      {"overlapping writes in either order", {Set(1, 10).Stores(1), Set(2, 9).Stores(2), Get(11, 12).Sees(1)}, ""},
      {"a read before and one after a write that overlaps both",
       {Set(1, 2).Stores(1), Set(3, 10).Stores(2), Get(4, 5).Sees(1), Get(6, 7).Sees(2)},
       ""},
      {"a killed write that never happened",
       {Set(1, 2).Stores(1), Set(3, 5, kKilled).Stores(2), Get(6, 7).Sees(1)},
       ""},
      {"a killed write that happened", {Set(1, 2).Stores(1), Set(3, 5, kKilled).Stores(2), Get(6, 7).Sees(2)}, ""},
      {"a killed write that happens late",
       {Set(1, 2).Stores(1), Set(3, kForever, kKilled).Stores(2), Get(6, 7).Sees(1), Get(8, 9).Sees(2)},
       ""},
      {"killed calls that had nothing to do",
       {Replace(1, 3, kKilled).Stores(1), Erase(4, 5, kKilled), Get(6, 7, kNone)},
       ""},
      {"a value that is moved",
       {Set(1, 2).Stores(1), Get(3, 4).Sees(1).Version(5), Get(5, 6).Sees(1).Version(6),
        CompareAndSet(7, 8).Expects(6).Stores(2).NowAt(7), Get(9, 10).Sees(2).Version(7)},
       ""},
      {"moved, so not the expected version any more",
       {Set(1, 2).Stores(1), Get(3, 4).Sees(1).Version(5), CompareAndSet(7, 8, Result::kChanged).Expects(5).Stores(2)},
       ""},
      {"there until its time",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 4).Sees(1).SeesTtl(1).At(104), Get(5, 6, kNone).At(105)},
       ""},
      {"it straddles its time: there or not",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 9).Sees(1).At(104, 106), Get(4, 8, kNone).At(104, 106)},
       ""},
      {"extended after it had looked at the clock in time, and seen as expired meanwhile",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Touch(3, 10).Ttl(50).At(104, 104), Get(4, 5, kNone).At(105),
        Get(11, 12).Sees(1).At(106)},
       ""},
      {"set with a time to live that began at any of its readings",
       {Set(1, 9).Stores(1).Ttl(5).At(100, 103), Get(10, 11).Sees(1).SeesTtl(4).At(104)},
       ""},
      {"reclaimed by others after it had looked at the clock",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 9, kNone).At(104).EndsAt(105)},
       ""},
      {"reclaimed by others before it looked at the clock, for another key",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 9, kNone).At(108).BeginsAt(105), Set(4, 5).Stores(2).Ttl(9).At(106),
        Get(6, 7).Sees(2).SeesTtl(9).At(106)},
       ""},
      {"inserted over an expired entry",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Insert(3, 4).Stores(2).At(105), Get(5, 6).Sees(2).At(105)},
       ""},
      {"a result without effect",
       {Set(1, 2).Stores(1), Set(3, 4, Result::kNothingDone).Stores(2), Get(5, 6).Sees(1)},
       ""},
      {"an update that sees none, and one without options",
       {Update(1, 2, kNone).Stores(1, 32), Update(3, 4).Sees(1, 32).NoOptions().Stores(2), Get(5, 6).Sees(2, 32)},
       ""},
      {"counting",
       {FetchAdd(1, 2, kNone).Adds(1), FetchAdd(3, 4).Adds(1).Initial(10).Sees(10, kInt),
        FetchAdd(5, 9).Adds(5).Sees(12, kInt), FetchAdd(6, 8).Adds(1).Sees(11, kInt), Get(10, 11).Sees(17, kInt)},
       ""},
      {"an insertion number for each insertion",
       {Set(1, 2).Stores(1), Get(3, 4).Sees(1).Order(7), Set(5, 6).Stores(2), Get(7, 8).Sees(2).Order(7),
        MoveToEnd(9, 10), Get(11, 12).Sees(2).Order(8), Erase(13, 14), Insert(15, 16).Stores(3),
        Get(17, 18).Sees(3).Order(9)},
       ""},
  };
}

std::vector<Case> Wrong() {
  const Made set1 = Set(1, 2).Stores(1);
  return {
      // Reads.
      {"stale read", {set1, Set(3, 4).Stores(2), Get(5, 6).Sees(1)}, "another value than"},
      {"value from nowhere", {set1, Get(3, 4).Sees(9)}, "nobody has stored"},
      {"value of the future", {Get(1, 2).Sees(1), Set(3, 4).Stores(1)}, "where there was none"},
      {"torn value", {set1, Get(3, 4).Torn()}, "torn"},
      {"value of a call that failed",
       {set1, Set(3, 4, Result::kNothingDone).Stores(2), Get(5, 6).Sees(2)},
       "another value"},
      {"type of another value", {set1, Get(3, 4).Sees(1, 5)}, "another type"},
      {"missed", {set1, Get(3, 4, kNone)}, "did not find an entry that was there"},
      {"missed by Contains", {set1, Contains(3, 4, kNone)}, "did not find an entry that was there"},
      {"found after the erase", {set1, Erase(3, 4), Get(5, 6).Sees(1)}, "where there was none"},
      {"found by Contains after Clear", {set1, Clear(3, 4), Contains(5, 6)}, "where there was none"},
      {"two readers see two writes in different orders",
       {Set(1, 20).Stores(1), Set(1, 20).Stores(2), Get(3, 4).Sees(1), Get(5, 6).Sees(2), Get(7, 8).Sees(1)},
       "another value"},
      // Writes.
      {"lost update", {set1, Update(3, 8).Sees(1).Stores(2), Update(4, 9).Sees(1).Stores(3)}, "another value"},
      {"update that saw none", {set1, Update(3, 4, kNone).Stores(2)}, "did not find"},
      {"update without options loses the type",
       {Set(1, 2).Stores(1, 32), Update(3, 4).Sees(1, 32).NoOptions().Stores(2), Get(5, 6).Sees(2, 0)},
       "another type"},
      {"update that changed what it was to leave",
       {set1, Update(3, 4).Sees(1).NoChange().Stores(2), Get(5, 6).Sees(2)},
       "another value"},
      {"inserted twice", {Insert(1, 10).Stores(1), Insert(2, 9).Stores(2)}, "inserted a key that was there"},
      {"says that it exists", {Insert(1, 2, Result::kExists).Stores(1)}, "where there was none"},
      {"replaced nothing", {Replace(1, 2).Stores(1)}, "where there was none"},
      {"did not replace", {set1, Replace(3, 4, kNone).Stores(2)}, "did not find"},
      {"erased twice", {set1, Erase(3, 8), Erase(4, 9)}, "where there was none"},
      {"erased nothing", {Erase(1, 2)}, "where there was none"},
      {"says that there is nothing to erase", {set1, Erase(3, 4, kNone)}, "did not find"},
      {"taken twice", {set1, Take(3, 8).Sees(1), Take(4, 9).Sees(1)}, "where there was none"},
      {"took another value", {set1, Set(3, 4).Stores(2), Take(5, 6).Sees(1)}, "another value"},
      {"a write that was acknowledged and never seen",
       {set1, Set(3, 4).Stores(2), Set(5, 8, kKilled).Stores(3), Get(9, 10).Sees(1)},
       "another value"},
      // Versions.
      {"compared with an old version",
       {set1, Get(3, 4).Sees(1).Version(1), Set(5, 6).Stores(2), CompareAndSet(7, 8).Expects(1).Stores(3)},
       "although the entry had changed"},
      {"two win with one version",
       {set1, Get(3, 4).Sees(1).Version(1), CompareAndSet(5, 9).Expects(1).Stores(2),
        CompareAndSet(6, 8).Expects(1).Stores(3)},
       "although the entry had changed"},
      {"erased by an old version, the value come back",
       {set1, Get(3, 4).Sees(1).Version(1), Erase(5, 6), Set(7, 8).Stores(1), CompareAndErase(9, 10).Expects(1)},
       "although the entry had changed"},
      {"compared where there is none", {CompareAndSet(1, 2).Expects(1).Stores(1)}, "where there was none"},
      {"changed, it says, where there is none",
       {set1, Get(3, 4).Sees(1).Version(1), Erase(5, 6), CompareAndSet(7, 8, Result::kChanged).Expects(1).Stores(2)},
       "where there was none"},
      {"changed, it says, though nothing moves",
       {set1, Get(3, 4).Sees(1).Version(1), CompareAndSet(5, 6, Result::kChanged).Expects(1).Stores(2)},
       "but it had not",
       false},
      {"two versions of one state, though nothing moves",
       {set1, Get(3, 4).Sees(1).Version(1), Get(5, 6).Sees(1).Version(2)},
       "another version of an unchanged",
       false},
      {"one version for two states",
       {set1, Get(3, 4).Sees(1).Version(1), Set(5, 6).Stores(2), Get(7, 8).Sees(2).Version(1)},
       "that another state of the entry had"},
      {"the version that was given is an old one",
       {set1, Get(3, 4).Sees(1).Version(1), CompareAndSet(5, 6).Expects(1).Stores(2).NowAt(1)},
       "that another state of the entry had"},
      // Counters.
      {"an addition lost",
       {FetchAdd(1, 2).Adds(1).Initial(0).Sees(0, kInt), FetchAdd(3, 8).Adds(1).Sees(1, kInt),
        FetchAdd(4, 9).Adds(1).Sees(1, kInt)},
       "another number than"},
      {"an addition counted twice",
       {FetchAdd(1, 2).Adds(1).Initial(0).Sees(0, kInt), FetchAdd(3, 4).Adds(1).Sees(1, kInt), Get(5, 6).Sees(3, kInt)},
       "nobody has stored"},
      {"initial though it is there",
       {FetchAdd(1, 2).Adds(1).Initial(0).Sees(0, kInt), FetchAdd(3, 4).Adds(1).Initial(0).Sees(0, kInt)},
       "another number than"},
      {"neither there nor initial", {FetchAdd(1, 2).Adds(1).Initial(5).Sees(6, kInt)}, "neither the number"},
      {"added to text", {set1, FetchAdd(3, 4).Adds(1).Sees(1, kInt)}, "no integer"},
      {"no integer, it says", {Set(1, 2).Stores(1, kInt), FetchAdd(3, 4, Result::kNotInteger).Adds(1)}, "but it is"},
      {"beyond the range",
       {Set(1, 2).Stores(1, kInt), FetchAdd(3, 4).Adds(kForever).Sees(1, kInt)},
       "beyond the range"},
      {"out of range, it says",
       {Set(1, 2).Stores(1, kInt), FetchAdd(3, 4, Result::kOutOfRange).Adds(1)},
       "but it is not"},
      // Expiry.
      {"read after its time", {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 4).Sees(1).At(105)}, "after its time"},
      {"missed before its time",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 4, kNone).At(104)},
       "did not find an entry"},
      {"expired, and there again",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 20, kNone).At(104, 105), Get(21, 22).Sees(1).At(104, 105)},
       "after its time"},
      {"touched after its time", {Set(1, 2).Stores(1).Ttl(5).At(100), Touch(3, 4).Ttl(9).At(105)}, "after its time"},
      {"replaced after its time",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Replace(3, 4).Stores(2).At(107)},
       "after its time"},
      {"erased after its time", {Set(1, 2).Stores(1).Ttl(5).At(100), Erase(3, 4).At(105)}, "after its time"},
      {"inserted before its time",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Insert(3, 4).Stores(2).At(104)},
       "inserted a key that was there"},
      {"Set does not end the time to live",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Set(3, 4).Stores(2).At(101), Get(5, 6, kNone).At(109)},
       "did not find"},
      {"keep_ttl does not keep it",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Set(3, 4).Stores(2).KeepTtl().At(101), Get(5, 6).Sees(2).At(109)},
       "after its time"},
      {"an addition ends the time to live",
       {Set(1, 2).Stores(1, kInt).Ttl(5).At(100), FetchAdd(3, 4).Adds(1).Sees(1, kInt).At(101),
        Get(5, 6).Sees(2, kInt).At(105)},
       "after its time"},
      {"another time to live",
       {Set(1, 2).Stores(1).Ttl(5).At(100), Get(3, 4).Sees(1).SeesTtl(5).At(101)},
       "time to live"},
      {"a time to live where there is none", {set1, Get(3, 4).Sees(1).SeesTtl(5).At(1)}, "time to live"},
      {"a time to live of zero",
       {Set(1, 2).Stores(1).Ttl(0).At(100), Get(3, 4).Sees(1).At(100)},
       "where there was none"},
      // Insertion numbers.
      {"overwritten, and at the end",
       {set1, Get(3, 4).Sees(1).Order(7), Set(5, 6).Stores(2), Get(7, 8).Sees(2).Order(8)},
       "insertion number"},
      {"inserted anew, and not at the end",
       {set1, Get(3, 4).Sees(1).Order(7), Erase(5, 6), Set(7, 8).Stores(2), Get(9, 10).Sees(2).Order(7)},
       "insertion number"},
      {"not moved to the end",
       {set1, Get(3, 4).Sees(1).Order(7), MoveToEnd(5, 6), Get(7, 8).Sees(1).Order(7)},
       "insertion number"},
      {"nothing to move", {MoveToEnd(1, 2)}, "where there was none"},
      // Pending calls.
      {"effect before the killed call began",
       {set1, Get(3, 4).Sees(2), Set(5, kForever, kKilled).Stores(2)},
       "another value"},
      {"effect of a killed call seen, and then unseen",
       {set1, Set(3, kForever, kKilled).Stores(2), Get(4, 5).Sees(2), Get(6, 7).Sees(1)},
       "another value"},
      {"effect that begins to show after the process was gone",
       {set1, Set(3, 5, kKilled).Stores(2), Get(6, 7).Sees(1), Get(8, 9).Sees(2)},
       "another value"},
      {"one killed erase, two vanishings",
       {set1, Erase(3, kForever, kKilled), Get(4, 5, kNone), Set(6, 7).Stores(2), Get(8, 9, kNone)},
       "did not find"},
      {"half of a killed addition",
       {Set(1, 2).Stores(10, kInt), FetchAdd(3, 9, kKilled).Adds(6), Get(4, 5).Sees(13, kInt)},
       "nobody has stored"},
      {"killed insert over what is there",
       {set1, Insert(3, 9, kKilled).Stores(2), Get(10, 11).Sees(2)},
       "another value"},
      {"killed comparison that must fail",
       {set1, Get(3, 4).Sees(1).Version(1), Set(5, 6).Stores(2), CompareAndSet(7, 9, kKilled).Expects(1).Stores(3),
        Get(10, 11).Sees(3)},
       "another value"},
  };
}

class RightTest : public testing::TestWithParam<Case> {};
class WrongTest : public testing::TestWithParam<Case> {};
std::string NameOf(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

TEST_P(RightTest, IsAccepted) {
  const Verdict verdict = Check(History(GetParam().calls), {.versions_change_alone = GetParam().versions_change_alone});
  EXPECT_TRUE(verdict.linearizable()) << verdict.message;
}
INSTANTIATE_TEST_SUITE_P(Histories, RightTest, testing::ValuesIn(Right()), NameOf);

TEST_P(WrongTest, IsRejectedAndNamed) {
  const CheckOptions options{.versions_change_alone = GetParam().versions_change_alone};
  const std::vector<Call> calls = History(GetParam().calls);
  const Verdict verdict = Check(calls, options);
  ASSERT_TRUE(verdict.wrong());
  EXPECT_NE(verdict.message.find(GetParam().why), std::string::npos) << verdict.message;
  const std::string text = Explain(calls, options);
  EXPECT_NE(text.find(GetParam().why), std::string::npos) << text;
}
INSTANTIATE_TEST_SUITE_P(Histories, WrongTest, testing::ValuesIn(Wrong()), NameOf);

TEST(Checker, GivesUpWithinItsBudget) {
  std::vector<Call> calls;
  for (uint64_t i = 0; i < 20; ++i) calls.push_back(Set(1, 100).Stores(i + 1));
  calls.push_back(Get(101, 102).Sees(99));
  EXPECT_EQ(Check(calls, {.budget = 1000}).kind, Verdict::Kind::kUndecided);
  EXPECT_LE(Check(calls, {.budget = 1000}).pairs, 1001u);
}

TEST(Checker, LeavesOutReadsThatDoNotMatter) {
  std::vector<Made> calls = {Set(1, 2).Stores(1)};
  for (int64_t t = 3; t < 100; t += 2) calls.push_back(Get(t, t + 1).Sees(1));
  calls.push_back(Get(101, 102).Sees(5));
  calls.push_back(Set(103, 104).Stores(5));
  const std::string text = Explain(History(calls));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5) << text;
}

// ---- Random histories -------------------------------------------------------------------------------------

// A dict of one key, written anew: nothing of it is the checker's. Its clock stands where it is put.
class Object {
 public:
  int64_t clock = 0;

  bool Live() const { return there_ && clock < expiry_; }

  // Does what the call asks, and fills in what it tells.
  void Do(Call& call) {
    const bool live = Live();
    if (!live) there_ = false;
    call.result = Result::kOk;
    switch (call.kind) {
      case Kind::kGet:
        if (!live) break;
        Tell(call);
        return;
      case Kind::kContains:
      case Kind::kMoveToEnd:
        if (!live) break;
        if (call.kind == Kind::kMoveToEnd) Change(/*renumber=*/true);
        return;
      case Kind::kSet:
        Put(call, call.stored, call.keep_ttl);
        return;
      case Kind::kInsert:
        if (live) {
          call.result = Result::kExists;
        } else {
          Put(call, call.stored, false);
        }
        return;
      case Kind::kReplace:
        if (!live) break;
        Put(call, call.stored, call.keep_ttl);
        return;
      case Kind::kErase:
      case Kind::kTake:
        if (!live) break;
        if (call.kind == Kind::kTake) call.seen = value_;
        there_ = false;
        return;
      case Kind::kClear:
        there_ = false;
        return;
      case Kind::kCompareAndSet:
      case Kind::kCompareAndErase:
        if (!live) break;
        if (call.expected.seq != version_) {
          call.result = Result::kChanged;
        } else if (call.kind == Kind::kCompareAndErase) {
          there_ = false;
        } else {
          Put(call, call.stored, call.keep_ttl);
          if (there_) call.version_after = {1, version_};
        }
        return;
      case Kind::kFetchAdd:
        if (!live && !call.has_initial) break;
        if (live && value_.type != kInt) {
          call.result = Result::kNotInteger;
          return;
        }
        call.seen = {live ? value_.number : static_cast<uint64_t>(call.initial), kInt};
        Put(call, {call.seen.number + static_cast<uint64_t>(call.addend), kInt}, true);
        return;
      case Kind::kUpdate:
        if (live) Tell(call);
        if (!live) call.result = Result::kAbsent;
        if (call.stores) Put(call, call.stored, call.keep_ttl);
        return;
      case Kind::kTouch:
        if (!live) break;
        Put(call, value_, false);
        return;
    }
    call.result = Result::kAbsent;
  }

 private:
  void Tell(Call& call) const {
    call.seen = value_;
    call.seen_ttl = expiry_ == kForever ? kForever : expiry_ - clock;
    call.version = {1, version_};
    call.order = order_;
  }
  void Change(bool renumber) {
    ++version_;
    if (renumber) ++order_;
  }
  void Put(const Call& call, Value value, bool keep_ttl) {
    const bool was_there = std::exchange(there_, true);
    Change(!was_there);
    value_ = value;
    if (!was_there || !keep_ttl) expiry_ = call.ttl == kForever ? kForever : clock + call.ttl;
  }

  bool there_ = false;
  Value value_;
  int64_t expiry_ = kForever;
  uint64_t version_ = 10, order_ = 5;
};

// Tries all orders. The clock is read once a call, when it happens; a version of the object stands for one of the
// history's, and they for each other.
class BruteForce {
 public:
  explicit BruteForce(std::vector<Call> calls) : calls_(std::move(calls)), placed_(calls_.size(), false) {}
  bool Linearizable() { return From(Object(), {}, {}, {}, {}); }

 private:
  using Names = std::map<uint64_t, uint64_t>;

  static bool Bind(Names* there, Names* back, uint64_t ours, uint64_t theirs) {
    const auto a = there->emplace(ours, theirs).first;
    const auto b = back->emplace(theirs, ours).first;
    return a->second == theirs && b->second == ours;
  }

  bool From(const Object& object, const Names& versions, const Names& versions_back, const Names& orders,
            const Names& orders_back) {
    int64_t first_end = kForever;
    bool done = true;
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (placed_[i]) continue;
      done = done && calls_[i].result == kKilled;
      if (calls_[i].result != kKilled) first_end = std::min(first_end, calls_[i].end);
    }
    if (done) return true;
    for (size_t i = 0; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      // A killed call has an end as well: others that began later may not be placed before it; it may be left out.
      if (placed_[i] || call.begin > first_end || AnyPlacedBeganAfter(call.end)) continue;
      placed_[i] = true;
      for (int64_t clock = std::max(object.clock, call.clock_first); clock <= call.clock_last; ++clock) {
        Object next = object;
        next.clock = clock;
        Call given = call;
        if (call.expected.known()) {
          const auto at = versions_back.find(call.expected.seq);
          given.expected.seq = at == versions_back.end() ? 0 : at->second;
        }
        given.seen = {};
        given.seen_ttl = -1;
        given.version = given.version_after = {};
        given.order = 0;
        next.Do(given);
        Names v = versions, vb = versions_back, o = orders, ob = orders_back;
        if (call.result != kKilled) {
          if (given.result != call.result || given.seen != call.seen || given.seen_ttl != call.seen_ttl) continue;
          if (given.version.known() != call.version.known() ||
              given.version_after.known() != call.version_after.known()) {
            continue;
          }
          if (call.version.known() && !Bind(&v, &vb, given.version.seq, call.version.seq)) continue;
          if (call.version_after.known() && !Bind(&v, &vb, given.version_after.seq, call.version_after.seq)) continue;
          if (call.order != 0 && !Bind(&o, &ob, given.order, call.order)) continue;
        }
        if (From(next, v, vb, o, ob)) return true;
      }
      placed_[i] = false;
    }
    return false;
  }

  bool AnyPlacedBeganAfter(int64_t end) const {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (placed_[i] && calls_[i].begin > end) return true;
    }
    return false;
  }

  std::vector<Call> calls_;
  std::vector<bool> placed_;
};

class RandomHistory {
 public:
  RandomHistory(uint64_t seed, size_t length, bool extends) : random_(seed), extends_(extends) { Make(length); }

  const std::vector<Call>& calls() const { return calls_; }

  // One result, argument or time is another one; only what such a call tells at all.
  void Spoil() {
    Call& call = calls_[Below(calls_.size())];
    const bool tells_value = call.result == Result::kOk && (call.kind == Kind::kGet || call.kind == Kind::kTake ||
                                                            call.kind == Kind::kFetchAdd || call.kind == Kind::kUpdate);
    switch (Below(7)) {
      case 0:
        if (tells_value) call.seen.number = 1 + Below(made_ + 1);
        return;
      case 1:
        if (call.result == Result::kOk || !TellsMore(call.kind)) {
          call.result = static_cast<Result>(1 + Below(4));
          if (call.result != Result::kOk) ClearTold(call);
        }
        return;
      case 2:
        if (call.version.known()) call.version.seq = 10 + Below(6);
        return;
      case 3:
        if (call.order != 0) call.order = 5 + Below(4);
        return;
      case 4:
        if (call.seen_ttl >= 0) call.seen_ttl = OneIn(4) ? kForever : static_cast<int64_t>(1 + Below(4));
        return;
      case 5:
        call.stored.number = 1 + Below(made_ + 1);
        return;
      default:
        call.end = call.begin + 1 + (call.end - call.begin) / 3;
        return;
    }
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  static bool TellsMore(Kind kind) {
    return kind == Kind::kGet || kind == Kind::kTake || kind == Kind::kFetchAdd || kind == Kind::kUpdate ||
           kind == Kind::kCompareAndSet;
  }

  // Calls happen one after the other, at moments 100, 200 ...; their beginnings and ends lie around that, and so do the
  // readings of the clock that they could have got.
  void Make(size_t length) {
    Object object;
    object.clock = 50;
    std::vector<uint64_t> seen_versions = {10};
    for (size_t i = 0; i < length; ++i) {
      const auto at = static_cast<int64_t>(100 * (i + 1));
      Call call;
      call.kind = static_cast<Kind>(Below(14));
      if (OneIn(3)) call.kind = OneIn(2) ? Kind::kGet : Kind::kSet;
      call.thread = static_cast<int>(i);
      call.begin = at - static_cast<int64_t>(Below(250));
      call.end = at + static_cast<int64_t>(Below(250));
      call.stored = {++made_, OneIn(3) ? kInt : 0};
      call.stores = !OneIn(4);
      call.addend = static_cast<int64_t>(1 + Below(2));
      call.has_initial = OneIn(2);
      call.initial = static_cast<int64_t>(1 + Below(3));
      if (extends_ && OneIn(2)) call.ttl = static_cast<int64_t>(1 + Below(4));
      if (extends_ && OneIn(3)) call.keep_ttl = true;
      if (call.kind == Kind::kCompareAndSet || call.kind == Kind::kCompareAndErase) {
        call.expected = {1, OneIn(3) ? seen_versions[Below(seen_versions.size())] : seen_versions.back()};
        // It was told by a call that had ended before.
        if (!Told(call)) call.kind = Kind::kGet, call.expected = {};
      }
      if (extends_ && OneIn(2)) ++object.clock;
      object.Do(call);
      call.clock_first = call.clock_last = object.clock;
      if (OneIn(8) && call.kind != Kind::kGet && call.kind != Kind::kContains) Forget(call, object.clock);
      if (call.version.known()) seen_versions.push_back(call.version.seq);
      calls_.push_back(call);
    }
  }

  bool Told(const Call& call) const {
    return std::any_of(calls_.begin(), calls_.end(), [&](const Call& other) {
      return (other.version == call.expected || other.version_after == call.expected) && other.end < call.begin;
    });
  }

  static void ClearTold(Call& call) {
    call.seen = {};
    call.seen_ttl = -1;
    call.version = call.version_after = {};
    call.order = 0;
  }
  // Killed: nothing was told.
  static void Forget(Call& call, int64_t clock) {
    call.result = kKilled;
    ClearTold(call);
    call.clock_first = call.clock_last = clock;
  }

  std::mt19937_64 random_;
  const bool extends_;
  std::vector<Call> calls_;
  uint64_t made_ = 0;
};

uint64_t Rounds(uint64_t usual) {
  const char* const text = std::getenv("SEGDICT_CHECKER_ROUNDS");
  return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
}

std::string ToString(const std::vector<Call>& calls) {
  std::string text;
  for (const Call& call : calls) text += ToString(call) + "\n";
  return text;
}

TEST(RandomHistories, RightOnesOfAnyLengthAreAccepted) {
  for (uint64_t seed = 0; seed < Rounds(3000); ++seed) {
    const RandomHistory history(seed, 1 + seed % 120, seed % 2 == 0);
    const Verdict verdict = Check(history.calls(), {.versions_change_alone = false});
    ASSERT_TRUE(verdict.linearizable()) << "seed " << seed << ": " << verdict.message << "\n"
                                        << ToString(history.calls());
  }
}

TEST(RandomHistories, SpoiltOnesAreJudgedAsByTryingAllOrders) {
  uint64_t wrong = 0, right = 0;
  for (uint64_t seed = 0; seed < Rounds(20'000); ++seed) {
    RandomHistory history(seed, 2 + seed % 6, false);
    for (uint64_t times = seed % 3; times > 0; --times) history.Spoil();
    const Verdict verdict = Check(history.calls(), {.versions_change_alone = false});
    const bool expected = BruteForce(history.calls()).Linearizable();
    ASSERT_EQ(verdict.linearizable(), expected) << "seed " << seed << ": " << verdict.message << "\n"
                                                << ToString(history.calls());
    ++(expected ? right : wrong);
  }
  std::printf("%lu right, %lu wrong\n", right, wrong);
  EXPECT_GT(wrong * 10, right) << "too few were wrong";
}

}  // namespace
}  // namespace segdict::linearizability
