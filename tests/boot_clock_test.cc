// The dict's clock goes on over a reboot. A reboot is played by changing what the segment's file says of its last one.
#include "src/dict/boot_clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "segdict/dict.h"
#include "src/base/hash.h"
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
  int descriptor() const { return fd_; }

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
constexpr size_t kClockOffset = offsetof(Header, clock_offset);
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

  void ExpectTenMinutes(const Dict& dict) {
    char value[1];
    ValueInfo info;
    EXPECT_OK(dict.Get("ten minutes", value, &info));
    EXPECT_LE(info.ttl, absl::Minutes(10));
    EXPECT_GT(info.ttl, absl::Minutes(5));
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

// It was opened before the first writer of this boot, who then meets a wall clock that was set back by an hour.
TEST_F(BootClockTest, AReaderGoesByTheClockOfTheFirstWriter) {
  const Dict reader = Must(Dict::Open(location_, {.read_only = true}));
  ExpectAMinuteLater(reader);
  SegmentFile file(path_);
  file.SetWord(kClockReal, file.Word(kClockReal) + uint64_t{3600'000'000'000});
  Dict writer = Must(Dict::Open(location_));
  ASSERT_OK(writer.Set("ten minutes", "v", {.ttl = absl::Minutes(10)}));
  ExpectTenMinutes(reader);
  ExpectTenMinutes(writer);
}

// Whoever does not know its boot goes by the segment's clock, also when that is set under it.
TEST_F(BootClockTest, AnUnknownBootFollows) {
  const auto segment = Must(internal::Segment::Attach(location_, {}));
  const auto clock = Must(internal::MakeBootClock(*segment, internal::kUnknownBoot));
  const int64_t before = clock->Now();
  { const Dict dict = Must(Dict::Open(location_)); }
  EXPECT_GE(clock->Now() - before, int64_t{60'000'000'000});
}

// A dict that was made where the boot is not known: in this one, or another.
class MadeWithoutProc : public BootClockTest {
 protected:
  // When the machine had been up for `up`, and `ago` as the wall clock has it now.
  void Made(absl::Duration up, absl::Duration ago) {
    SegmentFile file(path_);
    const int64_t was_up = absl::ToInt64Nanoseconds(up);
    const int64_t made_at = absl::ToInt64Nanoseconds(Read(CLOCK_REALTIME) - ago);
    file.SetWord(kBootId, internal::kUnknownBoot);
    file.SetWord(kClockReal, static_cast<uint64_t>(made_at - was_up));
    file.SetWord(offsetof(internal::FixedHeader, created_realtime), static_cast<uint64_t>(made_at));
    internal::FixedHeader fixed;
    ASSERT_EQ(pread(file.descriptor(), &fixed, sizeof(fixed), 0), static_cast<ssize_t>(sizeof(fixed)));
    file.SetWord(offsetof(internal::FixedHeader, checksum),
                 XXH3_64bits(&fixed, offsetof(internal::FixedHeader, checksum)));
  }
  static absl::Duration Read(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return absl::DurationFromTimespec(now);
  }
  static absl::Duration Up() { return Read(CLOCK_BOOTTIME); }
};

// Those who made it and use it still must not be left behind.
TEST_F(MadeWithoutProc, InThisBootTheWallClockDoesNotMatter) {
  for (const absl::Duration seems : {absl::ZeroDuration(), absl::Hours(2), -absl::Hours(2)}) {
    SCOPED_TRACE(seems);
    Made(Up(), seems);
    const auto segment = Must(internal::Segment::Attach(location_, {}));
    const auto makers = Must(internal::MakeBootClock(*segment, internal::kUnknownBoot));
    for (const bool read_only : {true, false}) {
      const Dict dict = Must(Dict::Open(location_, {.read_only = read_only}));
      EXPECT_EQ(SegmentFile(path_).Word(kBootId) == internal::kUnknownBoot, read_only) << "a writer tells which boot";
      EXPECT_EQ(segment->header().clock_offset.load(), 0u);
      char value[1];
      ValueInfo info;
      ASSERT_OK(dict.Get("an hour", value, &info));
      EXPECT_GT(info.ttl, absl::Minutes(40));
      EXPECT_LE(info.ttl, absl::Hours(1));
      EXPECT_LT(std::abs(Must(internal::MakeBootClock(*segment, Must(internal::BootId())))->Now() - makers->Now()),
                int64_t{60'000'000'000});
    }
  }
}

TEST_F(MadeWithoutProc, AfterAShorterUptimeItIsAnotherBoot) {
  Made(Up() + absl::Hours(1), absl::Minutes(1));
  const Dict reader = Must(Dict::Open(location_, {.read_only = true}));
  EXPECT_EQ(SegmentFile(path_).Word(kClockOffset), 0u);
  Dict writer = Must(Dict::Open(location_));
  EXPECT_NE(SegmentFile(path_).Word(kBootId), internal::kUnknownBoot);
  const absl::Duration offset = absl::Nanoseconds(static_cast<int64_t>(SegmentFile(path_).Word(kClockOffset)));
  EXPECT_GT(offset, absl::Minutes(60));
  EXPECT_LT(offset, absl::Minutes(61) + absl::Seconds(30));
  ASSERT_OK(writer.Set("ten minutes", "v", {.ttl = absl::Minutes(10)}));
  ExpectTenMinutes(reader);
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
