// The segment that segdict's tables have in a group, and the shared memory that it lies in: the hardware's lines are
// measured over as many bytes, mapped the same way.
#ifndef SEGDICT_BENCH_SEGMENT_H_
#define SEGDICT_BENCH_SEGMENT_H_

#include <cstdint>

#include "bench/table.h"
#include "segdict/options.h"

namespace segdict::bench {

// An empty file of shared memory without a name: a memfd; for huge pages one in a tmpfs that is mounted nowhere and
// gives them always, if this process may make one.
int SharedFile(bool huge_pages);

Options SegmentOptions(const Setup& setup);

// The size of a segment with those options; of the segment in a file.
uint64_t SegmentBytes(const Setup& setup);
uint64_t SegmentBytes(int descriptor);

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_SEGMENT_H_
