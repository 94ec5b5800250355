// A writer: this process's side of a writer record. One a thread and handle; never shared.
#ifndef SEGDICT_SRC_SYNC_WRITER_H_
#define SEGDICT_SRC_SYNC_WRITER_H_

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "segdict/options.h"
#include "src/layout/arena_words.h"
#include "src/layout/writer_record.h"
#include "src/sync/liveness.h"

namespace segdict::internal {

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

struct Writer {
  uint32_t index = 0;  // of the record
  WriterRecord* record = nullptr;
  uint64_t process = 0;                    // its generation; of another one the record is not this writer's (any more)
  std::unique_ptr<Liveness::Token> token;  // keeps the record alive
  Blocking* blocking = nullptr;            // how it sleeps; see sleep.h

  int64_t deadline = kNoDeadline;  // of the call under way: CLOCK_MONOTONIC, nanoseconds
  bool busy = false;               // a call is under way on this thread
  uint32_t global_depth = 0;       // nesting of the global lock

  // Where the arena's search goes on, and blocks that this writer freed lately: hints, each checked by CAS.
  struct ClassHint {
    uint64_t page = 0;
    uint32_t block = 0;
    // Room for all from the beginning: what frees a block must not fail.
    std::array<uint32_t, 64> freed;
    uint32_t freed_count = 0;
  };
  std::array<ClassHint, kMaxClasses> hints;
  uint64_t pool_hint = 0;

  std::string scratch;  // values on their way; keeps its capacity
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_SYNC_WRITER_H_
