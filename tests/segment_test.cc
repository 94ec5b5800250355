// How a dict is made, found, refused and removed: G5, no creation race; G6, memory is reserved at creation.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "src/base/descriptor.h"
#include "src/base/hash.h"
#include "src/layout/header.h"
#include "tests/namespaces.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using internal::FixedHeader;
using internal::UniqueFd;
using test::BecomeUser;
using test::Child;
using test::EnterPrivateMounts;
using test::InChild;
using test::IsSound;
using test::MountTmpfs;
using test::Must;
using test::OwnedDict;
using test::ScopedName;
using test::SmallOptions;
using test::Value;

constexpr uid_t kSomebody = 12345, kSomebodyElse = 23456;

Options ReadOnly() {
  Options options;
  options.read_only = true;
  return options;
}

std::string ReadFile(const std::string& path) {
  std::string bytes;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd) << path;
  struct stat info {};
  EXPECT_EQ(fstat(fd.get(), &info), 0);
  bytes.resize(static_cast<size_t>(info.st_size));
  EXPECT_EQ(pread(fd.get(), bytes.data(), bytes.size(), 0), info.st_size);
  return bytes;
}

void WriteFile(const std::string& path, std::string_view bytes, mode_t mode = 0600) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  ASSERT_TRUE(fd) << path;
  ASSERT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(fchmod(fd.get(), mode), 0);
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory.c_str());
  EXPECT_NE(dir, nullptr) << directory;
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

// A directory of its own, taken away with its files at the end.
class ScopedDirectory {
 public:
  explicit ScopedDirectory(const std::string& parent) : path_(parent + "/segdict-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~ScopedDirectory() {
    for (const std::string& name : FilesIn(path_)) unlink((path_ + "/" + name).c_str());
    rmdir(path_.c_str());
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  std::vector<std::string> files() const { return FilesIn(path_); }

 private:
  std::string path_;
};

// From here on open(O_TMPFILE) fails as on a filesystem that does not know it.
void ForbidTemporaryFiles() {
#if defined(__x86_64__)
  constexpr uint32_t kArch = AUDIT_ARCH_X86_64;
#else
  constexpr uint32_t kArch = AUDIT_ARCH_AARCH64;
#endif
  constexpr uint32_t kBit = O_TMPFILE & ~O_DIRECTORY;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArch, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kBit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
  ASSERT_EQ(open("/dev/shm", O_TMPFILE | O_RDWR, 0600), -1);
  ASSERT_EQ(errno, EOPNOTSUPP);
}

// ---- Names ------------------------------------------------------------------------------------------------

TEST(Names, WhatIsNoNameIsRefused) {
  for (const std::string& name :
       {std::string(), std::string("/"), std::string("a/b"), std::string("/a"), std::string("."), std::string(".."),
        std::string(".hidden"), std::string("a\0b", 3), std::string(256, 'n')}) {
    SCOPED_TRACE(name);
    EXPECT_CODE(Dict::Create(Name(name), SmallOptions()), kInvalidArgument);
    EXPECT_CODE(Dict::Open(Name(name)), kInvalidArgument);
    EXPECT_CODE(Dict::OpenOrCreate(Name(name), SmallOptions()), kInvalidArgument);
    EXPECT_CODE(Dict::Unlink(Name(name)), kInvalidArgument);
  }
}

TEST(Names, TheLongestAndTheOddest) {
  ScopedName unique;
  for (const std::string& name : {unique.text() + std::string(255 - unique.text().size(), 'n'),
                                  unique.text() + " \xc3\xa4\n%s", unique.text() + "-.."}) {
    EXPECT_OK(Dict::Create(Name(name), SmallOptions()));
    EXPECT_OK(Dict::Open(Name(name)));
    EXPECT_OK(Dict::Unlink(Name(name)));
    EXPECT_CODE(Dict::Open(Name(name)), kNotFound);
  }
}

TEST(Names, CreateOpenOpenOrCreateUnlink) {
  ScopedName name;
  EXPECT_CODE(Dict::Open(name.location()), kNotFound);
  EXPECT_CODE(Dict::Unlink(name.location()), kNotFound);
  Dict made = Must(Dict::Create(name.location(), SmallOptions()));
  ASSERT_OK(made.Set("k", "v"));
  EXPECT_CODE(Dict::Create(name.location(), SmallOptions()), kAlreadyExists);
  EXPECT_EQ(Value(Must(Dict::Open(name.location())), "k"), "v");
  Options other = SmallOptions();
  other.capacity = 5;
  Dict found = Must(Dict::OpenOrCreate(name.location(), other));
  EXPECT_EQ(Value(found, "k"), "v");
  EXPECT_EQ(found.capacity(), 1000u) << "takes what it finds";
  EXPECT_OK(Dict::Unlink(name.location()));
  EXPECT_EQ(Must(Dict::OpenOrCreate(name.location(), other)).capacity(), 5u);
}

TEST(Names, UnlinkWhileInUse) {
  ScopedName name;
  Dict old = Must(Dict::Create(name.location(), SmallOptions()));
  ASSERT_OK(old.Set("k", "old"));
  ASSERT_OK(Dict::Unlink(name.location()));
  Dict fresh = Must(Dict::Create(name.location(), SmallOptions()));
  ASSERT_OK(fresh.Set("k", "fresh"));
  EXPECT_EQ(Value(old, "k"), "old");
  EXPECT_OK(old.Set("j", "still writable"));
  // Also processes without a record yet, and the recovery of one that dies.
  test::SharedWords words;
  Child child([&] {
    auto guard = old.Lock();
    EXPECT_OK(guard);
    EXPECT_OK(old.Set("child", "c"));
    words[0] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(test::Await([&] { return words[0] != 0; }));
  child.Kill();
  EXPECT_OK(old.Lock());
  EXPECT_EQ(Value(old, "child"), "c");
  EXPECT_EQ(fresh.size(), 1u);
  EXPECT_TRUE(IsSound(old));
}

TEST(Names, List) {
  ScopedName a, b, foreign;
  Options options = SmallOptions();
  options.mode = 0640;
  Dict first = Must(Dict::Create(a.location(), options));
  options.capacity = 77;
  Dict second = Must(Dict::Create(b.location(), options));
  WriteFile(foreign.path(), std::string(10'000, 'x'));
  const auto find = [](const std::string& name) {
    std::vector<SegmentInfo> found;
    for (const SegmentInfo& info : Must(Dict::List())) {
      if (info.name == name) found.push_back(info);
    }
    return found;
  };
  ASSERT_EQ(find(a.text()).size(), 1u);
  const SegmentInfo info = find(a.text())[0];
  EXPECT_EQ(info.capacity, 1000u);
  EXPECT_EQ(info.size, Must(first.GetStats()).segment_bytes);
  EXPECT_EQ(info.owner, geteuid());
  EXPECT_EQ(info.mode, 0640u);
  ASSERT_EQ(find(b.text()).size(), 1u);
  EXPECT_EQ(find(b.text())[0].capacity, 77u);
  EXPECT_TRUE(find(foreign.text()).empty());
  ASSERT_OK(Dict::Unlink(a.location()));
  EXPECT_TRUE(find(a.text()).empty());
}

// ---- Refusals: each says why ------------------------------------------------------------------------------

class Refusals : public ::testing::Test {
 protected:
  // The file of a dict with an entry in it.
  static std::string Good() {
    Options options;
    options.capacity = 20;
    options.max_writers = 2;
    OwnedDict owned(options);
    EXPECT_OK(owned->Set("k", "v"));
    return ReadFile(owned.name.path());
  }
  // The same with another header, checksum and all.
  static std::string With(const std::function<void(FixedHeader&)>& change) {
    std::string bytes = Good();
    FixedHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    change(header);
    header.checksum = XXH3_64bits(&header, offsetof(FixedHeader, checksum));
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  }
  static absl::Status Open(const std::string& bytes, const Options& options = {}) {
    ScopedName name;
    WriteFile(name.path(), bytes);
    const absl::Status status = Dict::Open(name.location(), options).status();
    EXPECT_EQ(Dict::OpenOrCreate(name.location(), options).status().code(), status.code());
    EXPECT_EQ(ReadFile(name.path()), bytes) << "a refused file is left alone";
    if (!status.ok()) {
      EXPECT_NE(status.message().find(name.text()), std::string_view::npos)
          << "the message does not name the segment: " << status;
    }
    return status;
  }
  static void ExpectRefusal(const std::string& bytes, absl::StatusCode code, std::string_view reason,
                            const Options& options = {}) {
    const absl::Status status = Open(bytes, options);
    EXPECT_EQ(status.code(), code) << status;
    const std::string_view message(status.message().data(), status.message().size());
    EXPECT_NE(message.find(reason), std::string_view::npos) << "no '" << reason << "' in: " << status;
  }
};

using Code = absl::StatusCode;

TEST_F(Refusals, TheGoodOneIsOpened) {
  EXPECT_OK(Open(Good()));
  EXPECT_OK(Open(With([](FixedHeader&) {})));
}

TEST_F(Refusals, ForeignFiles) {
  ExpectRefusal("", Code::kFailedPrecondition, "not a segdict segment");
  ExpectRefusal("short", Code::kFailedPrecondition, "not a segdict segment");
  ExpectRefusal(Good().substr(0, 511), Code::kFailedPrecondition, "not a segdict segment");
  ExpectRefusal(std::string(100'000, '\0'), Code::kFailedPrecondition, "not a segdict segment");
  ExpectRefusal(test::Bytes(100'000, 1), Code::kFailedPrecondition, "not a segdict segment");
  ExpectRefusal(With([](FixedHeader& h) { h.magic[7] = 0; }), Code::kFailedPrecondition, "not a segdict segment");
}

TEST_F(Refusals, TruncatedFiles) {
  const std::string good = Good();
  for (const size_t size : {size_t{512}, size_t{4096}, good.size() / 2, good.size() - 4096, good.size() - 1}) {
    ExpectRefusal(good.substr(0, size), Code::kDataLoss, "truncated");
  }
  EXPECT_OK(Open(good + std::string(4096, '\0'))) << "longer than it says it is";
}

TEST_F(Refusals, OtherVersionsAndFeatures) {
  ExpectRefusal(With([](FixedHeader& h) { h.format_version = 2; }), Code::kFailedPrecondition, "version 2");
  ExpectRefusal(With([](FixedHeader& h) { h.format_version = 0; }), Code::kFailedPrecondition, "version 0");
  ExpectRefusal(With([](FixedHeader& h) { h.header_size = 8192; }), Code::kFailedPrecondition, "version");
  ExpectRefusal(With([](FixedHeader& h) { h.fingerprint ^= 1; }), Code::kFailedPrecondition, "fingerprint");
  ExpectRefusal(With([](FixedHeader& h) { h.features_incompatible = 4; }), Code::kFailedPrecondition, "features");
  ExpectRefusal(With([](FixedHeader& h) { h.features_incompatible = 4; }), Code::kFailedPrecondition, "features",
                ReadOnly());
  ExpectRefusal(With([](FixedHeader& h) { h.features_write = 4; }), Code::kFailedPrecondition, "features");
  EXPECT_OK(Open(With([](FixedHeader& h) { h.features_compatible = 4; })));
  ScopedName name;
  WriteFile(name.path(), With([](FixedHeader& h) { h.features_write = 4; }));
  EXPECT_OK(Dict::Open(name.location(), ReadOnly())) << "readers need not know it";
  ExpectRefusal(With([](FixedHeader& h) { h.hash_id = 2; }), Code::kFailedPrecondition, "hash");
  ExpectRefusal(With([](FixedHeader& h) { h.hash_test ^= 1; }), Code::kFailedPrecondition, "hash");
  ExpectRefusal(With([](FixedHeader& h) { h.clock_id = 0; }), Code::kFailedPrecondition, "clock");
  ExpectRefusal(With([](FixedHeader& h) { h.clock_id = 3; }), Code::kFailedPrecondition, "clock");
  ExpectRefusal(With([](FixedHeader& h) { h.reserved[0] = 1; }), Code::kFailedPrecondition, "reserved");
  ExpectRefusal(With([](FixedHeader& h) { h.reserved[45] = 1; }), Code::kFailedPrecondition, "reserved");
}

TEST_F(Refusals, ImpossibleGeometries) {
  const std::vector<std::function<void(FixedHeader&)>> changes = {
      [](FixedHeader& h) { h.groups = 0; },
      [](FixedHeader& h) { h.groups = ~uint64_t{0}; },
      [](FixedHeader& h) { h.groups = uint64_t{1} << 60; },
      [](FixedHeader& h) { h.groups += 100; },
      [](FixedHeader& h) { h.slot_size = 0; },
      [](FixedHeader& h) { h.slot_size = 48; },
      [](FixedHeader& h) { h.slot_size = 128; },
      [](FixedHeader& h) { h.slot_size = 32, h.ordered = 1; },
      [](FixedHeader& h) { h.records = 0; },
      [](FixedHeader& h) { h.records = 32'769; },
      [](FixedHeader& h) { h.records = ~0u; },
      [](FixedHeader& h) { h.page_size = 0; },
      [](FixedHeader& h) { h.page_size = 8192; },
      [](FixedHeader& h) { h.pages = 0; },
      [](FixedHeader& h) { h.pages = ~uint64_t{0}; },
      [](FixedHeader& h) { h.pages = (uint64_t{1} << 22) + 1; },
      [](FixedHeader& h) { h.ordered = 2; },
      [](FixedHeader& h) { h.segment_size += 4096; },
      [](FixedHeader& h) { h.segment_size = 0; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectRefusal(With(changes[i]), Code::kDataLoss, "geometry");
  }
  // Large and consistent, but not what the file has.
  ExpectRefusal(
      With([](FixedHeader& h) {
        internal::Geometry g;
        h.groups = 1'000'003;
        ASSERT_TRUE(internal::Geometry::Compute({h.groups, h.slot_size, h.records, h.page_size, h.pages}, &g));
        h.segment_size = g.size;
      }),
      Code::kDataLoss, "truncated");
}

TEST_F(Refusals, AGroupCountThatIsNoPrimeIsRefused) {
  // The probe sequence would not visit every group: attach must not rely on it unchecked.
  ExpectRefusal(With([](FixedHeader& h) {
                  internal::Geometry g;
                  h.groups = 1;
                  h.records = 1;
                  ASSERT_TRUE(internal::Geometry::Compute({4, h.slot_size, h.records, h.page_size, h.pages}, &g));
                  h.groups = 4;
                  h.segment_size = g.size;
                }) + std::string(65'536, '\0'),
                Code::kDataLoss, "geometry");
}

TEST_F(Refusals, AnyFlippedBitOfTheFixedHeader) {
  const std::string good = Good();
  ScopedName name;
  WriteFile(name.path(), good);
  UniqueFd fd(open(name.path().c_str(), O_RDWR | O_CLOEXEC));
  for (size_t bit = 0; bit < 512 * 8; ++bit) {
    const char flipped = static_cast<char>(good[bit / 8] ^ (1 << bit % 8));
    ASSERT_EQ(pwrite(fd.get(), &flipped, 1, static_cast<off_t>(bit / 8)), 1);
    const absl::Status status = Dict::Open(name.location()).status();
    const Code expected = bit / 8 < 16 ? Code::kFailedPrecondition : Code::kDataLoss;
    ASSERT_EQ(status.code(), expected) << "byte " << bit / 8 << ": " << status;
    ASSERT_EQ(pwrite(fd.get(), &good[bit / 8], 1, static_cast<off_t>(bit / 8)), 1);
  }
  EXPECT_OK(Dict::Open(name.location()));
}

TEST_F(Refusals, WhatIsNoRegularFile) {
  ScopedDirectory directory("/dev/shm");
  EXPECT_CODE(Dict::Open(Path(directory.path())), kFailedPrecondition);
  EXPECT_CODE(Dict::Open(Path(directory.path()), ReadOnly()), kFailedPrecondition);
  EXPECT_CODE(Dict::Create(Path(directory.path()), SmallOptions()), kAlreadyExists);
  ASSERT_EQ(mkfifo((directory / "fifo").c_str(), 0600), 0);
  // Does not wait for somebody at the other end.
  EXPECT_CODE(Dict::Open(Path(directory / "fifo")), kFailedPrecondition);
  EXPECT_CODE(Dict::Open(Path(directory / "fifo"), ReadOnly()), kFailedPrecondition);
  EXPECT_CODE(Dict::Open(Path("/dev/null")), kFailedPrecondition);
  ScopedName target, link;
  Dict dict = Must(Dict::Create(target.location(), SmallOptions()));
  ASSERT_EQ(symlink(target.path().c_str(), link.path().c_str()), 0);
  EXPECT_CODE(Dict::Open(link.location()), kFailedPrecondition)
      << "a name in a directory that all may write follows no links";
  EXPECT_OK(Dict::Open(Path(link.path())));
  EXPECT_CODE(Dict::Create(link.location(), SmallOptions()), kAlreadyExists);
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (directory / "socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_CODE(Dict::Open(Path(directory / "socket")), kFailedPrecondition);
  EXPECT_CODE(Dict::OpenOrCreate(Path(directory / "socket"), SmallOptions()), kFailedPrecondition);
}

// There is nothing to open, and the name is taken: an error at once, and not one turn of OpenOrCreate after the other.
TEST_F(Refusals, ALinkToWhatIsNotThere) {
  ScopedName target, link;
  ASSERT_EQ(symlink(target.path().c_str(), link.path().c_str()), 0);
  for (const Location& location : {Path(link.path()), link.location()}) {
    EXPECT_CODE(Dict::Open(location), kFailedPrecondition);
    EXPECT_CODE(Dict::Create(location, SmallOptions()), kAlreadyExists);
    EXPECT_CODE(Dict::OpenOrCreate(location, SmallOptions()), kFailedPrecondition);
  }
  const absl::Status status = Dict::OpenOrCreate(Path(link.path()), SmallOptions()).status();
  EXPECT_NE(status.message().find("symbolic link"), std::string_view::npos) << status;
  EXPECT_CODE(Dict::Open(target.location()), kNotFound) << "nothing was made there";
}

TEST(Paths, AnyDirectory) {
  const char* scratch = getenv("TEST_TMPDIR");
  for (const std::string& parent : {std::string("/dev/shm"), std::string(scratch != nullptr ? scratch : "/tmp")}) {
    ScopedDirectory directory(parent);
    {
      Dict dict = Must(Dict::Create(Path(directory / "d"), SmallOptions()));
      ASSERT_OK(dict.Set("k", test::Bytes(5000, 1)));
    }
    EXPECT_EQ(directory.files(), std::vector<std::string>{"d"});
    Dict dict = Must(Dict::Open(Path(directory / "d")));
    EXPECT_EQ(Value(dict, "k"), test::Bytes(5000, 1)) << "the file lasts";
    EXPECT_TRUE(IsSound(dict));
    EXPECT_CODE(Dict::Create(Path(directory / "d"), SmallOptions()), kAlreadyExists);
    EXPECT_OK(Dict::Unlink(Path(directory / "d")));
    EXPECT_CODE(Dict::Open(Path(directory / "none" + "/d")), kNotFound);
    EXPECT_CODE(Dict::Create(Path(directory / "none" + "/d"), SmallOptions()), kNotFound);
    EXPECT_TRUE(directory.files().empty());
  }
  EXPECT_CODE(Dict::Open(Path("")), kInvalidArgument);
  EXPECT_CODE(Dict::Create(Path(std::string("/tmp/a\0b", 8)), SmallOptions()), kInvalidArgument);
}

TEST(Paths, Relative) {
  InChild([] {
    ScopedDirectory directory("/dev/shm");
    ASSERT_EQ(chdir(directory.path().c_str()), 0);
    Dict dict = Must(Dict::Create(Path("d"), SmallOptions()));
    EXPECT_OK(dict.Set("k", "v"));
    EXPECT_EQ(Value(Must(Dict::Open(Path("./d"))), "k"), "v");
  });
}

// ---- Owners, permissions ----------------------------------------------------------------------------------

TEST(Permissions, ModeAndGroupAreAsAsked) {
  InChild([] {
    umask(077);
    for (const mode_t mode : {0600u, 0640u, 0664u, 0644u, 0666u}) {
      ScopedName name;
      Options options = SmallOptions();
      options.mode = mode;
      if (geteuid() == 0) options.group = kSomebody;
      Dict dict = Must(Dict::Create(name.location(), options));
      EXPECT_OK(dict.Set("k", "v"));
      struct stat info {};
      ASSERT_EQ(stat(name.path().c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 07777, mode);
      EXPECT_EQ(info.st_gid, geteuid() == 0 ? kSomebody : getegid());
    }
  });
}

// Its owner could not write: each thread that does opens the file again.
TEST(Permissions, AModeThatKeepsItsOwnerOutIsRefused) {
  ScopedName name;
  for (const mode_t mode : {0u, 0400u, 0444u, 0200u, 0066u, 01600u, 02660u, 04700u, 0100600u}) {
    Options options = SmallOptions();
    options.mode = mode;
    EXPECT_CODE(Dict::Create(name.location(), options), kInvalidArgument) << std::oct << mode;
    EXPECT_CODE(Dict::OpenOrCreate(name.location(), options), kInvalidArgument) << std::oct << mode;
  }
  EXPECT_CODE(Dict::Open(name.location()), kNotFound);
}

TEST(Permissions, AfterPrivilegesAreDroppedTheNextThreadIsToldWhy) {
  OwnedDict owned(SmallOptions());
  InChild([&] {
    ASSERT_OK(owned->Set("k", "v"));
    BecomeUser(kSomebody);
    EXPECT_OK(owned->Set("k", "w")) << "this thread has its record";
    std::thread([&] { EXPECT_CODE(owned->Set("k", "x"), kPermissionDenied); }).join();
    EXPECT_EQ(Value(*owned, "k"), "w");
  });
}

TEST(Permissions, WhatIsNoGroupIsRefused) {
  ScopedName name;
  for (const int64_t group : {int64_t{-2}, int64_t{0xffff'ffff}, (int64_t{1} << 32) + 5,
                              std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    Options options = SmallOptions();
    options.group = group;
    EXPECT_CODE(Dict::Create(name.location(), options), kInvalidArgument) << group;
  }
  EXPECT_CODE(Dict::Open(name.location()), kNotFound);
}

TEST(Permissions, AGroupThatCannotBeGivenLeavesNothing) {
  ScopedDirectory directory("/dev/shm");
  ASSERT_EQ(chmod(directory.path().c_str(), 0777), 0);
  InChild([&] {
    BecomeUser(kSomebodyElse);
    Options options = SmallOptions();
    options.group = 1;
    EXPECT_CODE(Dict::Create(Path(directory / "d"), options), kPermissionDenied);
  });
  EXPECT_TRUE(directory.files().empty());
}

TEST(Permissions, SomebodyElsesSegmentIsRefused) {
  ScopedName name;
  {
    Options options = SmallOptions();
    options.mode = 0666;
    Dict dict = Must(Dict::Create(name.location(), options));
    ASSERT_OK(dict.Set("k", "v"));
  }
  InChild([&] {
    BecomeUser(kSomebodyElse);
    EXPECT_OK(Dict::Open(name.location())) << "root is trusted";
  });
  ASSERT_EQ(chown(name.path().c_str(), kSomebody, kSomebody), 0) << "run as root";
  const auto refused = [&](const Options& options) {
    const absl::Status status = Dict::Open(name.location(), options).status();
    EXPECT_CODE(status, kPermissionDenied);
    EXPECT_NE(status.message().find("12345"), std::string_view::npos) << status;
    EXPECT_NE(status.message().find("trusted_owners"), std::string_view::npos) << status;
    EXPECT_CODE(Dict::OpenOrCreate(name.location(), options), kPermissionDenied);
  };
  refused(ReadOnly());  // by root
  InChild([&] {
    BecomeUser(kSomebodyElse);
    refused(SmallOptions());
    refused(ReadOnly());
    Options options = SmallOptions();
    options.trusted_owners = {1, kSomebodyElse};
    refused(options);
    options.trusted_owners.push_back(kSomebody);
    Dict dict = Must(Dict::Open(name.location(), options));
    EXPECT_EQ(Value(dict, "k"), "v");
    EXPECT_OK(dict.Set("k", "w"));
  });
  InChild([&] {
    BecomeUser(kSomebody);
    EXPECT_OK(Dict::Open(name.location())) << "the owner";
  });
}

TEST(Permissions, WithoutPermission) {
  ScopedName name;
  Dict dict = Must(Dict::Create(name.location(), SmallOptions()));
  InChild([&] {
    BecomeUser(kSomebodyElse);
    EXPECT_CODE(Dict::Open(name.location()), kPermissionDenied);
    EXPECT_CODE(Dict::Open(name.location(), ReadOnly()), kPermissionDenied);
    EXPECT_CODE(Dict::OpenOrCreate(name.location(), SmallOptions()), kPermissionDenied);
    for (const SegmentInfo& info : Must(Dict::List())) EXPECT_NE(info.name, name.text()) << "may not be read";
  });
}

TEST(Permissions, ReadOnlyAttachOfAFileThatMayOnlyBeRead) {
  Options options = SmallOptions();
  options.mode = 0644;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("k", test::Bytes(3000, 1), {.ttl = absl::Hours(1)}));
  InChild([&] {
    BecomeUser(kSomebodyElse);
    EXPECT_CODE(Dict::Open(owned.name.location()), kPermissionDenied);
    Dict dict = Must(Dict::Open(owned.name.location(), ReadOnly()));
    EXPECT_EQ(Value(dict, "k"), test::Bytes(3000, 1));
    EXPECT_TRUE(IsSound(dict));
    EXPECT_CODE(dict.Set("k", "v"), kFailedPrecondition);
    EXPECT_CODE(dict.Erase("k"), kFailedPrecondition);
    EXPECT_CODE(dict.Recover(), kFailedPrecondition);
  });
  EXPECT_EQ(Value(*owned, "k"), test::Bytes(3000, 1));
}

// ---- Creation ---------------------------------------------------------------------------------------------

TEST(Creation, TwentyProcessesAtOnceGetOneDict) {
  constexpr int kProcesses = 20;
  for (int round = 0; round < 5; ++round) {
    ScopedName name;
    test::SharedWords words;
    std::vector<Child> children;
    for (int i = 0; i < kProcesses; ++i) {
      children.emplace_back([&, i] {
        ++words[0];
        while (words[0] < kProcesses) {
        }
        Options options = SmallOptions();
        options.max_writers = kProcesses + 1;
        Dict dict = Must(Dict::OpenOrCreate(name.location(), options));
        EXPECT_OK(dict.FetchAdd("count", 1, 0));
        EXPECT_OK(dict.Insert("process:" + std::to_string(i), "here"));
      });
    }
    for (Child& child : children) child.Wait();
    Dict dict = Must(Dict::Open(name.location()));
    EXPECT_EQ(Must(dict.FetchAdd("count", 0)), kProcesses);
    EXPECT_EQ(dict.size(), kProcesses + 1u);
    EXPECT_TRUE(IsSound(dict));
  }
}

TEST(Creation, OnlyOneOfManyCreates) {
  constexpr int kProcesses = 10;
  ScopedName name;
  test::SharedWords words;
  std::vector<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&] {
      ++words[0];
      while (words[0] < kProcesses) {
      }
      const absl::Status status = Dict::Create(name.location(), SmallOptions()).status();
      if (!status.ok()) {
        EXPECT_CODE(status, kAlreadyExists);
      }
      if (status.ok()) ++words[1];
    });
  }
  for (Child& child : children) child.Wait();
  EXPECT_EQ(words[1], 1u);
}

TEST(Creation, ManyProcessesByOneDescriptorGetOneDict) {
  constexpr int kProcesses = 4;
  for (int round = 0; round < 5; ++round) {
    UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    test::SharedWords words;
    std::vector<Child> children;
    for (int i = 0; i < kProcesses; ++i) {
      children.emplace_back([&] {
        ++words[0];
        while (words[0] < kProcesses) {
        }
        // So much that making it takes a while.
        Options options = SmallOptions();
        options.value_bytes = 32 << 20;
        absl::StatusOr<Dict> dict = Dict::OpenOrCreate(Descriptor(fd.get()), options);
        ASSERT_OK(dict);
        EXPECT_OK(dict->FetchAdd("count", 1, 0));
      });
    }
    for (Child& child : children) child.Wait();
    absl::StatusOr<Dict> dict = Dict::Open(Descriptor(fd.get()));
    ASSERT_OK(dict);
    EXPECT_EQ(Must(dict->FetchAdd("count", 0, -1)), kProcesses);
    EXPECT_TRUE(IsSound(*dict));
    if (HasFailure()) return;
  }
}

TEST(Creation, AKilledCreatorLeavesNothing) {
  ScopedDirectory directory("/dev/shm");
  std::mt19937_64 random(3);
  int64_t longest = 3000;  // follows what a creation takes here, so that about half of them are killed before its end
  int made = 0, unmade = 0;
  for (int round = 0; round < 150; ++round) {
    Child child([&] {
      Options options = SmallOptions();
      options.value_bytes = 2 << 20;
      options.prefault = true;
      EXPECT_OK(Dict::Create(Path(directory / "d"), options));
      for (;;) pause();
    });
    test::SleepMicroseconds(static_cast<int64_t>(random() % static_cast<uint64_t>(longest)));
    child.Kill();
    const std::vector<std::string> files = directory.files();
    longest = std::max<int64_t>(100, files.empty() ? longest * 11 / 10 : longest * 10 / 11);
    if (files.empty()) {
      ++unmade;
      EXPECT_CODE(Dict::Open(Path(directory / "d")), kNotFound);
    } else {
      ++made;
      ASSERT_EQ(files, std::vector<std::string>{"d"});
    }
    Dict dict = Must(Dict::OpenOrCreate(Path(directory / "d"), SmallOptions()));
    EXPECT_OK(dict.Set("k", "v"));
    EXPECT_TRUE(IsSound(dict));
    ASSERT_OK(Dict::Unlink(Path(directory / "d")));
  }
  EXPECT_GT(made, 0) << "all were killed too early for the test to mean much";
  EXPECT_GT(unmade, 0) << "all were killed too late";
}

void CreateUseAndFail(const std::string& directory) {
  const auto path = [&](const std::string& name) { return Path(directory + "/" + name); };
  Dict dict = Must(Dict::Create(path("d"), SmallOptions()));
  EXPECT_OK(dict.Set("k", "v"));
  EXPECT_EQ(FilesIn(directory), std::vector<std::string>{"d"}) << "no other name is left";
  EXPECT_CODE(Dict::Create(path("d"), SmallOptions()), kAlreadyExists);
  EXPECT_OK(Dict::Open(path("d")));
  Options impossible = SmallOptions();
  impossible.value_bytes = uint64_t{100} << 30;
  EXPECT_CODE(Dict::Create(path("e"), impossible), kResourceExhausted);
  struct stat info {};
  ASSERT_EQ(stat((directory + "/d").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(FilesIn(directory), std::vector<std::string>{"d"});
  // Dead writers are recovered here too.
  test::SharedWords words;
  Child child([&] {
    auto guard = dict.Lock();
    EXPECT_OK(guard);
    words[0] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(test::Await([&] { return words[0] != 0; }));
  child.Kill();
  EXPECT_OK(dict.Lock());
  EXPECT_TRUE(IsSound(dict));
}

TEST(Creation, WhereTheFilesystemHasNoTemporaryFiles) {
  ScopedDirectory directory("/dev/shm");
  InChild([&] {
    EnterPrivateMounts();
    MountTmpfs(directory.path(), "size=64m");
    ForbidTemporaryFiles();
    CreateUseAndFail(directory.path());
  });
}

TEST(Creation, WhereThereIsNoProc) {
  ScopedDirectory directory("/dev/shm");
  InChild([&] {
    EnterPrivateMounts();
    MountTmpfs(directory.path(), "size=64m");
    MountTmpfs("/proc");
    ASSERT_NE(access("/proc/self", F_OK), 0);
    CreateUseAndFail(directory.path());
  });
}

TEST(Creation, WithoutTemporaryFilesStillOnlyOneOfManyCreates) {
  constexpr int kProcesses = 8;
  ScopedDirectory directory("/dev/shm");
  for (int round = 0; round < 5; ++round) {
    test::SharedWords words;
    std::vector<Child> children;
    for (int i = 0; i < kProcesses; ++i) {
      children.emplace_back([&] {
        ForbidTemporaryFiles();
        ++words[0];
        while (words[0] < kProcesses) {
        }
        Dict dict = Must(Dict::OpenOrCreate(Path(directory / "d"), SmallOptions()));
        EXPECT_OK(dict.FetchAdd("count", 1, 0));
      });
    }
    for (Child& child : children) child.Wait();
    EXPECT_EQ(directory.files(), std::vector<std::string>{"d"});
    Dict dict = Must(Dict::Open(Path(directory / "d")));
    EXPECT_EQ(Must(dict.FetchAdd("count", 0)), kProcesses);
    ASSERT_OK(Dict::Unlink(Path(directory / "d")));
  }
}

TEST(Creation, WithoutTemporaryFilesAKilledCreatorLeavesNothingOfThatName) {
  ScopedDirectory directory("/dev/shm");
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    Child child([&] {
      ForbidTemporaryFiles();
      Options options = SmallOptions();
      options.prefault = true;
      EXPECT_OK(Dict::Create(Path(directory / "d"), options));
      for (;;) pause();
    });
    test::SleepMicroseconds(static_cast<int64_t>(random() % 3000));
    child.Kill();
    for (const std::string& name : directory.files()) {
      if (name != "d") {
        EXPECT_EQ(name.rfind(".segdict-", 0), 0u) << name;
      }
    }
    Dict dict = Must(Dict::OpenOrCreate(Path(directory / "d"), SmallOptions()));
    EXPECT_OK(dict.Set("k", "v"));
    EXPECT_TRUE(IsSound(dict));
    ASSERT_OK(Dict::Unlink(Path(directory / "d")));
  }
}

// ---- G6 ---------------------------------------------------------------------------------------------------

TEST(SmallFilesystem, IsAClearErrorAndLeavesNothing) {
  ScopedDirectory directory("/dev/shm");
  InChild([&] {
    EnterPrivateMounts();
    MountTmpfs(directory.path(), "size=1m");
    Options options;
    options.capacity = 1000;
    options.max_writers = 4;
    options.value_bytes = 2 << 20;
    const absl::Status status = Dict::Create(Path(directory / "d"), options).status();
    EXPECT_CODE(status, kResourceExhausted);
    EXPECT_NE(status.message().find(directory.path()), std::string_view::npos) << status;
    EXPECT_NE(status.message().find("bytes"), std::string_view::npos) << status;
    EXPECT_CODE(Dict::OpenOrCreate(Path(directory / "d"), options), kResourceExhausted);
    EXPECT_TRUE(directory.files().empty());
    // What was reserved for a moment is free again: exactly as much as fits still does.
    options.value_bytes = 500'000;
    Dict dict = Must(Dict::Create(Path(directory / "d"), options));
    // The rest of the filesystem goes to somebody else; the dict has its memory.
    UniqueFd filler(open((directory / "filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const std::string block(4096, 'x');
    while (write(filler.get(), block.data(), block.size()) > 0) {
    }
    for (size_t i = 0; i < 450; ++i) ASSERT_OK(dict.Set("k" + std::to_string(i), test::Bytes(1000, i))) << i;
    for (int i = 450; i < 1000; ++i) ASSERT_OK(dict.Set("k" + std::to_string(i), "v")) << i;
    EXPECT_TRUE(IsSound(dict));
  });
}

TEST(SmallFilesystem, ByNameAndByDescriptor) {
  InChild([] {
    EnterPrivateMounts();
    MountTmpfs("/dev/shm", "size=1m");
    Options options = SmallOptions();
    options.value_bytes = 5 << 20;
    EXPECT_CODE(Dict::Create(Name("d"), options), kResourceExhausted);
    EXPECT_TRUE(FilesIn("/dev/shm").empty());
    UniqueFd fd(open("/dev/shm/f", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_CODE(Dict::Create(Descriptor(fd.get()), options), kResourceExhausted);
    struct stat info {};
    ASSERT_EQ(fstat(fd.get(), &info), 0);
    EXPECT_EQ(info.st_size, 0);
    EXPECT_EQ(info.st_blocks, 0);
    options = Options();
    options.capacity = 10;
    EXPECT_OK(Dict::Create(Descriptor(fd.get()), options)) << "can be used again";
  });
}

// ---- Descriptors ------------------------------------------------------------------------------------------

TEST(Descriptors, AMemfdIsSealed) {
  UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_TRUE(fd);
  Dict dict = Must(Dict::Create(Descriptor(fd.get()), SmallOptions()));
  ASSERT_OK(dict.Set("k", test::Bytes(100'000, 1)));
  struct stat info {};
  ASSERT_EQ(fstat(fd.get(), &info), 0);
  EXPECT_EQ(ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd.get(), info.st_size * 2), -1);
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW), F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_CODE(Dict::Create(Descriptor(fd.get()), SmallOptions()), kAlreadyExists);
  EXPECT_CODE(Dict::Unlink(Descriptor(fd.get())), kInvalidArgument);

  Dict other = Must(Dict::Open(Descriptor(fd.get())));
  EXPECT_OK(other.Set("j", "1"));
  fd = UniqueFd();  // the library has its own
  EXPECT_OK(dict.Set("l", "2"));
  EXPECT_EQ(other.size(), 3u);
  test::SharedWords words;
  Child child([&] {
    auto guard = other.Lock();
    EXPECT_OK(guard);
    EXPECT_OK(other.Set("child", "c"));
    words[0] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(test::Await([&] { return words[0] != 0; }));
  child.Kill();
  EXPECT_OK(dict.Lock()) << "the dead are recovered without a name";
  EXPECT_EQ(Value(dict, "child"), "c");
  EXPECT_TRUE(IsSound(dict));
}

// A creator that was killed behind its last store, before it could seal the file: whoever attaches next does it.
TEST(Descriptors, AMemfdWhoseCreatorDiedBeforeItsSealsIsSealedByWhoAttaches) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  const std::string bytes = ReadFile(owned.name.path());
  for (const bool read_only : {false, true}) {
    UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    UniqueFd reader(open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_OK(Dict::Open(Descriptor(reader.get()), ReadOnly())) << "who cannot seal it";
    ASSERT_EQ(fcntl(fd.get(), F_GET_SEALS), 0);
    Dict dict = Must(Dict::Open(Descriptor(fd.get()), read_only ? ReadOnly() : Options()));
    EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    EXPECT_EQ(ftruncate(fd.get(), 0), -1);
    EXPECT_EQ(Value(dict, "k"), "v");
    EXPECT_OK(Dict::OpenOrCreate(Descriptor(fd.get()), {})) << "sealed already";
  }
}

TEST(Descriptors, WhatIsNoDictIsNotSealed) {
  UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(write(fd.get(), "hello", 5), 5);
  EXPECT_CODE(Dict::Open(Descriptor(fd.get())), kFailedPrecondition);
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), 0);
}

TEST(Descriptors, WithoutSealingItWorksToo) {
  UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC));
  Dict dict = Must(Dict::OpenOrCreate(Descriptor(fd.get()), SmallOptions()));
  ASSERT_OK(dict.Set("k", "v"));
  EXPECT_EQ(Value(Must(Dict::OpenOrCreate(Descriptor(fd.get()), SmallOptions())), "k"), "v");
}

TEST(Descriptors, ReadOnlyOnes) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  UniqueFd fd(open(owned.name.path().c_str(), O_RDONLY | O_CLOEXEC));
  const absl::Status status = Dict::Open(Descriptor(fd.get())).status();
  EXPECT_CODE(status, kPermissionDenied);
  EXPECT_NE(status.message().find("read-only"), std::string_view::npos) << status;
  Dict reader = Must(Dict::Open(Descriptor(fd.get()), ReadOnly()));
  EXPECT_EQ(Value(reader, "k"), "v");
  EXPECT_CODE(reader.Set("k", "w"), kFailedPrecondition);
  EXPECT_TRUE(IsSound(reader));
  UniqueFd empty(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_CODE(Dict::Open(Descriptor(empty.get())), kFailedPrecondition);
}

TEST(Descriptors, WhatCannotBeUsed) {
  for (const int number : {-1, 1'000'000}) {
    EXPECT_CODE(Dict::Open(Descriptor(number)), kInvalidArgument);
    EXPECT_CODE(Dict::Create(Descriptor(number), SmallOptions()), kInvalidArgument);
    EXPECT_CODE(Dict::OpenOrCreate(Descriptor(number), SmallOptions()), kInvalidArgument);
  }
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_FALSE(Dict::Open(Descriptor(ends[0])).ok());
  EXPECT_FALSE(Dict::Create(Descriptor(ends[1]), SmallOptions()).ok());
  close(ends[0]);
  close(ends[1]);
  UniqueFd foreign(memfd_create("segdict-test", MFD_CLOEXEC));
  ASSERT_EQ(write(foreign.get(), "hello", 5), 5);
  EXPECT_CODE(Dict::Open(Descriptor(foreign.get())), kFailedPrecondition);
  EXPECT_CODE(Dict::Create(Descriptor(foreign.get()), SmallOptions()), kAlreadyExists);
  EXPECT_CODE(Dict::OpenOrCreate(Descriptor(foreign.get()), SmallOptions()), kFailedPrecondition);
  char text[6] = {};
  EXPECT_EQ(pread(foreign.get(), text, 5, 0), 5);
  EXPECT_STREQ(text, "hello") << "left alone";
}

// What Open has to say of a dict that is there, and not what Create would of options that are for opening.
TEST(Descriptors, OpenOrCreateTellsWhyItDoesNotOpenWhatIsThere) {
  UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC));
  EXPECT_CODE(Dict::OpenOrCreate(Descriptor(fd.get()), {}), kInvalidArgument) << "there is none, and no capacity";
  test::ManualClock clock;
  Options options = SmallOptions();
  options.clock = &clock;
  Dict dict = Must(Dict::OpenOrCreate(Descriptor(fd.get()), options));
  const absl::Status status = Dict::OpenOrCreate(Descriptor(fd.get()), {}).status();
  EXPECT_CODE(status, kFailedPrecondition);
  EXPECT_NE(status.message().find("clock"), std::string_view::npos) << status;
}

TEST(Descriptors, OfAnotherUsersFile) {
  UniqueFd fd(memfd_create("segdict-test", MFD_CLOEXEC));
  Dict dict = Must(Dict::Create(Descriptor(fd.get()), SmallOptions()));
  ASSERT_EQ(fchown(fd.get(), kSomebody, kSomebody), 0) << "run as root";
  EXPECT_CODE(Dict::Open(Descriptor(fd.get())), kPermissionDenied);
  Options options;
  options.trusted_owners = {kSomebody};
  EXPECT_OK(Dict::Open(Descriptor(fd.get()), options));
}

// ---- What a handle leaves behind --------------------------------------------------------------------------

int OpenDescriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

TEST(Resources, AHandleGivesBackDescriptorsAndMappings) {
  ScopedName name;
  const auto use = [&] {
    Dict dict = Must(Dict::OpenOrCreate(name.location(), SmallOptions()));
    EXPECT_OK(dict.Set("k", "v"));
    EXPECT_FALSE(Dict::Create(name.location(), SmallOptions()).ok());
    EXPECT_FALSE(Dict::Open(Path("/dev/null")).ok());
  };
  const auto mappings = [] {
    const std::string maps = [] {
      std::string text;
      UniqueFd fd(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
      char buffer[4096];
      for (ssize_t n; (n = read(fd.get(), buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<size_t>(n));
      return text;
    }();
    size_t count = 0;
    for (size_t at = 0; (at = maps.find("segdict-test", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  use();
  const int before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) use();
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(mappings(), 0u);
  Dict dict = Must(Dict::Open(name.location()));
  EXPECT_EQ(Must(dict.GetStats()).writers, 0u) << "all records were given back";
  for (int fd = 0; fd < 1024; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    struct stat info {
    }, ours{};
    if (flags < 0 || fstat(fd, &info) != 0 || stat(name.path().c_str(), &ours) != 0) continue;
    if (info.st_ino == ours.st_ino && info.st_dev == ours.st_dev) {
      EXPECT_NE(flags & FD_CLOEXEC, 0) << "a descriptor that exec would inherit";
    }
  }
}

}  // namespace
}  // namespace segdict
