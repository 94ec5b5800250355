// Limits of what operations cost, which no later version may exceed: exact counts at a million keys, and no system
// call. costs.txt has the counts of today.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "bench/costs/counter.h"
#include "bench/costs/operations.h"
#include "segdict/dict.h"
#include "src/base/prime.h"
#include "tests/table_fixture.h"

namespace segdict::bench {
namespace {

using internal::TableFixture;

TEST(CostTest, LookupsAndOverwritesAtAMillionKeysAndThreeQuartersLoad) {
  constexpr uint64_t kKeys = 1'000'000;
  TableFixture fixture({.groups = internal::PrimeAtLeast(kKeys * 4 / 3 / internal::kSlotsPerGroup), .pages = 1});
  auto w = fixture.Claim();
  const Keys keys(16, 2 * kKeys);
  const std::string value(32, 'v');
  for (uint64_t i = 0; i < kKeys; ++i) ASSERT_TRUE(fixture.Set(*w, keys[i], value).ok());

  const auto count = [&](auto&& operation) {
    Counter counter(fixture.regions().geometry(), &fixture.regions().header(), w->index);
    for (uint64_t i = 0; i < kKeys; ++i) {
      bool ok = false;
      counter.Count([&] { ok = operation(i); });
      EXPECT_TRUE(ok);
    }
    EXPECT_EQ(counter.counts().futex_calls, 0u);
    return counter.counts();
  };
  const auto an_operation = [](uint64_t counted) { return static_cast<double>(counted) / kKeys; };
  std::string out;

  const Counts hit = count([&](uint64_t i) { return fixture.Get(keys[i], &out).ok(); });
  std::printf("hit: %.4f groups, %.4f slots\n", an_operation(hit.groups), an_operation(hit.slots));
  EXPECT_LE(an_operation(hit.groups), 1.04);
  EXPECT_LE(an_operation(hit.slots), 1.05);
  EXPECT_EQ(hit.Changes(), 0u);

  const Counts miss = count([&](uint64_t i) { return absl::IsNotFound(fixture.Get(keys[kKeys + i], &out)); });
  std::printf("miss: %.4f groups, %.4f slots\n", an_operation(miss.groups), an_operation(miss.slots));
  EXPECT_LE(an_operation(miss.groups), 1.16);
  EXPECT_LE(an_operation(miss.slots), 0.1);
  EXPECT_EQ(miss.Changes(), 0u);

  const Counts overwrite = count([&](uint64_t i) { return fixture.Set(*w, keys[i], value).ok(); });
  std::printf("overwrite: %.4f read-modify-writes, %.4f stores, %.4f shared lines written\n",
              an_operation(overwrite.read_modify_writes), an_operation(overwrite.stores),
              an_operation(overwrite.shared_lines_written));
  EXPECT_LE(overwrite.read_modify_writes, 2 * kKeys);
  EXPECT_EQ(overwrite.shared_lines_written, kKeys);  // the slot's
}

// The real thing makes no system call either: under a filter that kills the process at any but its exit.
TEST(CostTest, NoSystemCalls) {
  const std::string name = "segdict-cost-" + std::to_string(getpid());
  auto dict = Dict::Create(Name(name), {.capacity = 1000, .value_bytes = 1 << 20});
  ASSERT_TRUE(dict.ok()) << dict.status();
  const pid_t child = fork();
  if (child == 0) {
    std::string value;
    value.reserve(4096);
    const std::string large(1000, 'l');
    // The first write of a thread claims its record, and the first long value a page.
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
      if (!dict->Insert("new", "value").ok() || !dict->Erase("new").ok()) _exit(6);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(Dict::Unlink(Name(name)).ok());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace segdict::bench
