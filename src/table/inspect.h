// Looking at the whole table: statistics, and verification of every invariant. Reads only.
#ifndef SEGDICT_SRC_TABLE_INSPECT_H_
#define SEGDICT_SRC_TABLE_INSPECT_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "segdict/options.h"
#include "src/table/table_view.h"

namespace segdict::internal {

template <class Mem>
class Inspector {
 public:
  explicit Inspector(const TableView<Mem>& table) : table_(table), c_(table.context()), reader_(table.reader()) {}

  // O(slots + arena). `capacity` and `huge_page_bytes` are the caller's to fill in.
  Stats CountStats() const {
    Stats stats;
    const Geometry& g = c_.geometry();
    stats.slots = g.slots;
    stats.segment_bytes = g.size;
    uint64_t groups_of_hits = 0;
    for (uint64_t s = 0; s < g.slots; ++s) {
      Found found;
      Probe probe{};
      bool expired = false;
      const Read read = reader_.ReadSlot(s, &found, [&](const SlotCopy& copy) {
        probe = c_.Locate(reader_.HashOfKey(copy));
        expired = table_.Expired(copy);
      });
      if (read != Read::kFound) continue;
      ++(expired ? stats.entries_expired : stats.entries_live);
      const uint64_t steps = StepsTo(probe.home, s / kSlotsPerGroup);
      stats.displaced += steps > 0 ? 1 : 0;
      groups_of_hits += steps + 1;
    }
    const uint64_t entries = stats.entries_live + stats.entries_expired;
    stats.load = static_cast<double>(entries) / static_cast<double>(g.slots);
    stats.groups_per_hit = entries == 0 ? 0 : static_cast<double>(groups_of_hits) / static_cast<double>(entries);
    uint64_t quarter_groups_of_misses = 0;
    for (uint64_t home = 0; home < c_.groups(); ++home) {
      const uint32_t reach = c_.LoadGroup(home).ReachByte();
      const uint64_t steps = c_.ReachSteps(reach);
      // Of four misses, as many look further as the filter has bits.
      quarter_groups_of_misses += 4 + static_cast<uint64_t>(__builtin_popcount(reach >> 4)) * steps;
      if (steps > stats.max_reach) stats.max_reach = steps;
    }
    stats.groups_per_miss = static_cast<double>(quarter_groups_of_misses) / 4 / static_cast<double>(c_.groups());

    const SizeClasses& classes = c_.arena.classes();
    stats.page_bytes = g.shape.page_size;
    stats.pages = g.shape.pages;
    stats.arena.resize(classes.count());
    uint64_t last_page = ~uint64_t{0};
    c_.arena.ForEachBlock(
        [&](uint64_t page, const PageWord& word, uint64_t, const BlockWord& block) {
          Stats::ArenaClass& of_class = stats.arena[word.size_class];
          if (page != last_page) ++of_class.pages;
          last_page = page;
          ++(block.state == BlockState::kFree || block.state == BlockState::kRetired ? of_class.blocks_free
                                                                                     : of_class.blocks_used);
        },
        [&](uint64_t, const PageWord&) { ++stats.pages_free; });
    for (uint32_t i = 0; i < classes.count(); ++i) stats.arena[i].block_bytes = classes.size(i);

    stats.max_writers = c_.records();
    for (uint32_t r = 0; r < c_.records(); ++r) {
      const WriterRecord& record = c_.regions.record(r);
      stats.writers += Mem::Load(record.in_use) != 0 ? 1 : 0;
      stats.retries += Mem::Load(record.retries);
      stats.waits += Mem::Load(record.waits);
      stats.recoveries += Mem::Load(record.recoveries);
    }
    return stats;
  }

  // Every invariant of docs/design.md. What is locked or being taken is passed by. While others write, an inconsistency
  // counts only if it is still there when looked at again, with the same seq.
  VerifyReport Verify(const FixedHeader& fixed) const {
    VerifyReport report;
    CheckHeader(fixed, &report);
    std::vector<uint8_t> reach(static_cast<size_t>(c_.groups()), 0);
    std::vector<bool> home_unsure(static_cast<size_t>(c_.groups()), false);
    std::vector<uint32_t> block_of(static_cast<size_t>(c_.geometry().slots), kNoBlock);
    CheckSlots(&reach, &home_unsure, &block_of, &report);
    CheckHomes(reach, home_unsure, &report);
    CheckArena(block_of, &report);
    CheckRecords(&report);
    return report;
  }

 private:
  static constexpr uint32_t kNoBlock = ~0u;

  void Error(VerifyReport* report, std::string what) const {
    ++report->error_count;
    if (report->errors.size() < 100) report->errors.push_back(std::move(what));
  }

  // Steps from `home` to group `g` along home's sequence; one more than the home's reach if g is not within it.
  uint64_t StepsTo(uint64_t home, uint64_t g) const {
    ProbeSequence sequence(home, c_.groups());
    const uint64_t reach = c_.ReachSteps(c_.LoadGroup(home).ReachByte());
    for (uint64_t d = 0; d <= reach; ++d, sequence.Next()) {
      if (sequence.group() == g) return d;
    }
    return reach + 1;
  }

  void CheckHeader(const FixedHeader& fixed, VerifyReport* report) const {
    const Header& header = c_.regions.header();
    if (std::memcmp(&header.fixed, &fixed, sizeof(fixed)) != 0)
      Error(report, "the header has changed since this handle was opened");
    for (const Word& word : header.reserved1) CheckZero(word, report);
    for (const Word& word : header.reserved2) CheckZero(word, report);
    for (const Word& word : header.reserved3) CheckZero(word, report);
    for (const char byte : header.reserved_end) {
      if (byte != 0) return Error(report, "reserved bytes at the header's end are not zero");
    }
  }
  void CheckZero(const Word& word, VerifyReport* report) const {
    if (Mem::Load(word) != 0) Error(report, "a reserved word is not zero");
  }

  void CheckSlots(std::vector<uint8_t>* reach, std::vector<bool>* home_unsure, std::vector<uint32_t>* block_of,
                  VerifyReport* report) const {
    std::string key;
    for (uint64_t s = 0; s < c_.geometry().slots; ++s) {
      // Twice, since a writer may work on this slot between two looks.
      std::string error;
      uint64_t seq = ~uint64_t{0};
      int same = 0;
      for (int look = 0; look < 100 && same < 3; ++look) {
        const uint64_t now = Mem::Load(c_.regions.slot(s).seq);
        same = now == seq ? same + 1 : 1;
        seq = now;
        error.clear();
        if (owned::IsLocked(seq)) break;
        error = CheckSlot(s, &key, reach, home_unsure, block_of);
        if (error.empty()) break;
      }
      if (owned::IsLocked(seq)) {
        ++report->in_flight;
        continue;
      }
      if (!error.empty()) Error(report, absl::StrCat("slot ", s, ": ", error));
      if (Mem::Load(c_.regions.slot(s).words[0]) != 0) ++report->entries;
    }
  }

  std::string CheckSlot(uint64_t s, std::string* key, std::vector<uint8_t>* reach, std::vector<bool>* home_unsure,
                        std::vector<uint32_t>* block_of) const {
    Found found;
    std::string_view bytes;
    const Read read = reader_.ReadSlot(s, &found, [&](const SlotCopy& copy) { bytes = reader_.KeyOf(copy, key); });
    const uint32_t tag = c_.LoadTag(s);
    if (read == Read::kMissing) {
      if (tag != 0) return absl::StrCat("is empty, but its tag is ", tag);
      for (uint32_t i = 0; i < c_.geometry().slot_words; ++i) {
        if (Mem::Load(c_.regions.slot(s).words[i]) != 0) return "is empty, but has words that are not zero";
      }
      return {};
    }
    if (read == Read::kContended) return {};
    if (read == Read::kCorrupt) return "holds words that are no entry";
    if (bytes.size() != found.copy.key_length) return "its key cannot be read from its block";
    const uint64_t hash = c_.HashOf(bytes);
    const Probe probe = c_.Locate(hash);
    if (tag != probe.tag) return absl::StrCat("its tag is ", tag, ", its key's is ", probe.tag);
    const uint64_t steps = StepsTo(probe.home, s / kSlotsPerGroup);
    const uint32_t home_reach = c_.LoadGroup(probe.home).ReachByte();
    if (steps > c_.ReachSteps(home_reach) || ExtendReach(home_reach, steps, tag) != home_reach) {
      return "lies beyond the reach of its home";
    }
    auto& computed = (*reach)[static_cast<size_t>(probe.home)];
    computed = static_cast<uint8_t>(ExtendReach(computed, steps, tag));
    if (found.copy.HasOrder() != c_.ordered) return "has an insertion number, or has none, against the dict's option";
    // The key must be found, and found here: else it is doubled, or out of reach.
    Found again;
    const std::string_view wanted = bytes;
    const Read lookup =
        reader_.Find(probe, &again, [&](const SlotCopy& copy) { return reader_.KeyEquals(copy, wanted); });
    if (lookup != Read::kFound || again.slot != s) {
      if (Mem::Load(c_.regions.slot(s).seq) == found.seq && lookup != Read::kContended) {
        return lookup == Read::kFound ? absl::StrCat("its key is also in slot ", again.slot)
                                      : "its key cannot be found by a lookup";
      }
      (*home_unsure)[static_cast<size_t>(probe.home)] = true;
    }
    if (!found.copy.ValueInBlock()) return {};
    (*block_of)[static_cast<size_t>(s)] = static_cast<uint32_t>(found.copy.granule);
    const BlockWord block = BlockWord::Decode(c_.arena.LoadWord(found.copy.granule));
    if (Mem::Load(c_.regions.slot(s).seq) != found.seq) return {};
    if (block.state != BlockState::kSlot || block.owner != s) {
      return absl::StrCat("its block at granule ", found.copy.granule, " does not say that it belongs to this slot");
    }
    if (block.size_class >= c_.arena.classes().count()) return "its block is of a size class that does not exist";
    const uint64_t length = found.copy.BlockLength();
    if (block.size_class != c_.arena.classes().ClassFor(length))
      return "its block is of another size class than its length";
    return CheckChain(found, length);
  }

  std::string CheckChain(const Found& found, uint64_t length) const {
    if (length <= c_.geometry().shape.page_size) return {};
    const uint64_t per_page = c_.geometry().granules_per_page;
    const uint64_t head = found.copy.granule / per_page;
    uint64_t page = head;
    for (uint64_t i = 1; i < c_.arena.PagesFor(length); ++i) {
      page = c_.arena.NextPage(page);
      if (page >= c_.geometry().shape.pages) return "its chain of pages ends early";
      const BlockWord member = BlockWord::Decode(c_.arena.LoadWord(page * per_page));
      if (member.state != BlockState::kMember || member.owner != head) return "a page of its chain belongs elsewhere";
    }
    return c_.arena.NextPage(page) < c_.geometry().shape.pages ? "its chain of pages goes on behind its end" : "";
  }

  void CheckHomes(const std::vector<uint8_t>& reach, const std::vector<bool>& unsure, VerifyReport* report) const {
    for (uint64_t home = 0; home < c_.groups(); ++home) {
      const uint64_t lock = Mem::Load(c_.regions.home_lock(home));
      if (owned::IsLocked(lock)) {
        ++report->in_flight;
        continue;
      }
      if (unsure[static_cast<size_t>(home)]) continue;
      if (c_.LoadGroup(home).ReachByte() == reach[static_cast<size_t>(home)]) continue;
      // Slots were read at different times; look at this home alone, and believe it if nothing changed meanwhile.
      for (int look = 0; look < 3; ++look) {
        const GroupView before = c_.LoadGroup(home);
        const uint32_t needed = table_.scan().ComputeReach(home);
        if (needed == before.ReachByte()) break;
        const GroupView after = c_.LoadGroup(home);
        const bool still =
            Mem::Load(c_.regions.home_lock(home)) == lock && std::memcmp(&before, &after, sizeof(before)) == 0;
        if (still && look == 2) {
          Error(report,
                absl::StrCat("group ", home, ": its reach is ", before.ReachByte(), ", its keys need ", needed));
        }
      }
    }
  }

  void CheckArena(const std::vector<uint32_t>& block_of, VerifyReport* report) const {
    const uint64_t per_page = c_.geometry().granules_per_page;
    c_.arena.ForEachBlock(
        [&](uint64_t page, const PageWord& word, uint64_t granule, const BlockWord& block) {
          if (word.state == PageState::kRetiring) ++report->in_flight;
          switch (block.state) {
            case BlockState::kFree:
              if (block.size_class != word.size_class)
                Unless(granule, block, report, "is free in another class than its page's");
              return;
            case BlockState::kRetired:
              if (word.state == PageState::kAssigned)
                Unless(granule, block, report, "is retired in a page that is not");
              return;
            case BlockState::kRecord:
              ++report->in_flight;
              if (block.owner >= c_.records())
                Unless(granule, block, report, "is in the hands of a record that does not exist");
              return;
            case BlockState::kMember: {
              ++report->blocks;
              const BlockWord head = BlockWord::Decode(
                  c_.arena.LoadWord(std::min<uint64_t>(block.owner, c_.geometry().shape.pages - 1) * per_page));
              if (word.size_class != 0 || (head.state != BlockState::kSlot && head.state != BlockState::kRecord)) {
                Unless(granule, block, report, "is a page of a chain without a head");
              }
              return;
            }
            case BlockState::kSlot: {
              ++report->blocks;
              if (block.owner < block_of.size() && block_of[block.owner] == granule) return;
              Found found;
              const bool refers = block.owner < block_of.size() &&
                                  reader_.ReadSlot(block.owner, &found) == Read::kFound && found.copy.ValueInBlock() &&
                                  found.copy.granule == granule;
              if (!refers &&
                  !(block.owner < block_of.size() && owned::IsLocked(Mem::Load(c_.regions.slot(block.owner).seq)))) {
                Unless(granule, block, report,
                       absl::StrCat("says that it belongs to slot ", block.owner, ", which does not refer to it"));
              }
              return;
            }
            case BlockState::kNone:
              break;
          }
          (void)page;
          Unless(granule, block, report, "has a word of no known state");
        },
        [&](uint64_t page, const PageWord& word) {
          if (word.state == PageState::kAssigning) {
            ++report->in_flight;
          } else if (word.state != PageState::kPool) {
            Error(report, absl::StrCat("page ", page, " is of a size class that does not exist"));
          }
        });
  }

  // An error about a block, unless its word has changed or a writer may be about to settle or free it. Leaks stay, and
  // are seen again.
  void Unless(uint64_t granule, const BlockWord& seen, VerifyReport* report, const std::string& what) const {
    if (c_.arena.LoadWord(granule) != seen.Encode()) return;
    for (uint32_t r = 0; r < c_.records(); ++r) {
      const WriterRecord& j = c_.regions.record(r);
      if (Mem::Load(j.in_use) == 0 || Mem::Load(j.op) == 0) continue;
      if (Mem::Load(j.old_block) == granule || Mem::Load(j.new_block) == granule) return;
    }
    if (c_.arena.LoadWord(granule) != seen.Encode()) return;
    Error(report, absl::StrCat("the block at granule ", granule, " ", what));
  }

  void CheckRecords(VerifyReport* report) const {
    bool busy = report->in_flight > 0;
    for (uint32_t r = 0; r < c_.records(); ++r) {
      const WriterRecord& j = c_.regions.record(r);
      const bool in_use = Mem::Load(j.in_use) != 0;
      const bool idle = Mem::Load(j.op) == 0;
      busy = busy || !idle;
      if (!in_use && !idle && Mem::Load(j.in_use) == 0)
        Error(report, absl::StrCat("record ", r, " is free, but in the middle of an operation"));
    }
    if (!busy && report->entries != table_.Size()) {
      // Only if nobody has been at work: the shares are settled after the commit.
      uint64_t again = 0;
      for (uint64_t s = 0; s < c_.geometry().slots; ++s) again += Mem::Load(c_.regions.slot(s).words[0]) != 0 ? 1 : 0;
      if (again == report->entries && again != table_.Size()) {
        Error(report, absl::StrCat("the size is ", table_.Size(), ", but there are ", again, " entries"));
      }
    }
  }

  const TableView<Mem>& table_;
  const Context<Mem>& c_;
  const Reader<Mem>& reader_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_INSPECT_H_
