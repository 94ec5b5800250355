#include "src/dict/boot_clock.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "src/base/hash.h"
#include "src/sync/liveness.h"

namespace segdict::internal {
namespace {

using Mem = RealMemory;

int64_t Read(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

class BootClock : public Clock {
 public:
  explicit BootClock(int64_t offset) : offset_(offset) {}
  int64_t Now() const override { return SaturatingAdd(Read(CLOCK_BOOTTIME), offset_); }

 private:
  int64_t offset_;
};

// Of a handle that could not set the segment's clock: it goes by its own offset until somebody has set the segment's
// for this boot. Who does not know the boot always goes by the segment's.
class FollowingClock : public Clock {
 public:
  FollowingClock(const Header& header, uint64_t boot, int64_t own_offset)
      : header_(header), boot_(boot), own_offset_(own_offset) {}
  int64_t Now() const override {
    const bool set = boot_ == kUnknownBoot || Mem::Load(header_.boot_id) == boot_;
    return SaturatingAdd(Read(CLOCK_BOOTTIME),
                         set ? static_cast<int64_t>(Mem::Load(header_.clock_offset)) : own_offset_);
  }

 private:
  const Header& header_;
  const uint64_t boot_;
  const int64_t own_offset_;
};

int64_t Difference(int64_t a, int64_t b) {
  int64_t difference;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b < 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

// The offset that lets the segment's time go on by the real time that has passed.
int64_t OffsetAfterReboot(const Header& header) {
  const auto real_less_segment = static_cast<int64_t>(Mem::Load(header.clock_real));
  const auto old_offset = static_cast<int64_t>(Mem::Load(header.clock_offset));
  const int64_t segment_now = Difference(Read(CLOCK_REALTIME), real_less_segment);
  // Time goes on from at least where the last boot began, also if the wall clock was set back.
  return SaturatingAdd(std::max(segment_now, old_offset), -Read(CLOCK_BOOTTIME));
}

// The offset for this boot of a segment whose clock is of another, or of an unknown one: then it is taken for this one,
// within which the wall clock must not matter, unless it is earlier now than when the segment was made.
int64_t OffsetForThisBoot(const Segment& segment) {
  const Header& header = segment.header();
  if (Mem::Load(header.boot_id) == kUnknownBoot) {
    const auto offset = static_cast<int64_t>(Mem::Load(header.clock_offset));
    const int64_t made =
        Difference(segment.fixed().created_realtime, static_cast<int64_t>(Mem::Load(header.clock_real)));
    if (SaturatingAdd(Read(CLOCK_BOOTTIME), offset) >= made) return offset;
  }
  return OffsetAfterReboot(header);
}

}  // namespace

absl::StatusOr<uint64_t> BootId() {
  static std::atomic<uint64_t> known{0};
  if (const uint64_t id = known.load(std::memory_order_relaxed); id != 0) return id;
  constexpr char kPath[] = "/proc/sys/kernel/random/boot_id";
  char text[64];
  UniqueFd fd(NoEintr([&] { return open(kPath, O_RDONLY | O_CLOEXEC); }));
  if (!fd && (errno == ENOENT || errno == EACCES)) return kUnknownBoot;
  const ssize_t got = fd ? NoEintr([&] { return read(fd.get(), text, sizeof(text)); }) : -1;
  if (got < 0) return SystemError(errno, absl::StrCat("cannot read ", kPath));
  const uint64_t id = got < 36 ? kUnknownBoot : Hash(std::string_view(text, 36), 0) | 2;
  known.store(id, std::memory_order_relaxed);
  return id;
}

void InitializeBootClock(Header& header, uint64_t boot) {
  Mem::Store(header.clock_offset, 0);
  Mem::Store(header.clock_real, static_cast<uint64_t>(Read(CLOCK_REALTIME) - Read(CLOCK_BOOTTIME)));
  Mem::Store(header.boot_id, boot);
}

absl::StatusOr<std::unique_ptr<Clock>> MakeBootClock(const Segment& segment, uint64_t boot) {
  Header& header = segment.header();
  // Who does not know its own boot cannot tell it from another, and takes the segment's clock as it is.
  if (boot == kUnknownBoot) return std::make_unique<FollowingClock>(header, boot, 0);
  // The boot id first: it is stored last, so whoever sees this boot's also sees its offset.
  const bool this_boot = Mem::Load(header.boot_id) == boot;
  int64_t offset = static_cast<int64_t>(Mem::Load(header.clock_offset));
  if (this_boot) return std::make_unique<BootClock>(offset);
  if (segment.read_only()) return std::make_unique<FollowingClock>(header, boot, OffsetForThisBoot(segment));
  const auto set = [&] {
    if (Mem::Load(header.boot_id) == boot) {
      offset = static_cast<int64_t>(Mem::Load(header.clock_offset));
      return absl::OkStatus();
    }
    offset = OffsetForThisBoot(segment);
    // A death between these stores: the boot id is still the old one, and the next one does it again, from the same
    // clock_real.
    Mem::Store(header.clock_offset, static_cast<uint64_t>(offset));
    Mem::Store(header.boot_id, boot);
    return absl::OkStatus();
  };
  absl::Status status = WithSegmentLock([&] { return segment.Reopen(); }, 0, set);
  if (!status.ok()) return status;
  return std::make_unique<BootClock>(offset);
}

}  // namespace segdict::internal
