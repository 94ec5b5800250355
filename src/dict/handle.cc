#include "src/dict/handle.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/prime.h"
#include "src/dict/boot_clock.h"
#include "src/sync/fork.h"
#include "src/table/claim.h"

namespace segdict::internal {
namespace {

SegmentOptions ToSegmentOptions(const Options& options) {
  return {.mode = options.mode,
          .group = options.group,
          .trusted_owners = options.trusted_owners,
          .read_only = options.read_only,
          .huge_pages = options.huge_pages,
          .prefault = options.prefault,
          .exclude_from_core_dumps = options.exclude_from_core_dumps};
}

// Made once, with the first handle: what a signal handler interrupted may be malloc.
const absl::Status& UnderWay() {
  static const auto* status =
      new absl::Status(absl::FailedPreconditionError("a write of this thread is under way: writes are not possible in "
                                                     "Update's function, or in a handler of a signal or "
                                                     "of fork that comes in between"));
  return *status;
}

}  // namespace

absl::StatusOr<FixedHeader> PlanSegment(const Options& options) {
  if (options.capacity == 0) {
    return absl::InvalidArgumentError("capacity is 0; say how many entries the dict shall take at least");
  }
  if (!(options.max_load > 0 && options.max_load <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_load is ", options.max_load, "; above 0 and at most 1 is expected"));
  }
  // Less than there are, by room for the next prime.
  constexpr uint64_t kMostSlots = kMaxSlots - 100 * kSlotsPerGroup;
  const auto most = static_cast<uint64_t>(static_cast<double>(kMostSlots) * options.max_load);
  if (options.capacity > most) {
    return absl::InvalidArgumentError(absl::StrCat("capacity is ", options.capacity, "; a dict has ", kMostSlots,
                                                   " slots at the most, so ", most, " entries at this max_load"));
  }
  const double slots = std::ceil(static_cast<double>(options.capacity) / options.max_load);
  if (options.slot_size != 32 && options.slot_size != 64 && options.slot_size != 128) {
    return absl::InvalidArgumentError(absl::StrCat("slot_size is ", options.slot_size, "; 32, 64 or 128 is expected"));
  }
  if (options.ordered && options.slot_size == 32) {
    return absl::InvalidArgumentError("an ordered dict needs slots of 64 or 128 bytes; slot_size is 32");
  }
  if (options.max_writers == 0 || options.max_writers > kMaxRecords) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_writers is ", options.max_writers, "; 1 to ", kMaxRecords, " is expected"));
  }
  if ((options.mode & ~mode_t{0777}) != 0 || (options.mode & mode_t{0600}) != mode_t{0600}) {
    char mode[16];
    std::snprintf(mode, sizeof(mode), "%#o", options.mode);
    return absl::InvalidArgumentError(
        absl::StrCat("mode is ", mode,
                     "; permissions (up to 0777) are expected, among them the owner's to read and to "
                     "write (0600): each thread that writes opens the file again"));
  }
  // The last number means "none" to the kernel.
  if (options.group < -1 || options.group >= std::numeric_limits<gid_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("group is ", options.group, "; a group id is expected, or -1"));
  }
  FixedHeader fixed{};
  fixed.capacity = options.capacity;
  fixed.value_bytes = options.value_bytes;
  const auto slot_count = std::max(static_cast<uint64_t>(slots), options.capacity);
  fixed.groups = PrimeAtLeast((slot_count + kSlotsPerGroup - 1) / kSlotsPerGroup);
  fixed.slot_size = options.slot_size;
  fixed.records = options.max_writers;
  fixed.ordered = options.ordered ? 1 : 0;
  fixed.page_size = PageSizeFor(options.value_bytes);
  // One partly used page a class is what compaction cannot get rid of; see arena/arena.h.
  const uint64_t full_pages =
      options.value_bytes / fixed.page_size + (options.value_bytes % fixed.page_size != 0 ? 1 : 0);
  fixed.pages = options.value_bytes == 0 ? 1 : full_pages + SizeClasses(fixed.page_size).count();
  if (fixed.pages > kMaxPages) {
    return absl::InvalidArgumentError(
        absl::StrCat("value_bytes is ", options.value_bytes, "; at most about 256 GiB is expected"));
  }
  fixed.clock_id = static_cast<uint32_t>(options.clock == nullptr ? ClockKind::kBoottime : ClockKind::kCallers);
  if (getrandom(&fixed.seed, sizeof(fixed.seed), 0) != sizeof(fixed.seed)) return SystemError(errno, "getrandom");
  return fixed;
}

absl::StatusOr<std::shared_ptr<DictHandle>> DictHandle::Create(const Location& location, const Options& options) {
  absl::StatusOr<FixedHeader> parameters = PlanSegment(options);
  if (!parameters.ok()) return parameters.status();
  // Whatever may fail comes before the segment is there.
  if (absl::Status status = PrepareProcess(); !status.ok()) return status;
  absl::StatusOr<uint64_t> boot = options.clock == nullptr ? BootId() : kUnknownBoot;
  if (!boot.ok()) return boot.status();
  absl::StatusOr<std::unique_ptr<Segment>> segment =
      Segment::Create(location, ToSegmentOptions(options), *parameters, [&](Segment& made) {
        // Everything else of an empty dict is zero.
        InitializeBootClock(made.header(), *boot);
      });
  if (!segment.ok()) return segment.status();
  return Make(*std::move(segment), options, *boot);
}

absl::StatusOr<std::shared_ptr<DictHandle>> DictHandle::Open(const Location& location, const Options& options) {
  if (absl::Status status = PrepareProcess(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Segment>> segment = Segment::Attach(location, ToSegmentOptions(options));
  if (!segment.ok()) return segment.status();
  absl::StatusOr<uint64_t> boot = options.clock == nullptr ? BootId() : kUnknownBoot;
  if (!boot.ok()) return boot.status();
  return Make(*std::move(segment), options, *boot);
}

absl::StatusOr<std::shared_ptr<DictHandle>> DictHandle::Make(std::unique_ptr<Segment> segment, const Options& options,
                                                             uint64_t boot) {
  std::shared_ptr<DictHandle> handle(new DictHandle);
  (void)UnderWay();
  (void)Recovery<RealMemory>::OwnThread();
  const bool callers = segment->fixed().clock_id == static_cast<uint32_t>(ClockKind::kCallers);
  if (callers != (options.clock != nullptr)) {
    return absl::FailedPreconditionError(absl::StrCat(
        segment->description(), callers ? " was made with a clock of its own; open it with that clock in Options::clock"
                                        : " was made with the default clock; open it without Options::clock"));
  }
  if (callers) {
    handle->clock_ = options.clock;
  } else {
    absl::StatusOr<std::unique_ptr<Clock>> clock = MakeBootClock(*segment, boot);
    if (!clock.ok()) return clock.status();
    handle->own_clock_ = *std::move(clock);
    handle->clock_ = handle->own_clock_.get();
  }
  Segment* const mapped = segment.get();
  handle->segment_ = std::move(segment);
  handle->lock_mode_ = options.lock_mode;
  if (options.wait_limit != absl::InfiniteDuration()) {
    handle->wait_limit_ = std::max<int64_t>(0, absl::ToInt64Nanoseconds(options.wait_limit));
  }
  handle->bounded_or_locking_ = handle->lock_mode_ == LockMode::kGlobalMutex || handle->wait_limit_ != kNoDeadline;
  if (!mapped->read_only()) {
    handle->liveness_ =
        MakeOfdLiveness([mapped] { return mapped->Reopen(); }, [mapped] { return mapped->QueryDescriptor(); });
  }
  const FixedHeader& fixed = mapped->fixed();
  handle->table_ = std::make_unique<Table<RealMemory>>(Regions(mapped->base(), mapped->geometry()), fixed.seed,
                                                       fixed.ordered != 0, handle->liveness_.get(), handle->clock_);
  DictHandle* const self = handle.get();
  handle->pool_ = std::make_unique<WriterPool>(
      [self, blocking = options.blocking] {
        absl::StatusOr<std::unique_ptr<Writer>> writer =
            ClaimWriter(self->table_->mutable_context(), self->table_->recovery(), 0);
        if (writer.ok()) (*writer)->blocking = blocking;
        return writer;
      },
      [](std::unique_ptr<Writer> writer) { ReleaseWriter<RealMemory>(std::move(writer)); });
  return handle;
}

absl::StatusOr<Writer*> DictHandle::BeginWrite() {
  if (closed()) return absl::FailedPreconditionError("this dict was closed");
  if (segment_->read_only())
    return absl::FailedPreconditionError("this dict was opened read-only; open it for writing");
  if (ProcessSection::Entered()) return UnderWay();
  absl::StatusOr<Writer*> writer = pool_->ForThisThread();
  if (!writer.ok()) return writer;
  if ((*writer)->busy) return UnderWay();
  (*writer)->deadline = kNoDeadline;
  if (wait_limit_ != kNoDeadline) {
    const int64_t now = Recovery<RealMemory>::MonotonicNow();
    (*writer)->deadline = now > kNoDeadline - wait_limit_ ? kNoDeadline : now + wait_limit_;
  }
  return writer;
}

absl::StatusOr<Writer*> DictHandle::Lock() {
  absl::StatusOr<Writer*> writer = BeginWrite();
  if (!writer.ok()) return writer;
  (*writer)->busy = true;
  absl::Status status = table_->LockGlobal(**writer);
  (*writer)->busy = false;
  if (!status.ok()) return status;
  return writer;
}

void DictHandle::Unlock(Writer& writer) {
  if (writer.process != ProcessGeneration()) return;  // its thread has ended, and others have recovered it
  const bool busy = writer.busy;                      // in Update's function
  writer.busy = true;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // for a signal handler that writes in the middle of it
  table_->UnlockGlobal(writer);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  writer.busy = busy;
}

absl::StatusOr<uint32_t> DictHandle::RecoverDead() {
  if (ProcessSection::Entered()) return UnderWay();
  return table_->recovery().RecoverDead();
}

int64_t DictHandle::FiniteExpiryOf(absl::Duration ttl) const {
  const int64_t now = clock_->Now();
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(ttl);  // saturates
  if (nanoseconds <= 0) return now;
  return now > std::numeric_limits<int64_t>::max() - nanoseconds ? std::numeric_limits<int64_t>::max()
                                                                 : now + nanoseconds;
}

absl::Duration DictHandle::FiniteTtlOf(int64_t expiry) const {
  if (expiry == std::numeric_limits<int64_t>::max()) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), absl::Nanoseconds(expiry) - absl::Nanoseconds(clock_->Now()));
}

}  // namespace segdict::internal
