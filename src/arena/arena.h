// The arena: blocks for keys and values that do not fit into their slot.
//
// Pages of one size are dealt out to size classes; a block's word is its allocation (layout/arena_words.h). There are
// no free lists and no counters in the segment: a writer looks for FREE words from where it last found one (next fit),
// after the blocks it freed itself lately. So nothing can disagree after a crash, and Stats counts words.
//
// Crash safety. A block is taken by one CAS, FREE -> RECORD(r), *after* r's journal named the block and the word that
// the CAS makes; so either the CAS happened and recovery, seeing just that word, frees the block, or it did not, and
// recovery, seeing another word, leaves it alone. Nobody but r can make that word, so a stale journal does no harm.
// A page on its way is journaled likewise: recovery finishes an assignment (an allocator that knew the page from before
// may already have won one of its blocks) and rolls a retirement back.
//
// Chains. A value longer than a page is a chain of class 0 blocks (whole pages): the head is an ordinary block; each
// further page's word says MEMBER(head), and the word behind each page's first one names the next. Members belong to
// whoever owns the head, so taking or freeing a chain is one word's change, and recovery finds members by scanning for
// them. Nothing ever needs contiguous pages, so there is no external fragmentation.
//
// Reclaiming. When no block of a class is free and the pool is empty, a page without live blocks is retired to the
// pool; failing that, the emptiest page whose blocks fit elsewhere in its class is evacuated first (a relocation is an
// overwrite of the owning slot by itself). With every class compacted so, sum(ceil(blocks / per page)) pages suffice: a
// page count of bytes / page size + number of classes is a promise that fragmentation cannot break.
//
// Costs: taking a block is one CAS and, in a mostly free arena, a look at one or two words; freeing is one store.
// Reclaiming reads every block word of the arena.
#ifndef SEGDICT_SRC_ARENA_ARENA_H_
#define SEGDICT_SRC_ARENA_ARENA_H_

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/layout/regions.h"
#include "src/sync/sleep.h"
#include "src/sync/writer.h"

namespace segdict::internal {

// Gives the block at `granule`, which slot `slot` is said to own, another place; false if that cannot be done now. It
// must not throw: the page is in between.
using Relocate = absl::FunctionRef<bool(uint32_t slot, uint64_t granule)>;

// Recovers the writers that are dead, whose pages may be in between; false if there was none.
using RecoverDead = absl::FunctionRef<bool()>;

template <class Mem>
class Arena {
 public:
  explicit Arena(const Regions& regions)
      : regions_(regions),
        classes_(regions.geometry().shape.page_size),
        page_size_(regions.geometry().shape.page_size),
        pages_(regions.geometry().shape.pages),
        per_page_(regions.geometry().granules_per_page),
        granules_(pages_ * per_page_) {}

  const SizeClasses& classes() const { return classes_; }
  uint64_t PagesFor(uint64_t bytes) const { return bytes == 0 ? 1 : (bytes - 1) / page_size_ + 1; }

  // ---- Reading --------------------------------------------------------------------------------------------

  // Whether `length` bytes can lie in a block that begins at `granule`. What passes can be copied without leaving the
  // arena.
  bool InBounds(uint64_t granule, uint64_t length) const {
    if (granule >= granules_) return false;
    if (length <= page_size_) return granule * kGranule + length <= granules_ * kGranule;
    return granule % per_page_ == 0 && PagesFor(length) <= pages_;
  }

  // Copies bytes [from, from + n) of the block of `length` bytes at `granule`. False if a chain's link is damaged (or
  // is being reused: the caller validates the slot's seq afterwards in any case). REQUIRES: InBounds(granule, length),
  // from + n <= length.
  bool CopyOut(uint64_t granule, uint64_t length, uint64_t from, char* to, uint64_t n) const {
    return ForEachPart(granule, length, from, n,
                       [&](char* part, uint64_t done, uint64_t size) { Mem::CopyOut(to + done, part, size); });
  }

  // ---- Taking and giving back -----------------------------------------------------------------------------

  // Takes a block (or chain) of at least `bytes` bytes for w's journal: state RECORD(w). RESOURCE_EXHAUSTED if there is
  // none even after reclaiming; CANCELLED if a sleep was given up. REQUIRES: w holds no lock, its op is idle, and no
  // block is in flight.
  absl::Status Allocate(Writer& w, uint64_t bytes, Relocate relocate, RecoverDead recover, uint64_t* granule) {
    if (bytes > granules_ * kGranule) return Exhausted(bytes);
    const uint32_t size_class = classes_.ClassFor(bytes);
    // Each turn but the last gained a page; a chain needs many, and others may take them first.
    const uint64_t turns = PagesFor(bytes) + 64;
    for (uint64_t turn = 0; turn < turns; ++turn) {
      if (TryAllocate(w, size_class, bytes, granule)) return absl::OkStatus();
      const Reclaimed reclaimed = Reclaim(w, size_class, relocate);
      if (reclaimed == Reclaimed::kNone) break;
      if (reclaimed == Reclaimed::kSoon && !recover()) {
        absl::Status status = Sleep<Mem>(w, w.record->waiters, Mem::Load(w.record->waiters), 100'000);
        if (!status.ok()) return status;
      }
    }
    return Exhausted(bytes);
  }

  // Like Allocate for one block of `size_class`, but only from the pages that the class has: what a relocation may use
  // (the journal's `page` is the one that is being retired).
  bool TryAllocateBlock(Writer& w, uint32_t size_class, uint64_t* granule) {
    return TakeFreed(w, size_class, BlockState::kRecord, w.index, granule) ||
           Search(w, size_class, BlockState::kRecord, w.index, Effort::kThorough, granule);
  }

  // Writes `bytes`, all that the block holds. REQUIRES: taken by the caller, with room for them.
  void Fill(uint64_t granule, std::string_view bytes) {
    ForEachPart(granule, bytes.size(), 0, bytes.size(),
                [&](char* part, uint64_t done, uint64_t size) { Mem::CopyIn(part, bytes.data() + done, size); });
  }

  // The same for a block of `length` bytes, piece by piece.
  class Filler {
   public:
    Filler(const Arena& arena, uint64_t granule, uint64_t length)
        : arena_(arena),
          granule_(granule),
          left_(length),
          to_(arena.regions_.granule(granule)),
          room_(std::min<uint64_t>(length, arena.page_size_)) {}

    // REQUIRES: all pieces together have `length` bytes at the most.
    void Add(std::string_view piece) {
      // Pieces meet inside a word in general, and the copies are by whole words: what is left over of one waits for the
      // next, but not that of the last.
      if (held_ > 0) {
        const uint64_t more = std::min<uint64_t>(8 - held_, piece.size());
        joint_ |= LoadBytes(piece.data(), more) << 8 * held_;
        held_ += more;
        piece.remove_prefix(more);
        if (held_ < std::min<uint64_t>(8, left_)) return;
        Write(reinterpret_cast<const char*>(&joint_), held_);
        held_ = 0;
      }
      if (piece.size() < left_) held_ = piece.size() % 8;
      Write(piece.data(), piece.size() - held_);
      joint_ = LoadBytes(piece.data() + piece.size() - held_, held_);
    }

   private:
    void Write(const char* bytes, uint64_t n) {
      left_ -= n;
      while (n > 0) {
        if (room_ == 0 && !GoToNextPage()) return;
        const uint64_t size = std::min(n, room_);
        Mem::CopyIn(to_, bytes, size);
        to_ += size;
        room_ -= size;
        bytes += size;
        n -= size;
      }
    }
    // False: a link is damaged; the rest is written nowhere.
    bool GoToNextPage() {
      const uint64_t next = arena_.NextPage(granule_ / arena_.per_page_);
      if (next >= arena_.pages_) return false;
      granule_ = next * arena_.per_page_;
      to_ = arena_.regions_.granule(granule_);
      room_ = arena_.page_size_;
      return true;
    }

    const Arena& arena_;
    uint64_t granule_;  // of the block, or of its page under way
    uint64_t left_;     // bytes not written yet
    char* to_;
    uint64_t room_;       // bytes behind to_, in its page
    uint64_t joint_ = 0;  // bytes between two pieces, not written yet
    uint64_t held_ = 0;   // how many
  };

  // The word of the block at `granule`. REQUIRES: granule < granules().
  uint64_t LoadWord(uint64_t granule) const { return Mem::Load(regions_.block_word(granule)); }
  bool Exists(uint64_t granule) const { return granule < granules_; }
  uint64_t granules() const { return granules_; }

  // RECORD(w) -> SLOT(slot), before the commit, under the slot's lock: so the block of an unlocked slot always says
  // SLOT of that slot. A plain store: RECORD(w) words are w's alone.
  void Settle(uint64_t granule, uint64_t word, uint32_t slot) {
    Mem::Store(regions_.block_word(granule), BlockWord::Decode(word).Next(BlockState::kSlot, slot));
  }

  // Frees the block whose word is `word` (RECORD(w), or SLOT(s) that w has just unlinked from s): its holder's alone.
  // A crash before the store leaves `word`, which recovery finds in the journal; in the middle of a chain it leaves the
  // head in RECORD(w). Called under locks, and when an operation has committed: it allocates nothing.
  void Free(Writer& w, uint64_t granule, uint64_t word) noexcept {
    BlockWord block = BlockWord::Decode(word);
    Word& shared = regions_.block_word(granule);
    if (block.size_class == 0 && HasMembers(granule)) {
      if (block.state != BlockState::kRecord) {
        block = BlockWord::Decode(block.Next(BlockState::kRecord, w.index));
        Mem::Store(shared, block.Encode());
      }
      FreeMembers(granule);
    }
    Mem::Store(shared, block.Next(BlockState::kFree));
    if (!BeginsBlock(granule, block.size_class)) return;
    auto& hint = w.hints[block.size_class];
    if (hint.freed_count < hint.freed.size()) hint.freed[hint.freed_count++] = static_cast<uint32_t>(granule);
  }

  // ---- Recovery of record r: each call may be repeated after a death in the middle of it ------------------

  // Frees the block at `granule` if its word still is `word`, or if it is a chain that was being freed by r.
  void RecoverFree(uint32_t r, uint64_t granule, uint64_t word) {
    if (granule >= granules_) return;
    Word& shared = regions_.block_word(granule);
    uint64_t now = Mem::Load(shared);
    BlockWord block = BlockWord::Decode(word);
    const uint64_t in_record = block.Next(BlockState::kRecord, r);
    if (now == word && block.state != BlockState::kRecord && block.size_class == 0) {
      // Possibly a chain: first into the record's hands, as Free does.
      if (!Mem::Cas(shared, now, in_record)) return;
      now = in_record;
    }
    if (now != word && now != in_record) return;
    block = BlockWord::Decode(now);
    if (block.size_class == 0) {
      // By scanning, not by the links: some members may already be free and in other hands.
      const auto head = static_cast<uint32_t>(granule / per_page_);
      for (uint64_t p = 0; p < pages_; ++p) {
        Word& member = regions_.block_word(p * per_page_);
        uint64_t member_word = Mem::Load(member);
        const BlockWord m = BlockWord::Decode(member_word);
        if (m.state != BlockState::kMember || m.owner != head || !IsAssigned(p, 0)) continue;
        Mem::Cas(member, member_word, m.Next(BlockState::kFree));
      }
    }
    Mem::Cas(shared, now, block.Next(BlockState::kFree));
  }

  // Changes a block's word from `from` to `to` if it is `from`.
  void RecoverWord(uint64_t granule, uint64_t from, uint64_t to) {
    if (granule >= granules_) return;
    Mem::Cas(regions_.block_word(granule), from, to);
  }

  // Finishes the assignment, or takes back the retirement, of page `page` by r.
  void RecoverPage(uint32_t r, uint64_t page) {
    if (page >= pages_) return;
    const PageWord p = PageWord::Decode(Mem::Load(regions_.page_word(page)));
    if (p.owner != r || p.size_class >= classes_.count()) return;
    if (p.state == PageState::kAssigning || p.state == PageState::kRetiring) MakeAssigned(page, p);
  }

  // ---- Looking at it all ----------------------------------------------------------------------------------

  // Calls visit(granule, block word) for every block of every assigned or retiring page, and for whole pages
  // pool(page).
  template <class Visit, class Pool>
  void ForEachBlock(Visit&& visit, Pool&& pool) const {
    for (uint64_t p = 0; p < pages_; ++p) {
      const PageWord page = PageWord::Decode(Mem::Load(regions_.page_word(p)));
      if (page.state == PageState::kPool || page.state == PageState::kAssigning ||
          page.size_class >= classes_.count()) {
        pool(p, page);
        continue;
      }
      for (uint32_t b = 0; b < classes_.per_page(page.size_class); ++b) {
        const uint64_t granule = Granule(p, page.size_class, b);
        visit(p, page, granule, BlockWord::Decode(Mem::Load(regions_.block_word(granule))));
      }
    }
  }

  // Calls part(address, done, size) for the pieces of bytes [from, from + n) of a block. False: a chain ends or loops
  // early.
  template <class Part>
  bool ForEachPart(uint64_t granule, uint64_t length, uint64_t from, uint64_t n, Part&& part) const {
    if (length <= page_size_) {
      if (n > 0) part(regions_.granule(granule) + from, uint64_t{0}, n);
      return true;
    }
    uint64_t page = granule / per_page_;
    for (uint64_t at = 0, done = 0; done < n; at += page_size_) {
      const uint64_t begin = std::max(at, from), end = std::min(at + page_size_, from + n);
      if (begin < end) {
        part(regions_.granule(page * per_page_) + (begin - at), done, end - begin);
        done += end - begin;
      }
      if (done == n) break;
      page = NextPage(page);
      if (page >= pages_) return false;
    }
    return true;
  }

  // The page that follows `page` in its chain; out of range if none does.
  uint64_t NextPage(uint64_t page) const {
    const BlockWord link = BlockWord::Decode(Mem::Load(regions_.block_word(page * per_page_ + 1)));
    return link.state == BlockState::kNone && link.owner != 0 ? link.owner - 1 : pages_;
  }

 private:
  static constexpr uint32_t kQuickLooks = 256;  // block words looked at before a fresh page is preferred

  absl::Status Exhausted(uint64_t bytes) const {
    return absl::ResourceExhaustedError(absl::StrCat("no room for a value of ", bytes, " bytes in the arena of ",
                                                     granules_ * kGranule,
                                                     " bytes; erase entries, or make the dict with more value_bytes"));
  }

  uint64_t Granule(uint64_t page, uint32_t size_class, uint32_t block) const {
    return page * per_page_ + static_cast<uint64_t>(block) * (classes_.size(size_class) / kGranule);
  }

  // Whether a block of the class can begin there: a slot's reference may be damaged, and what is freed is taken again.
  bool BeginsBlock(uint64_t granule, uint32_t size_class) const {
    if (size_class >= classes_.count()) return false;
    const uint64_t size = classes_.size(size_class) / kGranule;
    const uint64_t within = granule % per_page_;
    return within % size == 0 && within / size < classes_.per_page(size_class);
  }

  bool IsAssigned(uint64_t page, uint32_t size_class) const {
    const PageWord word = PageWord::Decode(Mem::Load(regions_.page_word(page)));
    return (word.state == PageState::kAssigned || word.state == PageState::kRetiring) && word.size_class == size_class;
  }

  bool TryAllocate(Writer& w, uint32_t size_class, uint64_t bytes, uint64_t* granule) {
    if (!TakeBlock(w, size_class, BlockState::kRecord, w.index, granule)) return false;
    if (size_class != 0) return true;
    // Links are written before anybody can follow them: the chain is published with its slot.
    const uint64_t head = *granule / per_page_;
    uint64_t last = head;
    SetNext(last, pages_);
    for (uint64_t more = PagesFor(bytes) - 1; more > 0; --more) {
      uint64_t member;
      if (!TakeBlock(w, 0, BlockState::kMember, static_cast<uint32_t>(head), &member)) {
        Free(w, *granule, LoadWord(*granule));
        return false;
      }
      SetNext(member / per_page_, pages_);
      SetNext(last, member / per_page_);
      last = member / per_page_;
    }
    return true;
  }

  void SetNext(uint64_t page, uint64_t next) {
    Word& link = regions_.block_word(page * per_page_ + 1);
    const uint32_t owner = next >= pages_ ? 0 : static_cast<uint32_t>(next) + 1;
    Mem::Store(link, BlockWord::Decode(Mem::Load(link)).Next(BlockState::kNone, owner));
  }

  bool HasMembers(uint64_t granule) const { return NextPage(granule / per_page_) < pages_; }

  // REQUIRES: the chain's head is in the caller's hands. Bounded also when the links loop.
  void FreeMembers(uint64_t granule) {
    const uint64_t head = granule / per_page_;
    uint64_t page = NextPage(head);
    for (uint64_t i = 0; i < pages_ && page < pages_; ++i) {
      const uint64_t next = NextPage(page);  // before the page can be in other hands
      Word& word = regions_.block_word(page * per_page_);
      const BlockWord member = BlockWord::Decode(Mem::Load(word));
      if (member.state != BlockState::kMember || member.owner != head) return;
      Mem::Store(word, member.Next(BlockState::kFree));
      page = next;
    }
  }

  // FREE -> `state`(owner), journaled first if the state is RECORD.
  bool Take(Writer& w, uint64_t granule, uint32_t size_class, BlockState state, uint32_t owner) {
    Word& shared = regions_.block_word(granule);
    uint64_t word = Mem::Load(shared);
    const BlockWord block = BlockWord::Decode(word);
    if (block.state != BlockState::kFree || block.size_class != size_class) return false;
    const uint64_t taken = block.Next(state, owner);
    if (state == BlockState::kRecord) {
      Mem::Store(w.record->new_block, granule);
      Mem::Store(w.record->new_word, taken);
      // A crash here: the block's word is not new_word, so recovery leaves it alone.
    }
    return Mem::Cas(shared, word, taken);
    // A crash here: the block's word is new_word (or MEMBER of a head that recovery frees).
  }

  bool TakeBlock(Writer& w, uint32_t size_class, BlockState state, uint32_t owner, uint64_t* granule) {
    if (TakeFreed(w, size_class, state, owner, granule)) return true;
    if (Search(w, size_class, state, owner, Effort::kQuick, granule)) return true;
    if (AssignPage(w, size_class) && Search(w, size_class, state, owner, Effort::kQuick, granule)) return true;
    return Search(w, size_class, state, owner, Effort::kThorough, granule);
  }

  bool TakeFreed(Writer& w, uint32_t size_class, BlockState state, uint32_t owner, uint64_t* granule) {
    auto& hint = w.hints[size_class];
    while (hint.freed_count > 0) {
      *granule = hint.freed[--hint.freed_count];
      if (Take(w, *granule, size_class, state, owner)) return true;
    }
    return false;
  }

  enum class Effort { kQuick, kThorough };

  // Next fit over the blocks of the class's pages, one turn around the arena at the most; kQuick gives up earlier.
  bool Search(Writer& w, uint32_t size_class, BlockState state, uint32_t owner, Effort effort, uint64_t* granule) {
    const bool quick = effort == Effort::kQuick;
    uint32_t looks = kQuickLooks;
    auto& hint = w.hints[size_class];
    const uint32_t per_page = classes_.per_page(size_class);
    if (hint.page >= pages_) hint.page = 0;
    // pages_ + 1: the page where the search began is looked at from its middle first, and from its start at the end.
    for (uint64_t i = 0; i <= pages_; ++i) {
      const PageWord page = PageWord::Decode(Mem::Load(regions_.page_word(hint.page)));
      if (page.state == PageState::kAssigned && page.size_class == size_class) {
        for (; hint.block < per_page; ++hint.block) {
          if (quick && looks-- == 0) return false;
          *granule = Granule(hint.page, size_class, hint.block);
          if (Take(w, *granule, size_class, state, owner)) {
            ++hint.block;
            return true;
          }
        }
      } else if (quick && i >= kQuickLooks) {
        return false;
      }
      hint.block = 0;
      hint.page = hint.page + 1 == pages_ ? 0 : hint.page + 1;
    }
    return false;
  }

  // Takes a page out of the pool for `size_class` and points the writer's search at it.
  bool AssignPage(Writer& w, uint32_t size_class) {
    if (w.pool_hint >= pages_) w.pool_hint = 0;
    for (uint64_t i = 0; i < pages_; ++i) {
      const uint64_t page = w.pool_hint;
      Word& shared = regions_.page_word(page);
      uint64_t word = Mem::Load(shared);
      const PageWord p = PageWord::Decode(word);
      if (p.state == PageState::kPool) {
        Mem::Store(w.record->page, page + 1);
        const PageWord assigning = PageWord::Decode(p.NextOfClass(PageState::kAssigning, size_class, w.index));
        if (Mem::Cas(shared, word, assigning.Encode())) {
          // A crash here, or before the last store of MakeAssigned: recovery calls MakeAssigned again.
          MakeAssigned(page, assigning);
          Mem::Store(w.record->page, 0);
          w.hints[size_class].page = page;
          w.hints[size_class].block = 0;
          return true;
        }
      }
      w.pool_hint = page + 1 == pages_ ? 0 : page + 1;
    }
    return false;
  }

  // ASSIGNING or RETIRING -> ASSIGNED: the block words that are not in use (in a page of the pool none is) become FREE
  // of the class. By CAS, and repeatable: allocators may win a word as soon as it is FREE.
  void MakeAssigned(uint64_t page, PageWord from) {
    for (uint32_t b = 0; b < classes_.per_page(from.size_class); ++b) {
      Word& shared = regions_.block_word(Granule(page, from.size_class, b));
      uint64_t word = Mem::Load(shared);
      const BlockWord block = BlockWord::Decode(word);
      if (block.state == BlockState::kRetired || block.state == BlockState::kNone) {
        Mem::Cas(shared, word, block.NextOfClass(BlockState::kFree, from.size_class));
      }
    }
    Mem::Store(regions_.page_word(page), from.Next(PageState::kAssigned));
  }

  // ASSIGNED -> POOL, relocating live blocks if there are any. False: given up, and the page is as useful as before.
  bool RetirePage(Writer& w, uint64_t page, Relocate relocate) {
    Word& shared = regions_.page_word(page);
    uint64_t word = Mem::Load(shared);
    const PageWord assigned = PageWord::Decode(word);
    if (assigned.state != PageState::kAssigned || assigned.size_class >= classes_.count()) return false;
    Mem::Store(w.record->page, page + 1);
    const PageWord retiring = PageWord::Decode(assigned.Next(PageState::kRetiring, w.index));
    if (!Mem::Cas(shared, word, retiring.Encode())) return false;
    // A crash from here on: recovery makes RETIRED words FREE again and the page ASSIGNED.
    bool retired = true;
    for (int pass = 0; pass < 2;
         ++pass) {  // what can be had for nothing first, so that nobody takes a block of this page any more
      for (uint32_t b = 0; b < classes_.per_page(retiring.size_class) && retired; ++b) {
        const uint64_t granule = Granule(page, retiring.size_class, b);
        Word& block_word = regions_.block_word(granule);
        for (int tries = 0; tries < 3; ++tries) {
          uint64_t now = Mem::Load(block_word);
          const BlockWord block = BlockWord::Decode(now);
          if (block.state == BlockState::kRetired) break;
          if (block.state == BlockState::kFree) {
            if (Mem::Cas(block_word, now, block.Next(BlockState::kRetired))) break;
            continue;
          }
          if (pass == 0) break;
          if (block.state != BlockState::kSlot || !relocate(block.owner, granule)) {
            retired = false;
            break;
          }
        }
        if (pass == 1 && BlockWord::Decode(Mem::Load(block_word)).state != BlockState::kRetired) retired = false;
      }
    }
    if (retired) {
      Mem::Store(shared, retiring.Next(PageState::kPool));
      w.pool_hint = page;
    } else {
      MakeAssigned(page, retiring);
    }
    Mem::Store(w.record->page, 0);
    return retired;
  }

  enum class Reclaimed {
    kPage,  // there is one in the pool
    kSoon,  // others are at work on a page: another try, in a moment, is worth it
    kNone,
  };

  // Gets a page into the pool.
  Reclaimed Reclaim(Writer& w, uint32_t wanted, Relocate relocate) {
    struct Candidate {
      uint64_t page;
      uint32_t size_class, used;
    };
    std::vector<Candidate> candidates;
    std::array<uint64_t, kMaxClasses> free_in_class{};
    bool others_at_work = false;  // on a page that may come free in a moment
    for (uint64_t p = 0; p < pages_; ++p) {
      const PageWord page = PageWord::Decode(Mem::Load(regions_.page_word(p)));
      if (page.state == PageState::kPool) return Reclaimed::kPage;
      others_at_work = others_at_work || page.state != PageState::kAssigned;
      if (page.state != PageState::kAssigned || page.size_class >= classes_.count()) continue;
      const uint32_t per_page = classes_.per_page(page.size_class);
      uint32_t free = 0;
      for (uint32_t b = 0; b < per_page; ++b) {
        const BlockWord block = BlockWord::Decode(Mem::Load(regions_.block_word(Granule(p, page.size_class, b))));
        free += block.state == BlockState::kFree ? 1 : 0;
      }
      if (free == per_page && page.size_class != wanted && RetirePage(w, p, relocate)) return Reclaimed::kPage;
      free_in_class[page.size_class] += free;
      if (page.size_class != wanted) candidates.push_back({p, page.size_class, per_page - free});
    }
    std::stable_sort(candidates.begin(), candidates.end(), [this](const Candidate& a, const Candidate& b) {
      return static_cast<uint64_t>(a.used) * classes_.size(a.size_class) <
             static_cast<uint64_t>(b.used) * classes_.size(b.size_class);
    });
    for (const Candidate& c : candidates) {
      const uint32_t per_page = classes_.per_page(c.size_class);
      if (free_in_class[c.size_class] - (per_page - c.used) < c.used) continue;
      if (RetirePage(w, c.page, relocate)) return Reclaimed::kPage;
    }
    return others_at_work ? Reclaimed::kSoon : Reclaimed::kNone;
  }

  Regions regions_;
  SizeClasses classes_;
  uint32_t page_size_;
  uint64_t pages_;
  uint32_t per_page_;  // granules
  uint64_t granules_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_ARENA_ARENA_H_
