// What every part of the table works on: the mapped regions, the arena, who is alive, what time it is.
#ifndef SEGDICT_SRC_TABLE_CONTEXT_H_
#define SEGDICT_SRC_TABLE_CONTEXT_H_

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "segdict/clock.h"
#include "src/arena/arena.h"
#include "src/base/hash.h"
#include "src/layout/regions.h"
#include "src/sync/liveness.h"

namespace segdict::internal {

// Where a key is looked for, from its hash: the home group, the slot in it that is tried first, and the tag.
struct Probe {
  uint64_t home;
  uint32_t tag;        // 1..255
  uint32_t preferred;  // 0..14
};

// The groups of one home's probe sequence, in order: home + i * step modulo the number of groups, a prime, so that
// every group comes once. The step depends on the home alone, so all keys of a home share one sequence and its reach
// fits in one byte of the home.
class ProbeSequence {
 public:
  ProbeSequence(uint64_t home, uint64_t groups)
      : group_(home), step_(groups == 1 ? 0 : 1 + Reduce(Mix(home + 1), groups - 1)), groups_(groups) {}
  uint64_t group() const { return group_; }
  void Next() {
    group_ += step_;
    if (group_ >= groups_) group_ -= groups_;
  }
  void Previous() { group_ = group_ >= step_ ? group_ - step_ : group_ + groups_ - step_; }

 private:
  uint64_t group_, step_, groups_;
};

template <class Mem>
struct Context {
  Context(const Regions& r, uint64_t hash_seed, bool is_ordered, Liveness* live, const Clock* c)
      : regions(r),
        arena(r),
        liveness(live),
        clock(c),
        seed(hash_seed),
        ordered(is_ordered),
        plain_flags(meta::PlainFlags(is_ordered)),
        plain_words(r.geometry().slot_words - (is_ordered ? 1 : 0)) {}

  Regions regions;
  Arena<Mem> arena;
  Liveness* liveness;  // null for a read-only handle
  const Clock* clock;
  uint64_t seed;
  bool ordered;
  uint64_t plain_flags;  // of a plain entry's meta
  uint32_t plain_words;  // that a plain entry has for meta, key and value

  const Geometry& geometry() const { return regions.geometry(); }
  uint64_t groups() const { return geometry().shape.groups; }
  uint32_t records() const { return geometry().shape.records; }

  [[gnu::always_inline]] inline Probe Locate(uint64_t hash) const {
    // The home from the high bits; tag and preferred slot from the low ones.
    return {.home = Reduce(hash, groups()),
            .tag = static_cast<uint32_t>(((hash & 0xff) * 255) >> 8) + 1,
            .preferred = static_cast<uint32_t>(((hash >> 8 & 0xff) * kSlotsPerGroup) >> 8)};
  }
  [[gnu::always_inline]] inline uint64_t HashOf(std::string_view key) const { return Hash(key, seed); }

  // The word with the reach first: whoever sees there that a key is not displaced then sees, in the other word too,
  // every tag that was set before (a move sets the tag at home, then recomputes the reach).
  [[gnu::always_inline]] inline GroupView LoadGroup(uint64_t g) const {
    GroupView view;
    view.words[1] = Mem::Load(regions.group(g).words[1]);
    view.words[0] = Mem::Load(regions.group(g).words[0]);
    return view;
  }

  // How many groups behind the home a reach byte asks to look through.
  uint64_t ReachSteps(uint32_t reach) const { return std::min<uint64_t>(kReachSteps[reach & 15], groups() - 1); }

  // Sets one byte of a group's words. Other bytes have other owners, hence CAS; the caller owns this byte, so it ends.
  void SetGroupByte(uint64_t g, uint32_t byte, uint32_t value) const {
    Word& word = regions.group(g).words[byte / 8];
    const uint32_t shift = byte % 8 * 8;
    uint64_t now = Mem::Load(word);
    do {
      if ((now >> shift & 0xff) == value) return;
    } while (!Mem::Cas(word, now, (now & ~(0xffull << shift)) | static_cast<uint64_t>(value) << shift));
  }
  void SetTag(uint64_t slot, uint32_t tag) const {
    SetGroupByte(slot / kSlotsPerGroup, static_cast<uint32_t>(slot % kSlotsPerGroup), tag);
  }
  uint32_t LoadTag(uint64_t slot) const {
    return LoadGroup(slot / kSlotsPerGroup).Tag(static_cast<uint32_t>(slot % kSlotsPerGroup));
  }
  void SetReach(uint64_t g, uint32_t reach) const { SetGroupByte(g, kSlotsPerGroup, reach); }
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_CONTEXT_H_
