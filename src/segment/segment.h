// A segment: a file of fixed size with a segdict in it, mapped into this process.
//
// Creation. The segment is built whole in a file without a name (O_TMPFILE) of the same filesystem and then published
// by linkat(2) under its name: nobody ever sees it half made, and when the creator dies before that, the kernel takes
// it away. Where O_TMPFILE or /proc is missing, a file with a random name is built and published by link(2); a creator
// killed there leaves ".segdict-<random>" behind, which nobody can mistake for a segment of that name. Memory is
// reserved by posix_fallocate before the first write, so a full filesystem is an error here and not SIGBUS later.
//
// Attach. O(1): one open, one look at the header, one mmap. Everything that will be relied on is validated against
// the file first; see Validate in segment.cc for the list of refusals. A memfd is sealed once more: its creator may
// have died before it could. In a file with holes (a copy, say) a writer reserves the memory anew.
#ifndef SEGDICT_SRC_SEGMENT_SEGMENT_H_
#define SEGDICT_SRC_SEGMENT_SEGMENT_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "segdict/location.h"
#include "src/base/descriptor.h"
#include "src/layout/header.h"

namespace segdict::internal {

// How to make a file and map it.
struct SegmentOptions {
  mode_t mode = 0600;                 // of a created file, not changed by the umask
  int64_t group = -1;                 // gid of a created file; -1: the process's
  std::vector<uid_t> trusted_owners;  // owners accepted at attach besides this process's user and root
  bool read_only = false;
  bool huge_pages = false;  // MADV_HUGEPAGE, a request
  bool prefault = false;    // map every page now
  bool exclude_from_core_dumps = false;
};

class Segment {
 public:
  // Makes a segment with these parameters (checksum and the derived fields are filled in here) and attaches it.
  // ALREADY_EXISTS if the name is taken, RESOURCE_EXHAUSTED if there is no room. `initialize` is called on the zeroed,
  // mapped segment before it is published.
  static absl::StatusOr<std::unique_ptr<Segment>> Create(const Location& location, const SegmentOptions& options,
                                                         FixedHeader parameters,
                                                         absl::FunctionRef<void(Segment&)> initialize);
  static absl::StatusOr<std::unique_ptr<Segment>> Attach(const Location& location, const SegmentOptions& options);
  static absl::Status Unlink(const Location& location);
  // Whether a segment could be made in a descriptor's file: it is empty, or what a creator has not finished.
  static bool IsVacant(const Location& location);

  struct Listed {
    std::string name;
    uint64_t size;
    uint64_t capacity;
    uid_t owner;
    mode_t mode;
  };
  // The segments of the POSIX shared memory directory that this process may read.
  static absl::StatusOr<std::vector<Listed>> List();

  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  char* base() const { return base_; }
  Header& header() const { return *reinterpret_cast<Header*>(base_); }
  const Geometry& geometry() const { return geometry_; }
  const FixedHeader& fixed() const {
    return fixed_;
  }  // as validated at attach: the segment's own may since have been damaged
  bool read_only() const { return read_only_; }
  const std::string& description() const { return description_; }  // for messages: "segment 'name'"

  // A new open file description of the file, read-write. From /proc/self/fd, or from the path if that still leads to
  // this file.
  absl::StatusOr<UniqueFd> Reopen() const;
  // The handle's descriptor, if it still is this file's: an application may have closed what it did not open.
  absl::StatusOr<int> QueryDescriptor() const;

  // What of the mapping is backed by huge pages now, in bytes; -1 if the kernel does not say.
  int64_t HugePageBytes() const;

 private:
  Segment() = default;
  static absl::StatusOr<std::unique_ptr<Segment>> CreateUnlocked(const Location& location,
                                                                 const SegmentOptions& options, FixedHeader parameters,
                                                                 absl::FunctionRef<void(Segment&)> initialize);
  absl::Status Map(const SegmentOptions& options);
  bool SameFile(int fd) const;

  UniqueFd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::string path_;  // empty for descriptors
  std::string description_;
  char* base_ = nullptr;
  Geometry geometry_{};
  FixedHeader fixed_{};
  bool read_only_ = false;
};

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_SEGMENT_SEGMENT_H_
