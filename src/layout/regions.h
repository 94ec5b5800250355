// A mapped segment's regions by index. No index is checked here: callers bound whatever came from the segment.
#ifndef SEGDICT_SRC_LAYOUT_REGIONS_H_
#define SEGDICT_SRC_LAYOUT_REGIONS_H_

#include <cstdint>

#include "src/layout/geometry.h"
#include "src/layout/header.h"

namespace segdict::internal {

class Regions {
 public:
  Regions(char* base, const Geometry& geometry)
      : base_(base),
        groups_(reinterpret_cast<Group*>(base + geometry.groups_at)),
        slots_(base + geometry.slots_at),
        slot_size_(geometry.shape.slot_size),
        geometry_(geometry) {}

  const Geometry& geometry() const { return geometry_; }
  Header& header() const { return *reinterpret_cast<Header*>(base_); }
  WriterRecord& record(uint32_t r) const { return reinterpret_cast<WriterRecord*>(base_ + geometry_.records_at)[r]; }
  Group& group(uint64_t g) const { return groups_[g]; }
  Word& home_lock(uint64_t g) const { return reinterpret_cast<Word*>(base_ + geometry_.locks_at)[g]; }
  Slot& slot(uint64_t s) const { return *reinterpret_cast<Slot*>(slots_ + s * slot_size_); }
  Word& page_word(uint64_t p) const { return reinterpret_cast<Word*>(base_ + geometry_.page_words_at)[p]; }
  Word& block_word(uint64_t granule) const {
    return reinterpret_cast<Word*>(base_ + geometry_.block_words_at)[granule];
  }
  char* granule(uint64_t granule) const { return base_ + geometry_.pages_at + granule * kGranule; }

 private:
  char* base_;
  Group* groups_;
  char* slots_;
  uint64_t slot_size_;
  Geometry geometry_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_REGIONS_H_
