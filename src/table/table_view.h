// A table as its readers see it: lookups, visits of all entries, the size. Everything here stores nothing into the
// segment and waits for nothing (reader.h has how); what is given out lies in private memory.
//
// A get first tries what is usual, an entry whose words stand in its slot, unlocked and without expiry, and takes the
// general way for all others. A visit of all entries takes one home after the other, each consistently.
#ifndef SEGDICT_SRC_TABLE_TABLE_VIEW_H_
#define SEGDICT_SRC_TABLE_TABLE_VIEW_H_

#include <algorithm>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "segdict/options.h"
#include "src/table/home_scan.h"

namespace segdict::internal {

// An entry as a lookup found it, in private memory: what readers are given, and what decisions see.
struct Current {
  bool found = false;      // there is an entry, possibly expired
  bool live = false;       // and it has not expired
  std::string_view value;  // if live, and asked for
  uint8_t type = 0;
  int64_t expiry = kNever;
  Version version;
  uint64_t order = 0;
};

template <class Mem>
class TableView {
 public:
  TableView(const Regions& regions, uint64_t seed, bool ordered, Liveness* liveness, const Clock* clock)
      : c_(regions, seed, ordered, liveness, clock), reader_(c_), scan_(c_) {}
  TableView(const TableView&) = delete;
  TableView& operator=(const TableView&) = delete;

  const Context<Mem>& context() const { return c_; }
  const HomeScan<Mem>& scan() const { return scan_; }
  const Reader<Mem>& reader() const { return reader_; }

  using Sighting = typename Reader<Mem>::Sighting;

  struct Lookup {
    Found found;
    bool expired = false;
    bool copied = true;
  };

  // Looks `key` up. If the entry is live and its value is in a block, `reserve(bytes)` gives where to copy it to, or
  // null.
  template <class Reserve>
  Read LookUp(std::string_view key, const Probe& probe, Lookup* lookup, Reserve&& reserve) const {
    return reader_.Find(probe, &lookup->found, [&](const SlotCopy& copy) {
      if (!reader_.KeyEquals(copy, key)) return false;
      TakeOut(copy, lookup, reserve);
      return true;
    });
  }

  // Group words and preferred slot of a key that will be looked up soon.
  void Prefetch(const Probe& probe) const {
    Mem::Prefetch(&c_.regions.group(probe.home));
    Mem::Prefetch(&c_.regions.slot(probe.home * kSlotsPerGroup + probe.preferred));
  }

  // The entry of `key`: use(const Current&) is called once if it is there. `buffer` holds values that came from a
  // block. OK, NOT_FOUND (without text: it is frequent), ABORTED, DATA_LOSS.
  template <class Use>
  absl::Status Get(std::string_view key, std::string* buffer, Use&& use) const {
    const uint64_t hash = c_.HashOf(key);
    Prefetch(c_.Locate(hash));
    return GetAt(key, hash, buffer, use);
  }

  template <class Use>
  [[gnu::always_inline]] inline absl::Status GetAt(std::string_view key, uint64_t hash, std::string* buffer,
                                                   Use&& use) const {
    Sighting at;
    char value[kMaxSlotSize];
    switch (reader_.ReadUsual(key, c_.Locate(hash), &at, [&](size_t) { return value; })) {
      case Read::kFound:
        use(DescribePlain(at, value));
        return absl::OkStatus();
      case Read::kMissing:
        return {absl::StatusCode::kNotFound, ""};
      default:
        return GetUnusual(key, hash, buffer, use);
    }
  }

  // GetAt, for any entry.
  template <class Use>
  [[gnu::noinline]] absl::Status GetUnusual(std::string_view key, uint64_t hash, std::string* buffer, Use& use) const {
    Lookup lookup;
    const Read read = LookUp(key, c_.Locate(hash), &lookup, [&](uint64_t bytes) {
      buffer->resize(static_cast<size_t>(bytes));
      return buffer->data();
    });
    if (read == Read::kMissing || (read == Read::kFound && lookup.expired)) return {absl::StatusCode::kNotFound, ""};
    if (read != Read::kFound || !lookup.copied) return Failed(read);
    use(Describe(lookup, *buffer));
    return absl::OkStatus();
  }

  // Looks many keys up, the memory accesses of 32 at a time under way together. use(index, Current or null).
  template <class Use>
  absl::Status GetMany(std::span<const std::string_view> keys, std::string* buffer, Use&& use) const {
    constexpr size_t kBatch = 32;
    uint64_t hashes[kBatch];
    for (size_t at = 0; at < keys.size(); at += kBatch) {
      const size_t n = std::min(kBatch, keys.size() - at);
      // All groups under way, then all slots that their tags point at, then the lookups find both near.
      for (size_t i = 0; i < n; ++i) {
        hashes[i] = c_.HashOf(keys[at + i]);
        Mem::Prefetch(&c_.regions.group(c_.Locate(hashes[i]).home));
      }
      for (size_t i = 0; i < n; ++i) {
        const Probe probe = c_.Locate(hashes[i]);
        Mem::Prefetch(&c_.regions.slot(probe.home * kSlotsPerGroup + reader_.FirstCandidate(probe)));
      }
      for (size_t i = 0; i < n; ++i) {
        bool seen = false;
        absl::Status status = GetAt(keys[at + i], hashes[i], buffer, [&](const Current& entry) {
          seen = true;
          use(at + i, &entry);
        });
        if (!seen) {
          if (status.code() != absl::StatusCode::kNotFound) return status;
          use(at + i, nullptr);
        }
      }
    }
    return absl::OkStatus();
  }

  // An entry in private memory.
  struct Snapshot {
    std::string_view key, value;
    uint8_t type = 0;
    int64_t expiry = kNever;
    Version version;
    uint64_t order = 0;
    uint64_t hash = 0;
  };

  // What a visit has in private memory: the entries of one home, then of the next. All their bytes lie in one string,
  // so that it is the sum of them that decides how much memory is kept, not the longest value that was ever at each
  // place.
  class Snapshots {
   public:
    size_t size() const { return entries_.size(); }
    // Valid until the next Room().
    Snapshot operator[](size_t i) const {
      Snapshot entry = entries_[i].rest;
      entry.key = Key(entries_[i]);
      entry.value = {entry.key.data() + entry.key.size(), entries_[i].value_length};
      return entry;
    }
    void Clear() {
      entries_.clear();
      used_ = block_bytes_ = 0;
    }
    // Bytes of blocks that all entries together refer to.
    uint64_t block_bytes() const { return block_bytes_; }

   private:
    friend TableView;
    struct Entry {
      Snapshot rest;  // all but key and value, whose bytes begin at `at`: the string moves when it grows
      size_t at, key_length, value_length;
      uint64_t block_bytes;
    };
    struct Displaced {
      uint64_t home, slot;
      auto operator<=>(const Displaced&) const = default;
    };

    std::string_view Key(const Entry& entry) const { return {bytes_.data() + entry.at, entry.key_length}; }
    // Where to put the bytes of the next entry; another call gives the same place.
    char* Room(uint64_t bytes) {
      if (bytes_.size() - used_ < bytes) bytes_.resize(std::max<size_t>(used_ + bytes, 2 * bytes_.size()));
      return bytes_.data() + used_;
    }
    // Adds the entry whose bytes were put there, unless its key is among the others.
    void Add(const Snapshot& rest, size_t key_length, size_t value_length, uint64_t block_bytes) {
      const Entry entry{rest, used_, key_length, value_length, block_bytes};
      for (const Entry& other : entries_) {
        if (other.rest.hash == rest.hash && Key(other) == Key(entry)) return;
      }
      entries_.push_back(entry);
      used_ += key_length + value_length;
      block_bytes_ += block_bytes;
    }

    std::string bytes_;
    size_t used_ = 0;
    uint64_t block_bytes_ = 0;
    std::vector<Entry> entries_;
    // Where keys were outside of their home groups, once that was wanted; see ListDisplaced.
    bool displaced_listed_ = false;
    std::vector<Displaced> displaced_;
  };

  // Calls visit(const Snapshot&) for each live entry until it says false. Weakly consistent: each entry is whole; a key
  // that is there from beginning to end is visited exactly once (a key has one home, and a home is looked at as a
  // whole, again if a key was moved meanwhile); one that is inserted or erased meanwhile, at most once. No lock is held
  // during the visit.
  template <class Visit>
  absl::Status ForEach(Visit&& visit) const {
    Snapshots entries;
    for (uint64_t home = 0; home < c_.groups(); ++home) {
      if (absl::Status status = SnapshotHome(home, /*with_values=*/true, &entries); !status.ok()) return status;
      for (size_t i = 0; i < entries.size(); ++i) {
        if (!visit(static_cast<const Snapshot&>(entries[i]))) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  // The same in the order of insertion, or backwards. O(n log n) time and 16 bytes an entry of private memory; an entry
  // that is overwritten meanwhile is visited with its new value. REQUIRES: ordered.
  template <class Visit>
  absl::Status ForEachOrdered(Direction direction, Visit&& visit) const {
    struct Place {
      uint64_t order, hash;
    };
    std::vector<Place> places;
    Snapshots entries;
    for (uint64_t home = 0; home < c_.groups(); ++home) {
      if (absl::Status status = SnapshotHome(home, /*with_values=*/false, &entries); !status.ok()) return status;
      for (size_t i = 0; i < entries.size(); ++i) places.push_back({entries[i].order, entries[i].hash});
    }
    std::sort(places.begin(), places.end(), [direction](const Place& a, const Place& b) {
      return direction == Direction::kForward ? a.order < b.order : b.order < a.order;
    });
    for (const Place& place : places) {
      // Found again by its number: that is the same insertion, wherever it stands now.
      entries.Clear();
      Lookup lookup;
      const Read read = reader_.Find(c_.Locate(place.hash), &lookup.found, [&](const SlotCopy& copy) {
        if (copy.Order() != place.order) return false;
        Take(copy, /*with_value=*/true, &lookup, &entries);
        return true;
      });
      if (read == Read::kMissing || (read == Read::kFound && lookup.expired)) continue;
      if (read != Read::kFound || !lookup.copied) return Failed(read);
      Add(lookup, /*with_value=*/true, &entries);
      if (!visit(static_cast<const Snapshot&>(entries[0]))) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // Entries that are not yet reclaimed. O(writer records). Exact when nobody is writing.
  uint64_t Size() const {
    uint64_t sum = 0;  // modulo 2^64: shares may be negative
    for (uint32_t r = 0; r < c_.records(); ++r) sum += Mem::Load(c_.regions.record(r).share);
    return static_cast<int64_t>(sum) < 0 ? 0 : sum;
  }

  [[gnu::always_inline]] bool Expired(const SlotCopy& copy) const {
    return copy.HasExpiry() && c_.clock->Now() >= copy.Expiry();
  }

  // What a lookup that came to nothing is answered with.
  static absl::Status Failed(Read read) {
    if (read == Read::kContended) {
      return absl::AbortedError("the entry is being overwritten faster than it can be read; try again");
    }
    return absl::DataLossError("the segment is damaged: an entry is not in a state that any writer leaves; see Verify");
  }

 protected:
  // The entries of one home, consistently: no key twice, none left out that was there all the time. Their blocks
  // together are not larger than the arena, so whatever the segment says, it is not copied many times over.
  absl::Status SnapshotHome(uint64_t home, bool with_values, Snapshots* entries, bool expired_too = false) const {
    for (int tries = 0; tries < kMaxReadTries; ++tries) {
      entries->Clear();
      const uint64_t moves = owned::Version(Mem::Load(c_.regions.home_lock(home)));
      const uint32_t reach = c_.LoadGroup(home).ReachByte();
      if (ToTheEnd(reach) && !entries->displaced_listed_) {
        if (absl::Status status = ListDisplaced(entries); !status.ok()) return status;
        continue;
      }
      absl::Status status;
      bool changed = false;
      VisitSlots(home, reach, *entries, [&](uint64_t s) {
        Lookup lookup;
        const Read read = scan_.ReadOfHome(home, s, &lookup.found,
                                           [&](const SlotCopy& copy) { Take(copy, with_values, &lookup, entries); });
        if (read == Read::kMissing || (read == Read::kFound && lookup.expired && !expired_too)) return true;
        if (read != Read::kFound || !lookup.copied) {
          status = Failed(read);
          return false;
        }
        // Erased and inserted again while this home was looked at, it may stand in two places: the first counts.
        Add(lookup, with_values, entries);
        if (entries->block_bytes() <= arena_bytes()) return true;
        changed = UnchangedBlockBytes(*entries) <= arena_bytes();
        if (!changed) status = Failed(Read::kCorrupt);
        return false;
      });
      if (!status.ok()) return status;
      if (changed) continue;
      if (owned::Version(Mem::Load(c_.regions.home_lock(home))) == moves) return absl::OkStatus();
    }
    return Failed(Read::kContended);
  }

  // What was sighted, its value in `value`.
  static Current DescribePlain(const Sighting& at, const char* value) {
    Current current;
    current.found = current.live = true;
    current.value = {value, meta::PlainValueLength(at.meta)};
    current.type = meta::TypeOf(at.meta);
    current.version = {at.slot, owned::Version(at.seq)};
    current.order = at.order;
    return current;
  }
  // What was found; `buffer` has its value if that came from a block and was asked for. Views of both.
  static Current Describe(const Lookup& found, std::string_view buffer) {
    const SlotCopy& copy = found.found.copy;
    Current current;
    current.found = true;
    current.live = !found.expired;
    if (current.live) current.value = copy.ValueInBlock() ? buffer : copy.InlineValue();
    current.type = copy.Type();
    current.expiry = copy.Expiry();
    current.version = {found.found.slot, owned::Version(found.found.seq)};
    current.order = copy.Order();
    return current;
  }

  Context<Mem> c_;
  Reader<Mem> reader_;
  HomeScan<Mem> scan_;

 private:
  template <class Reserve>
  void TakeOut(const SlotCopy& copy, Lookup* lookup, Reserve&& reserve) const {
    // The clock is read between the words and the last look at seq: later, a key that was extended meanwhile could seem
    // absent.
    lookup->expired = Expired(copy);
    lookup->copied = true;
    if (copy.ValueInBlock() && !lookup->expired) {
      if (char* to = reserve(copy.value_length); to != nullptr) lookup->copied = reader_.CopyValue(copy, to);
    }
  }

  static bool ToTheEnd(uint32_t reach) { return kReachSteps[reach & 15] == ~0u; }

  // Calls visit(slot) for every slot that may hold a key of `home`, which has the reach byte `reach`, until it says
  // false. The home group comes first: keys are moved there.
  template <class Visit>
  void VisitSlots(uint64_t home, uint32_t reach, const Snapshots& of, Visit&& visit) const {
    const uint64_t steps = ToTheEnd(reach) ? 0 : c_.ReachSteps(reach);
    ProbeSequence sequence(home, c_.groups());
    for (uint64_t d = 0; d <= steps; ++d, sequence.Next()) {
      const GroupView view = c_.LoadGroup(sequence.group());
      for (uint32_t occupied = ~view.Match(0) & 0x7fff; occupied != 0; occupied &= occupied - 1) {
        if (!visit(sequence.group() * kSlotsPerGroup + static_cast<uint32_t>(__builtin_ctz(occupied)))) return;
      }
    }
    if (!ToTheEnd(reach)) return;
    auto at = std::lower_bound(of.displaced_.begin(), of.displaced_.end(), typename Snapshots::Displaced{home, 0});
    for (; at != of.displaced_.end() && at->home == home; ++at) {
      if (!visit(at->slot)) return;
    }
  }

  // Lists the slots of all keys outside of their home groups. Homes whose reach says "to the end" have them looked up
  // there instead of looking through the whole table one after the other: in a table that is full to the last slot one
  // home of some hundreds is so, in a hostile one each may say so. A key that is there all the time is found although
  // the list was made earlier: it stands where it stood, or was moved into its home group.
  absl::Status ListDisplaced(Snapshots* to) const {
    for (uint64_t g = 0; g < c_.groups(); ++g) {
      for (uint32_t occupied = ~c_.LoadGroup(g).Match(0) & 0x7fff; occupied != 0; occupied &= occupied - 1) {
        const uint64_t s = g * kSlotsPerGroup + static_cast<uint32_t>(__builtin_ctz(occupied));
        Found found;
        uint64_t home = g;
        const Read read =
            reader_.ReadSlot(s, &found, [&](const SlotCopy& copy) { home = c_.Locate(reader_.HashOfKey(copy)).home; });
        if (read == Read::kMissing) continue;
        if (read != Read::kFound) return Failed(read);
        if (home != g) to->displaced_.push_back({home, s});
      }
    }
    std::sort(to->displaced_.begin(), to->displaced_.end());
    to->displaced_listed_ = true;
    return absl::OkStatus();
  }

  uint64_t arena_bytes() const { return c_.arena.granules() * kGranule; }

  // Bytes of the blocks of those entries that have not changed since they were read. In a sound segment that is not
  // more than the arena has, whatever goes on meanwhile: blocks of two entries share bytes only if one was taken after
  // the other was freed, and a block is freed only after its slot has another version. So whoever has read the later
  // entry sees that the earlier one has changed: each step from that change to the later commit is ordered (a free
  // word, a compare-and-swap that takes it, the commit). An entry under a lock is no exception: it has its block until
  // the version changes; nor is one in the middle of a move, whose two slots have the same key, which counts once.
  uint64_t UnchangedBlockBytes(const Snapshots& entries) const {
    uint64_t sum = 0;
    for (const typename Snapshots::Entry& entry : entries.entries_) {
      const Version& version = entry.rest.version;
      if (owned::Version(Mem::Load(c_.regions.slot(version.slot).seq)) == version.seq) sum += entry.block_bytes;
    }
    return sum;
  }

  // A ReadSlot body: puts key and value behind the entries in `to`, to be added if this read counts.
  void Take(const SlotCopy& copy, bool with_value, Lookup* lookup, Snapshots* to) const {
    lookup->expired = Expired(copy);
    const uint64_t value_length = ValueLength(*lookup, copy, with_value);
    char* const key = to->Room(copy.key_length + value_length);
    lookup->copied = !copy.KeyInBlock() || c_.arena.CopyOut(copy.granule, copy.BlockLength(), 0, key, copy.key_length);
    if (!copy.KeyInBlock()) std::memcpy(key, copy.bytes(), copy.key_length);
    if (lookup->copied && value_length > 0) lookup->copied = reader_.CopyValue(copy, key + copy.key_length);
  }
  void Add(const Lookup& lookup, bool with_value, Snapshots* to) const {
    const SlotCopy& copy = lookup.found.copy;
    Snapshot entry;
    entry.type = copy.Type();
    entry.expiry = copy.Expiry();
    entry.order = copy.Order();
    entry.version = {lookup.found.slot, owned::Version(lookup.found.seq)};
    entry.hash = c_.HashOf({to->Room(copy.key_length), copy.key_length});
    to->Add(entry, copy.key_length, ValueLength(lookup, copy, with_value),
            copy.ValueInBlock() ? copy.BlockLength() : 0);
  }
  static size_t ValueLength(const Lookup& lookup, const SlotCopy& copy, bool with_value) {
    return with_value && !lookup.expired ? static_cast<size_t>(copy.value_length) : 0;
  }
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_TABLE_VIEW_H_
