// The default clock of a segment: CLOCK_BOOTTIME, carried on over reboots for segments in files.
//
// CLOCK_BOOTTIME starts anew at every boot. A segment remembers which boot its clock belongs to, and an offset. The
// first writer who attaches after a reboot sets them anew so that the segment's time goes on by what CLOCK_REALTIME
// says has passed (never backwards); it does so under a kernel lock, boot id last, so a death in the middle is repaired
// by the next one. Within one boot nothing depends on CLOCK_REALTIME, so steps of the wall clock do not matter.
#ifndef SEGDICT_SRC_DICT_BOOT_CLOCK_H_
#define SEGDICT_SRC_DICT_BOOT_CLOCK_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "segdict/clock.h"
#include "src/segment/segment.h"

namespace segdict::internal {

// A number for this boot, never 0; kUnknownBoot where there is no /proc to tell. An error is no other boot: who took it
// for one would set the clock of all.
absl::StatusOr<uint64_t> BootId();
inline constexpr uint64_t kUnknownBoot = 1;

// Sets a new segment's clock words. REQUIRES: nobody else has the segment yet.
void InitializeBootClock(Header& header, uint64_t boot);

// The clock of a segment that was just attached; sets the segment's clock words first if it was made before the last
// boot.
absl::StatusOr<std::unique_ptr<Clock>> MakeBootClock(const Segment& segment, uint64_t boot);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_DICT_BOOT_CLOCK_H_
