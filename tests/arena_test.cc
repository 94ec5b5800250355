// The arena by itself, over private memory.
#include "src/arena/arena.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "src/base/memory.h"
#include "src/layout/regions.h"
#include "src/sync/fork.h"
#include "src/sync/writer.h"
#include "tests/testing.h"

namespace segdict::internal {
namespace {

// For Allocate: there is nobody to be recovered.
bool NobodyDead() { return false; }

using test::Bytes;

// An arena, two writers, and a model of what they hold.
class ArenaTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint64_t kPages = 40;

  ArenaTest() {
    Geometry geometry;
    EXPECT_TRUE(Geometry::Compute(
        {.groups = 7, .slot_size = 64, .records = 4, .page_size = GetParam(), .pages = kPages}, &geometry));
    memory_.reset(static_cast<char*>(std::aligned_alloc(4096, geometry.size)));
    std::memset(memory_.get(), 0, geometry.size);
    regions_ = std::make_unique<Regions>(memory_.get(), geometry);
    arena_ = std::make_unique<Arena<RealMemory>>(*regions_);
    for (uint32_t i = 0; i < 2; ++i) {
      writers_[i].index = i;
      writers_[i].process = ProcessGeneration();
      writers_[i].record = &regions_->record(i);
    }
  }

  struct Held {
    uint64_t granule, length, seed;
  };

  // Takes, fills and settles a block for `slot`.
  absl::Status Take(Writer& w, uint32_t slot, uint64_t length) {
    uint64_t granule;
    const absl::Status status = arena_->Allocate(
        w, length, [&](uint32_t s, uint64_t from) { return Move(w, s, from); }, NobodyDead, &granule);
    if (!status.ok()) return status;
    EXPECT_TRUE(arena_->InBounds(granule, length));
    const BlockWord word = BlockWord::Decode(arena_->LoadWord(granule));
    EXPECT_EQ(word.state, BlockState::kRecord);
    EXPECT_EQ(word.owner, w.index);
    const uint64_t seed = ++seed_;
    if (const std::string bytes = Bytes(length, seed); seed % 2 == 0) {
      arena_->Fill(granule, bytes);
    } else {
      FillInPieces(granule, bytes, seed);
    }
    arena_->Settle(granule, arena_->LoadWord(granule), slot);
    held_[slot] = {granule, length, seed};
    return absl::OkStatus();
  }

  // In one to four pieces.
  void FillInPieces(uint64_t granule, std::string_view bytes, uint64_t seed) {
    Arena<RealMemory>::Filler filler(*arena_, granule, bytes.size());
    for (const uint64_t most : {seed % 41, seed % 9, seed * 977 % (2 * GetParam())}) {
      filler.Add(bytes.substr(0, most));
      bytes.remove_prefix(std::min<uint64_t>(most, bytes.size()));
    }
    filler.Add(bytes);
  }

  // What the table does to evacuate a page.
  bool Move(Writer& w, uint32_t slot, uint64_t from) {
    const auto at = held_.find(slot);
    if (at == held_.end() || at->second.granule != from || at->second.length > GetParam()) return false;
    std::string bytes(at->second.length, '\0');
    EXPECT_TRUE(arena_->CopyOut(from, bytes.size(), 0, bytes.data(), bytes.size()));
    uint64_t to;
    if (!arena_->TryAllocateBlock(w, arena_->classes().ClassFor(bytes.size()), &to)) return false;
    arena_->Fill(to, bytes);
    arena_->Settle(to, arena_->LoadWord(to), slot);
    arena_->Free(w, from, arena_->LoadWord(from));
    at->second.granule = to;
    ++moves_;
    return true;
  }

  void Release(Writer& w, uint32_t slot) {
    const Held h = held_.at(slot);
    arena_->Free(w, h.granule, arena_->LoadWord(h.granule));
    held_.erase(slot);
  }

  std::string Read(const Held& h) const {
    std::string bytes(h.length, '\0');
    EXPECT_TRUE(arena_->CopyOut(h.granule, h.length, 0, bytes.data(), bytes.size()));
    return bytes;
  }

  // Contents as the model says, and exactly the model's blocks in use.
  void Check() const {
    uint64_t used = 0, pages = 0;
    arena_->ForEachBlock(
        [&](uint64_t, const PageWord&, uint64_t, const BlockWord& block) {
          used += block.state != BlockState::kFree && block.state != BlockState::kRetired ? 1 : 0;
        },
        [&](uint64_t, const PageWord&) { ++pages; });
    uint64_t expected = 0;
    for (const auto& [slot, h] : held_) {
      ASSERT_EQ(Read(h), Bytes(h.length, h.seed)) << slot;
      expected += h.length <= GetParam() ? 1 : arena_->PagesFor(h.length);
    }
    ASSERT_EQ(used, expected);
    ASSERT_LE(pages, kPages);
  }

  struct Freer {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Freer> memory_;
  std::unique_ptr<Regions> regions_;
  std::unique_ptr<Arena<RealMemory>> arena_;
  Writer writers_[2];
  std::map<uint32_t, Held> held_;
  uint64_t seed_ = 0, moves_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Pages, ArenaTest, ::testing::Values(4096, 16'384, 65'536));

TEST_P(ArenaTest, EachClassFillsAllPages) {
  Writer& w = writers_[0];
  const SizeClasses& classes = arena_->classes();
  for (uint32_t c = 0; c < classes.count(); ++c) {
    const uint64_t expected = kPages * classes.per_page(c);
    for (uint32_t i = 0; i < expected; ++i) ASSERT_TRUE(Take(w, i, classes.size(c)).ok()) << c << ": " << i;
    EXPECT_TRUE(absl::IsResourceExhausted(Take(w, 9'999'999, classes.size(c))));
    std::set<std::pair<uint64_t, uint64_t>> places;
    for (const auto& [slot, h] : held_) places.emplace(h.granule, h.granule + classes.size(c) / kGranule);
    uint64_t last = 0;
    for (const auto& [from, to] : places) {
      ASSERT_GE(from, last) << "blocks that overlap";
      last = to;
    }
    ASSERT_EQ(places.size(), expected);
    Check();
    for (uint32_t i = 0; i < expected; ++i) Release(w, i);
    Check();
  }
}

TEST_P(ArenaTest, ChainsOfAnyLength) {
  Writer& w = writers_[0];
  const uint64_t page = GetParam();
  for (uint64_t length : {page + 1, 2 * page - 1, 2 * page, 2 * page + 1, 7 * page + 13, kPages * page}) {
    ASSERT_TRUE(Take(w, 1, length).ok()) << length;
    const Held h = held_.at(1);
    const std::string whole = Bytes(length, h.seed);
    ASSERT_EQ(Read(h), whole);
    std::mt19937_64 random(length);
    for (int i = 0; i < 50; ++i) {
      uint64_t from = random() % (length / 8) * 8;
      if (i < 10) from = std::min(length / 8 * 8, page * static_cast<uint64_t>(i) / 2);
      const uint64_t n = std::min<uint64_t>(random() % (2 * page + 1), length - from);
      std::string part(n, '\0');
      ASSERT_TRUE(arena_->CopyOut(h.granule, length, from, part.data(), n));
      ASSERT_EQ(part, whole.substr(from, n)) << from << " + " << n;
    }
    Check();
    Release(w, 1);
    Check();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Take(w, 1, kPages * page + 1)));
  Check();
}

TEST_P(ArenaTest, PiecesOfAnyLengths) {
  Writer& w = writers_[0];
  const uint64_t page = GetParam();
  std::mt19937_64 random(page);
  uint64_t granule;
  const auto never = [](uint32_t, uint64_t) { return false; };
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{8}, uint64_t{21}, uint64_t{64}, page - 3, page,
                                page + 1, 3 * page, 6 * page + 5}) {
    const std::string bytes = Bytes(length, length);
    for (const uint64_t longest : {uint64_t{1}, uint64_t{2}, uint64_t{7}, uint64_t{8}, uint64_t{17}, page / 2 + 3}) {
      ASSERT_TRUE(arena_->Allocate(w, length, never, NobodyDead, &granule).ok());
      Arena<RealMemory>::Filler filler(*arena_, granule, length);
      for (uint64_t at = 0; at < length;) {
        const std::string_view piece = std::string_view(bytes).substr(at, random() % (longest + 1));
        filler.Add(piece);
        at += piece.size();
      }
      filler.Add({});
      ASSERT_EQ(Read({granule, length, 0}), bytes) << longest;
      arena_->Free(w, granule, arena_->LoadWord(granule));
    }
  }
  Check();
}

TEST_P(ArenaTest, AChainThatFindsNoRoomLeavesNothing) {
  Writer& w = writers_[0];
  const uint64_t page = GetParam();
  ASSERT_TRUE(Take(w, 1, 10 * page).ok());
  ASSERT_TRUE(Take(w, 2, 10).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Take(w, 3, 30 * page)));
  Check();
  EXPECT_TRUE(Take(w, 3, 29 * page).ok());
  Check();
}

TEST_P(ArenaTest, APageInOtherHandsIsWaitedFor) {
  Writer& w = writers_[0];
  const uint64_t page = GetParam();
  for (uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(Take(w, i, page).ok());
  // Writer 1 is retiring a page, and stands still.
  Word& page_word = regions_->page_word(3);
  const uint64_t assigned = page_word;
  page_word = PageWord::Decode(assigned).Next(PageState::kRetiring, 1);
  test::CountedBlocking waits, gives_up(3);
  w.blocking = &waits;
  EXPECT_TRUE(absl::IsResourceExhausted(Take(w, 99, 100))) << "not for ever";
  EXPECT_GT(waits.Sleeps(), 10);
  w.blocking = &gives_up;
  EXPECT_TRUE(absl::IsCancelled(Take(w, 99, 100)));
  EXPECT_EQ(gives_up.Sleeps(), 3);
  page_word = assigned;
  EXPECT_TRUE(absl::IsResourceExhausted(Take(w, 99, 100)));
  EXPECT_EQ(gives_up.Sleeps(), 0) << "nobody is waited for";
  Check();
}

TEST_P(ArenaTest, FreedPagesChangeClass) {
  Writer& w = writers_[0];
  for (const uint64_t size : {100u, 1000u, 64u, 4096u, 700u, 128u}) {
    const uint32_t count = static_cast<uint32_t>(kPages * arena_->classes().per_page(arena_->classes().ClassFor(size)));
    for (uint32_t i = 0; i < count; ++i) ASSERT_TRUE(Take(w, i, size).ok()) << size << ": " << i << " of " << count;
    Check();
    for (uint32_t i = 0; i < count; ++i) Release(writers_[i % 2], i);
  }
}

TEST_P(ArenaTest, SparsePagesAreEvacuated) {
  Writer& w = writers_[0];
  const SizeClasses& classes = arena_->classes();
  const uint32_t c = classes.ClassFor(GetParam() / 8);
  const uint32_t per_page = classes.per_page(c);
  const auto count = static_cast<uint32_t>(kPages * per_page);
  for (uint32_t i = 0; i < count; ++i) ASSERT_TRUE(Take(w, i, classes.size(c)).ok());
  // One block a page stays: all of them fit on few pages, the others can go to another class.
  std::map<uint64_t, uint32_t> kept;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t page = held_.at(i).granule * kGranule / GetParam();
    if (!kept.emplace(page, i).second) Release(w, i);
  }
  ASSERT_EQ(held_.size(), kPages);
  const uint64_t free_pages = kPages - (kPages + per_page - 1) / per_page;
  for (uint64_t i = 0; i < free_pages; ++i) {
    ASSERT_TRUE(Take(w, 100'000 + static_cast<uint32_t>(i), GetParam()).ok()) << i << " of " << free_pages;
  }
  EXPECT_GT(moves_, 0u);
  Check();
}

TEST_P(ArenaTest, RandomlyAgainstAModel) {
  std::mt19937_64 random(GetParam());
  for (int i = 0; i < 30'000; ++i) {
    Writer& w = writers_[random() % 2];
    const auto slot = static_cast<uint32_t>(random() % 300);
    if (held_.contains(slot)) {
      Release(w, slot);
    } else {
      const uint64_t length =
          random() % 10 == 0 ? GetParam() + random() % (5 * GetParam()) : 1 + random() % (random() % GetParam() + 1);
      const absl::Status status = Take(w, slot, length);
      if (!status.ok()) {
        ASSERT_TRUE(absl::IsResourceExhausted(status));
      }
    }
    if (i % 3000 == 0) Check();
  }
  Check();
  while (!held_.empty()) Release(writers_[0], held_.begin()->first);
  Check();
  ASSERT_TRUE(Take(writers_[0], 1, kPages * GetParam()).ok()) << "all is free again";
}

TEST_P(ArenaTest, BoundsOfWhatASlotMayClaim) {
  const uint64_t page = GetParam(), granules = arena_->granules();
  EXPECT_EQ(granules, kPages * page / kGranule);
  EXPECT_TRUE(arena_->InBounds(0, 0));
  EXPECT_TRUE(arena_->InBounds(granules - 1, kGranule));
  EXPECT_FALSE(arena_->InBounds(granules - 1, kGranule + 1));
  EXPECT_FALSE(arena_->InBounds(granules, 0));
  EXPECT_FALSE(arena_->InBounds(~uint64_t{0}, 1));
  EXPECT_FALSE(arena_->InBounds(0xffffffff, 1));
  EXPECT_TRUE(arena_->InBounds(0, kPages * page));
  EXPECT_FALSE(arena_->InBounds(0, kPages * page + 1));
  EXPECT_FALSE(arena_->InBounds(1, page + 1)) << "a chain begins at a page";
  EXPECT_FALSE(arena_->InBounds(0, ~uint64_t{0}));
  EXPECT_FALSE(arena_->InBounds(0, kMaxValueLength));
}

TEST_P(ArenaTest, DamagedLinksAreNoTrap) {
  Writer& w = writers_[0];
  const uint64_t page = GetParam(), per_page = page / kGranule;
  ASSERT_TRUE(Take(w, 1, 5 * page).ok());
  const Held h = held_.at(1);
  const uint64_t head = h.granule / per_page;
  std::string bytes(h.length, '\0');
  for (const uint32_t next : {0u, static_cast<uint32_t>(head) + 1, static_cast<uint32_t>(kPages) + 1, ~0u}) {
    Word& link = regions_->block_word(head * per_page + 1);
    const uint64_t before = link;
    link = BlockWord{BlockState::kNone, 0, 1, next}.Encode();
    // To itself: some bytes or other; out of range: false. Never outside of the mapping, never for ever.
    const bool copied = arena_->CopyOut(h.granule, h.length, 0, bytes.data(), bytes.size());
    EXPECT_EQ(copied, next == head + 1) << next;
    FillInPieces(h.granule, bytes, 7);
    link = before;
  }
  Check();
}

TEST_P(ArenaTest, RecoveryFreesWhatWasTakenOnce) {
  Writer& w = writers_[0];
  uint64_t granule;
  const auto never = [](uint32_t, uint64_t) { return false; };
  for (const uint64_t length : {uint64_t{100}, uint64_t{GetParam()}, uint64_t{GetParam()} * 6}) {
    ASSERT_TRUE(arena_->Allocate(w, length, never, NobodyDead, &granule).ok());
    const uint64_t word = w.record->new_word;
    EXPECT_EQ(w.record->new_block, granule);
    EXPECT_EQ(arena_->LoadWord(granule), word) << "the journal names it";
    arena_->RecoverFree(w.index, granule, word ^ (uint64_t{1} << 20));
    EXPECT_EQ(arena_->LoadWord(granule), word) << "another word: left alone";
    arena_->RecoverFree(w.index, granule, word);
    Check();  // nothing is in use
    // Once more, as after a death in the middle; somebody may have it by now.
    uint64_t other;
    ASSERT_TRUE(arena_->Allocate(writers_[1], length, never, NobodyDead, &other).ok());
    arena_->RecoverFree(w.index, granule, word);
    EXPECT_EQ(BlockWord::Decode(arena_->LoadWord(other)).state, BlockState::kRecord);
    arena_->Free(writers_[1], other, arena_->LoadWord(other));
    Check();
  }
  arena_->RecoverFree(0, ~uint64_t{0}, 7);
  arena_->RecoverWord(~uint64_t{0}, 7, 8);
  arena_->RecoverPage(0, ~uint64_t{0});
}

TEST_P(ArenaTest, ARetirementStaysJournaledWhileItsBlocksMove) {
  Writer& w = writers_[0];
  const SizeClasses& classes = arena_->classes();
  const uint32_t c = classes.ClassFor(GetParam() / 4);
  const auto count = static_cast<uint32_t>(kPages * classes.per_page(c));
  for (uint32_t i = 0; i < count; ++i) ASSERT_TRUE(Take(w, i, classes.size(c)).ok());
  std::map<uint64_t, uint32_t> kept;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t page = held_.at(i).granule * kGranule / GetParam();
    if (!kept.emplace(page, i).second) Release(w, i);
  }
  w.hints = {};
  int checked = 0;
  uint64_t granule;
  const absl::Status status = arena_->Allocate(
      w, GetParam(),
      [&](uint32_t slot, uint64_t from) {
        const uint64_t journaled = w.record->page;
        EXPECT_EQ(journaled, from * kGranule / GetParam() + 1) << "the page that is being retired";
        // Meanwhile others take all free blocks of the class, and give an empty page of another back to the pool.
        std::vector<std::pair<uint64_t, uint64_t>> changed;
        uint64_t pool = kPages;
        if (checked == 0) {
          for (uint64_t p = 0; p < kPages; ++p) {
            const PageWord page = PageWord::Decode(regions_->page_word(p));
            if (page.state != PageState::kAssigned) continue;
            for (uint32_t b = 0; b < classes.per_page(c); ++b) {
              const uint64_t g = p * (GetParam() / kGranule) + b * (classes.size(c) / kGranule);
              const uint64_t word = regions_->block_word(g);
              if (BlockWord::Decode(word).state != BlockState::kFree) continue;
              changed.emplace_back(g, word);
              regions_->block_word(g) = BlockWord::Decode(word).Next(BlockState::kRecord, 3);
            }
          }
          // The last page loses its one entry: to the model it does not matter where it went.
          for (uint64_t p = kPages; p-- > 0 && pool == kPages;) {
            if (p + 1 == journaled) continue;
            const uint32_t owner = kept.at(p);
            if (!held_.contains(owner) || held_.at(owner).granule * kGranule / GetParam() != p) continue;
            held_.erase(owner);
            for (uint32_t b = 0; b < classes.per_page(c); ++b) {
              const uint64_t g = p * (GetParam() / kGranule) + b * (classes.size(c) / kGranule);
              regions_->block_word(g) = BlockWord::Decode(regions_->block_word(g)).Next(BlockState::kRetired);
              std::erase_if(changed, [&](const auto& change) { return change.first == g; });
            }
            regions_->page_word(p) = PageWord::Decode(regions_->page_word(p)).Next(PageState::kPool);
            pool = p;
          }
        }
        ++checked;
        const bool moved = Move(w, slot, from);
        EXPECT_EQ(w.record->page, journaled) << "a death here would leave the page retiring for ever";
        for (const auto& [g, word] : changed) {
          if (BlockWord::Decode(regions_->block_word(g)).owner != 3) continue;
          regions_->block_word(g) = BlockWord::Decode(regions_->block_word(g)).Next(BlockState::kFree);
        }
        return moved;
      },
      NobodyDead, &granule);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace segdict::internal
