// The formats of words and structs: encoding and parsing, hostile bytes, extremes.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "src/base/descriptor.h"
#include "src/base/hash.h"
#include "src/base/prime.h"
#include "src/layout/arena_words.h"
#include "src/layout/geometry.h"
#include "src/layout/group.h"
#include "src/layout/header.h"
#include "src/layout/owned_word.h"
#include "src/layout/regions.h"
#include "src/layout/slot.h"
#include "src/layout/writer_record.h"
#include "tests/testing.h"

namespace segdict::internal {
namespace {

using test::Bytes;
using test::IsSound;
using test::OwnedDict;

constexpr uint32_t kWordCounts[] = {3, 7, 15};  // slots of 32, 64 and 128 bytes

// Short keys are hashed in place, by a part of the library that it does not document.
TEST(HashTest, IsXxh3AtEveryLength) {
  std::string bytes;
  for (size_t n = 0; n < 300; ++n, bytes.push_back(static_cast<char>(n * 7 + 3))) {
    for (const uint64_t seed : {uint64_t{0}, uint64_t{42}, ~uint64_t{0}}) {
      EXPECT_EQ(Hash(bytes, seed), XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed)) << n;
    }
  }
}

TEST(Slots, WhatIsEncodedIsParsed) {
  for (const uint32_t words : kWordCounts) {
    for (const bool order : {false, true}) {
      if (order && words == 3) continue;
      for (const bool expiry : {false, true}) {
        for (const size_t key_length :
             {0u, 1u, 7u, 8u, 9u, 15u, 16u, 17u, 24u, 32u, 40u, 41u, 48u, 49u, 112u, 65'535u}) {
          for (const size_t value_length :
               {0u, 1u, 8u, 16u, 24u, 32u, 40u, 48u, 49u, 104u, 112u, 255u, 256u, 70'000u}) {
            SCOPED_TRACE("words " + std::to_string(words) + " key " + std::to_string(key_length) + " value " +
                         std::to_string(value_length));
            const std::string key = Bytes(key_length, 1), value = Bytes(value_length, 2);
            const SlotForm form = SlotForm::Choose(words, key_length, value_length, expiry, order);
            SlotCopy copy = EncodeSlot(words, form, key, form.value_in_block ? nullptr : value.data(), value.size(), 77,
                                       expiry, 123'456'789'012'345, order, 987'654'321, 0xfedcba98);
            ASSERT_TRUE(copy.Parse(words));
            ASSERT_FALSE(copy.Empty());
            ASSERT_EQ(copy.key_length, key_length);
            ASSERT_EQ(copy.value_length, value_length);
            ASSERT_EQ(copy.Type(), 77);
            ASSERT_EQ(copy.HasExpiry(), expiry);
            if (expiry) {
              ASSERT_EQ(copy.Expiry(), 123'456'789'012'345);
            }
            ASSERT_EQ(copy.Order(), order ? 987'654'321u : 0u);
            ASSERT_EQ(copy.KeyInBlock(), form.key_in_block);
            ASSERT_EQ(copy.ValueInBlock(), form.value_in_block);
            if (!form.key_in_block) {
              ASSERT_EQ(copy.InlineKey(), key);
            }
            if (!form.value_in_block) {
              ASSERT_EQ(copy.InlineValue(), value);
            } else {
              ASSERT_EQ(copy.granule, 0xfedcba98u);
              ASSERT_EQ(copy.BlockLength(), form.BlockLength(key_length, value_length));
            }
            // What fits lies in the slot.
            const size_t room = (words - 1 - (expiry ? 1 : 0) - (order ? 1 : 0)) * 8;
            ASSERT_EQ(form.value_in_block, key_length + value_length > room);
          }
        }
      }
    }
  }
}

TEST(Slots, LengthsOfFortyBits) {
  SlotCopy copy{};
  for (const uint64_t length : {uint64_t{1} << 32, (uint64_t{1} << 32) + 5, kMaxValueLength}) {
    copy.words[0] = meta::kOccupied | meta::kValueInBlock | (length >> 32) << 16 | 3;
    copy.words[1] = 7 | (length & 0xffffffff) << 32;
    ASSERT_TRUE(copy.Parse(7));
    EXPECT_EQ(copy.value_length, length);
    EXPECT_EQ(copy.granule, 7u);
  }
}

TEST(Slots, HostileWordsNeverLeaveTheCopy) {
  std::mt19937_64 random(1);
  int parsed = 0, refused = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const uint32_t words = kWordCounts[random() % 3];
    SlotCopy copy{};
    for (uint64_t& word : copy.words) word = random();
    // Mostly near what is valid: few flags that do not exist, often short keys.
    if (random() % 8 != 0) copy.words[0] &= meta::kKnown;
    if (random() % 4 != 0) copy.words[0] |= meta::kOccupied;
    if (random() % 2 != 0) copy.words[0] &= ~uint64_t{0xff80};
    if (random() % 2 != 0) copy.words[0] &= ~uint64_t{0xe00000};
    if (!copy.Parse(words)) {
      ++refused;
      continue;
    }
    ++parsed;
    const auto* begin = reinterpret_cast<const char*>(copy.words);
    const char* end = begin + words * 8;
    ASSERT_GE(copy.bytes(), begin + 8);
    ASSERT_LE(copy.bytes(), end);
    if (!copy.KeyInBlock()) {
      ASSERT_LE(copy.InlineKey().data() + copy.InlineKey().size(), end);
    }
    if (!copy.ValueInBlock()) {
      ASSERT_LE(copy.InlineValue().data() + copy.InlineValue().size(), end);
    }
    ASSERT_LE(copy.value_length, kMaxValueLength);
    ASSERT_LE(copy.granule, copy.ValueInBlock() ? 0xffffffffu : ~uint64_t{0});
    ASSERT_EQ(copy.words[0] & ~meta::kKnown, 0u);
    ASSERT_NE(copy.words[0] & meta::kOccupied, 0u);
    ASSERT_FALSE(copy.KeyInBlock() && !copy.ValueInBlock());
  }
  EXPECT_GT(parsed, 10'000);
  EXPECT_GT(refused, 10'000);
}

TEST(Slots, UnknownFlagsAndMarksAreRefused) {
  SlotCopy copy{};
  copy.words[0] = meta::kOccupied;
  ASSERT_TRUE(copy.Parse(7));
  for (int bit = 37; bit < 64; ++bit) {
    copy.words[0] = meta::kOccupied | uint64_t{1} << bit;
    EXPECT_FALSE(copy.Parse(7)) << bit;
  }
  copy.words[0] = 5;
  EXPECT_FALSE(copy.Parse(7)) << "not occupied";
  copy.words[0] = meta::kOccupied | meta::kKeyInBlock;
  EXPECT_FALSE(copy.Parse(7)) << "a key in a block without a value";
}

class Classes : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Pages, Classes, ::testing::Values(4096, 16'384, 65'536));

TEST_P(Classes, EverySizeFitsAndTheNextSmallerClassWouldNot) {
  const uint32_t page = GetParam();
  const SizeClasses classes(page);
  ASSERT_GE(classes.count(), 2u);
  ASSERT_LE(classes.count(), kMaxClasses);
  EXPECT_EQ(classes.size(0), page);
  EXPECT_EQ(classes.per_page(0), 1u);
  for (uint32_t c = 0; c < classes.count(); ++c) {
    EXPECT_EQ(classes.size(c) % kGranule, 0u);
    EXPECT_GT(classes.size(c), 0u);
    EXPECT_LE(classes.per_page(c) * classes.size(c), page) << c;
    EXPECT_EQ(classes.per_page(c), page / classes.size(c)) << c;
    if (c > 0) {
      EXPECT_LT(classes.size(c), classes.size(c - 1));
    }
  }
  EXPECT_EQ(classes.size(classes.count() - 1), kGranule);
  for (uint64_t bytes = 1; bytes <= 65'536; ++bytes) {
    const uint32_t c = classes.ClassFor(bytes);
    ASSERT_LT(c, classes.count());
    if (bytes > page) {
      ASSERT_EQ(c, 0u);
      continue;
    }
    ASSERT_GE(classes.size(c), bytes);
    if (c + 1 < classes.count()) {
      ASSERT_LT(classes.size(c + 1), bytes);
    }
    // Rounding: a third at the most beyond the granule, up to half a page.
    if (bytes > 1024 && bytes <= page / 8) {
      ASSERT_LE(classes.size(c) * 3, bytes * 4 + 3 * kGranule) << bytes;
    }
  }
  EXPECT_EQ(classes.ClassFor(0), classes.count() - 1);
  EXPECT_EQ(classes.ClassFor(~uint64_t{0}), 0u);
}

TEST(PageSizes, ByValueBytes) {
  EXPECT_EQ(PageSizeFor(0), 4096u);
  EXPECT_EQ(PageSizeFor((1 << 20) - 1), 4096u);
  EXPECT_EQ(PageSizeFor(1 << 20), 16'384u);
  EXPECT_EQ(PageSizeFor((4 << 20) - 1), 16'384u);
  EXPECT_EQ(PageSizeFor(4 << 20), 65'536u);
  EXPECT_EQ(PageSizeFor(~uint64_t{0}), 65'536u);
}

TEST(ArenaWords, EncodeDecode) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t word = random();
    EXPECT_EQ(BlockWord::Decode(word).Encode(), word) << "every bit belongs to a field";
    EXPECT_EQ(PageWord::Decode(word).Encode(), word);
    const BlockWord next = BlockWord::Decode(BlockWord::Decode(word).Next(BlockState::kSlot, 12));
    ASSERT_EQ(next.generation, (BlockWord::Decode(word).generation + 1) & 0xffffff);
    ASSERT_EQ(next.size_class, BlockWord::Decode(word).size_class);
    ASSERT_EQ(next.owner, 12u);
  }
}

TEST(Geometries, Extremes) {
  Geometry g;
  const Shape small{.groups = 1, .slot_size = 32, .records = 1, .page_size = 4096, .pages = 1};
  ASSERT_TRUE(Geometry::Compute(small, &g));
  EXPECT_EQ(g.slots, 15u);
  EXPECT_EQ(g.slot_words, 3u);
  const Shape large{.groups = kMaxSlots / kSlotsPerGroup,
                    .slot_size = 128,
                    .records = kMaxRecords,
                    .page_size = 65'536,
                    .pages = kMaxPages};
  ASSERT_TRUE(Geometry::Compute(large, &g));
  EXPECT_LE(g.slots, kMaxSlots);
  EXPECT_GT(g.size, g.slots * 128 + kMaxPages * 65'536);
  const auto refused = [&](auto&& change) {
    Shape shape = small;
    change(shape);
    return !Geometry::Compute(shape, &g);
  };
  EXPECT_TRUE(refused([](Shape& s) { s.groups = 0; }));
  EXPECT_TRUE(refused([](Shape& s) { s.groups = kMaxSlots / kSlotsPerGroup + 1; }));
  EXPECT_TRUE(refused([](Shape& s) { s.groups = ~uint64_t{0}; }));
  EXPECT_TRUE(refused([](Shape& s) { s.slot_size = 0; }));
  EXPECT_TRUE(refused([](Shape& s) { s.slot_size = 16; }));
  EXPECT_TRUE(refused([](Shape& s) { s.slot_size = 256; }));
  EXPECT_TRUE(refused([](Shape& s) { s.records = 0; }));
  EXPECT_TRUE(refused([](Shape& s) { s.records = kMaxRecords + 1; }));
  EXPECT_TRUE(refused([](Shape& s) { s.page_size = 0; }));
  EXPECT_TRUE(refused([](Shape& s) { s.page_size = 12'288; }));
  EXPECT_TRUE(refused([](Shape& s) { s.pages = 0; }));
  EXPECT_TRUE(refused([](Shape& s) { s.pages = kMaxPages + 1; }));
  EXPECT_TRUE(refused([](Shape& s) { s.pages = ~uint64_t{0}; }));
}

TEST(Geometries, RegionsFollowEachOtherAligned) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const uint32_t slot_size = 32u << random() % 3, page_size = 4096u << 2 * (random() % 3);
    const Shape shape{.groups = 1 + random() % 100'000,
                      .slot_size = slot_size,
                      .records = static_cast<uint32_t>(1 + random() % kMaxRecords),
                      .page_size = page_size,
                      .pages = 1 + random() % 10'000};
    Geometry g;
    ASSERT_TRUE(Geometry::Compute(shape, &g));
    const uint64_t ends[] = {kHeaderSize,
                             g.records_at + shape.records * 512ull,
                             g.groups_at + shape.groups * 16,
                             g.locks_at + shape.groups * 8,
                             g.slots_at + g.slots * slot_size,
                             g.page_words_at + shape.pages * 8,
                             g.block_words_at + shape.pages * (page_size / kGranule) * 8,
                             g.pages_at + shape.pages * page_size};
    const uint64_t starts[] = {g.records_at,    g.groups_at,      g.locks_at, g.slots_at,
                               g.page_words_at, g.block_words_at, g.pages_at, g.size};
    for (int r = 0; r < 8; ++r) {
      ASSERT_GE(starts[r], ends[r]) << r;
      ASSERT_LT(starts[r] - ends[r], 4096u) << r;
      ASSERT_EQ(starts[r] % 64, 0u);
    }
    ASSERT_EQ(g.slots_at % 4096, 0u);
    ASSERT_EQ(g.pages_at % 4096, 0u);
    ASSERT_EQ(g.size % 4096, 0u);
  }
}

TEST(Groups, MatchIsTheNaiveOne) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 200'000; ++i) {
    GroupView view{{random(), random()}};
    const auto tag = static_cast<uint32_t>(random() % 256);
    // Equal, and nearly equal, bytes where they are likely to confuse.
    for (int k = 0; k < 6; ++k) {
      const uint64_t byte = (tag + (random() % 3 == 0 ? random() % 3 - 1 : 0)) & 0xff;
      const uint64_t at = random() % 16;
      uint64_t& word = view.words[at / 8];
      word = (word & ~(uint64_t{0xff} << at % 8 * 8)) | byte << at % 8 * 8;
    }
    uint32_t naive = 0;
    for (uint32_t s = 0; s < kSlotsPerGroup; ++s) naive |= view.Tag(s) == tag ? 1u << s : 0;
    ASSERT_EQ(view.Match(tag), naive) << std::hex << view.words[0] << " " << view.words[1] << " tag " << tag;
    const uint32_t portable =
        (GroupView::MatchWord(view.words[0], tag) | GroupView::MatchWord(view.words[1], tag) << 8) & 0x7fff;
    ASSERT_EQ(portable, naive);
    ASSERT_EQ(view.ReachByte(), view.words[1] >> 56);
  }
}

TEST(Groups, TheReachOfASetOfKeys) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::pair<uint64_t, uint32_t>> keys;
    for (uint64_t n = random() % 6; n > 0; --n) {
      keys.emplace_back(random() % (uint64_t{1} << random() % 29), static_cast<uint32_t>(1 + random() % 255));
    }
    const auto reach_of = [&] {
      uint32_t reach = 0;
      for (const auto& [steps, tag] : keys) reach = ExtendReach(reach, steps, tag);
      return reach;
    };
    const uint32_t reach = reach_of();
    ASSERT_LT(reach, 256u);
    uint64_t farthest = 0;
    uint32_t filter = 0;
    for (const auto& [steps, tag] : keys) {
      farthest = std::max(farthest, steps);
      if (steps == 0) continue;  // a key at home needs nothing
      ASSERT_TRUE(ReachMayHold(reach, tag));
      filter |= 16u << tag % 4;
    }
    ASSERT_GE(kReachSteps[reach & 15], farthest);
    ASSERT_EQ(reach & 0xf0, filter) << "not more than its keys ask for";
    if ((reach & 15) > 0) {
      ASSERT_LT(kReachSteps[(reach & 15) - 1], farthest) << "not farther than needed";
    }
    std::shuffle(keys.begin(), keys.end(), random);
    ASSERT_EQ(reach_of(), reach) << "the order does not matter";
  }
}

TEST(OwnedWords, LockReleaseAndOverflow) {
  for (const uint64_t version : {uint64_t{0}, uint64_t{1}, uint64_t{0xffff'ffff}, (uint64_t{1} << 48) - 1}) {
    for (const uint32_t record : {0u, 1u, 32'767u}) {
      const uint64_t free = owned::Unlocked(version);
      const uint64_t locked = owned::LockedBy(free, record);
      EXPECT_FALSE(owned::IsLocked(free));
      EXPECT_TRUE(owned::IsLockedBy(locked, record));
      EXPECT_FALSE(owned::IsLockedBy(locked, record ^ 1));
      EXPECT_FALSE(owned::IsLockedBy(free, record));
      EXPECT_EQ(owned::Version(locked), version);
      EXPECT_EQ(owned::Same(locked), free);
      EXPECT_EQ(owned::Next(locked), owned::Next(free));
      EXPECT_EQ(owned::Version(owned::Next(free)), (version + 1) & ((uint64_t{1} << 48) - 1));
      EXPECT_FALSE(owned::IsLocked(owned::Next(locked)));
    }
  }
}

TEST(OpWords, EncodeDecodeAndValidity) {
  for (int operation = 0; operation <= 4; ++operation) {
    for (int outcome = 0; outcome <= 2; ++outcome) {
      for (int has = 0; has < 4; ++has) {
        const OpWord op{static_cast<Operation>(operation), static_cast<Outcome>(outcome), (has & 1) != 0,
                        (has & 2) != 0};
        const OpWord back = OpWord::Decode(op.Encode());
        EXPECT_TRUE(OpWord::Valid(op.Encode()));
        EXPECT_EQ(back.operation, op.operation);
        EXPECT_EQ(back.outcome, op.outcome);
        EXPECT_EQ(back.has_new, op.has_new);
        EXPECT_EQ(back.has_old, op.has_old);
      }
    }
  }
  EXPECT_FALSE(OpWord::Valid(5));
  EXPECT_FALSE(OpWord::Valid(1 | 3 << 8));
  EXPECT_FALSE(OpWord::Valid(1 << 18));
  EXPECT_FALSE(OpWord::Valid(~uint64_t{0}));
}

TEST(Primes, AgainstTrialDivision) {
  std::vector<bool> composite(10'000, false);
  for (size_t i = 2; i < composite.size(); ++i) {
    for (size_t k = 2 * i; k < composite.size(); k += i) composite[k] = true;
  }
  for (uint64_t n = 0; n < composite.size(); ++n) ASSERT_EQ(IsPrime(n), n >= 2 && !composite[n]) << n;
  EXPECT_EQ(PrimeAtLeast(0), 1u);
  EXPECT_EQ(PrimeAtLeast(14), 17u);
  EXPECT_EQ(PrimeAtLeast(286'331'153), 286'331'153u + 20) << "the largest number of groups";
}

// ---- Words of a live segment ------------------------------------------------------------------------------

class Mapped {
 public:
  explicit Mapped(const std::string& path) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0) std::abort();
    size_ = static_cast<size_t>(info.st_size);
    void* base = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<char*>(base);
    FixedHeader fixed;
    std::memcpy(&fixed, base_, sizeof(fixed));
    Geometry geometry;
    if (!Geometry::Compute({fixed.groups, fixed.slot_size, fixed.records, fixed.page_size, fixed.pages}, &geometry)) {
      std::abort();
    }
    regions_.emplace(base_, geometry);
  }
  ~Mapped() { munmap(base_, size_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  const Regions& operator*() const { return *regions_; }
  const Regions* operator->() const { return &*regions_; }

 private:
  char* base_;
  size_t size_;
  std::optional<Regions> regions_;
};

TEST(LiveSegment, VersionsAndGenerationsNearTheirEnd) {
  Options options;
  options.capacity = 40;
  options.max_load = 1.0;
  options.value_bytes = 100'000;
  OwnedDict owned(options);
  Mapped mapped(owned.name.path());
  for (uint64_t s = 0; s < mapped->geometry().slots; ++s) {
    mapped->slot(s).seq = owned::Unlocked((uint64_t{1} << 48) - 1 - s % 4);
  }
  for (uint64_t g = 0; g < mapped->geometry().shape.groups; ++g) {
    mapped->home_lock(g) = owned::Unlocked((uint64_t{1} << 48) - 1 - g % 2);
  }
  mapped->header().global_lock = owned::Unlocked((uint64_t{1} << 48) - 1);
  for (uint64_t p = 0; p < mapped->geometry().shape.pages; ++p) {
    mapped->page_word(p) = PageWord{PageState::kPool, 0, 0xffffff, 0}.Encode();
  }
  const uint64_t granules = mapped->geometry().shape.pages * mapped->geometry().granules_per_page;
  for (uint64_t b = 0; b < granules; ++b) {
    mapped->block_word(b) = BlockWord{BlockState::kNone, 0, 0xfffffe, 0}.Encode();
  }
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 45; ++i) {
      const std::string key = std::to_string(i);
      const std::string value = Bytes(static_cast<size_t>(i * i % 1500), static_cast<uint64_t>(round));
      const auto before = owned->Get(key);
      ASSERT_OK(owned->Set(key, value));
      Version version;
      ASSERT_OK(owned->Visit(key, [&](const Entry& entry) { version = entry.version; }));
      ASSERT_OK(owned->CompareAndSet(key, version, value + "!"));
      ASSERT_CODE(owned->CompareAndSet(key, version, value), kAborted) << "also over the end";
      ASSERT_EQ(test::Value(*owned, key), value + "!");
    }
    ASSERT_OK(owned->Lock());
    ASSERT_TRUE(IsSound(*owned));
    for (int i = round % 2; i < 45; i += 2) ASSERT_OK(owned->Erase(std::to_string(i)));
    ASSERT_TRUE(IsSound(*owned));
  }
}

TEST(LiveSegment, TheHeaderOfANewSegment) {
  Options options = test::SmallOptions();
  options.ordered = true;
  OwnedDict owned(options);
  Mapped mapped(owned.name.path());
  const FixedHeader& fixed = mapped->header().fixed;
  EXPECT_EQ(std::memcmp(fixed.magic, "segdict\n", 8), 0);
  EXPECT_EQ(fixed.format_version, 1u);
  EXPECT_EQ(fixed.header_size, 4096u);
  EXPECT_EQ(fixed.capacity, 1000u);
  EXPECT_EQ(fixed.value_bytes, 1u << 20);
  EXPECT_EQ(fixed.ordered, 1u);
  EXPECT_EQ(fixed.hash_test, Hash("segdict", fixed.seed));
  EXPECT_EQ(fixed.checksum, XXH3_64bits(&fixed, 504));
  EXPECT_EQ(fixed.segment_size, mapped->geometry().size);
  EXPECT_TRUE(IsPrime(fixed.groups));
  for (const uint64_t word : fixed.reserved) EXPECT_EQ(word, 0u);
  OwnedDict other(options);
  EXPECT_NE(Mapped(other.name.path())->header().fixed.seed, fixed.seed) << "a seed of its own";
}

TEST(LiveSegment, VerifySeesReservedWordsThatAreSet) {
  OwnedDict owned(test::SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  Mapped mapped(owned.name.path());
  const auto errors = [&] { return test::Must(owned->Verify()).error_count; };
  ASSERT_EQ(errors(), 0u);
  Header& header = mapped->header();
  for (Word* word : {&header.reserved1[0], &header.reserved2[6], &header.reserved3[2]}) {
    *word = 1;
    EXPECT_GT(errors(), 0u);
    *word = 0;
  }
  header.reserved_end[100] = 1;
  EXPECT_GT(errors(), 0u);
  header.reserved_end[100] = 0;
  header.fixed.capacity ^= 1;
  EXPECT_GT(errors(), 0u) << "the header was changed";
  header.fixed.capacity ^= 1;
  EXPECT_EQ(errors(), 0u);
}

TEST(LiveSegment, VerifySeesDamage) {
  OwnedDict owned(test::SmallOptions());
  for (int i = 0; i < 900; ++i) ASSERT_OK(owned->Set(std::to_string(i), Bytes(static_cast<size_t>(i), 1)));
  Mapped mapped(owned.name.path());
  const auto errors = [&] { return test::Must(owned->Verify()).error_count; };
  ASSERT_EQ(errors(), 0u);
  const auto with = [&](Word& word, uint64_t value) {
    const uint64_t before = word.exchange(value);
    const uint64_t found = errors();
    word = before;
    return found;
  };
  uint64_t full = 0;
  while (mapped->slot(full).words[0] == 0) ++full;
  uint64_t empty = 0;
  while (mapped->slot(empty).words[0] != 0) ++empty;
  Word& tags = mapped->group(full / kSlotsPerGroup).words[full % kSlotsPerGroup / 8];
  EXPECT_GT(with(tags, tags ^ uint64_t{1} << full % kSlotsPerGroup % 8 * 8), 0u) << "a wrong tag";
  Word& maximum = mapped->group(0).words[1];
  EXPECT_GT(with(maximum, maximum ^ uint64_t{0x7f} << 56), 0u) << "a wrong reach";
  EXPECT_GT(with(mapped->slot(full).words[0], uint64_t{1} << 50), 0u) << "no entry";
  EXPECT_GT(with(mapped->slot(empty).words[1], 1), 0u) << "an empty slot with words";
  EXPECT_GT(with(mapped->record(0).share, mapped->record(0).share + 1), 0u) << "a wrong size";
  uint64_t block = 0;
  while (BlockWord::Decode(mapped->block_word(block)).state != BlockState::kSlot) ++block;
  EXPECT_GT(with(mapped->block_word(block), BlockWord::Decode(mapped->block_word(block)).Next(BlockState::kFree)), 0u)
      << "a block in use that says it is free";
  uint64_t free = 0;
  while (BlockWord::Decode(mapped->block_word(free)).state != BlockState::kFree) ++free;
  EXPECT_GT(with(mapped->block_word(free), BlockWord::Decode(mapped->block_word(free)).Next(BlockState::kSlot, 3)), 0u)
      << "a block that leaked";
  EXPECT_EQ(errors(), 0u);
}

}  // namespace
}  // namespace segdict::internal
