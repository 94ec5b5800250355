// How a dict is made, opened and written to, and what it tells about itself.
#ifndef SEGDICT_OPTIONS_H_
#define SEGDICT_OPTIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "segdict/clock.h"

namespace segdict {

// What a value is, for those who read it; the dict itself interprets only kInt64 (FetchAdd). Stored with each entry.
// 0..15 are the library's, 16..31 name common encodings, 32..255 are free for the application; of them the Python
// package uses 32 to 35, and 128 to 255 (python/binding/values.h).
enum class Type : uint8_t {
  kBytes = 0,
  kString = 1,  // UTF-8
  kInt64 = 2,   // 8 bytes, little-endian
  kDouble = 3,  // 8 bytes, little-endian IEEE 754
  kBool = 4,    // 1 byte
  kNone = 5,    // 0 bytes
  kPickle = 16,
  kJson = 17,
  kMsgpack = 18,
  kFirstFree = 32,
};

enum class LockMode {
  kPerSlot,      // writers of different keys do not wait for each other
  kGlobalMutex,  // every write through this handle is serialized with those of all other such handles
};

// How a thread sleeps while its call waits for another writer; for runtimes that must know: to release an interpreter's
// lock, to look for signals.
class Blocking {
 public:
  virtual ~Blocking() = default;
  // Called for each sleep, of 1 ms at the most, instead of sleeping; calls `sleep` once, or not at all. False: gives
  // the wait up; the call returns CANCELLED and has changed nothing. The calling thread may hold locks of the dict:
  // Sleep must not use the dict, and must not throw. Thread-safe.
  virtual bool Sleep(absl::FunctionRef<void()> sleep) = 0;
};

struct Options {
  // --- What Create makes. OpenOrCreate and Open take what they find and ignore these. ---

  // Entries that fit at least; more may. 1 to (2^32 - 1500) * max_load.
  uint64_t capacity = 0;
  // Bytes for keys and values that do not fit into their slot, as Dict::ValueBytesFor counts them. Entries that fit
  // (key and value of together 48 bytes in slots of 64) need none. An overwrite needs the new value's bytes while the
  // old one is still there.
  uint64_t value_bytes = 0;
  uint32_t slot_size = 64;  // 32, 64 or 128 bytes: 16, 48 or 112 bytes inline
  double max_load =
      0.75;  // entries a slot when `capacity` is reached, above 0 and at most 1; lower is faster and larger
  uint32_t max_writers = 128;  // threads that write at a time, over all processes; 1 to 32768, 512 bytes each
  bool ordered = false;        // entries carry their insertion order: 8 bytes each; needs slots of 64 bytes or more
  // Permissions of the file. Give them to those alone whom you trust: whoever may write can destroy the contents;
  // whoever may read can hold read locks on the file, which keep the records of dead writers from being recovered and
  // new writers from getting one. The owner's to read and to write (0600) are always among them. Each thread opens the
  // file again for its first write: a process that drops its privileges must open the dict anew after that.
  mode_t mode = 0600;
  int64_t group = -1;  // group id of the file; -1: the process's

  // --- How a handle uses it. ---

  LockMode lock_mode = LockMode::kPerSlot;
  bool read_only = false;  // maps read-only; every write is FAILED_PRECONDITION
  // How long a call may wait for another writer before it returns DEADLINE_EXCEEDED. A dead writer is never waited for;
  // a stopped one is.
  absl::Duration wait_limit = absl::InfiniteDuration();
  // How such a wait sleeps; null: the thread just sleeps. Not owned; must outlive the handle.
  Blocking* blocking = nullptr;
  std::vector<uid_t> trusted_owners = {};  // users, besides this process's and root, whose segments are opened
  bool huge_pages = false;                 // ask for huge pages; Stats says what was obtained
  bool prefault = false;                   // map all pages when opening instead of at first use
  bool exclude_from_core_dumps = false;
  // For expiry; null: CLOCK_BOOTTIME. All handles of a segment must use the same clock: a segment remembers whether it
  // was the caller's. Not owned; must outlive the handle.
  const Clock* clock = nullptr;
};

struct WriteOptions {
  Type type = Type::kBytes;
  absl::Duration ttl = absl::InfiniteDuration();  // zero or less: expired at once
  bool keep_ttl = false;  // an entry that is there keeps the time that it has; `ttl` is for others
};

// An opaque token for one state of one entry: equal tokens, unchanged entry. It may also change without a new value
// being set, when the dict moves an entry or undoes a dead writer's work; so a failed CompareAndSet says "look again".
struct Version {
  uint64_t slot = ~uint64_t{0};
  uint64_t seq = 0;
  bool operator==(const Version&) const = default;
};

// What a lookup tells about a value besides its bytes.
struct ValueInfo {
  size_t length = 0;
  Type type = Type::kBytes;
  absl::Duration ttl = absl::InfiniteDuration();  // remaining
  Version version;
};

// One entry, in private memory of the call that shows it; valid until that call returns.
struct Entry {
  std::string_view key;
  std::string_view value;
  Type type = Type::kBytes;
  absl::Duration ttl = absl::InfiniteDuration();  // remaining
  Version version;
  uint64_t order = 0;  // insertion number; 0 if the dict is not ordered
};

enum class Direction { kForward, kBackward };

struct Stats {
  uint64_t capacity = 0;  // promised
  uint64_t slots = 0;
  uint64_t entries_live = 0;
  uint64_t entries_expired = 0;  // not yet reclaimed
  double load = 0;               // entries a slot
  // Groups that a lookup reads, on average, and slots that it compares, from the table as it stands.
  double groups_per_hit = 0;
  double groups_per_miss = 0;
  uint64_t displaced = 0;  // entries outside of their home group
  uint64_t max_reach = 0;  // the most groups behind its home that any lookup looks through

  struct ArenaClass {
    uint64_t block_bytes = 0;
    uint64_t pages = 0;
    uint64_t blocks_used = 0;
    uint64_t blocks_free = 0;
  };
  std::vector<ArenaClass> arena;  // by class, the largest first; pages of long values are of the first
  uint64_t page_bytes = 0;
  uint64_t pages = 0;
  uint64_t pages_free = 0;

  uint32_t writers = 0;  // records in use
  uint32_t max_writers = 0;
  uint64_t retries = 0;     // slot locks lost to another writer, over the dict's life
  uint64_t waits = 0;       // waits for another writer
  uint64_t recoveries = 0;  // records of dead writers cleaned up
  uint64_t segment_bytes = 0;
  int64_t huge_page_bytes = 0;  // of this mapping; -1: the kernel does not say
};

// What Verify found.
struct VerifyReport {
  uint64_t entries = 0;
  uint64_t blocks = 0;
  uint64_t in_flight = 0;  // locked slots and homes, blocks in a writer's hands: passed by
  uint64_t error_count = 0;
  std::vector<std::string> errors;  // the first 100, a sentence each
  bool ok() const { return error_count == 0; }
};

struct SegmentInfo {
  std::string name;
  uint64_t size = 0;      // bytes
  uint64_t capacity = 0;  // entries promised
  uid_t owner = 0;
  mode_t mode = 0;
};

}  // namespace segdict

#endif  // SEGDICT_OPTIONS_H_
