// A writer record: the journal of one writing thread. 512 bytes.
//
// A record belongs to whoever holds the kernel lock on its byte (sync/liveness.h); only that thread, or the one
// recoverer after its death, writes its words, `waiters` excepted. What an operation is about to do is journaled here
// before the first lock is taken, and what `slot` held before is shown in `image`, so that readers have the last
// committed state and a recoverer can undo or finish.
//
// The journal's words, and when they mean something:
//   op           operation and outcome (below); kIdle: no operation is under way
//   shown        bit kShownSrc: `image` holds the words that slot `slot` had; bit kShownDst: slot `dst` was empty.
//                Set after the slot locks were won and before a word of a slot changes; cleared when op is idle.
//   slot, dst    slot indices: what is overwritten, erased or moved away; what is filled
//   new_block, new_word   the block taken for the value and its word RECORD(r); also outside of an operation: it is
//                in flight exactly while the block's word still is new_word, which nobody else can make
//   old_block, old_word   the block to be freed or handed over, and its word when the operation began
//   home         group + 1 whose home lock is, or is about to be, held; home_locks is one more from then on
//   page         page + 1 that is being assigned or retired
//   share        this record's part of the dict's size: insertions less erasures made by its owners
//   share_after  what share is to be when the operation has committed
#ifndef SEGDICT_SRC_LAYOUT_WRITER_RECORD_H_
#define SEGDICT_SRC_LAYOUT_WRITER_RECORD_H_

#include <cstddef>
#include <cstdint>

#include "src/base/memory.h"
#include "src/layout/slot.h"

namespace segdict::internal {

struct alignas(64) WriterRecord {
  // Line 0: written by others too.
  Word in_use;   // 1 from claim to release: a hint for whoever seeks a free record, and the sign that recovery is due
  Word waiters;  // 1: somebody sleeps on this word until the owner lets something go
  Word process;  // process id of the owner in its own namespace: for people, never for decisions
  Word thread;   // identity of the owner thread (sync/fork.h)
  Word reserved0[4];
  // Line 1: the words of an overwrite.
  Word op;
  Word shown;
  Word slot;
  Word old_block;
  Word old_word;
  Word new_block;
  Word new_word;
  Word dst;
  // Line 2
  Word home;
  Word page;
  Word share;
  Word share_after;
  Word retries;     // statistics: slot locks lost to another writer
  Word waits;       // statistics: waits for another writer
  Word recoveries;  // statistics: times that this record was recovered
  Word home_locks;  // how many home locks were journaled: one of them is told from the next
  // Lines 3 and 4: meta and payload words.
  Word image[16];
  Word reserved5[24];
};
static_assert(sizeof(WriterRecord) == 512);
static_assert(offsetof(WriterRecord, op) == 64 && offsetof(WriterRecord, home) == 128);
static_assert(offsetof(WriterRecord, image) == 192 && kMaxSlotWords <= 16);

inline constexpr uint64_t kShownSrc = 1;
inline constexpr uint64_t kShownDst = 2;

// The word `op`: bits 0..7 operation, 8..15 outcome (set by recovery only), 16 new_block belongs to it, 17 old_block
// does.
enum class Operation : uint8_t { kIdle = 0, kOverwrite = 1, kInsert = 2, kErase = 3, kMove = 4 };
enum class Outcome : uint8_t { kUndecided = 0, kCommitted = 1, kAborted = 2 };

struct OpWord {
  Operation operation = Operation::kIdle;
  Outcome outcome = Outcome::kUndecided;
  bool has_new = false;
  bool has_old = false;

  constexpr uint64_t Encode() const {
    return static_cast<uint64_t>(operation) | static_cast<uint64_t>(outcome) << 8 | (has_new ? 1ull << 16 : 0) |
           (has_old ? 1ull << 17 : 0);
  }
  static constexpr bool Valid(uint64_t word) {
    return (word & 0xff) <= 4 && (word >> 8 & 0xff) <= 2 && (word >> 18) == 0;
  }
  static constexpr OpWord Decode(uint64_t word) {
    return {static_cast<Operation>(word & 0xff), static_cast<Outcome>(word >> 8 & 0xff), (word >> 16 & 1) != 0,
            (word >> 17 & 1) != 0};
  }
};
static_assert(OpWord{}.Encode() == 0);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_LAYOUT_WRITER_RECORD_H_
