// Liveness: does the thread that owns a writer record still exist?
//
// Not a pid, not a heartbeat: a kernel lock. Record r's owner holds the open-file-description (OFD) lock on byte
// kLockRange + r of the segment's file, through a description of its own that only a mapping keeps open:
//
//   open the file afresh -> map one page -> MADV_DONTFORK -> lock the byte -> close the descriptor
//
// So the lock is gone when the process is gone, whatever killed it, or when it calls exec; it stays while the process
// is stopped; a forked child does not inherit it; close() and close_range() in the owner cannot drop it; pid namespaces
// and libc have no part in it. F_OFD_GETLK asks (0.5 us). Whoever obtains a dead one's byte by F_OFD_SETLK is its one
// recoverer, and if it dies too, the byte is free again. Whoever may read the file can take a read lock on the byte of
// a dead one: that is nobody's sign of life, but it keeps others from claiming and recovering the record.
//
// A fork between open and close would give the child a descriptor of that description, so forks wait (pthread_atfork)
// while one is open; a raw clone() without libc is outside of this.
#ifndef SEGDICT_SRC_SYNC_LIVENESS_H_
#define SEGDICT_SRC_SYNC_LIVENESS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "src/base/descriptor.h"

namespace segdict::internal {

// Far behind the end of any segment: locks need no bytes there.
inline constexpr int64_t kLockRange = int64_t{1} << 62;

class Liveness {
 public:
  virtual ~Liveness() = default;

  // Holding it keeps the record alive; destroyed, the record's byte is free.
  class Token {
   public:
    virtual ~Token() = default;
  };

  // Whether anybody holds the record's byte: its owner, or a recoverer at work.
  virtual absl::StatusOr<bool> IsAlive(uint32_t record) = 0;

  // Takes the record's byte; null if it is held. The holder of the token first recovers what the last owner left.
  virtual absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t record) = 0;

  // Takes the record's byte for the time of the call of `recover`; false (and no call) if it is held.
  virtual absl::StatusOr<bool> TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) = 0;
};

// Opens the segment's file afresh (a new open file description), for reading and writing.
using FreshDescription = std::function<absl::StatusOr<UniqueFd>()>;
// A descriptor of the segment's file for questions, checked to be still that.
using QueryDescriptor = std::function<absl::StatusOr<int>()>;

std::unique_ptr<Liveness> MakeOfdLiveness(FreshDescription fresh, QueryDescriptor query);

// Runs `body` holding byte lock `number` of the range behind the records'; waits for it, a minute at the most
// (UNAVAILABLE). Freed when its holder dies.
absl::Status WithSegmentLock(const FreshDescription& fresh, uint32_t number, absl::FunctionRef<absl::Status()> body);

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_SYNC_LIVENESS_H_
