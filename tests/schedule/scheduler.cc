#include "tests/schedule/scheduler.h"

#include <charconv>
#include <cstring>

#include "src/base/hash.h"

namespace segdict::internal {

std::string Schedule::ToText() const {
  std::string text = std::to_string(first);
  for (const Choice& d : decisions) {
    const char kind = d.kind == Choice::Kind::kSwitch ? '>' : d.kind == Choice::Kind::kDie ? 'x' : '~';
    text += " " + std::to_string(d.tick) + kind + std::to_string(d.value);
  }
  return text;
}

std::optional<Schedule> Schedule::Parse(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](int* value) {
    const auto [next, error] = std::from_chars(at, end, *value);
    at = next;
    return error == std::errc() && *value >= 0;
  };
  Schedule schedule;
  if (!number(&schedule.first)) return std::nullopt;
  while (at < end) {
    Choice d{};
    if (*at++ != ' ' || !number(&d.tick) || at == end) return std::nullopt;
    switch (*at++) {
      case '>':
        d.kind = Choice::Kind::kSwitch;
        break;
      case 'x':
        d.kind = Choice::Kind::kDie;
        break;
      case '~':
        d.kind = Choice::Kind::kOld;
        break;
      default:
        return std::nullopt;
    }
    if (!number(&d.value)) return std::nullopt;
    schedule.decisions.push_back(d);
  }
  return schedule;
}

Scheduler::Scheduler(const Scenario& scenario) : scenario_(scenario) {
  // The fixture wants a liveness of its own: one that passes all on to this.
  class Forward : public Liveness {
   public:
    explicit Forward(Liveness* to) : to_(to) {}
    absl::StatusOr<bool> IsAlive(uint32_t r) override { return to_->IsAlive(r); }
    absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t r) override { return to_->TryClaim(r); }
    absl::StatusOr<bool> TryAdopt(uint32_t r, absl::FunctionRef<void()> f) override { return to_->TryAdopt(r, f); }

   private:
    Liveness* const to_;
  };
  held_.fill(true);
  adopter_.fill(-1);
  fixture_ = std::make_unique<TableFixture>(scenario.shape, std::make_unique<Forward>(this));
  FIXTURE_CHECK(scenario.writers.size() <= 2);
  actors_ = scenario.writers;
  actors_.insert(actors_.end(), scenario.others.begin(), scenario.others.end());
  if (scenario.recoverer) {
    recoverer_ = actors();
    actors_.push_back([](Scheduler& s, int) { FIXTURE_CHECK(s.fixture().table().recovery().RecoverDead().ok()); });
  }
  FIXTURE_CHECK(actors() <= WeakMemory::kMaxThreads && actors() < static_cast<int>(scenario.shape.records));
  auto w = fixture_->Claim(scenario.shape.records - 1);
  scenario.set_up(*fixture_, *w);
  for (int n = 0; n <= 20; ++n) keys_.push_back(fixture_->KeyOfHome(0, n));
  std::string value;
  if (fixture_->Get(key(), &value).ok()) initial_ = value;
  ReleaseWriter<Mem>(std::move(w));
  for (int i = 0; i < actors(); ++i) {
    writers_.push_back(fixture_->Claim(static_cast<uint32_t>(i)));
    stacks_.emplace_back(kStack);
  }
  const Segment& segment = fixture_->segment();
  image_.assign(segment.base(), segment.base() + segment.geometry().size);
  weak_ = std::make_unique<WeakMemory>(segment.base(), segment.geometry().size);
  users_.resize(segment.geometry().size / 8);
  contexts_.resize(actors_.size());
}

Schedule Scheduler::Run(int first, bool look, Chooser decide) {
  std::memcpy(fixture_->segment().base(), image_.data(), image_.size());
  weak_->Reset();
  changes_ = 0;
  decide_ = &decide;
  look_ = look;
  taken_ = {first, {}};
  tick_ = 0;
  calls_.clear();
  broken_.clear();
  state_.assign(actors_.size(), State::kReady);
  if (recoverer_ >= 0) state_[static_cast<size_t>(recoverer_)] = State::kDormant;
  held_.fill(true);
  adopter_.fill(-1);
  changed_.fill(true);
  sees_far_.fill(false);
  for (auto* clocks : {&lock_clock_, &unfenced_}) clocks->fill(WeakMemory::Clock{});
  for (size_t i = 0; i < actors_.size(); ++i) {
    Writer fresh;
    std::swap(writers_[i]->hints, fresh.hints);
    writers_[i]->pool_hint = 0;
    writers_[i]->global_depth = 0;
    getcontext(&contexts_[i]);
    contexts_[i].uc_stack = {.ss_sp = stacks_[i].data(), .ss_flags = 0, .ss_size = kStack};
    contexts_[i].uc_link = &main_;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&contexts_[i], reinterpret_cast<void (*)()>(&Scheduler::Enter), 3, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self), static_cast<unsigned>(i));
  }
  running_ = first;
  HookedMemory::hook = this;
  while (running_ >= 0) {
    swapcontext(&main_, &contexts_[static_cast<size_t>(running_)]);
    // Here when an actor has ended, or nobody can go on.
    if (running_ < 0) break;
    state_[static_cast<size_t>(running_)] = State::kEnded;
    running_ = NextReady(running_);
  }
  HookedMemory::hook = nullptr;
  return std::move(taken_);
}

void Scheduler::Run(const Schedule& schedule, std::vector<Tick>* ticks) {
  if (ticks != nullptr) ticks->clear();
  bool old_values = false;
  for (const Choice& d : schedule.decisions) old_values = old_values || d.kind == Choice::Kind::kOld;
  size_t next = 0;
  Run(schedule.first, !old_values, [&](const Tick& tick) -> std::optional<Choice> {
    if (ticks != nullptr) ticks->push_back(tick);
    if (next == schedule.decisions.size() || schedule.decisions[next].tick != tick.number) return std::nullopt;
    return schedule.decisions[next++];
  });
}

std::string Scheduler::Judge() {
  if (!broken_.empty()) return broken_;
  if (scenario_.judge != nullptr) {
    if (std::string wrong = scenario_.judge(); !wrong.empty()) return wrong;
  }
  // Whoever is not recovered yet is so by the next one.
  const absl::StatusOr<uint32_t> recovered = fixture_->table().recovery().RecoverDead();
  FIXTURE_CHECK(recovered.ok());
  const Sight sight = *recovered == 0 ? RememberedSight() : SightNow();
  if (!sight.error.empty()) return sight.error;
  if (sight.in_flight) return "something is left in flight";
  const Entry& last = sight.entry;
  std::vector<bool> placed(calls_.size());
  if (Linearizable(calls_, placed, initial_, last)) return {};
  const auto shortly = [](const Entry& entry) { return entry ? "'" + entry->substr(0, 3) + "'" : "nothing"; };
  std::string text = "not linearizable: first " + shortly(initial_);
  for (const Call& c : calls_) {
    text += "; ticks " + std::to_string(c.begin) + " to ";
    text += c.end == Call::kPending ? "death: " + c.name
                                    : std::to_string(c.end) + ": " + c.name + " gave " + shortly(c.gave);
  }
  return text + "; at the end " + shortly(last);
}

size_t Scheduler::Begin(std::string name, std::function<Entry(Entry&)> effect) {
  calls_.push_back({std::move(name), std::move(effect), std::nullopt, tick_, Call::kPending});
  return calls_.size() - 1;
}
void Scheduler::End(size_t call, Entry gave) {
  calls_[call].gave = std::move(gave);
  calls_[call].end = tick_;
}

// ---- Accesses ---------------------------------------------------------------------------------------------

bool Scheduler::InSegment(const void* address) const {
  const char* const base = fixture_->segment().base();
  return address >= base && address < base + fixture_->segment().geometry().size;
}

size_t Scheduler::IndexOf(const void* address) const {
  return static_cast<size_t>(static_cast<const char*>(address) - fixture_->segment().base()) / 8;
}

template <class Visit>
void Scheduler::ForWords(const void* address, size_t bytes, Visit&& visit) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t word = at / 8 * 8; word < at + bytes; word += 8) visit(*reinterpret_cast<const Word*>(word));
}

bool Scheduler::Shared(const Tick& tick) const {
  if (tick.address == nullptr) return true;
  bool shared = false;
  ForWords(tick.address, tick.bytes, [&](const Word& word) {
    const Users& users = users_[IndexOf(&word)];
    shared = shared || (users.changed != 0 && (users.all & (users.all - 1)) != 0);
  });
  return shared;
}

void Scheduler::Note(const Access& access) {
  const auto bit = static_cast<uint8_t>(1 << running_);
  ForWords(access.address, access.bytes, [&](const Word& word) {
    Users& users = users_[IndexOf(&word)];
    const auto shared = [&] { return users.changed != 0 && (users.all & (users.all - 1)) != 0; };
    const bool before = shared();
    users.all |= bit;
    if (access.ChangesSegment()) users.changed |= bit;
    shared_words_ += shared() != before ? 1 : 0;
  });
}

void Scheduler::Before(const Access& access) {
  if (access.kind == AccessKind::kPause || access.kind == AccessKind::kFutexWait) {
    // Waiting: somebody else goes on.
    if (++tick_ >= kTickLimit) return (void)Ask(0, nullptr, 0);
    const int to = NextReady(running_);
    if (to >= 0 && to != running_) Switch(to);
    return;
  }
  if (!InSegment(access.address)) return;
  if (const auto decision = Ask(0, access.address, access.bytes); decision.has_value()) {
    if (decision->kind == Choice::Kind::kDie) {
      Die(decision->value);
    } else {
      int to = decision->value;
      if (to >= actors() || state_[static_cast<size_t>(to)] != State::kReady) to = NextReady(running_);
      if (to >= 0 && to != running_) Switch(to);
    }
  }
  const auto self = static_cast<size_t>(running_);
  if (access.kind != AccessKind::kCopyOut) {
    // The fence behind the copies before.
    WeakMemory::Join(weak_->clock(running_), unfenced_[self]);
    unfenced_[self] = {};
  }
  before_.clear();
  ForWords(access.address, access.bytes, [&](const Word& word) { before_.push_back(word.load()); });
}

void Scheduler::After(const Access& access) {
  if (!InSegment(access.address)) return;
  Note(access);
  WeakMemory::Clock& clock = weak_->clock(running_);
  if (access.kind == AccessKind::kFailedCas) {
    const auto& word = *static_cast<const Word*>(access.address);
    weak_->Loaded(running_, &word, word.load(), 0, /*seq_cst=*/true, &clock);
  }
  if (!access.ChangesSegment()) return;
  changed_[static_cast<size_t>(running_)] = true;
  const WeakMemory::Clock fence = clock;
  size_t i = 0;
  ForWords(access.address, access.bytes, [&](const Word& word) {
    using Order = WeakMemory::StoreOrder;
    const Order order = access.kind == AccessKind::kStore    ? Order::kRelease
                        : access.kind == AccessKind::kCommit ? Order::kSeqCst
                        : access.kind == AccessKind::kCas    ? Order::kReadModifyWrite
                        : access.kind == AccessKind::kCopyIn ? Order::kRelaxed
                                                             : Order::kRelaxedReadModifyWrite;
    const uint64_t old = before_[i++], now = word.load();
    weak_->Stored(running_, &word, old, now, order, &fence);
    changes_ ^= Mix(old + Mix(IndexOf(&word) + 1)) ^ Mix(now + Mix(IndexOf(&word) + 1));
  });
  if (look_ && (access.kind == AccessKind::kCommit || access.kind == AccessKind::kCas)) Look();
}

uint64_t Scheduler::Loaded(const Word& word, uint64_t latest, bool ordered) {
  if (!InSegment(&word)) return latest;
  if (!ordered) Note({AccessKind::kLoad, &word, 8, {}});
  int age = 0;
  if (const int choices = weak_->Choices(running_, &word, ordered); choices > 1) {
    if (const auto decision = Ask(choices, &word, 8); decision.has_value())
      age = std::min(decision->value, choices - 1);
  }
  const uint64_t value =
      weak_->Loaded(running_, &word, latest, age, ordered, ordered ? &weak_->clock(running_) : nullptr);
  return sees_far_[static_cast<size_t>(running_)] && HasReach(&word) ? value | uint64_t{0xff} << 56 : value;
}

bool Scheduler::HasReach(const Word* word) const {
  const Regions regions = fixture_->regions();
  const Word* const first = regions.group(0).words;
  return word >= first && word < regions.group(regions.geometry().shape.groups).words && (word - first) % 2 == 1;
}

void Scheduler::CopiedOut(char* to, const char* from, size_t bytes) {
  int most = 1, age = 0;
  ForWords(from, bytes, [&](const Word& word) { most = std::max(most, weak_->Choices(running_, &word, false)); });
  if (most > 1) {
    if (const auto decision = Ask(most, from, bytes); decision.has_value()) age = decision->value;
  }
  ForWords(from, bytes, [&](const Word& word) {
    const int own_age = std::min(age, weak_->Choices(running_, &word, false) - 1);
    const uint64_t value = weak_->Loaded(running_, &word, word.load(), own_age, /*seq_cst=*/false,
                                         &unfenced_[static_cast<size_t>(running_)]);
    const char* const begin = reinterpret_cast<const char*>(&word);
    for (size_t i = 0; i < 8; ++i) {
      if (begin + i >= from && begin + i < from + bytes) to[begin + i - from] = static_cast<char>(value >> 8 * i);
    }
  });
}

// ---- Actors -----------------------------------------------------------------------------------------------

std::optional<Choice> Scheduler::Ask(int choices, const void* address, size_t bytes) {
  ++tick_;
  if (tick_ >= kTickLimit) {
    if (broken_.empty()) broken_ = "does not end";
    Switch(-1);
  }
  const auto self = static_cast<size_t>(running_);
  const bool may_die = choices == 0 && self < scenario_.writers.size() && changed_[self];
  changed_[self] = changed_[self] && choices != 0;
  std::optional<Choice> decision = (*decide_)({tick_, running_, choices, may_die, address, bytes});
  if (!decision.has_value()) return std::nullopt;
  if ((decision->kind == Choice::Kind::kOld) != (choices > 0)) return std::nullopt;
  if (decision->kind == Choice::Kind::kDie && self >= scenario_.writers.size()) return std::nullopt;
  taken_.decisions.push_back(*decision);
  return decision;
}

void Scheduler::Die(int to) {
  const auto self = static_cast<size_t>(running_);
  state_[self] = State::kDead;
  const auto drop = [&](size_t record) {
    held_[record] = false;
    adopter_[record] = -1;
    WeakMemory::Join(lock_clock_[record], weak_->clock(running_));
  };
  drop(writers_[self]->index);
  for (size_t r = 0; r < adopter_.size(); ++r) {
    if (adopter_[r] == running_) drop(r);
  }
  if (recoverer_ >= 0 && state_[static_cast<size_t>(recoverer_)] == State::kDormant) {
    state_[static_cast<size_t>(recoverer_)] = State::kReady;
  }
  if (to >= actors() || state_[static_cast<size_t>(to)] != State::kReady) to = NextReady(running_);
  Switch(to);
}

absl::StatusOr<bool> Scheduler::TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) {
  if (held_[record]) return false;
  held_[record] = true;
  adopter_[record] = running_;
  // The kernel's lock orders what its last holder did before what its next does.
  const bool scheduled = HookedMemory::hook != nullptr;
  if (scheduled) WeakMemory::Join(weak_->clock(running_), lock_clock_[record]);
  recover();
  if (scheduled) WeakMemory::Join(lock_clock_[record], weak_->clock(running_));
  held_[record] = false;
  adopter_[record] = -1;
  return true;
}

void Scheduler::Enter(unsigned high, unsigned low, unsigned actor) {
  auto* scheduler = reinterpret_cast<Scheduler*>(static_cast<uintptr_t>(high) << 32 | low);
  scheduler->actors_[actor](*scheduler, static_cast<int>(actor));
}

int Scheduler::NextReady(int after) const {
  const int n = actors();
  for (int i = 1; i <= n; ++i) {
    if (state_[static_cast<size_t>((after + i) % n)] == State::kReady) return (after + i) % n;
  }
  return -1;
}

void Scheduler::Switch(int to) {
  const int from = running_;
  running_ = to;
  swapcontext(&contexts_[static_cast<size_t>(from)], to >= 0 ? &contexts_[static_cast<size_t>(to)] : &main_);
}

void Scheduler::Look() {
  if (!broken_.empty()) return;
  HookedMemory::hook = nullptr;
  const Sight& sight = RememberedSight();
  if (!sight.error.empty()) broken_ = "at tick " + std::to_string(tick_) + ": " + sight.error;
  calls_.push_back({"look", [](Entry& entry) { return entry; }, sight.entry, tick_, tick_});
  HookedMemory::hook = this;
}

Scheduler::Sight Scheduler::SightNow() const {
  Sight sight;
  const VerifyReport report = fixture_->Verify();
  if (!report.ok()) sight.error = report.errors[0];
  sight.in_flight = report.in_flight != 0;
  std::string value;
  if (fixture_->Get(key(), &value).ok()) sight.entry = value;
  return sight;
}

const Scheduler::Sight& Scheduler::RememberedSight() {
  const auto [at, is_new] = sights_.try_emplace(changes_);
  if (is_new) at->second = SightNow();
  return at->second;
}

}  // namespace segdict::internal
