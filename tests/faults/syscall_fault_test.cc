// Every system call that the library makes, failing in turn.
//
// For each scenario a process runs one operation in a window (fault_injector.h). A first run counts its system calls;
// then, for each of them and each error that it may give, the operation runs anew and that call fails: alone, or with
// all calls like it that follow. Each run is a new process that has not used the library before, on a new segment.
//
//   The call       ends, with success or a status that tells what failed; what it says is what is there.
//   The process    has the descriptors and mappings that it had, once its handle is gone; the operation succeeds when
//   it
//                  is repeated.
//   The others     find a sound dict with every key, or none; never a half-made one, and nothing else is left behind.
//
// The heap is grown beforehand: what an allocator asks of the kernel is not part of the experiment, since a failure is
// std::bad_alloc and the application's affair. Nor is what libc does to end a process or a thread.
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "tests/faults/fault_injector.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::Child;
using test::FaultPlan;
using test::FaultTrace;
using test::FaultWindow;
using test::InChild;
using test::IsSound;
using test::Must;
using test::SharedWords;
using test::SystemCall;
using test::Value;

// ---- System calls and their errors ------------------------------------------------------------------------

std::string NameOf(const SystemCall& call) {
  static const std::map<int64_t, std::string> names = {
    {SYS_openat, "openat"},
    {SYS_close, "close"},
    {SYS_fstat, "fstat"},
    {SYS_newfstatat, "fstatat"},
    {SYS_fallocate, "fallocate"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_mmap, "mmap"},
    {SYS_munmap, "munmap"},
    {SYS_madvise, "madvise"},
    {SYS_fcntl, "fcntl"},
    {SYS_futex, "futex"},
    {SYS_getrandom, "getrandom"},
    {SYS_linkat, "linkat"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_fchmod, "fchmod"},
    {SYS_fchown, "fchown"},
    {SYS_pread64, "pread"},
    {SYS_read, "read"},
    {SYS_faccessat, "faccessat"},
    {SYS_getdents64, "getdents"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_getpid, "getpid"},
    {SYS_geteuid, "geteuid"},
    {SYS_mprotect, "mprotect"},
#if defined(__x86_64__)
    {SYS_unlink, "unlink"},
    {SYS_access, "access"},
    {SYS_open, "open"},
#endif
  };
  const auto found = names.find(call.number);
  std::string name = found == names.end() ? "system call " + std::to_string(call.number) : found->second;
  if (call.number == SYS_fcntl) name += "(" + std::to_string(call.arguments[1]) + ")";
  return name;
}

// (That of libc is fstatat with an empty path on some machines.)
bool IsStat(const SystemCall& call) { return call.number == SYS_fstat || call.number == SYS_newfstatat; }

// The errors that the call may give on the kernels and filesystems there are, and under a seccomp filter.
std::vector<int> ErrorsOf(const SystemCall& call) {
  switch (call.number) {
    case SYS_openat:
      return {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EPERM, EIO, ENOSPC, ENOSYS, EAGAIN};
    case SYS_fallocate:
      return {EINTR, ENOSPC, EIO, EPERM, EFBIG, ENOSYS, EOPNOTSUPP, ENOMEM};
    case SYS_mmap:
      return {ENOMEM, EACCES, EPERM, EAGAIN, ENFILE, ENODEV, EINVAL};
    case SYS_madvise:
      return {ENOMEM, EINVAL, EAGAIN, ENOSYS, EIO};
    case SYS_fcntl:
      if (call.arguments[1] == F_OFD_SETLK) return {EINTR, EAGAIN, EACCES, ENOLCK, EINVAL, ENOMEM, EIO};
      if (call.arguments[1] == F_OFD_GETLK) return {EINTR, ENOLCK, EINVAL, EIO};
      if (call.arguments[1] == F_DUPFD_CLOEXEC) return {EMFILE, EINVAL, EBADF};
      return {EPERM, EINVAL, EBUSY, EACCES};
    case SYS_futex:
      return {EINTR, EAGAIN, ETIMEDOUT, ENOSYS, EINVAL, ENOMEM};
    case SYS_getrandom:
      return {EINTR, EAGAIN, ENOSYS, EPERM};
    case SYS_clock_nanosleep:
      return {EINTR, EINVAL, ENOSYS};
    case SYS_pread64:
    case SYS_read:
      return {EINTR, EIO, EAGAIN, ENOMEM};
    case SYS_close:
      return {EINTR, EIO, ENOSPC};
    case SYS_linkat:
      return {EACCES, EPERM, ENOSPC, EIO, ENOENT, EMLINK, EXDEV, ENOMEM};
    case SYS_fstat:
    case SYS_newfstatat:
      return {ENOMEM, EIO, EACCES, ENOSYS};
    case SYS_munmap:
      return {ENOMEM, EINVAL};
    case SYS_getdents64:
      return {ENOMEM, EIO};
    default:
      return {EINTR, ENOMEM, EACCES, EPERM, EIO, EINVAL, ENOSYS, ENOSPC};
  }
}

// Whether all calls like this one may fail for ever with this error. For others that is no fault of anybody's: a call
// that is always interrupted is made again and again; a lock that is always somebody else's is waited for, for a
// minute.
bool MayLast(const SystemCall& call, int error) {
  if (error == EINTR) return call.number == SYS_futex || call.number == SYS_clock_nanosleep;
  if (call.number == SYS_fcntl && call.arguments[1] == F_OFD_SETLK) return error != EAGAIN && error != EACCES;
  return true;
}

// ---- What a process has -----------------------------------------------------------------------------------

std::vector<std::string> OpenFiles() {
  std::vector<std::string> files;
  for (int fd = 0; fd < 256; ++fd) {
    char name[300] = {};
    if (readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof(name) - 1) > 0) {
      files.push_back(std::to_string(fd) + ": " + name);
    }
  }
  return files;
}

std::vector<std::string> SegmentMappings() {
  std::vector<std::string> mappings;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // A file of segment_test itself is none.
    if (line.find("segdict-test") != std::string::npos || line.find("/dev/shm/") != std::string::npos) {
      mappings.push_back(line);
    }
  }
  return mappings;
}

// So that the allocator needs nothing from the kernel for a while.
void GrowHeap() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 1 << 22);
  void* volatile grown = std::malloc(1 << 20);
  std::memset(grown, 1, 1 << 20);
  std::free(grown);
}

// ---- Scenarios --------------------------------------------------------------------------------------------

constexpr uint64_t kKeys = 9;
std::string Key(uint64_t i) { return "key:" + std::to_string(i); }
std::string Content(uint64_t i) { return test::Bytes(i % 3 * 400 + 9, i); }  // in the slot, and in blocks

// A clock that stands still, and in which a process can be kept: at its next calls, as many as it was told to let pass.
// Writers read it under the lock of a slot.
class Snare : public Clock {
 public:
  explicit Snare(SharedWords& words) : words_(words) {}
  static constexpr size_t kCaught = 10, kRelease = 11;
  int64_t Now() const override {
    if (let_pass > 0 && --let_pass == 0) {
      words_[kCaught] = 1;
      while (words_[kRelease] == 0) test::SleepMicroseconds(100);
    }
    return 1'000'000'000;
  }
  static inline thread_local int let_pass = 0;  // one less than that; 0: all

 private:
  SharedWords& words_;
};

constexpr size_t kUnreadable = 41;  // and: a file could not be looked at, for what may be its own fault
constexpr size_t kSpare = 40;       // of World::words: the file that was spare is the one

enum class Place { kName, kPath, kMemfd, kFile };

// One run's segment, and the process's state in it.
struct World {
  explicit World(Place where) : place(where) {
    std::snprintf(directory, sizeof(directory), "/dev/shm/segdict-test-XXXXXX");
    if (mkdtemp(directory) == nullptr) std::abort();
    for (int* const file : {&fd, &spare}) {
      if (place == Place::kMemfd) *file = memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (place == Place::kFile) *file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    options.capacity = 40;
    options.value_bytes = 20'000;
    options.max_writers = 4;
    path = std::string(directory) + "/d";
  }
  ~World() {
    (void)unlink(path.c_str());
    rmdir(directory);
    if (fd >= 0) close(fd);
    if (spare >= 0) close(spare);
  }
  Location location() const {
    return place == Place::kName ? name.location() : place == Place::kPath ? Path(path) : Descriptor(fd);
  }
  Dict Make() {
    Dict made = Must(Dict::Create(location(), options));
    for (uint64_t i = 0; i < kKeys; ++i) EXPECT_OK(made.Set(Key(i), Content(i)));
    return made;
  }

  Place place;
  test::ScopedName name;
  char directory[64];
  std::string path;
  int fd = -1;
  int spare = -1;  // another such file
  Options options;
  SharedWords words;
  Snare snare{words};
  std::optional<Child> other;  // a writer that is stopped or dead
  // Of the process that suffers.
  std::optional<Dict> dict;
  std::optional<Dict::LockGuard> guard;
};

struct Scenario {
  const char* name;
  Place place = Place::kName;
  bool exists = true;  // there is a dict with kKeys keys beforehand
  bool no_temporary_files = false;
  bool at_thread_end = false;
  bool no_calls = false;                          // there is nothing that could fail
  bool interrupted = false;                       // what takes the kernel long never comes to its end
  bool clock = false;                             // the dict has the snare as its clock
  std::function<void(World&)> before = nullptr;   // in the parent
  std::function<void(World&)> prepare = nullptr;  // in the process that suffers
  std::function<absl::Status(World&)> act;        // in the window
  std::function<void(World&, const absl::Status&)> check = nullptr;  // what `act` said is what is there
  std::function<void(World&)> undo = nullptr;                        // before `act` is repeated
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

void OpenIt(World& w) { w.dict = Must(Dict::Open(w.location(), w.options)); }
void OpenAndWrite(World& w) {
  OpenIt(w);
  EXPECT_OK(w.dict->Set(Key(0), Content(0)));
}

absl::Status Keep(World& w, absl::StatusOr<Dict> made) {
  if (!made.ok()) return made.status();
  w.dict = *std::move(made);
  return absl::OkStatus();
}

absl::Status Create(World& w) { return Keep(w, Dict::Create(w.location(), w.options)); }
absl::Status Open(World& w) { return Keep(w, Dict::Open(w.location(), w.options)); }

// The dict is there if and only if it was said to have been made; and then it can be written to.
void CheckMade(World& w, const absl::Status& status) {
  if (status.ok()) {
    EXPECT_OK(w.dict->Set("made", "1"));
    EXPECT_EQ(Must(Dict::Open(w.location(), w.options)).size(), 1u);
    return;
  }
  const absl::Status found = Dict::Open(w.location(), w.options).status();
  if (w.fd < 0) {
    EXPECT_CODE(found, kNotFound) << "Create failed, and yet there is something of that name";
  } else {
    struct stat info {};
    EXPECT_EQ(fstat(w.fd, &info), 0);
    EXPECT_EQ(info.st_size, 0) << "Create failed, and the caller's file is not empty any more";
    EXPECT_CODE(found, kFailedPrecondition);
  }
}

void Unmake(World& w) {
  if (w.fd < 0) {
    (void)Dict::Unlink(w.location());
  } else if (lseek(w.fd, 0, SEEK_END) != 0) {
    std::swap(w.fd, w.spare);  // a dict that is there cannot be taken out of a file
    w.words[kSpare] = 1;
  }
}

// A write of Key(1) that took effect wholly, or not at all if it failed.
std::function<void(World&, const absl::Status&)> WroteKey1(std::optional<std::string> value) {
  return [value](World& w, const absl::Status& status) {
    Dict dict = Must(Dict::Open(w.location(), w.options));
    EXPECT_EQ(Value(dict, Key(1)), status.ok() ? value : std::optional<std::string>(Content(1))) << status;
  };
}
void RestoreKey1(World& w) { EXPECT_OK(Must(Dict::Open(w.location(), w.options)).Set(Key(1), Content(1))); }

const std::string kNew = test::Bytes(700, 77);

// A writer of Key(1) that is kept while it has the key's slot locked.
void KeepAWriterInItsWrite(World& w) {
  static int pass = 0;  // calls of the clock before the one under the lock; found out once
  const auto keep = [&](int let_pass) {
    w.words[Snare::kCaught] = w.words[Snare::kRelease] = 0;
    w.other.emplace([&, let_pass] {
      OpenAndWrite(w);
      EXPECT_OK(w.dict->Set(Key(1), Content(1), {.ttl = absl::Hours(1)}));  // so that the time matters
      Snare::let_pass = let_pass;
      (void)w.dict->Touch(Key(1), absl::Hours(1));
      w.words[Snare::kCaught] = 2;  // the clock was read less often
      for (;;) pause();
    });
    EXPECT_TRUE(test::Await([&] { return w.words[Snare::kCaught] != 0; }));
    EXPECT_EQ(w.words[Snare::kCaught], 1u) << "no call of the clock is under the lock";
  };
  for (int let_pass = std::max(pass, 1); let_pass < 10; ++let_pass) {
    keep(let_pass);
    if (pass == 0) {
      InChild([&] {
        w.options.wait_limit = absl::Milliseconds(1);
        OpenIt(w);
        if (absl::IsDeadlineExceeded(w.dict->Set(Key(1), Content(1)))) w.words[20] = 1;
      });
      if (w.words[20] != 1) {
        w.other.reset();
        InChild([&] { EXPECT_OK(Must(Dict::Open(w.location(), w.options)).Recover()); });
        continue;
      }
      pass = let_pass;
    }
    return;
  }
  ADD_FAILURE() << "nobody has been kept";
}

void HoldTheLock(World& w) {
  w.other.emplace([&] {
    OpenIt(w);
    w.guard.emplace(Must(w.dict->Lock()));
    w.words[0] = 1;
    while (w.words[1] == 0) test::SleepMicroseconds(100);
    w.guard.reset();
    w.words[2] = 1;
    for (;;) pause();
  });
  EXPECT_TRUE(test::Await([&] { return w.words[0] != 0; }));
}

std::vector<Scenario> Scenarios() {
  std::vector<Scenario> all;
  const auto creation = [&](const char* name, Place place, bool no_temporary_files) {
    all.push_back({.name = name,
                   .place = place,
                   .exists = false,
                   .no_temporary_files = no_temporary_files,
                   .act = Create,
                   .check = CheckMade,
                   .undo = Unmake});
  };
  creation("CreateByName", Place::kName, false);
  creation("CreateByPath", Place::kPath, false);
  creation("CreateByPathWithoutTemporaryFiles", Place::kPath, true);
  creation("CreateInAMemfd", Place::kMemfd, false);
  creation("CreateInAFilesDescriptor", Place::kFile, false);
  all.push_back({.name = "CreateWithGroupAndPrefault",
                 .place = Place::kPath,
                 .exists = false,
                 .act =
                     [](World& w) {
                       Options options = w.options;
                       options.group = getegid();
                       options.prefault = options.huge_pages = options.exclude_from_core_dumps = true;
                       return Keep(w, Dict::Create(w.location(), options));
                     },
                 .check = CheckMade,
                 .undo = Unmake});
  all.push_back({.name = "OpenOrCreateWhatIsNotThere",
                 .place = Place::kName,
                 .exists = false,
                 .act = [](World& w) { return Keep(w, Dict::OpenOrCreate(w.location(), w.options)); },
                 .check = CheckMade,
                 .undo = Unmake});
  // tmpfs gives back what an interrupted call had reserved: who asks for the same again, under a timer, asks for ever.
  all.push_back({.name = "CreateWhileSignalsInterrupt",
                 .exists = false,
                 .interrupted = true,
                 .act = Create,
                 .check = CheckMade,
                 .undo = Unmake});
  const auto opening = [&](const char* name, Place place) {
    all.push_back({.name = name, .place = place, .act = Open, .check = [](World& w, const absl::Status& status) {
                     if (!status.ok()) return;
                     for (uint64_t i = 0; i < kKeys; ++i) EXPECT_EQ(Value(*w.dict, Key(i)), Content(i));
                     EXPECT_OK(w.dict->Set(Key(0), Content(0)));
                   }});
  };
  opening("OpenByName", Place::kName);
  opening("OpenByPath", Place::kPath);
  opening("OpenByAMemfd", Place::kMemfd);
  opening("OpenByAFilesDescriptor", Place::kFile);
  all.push_back({.name = "OpenReadOnly", .act = [](World& w) {
                   Options options = w.options;
                   options.read_only = true;
                   return Keep(w, Dict::Open(w.location(), options));
                 }});
  // A clock offset that is to be set anew, because the boot id is another one.
  all.push_back({.name = "OpenAfterAReboot",
                 .prepare =
                     [](World& w) {
                       const int fd = open(w.name.path().c_str(), O_RDWR | O_CLOEXEC);
                       const uint64_t other_boot = 12345;
                       EXPECT_EQ(pwrite(fd, &other_boot, 8, 656), 8);
                       close(fd);
                     },
                 .act = Open});

  const auto writing = [&](const char* name, std::function<absl::Status(World&)> act,
                           std::optional<std::string> after) {
    all.push_back({.name = name, .prepare = OpenIt, .act = act, .check = WroteKey1(after), .undo = RestoreKey1});
  };
  writing(
      "FirstSetOfAThread", [](World& w) { return w.dict->Set(Key(1), kNew); }, kNew);
  writing(
      "FirstEraseOfAThread", [](World& w) { return w.dict->Erase(Key(1)); }, std::nullopt);
  all.push_back({.name = "FirstSetByAMemfd",
                 .place = Place::kMemfd,
                 .prepare = OpenIt,
                 .act = [](World& w) { return w.dict->Set(Key(1), kNew); },
                 .check = WroteKey1(kNew),
                 .undo = RestoreKey1});
  all.push_back({.name = "FirstSetWhereADeadWriterWas",
                 .before =
                     [](World& w) {
                       HoldTheLock(w);
                       w.other.reset();
                     },
                 .prepare = OpenIt,
                 .act = [](World& w) { return w.dict->Set(Key(1), kNew); },
                 .check = WroteKey1(kNew),
                 .undo = RestoreKey1});
  all.push_back({.name = "GetStatsVerify", .prepare = OpenAndWrite, .act = [](World& w) {
                   std::string value;
                   if (absl::Status status = w.dict->Get(Key(1), &value); !status.ok()) return status;
                   EXPECT_EQ(value, Content(1));
                   absl::StatusOr<Stats> stats = w.dict->GetStats();
                   if (!stats.ok()) return stats.status();
                   EXPECT_EQ(stats->entries_live, kKeys);
                   EXPECT_EQ(stats->writers, 1u);
                   absl::StatusOr<VerifyReport> report = w.dict->Verify();
                   if (!report.ok()) return report.status();
                   EXPECT_EQ(report->entries, kKeys);
                   EXPECT_TRUE(report->ok());
                   return absl::OkStatus();
                 }});

  // Another one has the slot of Key(1), alive.
  const auto contended = [&](const char* name, std::function<absl::Status(World&)> act) {
    all.push_back({.name = name,
                   .clock = true,
                   .before = KeepAWriterInItsWrite,
                   .prepare =
                       [](World& w) {
                         w.options.wait_limit = absl::Milliseconds(2);
                         OpenAndWrite(w);
                       },
                   .act = act,
                   .undo =
                       [](World& w) {
                         w.words[Snare::kRelease] = 1;
                         EXPECT_TRUE(test::Await([&] { return w.words[Snare::kCaught] == 2; }));
                       }});
  };
  contended("SetOfAKeyThatIsBeingWritten", [](World& w) { return w.dict->Set(Key(1), Content(1)); });
  contended("GetOfAKeyThatIsBeingWritten", [](World& w) {
    absl::StatusOr<std::string> value = w.dict->Get(Key(1));
    if (value.ok()) {
      EXPECT_EQ(*value, Content(1));
    }
    return value.status();
  });
  all.back().no_calls = true;  // readers wait for nobody
  contended("EraseOfAKeyThatIsBeingWritten", [](World& w) {
    absl::Status status = w.dict->Erase(Key(1));
    if (status.ok()) {
      EXPECT_OK(w.dict->Set(Key(1), Content(1)));
    }
    return status;
  });
  // And now it is dead.
  all.push_back({.name = "SetOfAKeyWhoseWriterDied",
                 .clock = true,
                 .before =
                     [](World& w) {
                       KeepAWriterInItsWrite(w);
                       w.other.reset();
                     },
                 .prepare = OpenAndWrite,
                 .act = [](World& w) { return w.dict->Set(Key(1), kNew); },
                 .check = WroteKey1(kNew),
                 .undo = RestoreKey1});
  all.push_back({.name = "RecoverADeadWriter",
                 .clock = true,
                 .before =
                     [](World& w) {
                       KeepAWriterInItsWrite(w);
                       w.other.reset();
                     },
                 .prepare = OpenIt,
                 .act =
                     [](World& w) {
                       absl::StatusOr<uint32_t> recovered = w.dict->Recover();
                       if (recovered.ok()) w.words[30] += *recovered;
                       return recovered.status();
                     },
                 .undo = [](World& w) { w.words[31] = w.words[30].load(); }});

  const auto lock = [](World& w) {
    absl::StatusOr<Dict::LockGuard> guard = w.dict->Lock();
    return guard.status();
  };
  all.push_back({.name = "LockAndUnlock", .no_calls = true, .prepare = OpenAndWrite, .act = lock});
  all.push_back({.name = "LockThatIsHeld",
                 .before = HoldTheLock,
                 .prepare =
                     [](World& w) {
                       w.options.wait_limit = absl::Milliseconds(2);
                       OpenAndWrite(w);
                     },
                 .act = lock,
                 .undo =
                     [](World& w) {
                       w.words[1] = 1;
                       EXPECT_TRUE(test::Await([&] { return w.words[2] != 0; }));
                     }});
  all.push_back({.name = "SetInLockModeWhoseHolderDied",
                 .before =
                     [](World& w) {
                       HoldTheLock(w);
                       w.other.reset();
                     },
                 .prepare =
                     [](World& w) {
                       w.options.lock_mode = LockMode::kGlobalMutex;
                       OpenIt(w);
                     },
                 .act = [](World& w) { return w.dict->Set(Key(1), kNew); },
                 .check = WroteKey1(kNew),
                 .undo = RestoreKey1});
  all.push_back({.name = "UnlockWithWaiters",
                 .prepare =
                     [](World& w) {
                       OpenIt(w);
                       w.guard.emplace(Must(w.dict->Lock()));
                       InChild([&] {
                         Options options = w.options;
                         options.wait_limit = absl::Milliseconds(1);
                         EXPECT_CODE(Must(Dict::Open(w.location(), options)).Lock(), kDeadlineExceeded);
                       });
                     },
                 .act = [](World& w) { return w.guard.reset(), absl::OkStatus(); },
                 .check =
                     [](World& w, const absl::Status&) {
                       InChild([&] { EXPECT_OK(Must(Dict::Open(w.location(), w.options)).Lock()); });
                     }});

  all.push_back({.name = "Unlink",
                 .act = [](World& w) { return Dict::Unlink(w.location()); },
                 .check =
                     [](World& w, const absl::Status& status) {
                       if (status.ok()) {
                         EXPECT_CODE(Dict::Open(w.location()), kNotFound);
                       } else {
                         EXPECT_OK(Dict::Open(w.location()));
                       }
                     },
                 .undo = [](World& w) { (void)Dict::Unlink(w.location()), w.Make(); }});
  all.push_back({.name = "List",
                 .act =
                     [](World& w) {
                       absl::StatusOr<std::vector<SegmentInfo>> listed = Dict::List();
                       if (!listed.ok()) return listed.status();
                       // A dict that this process could not read is not listed.
                       w.words[0] = static_cast<uint64_t>(
                           std::count_if(listed->begin(), listed->end(),
                                         [&](const SegmentInfo& info) { return info.name == w.name.text(); }));
                       return absl::OkStatus();
                     },
                 .check =
                     [](World& w, const absl::Status& status) {
                       if (status.ok() && w.words[kUnreadable] == 0) {
                         EXPECT_EQ(w.words[0], 1u) << "List succeeded, without a dict that is there";
                       }
                     }});
  // What the library does at a thread's end: between the windows of two destructors of thread-specific data.
  all.push_back({.name = "EndOfAThread", .at_thread_end = true, .prepare = OpenIt, .act = nullptr});
  all.push_back({.name = "DestroyAHandle", .prepare = OpenAndWrite, .act = [](World& w) {
                   return w.dict.reset(), absl::OkStatus();
                 }});
  return all;
}

// ---- The experiment ---------------------------------------------------------------------------------------

std::string Describe(const Scenario& scenario, const FaultPlan& plan, const SystemCall& call) {
  return std::string(scenario.name) + ": call " + std::to_string(plan.nth) + ", " + NameOf(call) + ", fails with " +
         strerrorname_np(plan.error) + (plan.lasting ? ", and all like it that follow" : "") +
         "\n(SEGDICT_FAULT=" + std::to_string(plan.nth) + "," + std::to_string(plan.error) +
         (plan.lasting ? ",1" : ",0") + " --gtest_filter=*/" + scenario.name + ")";
}

// A thread that writes and ends; the end of its writer in a window. Thread-specific data are destroyed in the order in
// which their keys were made, so the library's own comes between these two.
void EndAThread(World& w, bool in_a_window) {
  static pthread_key_t opens, closes;
  struct Order {
    World& world;
    bool in_a_window;
  } order{w, in_a_window};
  pthread_key_create(&opens, [](void*) { FaultWindow::Open(); });
  pthread_t thread;
  const int error = pthread_create(
      &thread, nullptr,
      [](void* argument) -> void* {
        Order& mine = *static_cast<Order*>(argument);
        EXPECT_OK(mine.world.dict->Set(Key(0), Content(0)));
        if (!mine.in_a_window) return nullptr;
        pthread_key_create(&closes, [](void*) { FaultWindow::Close(); });
        pthread_setspecific(opens, argument);
        pthread_setspecific(closes, argument);
        return nullptr;
      },
      &order);
  ASSERT_EQ(error, 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(Must(w.dict->GetStats()).writers, 0u) << "the thread's record was not given back";
}

// The process that suffers: the operation in the window, and afterwards whatever should be as if nothing had been.
void Suffer(const Scenario& scenario, World& w, const FaultPlan& plan, bool leaks_by_itself, bool taken_for_closed) {
  alarm(60);  // only for a hang
  GrowHeap();
  const std::vector<std::string> files = OpenFiles(), mappings = SegmentMappings();
  if (scenario.prepare) scenario.prepare(w);
  (void)absl::UnavailableError(std::system_category().message(EINTR));  // loads what it loads
  absl::Status status;
  const auto act = [&] {
    if (scenario.at_thread_end) {
      EndAThread(w, /*in_a_window=*/false);
      return absl::OkStatus();
    }
    return scenario.act(w);
  };
  if (scenario.at_thread_end) {
    EndAThread(w, /*in_a_window=*/true);
  } else {
    FaultWindow::Open();
    status = scenario.act(w);
    FaultWindow::Close();
  }
  if (plan.nth == 0 && !absl::IsDeadlineExceeded(status)) {
    EXPECT_OK(status);
  }
  if (!status.ok() && !absl::IsDeadlineExceeded(status) && !(absl::IsUnavailable(status) && taken_for_closed)) {
    EXPECT_NE(status.message().find(std::generic_category().message(plan.error)), std::string_view::npos)
        << "the status does not tell what failed: " << status;
  }
  if (scenario.check) scenario.check(w, status);
  w.guard.reset();
  w.dict.reset();
  if (!leaks_by_itself) {
    EXPECT_EQ(OpenFiles(), files) << status;
    EXPECT_EQ(SegmentMappings(), mappings) << status;
  }
  if (scenario.undo) scenario.undo(w);
  if (scenario.prepare) scenario.prepare(w);
  EXPECT_OK(act()) << "the second time, without a fault; the first time it was " << status;
  w.guard.reset();
  w.dict.reset();
}

// What another process finds afterwards.
void LookAt(const Scenario& scenario, World& w) {
  w.options.wait_limit = absl::InfiniteDuration();
  if (w.words[kSpare] != 0) std::swap(w.fd, w.spare);
  if (std::string(scenario.name) == "Unlink") return;
  Dict dict = Must(Dict::Open(w.location(), w.options));
  EXPECT_OK(dict.Recover());
  EXPECT_TRUE(IsSound(dict));
  EXPECT_EQ(Must(dict.GetStats()).writers, 0u) << "a writer record was not given back";
  if (scenario.exists) {
    for (uint64_t i = 0; i < kKeys; ++i) {
      if (i != 1) {
        EXPECT_EQ(Value(dict, Key(i)), Content(i)) << Key(i);
      }
    }
  }
  for (uint64_t i = 0; i < kKeys; ++i) EXPECT_OK(dict.Set(Key(i), Content(i)));
  EXPECT_TRUE(IsSound(dict));
}

FaultTrace RunOne(const Scenario& scenario, FaultPlan plan, const SystemCall& call = {}) {
  World w(scenario.place);
  if (scenario.clock) w.options.clock = &w.snare;
  if (scenario.exists) InChild([&] { w.Make(); });
  if (scenario.before) scenario.before(w);
  plan.no_temporary_files = scenario.no_temporary_files;
  if (scenario.interrupted) plan.longest_reservation = 100'000;
  // A mapping that the kernel did not take away stays. And fstat fails for what is no descriptor: one of which it
  // cannot be known that it still is the library's own is not closed, as it may be somebody else's.
  const bool leaks_by_itself = plan.nth != 0 && (call.number == SYS_munmap || IsStat(call));
  w.words[kUnreadable] = IsStat(call) || call.number == SYS_pread64 ||
                         (call.number == SYS_openat && plan.error != EINTR && plan.error != EMFILE &&
                          plan.error != ENFILE && plan.error != ENOMEM);
  Child child([&] { Suffer(scenario, w, plan, leaks_by_itself, IsStat(call)); });
  FaultTrace trace = test::TraceFaults(plan);
  EXPECT_EQ(trace.trouble, "");
  EXPECT_EQ(trace.death, 0) << "the operation ended its process" << (trace.death == SIGALRM ? ": it hung" : "");
  if (trace.death == 0 && trace.trouble.empty()) {
    child.Wait();
    w.other.reset();
    InChild([&] { LookAt(scenario, w); });
  }
  for (DIR* directory = opendir(w.directory); directory != nullptr; closedir(directory), directory = nullptr) {
    while (const dirent* entry = readdir(directory)) {
      const std::string name = entry->d_name;
      // A temporary name that the kernel did not take away stays.
      EXPECT_TRUE(name == "." || name == ".." || name == "d" || NameOf(call).starts_with("unlink"))
          << "left behind: " << name;
      if (name[0] == '.') unlink((std::string(w.directory) + "/" + name).c_str());
    }
  }
  return trace;
}

class EachCallFails : public ::testing::TestWithParam<Scenario> {};
INSTANTIATE_TEST_SUITE_P(Operations, EachCallFails, ::testing::ValuesIn(Scenarios()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EachCallFails, AndNothingElse) {
  if (!test::TracingIsPermitted()) GTEST_SKIP() << "processes cannot be traced here (ptrace)";
  const Scenario& scenario = GetParam();
  const FaultTrace sound = RunOne(scenario, {});
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(sound.calls.empty(), scenario.no_calls);
  if (scenario.no_calls) return;
  std::string calls;
  for (const SystemCall& call : sound.calls) calls += (calls.empty() ? "" : " ") + NameOf(call);
  std::printf("%s\n", calls.c_str());
  if (const char* const one = std::getenv("SEGDICT_FAULT"); one != nullptr) {
    FaultPlan plan;
    int lasting = 0;
    ASSERT_EQ(std::sscanf(one, "%zu,%d,%d", &plan.nth, &plan.error, &lasting), 3);
    plan.lasting = lasting != 0;
    ASSERT_LE(plan.nth, sound.calls.size());
    SCOPED_TRACE(Describe(scenario, plan, sound.calls[plan.nth - 1]));
    RunOne(scenario, plan, sound.calls[plan.nth - 1]);
    return;
  }
  const bool full = std::getenv("SEGDICT_FAULTS_FULL") != nullptr;
  int runs = 0, injected = 0;
  for (size_t nth = 1; nth <= sound.calls.size(); ++nth) {
    const SystemCall& call = sound.calls[nth - 1];
    // Of many reads of one file after another, the first two.
    if (!full && nth > 2 && call.arguments == sound.calls[nth - 2].arguments && call.IsLike(sound.calls[nth - 3]))
      continue;
    // The short form takes half of the errors, other ones for the next call.
    size_t turn = nth, lasted = 0;
    for (const int error : ErrorsOf(call)) {
      if (!full && turn++ % 2 == 0) continue;
      for (const bool lasting : {false, true}) {
        if (lasting && (!MayLast(call, error) || (!full && ++lasted > 2))) continue;
        const FaultPlan plan{.nth = nth, .error = error, .lasting = lasting};
        SCOPED_TRACE(Describe(scenario, plan, call));
        injected += RunOne(scenario, plan, call).injected;
        ++runs;
      }
    }
  }
  std::printf("%zu calls, %d runs, %d calls failed\n", sound.calls.size(), runs, injected);
  EXPECT_GT(injected, runs / 2) << "in too many runs nothing failed";  // the length of a wait, or of /proc, varies
}

}  // namespace
}  // namespace segdict
