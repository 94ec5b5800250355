// A handle: a mapped segment, its table, and this process's writers. Dict copies share one.
#ifndef SEGDICT_SRC_DICT_HANDLE_H_
#define SEGDICT_SRC_DICT_HANDLE_H_

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "segdict/dict.h"
#include "src/base/memory.h"
#include "src/dict/writer_pool.h"
#include "src/segment/segment.h"
#include "src/table/inspect.h"
#include "src/table/table.h"

namespace segdict::internal {

class DictHandle {
 public:
  static absl::StatusOr<std::shared_ptr<DictHandle>> Create(const Location& location, const Options& options);
  static absl::StatusOr<std::shared_ptr<DictHandle>> Open(const Location& location, const Options& options);

  const Table<RealMemory>& table() const { return *table_; }
  Table<RealMemory>& table() { return *table_; }
  const Segment& segment() const { return *segment_; }
  const Clock& clock() const { return *clock_; }

  void Close() { closed_.store(true, std::memory_order_relaxed); }
  bool closed() const { return closed_.load(std::memory_order_relaxed); }

  // This thread's writer, if a write can begin with it right now and needs nothing else; else null: see Write.
  // (A handle that is read-only has no writers.)
  Writer* UsualWriter() const {
    Writer* const writer = pool_->LastOfThisThread();
    return writer != nullptr && !writer->busy && !closed() && !bounded_or_locking_ ? writer : nullptr;
  }

  // Runs body(Writer&) -> absl::Status with this thread's writer; in lock mode under the global lock.
  template <class Body>
  absl::Status Write(Body&& body) {
    absl::StatusOr<Writer*> begun = BeginWrite();
    if (!begun.ok()) return begun.status();
    Writer* const writer = *begun;
    writer->busy = true;
    // Also if the caller's function throws.
    struct End {
      DictHandle& handle;
      Writer& w;
      bool locked = false;
      ~End() {
        // A child that the caller's function forked: the call and what it holds are the parent's.
        if (w.process != ProcessGeneration()) return;
        if (locked) handle.table_->UnlockGlobal(w);
        w.busy = false;
      }
    } end{*this, *writer};
    if (lock_mode_ == LockMode::kGlobalMutex) {
      absl::Status status = table_->LockGlobal(end.w);
      if (!status.ok()) return status;
      end.locked = true;
    }
    return body(end.w);
  }

  // The global lock for a section; the writer that holds it.
  absl::StatusOr<Writer*> Lock();
  void Unlock(Writer& writer);
  // Recovers the dead; how many there were.
  absl::StatusOr<uint32_t> RecoverDead();

  // An absolute expiry on the segment's clock: never for an infinite time to live, saturating.
  int64_t ExpiryOf(absl::Duration ttl) const { return ttl == absl::InfiniteDuration() ? kNever : FiniteExpiryOf(ttl); }
  // What is left until then.
  absl::Duration TtlOf(int64_t expiry) const {
    return expiry == kNever ? absl::InfiniteDuration() : FiniteTtlOf(expiry);
  }

 private:
  DictHandle() = default;
  static absl::StatusOr<std::shared_ptr<DictHandle>> Make(std::unique_ptr<Segment> segment, const Options& options,
                                                          uint64_t boot);
  // The thread's writer, not busy, with the call's deadline.
  absl::StatusOr<Writer*> BeginWrite();
  int64_t FiniteExpiryOf(absl::Duration ttl) const;
  absl::Duration FiniteTtlOf(int64_t expiry) const;

  std::unique_ptr<Segment> segment_;
  std::unique_ptr<Clock> own_clock_;
  const Clock* clock_ = nullptr;
  std::unique_ptr<Liveness> liveness_;
  std::unique_ptr<Table<RealMemory>> table_;
  std::unique_ptr<WriterPool> pool_;  // after the table: its writers are given back first
  LockMode lock_mode_ = LockMode::kPerSlot;
  int64_t wait_limit_ = kNoDeadline;
  bool bounded_or_locking_ = false;  // a write has a deadline, or takes the global lock
  std::atomic<bool> closed_{false};
};

// The parameters of a new segment; INVALID_ARGUMENT if the options ask for what cannot be.
absl::StatusOr<FixedHeader> PlanSegment(const Options& options);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_DICT_HANDLE_H_
