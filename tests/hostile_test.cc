// Hostile segments: whatever bytes a segment holds, no operation crashes, runs for ever, or touches memory outside of
// the mapping.
//
// A sound segment is damaged at random (single bits and bytes, words that mean something: locks, counts, offsets,
// copies of other words) and every operation is run over it. The mapping ends at an inaccessible page, so a step beyond
// it is a crash; under ASan and UBSan, so is anything else undefined. A budget of accesses catches loops. The seed of a
// failing round is printed.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

constexpr uint64_t kStepBudget = 30'000'000;

// Ends the process when one round takes absurdly many accesses.
class Budget : public AccessHook {
 public:
  void Before(const Access&) override {
    if (++steps_ > kStepBudget) _exit(77);
  }
  void Reset() { steps_ = 0; }

 private:
  uint64_t steps_ = 0;
};

class HostileTest : public testing::TestWithParam<int> {
 protected:
  static TableShape ShapeOf(int kind) {
    if (kind == 1) return {.groups = 1, .slot_size = 32, .pages = 4, .records = 3};
    if (kind == 2) return {.groups = 7, .slot_size = 128, .pages = 12, .records = 3, .ordered = true};
    return {.groups = 5, .pages = 10, .records = 4};
  }

  static void Fill(TableFixture& f, Writer& w) {
    for (int i = 0; i < 30; ++i) {
      const std::string key = "key" + std::to_string(i) + std::string(i % 7 == 0 ? 60 : 0, 'k');
      const size_t size = i % 5 == 0 ? 700 : i % 11 == 0 ? 9000 : 10;
      (void)f.Set(w, key, std::string(size, static_cast<char>('a' + i % 26)), i % 3 == 0 ? 5'000'000 : kNever);
    }
  }

  // Every operation, whatever it says.
  static void Exercise(TableFixture& f, Writer& w) {
    const auto deadline = [&] { w.deadline = Recovery<Mem>::MonotonicNow() + 2'000'000; };
    std::string value;
    for (int i = 0; i < 34; ++i) {
      const std::string key = "key" + std::to_string(i) + std::string(i % 7 == 0 ? 60 : 0, 'k');
      (void)f.Get(key, &value);
      deadline();
      if (i % 4 == 0) (void)f.Set(w, key, std::string(static_cast<size_t>(i * 37), 'n'));
      deadline();
      if (i % 4 == 1) (void)f.Erase(w, key);
      deadline();
      if (i % 4 == 2) (void)f.Set(w, key, "short", 9'000'000);
    }
    const std::string_view keys[] = {"key1", "key2", "key3", "none"};
    (void)f.table().GetMany(keys, &value, [](size_t, const Current*) {});
    (void)f.table().ForEach([](const Table<Mem>::Snapshot&) { return true; });
    if (f.table().context().ordered) {
      (void)f.table().ForEachOrdered(Direction::kBackward, [](const Table<Mem>::Snapshot&) { return true; });
    }
    (void)f.Verify();
    (void)Inspector<Mem>(f.table()).CountStats();
    (void)f.table().Size();
    deadline();
    if (f.table().LockGlobal(w).ok()) f.table().UnlockGlobal(w);
    w.global_depth = 0;
    deadline();
    (void)f.table().Sweep(w, 1000);
    (void)f.table().recovery().RecoverDead();
    deadline();
    (void)f.Set(w, "chain", std::string(10'000, 'c'));
    deadline();
    (void)f.table().Clear(w);
  }

  static void Damage(TableFixture& f, std::mt19937_64& random) {
    char* base = f.segment().base();
    const Geometry& g = f.segment().geometry();
    // Mostly where structure is; the pages' bytes are values.
    const auto anywhere = [&] {
      switch (random() % 8) {
        case 0:
          return 512 + random() % (kHeaderSize - 512);
        case 1:
        case 2:
          return g.records_at + random() % (g.groups_at - g.records_at);
        case 3:
          return g.groups_at + random() % (g.slots_at - g.groups_at);
        case 4:
        case 5:
          return g.slots_at + random() % (g.page_words_at - g.slots_at);
        case 6:
          return g.page_words_at + random() % (g.pages_at - g.page_words_at);
        default:
          return 512 + random() % (g.size - 512);
      }
    };
    const uint64_t times = 1 + random() % (random() % 4 == 0 ? 200 : 8);
    for (uint64_t i = 0; i < times; ++i) {
      const uint64_t at = anywhere();
      uint64_t word = 0;
      switch (random() % 8) {
        case 0:
          base[at] = static_cast<char>(base[at] ^ (1 << random() % 8));
          continue;
        case 1:
          base[at] = static_cast<char>(random());
          continue;
        case 2:
          word = random();
          break;
        case 3:
          word = ~uint64_t{0};
          break;
        case 4:  // somebody's lock
          word = owned::LockedBy(owned::Unlocked(random() % 4), static_cast<uint32_t>(random() % 6));
          break;
        case 5:  // a block or page word
          word = BlockWord{static_cast<BlockState>(random() % 8), static_cast<uint32_t>(random() % 32),
                           static_cast<uint32_t>(random() % 4), static_cast<uint32_t>(random() % 100)}
                     .Encode();
          break;
        case 6:  // an operation, a small number
          word = random() % 2 == 0 ? OpWord{static_cast<Operation>(random() % 5), static_cast<Outcome>(random() % 3),
                                            random() % 2 == 0, random() % 2 == 0}
                                         .Encode()
                                   : random() % 70;
          break;
        default:
          std::memcpy(&word, base + (anywhere() & ~uint64_t{7}), 8);
      }
      std::memcpy(base + (at & ~uint64_t{7}), &word, 8);
    }
  }
};

TEST_P(HostileTest, RandomDamageIsSurvived) {
  const char* rounds_text = std::getenv("SEGDICT_HOSTILE_ROUNDS");
  const int rounds = rounds_text != nullptr ? std::atoi(rounds_text) : 3'000;
  constexpr int kBatch = 250;
  for (int batch = 0; batch * kBatch < rounds; ++batch) {
    // In a child, so that a crash names its round and the others go on.
    int round_pipe[2];
    ASSERT_EQ(pipe(round_pipe), 0);
    const pid_t child = fork();
    if (child == 0) {
      TableFixture fixture(ShapeOf(GetParam()));
      auto w = fixture.Claim();
      Fill(fixture, *w);
      const std::vector<char> sound(fixture.segment().base(),
                                    fixture.segment().base() + fixture.segment().geometry().size);
      Budget budget;
      for (int i = 0; i < kBatch; ++i) {
        const int round = batch * kBatch + i;
        if (write(round_pipe[1], &round, sizeof(round)) != sizeof(round)) _exit(3);
        std::memcpy(fixture.segment().base(), sound.data(), sound.size());
        for (auto& hint : w->hints) hint = {};
        w->pool_hint = 0;
        w->global_depth = 0;
        fixture.clock().now = round % 2 == 0 ? 1'000'000 : 7'000'000;
        std::mt19937_64 random(static_cast<uint64_t>(round) * 3 + static_cast<uint64_t>(GetParam()));
        Damage(fixture, random);
        budget.Reset();
        HookedMemory::hook = &budget;
        Exercise(fixture, *w);
        HookedMemory::hook = nullptr;
      }
      _exit(0);
    }
    close(round_pipe[1]);
    int round = -1, last = -1;
    while (read(round_pipe[0], &round, sizeof(round)) == sizeof(round)) last = round;
    close(round_pipe[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "round " << last << " of shape " << GetParam()
        << (WIFEXITED(status) && WEXITSTATUS(status) == 77 ? ": did not end" : ": crashed, status ") << status;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, HostileTest, testing::Values(0, 1, 2));

// ---- Entries that claim the same bytes --------------------------------------------------------------------

// A visit holds the entries of a home in private memory, which must not become many times the segment's size.
class SharedBytes : public testing::Test {
 protected:
  // One home, and an arena of 32 KiB.
  TableFixture fixture_{TableShape{.groups = 1, .pages = 8, .ordered = true}};
  std::unique_ptr<Writer> writer_ = fixture_.Claim();

  void Add(int entries, const std::string& key, size_t value_bytes) {
    for (int i = 0; i < entries; ++i) {
      FIXTURE_CHECK(fixture_.Set(*writer_, std::to_string(i) + key, std::string(value_bytes, 'v')).ok());
    }
  }
  // Writes change(meta, block reference) into every entry. In an ordered dict without expiry the reference is word 2.
  template <class Change>
  void ForEachReference(Change&& change) {
    for (uint64_t s = 0; s < kSlotsPerGroup; ++s) {
      Slot& slot = fixture_.regions().slot(s);
      uint64_t meta = slot.words[0].load(), reference = slot.words[2].load();
      if (meta == 0) continue;
      change(meta, reference);
      slot.words[0].store(meta);
      slot.words[2].store(reference);
    }
  }
  absl::Status ForEach(int* visited) {
    return fixture_.table().ForEach([&](const Table<Mem>::Snapshot&) { return ++*visited > 0; });
  }
};

TEST_F(SharedBytes, OneChainForAllEntries) {
  Add(5, "", 100);
  FIXTURE_CHECK(fixture_.Set(*writer_, "long", std::string(20'000, 'v')).ok());
  uint64_t chain = 0;
  ForEachReference([&](uint64_t, uint64_t reference) { chain = reference >> 32 == 20'000 ? reference : chain; });
  ForEachReference([&](uint64_t, uint64_t& reference) { reference = chain; });
  int visited = 0;
  EXPECT_TRUE(absl::IsDataLoss(ForEach(&visited)));
  EXPECT_EQ(visited, 0);
}

TEST_F(SharedBytes, KeysThatOverlap) {
  Add(12, std::string(1'000, 'k'), 10);
  char* const pages = fixture_.regions().granule(0);
  std::mt19937_64 random(1);
  for (uint64_t at = 0; at < 8 * 4096; at += 8) {
    const uint64_t word = random();
    std::memcpy(pages + at, &word, 8);
  }
  uint64_t granule = 0;
  ForEachReference([&](uint64_t& meta, uint64_t& reference) {
    meta = (meta & ~uint64_t{0xffff}) | 4'000;
    reference = (reference & ~uint64_t{0xffffffff}) | granule++;
  });
  int visited = 0;
  EXPECT_TRUE(absl::IsDataLoss(ForEach(&visited)));
  EXPECT_TRUE(absl::IsDataLoss(fixture_.table().ForEachOrdered(
      Direction::kForward, [&](const Table<Mem>::Snapshot&) { return ++visited > 0; })));
  EXPECT_TRUE(absl::IsDataLoss(fixture_.table().Clear(*writer_)));
  EXPECT_EQ(visited, 0);
}

// Runs `action` before the first load of `word`.
class AtLoad : public AccessHook {
 public:
  AtLoad(const Word& word, std::function<void()> action) : word_(word), action_(std::move(action)) {}
  void Before(const Access& access) override {
    if (access.address != &word_ || action_ == nullptr) return;
    HookedMemory::hook = nullptr;
    std::exchange(action_, nullptr)();
    HookedMemory::hook = this;
  }

 private:
  const Word& word_;
  std::function<void()> action_;
};

// One entry after the other has most of the arena: what a visit reads does not fit into it, although all is sound.
TEST_F(SharedBytes, NotIfOneHadTheBytesAfterTheOther) {
  const std::string large(20'000, 'l'), small(100, 's');
  Add(2, "", 100);
  // The one that a visit comes to first, and the other.
  std::string first, second;
  uint64_t slot_of_second = 0;
  ASSERT_TRUE(fixture_.table()
                  .ForEach([&](const Table<Mem>::Snapshot& entry) {
                    (first.empty() ? first : second) = entry.key;
                    slot_of_second = entry.version.slot;
                    return true;
                  })
                  .ok());
  ASSERT_TRUE(fixture_.Set(*writer_, first, large).ok());
  AtLoad hook(fixture_.regions().slot(slot_of_second).seq, [&] {
    EXPECT_TRUE(fixture_.Set(*writer_, first, small).ok());
    EXPECT_TRUE(fixture_.Set(*writer_, second, large).ok());
  });
  HookedMemory::hook = &hook;
  const Model seen = fixture_.Contents();
  HookedMemory::hook = nullptr;
  EXPECT_EQ(seen, (Model{{first, {small}}, {second, {large}}}));
}

// ---- Time -------------------------------------------------------------------------------------------------

// Counts accesses.
class Count : public AccessHook {
 public:
  void Before(const Access&) override { ++accesses; }
  uint64_t accesses = 0;
};

// Every home says that its keys lie anywhere.
TEST(Hostile, AVisitIsLinearWhateverTheReaches) {
  constexpr uint64_t kGroups = 997;
  TableFixture fixture(TableShape{.groups = kGroups});
  auto w = fixture.Claim();
  for (uint64_t i = 0; i < kGroups * 13; ++i) ASSERT_TRUE(fixture.Set(*w, std::to_string(i), "v").ok());
  const auto visit = [&](uint64_t* accesses) {
    Count count;
    HookedMemory::hook = &count;
    Model seen = fixture.Contents();
    HookedMemory::hook = nullptr;
    *accesses = count.accesses;
    return seen;
  };
  uint64_t sound, hostile;
  const Model before = visit(&sound);
  EXPECT_EQ(before.size(), kGroups * 13);
  for (uint64_t g = 0; g < kGroups; ++g) fixture.table().context().SetReach(g, 0xff);
  EXPECT_EQ(visit(&hostile), before);
  EXPECT_LT(hostile, 3 * sound);
  EXPECT_TRUE(fixture.table().Clear(*w).ok());
  EXPECT_TRUE(fixture.Contents().empty());
}

}  // namespace
}  // namespace segdict::internal
