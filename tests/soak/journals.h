// A look into the writers' records, only to aim at a moment: of all that a worker does, the few dozen stores between
// the beginning of an operation and its end are what a death must not spoil, and they are a small part of its time.
#ifndef SEGDICT_TESTS_SOAK_JOURNALS_H_
#define SEGDICT_TESTS_SOAK_JOURNALS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "segdict/location.h"
#include "src/layout/regions.h"
#include "src/segment/segment.h"

namespace segdict::soak {

class Journals {
 public:
  enum class Depth { kIdle, kJournaled, kShown };

  explicit Journals(std::unique_ptr<internal::Segment> segment)
      : segment_(std::move(segment)), regions_(segment_->base(), segment_->geometry()) {}

  // How far into an operation a process is; of one that stands still it stays true.
  Depth Of(pid_t process) const {
    for (uint32_t r = 0; r < records(); ++r) {
      if (InUse(r) && ProcessOf(r) == process) return DepthOf(r);
    }
    return Depth::kIdle;
  }

  // Some process that looks as if it were that far: as a rule the scheduler has put it aside there. 0: none.
  pid_t Find(Depth depth) const {
    for (uint32_t r = 0; r < records(); ++r) {
      if (InUse(r) && DepthOf(r) == depth) return ProcessOf(r);
    }
    return 0;
  }

 private:
  uint32_t records() const { return segment_->geometry().shape.records; }
  bool InUse(uint32_t r) const { return regions_.record(r).in_use.load() != 0; }
  pid_t ProcessOf(uint32_t r) const { return static_cast<pid_t>(regions_.record(r).process.load()); }
  Depth DepthOf(uint32_t r) const {
    const internal::WriterRecord& record = regions_.record(r);
    if (record.op.load() == 0) return Depth::kIdle;
    return record.shown.load() == 0 ? Depth::kJournaled : Depth::kShown;
  }

  std::unique_ptr<internal::Segment> segment_;
  const internal::Regions regions_;
};

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_JOURNALS_H_
