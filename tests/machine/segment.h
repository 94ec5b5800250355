// Small segments for the tracer's victims: made in a memfd, kept as bytes, and copied for each victim. What a dict
// shows to its readers, and whether it is whole.
#ifndef SEGDICT_TESTS_MACHINE_SEGMENT_H_
#define SEGDICT_TESTS_MACHINE_SEGMENT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "segdict/dict.h"
#include "src/base/descriptor.h"
#include "src/layout/geometry.h"
#include "tests/testing.h"

namespace segdict::test {

// What a segment is made with; small, so that the tracer can compare it after each instruction.
struct SegmentShape {
  uint64_t groups = 3;
  uint32_t slot_size = 64;
  uint64_t pages = 8;
  bool ordered = false;
  bool own_clock = false;  // CLOCK_BOOTTIME instead of TheClock
};
inline constexpr uint32_t kPageSize = 4096;

// The clock of all handles here: it stands still unless a test moves it.
ManualClock& TheClock();
Options HandleOptions(const SegmentShape& shape);

// The n-th key (from 0) whose home is group `home`.
std::string KeyOfHome(const SegmentShape& shape, uint64_t home, int n);

// An empty segment.
std::string NewSegment(const SegmentShape& shape);
// A file of its own with these bytes in it.
internal::UniqueFd FileOf(const std::string& bytes);
std::string BytesOf(int fd);

struct EntryState {
  std::string key;
  std::string value;
  Type type;
  absl::Duration ttl;  // of a dict with its own clock: only whether it ends
  bool operator==(const EntryState&) const = default;
};
// By key; in the order of insertion if the dict keeps that.
using State = std::vector<EntryState>;
std::ostream& operator<<(std::ostream& out, const EntryState& entry);

// What a reader sees now, whatever a writer is in the middle of.
State StateOf(const Dict& dict, const SegmentShape& shape);

// Writes, erases and fills everything there is to write, and leaves the dict empty. Failures tell of locks, slots,
// blocks or pages that a dead process left.
void ExpectUsable(Dict& dict, const SegmentShape& shape, const std::vector<std::string>& keys);

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_MACHINE_SEGMENT_H_
