// The default clock of a segment: CLOCK_BOOTTIME, carried on over reboots for segments in files.
//
// CLOCK_BOOTTIME starts anew at every boot. A segment remembers which boot its clock belongs to, and an offset. The
// first writer who attaches after a reboot sets them anew so that the segment's time goes on by what CLOCK_REALTIME
// says has passed; it does so under a kernel lock, boot id last, so a death in the middle is repaired by the next one.
// Within one boot nothing depends on CLOCK_REALTIME, so steps of the wall clock do not matter. Over a reboot they do: a
// wall clock that is behind by then (no battery) makes time go on from where it was earlier, at the earliest where the
// last boot began, and entries live longer.
//
// A handle that is read-only reckons for itself what a writer would set, until one has: then it goes by that.
//
// A process without /proc does not know its boot. It takes the segment's clock as it is; a segment that it makes is
// taken by the first writer who knows better to be of the same boot, unless CLOCK_BOOTTIME was further when it was
// made.
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
