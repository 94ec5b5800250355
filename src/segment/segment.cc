#include "src/segment/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/prime.h"
#include "src/sync/liveness.h"

namespace segdict::internal {
namespace {

constexpr char kShmDirectory[] = "/dev/shm";
constexpr char kTemporaryPrefix[] = ".segdict-";

std::string DescriptorPath(int fd) { return absl::StrCat("/proc/self/fd/", fd); }

absl::StatusOr<std::string> PathOf(const Location& location) {
  const std::string& text = location.text();
  if (location.kind() == Location::Kind::kPath) {
    if (text.empty()) return absl::InvalidArgumentError("the path of a segment is empty; give the path of a file");
    if (text.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("the path of a segment has a NUL byte in it");
    }
    return text;
  }
  if (text.empty() || text.size() > 255 || text[0] == '.' || text.find('/') != std::string::npos ||
      text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text,
                     "' is no name for a segment: 1 to 255 bytes are expected, without '/' or NUL, not starting "
                     "with '.'; for a file elsewhere use Path()"));
  }
  return absl::StrCat(kShmDirectory, "/", text);
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

uint64_t Checksum(const FixedHeader& fixed) { return XXH3_64bits(&fixed, offsetof(FixedHeader, checksum)); }

Shape ShapeOf(const FixedHeader& fixed) {
  return {.groups = fixed.groups,
          .slot_size = fixed.slot_size,
          .records = fixed.records,
          .page_size = fixed.page_size,
          .pages = fixed.pages};
}

// The refusals of a header, in the order in which they tell most. `what` names the segment in messages.
absl::Status Validate(const FixedHeader& fixed, const std::string& what, bool read_only, Geometry* geometry) {
  if (std::memcmp(fixed.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, " is not a segdict segment (another program's, or never finished); remove it or use another name"));
  }
  if (fixed.format_version != kFormatVersion || fixed.header_size != kHeaderSize) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " has format version ", fixed.format_version, ", this library reads version ",
                     kFormatVersion, "; use the same library version in all processes, or make the segment anew"));
  }
  if (fixed.checksum != Checksum(fixed)) {
    return absl::DataLossError(absl::StrCat(what, " has a damaged header (checksum mismatch); make it anew"));
  }
  if (fixed.fingerprint != kFingerprint) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " was made by a build with another layout (fingerprint mismatch)"));
  }
  if (fixed.features_incompatible != 0 || (fixed.features_write != 0 && !read_only)) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " uses features that this library version does not know; update the library"));
  }
  if (fixed.hash_id != kHashXxh3 || fixed.hash_test != Hash("segdict", fixed.seed)) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " was made with a hash function that this build does not have"));
  }
  if (fixed.clock_id != static_cast<uint32_t>(ClockKind::kBoottime) &&
      fixed.clock_id != static_cast<uint32_t>(ClockKind::kCallers)) {
    return absl::FailedPreconditionError(absl::StrCat(what, " uses a clock that this library version does not know"));
  }
  for (const uint64_t word : fixed.reserved) {
    if (word != 0)
      return absl::FailedPreconditionError(absl::StrCat(what, " has reserved header bytes set; update the library"));
  }
  if (fixed.ordered > 1 || (fixed.ordered == 1 && fixed.slot_size < 64) ||
      !Geometry::Compute(ShapeOf(fixed), geometry) || geometry->size != fixed.segment_size ||
      (fixed.groups > 1 && !IsPrime(fixed.groups))) {
    return absl::DataLossError(absl::StrCat(what, " has an impossible geometry in its header; make it anew"));
  }
  return absl::OkStatus();
}

// What stands at `path` and cannot be opened is no segment, if it is there at all.
absl::Status CannotOpen(int error, const std::string& path, const std::string& what) {
  absl::Status status = SystemError(error, absl::StrCat("cannot open ", what));
  struct stat info;
  const bool dangling =
      error == ENOENT && lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode) && stat(path.c_str(), &info) != 0;
  if (dangling) {
    return absl::FailedPreconditionError(absl::StrCat(what, " is a symbolic link to what is not there; remove it"));
  }
  // A folder, a socket, a symbolic link in the place of a name.
  if (error == EISDIR || error == ENXIO || error == ENODEV || error == ELOOP) {
    return absl::FailedPreconditionError(status.message());
  }
  return status;
}

absl::Status CheckOwner(const struct stat& info, const SegmentOptions& options, const std::string& what) {
  if (!S_ISREG(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat(what, " is not a regular file"));
  const auto& trusted = options.trusted_owners;
  if (info.st_uid == geteuid() || info.st_uid == 0 ||
      std::find(trusted.begin(), trusted.end(), info.st_uid) != trusted.end()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat(what, " belongs to user ", info.st_uid,
                   ", who is not trusted; if that user should be, name it in trusted_owners"));
}

std::string Describe(const Location& location) {
  switch (location.kind()) {
    case Location::Kind::kName:
      return absl::StrCat("segment '", location.text(), "'");
    case Location::Kind::kPath:
      return absl::StrCat("segment file '", location.text(), "'");
    case Location::Kind::kDescriptor:
      break;
  }
  return absl::StrCat("segment of descriptor ", location.descriptor());
}

// A new file in `directory` that has no name yet, or (where the filesystem cannot do that) a random one, returned in
// `temporary`.
absl::StatusOr<UniqueFd> NewFile(const std::string& directory, std::string* temporary) {
  int fd = NoEintr([&] { return open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); });
  if (fd >= 0 && access(DescriptorPath(fd).c_str(), F_OK) == 0) return UniqueFd(fd);
  const int error = errno;
  if (fd >= 0) close(fd);
  if (fd < 0 && error != EOPNOTSUPP && error != EISDIR && error != EINVAL && error != ENOENT) {
    return SystemError(error, absl::StrCat("cannot create a file in ", directory));
  }
  for (int tries = 0; tries < 16; ++tries) {
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) return SystemError(errno, "getrandom");
    *temporary = absl::StrCat(directory, "/", kTemporaryPrefix, absl::Hex(random, absl::kZeroPad16));
    fd = NoEintr([&] { return open(temporary->c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600); });
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EEXIST) break;
  }
  temporary->clear();
  return SystemError(errno, absl::StrCat("cannot create a file in ", directory));
}

// The byte lock of WithSegmentLock that creators in a caller's file take.
constexpr uint32_t kCreationLock = 1;
// What a caller's file begins with before it is grown, until its magic is there. Under the creation lock it says that
// its creator has died, and that nothing else was ever in the file.
constexpr char kUnfinished[sizeof(kMagic)] = {'s', 'e', 'g', 'd', 'i', 'c', 't', '?'};

bool IsEmptyOrUnfinished(int fd) {
  char begin[sizeof(kUnfinished)];
  const ssize_t got = NoEintr([&] { return pread(fd, begin, sizeof(begin), 0); });
  return got == 0 || (got == sizeof(begin) && std::memcmp(begin, kUnfinished, sizeof(begin)) == 0);
}

absl::StatusOr<UniqueFd> ReopenDescriptor(const Location& location) {
  // Of what is not open /proc would say that it is not there.
  if (fcntl(location.descriptor(), F_GETFD) < 0)
    return SystemError(errno, absl::StrCat("cannot use ", Describe(location)));
  UniqueFd fd(NoEintr([&] { return open(DescriptorPath(location.descriptor()).c_str(), O_RDWR | O_CLOEXEC); }));
  if (!fd) return SystemError(errno, absl::StrCat("cannot open ", Describe(location), " for writing"));
  return fd;
}

// Empties a caller's file again if creation fails.
class CallersFile {
 public:
  ~CallersFile() {
    if (fd_ < 0) return;
    // Unless the application has closed the descriptor, whose number may name another file by now.
    struct stat now;
    if (fstat(fd_, &now) == 0 && (now.st_dev != file_.st_dev || now.st_ino != file_.st_ino)) return;
    if (ftruncate(fd_, 0) != 0) {
      // It stays grown; nothing more can be done about it.
    }
  }
  void Use(int fd, const struct stat& file) {
    fd_ = fd;
    file_ = file;
  }
  void Keep() { fd_ = -1; }

 private:
  int fd_ = -1;
  struct stat file_ {};
};

// Unlinks a temporary name when creation ends, however it ends.
class TemporaryName {
 public:
  ~TemporaryName() {
    if (!path.empty()) unlink(path.c_str());
  }
  std::string path;
};

// To be asked before anything is written: the kernel tells of this limit by a deadly signal (SIGXFSZ).
bool OverFileSizeLimit(uint64_t size) {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur;
}

// An error number. `allocate` is posix_fallocate, or what takes and returns the same.
int Reserve(int fd, uint64_t size, int (*allocate)(int, off_t, off_t)) {
  // Whole, unless a signal interrupts it: then tmpfs (before Linux 6.18) has given back all that the call had reserved,
  // so a timer would stop a long call for ever. What is asked for becomes less.
  uint64_t piece = size;
  for (uint64_t at = 0; at < size;) {
    const uint64_t length = std::min(piece, size - at);
    const int error = allocate(fd, static_cast<off_t>(at), static_cast<off_t>(length));
    if (error == EINTR) {
      piece = std::max<uint64_t>(4096, length / 8192 * 4096);
    } else if (error != 0) {
      return error;
    } else {
      at += length;
    }
  }
  return 0;
}

absl::Status CannotReserve(int error, uint64_t size, const std::string& what) {
  return SystemError(error, absl::StrCat("cannot reserve ", size, " bytes for ", what,
                                         " (too large for its filesystem? ask for less, or enlarge it)"));
}

// A copy may have holes where the original has zeros: memory that is reserved no more. Reserves it again, in a file
// that others may be using. A filesystem counts its own needs as well, so a small hole can stay unnoticed.
absl::Status FillHoles(int fd, const struct stat& file, uint64_t size, const std::string& what) {
  if (file.st_blocks >= (file.st_size + 511) / 512) return absl::OkStatus();
  // By the kernel alone: where it cannot, posix_fallocate writes zeros, which may come after another's first store.
  // There, and on a filesystem that compresses, nothing can be reserved.
  const int error = Reserve(fd, size, [](int descriptor, off_t at, off_t length) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, at, length) == 0 ? 0 : errno;
  });
  if (error == 0 || error == EOPNOTSUPP || error == ENOSYS) return absl::OkStatus();
  return CannotReserve(error, size, what);
}

// Nobody shrinks the file under its users any more. Fails for what is no memfd, for a memfd made without
// MFD_ALLOW_SEALING, and by a descriptor that is not open for writing: then there is nothing that can be sealed.
void Seal(int fd) { (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW); }

int64_t RealtimeNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Segment>> Segment::Create(const Location& location, const SegmentOptions& options,
                                                         FixedHeader parameters,
                                                         absl::FunctionRef<void(Segment&)> initialize) {
  if (location.kind() != Location::Kind::kDescriptor) return CreateUnlocked(location, options, parameters, initialize);
  // A file that is there already cannot be published at once: its creators, and who attaches, take turns.
  absl::StatusOr<std::unique_ptr<Segment>> segment = absl::UnknownError("");
  absl::Status status = WithSegmentLock([&] { return ReopenDescriptor(location); }, kCreationLock,
                                        [&] {
                                          segment = CreateUnlocked(location, options, parameters, initialize);
                                          return absl::OkStatus();
                                        });
  if (!status.ok()) return status;
  return segment;
}

absl::StatusOr<std::unique_ptr<Segment>> Segment::CreateUnlocked(const Location& location,
                                                                 const SegmentOptions& options, FixedHeader parameters,
                                                                 absl::FunctionRef<void(Segment&)> initialize) {
  const std::string what = Describe(location);
  if (options.read_only) return absl::InvalidArgumentError("a segment cannot be created read-only; attach it so later");
  std::unique_ptr<Segment> segment(new Segment);
  if (!Geometry::Compute(ShapeOf(parameters), &segment->geometry_)) {
    return absl::InvalidArgumentError(absl::StrCat("no segment can be as large as asked for: ", parameters.groups,
                                                   " groups, ", parameters.pages, " arena pages"));
  }
  const uint64_t size = segment->geometry_.size;
  if (OverFileSizeLimit(size)) return CannotReserve(EFBIG, size, what);
  std::string path;
  TemporaryName temporary;
  CallersFile callers;
  if (location.kind() == Location::Kind::kDescriptor) {
    segment->fd_ = UniqueFd(fcntl(location.descriptor(), F_DUPFD_CLOEXEC, 0));
    if (!segment->fd_) return SystemError(errno, absl::StrCat("cannot use ", what));
    struct stat info;
    if (fstat(segment->fd_.get(), &info) != 0) return SystemError(errno, "fstat");
    if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(what, " is not a regular file"));
    const bool left = info.st_size != 0;
    if (left && !IsEmptyOrUnfinished(segment->fd_.get()))
      return absl::AlreadyExistsError(absl::StrCat(what, " is not empty; open it, or give an empty file"));
    callers.Use(segment->fd_.get(), info);
    // To zero, what a dead creator left; then the mark, which a death leaves for the next one.
    ssize_t marked = -1;
    if (!left || ftruncate(segment->fd_.get(), 0) == 0) {
      marked = NoEintr([&] { return pwrite(segment->fd_.get(), kUnfinished, sizeof(kUnfinished), 0); });
    }
    if (marked != sizeof(kUnfinished)) {
      return SystemError(marked < 0 ? errno : ENOSPC, absl::StrCat("cannot write to ", what));
    }
  } else {
    absl::StatusOr<std::string> checked = PathOf(location);
    if (!checked.ok()) return checked.status();
    path = *std::move(checked);
    struct stat info;
    if (lstat(path.c_str(), &info) == 0) return absl::AlreadyExistsError(absl::StrCat(what, " exists already"));
    absl::StatusOr<UniqueFd> fd = NewFile(DirectoryOf(path), &temporary.path);
    if (!fd.ok()) return fd.status();
    segment->fd_ = *std::move(fd);
  }
  const int fd = segment->fd_.get();

  if (const int error = Reserve(fd, size, posix_fallocate); error != 0) return CannotReserve(error, size, what);

  FixedHeader& fixed = parameters;
  std::memcpy(fixed.magic, kMagic, sizeof(kMagic));
  fixed.format_version = kFormatVersion;
  fixed.header_size = kHeaderSize;
  fixed.fingerprint = kFingerprint;
  fixed.hash_id = kHashXxh3;
  fixed.hash_test = Hash("segdict", fixed.seed);
  fixed.segment_size = size;
  fixed.created_realtime = RealtimeNow();
  fixed.checksum = Checksum(fixed);
  segment->fixed_ = fixed;
  segment->path_ = path;
  segment->description_ = what;
  if (absl::Status status = segment->Map(options); !status.ok()) return status;
  initialize(*segment);
  // The fixed header last, its magic at the very end: a descriptor's file has no publication step of its own, and
  // whoever attaches it early finds no segdict there.
  char* base = segment->base_;
  std::memcpy(base + sizeof(kMagic), reinterpret_cast<const char*>(&fixed) + sizeof(kMagic),
              sizeof(fixed) - sizeof(kMagic));
  uint64_t magic;
  std::memcpy(&magic, kMagic, sizeof(magic));
  reinterpret_cast<Word*>(base)->store(magic, std::memory_order_release);

  if (location.kind() == Location::Kind::kDescriptor) {
    Seal(fd);
    callers.Keep();
    return segment;
  }
  if (options.group >= 0 && fchown(fd, static_cast<uid_t>(-1), static_cast<gid_t>(options.group)) != 0) {
    return SystemError(errno, absl::StrCat("cannot give ", what, " to group ", options.group));
  }
  if (fchmod(fd, options.mode) != 0) return SystemError(errno, absl::StrCat("cannot set the mode of ", what));
  const std::string from = temporary.path.empty() ? DescriptorPath(fd) : temporary.path;
  if (linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), temporary.path.empty() ? AT_SYMLINK_FOLLOW : 0) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(what, " exists already"));
    return SystemError(errno, absl::StrCat("cannot publish ", what));
  }
  return segment;
}

absl::StatusOr<std::unique_ptr<Segment>> Segment::Attach(const Location& location, const SegmentOptions& options) {
  const std::string what = Describe(location);
  const int flags = (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  UniqueFd fd;
  std::string path;
  if (location.kind() == Location::Kind::kDescriptor) {
    fd = UniqueFd(fcntl(location.descriptor(), F_DUPFD_CLOEXEC, 0));
    if (!fd) return SystemError(errno, absl::StrCat("cannot use ", what));
  } else {
    absl::StatusOr<std::string> checked = PathOf(location);
    if (!checked.ok()) return checked.status();
    path = *std::move(checked);
    // No O_NONBLOCK surprises: a FIFO or device of that name is refused below without having been waited for.
    const int extra = O_NONBLOCK | (location.kind() == Location::Kind::kName ? O_NOFOLLOW : 0);
    fd = UniqueFd(NoEintr([&] { return open(path.c_str(), flags | extra); }));
    if (!fd) return CannotOpen(errno, path, what);
  }
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return SystemError(errno, "fstat");
  if (absl::Status status = CheckOwner(info, options, what); !status.ok()) return status;

  std::unique_ptr<Segment> segment(new Segment);
  FixedHeader fixed;
  ssize_t got = 0;
  const auto read_header = [&] {
    got = NoEintr([&] { return pread(fd.get(), &fixed, sizeof(fixed), 0); });
    return absl::OkStatus();
  };
  if (location.kind() == Location::Kind::kDescriptor && !options.read_only) {
    absl::Status status = WithSegmentLock([&] { return ReopenDescriptor(location); }, kCreationLock, read_header);
    if (!status.ok()) return status;
  } else {
    (void)read_header();
  }
  if (got < 0) return SystemError(errno, absl::StrCat("cannot read ", what));
  if (static_cast<size_t>(got) < sizeof(fixed)) {
    return absl::FailedPreconditionError(absl::StrCat(what, " is not a segdict segment: only ", info.st_size,
                                                      " bytes long; remove it or use another name"));
  }
  absl::Status status = Validate(fixed, what, options.read_only, &segment->geometry_);
  if (!status.ok()) return status;
  // Its creator may have died between the magic and the seals. One that is alive is not in the way: once the magic is
  // there it changes the size no more.
  if (location.kind() == Location::Kind::kDescriptor) Seal(fd.get());
  // Now that the header is there, and the size is final: the file may have grown to it since the first look.
  if (fstat(fd.get(), &info) != 0) return SystemError(errno, "fstat");
  if (static_cast<uint64_t>(info.st_size) < fixed.segment_size) {
    return absl::DataLossError(absl::StrCat(what, " is truncated: ", info.st_size, " bytes, its header says ",
                                            fixed.segment_size, "; make it anew"));
  }
  if (!options.read_only) {
    if (status = FillHoles(fd.get(), info, fixed.segment_size, what); !status.ok()) return status;
  }
  segment->fd_ = std::move(fd);
  segment->path_ = std::move(path);
  segment->description_ = what;
  segment->fixed_ = fixed;
  if (status = segment->Map(options); !status.ok()) return status;
  return segment;
}

absl::Status Segment::Map(const SegmentOptions& options) {
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return SystemError(errno, "fstat");
  device_ = info.st_dev;
  inode_ = info.st_ino;
  read_only_ = options.read_only;
  const int protection = read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  void* base = mmap(nullptr, geometry_.size, protection, MAP_SHARED, fd_.get(), 0);
  if (base == MAP_FAILED) {
    return SystemError(
        errno, absl::StrCat("cannot map ", geometry_.size, " bytes",
                            errno == EACCES ? " (the descriptor is not open for writing; attach read-only)" : ""));
  }
  base_ = static_cast<char*>(base);
  // Requests; what was obtained is reported by HugePageBytes.
  if (options.huge_pages) (void)madvise(base_, geometry_.size, MADV_HUGEPAGE);
  if (options.exclude_from_core_dumps) (void)madvise(base_, geometry_.size, MADV_DONTDUMP);
  if (options.prefault) {
#ifdef MADV_POPULATE_READ
    const int advice = read_only_ ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
    if (madvise(base_, geometry_.size, advice) == 0) return absl::OkStatus();
#endif
    // An older kernel: a read of each page maps it (the file's pages exist already).
    for (uint64_t at = 0; at < geometry_.size; at += 4096) (void)*static_cast<volatile char*>(base_ + at);
  }
  return absl::OkStatus();
}

Segment::~Segment() {
  // The application may have closed the descriptor (close_range) and be using its number for something else.
  if (base_ != nullptr && !SameFile(fd_.get())) fd_.Release();
  if (base_ != nullptr) munmap(base_, geometry_.size);
}

bool Segment::SameFile(int fd) const {
  struct stat info;
  return fstat(fd, &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

absl::StatusOr<int> Segment::QueryDescriptor() const {
  if (SameFile(fd_.get())) return fd_.get();
  return absl::UnavailableError(
      "the application closed the segment's descriptor, and without it nobody can tell who is alive; open the dict "
      "again");
}

absl::StatusOr<UniqueFd> Segment::Reopen() const {
  int error = 0;
  if (SameFile(fd_.get())) {
    UniqueFd fd(NoEintr([&] { return open(DescriptorPath(fd_.get()).c_str(), O_RDWR | O_CLOEXEC); }));
    if (fd && SameFile(fd.get())) return fd;
    if (!fd) error = errno;
  }
  if (!path_.empty()) {
    UniqueFd fd(NoEintr([&] { return open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); }));
    if (fd && SameFile(fd.get())) return fd;
    if (!fd && (error == 0 || error == ENOENT)) error = errno;
  }
  if (error != 0 && error != ENOENT) return SystemError(error, "cannot open the segment's file again");
  return absl::UnavailableError(
      "cannot open the segment's file again: /proc is missing, or the descriptor was closed, and the name is gone; "
      "open the "
      "dict again");
}

bool Segment::IsVacant(const Location& location) { return IsEmptyOrUnfinished(location.descriptor()); }

absl::Status Segment::Unlink(const Location& location) {
  if (location.kind() == Location::Kind::kDescriptor) {
    return absl::InvalidArgumentError("a descriptor has no name to unlink; close it instead");
  }
  absl::StatusOr<std::string> path = PathOf(location);
  if (!path.ok()) return path.status();
  if (unlink(path->c_str()) != 0) return SystemError(errno, absl::StrCat("cannot unlink ", Describe(location)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Segment::Listed>> Segment::List() {
  DIR* directory = opendir(kShmDirectory);
  if (directory == nullptr) return SystemError(errno, absl::StrCat("cannot list ", kShmDirectory));
  std::vector<Listed> found;
  int error = 0;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(directory);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    if (entry->d_name[0] == '.') continue;
    UniqueFd fd(NoEintr(
        [&] { return openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); }));
    // What is not ours to read, or gone meanwhile, is passed by; without descriptors or memory nothing can be said.
    if (!fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
      error = errno;
      break;
    }
    struct stat info;
    FixedHeader fixed;
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
        NoEintr([&] { return pread(fd.get(), &fixed, sizeof(fixed), 0); }) != sizeof(fixed) ||
        std::memcmp(fixed.magic, kMagic, sizeof(kMagic)) != 0) {
      continue;
    }
    found.push_back({.name = entry->d_name,
                     .size = static_cast<uint64_t>(info.st_size),
                     .capacity = fixed.capacity,
                     .owner = info.st_uid,
                     .mode = info.st_mode & 07777});
  }
  closedir(directory);
  if (error != 0) return SystemError(error, absl::StrCat("cannot list ", kShmDirectory));
  std::sort(found.begin(), found.end(), [](const Listed& a, const Listed& b) { return a.name < b.name; });
  return found;
}

int64_t Segment::HugePageBytes() const {
  // The field ShmemPmdMapped (or FilePmdMapped) of this mapping in smaps, kB.
  std::ifstream smaps("/proc/self/smaps");
  if (!smaps) return -1;
  std::string line;
  bool ours = false;
  std::optional<int64_t> kilobytes;  // none: a kernel without the field, or whose list is not of this mapping
  while (std::getline(smaps, line)) {
    unsigned long long from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &from, &to) == 2) {
      ours = from <= reinterpret_cast<uintptr_t>(base_) && reinterpret_cast<uintptr_t>(base_) < to;
    } else if (ours && (line.starts_with("ShmemPmdMapped:") || line.starts_with("FilePmdMapped:"))) {
      kilobytes = kilobytes.value_or(0) + std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10);
    }
  }
  return kilobytes.has_value() ? *kilobytes * 1024 : -1;
}

}  // namespace segdict::internal
