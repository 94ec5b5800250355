// A deterministic scheduler over the Memory seam.
//
// The actors are fibers of one thread; the memory policy hands control to the scheduler before each access to the
// segment. There, at a *tick*, something may be decided: another actor goes on (a preemption), or the running one dies
// (it is never resumed, and the kernel has dropped its record's lock). A load that could give several values under the
// C++ memory model (weak_memory.h) is a tick, too: it may give an old one. A schedule is the list of what is decided;
// at all other ticks the running actor goes on and loads give the newest value. An actor that would wait hands over by
// itself. So a schedule says all that happens: the same one gives the same run.
//
// After each run: the history of the key under test is linearizable (calls of the dead may or may not have happened),
// the table is sound and, the dead recovered, nothing is in flight. Within a run, right after each store that commits:
// no invariant is broken, and whoever reads the key then reads what the history allows (in runs without old values: a
// look at the newest ones would forbid some of those to others).
#ifndef SEGDICT_TESTS_SCHEDULE_SCHEDULER_H_
#define SEGDICT_TESTS_SCHEDULE_SCHEDULER_H_

#include <ucontext.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tests/schedule/history.h"
#include "tests/schedule/weak_memory.h"
#include "tests/table_fixture.h"

namespace segdict::internal {

class Scheduler;

// What an actor does. Each has a writer record of the actor's number.
using Actor = std::function<void(Scheduler&, int self)>;

struct Scenario {
  std::string name;
  TableShape shape{.groups = 2, .pages = 3, .records = 5};
  std::function<void(TableFixture&, Writer&)> set_up;
  std::vector<Actor> writers;  // at most 2; they may die
  std::vector<Actor> others;   // readers
  bool recoverer = true;       // after a death, an actor that recovers the dead comes by
  // What else is wrong with a run; empty if nothing.
  std::function<std::string()> judge = nullptr;
};

struct Choice {
  enum class Kind { kSwitch, kDie, kOld } kind;
  int tick;
  int value;  // who goes on; how many steps older than the newest the value is
  bool operator==(const Choice&) const = default;
};

struct Schedule {
  int first = 0;  // the actor that begins
  std::vector<Choice> decisions;

  // As text, "0 12>1 31x2 40~1": actor 0 begins; at tick 12 actor 1 goes on; at tick 31 the running one dies and 2 goes
  // on; the load at tick 40 gives the value before the newest.
  std::string ToText() const;
  static std::optional<Schedule> Parse(std::string_view text);
};

// Where something can be decided.
struct Tick {
  int number;
  int actor;            // that is running
  int choices;          // values that a load may give; 0: not such a tick
  bool may_die;         // it is a writer, and has changed the segment since its last tick, or since its beginning
  const void* address;  // of the access that would come next
  size_t bytes;
};

class Scheduler : public AccessHook, public Liveness {
 public:
  explicit Scheduler(const Scenario& scenario);

  // Runs once; `decide` is asked at each tick. Returns what was decided.
  // `look`: at each commit; then there must be no old values.
  using Chooser = absl::FunctionRef<std::optional<Choice>(const Tick&)>;
  Schedule Run(int first, bool look, Chooser decide);
  // Runs the schedule; `ticks`, if not null, gets all ticks.
  void Run(const Schedule& schedule, std::vector<Tick>* ticks = nullptr);

  // After a run: what is wrong with it; empty if nothing.
  std::string Judge();

  int actors() const { return static_cast<int>(actors_.size()); }
  // Whether several actors have accessed the word, and one of them changed it, in any run so far. A preemption before
  // any other access is the same as one before the next access of this kind.
  bool Shared(const Tick& tick) const;
  // Words found to be shared so far.
  int shared_words() const { return shared_words_; }

  // ---- For actors ----
  TableFixture& fixture() { return *fixture_; }
  // The key under test; the n-th other key of its home, n <= 20.
  const std::string& key() const { return keys_[0]; }
  const std::string& key(int n) const { return keys_[static_cast<size_t>(n)]; }
  Writer& writer(int self) { return *writers_[static_cast<size_t>(self)]; }
  // A call on the key begins; if it ends, End says what it gave.
  size_t Begin(std::string name, std::function<Entry(Entry&)> effect);
  void End(size_t call, Entry gave);

  // From now on the actor sees every reach as "to the end", for any tag.
  void SeesFarReaches(int self) { sees_far_[static_cast<size_t>(self)] = true; }

  // ---- AccessHook ----
  void Before(const Access& access) override;
  void After(const Access& access) override;
  uint64_t Loaded(const Word& word, uint64_t latest, bool ordered) override;
  void CopiedOut(char* to, const char* from, size_t bytes) override;

  // ---- Liveness: whose record's lock is held ----
  absl::StatusOr<bool> IsAlive(uint32_t record) override { return held_[record]; }
  absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t) override { return std::unique_ptr<Token>(new NoToken); }
  absl::StatusOr<bool> TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) override;

 private:
  struct NoToken : Token {};
  static constexpr int kTickLimit = 50'000;
  static constexpr size_t kStack = 256 * 1024;
  enum class State { kReady, kDormant, kEnded, kDead };

  static void Enter(unsigned high, unsigned low, unsigned actor);
  // The words that the bytes lie in; `visit(const Word&)`.
  template <class Visit>
  static void ForWords(const void* address, size_t bytes, Visit&& visit);
  bool InSegment(const void* address) const;
  size_t IndexOf(const void* address) const;
  bool HasReach(const Word* word) const;
  std::optional<Choice> Ask(int choices, const void* address, size_t bytes);
  void Die(int to);
  int NextReady(int after) const;
  void Switch(int to);
  void Note(const Access& access);
  void Look();

  // What is to be seen in the segment as it is: what Verify says, and the key under test.
  struct Sight {
    std::string error;
    bool in_flight = false;
    Entry entry;
  };
  Sight SightNow() const;
  // The same, within a run: many schedules pass through the same bytes, which are known by what was changed.
  const Sight& RememberedSight();

  const Scenario& scenario_;
  std::unique_ptr<TableFixture> fixture_;
  std::vector<std::string> keys_;
  Entry initial_;
  std::vector<Actor> actors_;
  int recoverer_ = -1;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<std::vector<char>> stacks_;
  std::vector<char> image_;
  std::vector<ucontext_t> contexts_;
  ucontext_t main_{};
  std::unique_ptr<WeakMemory> weak_;

  std::unordered_map<uint64_t, Sight> sights_;  // by what changes_ was

  // Of the words of the segment: who has loaded it, who has changed it; a bit for each actor.
  struct Users {
    uint8_t all = 0, changed = 0;
  };
  std::vector<Users> users_;
  int shared_words_ = 0;

  // Of a run.
  const Chooser* decide_ = nullptr;
  Schedule taken_;
  std::vector<State> state_;
  std::array<bool, 8> held_{};
  std::array<int, 8> adopter_{};
  std::array<WeakMemory::Clock, 8> lock_clock_{};  // what the last holder of each record's lock knew
  std::array<WeakMemory::Clock, 8> unfenced_{};    // what each actor's copies have read, before the fence after them
  std::vector<uint64_t> before_;                   // values of the words that are about to be changed
  uint64_t changes_ = 0;  // hash of what differs from the image (Zobrist 1970): same bytes, same hash
  std::vector<Call> calls_;
  std::string broken_;  // found within the run
  std::array<bool, 8> changed_{};
  std::array<bool, 8> sees_far_{};
  bool look_ = false;
  int tick_ = 0;
  int running_ = -1;
};

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_SCHEDULE_SCHEDULER_H_
