// Dict: a hash table in shared memory, for any number of processes and threads.
//
// Keys are byte strings of 0 to 65,535 bytes; values are byte strings with a type tag. Readers write nothing and wait
// for nothing: a lookup returns the last committed value although a writer is stopped or dead in the middle of writing
// that very key. A process that is killed at any instruction leaves nothing locked, torn or leaked: the next writer who
// comes by finishes or undoes what it was doing.
//
//   auto dict = segdict::Dict::OpenOrCreate(segdict::Name("sessions"), {.capacity = 100'000, .value_bytes = 64 << 20});
//   if (!dict.ok()) return dict.status();
//   absl::Status status = dict->Set("user:17", "Ada", {.ttl = absl::Minutes(5)});
//   std::string value;
//   if (dict->Get("user:17", &value).ok()) ...
//
// What every call has in common:
//   Threads      All calls of one Dict may run at once from any threads. A Dict may be copied; copies share one handle.
//                When a thread ends that has written, the library is called: it must not have been unloaded (link it
//                with -Wl,-z,nodelete into a plugin that may be, as the shared library is). A thread must not be
//                cancelled (pthread_cancel) during a call: that ends the process.
//   Processes    Any number; also after fork without exec, in different pid namespaces, and read-only.
//   Consistency  Operations on one key are linearizable, and so are operations on several keys one after the other.
//   Errors       FAILED_PRECONDITION: closed; a write on a read-only handle, in Update's function, or from a signal
//                handler that interrupted a write of this thread. DATA_LOSS: the segment is damaged; nothing was
//                changed. ABORTED: the entry changed too often under this call; try again. UNAVAILABLE: the
//                application closed the library's descriptor. Writes also: RESOURCE_EXHAUSTED: full, or no writer
//                record is free; DEADLINE_EXCEEDED: waited longer than wait_limit for a stopped writer;
//                CANCELLED: Options::blocking gave the wait up; INVALID_ARGUMENT: key or value too long;
//                PERMISSION_DENIED: a thread's first write opens the file again, which this process may not do any
//                more (it has dropped privileges since it opened the dict: open it anew). In each case nothing was
//                changed.
//   Cost         At 75 % load a lookup reads 1.03 groups (16 bytes) and 1.01 slots (a cache line) on average if it
//                hits, 1.08 groups if it misses, and makes no system call. An overwrite of an entry in its slot makes
//                two atomic read-modify-writes and no system call.
//   Crashes      Each operation happened wholly or not at all.
//   Handlers     Of a signal, or of fork: reads into a buffer, and writes, which are refused (FAILED_PRECONDITION)
//                while one of the same thread is under way; if the thread has written to the dict before. Nothing else,
//                which may need malloc, and no fork in a handler of a signal. If Update's function forks, the call is
//                the parent's; in the child it fails.
//   Memory       A call that cannot have the memory that it needs throws std::bad_alloc. Nothing stays locked or half
//                done; calls on several keys may have done a part.
#ifndef SEGDICT_DICT_H_
#define SEGDICT_DICT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "segdict/location.h"
#include "segdict/options.h"

namespace segdict {

namespace internal {
class DictHandle;
}

class Dict {
 public:
  // ---- Making and opening ---------------------------------------------------------------------------------

  // Makes a dict. ALREADY_EXISTS if the name is taken; RESOURCE_EXHAUSTED if the filesystem has no room for it (its
  // whole memory is reserved now); INVALID_ARGUMENT for impossible options. Nothing is left behind by a failure, or by
  // a death in the middle; only where the filesystem has no O_TMPFILE, or /proc is missing, a death may leave a file
  // `.segdict-<random>` beside the dict, which is nobody's.
  static absl::StatusOr<Dict> Create(const Location& location, const Options& options);
  // Attaches to a dict. NOT_FOUND; PERMISSION_DENIED: no permission, or owned by a user who is not trusted;
  // FAILED_PRECONDITION: not a segdict segment, or of another format or clock; DATA_LOSS: truncated or damaged;
  // RESOURCE_EXHAUSTED: the file is a copy with holes, and its filesystem has no room to fill them. O(1).
  static absl::StatusOr<Dict> Open(const Location& location, const Options& options = {});
  // Attaches, or makes the dict if there is none. Any number of processes may do so at once: all get the same dict.
  static absl::StatusOr<Dict> OpenOrCreate(const Location& location, const Options& options);
  // Takes the name away. Handles stay usable; the memory is freed when the last is gone.
  static absl::Status Unlink(const Location& location);
  // The dicts among the POSIX shared memory objects that this process may read, by name.
  static absl::StatusOr<std::vector<SegmentInfo>> List();

  // The arena bytes that an entry counts for in Options::value_bytes: 0 if it fits into its slot, else the size class's
  // rounding included. A value longer than a page (64 KiB; 16 KiB below 4 MiB of value_bytes, 4 KiB below 1 MiB) counts
  // whole pages. 2^64 - 1 for lengths above 2^62.
  static uint64_t ValueBytesFor(const Options& options, size_t key_length, uint64_t value_length,
                                bool with_ttl = false);

  Dict(const Dict&);
  Dict& operator=(const Dict&);
  Dict(Dict&&) noexcept;
  Dict& operator=(Dict&&) noexcept;
  ~Dict();

  // Ends the use of this handle and its copies: further calls fail. Calls under way in other threads finish
  // undisturbed; the memory is unmapped when the last copy is gone.
  void Close();

  // ---- Reading: no stores, no locks, no waiting -----------------------------------------------------------

  // NOT_FOUND (without message) if the key is not there or has expired; what *value holds then is not specified.
  absl::Status Get(std::string_view key, std::string* value) const;
  absl::StatusOr<std::string> Get(std::string_view key) const;
  // Into the caller's buffer; OUT_OF_RANGE if that is too small for the value. In both cases all of `info` is set, from
  // one state of the entry; in others it is left alone. Unless OK is returned, what the buffer then holds is
  // unspecified.
  absl::Status Get(std::string_view key, std::span<char> buffer, ValueInfo* info) const;
  // Calls visit once with a private copy of the entry. No lock is held: visit may use the dict.
  absl::Status Visit(std::string_view key, absl::FunctionRef<void(const Entry&)> visit) const;
  // One call of visit for each key, in order; null for a key that is not there. Faster than single lookups: the memory
  // accesses of 32 keys at a time are under way together.
  absl::Status GetMany(std::span<const std::string_view> keys,
                       absl::FunctionRef<void(size_t index, const Entry* entry)> visit) const;
  absl::StatusOr<std::vector<std::optional<std::string>>> GetMany(std::span<const std::string_view> keys) const;
  absl::StatusOr<bool> Contains(std::string_view key) const;

  // Calls visit for each entry until it returns false. Weakly consistent: every entry is whole, a key that is there
  // from beginning to end is visited exactly once, one inserted or erased meanwhile at most once. No lock is held:
  // visit may use the dict. O(slots); in a dict that is filled to its last slots also 16 bytes of private memory for
  // each entry that is not in its home group, one of seven.
  absl::Status ForEach(absl::FunctionRef<bool(const Entry&)> visit) const;
  // In the order of insertion (an overwrite keeps an entry's place), or backwards. O(n log n), 16 bytes of private
  // memory an entry. FAILED_PRECONDITION if the dict is not ordered.
  absl::Status ForEachOrdered(Direction direction, absl::FunctionRef<bool(const Entry&)> visit) const;

  // Entries, those that have expired but are not yet reclaimed included. O(writers); exact while nobody is writing.
  uint64_t size() const;
  // Entries promised at creation.
  uint64_t capacity() const;
  // Bytes for keys and values promised at creation.
  uint64_t value_bytes() const;
  // Bytes of the whole segment.
  uint64_t segment_bytes() const;
  // Whether entries keep the order of insertion.
  bool ordered() const;

  // ---- Writing --------------------------------------------------------------------------------------------

  absl::Status Set(std::string_view key, std::string_view value, const WriteOptions& options = {});
  // The value is the parts, one after the other: a header before a long body, say, which is copied once.
  absl::Status SetParts(std::string_view key, std::span<const std::string_view> parts,
                        const WriteOptions& options = {});
  // Each pair by itself, in order; stops at the first error, of which `done` (if given) tells how many were set before.
  absl::Status SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs,
                       const WriteOptions& options = {}, size_t* done = nullptr);
  // ALREADY_EXISTS if the key is there.
  absl::Status Insert(std::string_view key, std::string_view value, const WriteOptions& options = {});
  // NOT_FOUND if the key is not there.
  absl::Status Replace(std::string_view key, std::string_view value, const WriteOptions& options = {});
  // NOT_FOUND if the key is not there.
  absl::Status Erase(std::string_view key);
  // Each key by itself, in order; how many were there. Stops at the first error: those before it are erased, unless it
  // is INVALID_ARGUMENT.
  absl::StatusOr<uint64_t> EraseMany(std::span<const std::string_view> keys);
  // Erases the entry and gives its value. NOT_FOUND if the key is not there.
  absl::StatusOr<std::string> Take(std::string_view key);
  // Sets the value if the entry still is at `expected` (from an Entry); returns its new version. ABORTED if it is not,
  // or the dict itself moved it: look again. NOT_FOUND if the key is not there.
  absl::StatusOr<Version> CompareAndSet(std::string_view key, const Version& expected, std::string_view value,
                                        const WriteOptions& options = {});
  // Erases the entry if it still is at `expected`. ABORTED and NOT_FOUND as above.
  absl::Status CompareAndErase(std::string_view key, const Version& expected);
  // Adds to a kInt64 value, keeping its time to live; returns what it was before. NOT_FOUND if the key is not there and
  // no `initial` is given (with it, initial + addend is stored, with `options`, and initial returned). OUT_OF_RANGE on
  // overflow, FAILED_PRECONDITION if the value is no kInt64: nothing is changed.
  absl::StatusOr<int64_t> FetchAdd(std::string_view key, int64_t addend, std::optional<int64_t> initial = std::nullopt,
                                   const WriteOptions& options = {});
  // Atomically replaces the entry by what fn makes of it: fn gets the entry, or null, and returns the new value; or
  // nullopt, to leave everything as it is. fn runs on a copy, and runs again if the entry changed meanwhile. No lock is
  // held, but in LockMode::kGlobalMutex, or between Lock and its end, the global one: other writes wait for fn. With no
  // `options`, type and time to live stay.
  absl::Status Update(std::string_view key, absl::FunctionRef<std::optional<std::string>(const Entry*)> fn,
                      const std::optional<WriteOptions>& options = std::nullopt);
  // Gives the entry another time to live, from now. NOT_FOUND if the key is not there.
  absl::Status Touch(std::string_view key, absl::Duration ttl);
  // Puts the entry behind all others, as if it were new, without it ever being gone; for ForEachOrdered it is erased
  // and inserted again. NOT_FOUND if the key is not there; FAILED_PRECONDITION if the dict is not ordered.
  absl::Status MoveToEnd(std::string_view key);
  // Erases everything that is there when it comes by; entries one by one, not as a whole.
  absl::Status Clear();
  // Reclaims expired entries among the next `budget` slots (all, by default); returns how many. Writers also reclaim as
  // they pass and before they say RESOURCE_EXHAUSTED, so calling it is never necessary.
  absl::StatusOr<uint64_t> Sweep(uint64_t budget = ~uint64_t{0});

  // ---- The global lock ------------------------------------------------------------------------------------

  // Holds the dict's global lock; see Dict::Lock. To be destroyed by the thread that got it.
  class LockGuard {
   public:
    LockGuard(LockGuard&& other) noexcept
        : handle_(std::move(other.handle_)), writer_(std::exchange(other.writer_, nullptr)), process_(other.process_) {}
    LockGuard& operator=(LockGuard&&) = delete;
    ~LockGuard();

   private:
    friend class Dict;
    LockGuard(std::shared_ptr<internal::DictHandle> handle, void* writer, uint64_t process)
        : handle_(std::move(handle)), writer_(writer), process_(process) {}
    std::shared_ptr<internal::DictHandle> handle_;
    void* writer_;
    uint64_t process_;
  };
  // Serializes a section with every write of every handle in LockMode::kGlobalMutex, and with other such sections, in
  // all processes. Recursive per thread; reads are not held up. If the holder dies the lock is free again; what the
  // section did is not rolled back.
  absl::StatusOr<LockGuard> Lock();

  // ---- Looking after it -----------------------------------------------------------------------------------

  // Counted by reading every slot and every block word: O(slots + arena).
  absl::StatusOr<Stats> GetStats() const;
  // Checks every invariant of the format; never writes. What is in flight is passed by and counted. O(slots + arena)
  // time, a byte a group and four bytes a slot of private memory.
  absl::StatusOr<VerifyReport> Verify() const;
  // Finishes or undoes now what dead writers left; returns how many writer records were recovered. Never necessary:
  // whoever comes across a dead writer's lock recovers it.
  absl::StatusOr<uint32_t> Recover();

 private:
  explicit Dict(std::shared_ptr<internal::DictHandle> handle);
  std::shared_ptr<internal::DictHandle> handle_;
};

}  // namespace segdict

#endif  // SEGDICT_DICT_H_
