#include "tests/crash/check.h"

#include "absl/status/statusor.h"
#include "src/table/inspect.h"
#include "tests/testing.h"

namespace segdict::internal::crash {

std::optional<ModelValue> StateOf(const Model& model, const std::string& key) {
  const auto at = model.find(key);
  if (at == model.end()) return std::nullopt;
  return at->second;
}

std::string Describe(const std::optional<ModelValue>& state) {
  if (!state.has_value()) return "absent";
  return std::to_string(state->value.size()) + " times '" + state->value.substr(0, 1) + "', type " +
         std::to_string(state->type) + ", expiry " + std::to_string(state->expiry);
}

Model View(TableFixture& fixture, const Where& where) {
  Model model;
  const absl::Status status = fixture.table().ForEach([&](const Table<Mem>::Snapshot& entry) {
    EXPECT_TRUE(model.emplace(entry.key, ModelValue{std::string(entry.value), entry.type, entry.expiry}).second)
        << where << ": seen twice: " << entry.key;
    return true;
  });
  EXPECT_TRUE(status.ok()) << where << ": " << status;
  return model;
}

void ExpectAllowed(const Model& view, const Allowed& allowed, const Where& where) {
  for (const Model* model : allowed.models) {
    if (view == *model) return;
  }
  for (const Model* model : allowed.models) {
    for (const auto& [key, unused] : *model) {
      bool any = false;
      std::string may;
      for (const Model* one : allowed.models) {
        any = any || StateOf(view, key) == StateOf(*one, key);
        may += "\n  " + Describe(StateOf(*one, key));
      }
      EXPECT_TRUE(any) << where << ": " << key << " is " << Describe(StateOf(view, key)) << ", it may be" << may;
    }
  }
  for (const auto& [key, state] : view) {
    bool any = false;
    for (const Model* one : allowed.models) any = any || one->contains(key);
    EXPECT_TRUE(any) << where << ": " << key << " is " << Describe(state) << " and should not be there";
  }
  EXPECT_FALSE(allowed.atomic) << where << ": each key is as it may be, but not all of them together";
}

void ExpectFound(TableFixture& fixture, const std::vector<std::string>& keys, const Model& view, const Where& where) {
  std::string value;
  for (const std::string& key : keys) {
    const absl::Status status = fixture.Get(key, &value);
    EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << where << ": " << status;
    const auto state = StateOf(view, key);
    EXPECT_TRUE(status.ok() == state.has_value() && (!state.has_value() || value == state->value))
        << where << ": a lookup of " << key << " has " << (status.ok() ? value.substr(0, 20) : "nothing")
        << ", a visit of all has " << Describe(state);
  }
}

void ExpectSound(TableFixture& fixture, const Where& where) {
  const VerifyReport report = fixture.Verify();
  EXPECT_EQ(report.in_flight, 0u) << where;
  EXPECT_TRUE(report.ok()) << where << ": " << (report.errors.empty() ? "" : report.errors[0]);
  EXPECT_EQ(report.entries, fixture.table().Size()) << where;
}

void ExpectUsable(TableFixture& fixture, Writer& w, const std::vector<std::string>& fresh_keys, const Where& where) {
  w.deadline = Recovery<Mem>::MonotonicNow() + 10'000'000'000;
  const std::string small(20, 'z'), large(300, 'y');
  for (const auto& [key, value] : View(fixture, where)) {
    const absl::Status set = fixture.Set(w, key, small);  // with a long key it needs a block, too
    EXPECT_TRUE(set.ok() || absl::IsResourceExhausted(set)) << where << ": " << key << ": " << set;
    EXPECT_TRUE(fixture.Erase(w, key).ok()) << where << ": " << key;
  }
  for (const std::string& key : fresh_keys) {
    EXPECT_TRUE(fixture.Set(w, key, large).ok()) << where << ": " << key;
    EXPECT_TRUE(fixture.Erase(w, key).ok()) << where << ": " << key;
  }
  EXPECT_TRUE(fixture.table().Clear(w).ok()) << where;  // what has expired, too
  ExpectSound(fixture, [&] { return where() + ", used afterwards"; });
  EXPECT_EQ(fixture.table().Size(), 0u) << where;
  for (uint64_t group = 0; group < fixture.regions().geometry().shape.groups; ++group) {
    EXPECT_EQ(fixture.table().context().LoadGroup(group).ReachByte(), 0u) << where << ": a reach stayed";
  }
  const Stats stats = Inspector<Mem>(fixture.table()).CountStats();
  for (const auto& c : stats.arena) EXPECT_EQ(c.blocks_used, 0u) << where << ": a block leaked";
}

void RecoverDead(TableFixture& fixture, const Where& where) {
  const absl::StatusOr<uint32_t> recovered = fixture.table().recovery().RecoverDead();
  EXPECT_TRUE(recovered.ok()) << where << ": " << recovered.status();
}

void ExpectOthersGoOn(TableFixture& fixture, Writer& w, const std::set<uint64_t>& homes, const std::string& key,
                      const Where& where) {
  const Shape shape = fixture.regions().geometry().shape;
  w.deadline = Recovery<Mem>::MonotonicNow() + 10'000'000'000;
  const bool room = fixture.table().Size() + 1 < fixture.regions().geometry().slots;  // one may be in flight
  for (uint64_t home = 0; home < shape.groups; ++home) {
    if (homes.contains(home) || !room) continue;
    const std::string other = fixture.KeyOfHome(home, 7);
    EXPECT_TRUE(fixture.Set(w, other, "e").ok()) << where;
    EXPECT_TRUE(fixture.Set(w, other, "f").ok()) << where;
    EXPECT_TRUE(fixture.Erase(w, other).ok()) << where;
    break;
  }
  w.deadline = Recovery<Mem>::MonotonicNow() + 100'000;
  // It would change nothing.
  const absl::Status held_up = fixture.table().Mutate(
      w, key, fixture.HashOf(key), false, true, [](const Current&) { return Decision::Return(absl::OkStatus()); });
  EXPECT_TRUE(held_up.ok() || absl::IsDeadlineExceeded(held_up)) << where << ": " << held_up;

  test::CountedBlocking blocking(1);
  w.deadline = kNoDeadline;
  w.blocking = &blocking;
  const std::string beside = fixture.KeyOfHome(fixture.HomeOf(key), 130);
  const absl::Status set = fixture.Set(w, beside, std::string(shape.slot_size == 32 ? 3 : 20, 'g'));
  if (set.ok()) {
    EXPECT_TRUE(fixture.Erase(w, beside).ok()) << where;
  } else {
    EXPECT_TRUE(absl::IsCancelled(set) || absl::IsResourceExhausted(set)) << where << ": " << set;
  }
  EXPECT_EQ(blocking.Sleeps(), absl::IsCancelled(set) ? 1 : 0) << where;
  EXPECT_EQ(w.record->op, OpWord{}.Encode()) << where;
  EXPECT_EQ(w.record->home, 0u) << where;
  EXPECT_EQ(w.record->page, 0u) << where;
  EXPECT_TRUE(absl::IsNotFound(fixture.Get(beside, &w.scratch))) << where;
  w.blocking = nullptr;
}

}  // namespace segdict::internal::crash
