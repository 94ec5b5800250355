// The header: the first 4096 bytes of a segment.
//
// Bytes 0..511 never change once the segment is published and carry a checksum; what changes stands behind them.
// Reserved bytes are zero and are checked, so that a later version can give them a meaning that this one refuses or, by
// its feature bits, may ignore.
#ifndef SEGDICT_SRC_LAYOUT_HEADER_H_
#define SEGDICT_SRC_LAYOUT_HEADER_H_

#include <cstddef>
#include <cstdint>

#include "src/base/hash.h"
#include "src/base/memory.h"
#include "src/layout/geometry.h"

namespace segdict::internal {

inline constexpr char kMagic[8] = {'s', 'e', 'g', 'd', 'i', 'c', 't', '\n'};
inline constexpr uint32_t kFormatVersion = 1;
// The format in a number: sizes and offsets that both sides must agree on.
inline constexpr uint64_t kFingerprint =
    Mix(sizeof(WriterRecord) + (sizeof(Group) << 12) + (offsetof(WriterRecord, image) << 24) +
        (static_cast<uint64_t>(kSlotsPerGroup) << 36) + (static_cast<uint64_t>(kGranule) << 44));

struct FixedHeader {
  char magic[8];
  uint32_t format_version;
  uint32_t header_size;
  uint64_t fingerprint;
  uint64_t features_incompatible;  // unknown bit: refuse
  uint64_t features_write;         // unknown bit: attach read-only at most
  uint64_t features_compatible;    // unknown bit: ignore
  uint32_t hash_id;
  uint32_t clock_id;  // ClockKind
  uint64_t seed;
  uint64_t hash_test;    // Hash("segdict", seed)
  uint64_t capacity;     // entries promised
  uint64_t value_bytes;  // payload bytes promised
  uint64_t groups;
  uint32_t slot_size;
  uint32_t records;
  uint32_t page_size;
  uint32_t ordered;  // 1: entries carry insertion numbers
  uint64_t pages;
  uint64_t segment_size;
  int64_t created_realtime;  // nanoseconds since 1970
  uint64_t reserved[46];
  uint64_t checksum;  // XXH3 of the 504 bytes before, seed 0
};
static_assert(sizeof(FixedHeader) == 512);
static_assert(offsetof(FixedHeader, seed) == 56 && offsetof(FixedHeader, checksum) == 504);

enum class ClockKind : uint32_t { kBoottime = 1, kCallers = 2 };

struct Header {
  FixedHeader fixed;
  // Bytes 512..: words that change, each in a line of its own where many write it.
  Word global_lock;  // owned word: the lock mode's
  Word reserved1[7];
  Word next_order;  // insertion numbers given out
  Word reserved2[7];
  Word expiry_used;   // 1 once any entry was given an expiry: writers then reclaim as they pass
  Word sweep_at;      // where the next Sweep goes on; a hint
  Word boot_id;       // hash of the boot that `clock_offset` belongs to
  Word clock_offset;  // what to add to CLOCK_BOOTTIME, nanoseconds; changes when the machine was rebooted
  Word clock_real;    // CLOCK_REALTIME less the segment's clock, when boot_id was set
  Word reserved3[3];
  char reserved_end[kHeaderSize - 512 - uint64_t{3} * 64];
};
static_assert(sizeof(Header) == kHeaderSize);
static_assert(offsetof(Header, global_lock) == 512 && offsetof(Header, next_order) == 576 &&
              offsetof(Header, expiry_used) == 640);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_HEADER_H_
