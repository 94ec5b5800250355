// Claiming and giving back a writer record.
#ifndef SEGDICT_SRC_TABLE_CLAIM_H_
#define SEGDICT_SRC_TABLE_CLAIM_H_

#include <unistd.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "src/sync/fork.h"
#include "src/table/recovery.h"

namespace segdict::internal {

// A writer with a record of its own: a free one, else that of a dead writer, which is recovered first. Looks from
// record `first` on. RESOURCE_EXHAUSTED if all are held by the living. The kernel lock on the record's byte decides;
// `in_use` is a hint for where to look, set before the first operation and cleared after the last, so that recovery
// knows where there may be something to do.
template <class Mem>
absl::StatusOr<std::unique_ptr<Writer>> ClaimWriter(Context<Mem>& context, Recovery<Mem>& recovery, uint32_t first) {
  const uint32_t records = context.records();
  // A record may be held a moment longer than it is in use, by a thread that is just ending, or by a recoverer: a
  // second round.
  for (int round = 0; round < 6; ++round) {
    const bool free_only = round % 2 == 0;
    if (round > 0 && free_only) usleep(1000);
    for (uint32_t i = 0; i < records; ++i) {
      const uint32_t r = (first + i) % records;
      WriterRecord& record = context.regions.record(r);
      if (free_only && Mem::Load(record.in_use) != 0) continue;
      if (!free_only) {
        absl::StatusOr<bool> alive = context.liveness->IsAlive(r);
        if (!alive.ok()) return alive.status();
        if (*alive) continue;
      }
      absl::StatusOr<std::unique_ptr<Liveness::Token>> token = context.liveness->TryClaim(r);
      if (!token.ok()) return token.status();
      if (*token == nullptr) continue;
      recovery.Recover(r);
      auto writer = std::make_unique<Writer>();
      writer->index = r;
      writer->record = &record;
      writer->process = ProcessGeneration();
      writer->token = *std::move(token);
      Mem::Store(record.process, static_cast<uint64_t>(getpid()));
      Mem::Store(record.thread, ThreadIdentity());
      Mem::Store(record.in_use, 1);
      return writer;
    }
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "all ", records, " writer records are held by living threads; end some, or make the dict with more max_writers"));
}

// REQUIRES: no operation is under way, no lock is held.
template <class Mem>
void ReleaseWriter(std::unique_ptr<Writer> writer) {
  Mem::Store(writer->record->in_use, 0);
  writer->token.reset();
}

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_TABLE_CLAIM_H_
