// Limits: of a filesystem, of a process, of a file that is sealed. Each is met by the real kernel, and each is a status
// that says so; nothing is left behind, and once the limit is lifted the same call succeeds.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "tests/namespaces.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::BecomeUser;
using test::Child;
using test::EnterPrivateMounts;
using test::InChild;
using test::IsSound;
using test::MountTmpfs;
using test::Must;
using test::OwnedDict;
using test::ScopedName;
using test::SharedWords;
using test::SmallOptions;
using test::Value;

// A limit of this process, for as long as the scope lasts.
class ScopedLimit {
 public:
  ScopedLimit(__rlimit_resource resource, rlim_t soft) : resource_(resource) {
    EXPECT_EQ(getrlimit(resource, &before_), 0);
    const rlimit limit{.rlim_cur = soft, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(resource, &limit), 0) << strerror(errno);
  }
  ~ScopedLimit() { setrlimit(resource_, &before_); }

 private:
  __rlimit_resource resource_;
  rlimit before_{};
};

rlim_t FirstFreeDescriptor() {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return static_cast<rlim_t>(fd);
}

int64_t SizeOf(int fd) {
  struct stat info {};
  EXPECT_EQ(fstat(fd, &info), 0);
  return info.st_size;
}

// Valgrind preloads its allocator.
bool UnderValgrind() {
  const char* preloaded = std::getenv("LD_PRELOAD");
  return preloaded != nullptr && std::string_view(preloaded).find("valgrind") != std::string_view::npos;
}

// ---- Descriptors ------------------------------------------------------------------------------------------

TEST(Descriptors, CreateAndOpenWithAsManyAsThereAre) {
  for (rlim_t free = 0; free < 4; ++free) {
    InChild([&] {
      ScopedName name;
      {
        ScopedLimit limit(RLIMIT_NOFILE, FirstFreeDescriptor() + free);
        const absl::Status status = Dict::Create(name.location(), SmallOptions()).status();
        if (!status.ok()) {
          EXPECT_CODE(status, kResourceExhausted) << "with " << free << " free";
          EXPECT_NE(access(name.path().c_str(), F_OK), 0) << "left behind, with " << free << " free";
        }
        EXPECT_TRUE(free == 0 ? !status.ok() : free < 3 || status.ok()) << free << " free: " << status;
      }
      Dict dict = Must(Dict::OpenOrCreate(name.location(), SmallOptions()));
      ASSERT_OK(dict.Set("k", "v"));
      ScopedLimit limit(RLIMIT_NOFILE, FirstFreeDescriptor() + free);
      const absl::Status status = Dict::Open(name.location()).status();
      if (!status.ok()) {
        EXPECT_CODE(status, kResourceExhausted) << "with " << free << " free";
      }
    });
  }
}

TEST(Descriptors, WithNoneLeftAHandleReadsAndWritesAndTheNextThreadIsToldWhy) {
  OwnedDict owned(SmallOptions());
  InChild([&] {
    ASSERT_OK(owned->Set("k", "v"));
    {
      ScopedLimit limit(RLIMIT_NOFILE, FirstFreeDescriptor());
      ASSERT_EQ(open("/dev/null", O_RDONLY), -1);
      EXPECT_OK(owned->Set("k", "w")) << "this thread has its record";
      EXPECT_OK(owned->Lock());
      std::thread([&] {
        EXPECT_EQ(Value(*owned, "k"), "w") << "reading needs no descriptor";
        const absl::Status status = owned->Set("k", "x");
        EXPECT_CODE(status, kResourceExhausted);
        EXPECT_NE(status.message().find(strerror(EMFILE)), std::string_view::npos) << status;
      }).join();
      EXPECT_CODE(Dict::List(), kResourceExhausted) << "what cannot be looked at may be a dict";
    }
    std::thread([&] { EXPECT_OK(owned->Set("k", "y")); }).join();
    EXPECT_OK(Dict::List());
  });
  EXPECT_EQ(Value(*owned, "k"), "y");
  EXPECT_TRUE(IsSound(*owned));
}

// The file that tells one boot from another could not be opened: that is no reboot. The wall clock was set an hour
// ahead since the dict was made, which is to matter to nobody.
TEST(Descriptors, WithNoneLeftNobodysClockIsSet) {
  for (rlim_t free = 1; free < 4; ++free) {
    OwnedDict owned(SmallOptions());
    ASSERT_OK(owned->Set("k", "v", {.ttl = absl::Minutes(30)}));
    const int fd = open(owned.name.path().c_str(), O_RDWR | O_CLOEXEC);
    int64_t words[3];  // hash of the boot id, offset, CLOCK_REALTIME less the segment's clock
    ASSERT_EQ(pread(fd, words, sizeof(words), 656), static_cast<ssize_t>(sizeof(words)));
    words[2] -= int64_t{3600} * 1'000'000'000;
    ASSERT_EQ(pwrite(fd, words, sizeof(words), 656), static_cast<ssize_t>(sizeof(words)));
    // A program of its own: nothing of the library has been used in it.
    Child child([&] {
      ScopedLimit limit(RLIMIT_NOFILE, FirstFreeDescriptor() + free);
      absl::StatusOr<Dict> dict = Dict::Open(owned.name.location());
      if (dict.ok()) {
        EXPECT_EQ(Value(*dict, "k"), "v") << "with " << free << " free";
      } else {
        EXPECT_CODE(dict, kResourceExhausted);
      }
    });
    child.Wait();
    EXPECT_EQ(Value(Must(Dict::Open(owned.name.location())), "k"), "v");
    int64_t now[3];
    ASSERT_EQ(pread(fd, now, sizeof(now), 656), static_cast<ssize_t>(sizeof(now)));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(now[i], words[i]) << "clock word " << i << " with " << free << " free";
    close(fd);
  }
}

// ---- Memory -----------------------------------------------------------------------------------------------

TEST(AddressSpace, ADictThatCannotBeMappedIsAClearError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own memory is more than any limit";
#endif
  if (UnderValgrind()) GTEST_SKIP() << "valgrind's own memory counts as well";
  Options large = SmallOptions();
  large.value_bytes = 256 << 20;
  InChild([&] {
    const int memfd = memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    OwnedDict owned(large);
    ScopedName name;
    {
      ScopedLimit limit(RLIMIT_AS, (256 << 20) + (64 << 20));  // more than one, less than two
      const absl::Status status = Dict::Create(name.location(), large).status();
      EXPECT_CODE(status, kResourceExhausted);
      EXPECT_NE(status.message().find("map"), std::string_view::npos) << status;
      EXPECT_NE(access(name.path().c_str(), F_OK), 0) << "left behind";
      EXPECT_CODE(Dict::Open(owned.name.location()), kResourceExhausted);
      EXPECT_CODE(Dict::Create(Descriptor(memfd), large), kResourceExhausted);
      EXPECT_EQ(SizeOf(memfd), 0) << "the caller's file is as it was";
      EXPECT_OK(owned->Set("k", "v")) << "who is there goes on";
    }
    EXPECT_OK(Dict::Create(name.location(), large));
    EXPECT_OK(Dict::Create(Descriptor(memfd), large)) << "the same file can be used";
    close(memfd);
  });
}

TEST(LockedMemory, IsNotNeeded) {
  InChild([&] {
    ScopedLimit limit(RLIMIT_MEMLOCK, 0);
    Options options = SmallOptions();
    options.prefault = options.huge_pages = true;
    OwnedDict owned(options);
    EXPECT_OK(owned->Set("k", "v"));
    EXPECT_TRUE(IsSound(*owned));
  });
}

// Also where whoever maps is bound to lock (mlockall): then the limit is one on mapping.
TEST(LockedMemory, WhereEveryMappingIsLockedTheLimitIsAClearError) {
  InChild([&] {
    ScopedName name;
    ScopedLimit limit(RLIMIT_MEMLOCK, 1 << 20);
    if (geteuid() == 0) BecomeUser(12345);  // root has no such limit
    if (mlockall(MCL_FUTURE) != 0) GTEST_SKIP() << "mlockall: " << strerror(errno);
    Options options = SmallOptions();
    options.value_bytes = 4 << 20;
    const absl::Status status = Dict::Create(Path("/dev/shm/" + name.text()), options).status();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.message().find("map"), std::string_view::npos) << status;
    EXPECT_NE(access(name.path().c_str(), F_OK), 0) << "left behind";
  });
}

// ---- File size --------------------------------------------------------------------------------------------

TEST(FileSize, TheLimitIsAStatusAndNoDeadlySignal) {
  InChild([] {
    ScopedName name;
    const int memfd = memfd_create("segdict-test", MFD_CLOEXEC);
    struct sigaction action {};
    ASSERT_EQ(sigaction(SIGXFSZ, nullptr, &action), 0);
    ASSERT_EQ(action.sa_handler, SIG_DFL) << "the test would mean nothing";
    for (const rlim_t bytes : {100'000u, 4u, 0u}) {
      ScopedLimit limit(RLIMIT_FSIZE, bytes);
      for (const Location& location : {name.location(), Path(name.path() + "-file"), Descriptor(memfd)}) {
        const absl::Status status = Dict::Create(location, SmallOptions()).status();
        EXPECT_CODE(status, kResourceExhausted);
        EXPECT_NE(status.message().find(strerror(EFBIG)), std::string_view::npos) << status;
        EXPECT_CODE(Dict::OpenOrCreate(location, SmallOptions()), kResourceExhausted);
      }
    }
    EXPECT_NE(access(name.path().c_str(), F_OK), 0);
    EXPECT_EQ(SizeOf(memfd), 0);
    Dict dict = Must(Dict::Create(name.location(), SmallOptions()));
    ScopedLimit limit(RLIMIT_FSIZE, 0);
    EXPECT_OK(dict.Set("k", std::string(100'000, 'v'))) << "a dict that is there is not written to as a file";
    EXPECT_OK(Must(Dict::Open(name.location())).Set("j", "w"));
    EXPECT_TRUE(IsSound(dict));
    close(memfd);
  });
}

// ---- Filesystems ------------------------------------------------------------------------------------------

// Page by page: filesystems that are a little too small for a dict, and the first that is not.
TEST(FullFilesystem, OfAnyNumberOfPages) {
  InChild([] {
    char directory[] = "/dev/shm/segdict-test-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    Options options;
    options.capacity = 10;
    options.value_bytes = 10'000;
    options.max_writers = 2;
    const std::string path = std::string(directory) + "/d";
    const uint64_t pages = Must(Dict::Create(Path(path), options)).segment_bytes() / 4096;
    ASSERT_OK(Dict::Unlink(Path(path)));
    EnterPrivateMounts();
    for (uint64_t room = 1; room < pages + 3; ++room) {
      const std::string size = "size=" + std::to_string(room * 4096);
      ASSERT_EQ(mount("none", directory, "tmpfs", 0, size.c_str()), 0) << strerror(errno);
      absl::StatusOr<Dict> dict = Dict::Create(Path(path), options);
      ASSERT_EQ(dict.ok(), room >= pages) << room << " pages of " << pages << ": " << dict.status();
      if (dict.ok()) {
        EXPECT_OK(dict->Set("k", std::string(9000, 'v')));
        EXPECT_TRUE(IsSound(*dict));
      } else {
        EXPECT_CODE(dict, kResourceExhausted);
        EXPECT_EQ(rmdir(path.c_str()), -1);
        EXPECT_EQ(errno, ENOENT) << "left behind";
      }
      dict = absl::UnknownError("");
      ASSERT_EQ(umount(directory), 0) << strerror(errno);
    }
    rmdir(directory);
  });
}

// A copy whose zeros became holes has nothing reserved: who opens it for writing reserves it again, or is told so.
TEST(FullFilesystem, ACopyWithHolesIsReservedAgain) {
  InChild([] {
    EnterPrivateMounts();
    MountTmpfs("/mnt", "size=8m");
    Options options;
    options.capacity = 20'000;
    ASSERT_OK(Must(Dict::Create(Path("/mnt/d"), options)).Set("k", "v"));
    std::string bytes(std::filesystem::file_size("/mnt/d"), '\0');
    ASSERT_TRUE(std::ifstream("/mnt/d").read(bytes.data(), static_cast<std::streamsize>(bytes.size())));
    ASSERT_EQ(unlink("/mnt/d"), 0);
    const int copy = open("/mnt/copy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_EQ(ftruncate(copy, static_cast<off_t>(bytes.size())), 0);
    for (size_t at = 0; at < bytes.size(); at += 4096) {
      const std::string_view page = std::string_view(bytes).substr(at, 4096);
      if (page.find_first_not_of('\0') == std::string_view::npos) continue;
      ASSERT_EQ(pwrite(copy, page.data(), page.size(), static_cast<off_t>(at)), 4096);
    }
    const int filler = open("/mnt/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(filler, bytes.data(), 4096) > 0) {
    }
    const absl::Status status = Dict::Open(Path("/mnt/copy")).status();
    EXPECT_CODE(status, kResourceExhausted);
    EXPECT_NE(status.message().find("/mnt/copy"), std::string_view::npos) << status;
    EXPECT_EQ(Value(Must(Dict::Open(Path("/mnt/copy"), {.read_only = true})), "k"), "v");

    ASSERT_EQ(ftruncate(filler, 0), 0);
    Dict dict = Must(Dict::Open(Path("/mnt/copy")));
    while (write(filler, bytes.data(), 4096) > 0) {
    }
    for (int i = 1; i < 20'000; ++i) ASSERT_OK(dict.Set("key:" + std::to_string(i), "v"));
    EXPECT_EQ(Value(dict, "k"), "v");
    EXPECT_TRUE(IsSound(dict));
    close(copy);
    close(filler);
  });
}

// What a kernel does not say is unknown, not nothing.
TEST(HugePages, AreCountedWhereTheKernelSaysSo) {
  OwnedDict owned(SmallOptions());
  EXPECT_EQ(Must(owned->GetStats()).huge_page_bytes, 0) << "it is smaller than a huge page";
  InChild([&] {
    EnterPrivateMounts();
    MountTmpfs("/mnt");
    std::ofstream("/mnt/smaps") << "00000000-ffffffffffffffff rw-s 00000000 00:01 1 /dev/shm/x\nSize: 4 kB\n";
    ASSERT_EQ(mount("/mnt/smaps", "/proc/self/smaps", "none", MS_BIND, nullptr), 0) << strerror(errno);
    EXPECT_EQ(Must(owned->GetStats()).huge_page_bytes, -1);
    std::ofstream("/mnt/smaps", std::ios::app) << "ShmemPmdMapped: 2048 kB\nFilePmdMapped: 0 kB\n";
    EXPECT_EQ(Must(owned->GetStats()).huge_page_bytes, 2 << 20);
  });
}

// ---- A writer's needs of its process ----------------------------------------------------------------------

TEST(ThreadKeys, WhenTheProcessHasUsedThemUpAWriteSaysSo) {
  OwnedDict owned(SmallOptions());
  // A program of its own, in which nobody has written yet: see main.
  Child child([&] {
    execl(test::ThisProgram().c_str(), "limits_test", "--without-thread-keys", owned.name.text().c_str(), nullptr);
    ADD_FAILURE() << "exec: " << strerror(errno);
  });
  child.Wait();
  EXPECT_EQ(Value(*owned, "k"), "v");
}

int WithoutThreadKeys(const char* name) {
  const std::string failures = test::FailuresOf([&] {
    Dict dict = Must(Dict::Open(Name(name)));
    std::vector<pthread_key_t> keys;
    for (pthread_key_t key; pthread_key_create(&key, nullptr) == 0;) keys.push_back(key);
    for (const pthread_key_t key : keys) ASSERT_EQ(pthread_setspecific(key, name), 0);
    EXPECT_CODE(dict.Set("k", "v"), kResourceExhausted);
    EXPECT_CODE(dict.Get("k"), kNotFound) << "reading needs none";
    for (const pthread_key_t key : keys) ASSERT_EQ(pthread_getspecific(key), name) << "somebody else's key";
    for (const pthread_key_t key : keys) pthread_key_delete(key);
    std::thread([&] { EXPECT_OK(dict.Set("k", "v")); }).join();
    EXPECT_EQ(Must(dict.GetStats()).writers, 0u) << "given back at the thread's end";
  });
  std::fputs(failures.c_str(), stderr);
  return failures.empty() ? 0 : 1;
}

// ---- Truncation and seals ---------------------------------------------------------------------------------

TEST(Truncation, OfASealedMemfdFailsWhileItIsUsed) {
  const int fd = memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_GE(fd, 0);
  Dict dict = Must(Dict::Create(Descriptor(fd), SmallOptions()));
  SharedWords words;
  Child hostile([&] {
    const int own = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
    const int64_t size = SizeOf(own);
    for (uint64_t i = 0; words[1] == 0; ++i) {
      EXPECT_EQ(ftruncate(i % 2 == 0 ? fd : own, static_cast<off_t>(i % 3 == 0 ? 0 : size - 4096)), -1);
      EXPECT_EQ(errno, EPERM);
      EXPECT_EQ(ftruncate(own, size + 4096), -1);
      EXPECT_EQ(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_TRUNC | O_CLOEXEC), -1);
      words[0] = i;
    }
  });
  for (uint64_t i = 0; words[0] < 2000 || i < 2000; ++i) {
    ASSERT_OK(dict.Set("key:" + std::to_string(i % 50), test::Bytes(i % 3000, i)));
    ASSERT_EQ(Value(dict, "key:" + std::to_string(i % 50)), test::Bytes(i % 3000, i));
  }
  words[1] = 1;
  hostile.Wait();
  EXPECT_TRUE(IsSound(dict));
  close(fd);
}

// Seals that a caller has set already are honoured: the dict is made, or the file is left as it was.
TEST(Seals, ThatAreThereAlready) {
  for (const int seals : {F_SEAL_SEAL, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE}) {
    const int fd = memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0) << strerror(errno);
    absl::StatusOr<Dict> dict = Dict::Create(Descriptor(fd), SmallOptions());
    if (dict.ok()) {
      EXPECT_OK(dict->Set("k", "v"));
      EXPECT_OK(Dict::Open(Descriptor(fd)));
    } else {
      EXPECT_CODE(dict, kPermissionDenied) << "seal " << seals;
      // Only where the seal forbids to shrink it can nothing be undone; and then nothing has been done.
      EXPECT_EQ(SizeOf(fd), 0) << "seal " << seals;
    }
    EXPECT_EQ(dict.ok(), seals == F_SEAL_SEAL || seals == F_SEAL_SHRINK) << "seal " << seals << dict.status();
    close(fd);
  }
}

// The documented limit: whoever may truncate a file, and does, ends its users by SIGBUS; nobody else comes to harm, and
// who attaches later is refused.
TEST(Truncation, OfAFileEndsItsUsersAndIsThenRefused) {
  if (UnderValgrind()) GTEST_SKIP() << "the signal that it is about is a finding of valgrind";
  ScopedName name;
  {
    Dict dict = Must(Dict::Create(name.location(), SmallOptions()));
    ASSERT_OK(dict.Set("k", "v"));
  }
  SharedWords words;
  const pid_t user = fork();
  if (user == 0) {
    signal(SIGBUS, SIG_DFL);
    Dict dict = Must(Dict::Open(name.location()));
    words[0] = 1;
    while (words[1] == 0) {
    }
    for (int i = 0; i < 1000; ++i) (void)dict.Set("key:" + std::to_string(i), "v");
    _exit(0);
  }
  ASSERT_GT(user, 0);
  EXPECT_TRUE(test::Await([&] { return words[0] != 0; }));
  ASSERT_EQ(truncate(name.path().c_str(), 4096), 0);
  words[1] = 1;
  int status = 0;
  ASSERT_EQ(waitpid(user, &status, 0), user);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
  EXPECT_CODE(Dict::Open(name.location()), kDataLoss);
}

}  // namespace
}  // namespace segdict

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--without-thread-keys") == 0) return segdict::WithoutThreadKeys(argv[2]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
