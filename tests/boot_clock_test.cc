// The dict's clock goes on over a reboot. A reboot is played by changing what the segment's file says of its last one.
#include "src/dict/boot_clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "segdict/dict.h"
#include "src/layout/header.h"
#include "src/segment/segment.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using internal::Header;
using test::Must;

class SegmentFile {
 public:
  explicit SegmentFile(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) { EXPECT_GE(fd_, 0); }
  ~SegmentFile() { close(fd_); }
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  uint64_t Word(size_t offset) const {
    uint64_t word = 0;
    EXPECT_EQ(pread(fd_, &word, sizeof(word), static_cast<off_t>(offset)), 8);
    return word;
  }
  void SetWord(size_t offset, uint64_t word) {
    EXPECT_EQ(pwrite(fd_, &word, sizeof(word), static_cast<off_t>(offset)), 8);
  }

 private:
  int fd_;
};

constexpr size_t kBootId = offsetof(Header, boot_id);
constexpr size_t kClockReal = offsetof(Header, clock_real);

class BootClockTest : public testing::Test {
 protected:
  // A dict with three entries, last used before a reboot. Since then the wall clock went on by a minute.
  BootClockTest() {
    Dict dict = Must(Dict::Create(location_, {.capacity = 10}));
    EXPECT_OK(dict.Set("half a minute", "v", {.ttl = absl::Seconds(30)}));
    EXPECT_OK(dict.Set("an hour", "v", {.ttl = absl::Hours(1)}));
    EXPECT_OK(dict.Set("for ever", "v"));
    SegmentFile file(path_);
    EXPECT_NE(file.Word(kBootId), kAnotherBoot);
    file.SetWord(kBootId, kAnotherBoot);
    file.SetWord(kClockReal, file.Word(kClockReal) - uint64_t{60'000'000'000});
  }

  void ExpectAMinuteLater(const Dict& dict) {
    EXPECT_CODE(dict.Get("half a minute"), kNotFound);
    EXPECT_OK(dict.Get("for ever"));
    char value[1];
    ValueInfo info;
    EXPECT_OK(dict.Get("an hour", value, &info));
    EXPECT_LE(info.ttl, absl::Minutes(59));
    EXPECT_GT(info.ttl, absl::Minutes(40));  // the test may take its time
  }

  static constexpr uint64_t kAnotherBoot = 12346;
  test::ScopedName name_;
  const std::string path_ = name_.path();
  const Location location_ = name_.location();
};

TEST_F(BootClockTest, TimeGoesOn) {
  Dict dict = Must(Dict::Open(location_));
  ExpectAMinuteLater(dict);
  EXPECT_NE(SegmentFile(path_).Word(kBootId), kAnotherBoot);
  // Whoever comes now finds it done.
  ExpectAMinuteLater(Must(Dict::Open(location_)));
  ExpectAMinuteLater(Must(Dict::Open(location_, {.read_only = true})));
}

TEST_F(BootClockTest, AReaderChangesNothing) {
  const Dict dict = Must(Dict::Open(location_, {.read_only = true}));
  ExpectAMinuteLater(dict);
  EXPECT_EQ(SegmentFile(path_).Word(kBootId), kAnotherBoot);
}

TEST_F(BootClockTest, ADeathBetweenItsStoresIsMadeGood) {
  { const Dict dict = Must(Dict::Open(location_)); }
  // As after the first of the two stores: the offset is there, the boot id is not.
  SegmentFile(path_).SetWord(kBootId, kAnotherBoot);
  ExpectAMinuteLater(Must(Dict::Open(location_)));
}

// Who does not know its own boot takes the segment's clock as it is.
TEST_F(BootClockTest, AnUnknownBootChangesNothing) {
  const auto segment = Must(internal::Segment::Attach(location_, {}));
  const uint64_t offset = segment->header().clock_offset.load();
  EXPECT_OK(internal::MakeBootClock(*segment, internal::kUnknownBoot));
  EXPECT_EQ(segment->header().boot_id.load(), kAnotherBoot);
  EXPECT_EQ(segment->header().clock_offset.load(), offset);
}

TEST_F(BootClockTest, ManyAtOnce) {
  std::vector<test::Child> children;
  for (int i = 0; i < 8; ++i) {
    children.emplace_back([&] { ExpectAMinuteLater(Must(Dict::Open(location_))); });
  }
  for (test::Child& child : children) child.Wait();
}

}  // namespace
}  // namespace segdict
