#include "tests/machine/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "src/base/hash.h"
#include "src/dict/boot_clock.h"
#include "src/segment/segment.h"

namespace segdict::test {
namespace {

constexpr uint64_t kSeed = 42;  // always the same, so that a case is the same in every run

internal::UniqueFd NewFile() {
  internal::UniqueFd fd(memfd_create("segdict-machine", MFD_CLOEXEC));
  if (!fd) std::abort();
  return fd;
}

}  // namespace

ManualClock& TheClock() {
  static ManualClock clock;
  return clock;
}

Options HandleOptions(const SegmentShape& shape) {
  Options options;
  if (!shape.own_clock) options.clock = &TheClock();
  // Nobody lives who could hold a lock. Only a lock that is left makes a call wait so long.
  options.wait_limit = absl::Seconds(60);
  return options;
}

std::string KeyOfHome(const SegmentShape& shape, uint64_t home, int n) {
  for (int i = 0;; ++i) {
    std::string key = "k" + std::to_string(i);
    if (internal::Reduce(internal::Hash(key, kSeed), shape.groups) == home && n-- == 0) return key;
  }
}

std::string NewSegment(const SegmentShape& shape) {
  internal::UniqueFd fd = NewFile();
  internal::FixedHeader fixed{};
  fixed.capacity = 1;
  fixed.groups = shape.groups;
  fixed.slot_size = shape.slot_size;
  fixed.records = 4;
  fixed.page_size = kPageSize;
  fixed.pages = shape.pages;
  fixed.ordered = shape.ordered ? 1 : 0;
  fixed.clock_id =
      static_cast<uint32_t>(shape.own_clock ? internal::ClockKind::kBoottime : internal::ClockKind::kCallers);
  fixed.seed = kSeed;
  Must(internal::Segment::Create(Descriptor(fd.get()), {}, fixed,
                                 [boot = Must(internal::BootId())](internal::Segment& made) {
                                   internal::InitializeBootClock(made.header(), boot);
                                 }));
  return BytesOf(fd.get());
}

internal::UniqueFd FileOf(const std::string& bytes) {
  internal::UniqueFd fd = NewFile();
  if (write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  return fd;
}

std::string BytesOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) std::abort();
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  return bytes;
}

std::ostream& operator<<(std::ostream& out, const EntryState& entry) {
  return out << entry.key << "=" << entry.value.substr(0, 20) << "(" << entry.value.size() << " bytes, hash "
             << std::hex << internal::Hash(entry.value, 0) << std::dec << ", type " << static_cast<int>(entry.type)
             << ", ttl " << absl::FormatDuration(entry.ttl) << ")";
}

State StateOf(const Dict& dict, const SegmentShape& shape) {
  State state;
  const auto add = [&](const Entry& entry) {
    const bool ends = entry.ttl != absl::InfiniteDuration();
    state.push_back({.key = std::string(entry.key),
                     .value = std::string(entry.value),
                     .type = entry.type,
                     .ttl = shape.own_clock && ends ? absl::Hours(1) : entry.ttl});
    return true;
  };
  if (shape.ordered) {
    EXPECT_OK(dict.ForEachOrdered(Direction::kForward, add));
  } else {
    EXPECT_OK(dict.ForEach(add));
    std::sort(state.begin(), state.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  }
  return state;
}

void ExpectUsable(Dict& dict, const SegmentShape& shape, const std::vector<std::string>& keys) {
  EXPECT_OK(dict.Lock());
  const std::string small(7, 's'), block(300, 'b');
  for (const std::string& key : keys) {
    EXPECT_OK(dict.Set(key, small)) << key;
    EXPECT_EQ(Value(dict, key), small) << key;
    EXPECT_OK(dict.Erase(key)) << key;
  }
  EXPECT_OK(dict.Clear());  // what has expired, too
  EXPECT_TRUE(IsSound(dict));
  EXPECT_EQ(dict.size(), 0u);
  for (uint64_t home = 0; home < shape.groups; ++home) {
    const std::string key = KeyOfHome(shape, home, 50);
    EXPECT_OK(dict.Set(key, block)) << key;
    EXPECT_OK(dict.Set(key, block + block)) << key;
    EXPECT_OK(dict.Erase(key)) << key;
  }
  const Stats stats = Must(dict.GetStats());
  for (const auto& size_class : stats.arena) {
    EXPECT_EQ(size_class.blocks_used, 0u) << "blocks of " << size_class.block_bytes << " bytes leaked";
  }
  EXPECT_EQ(stats.writers, 1u) << "a dead writer's record is still in use";
  // The whole arena by one value, and every slot.
  const std::string all((shape.pages - 1) * kPageSize + 1, 'a');
  EXPECT_OK(dict.Set("all", all)) << "pages leaked";
  EXPECT_EQ(Value(dict, "all"), all);
  EXPECT_OK(dict.Erase("all"));
  for (uint64_t i = 0; i < shape.groups * 15; ++i) EXPECT_OK(dict.Insert("f" + std::to_string(i), "f")) << i;
  EXPECT_TRUE(IsSound(dict));
  EXPECT_OK(dict.Clear());
  EXPECT_TRUE(IsSound(dict));
}

}  // namespace segdict::test
