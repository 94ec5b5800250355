// What operations cost, counted exactly: groups and slots read, stores, read-modify-writes and system calls. Noise
// cannot touch these.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <set>

#include "segdict/dict.h"
#include "src/base/prime.h"
#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

// Counts accesses by region.
class Counter : public AccessHook {
 public:
  explicit Counter(const TableFixture& fixture)
      : geometry_(fixture.regions().geometry()), base_(&fixture.regions().header()) {}

  void After(const Access& access) override {
    switch (access.kind) {
      case AccessKind::kLoad:
        CountLoad(static_cast<uint64_t>(static_cast<const char*>(access.address) - static_cast<const char*>(base_)));
        break;
      case AccessKind::kStore:
      case AccessKind::kCopyIn:
        ++stores;
        break;
      case AccessKind::kCas:
      case AccessKind::kFailedCas:
      case AccessKind::kFetchAdd:
        ++read_modify_writes;
        break;
      case AccessKind::kFutexWait:
      case AccessKind::kFutexWake:
        ++system_calls;
        break;
      case AccessKind::kCopyOut:
      case AccessKind::kPause:
        break;
    }
  }
  void NextOperation() { seen_.clear(); }
  void Reset() { *this = Counter(geometry_, base_); }

  uint64_t groups = 0;  // different groups read, by operation
  uint64_t groups_again = 0;
  uint64_t slots = 0;  // slots compared: first loads of their seq
  uint64_t stores = 0;
  uint64_t read_modify_writes = 0;
  uint64_t system_calls = 0;

 private:
  Counter(const Geometry& geometry, const void* base) : geometry_(geometry), base_(base) {}

  void CountLoad(uint64_t at) {
    if (at >= geometry_.groups_at && at < geometry_.locks_at) {
      const uint64_t group = (at - geometry_.groups_at) / sizeof(Group);
      if ((at - geometry_.groups_at) % sizeof(Group) != 0) return;
      // A group that is looked at again within one lookup (home, if anything is displaced) is in the cache: counted
      // apart.
      ++(seen_.insert(group).second ? groups : groups_again);
    } else if (at >= geometry_.slots_at && at < geometry_.page_words_at) {
      const uint64_t within = (at - geometry_.slots_at) % geometry_.shape.slot_size;
      slots += within == 8 ? 1 : 0;  // meta: once a slot
    }
  }

  Geometry geometry_;
  const void* base_;
  std::set<uint64_t> seen_;
};

std::string KeyOf(uint64_t i) {
  char key[17];
  std::snprintf(key, sizeof(key), "%016llx", static_cast<unsigned long long>(Mix(i + 1)));
  return key;
}

TEST(CostTest, LookupsAtAMillionKeysAndThreeQuartersLoad) {
  constexpr uint64_t kKeys = 1'000'000;
  TableFixture fixture({.groups = PrimeAtLeast(kKeys * 4 / 3 / kSlotsPerGroup), .pages = 1});
  auto w = fixture.Claim();
  const std::string value(32, 'v');
  for (uint64_t i = 0; i < kKeys; ++i) ASSERT_TRUE(fixture.Set(*w, KeyOf(i), value).ok());

  Counter counter(fixture);
  std::string out;
  HookedMemory::hook = &counter;
  for (uint64_t i = 0; i < kKeys; ++i) {
    counter.NextOperation();
    ASSERT_TRUE(fixture.Get(KeyOf(i), &out).ok());
  }
  HookedMemory::hook = nullptr;
  const double groups = static_cast<double>(counter.groups) / kKeys, slots = static_cast<double>(counter.slots) / kKeys;
  std::printf("hit: %.4f groups (%.4f looked at again), %.4f slots\n", groups,
              static_cast<double>(counter.groups_again) / kKeys, slots);
  EXPECT_LE(groups, 1.04);
  EXPECT_LE(slots, 1.05);
  EXPECT_EQ(counter.stores + counter.read_modify_writes + counter.system_calls, 0u);

  counter.Reset();
  HookedMemory::hook = &counter;
  for (uint64_t i = kKeys; i < 2 * kKeys; ++i) {
    counter.NextOperation();
    ASSERT_TRUE(absl::IsNotFound(fixture.Get(KeyOf(i), &out)));
  }
  HookedMemory::hook = nullptr;
  const double miss_groups = static_cast<double>(counter.groups) / kKeys,
               miss_slots = static_cast<double>(counter.slots) / kKeys;
  std::printf("miss: %.4f groups (%.4f looked at again), %.4f slots\n", miss_groups,
              static_cast<double>(counter.groups_again) / kKeys, miss_slots);
  EXPECT_LE(miss_groups, 1.16);
  EXPECT_LE(miss_slots, 0.1);
  EXPECT_EQ(counter.stores + counter.read_modify_writes + counter.system_calls, 0u);

  counter.Reset();
  HookedMemory::hook = &counter;
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(fixture.Set(*w, KeyOf(i), value).ok());
  HookedMemory::hook = nullptr;
  std::printf("overwrite: %.2f read-modify-writes, %.2f stores\n",
              static_cast<double>(counter.read_modify_writes) / 1000, static_cast<double>(counter.stores) / 1000);
  EXPECT_LE(counter.read_modify_writes, 2 * 1000u);
  EXPECT_EQ(counter.system_calls, 0u);
}

// The real thing makes no system call either: under a filter that kills the process at any but write and exit.
TEST(CostTest, NoSystemCallsInLookupsAndOverwrites) {
  const std::string name = "segdict-cost-" + std::to_string(getpid());
  auto dict = Dict::Create(Name(name), {.capacity = 1000, .value_bytes = 1 << 20});
  ASSERT_TRUE(dict.ok()) << dict.status();
  const pid_t child = fork();
  if (child == 0) {
    std::string value;
    value.reserve(4096);
    const std::string large(1000, 'l');
    if (!dict->Set("inline", "value").ok() || !dict->Set("block", large).ok() || !dict->Set("block", large).ok())
      _exit(2);
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const sock_fprog program{.len = 4, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      _exit(3);
    for (int i = 0; i < 100; ++i) {
      if (!dict->Get("inline", &value).ok() || !dict->Get("block", &value).ok() || dict->Get("none", &value).ok())
        _exit(4);
      if (!dict->Set("inline", "other").ok() || !dict->Set("block", large).ok() || !dict->FetchAdd("n", 1, 0).ok())
        _exit(5);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(Dict::Unlink(Name(name)).ok());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace segdict::internal
