// The keys of one home group, found by looking at every slot within its reach. For what must know all
// keys of a home rather than one: exact reaches, iteration, pulling keys home, recovery. Some of it happens under the
// home lock, so nothing here allocates.
#ifndef SEGDICT_SRC_TABLE_HOME_SCAN_H_
#define SEGDICT_SRC_TABLE_HOME_SCAN_H_

#include <cstdint>

#include "src/table/reader.h"

namespace segdict::internal {

template <class Mem>
class HomeScan {
 public:
  explicit HomeScan(const Context<Mem>& context) : c_(context), reader_(context) {}

  // Reads slot `s`; kFound only if it holds a key whose home is `home`. `body` as in Reader::ReadSlot, called only for
  // such keys.
  template <class Body>
  Read ReadOfHome(uint64_t home, uint64_t s, Found* found, Body&& body) const {
    bool ours = false;
    const Read read = reader_.ReadSlot(s, found, [&](const SlotCopy& copy) {
      ours = c_.Locate(reader_.HashOfKey(copy)).home == home;
      if (ours) body(copy);
    });
    return read == Read::kFound && !ours ? Read::kMissing : read;
  }

  // Calls visit(found) for each key of `home`, which has the reach byte `reach`, in the other group `g` until it says
  // false. False if it did. Only slots are read whose tags the reach's filter lets pass. Those that cannot be read
  // (corrupt, or contended without end) are passed by and counted in `unread`.
  template <class Visit>
  bool VisitGroup(uint64_t home, uint32_t reach, uint64_t g, uint64_t displacement, int* unread, Visit&& visit) const {
    const GroupView view = c_.LoadGroup(g);
    for (uint32_t occupied = ~view.Match(0) & 0x7fff; occupied != 0; occupied &= occupied - 1) {
      const auto i = static_cast<uint32_t>(__builtin_ctz(occupied));
      if (!ReachMayHold(reach, view.Tag(i))) continue;
      Found found;
      const uint64_t s = g * kSlotsPerGroup + i;
      const Read read = ReadOfHome(home, s, &found, [](const SlotCopy&) {});
      if (read == Read::kContended || read == Read::kCorrupt) ++*unread;
      if (read != Read::kFound) continue;
      found.displacement = displacement;
      if (!visit(found)) return false;
    }
    return true;
  }

  // Calls visit(found) for the displaced keys of `home`, whose reach byte is `reach`, the farthest first, until it says
  // false. Returns how many slots could not be read.
  template <class Visit>
  int VisitDisplaced(uint64_t home, uint32_t reach, Visit&& visit) const {
    ProbeSequence sequence(home, c_.groups());
    const uint64_t from = c_.ReachSteps(reach);
    for (uint64_t d = 0; d < from; ++d) sequence.Next();
    int unread = 0;
    for (uint64_t d = from; d >= 1; --d, sequence.Previous()) {
      if (!VisitGroup(home, reach, sequence.group(), d, &unread, visit)) break;
    }
    return unread;
  }

  // The reach byte that the keys of `home` need now, if none lies beyond the present one; the present one if a slot
  // could not be read: too far is only slow.
  uint32_t ComputeReach(uint64_t home) const {
    const uint32_t now = c_.LoadGroup(home).ReachByte();
    uint32_t reach = 0;
    const int unread = VisitDisplaced(home, now, [&](const Found& found) {
      reach = ExtendReach(reach, found.displacement, c_.LoadTag(found.slot));
      return true;
    });
    return unread > 0 ? now : reach;
  }

  // Sets the home's reach to what its keys need, at most what it was. REQUIRES: its home lock is held by the caller (or
  // by the record that the caller recovers). Idempotent.
  void LowerReach(uint64_t home) const {
    if (c_.LoadGroup(home).ReachByte() != 0) c_.SetReach(home, ComputeReach(home));
  }

 private:
  const Context<Mem>& c_;
  Reader<Mem> reader_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_HOME_SCAN_H_
