// Where everything lies in a segment. A handle computes this from the header's few parameters when it attaches, checks
// it against the file, and never reads a size or an offset from the segment again.
//
//   header | writer records | groups | home locks | slots | page words | block words | pages
//
// Every region starts at a multiple of 64 bytes, slots and pages at a multiple of 4096.
#ifndef SEGDICT_SRC_LAYOUT_GEOMETRY_H_
#define SEGDICT_SRC_LAYOUT_GEOMETRY_H_

#include <cstdint>

#include "src/layout/arena_words.h"
#include "src/layout/group.h"
#include "src/layout/owned_word.h"
#include "src/layout/slot.h"
#include "src/layout/writer_record.h"

namespace segdict::internal {

inline constexpr uint64_t kHeaderSize = 4096;
inline constexpr uint64_t kMaxSlots = 1ull << 32;  // what a block word can name
inline constexpr uint64_t kMaxPages = 1ull << 22;  // granules of the arena fit 32 bits: 256 GiB with pages of 64 KiB

// The parameters that decide a segment's geometry; stored in the header.
struct Shape {
  uint64_t groups = 0;     // 1, or a prime
  uint32_t slot_size = 0;  // 32, 64 or 128
  uint32_t records = 0;    // writer records, 1..32768
  uint32_t page_size = 0;  // 4096, 16384 or 65536; 0 exactly if there are no pages
  uint64_t pages = 0;

  bool operator==(const Shape&) const = default;
};

struct Geometry {
  Shape shape;
  uint64_t slots;
  uint32_t slot_words;  // meta and payload words of a slot
  uint32_t granules_per_page;
  uint64_t records_at, groups_at, locks_at, slots_at, page_words_at, block_words_at, pages_at, size;

  // False if no segment can have this shape; nothing overflows whatever the numbers.
  static bool Compute(const Shape& shape, Geometry* geometry) {
    Geometry& g = *geometry;
    g.shape = shape;
    if (shape.groups == 0 || shape.groups > kMaxSlots / kSlotsPerGroup) return false;
    if (shape.slot_size != 32 && shape.slot_size != 64 && shape.slot_size != 128) return false;
    if (shape.records == 0 || shape.records > kMaxRecords) return false;
    if (shape.page_size != 4096 && shape.page_size != 16384 && shape.page_size != 65536) return false;
    if (shape.pages == 0 || shape.pages > kMaxPages) return false;
    g.slots = shape.groups * kSlotsPerGroup;
    g.slot_words = shape.slot_size / 8 - 1;
    g.granules_per_page = shape.page_size / kGranule;
    uint64_t at = kHeaderSize;
    const auto place = [&at](uint64_t bytes, uint64_t alignment) {
      at = (at + alignment - 1) / alignment * alignment;
      const uint64_t here = at;
      at += bytes;
      return here;
    };
    g.records_at = place(shape.records * sizeof(WriterRecord), 64);
    g.groups_at = place(shape.groups * sizeof(Group), 64);
    g.locks_at = place(shape.groups * sizeof(Word), 64);
    g.slots_at = place(g.slots * shape.slot_size, 4096);
    g.page_words_at = place(shape.pages * sizeof(Word), 64);
    g.block_words_at = place(shape.pages * g.granules_per_page * sizeof(Word), 64);
    g.pages_at = place(shape.pages * shape.page_size, 4096);
    g.size = place(0, 4096);
    return true;
  }
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_GEOMETRY_H_
