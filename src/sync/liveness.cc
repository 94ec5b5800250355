#include "src/sync/liveness.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <mutex>
#include <utility>

#include "src/layout/owned_word.h"
#include "src/sync/fork.h"

namespace segdict::internal {
namespace {

struct flock ByteLock(int16_t type, int64_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

// True: locked. False: somebody else has it.
absl::StatusOr<bool> TryLock(int fd, uint32_t record) {
  struct flock lock = ByteLock(F_WRLCK, kLockRange + record);
  if (NoEintr([&] { return fcntl(fd, F_OFD_SETLK, &lock); }) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return SystemError(errno, "cannot lock a byte of the segment's file (F_OFD_SETLK)");
}

class MappingToken : public Liveness::Token {
 public:
  explicit MappingToken(void* page) : page_(page), generation_(ProcessGeneration()) {}
  // In a forked child the mapping does not exist, and something else may stand at its address.
  ~MappingToken() override {
    if (generation_ == ProcessGeneration()) munmap(page_, 4096);
  }

 private:
  void* page_;
  uint64_t generation_;
};

class OfdLiveness : public Liveness {
 public:
  OfdLiveness(FreshDescription fresh, QueryDescriptor query) : fresh_(std::move(fresh)), query_(std::move(query)) {}

  absl::StatusOr<bool> IsAlive(uint32_t record) override {
    absl::StatusOr<int> fd = query_();
    if (!fd.ok()) return fd.status();
    // Could it be read-locked? Only a write lock, which is what owners hold, is in the way: read locks are of
    // strangers, whom the permission to read suffices for that.
    struct flock lock = ByteLock(F_RDLCK, kLockRange + record);
    if (fcntl(*fd, F_OFD_GETLK, &lock) != 0) {
      return SystemError(errno, "cannot ask for a lock of the segment's file (F_OFD_GETLK)");
    }
    // The descriptor was this file's before the question; only if it still is, the answer was about this file.
    if (absl::StatusOr<int> still = query_(); !still.ok() || *still != *fd) {
      return absl::UnavailableError("the segment's descriptor was closed or replaced by the application");
    }
    return lock.l_type != F_UNLCK;
  }

  absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t record) override {
    const ProcessSection section;
    std::lock_guard<std::mutex> gate(ForkGate());
    absl::StatusOr<UniqueFd> fd = fresh_();
    if (!fd.ok()) return fd.status();
    // Mapped and excluded from forks before the lock is taken, so that at no time a child could share the lock.
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd->get(), 0);
    if (page == MAP_FAILED) return SystemError(errno, "cannot map the segment's liveness page");
    auto token = std::make_unique<MappingToken>(page);
    if (madvise(page, 4096, MADV_DONTFORK) != 0) return SystemError(errno, "cannot set MADV_DONTFORK");
    absl::StatusOr<bool> locked = TryLock(fd->get(), record);
    if (!locked.ok()) return locked.status();
    if (!*locked) return std::unique_ptr<Token>();
    return std::unique_ptr<Token>(std::move(token));
  }

  absl::StatusOr<bool> TryAdopt(uint32_t record, absl::FunctionRef<void()> recover) override {
    const ProcessSection section;
    std::lock_guard<std::mutex> gate(ForkGate());
    absl::StatusOr<UniqueFd> fd = fresh_();
    if (!fd.ok()) return fd.status();
    absl::StatusOr<bool> locked = TryLock(fd->get(), record);
    if (!locked.ok() || !*locked) return locked;
    recover();
    return true;  // closing the description's only descriptor frees the byte
  }

 private:
  FreshDescription fresh_;
  QueryDescriptor query_;
};

}  // namespace

std::unique_ptr<Liveness> MakeOfdLiveness(FreshDescription fresh, QueryDescriptor query) {
  return std::make_unique<OfdLiveness>(std::move(fresh), std::move(query));
}

absl::Status WithSegmentLock(const FreshDescription& fresh, uint32_t number, absl::FunctionRef<absl::Status()> body) {
  constexpr int kTries = 60'000;
  for (int tries = 0; tries < kTries; ++tries) {
    {
      const ProcessSection section;
      std::lock_guard<std::mutex> gate(ForkGate());
      absl::StatusOr<UniqueFd> fd = fresh();
      if (!fd.ok()) return fd.status();
      absl::StatusOr<bool> locked = TryLock(fd->get(), kMaxRecords + number);
      if (!locked.ok()) return locked.status();
      if (*locked) return body();
    }
    usleep(1000);  // outside of the gate: others may fork and recover meanwhile
  }
  return absl::UnavailableError("another process has held a lock on the segment's file for a minute (is it stopped?)");
}

}  // namespace segdict::internal
