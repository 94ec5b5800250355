// Every operation of the library as it ships, killed behind every machine instruction that stores to the segment.
//
// The optimized code over the real memory: no hook, nothing compiled otherwise than for applications. For each case:
//
// Follow    One process is single-stepped through the operation, with the segment write-protected, so that each
//           store is seen. After each, its bytes are compared, and a reader in another process tells what it sees:
//           the *course* is all stores, and the states that readers saw, one after the other.
// Kill      For each store of the course, a new process with a new copy of the segment is led there by a breakpoint,
//           and killed (SIGKILL) right behind it. If it does not come there, or readers see another state, the test
//           fails. Also at each system call's entry and return: there the kernel's locks come and go.
// Recover   A third process opens what is left. Every second one says Recover; the others just write, and so come
//           across the dead one's locks. Readers must see the state that they saw before the death, or the next one
//           of the course: what was seen never vanishes. Verify finds nothing, the size is exact, all can be written
//           and erased; the emptied dict holds no block, and takes a value as large as the arena, and an entry in
//           each slot.
// Again     Recovery itself is followed and killed in the same way.
//
// Between two stores and two system calls a death leaves what it leaves right behind the former of them.
//
// SEGDICT_MACHINE_FULL=1: the operations behind all stores, and the recoveries of all deaths but those in the middle of
// a long `rep movsb`, where a death leaves what it leaves in any other iteration: some more bytes in a block that
// nobody reads yet. Otherwise the middle is left out of the operations too, and three deaths a case are recovered.
// A case is the same in every run; to repeat one: --gtest_filter='*/InsertBlock'.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "segdict/dict.h"
#include "tests/machine/cases.h"
#include "tests/machine/segment.h"
#include "tests/machine/tracer.h"
#include "tests/testing.h"

namespace segdict::test {
namespace {

bool Full() {
  const char* const full = getenv("SEGDICT_MACHINE_FULL");
  return full != nullptr && *full != '\0' && *full != '0';
}

// Says loudly that nothing was tested.
#define SKIP_UNLESS_TRACEABLE()                                                           \
  if (const std::string why = Victim::WhyNot(); !why.empty()) {                           \
    std::fprintf(stderr, "SKIPPED: processes cannot be traced here (%s)\n", why.c_str()); \
    GTEST_SKIP() << "processes cannot be traced here: " << why;                           \
  }                                                                                       \
  static_assert(true)

// Steps the victim to its end, and calls `stored` after each instruction that stored to the segment. Returns how many
// instructions were executed.
uint64_t StepThrough(Victim& victim, absl::FunctionRef<void(const Moment&, bool changed)> stored) {
  uint64_t steps = 0;
  std::optional<Shadow> shadow;
  // The segment may be mapped by now, or after any system call.
  for (bool more = true, look = true; more; ++steps) {
    if (look && !shadow.has_value()) {
      if (const internal::UniqueFd file = victim.Guard()) shadow.emplace(file.get());
    }
    look = victim.AtSystemCall();
    more = victim.Step();
    const bool changed = shadow.has_value() && shadow->Changed();
    EXPECT_TRUE(victim.stored() || !changed) << victim.last().Describe() << ": a change without a store";
    if (victim.stored()) stored(victim.last(), changed);
  }
  EXPECT_TRUE(victim.succeeded()) << "the operation " << victim.failure();
  return steps;
}

// What an operation does when nobody kills it.
struct Course {
  struct Store {
    Moment moment;
    bool changed;  // a byte
    size_t state;  // what readers see after it: the number in `states`
  };
  std::vector<Store> stores;
  std::vector<State> states;
  uint64_t instructions = 0;

  std::string Counts() const {
    std::set<uint64_t> distinct;
    size_t changes = 0;
    for (const Store& store : stores) {
      distinct.insert(store.moment.pc);
      changes += store.changed ? 1 : 0;
    }
    testing::Test::RecordProperty("stores", static_cast<int>(stores.size()));
    testing::Test::RecordProperty("changes", static_cast<int>(changes));
    testing::Test::RecordProperty("instructions", static_cast<int>(distinct.size()));
    return std::to_string(stores.size()) + " stores, of them " + std::to_string(changes) + " changes, at " +
           std::to_string(distinct.size()) + " instructions";
  }
};

// Without the middle of long repetitions.
std::vector<Course::Store> Chosen(const std::vector<Course::Store>& all) {
  std::vector<Course::Store> chosen;
  for (size_t i = 0; i < all.size(); ++i) {
    const uint64_t n = all[i].moment.repetition;
    const bool last = i + 1 == all.size() || all[i + 1].moment.repetition == 1;
    if (n <= 2 || n % 512 == 0 || last) chosen.push_back(all[i]);
  }
  return chosen;
}

// One operation on one segment: followed once, then killed everywhere.
class Crasher {
 public:
  using Run = std::function<void(const Location&)>;

  Crasher(std::string name, SegmentShape shape, std::string before, Run run)
      : name_(std::move(name)), shape_(shape), before_(std::move(before)), run_(std::move(run)) {}

  const Course& course() const { return course_; }
  // The processes that were killed behind a store, and at a system call.
  size_t at_stores() const { return at_stores_; }
  size_t at_calls() const { return at_calls_; }

  void Follow() {
    const internal::UniqueFd file = FileOf(before_);
    const Dict reader = Reader(file.get());
    course_.states.push_back(StateOf(reader, shape_));
    Victim victim([&] { run_(Descriptor(file.get())); });
    course_.instructions = StepThrough(victim, [&](const Moment& moment, bool changed) {
      if (State now = changed ? StateOf(reader, shape_) : course_.states.back(); now != course_.states.back()) {
        course_.states.push_back(std::move(now));
      }
      course_.stores.push_back({.moment = moment, .changed = changed, .state = course_.states.size() - 1});
    });
  }

  // Calls `check` with the file that each death leaves.
  using Check = absl::FunctionRef<void(int file, size_t seen, const std::string& where)>;

  void KillBehindStores(const std::vector<Course::Store>& stores, Check check) {
    for (const Course::Store& store : stores) {
      if (testing::Test::HasFailure()) return;
      const std::string where = name_ + ", killed behind " + store.moment.Describe();
      const internal::UniqueFd file = FileOf(before_);
      Victim victim([&] { run_(Descriptor(file.get())); });
      ASSERT_TRUE(victim.RunTo(store.moment)) << where << ": it did not come there; " << victim.failure();
      EXPECT_EQ(StateOf(Reader(file.get()), shape_), course_.states[store.state]) << where << ": before that";
      victim.Kill();
      ++at_stores_;
      check(file.get(), store.state, where);
    }
  }

  void KillAroundSystemCalls(Check check) {
    for (int n = 1; !testing::Test::HasFailure(); ++n) {
      const std::string where = name_ + ", killed at entry or return " + std::to_string(n) + " of its system calls";
      const internal::UniqueFd file = FileOf(before_);
      Victim victim([&] { run_(Descriptor(file.get())); });
      for (int i = 0; i < n; ++i) {
        if (victim.NextSystemCall()) continue;
        EXPECT_TRUE(victim.succeeded()) << where << ": it " << victim.failure();
        return;
      }
      const State seen = StateOf(Reader(file.get()), shape_);
      const auto at = std::find(course_.states.begin(), course_.states.end(), seen);
      ASSERT_NE(at, course_.states.end()) << where << ": seen by nobody before: " << testing::PrintToString(seen);
      victim.Kill();
      ++at_calls_;
      check(file.get(), static_cast<size_t>(at - course_.states.begin()), where);
    }
  }

  // The states in which a death may leave the dict when readers saw number `seen`.
  std::vector<State> After(size_t seen) const {
    return {course_.states.begin() + static_cast<std::ptrdiff_t>(seen),
            course_.states.begin() + static_cast<std::ptrdiff_t>(std::min(seen + 2, course_.states.size()))};
  }

 private:
  Dict Reader(int file) const {
    Options options = HandleOptions(shape_);
    options.read_only = true;
    return Must(Dict::Open(Descriptor(file), options));
  }

  std::string name_;
  SegmentShape shape_;
  std::string before_;
  Run run_;
  Course course_;
  size_t at_stores_ = 0, at_calls_ = 0;
};

// Whoever writes next finds what is locked and recovers it: each key gets what it has, or is there for a moment.
void WriteAsItIs(Dict& dict, const std::set<std::string>& keys) {
  for (const std::string& key : keys) {
    std::optional<std::string> value;
    WriteOptions options{.keep_ttl = true};
    const absl::Status status = dict.Visit(key, [&](const Entry& entry) {
      value = std::string(entry.value);
      options.type = entry.type;
    });
    EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
    EXPECT_OK(dict.Set(key, value.value_or("x"), options)) << key;
    if (!value.has_value()) {
      EXPECT_OK(dict.Erase(key)) << key;
    }
  }
}

// Another process opens what a death left, which must be one of `allowed`, and goes on with it.
void ExpectWhole(int file, const SegmentShape& shape, const std::vector<State>& allowed, bool recover,
                 const std::string& where) {
  const std::string failures = FailuresOf([&] {
    Child([&] {
      alarm(300);  // what hangs is ended, and said so
      std::set<std::string> keys;
      for (const State& state : allowed) {
        for (const EntryState& entry : state) keys.insert(entry.key);
      }
      Dict dict = Must(Dict::Open(Descriptor(file), HandleOptions(shape)));
      if (!recover) WriteAsItIs(dict, keys);
      EXPECT_OK(dict.Recover());
      EXPECT_EQ(Must(dict.Recover()), 0u) << "a second recovery finds nothing";
      EXPECT_TRUE(IsSound(dict));
      const State now = StateOf(dict, shape);
      EXPECT_NE(std::find(allowed.begin(), allowed.end(), now), allowed.end())
          << "it is " << testing::PrintToString(now) << "\n expected " << testing::PrintToString(allowed);
      ExpectUsable(dict, shape, {keys.begin(), keys.end()});
    }).Wait();
  });
  EXPECT_EQ(failures, "") << where << (recover ? ", recovered" : ", then written");
}

std::string Prepared(const Case& c) {
  TheClock().Set(1'000'000'000);
  const internal::UniqueFd file = FileOf(NewSegment(c.shape));
  {
    Dict dict = Must(Dict::Open(Descriptor(file.get()), HandleOptions(c.shape)));
    c.set_up(dict);
  }
  TheClock().Advance(c.later);
  std::string bytes = BytesOf(file.get());
  if (c.edit != nullptr) c.edit(&bytes);
  return bytes;
}

class MachineCrash : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { SKIP_UNLESS_TRACEABLE(); }

  // Dies in the operation, at all its stores and system calls, and says how many that were.
  void Operation(Crasher& crasher) {
    const auto check = [&](int file, size_t seen, const std::string& where) {
      ExpectWhole(file, case_.shape, crasher.After(seen), Alternate(), where);
    };
    const std::vector<Course::Store>& all = crasher.course().stores;
    const std::vector<Course::Store> chosen = Full() ? all : Chosen(all);
    crasher.KillBehindStores(chosen, check);
    crasher.KillAroundSystemCalls(check);
    if (HasFailure()) return;
    EXPECT_EQ(crasher.at_stores(), chosen.size());
    std::printf("%s: %s; killed behind %zu, and %zu times at system calls\n", case_.name.c_str(),
                crasher.course().Counts().c_str(), crasher.at_stores(), crasher.at_calls());
    RecordProperty("killed_behind_stores", static_cast<int>(crasher.at_stores()));
    RecordProperty("killed_at_system_calls", static_cast<int>(crasher.at_calls()));
  }

  // Dies in the recovery of a death, for each of `deaths`.
  void Recovery(Crasher& crasher, const std::vector<Course::Store>& deaths) {
    size_t stores = 0, killed = 0, most = 0;
    crasher.KillBehindStores(deaths, [&](int file, size_t seen, const std::string& where) {
      const std::vector<State> allowed = crasher.After(seen);
      Crasher recovery(where + ", then its recovery", case_.shape, BytesOf(file), [&](const Location& location) {
        auto& dict = *new Dict(Must(Dict::Open(location, HandleOptions(case_.shape))));
        Victim::Ready();
        Require(dict.Recover().status());
      });
      recovery.Follow();
      for (const State& state : recovery.course().states) {
        EXPECT_NE(std::find(allowed.begin(), allowed.end(), state), allowed.end())
            << where << ": while it is recovered it is " << testing::PrintToString(state) << "\n expected "
            << testing::PrintToString(allowed);
      }
      const auto check = [&](int left, size_t seen_then, const std::string& where_then) {
        ExpectWhole(left, case_.shape, recovery.After(seen_then), Alternate(), where_then);
      };
      recovery.KillBehindStores(Chosen(recovery.course().stores), check);
      if (Full()) recovery.KillAroundSystemCalls(check);
      stores += recovery.course().stores.size();
      most = std::max(most, recovery.course().stores.size());
      killed += recovery.at_stores() + recovery.at_calls();
    });
    if (HasFailure()) return;
    std::printf("%s: %zu recoveries of up to %zu stores, together %zu; killed %zu times\n", case_.name.c_str(),
                deaths.size(), most, stores, killed);
    RecordProperty("recoveries", static_cast<int>(deaths.size()));
    RecordProperty("recoveries_killed", static_cast<int>(killed));
  }

 private:
  // Half of the deaths are found by Recover, half by the next writer.
  bool Alternate() { return recover_ = !recover_; }

  const Case& case_ = GetParam();
  bool recover_ = false;
};

TEST_P(MachineCrash, EveryStore) {
  const Case& c = GetParam();
  Crasher crasher(c.name, c.shape, Prepared(c), c.run);
  crasher.Follow();
  const std::vector<Course::Store>& stores = crasher.course().stores;
  ASSERT_GT(stores.size(), 1u) << "it stored next to nothing: the test is wrong";
  if (HasFailure()) return;
  Operation(crasher);
  std::vector<Course::Store> deaths;
  const std::vector<Course::Store> chosen = Chosen(stores);
  const size_t stride = Full() ? 1 : (chosen.size() + 2) / 3;
  for (size_t i = stride / 2; i < chosen.size(); i += stride) deaths.push_back(chosen[i]);
  if (!HasFailure()) Recovery(crasher, deaths);
}

INSTANTIATE_TEST_SUITE_P(Cases, MachineCrash, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

// ---- Creation ---------------------------------------------------------------------------------------------

// Where a dict is made: for each time a place of its own.
class Place {
 public:
  virtual ~Place() = default;
  virtual Location location() const = 0;
};

// A name in a folder of its own in /dev/shm.
class Folder : public Place {
 public:
  Folder() {
    if (mkdtemp(path_) == nullptr) std::abort();
  }
  ~Folder() override {
    (void)Dict::Unlink(location());
    EXPECT_EQ(rmdir(path_), 0) << path_ << ": something besides the dict was left there";
  }
  Location location() const override { return Path(std::string(path_) + "/dict"); }

 private:
  char path_[32] = "/dev/shm/segdict-test-XXXXXX";
};

class Memfd : public Place {
 public:
  Location location() const override { return Descriptor(file_.get()); }

 private:
  internal::UniqueFd file_{memfd_create("segdict-machine", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
};

Options CreationOptions() {
  Options options = HandleOptions({});
  options.capacity = 20;
  options.max_writers = 4;
  return options;
}

// There is no dict, and opening one says `none`; or there is a whole one.
bool ExpectNoneOrWhole(const Location& location, absl::StatusCode none, const std::string& where) {
  const absl::StatusOr<Dict> dict = Dict::Open(location, CreationOptions());
  if (!dict.ok()) {
    EXPECT_EQ(dict.status().code(), none) << where << ": " << dict.status();
    return false;
  }
  EXPECT_TRUE(IsSound(*dict)) << where;
  EXPECT_EQ(dict->capacity(), 20u) << where;
  EXPECT_EQ(dict->size(), 0u) << where;
  return true;
}

class Creation {
 public:
  using MakePlace = absl::FunctionRef<std::unique_ptr<Place>()>;
  // With the victim, which stands still.
  using Check = absl::FunctionRef<void(Victim&, const Location&, const std::string& where)>;

  static void KillEverywhere(const std::string& name, MakePlace make_place, Check check) {
    const auto create = [](const Location& location) {
      return [location] {
        Victim::Ready();
        Require(Dict::Create(location, CreationOptions()).status());
      };
    };
    Course course;
    {
      const std::unique_ptr<Place> place = make_place();
      Victim victim(create(place->location()));
      course.instructions = StepThrough(victim, [&](const Moment& moment, bool changed) {
        course.stores.push_back({.moment = moment, .changed = changed, .state = 0});
      });
    }
    ASSERT_GT(course.stores.size(), 10u);
    for (const Course::Store& store : course.stores) {
      if (testing::Test::HasFailure()) return;
      const std::unique_ptr<Place> place = make_place();
      Victim victim(create(place->location()));
      const std::string where = name + ", killed behind " + store.moment.Describe();
      ASSERT_TRUE(victim.RunTo(store.moment)) << where << ": it did not come there; " << victim.failure();
      check(victim, place->location(), where);
    }
    size_t at_calls = 0;
    for (bool more = true; more && !testing::Test::HasFailure();) {
      const std::unique_ptr<Place> place = make_place();
      Victim victim(create(place->location()));
      for (size_t i = 0; i <= at_calls && more; ++i) more = victim.NextSystemCall();
      if (!more) {
        EXPECT_TRUE(victim.succeeded()) << victim.failure();
        break;
      }
      ++at_calls;
      check(victim, place->location(),
            name + ", killed at entry or return " + std::to_string(at_calls) + " of its system calls");
    }
    std::printf("%s: %s; killed behind each, and %zu times at system calls\n", name.c_str(), course.Counts().c_str(),
                at_calls);
    testing::Test::RecordProperty("killed_at_system_calls", static_cast<int>(at_calls));
  }
};

// Nobody ever sees anything but nothing or the whole dict, and nothing else is left.
TEST(MachineCreation, AtAName) {
  SKIP_UNLESS_TRACEABLE();
  Creation::KillEverywhere(
      "Create", [] { return std::make_unique<Folder>(); },
      [](Victim& victim, const Location& location, const std::string& where) {
        const bool there = ExpectNoneOrWhole(location, absl::StatusCode::kNotFound, where);
        victim.Kill();
        EXPECT_EQ(ExpectNoneOrWhole(location, absl::StatusCode::kNotFound, where + ", dead"), there);
        InChild([&] {
          Dict dict = Must(Dict::OpenOrCreate(location, CreationOptions()));
          EXPECT_OK(dict.Set("key", "value")) << where;
          EXPECT_EQ(Value(dict, "key"), "value") << where;
          EXPECT_TRUE(IsSound(dict)) << where;
        });
      });
}

// A file that is there already cannot be published at once: who opens it early finds no dict in it.
TEST(MachineCreation, InAMemfd) {
  SKIP_UNLESS_TRACEABLE();
  Creation::KillEverywhere(
      "CreateInAMemfd", [] { return std::make_unique<Memfd>(); },
      [](Victim& victim, const Location& location, const std::string& where) {
        victim.Kill();  // whoever opens it before that waits for it
        ExpectNoneOrWhole(location, absl::StatusCode::kFailedPrecondition, where);
        // And the file can be used.
        InChild([&] {
          Dict dict = Must(Dict::OpenOrCreate(location, CreationOptions()));
          EXPECT_OK(dict.Set("key", "value")) << where;
        });
        EXPECT_EQ(fcntl(location.descriptor(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW) << where;
      });
}

}  // namespace
}  // namespace segdict::test
