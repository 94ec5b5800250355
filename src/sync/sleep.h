// A writer's sleep, while it waits for another one.
#ifndef SEGDICT_SRC_SYNC_SLEEP_H_
#define SEGDICT_SRC_SYNC_SLEEP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "segdict/options.h"
#include "src/base/memory.h"
#include "src/sync/fork.h"
#include "src/sync/writer.h"

namespace segdict::internal {

// Sleeps while `word` is `value`, for `nanoseconds` at the most, in the way that the writer's handle was told.
// CANCELLED if the call is to give up; FAILED_PRECONDITION in a child that was forked meanwhile.
template <class Mem>
absl::Status Sleep(const Writer& w, Word& word, uint64_t value, int64_t nanoseconds) {
  const auto sleep = [&] { Mem::FutexWait(word, value, nanoseconds); };
  if (w.blocking == nullptr) {
    sleep();
  } else if (!w.blocking->Sleep(sleep)) {
    return absl::CancelledError("Options::blocking gave the wait for another writer up");
  }
  if (w.process != ProcessGeneration()) [[unlikely]]
    return absl::FailedPreconditionError("Options::blocking forked: this call belongs to the parent process");
  return absl::OkStatus();
}

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_SYNC_SLEEP_H_
