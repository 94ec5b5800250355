// The format, frozen: a segment of format 1 that was written once, tests/golden/format1.segment, is still read and
// written by this library. If this fails, either the change was not meant, or the format version must be raised. Made
// by this test itself with SEGDICT_WRITE_GOLDEN=<file>; to be made anew only for a new format version.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "segdict/dict.h"
#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

constexpr int64_t kExpiry = 5'000'000;

std::string KeyOf(int i) { return "key" + std::to_string(i) + std::string(i == 3 ? 50 : 0, 'k'); }
std::string ValueOf(int i) { return std::string(i == 5 ? 9000 : i % 2 == 0 ? 300 : 10, static_cast<char>('a' + i)); }

// Eighteen keys in two groups' worth of slots (so that some are displaced), inline, in blocks, in a chain, one with its
// key in a block; every third expires.
void Write(const char* path) {
  TableFixture f({.groups = 2, .pages = 7, .records = 1});
  auto w = f.Claim();
  for (int i = 0; i < 18; ++i) ASSERT_TRUE(f.Set(*w, KeyOf(i), ValueOf(i), i % 3 == 0 ? kExpiry : kNever).ok());
  ReleaseWriter<Mem>(std::move(w));
  std::ofstream(path, std::ios::binary)
      .write(f.segment().base(), static_cast<std::streamsize>(f.segment().geometry().size));
}

TEST(GoldenTest, ASegmentOfFormatOneIsReadAndWritten) {
  if (const char* path = std::getenv("SEGDICT_WRITE_GOLDEN"); path != nullptr) Write(path);
  std::ifstream file("tests/golden/format1.segment", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ASSERT_GT(bytes.size(), kHeaderSize) << "run from the top of the repository";
  const int fd = memfd_create("golden", MFD_CLOEXEC);
  ASSERT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ManualClock clock;
  auto dict = Dict::Open(Descriptor(fd), {.clock = &clock});
  close(fd);
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_TRUE(dict->Verify()->ok());
  EXPECT_EQ(dict->size(), 18u);
  for (const int64_t now : {kExpiry - 1, kExpiry}) {
    clock.now = now;
    for (int i = 0; i < 18; ++i) {
      std::string value;
      const bool live = i % 3 != 0 || now < kExpiry;
      ASSERT_EQ(dict->Get(KeyOf(i), &value).ok(), live) << i;
      if (live) {
        EXPECT_EQ(value, ValueOf(i)) << i;
      }
    }
  }
  for (int i = 0; i < 18; ++i) EXPECT_TRUE(dict->Set(KeyOf(i), "new").ok());
  EXPECT_TRUE(dict->Clear().ok());
  EXPECT_TRUE(dict->Verify()->ok());
  EXPECT_EQ(dict->size(), 0u);
}

// One entry, byte by byte, as docs/design.md describes it.
TEST(GoldenTest, AnEntryIsWhereTheFormatSays) {
  TableFixture f({.groups = 1, .pages = 1});
  auto w = f.Claim();
  ASSERT_TRUE(f.Set(*w, "abc", "defgh", 0x1122334455667788).ok());
  const uint64_t hash = Hash("abc", 42);
  const uint64_t preferred = ((hash >> 8 & 255) * 15) >> 8;
  const char* slot = f.segment().base() + f.segment().geometry().slots_at + preferred * 64;
  const unsigned char expected[] = {
      0,    0,    1,    0,    0,    0,    0,    0,     // seq: version 1, unlocked
      3,    0,    5,    0,    9,    0,    0,    0,     // key 3, value 5, type 0, occupied + expiry
      0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // expiry
      'a',  'b',  'c',  'd',  'e',  'f',  'g',  'h'};
  EXPECT_EQ(std::memcmp(slot, expected, sizeof(expected)), 0);
  const char* group = f.segment().base() + f.segment().geometry().groups_at;
  EXPECT_EQ(static_cast<unsigned char>(group[preferred]), (((hash & 255) * 255) >> 8) + 1);
  EXPECT_EQ(group[15], 0);
}

}  // namespace
}  // namespace segdict::internal
