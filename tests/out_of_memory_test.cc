// Memory that cannot be had: each allocation of each operation fails in turn. The call throws std::bad_alloc, or goes
// on without; either way the entry is as before or as it was to become, nothing stays locked and nothing leaks.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "segdict/dict.h"
#include "tests/testing.h"

namespace {

// How many allocations this thread may still make before one fails; negative: any number.
thread_local int64_t allocations_left = -1;

bool Fails() { return allocations_left >= 0 && allocations_left-- == 0; }

void* Allocate(size_t size, size_t alignment) {
  if (Fails()) return nullptr;
  return alignment <= alignof(std::max_align_t) ? std::malloc(size == 0 ? 1 : size)
                                                : std::aligned_alloc(alignment, (size + alignment - 1) & -alignment);
}
void* AllocateOrThrow(size_t size, size_t alignment) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return AllocateOrThrow(size, 0); }
void* operator new[](size_t size) { return AllocateOrThrow(size, 0); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size, 0); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Allocate(size, 0); }
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace segdict {
namespace {

using test::IsSound;
using test::Must;
using test::OwnedDict;
using test::Value;

// Every key is in a block, and has one home group with the others, so that they are displaced; the clock stands still.
class Situation {
 public:
  explicit Situation(LockMode lock_mode) : owned_(TheOptions(lock_mode)) {
    for (int i = 0; i < 40; ++i) Require(owned_->Set(Key(i), Long(i), {.ttl = TtlOf(i)}));
    // Pages of several classes, which have to make room for one another.
    for (int i = 0; i < 12; ++i) Require(owned_->Set(Key(100 + i), std::string(3000, 'm')));
    for (int i = 1; i < 12; i += 2) Require(owned_->Erase(Key(100 + i)));
    clock_.Advance(absl::Seconds(2));  // some have expired
  }

  Dict& dict() { return *owned_; }
  Dict Open() { return Must(Dict::Open(owned_.name.location(), TheOptions(LockMode::kPerSlot))); }
  static std::string Key(int i) { return std::string(150, 'k') + std::to_string(i); }
  static std::string Long(int i) {
    return std::string(200 + 7 * static_cast<size_t>(i), static_cast<char>('a' + i % 26));
  }

  // Sound, unlocked and complete: what another handle finds.
  void ExpectUsable(const std::string& where) {
    Options options = TheOptions(LockMode::kGlobalMutex);
    options.wait_limit = absl::Milliseconds(20);
    Dict other = Must(Dict::Open(owned_.name.location(), options));
    ASSERT_TRUE(IsSound(other)) << where;
    for (int i = 40; i < 100; ++i) {  // what Fill may have left, as much as fits
      const absl::Status erased = other.Erase(Key(i));
      ASSERT_TRUE(erased.ok() || absl::IsNotFound(erased)) << where << ": " << erased;
    }
    for (int i = 0; i < 120; ++i) ASSERT_OK(other.Set(Key(i), "v")) << where << ", key " << i;
    for (int i = 0; i < 120; ++i) ASSERT_OK(other.Erase(Key(i))) << where << ", key " << i;
    ASSERT_OK(other.Set("whole", std::string(150'000, 'w'))) << where << ": blocks are missing";
    ASSERT_OK(other.Clear()) << where;
    const Stats stats = Must(other.GetStats());
    for (const auto& size_class : stats.arena) ASSERT_EQ(size_class.blocks_used, 0u) << where;
    ASSERT_TRUE(IsSound(other)) << where;
  }

 private:
  static absl::Duration TtlOf(int i) { return i % 5 == 3 ? absl::Seconds(1) : absl::InfiniteDuration(); }
  static void Require(const absl::Status& status) {
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str()), std::abort();
  }
  Options TheOptions(LockMode lock_mode) {
    Options options;
    options.capacity = 130;
    options.value_bytes = 160'000;
    options.max_load = 1;
    options.max_writers = 4;
    options.lock_mode = lock_mode;
    options.clock = &clock_;
    return options;
  }

  test::ManualClock clock_;
  OwnedDict owned_;
};

struct Operation {
  const char* name;
  std::function<absl::Status(Dict& dict, Situation& situation)> run;
  friend void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }
};

std::vector<Operation> Operations() {
  const auto key = Situation::Key(6), absent = Situation::Key(70), value = std::string(2500, 'n');
  return {
      {"Set", [=](Dict& d, Situation&) { return d.Set(key, value); }},
      {"SetNew", [=](Dict& d, Situation&) { return d.Set(absent, value, {.ttl = absl::Hours(1)}); }},
      {"SetChain", [=](Dict& d, Situation&) { return d.Set(key, std::string(90'000, 'c')); }},
      {"Insert", [=](Dict& d, Situation&) { return d.Insert(absent, value); }},
      {"Replace", [=](Dict& d, Situation&) { return d.Replace(key, "short"); }},
      {"Erase", [=](Dict& d, Situation&) { return d.Erase(key); }},
      {"Take", [=](Dict& d, Situation&) { return d.Take(key).status(); }},
      {"Update",
       [=](Dict& d, Situation&) {
         return d.Update(key, [&](const Entry*) { return std::optional<std::string>(value); });
       }},
      {"FetchAdd", [=](Dict& d, Situation&) { return d.FetchAdd(absent, 1, 5).status(); }},
      {"Touch", [=](Dict& d, Situation&) { return d.Touch(key, absl::Hours(1)); }},
      {"Get",
       [=](Dict& d, Situation&) {
         std::string got;
         return d.Get(key, &got);
       }},
      {"ForEach", [=](Dict& d, Situation&) { return d.ForEach([](const Entry&) { return true; }); }},
      {"Sweep", [=](Dict& d, Situation&) { return d.Sweep().status(); }},
      {"Clear", [=](Dict& d, Situation&) { return d.Clear(); }},
      {"EraseAll",
       [=](Dict& d, Situation&) {
         for (int i = 0; i < 40; ++i) {
           if (absl::Status status = d.Erase(Situation::Key(i)); !status.ok() && !absl::IsNotFound(status))
             return status;
         }
         return absl::OkStatus();
       }},
      // Into the last corner, so that pages change their class and values move.
      {"Fill",
       [=](Dict& d, Situation&) {
         for (int i = 0; i < 60; ++i) {
           absl::Status status = d.Set(Situation::Key(40 + i), std::string(2500, 'f'));
           if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
         }
         return absl::OkStatus();
       }},
      {"Lock", [=](Dict& d, Situation&) { return d.Lock().status(); }},
      {"Recover", [=](Dict& d, Situation&) { return d.Recover().status(); }},
      {"OpenAndWrite", [=](Dict&, Situation& s) { return s.Open().Set(key, value); }},
      {"Stats", [=](Dict& d, Situation&) { return d.GetStats().status(); }},
  };
}

class OutOfMemory : public testing::TestWithParam<std::tuple<LockMode, Operation>> {};

TEST_P(OutOfMemory, EachAllocationFails) {
  const auto& [lock_mode, operation] = GetParam();
  int thrown = 0, survived = 0;
  for (int64_t n = 0; !HasFatalFailure(); ++n) {
    Situation situation(lock_mode);
    const std::string where = std::string(operation.name) + ", allocation " + std::to_string(n);
    absl::Status status;
    bool threw = false;
    allocations_left = n;
    try {
      status = operation.run(situation.dict(), situation);
    } catch (const std::bad_alloc&) {
      threw = true;
    }
    const bool failed = allocations_left < 0;
    allocations_left = -1;
    if (!failed) {
      EXPECT_TRUE(status.ok()) << where << ": " << status;
      std::printf("%s: %lld allocations, %d threw, %d were done without\n", operation.name, static_cast<long long>(n),
                  thrown, survived);
      break;
    }
    ++(threw ? thrown : survived);
    EXPECT_FALSE(absl::IsDataLoss(status)) << where << ": " << status;
    situation.ExpectUsable(where);
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, OutOfMemory,
                         testing::Combine(testing::Values(LockMode::kPerSlot, LockMode::kGlobalMutex),
                                          testing::ValuesIn(Operations())),
                         [](const testing::TestParamInfo<OutOfMemory::ParamType>& info) {
                           return std::string(std::get<1>(info.param).name) +
                                  (std::get<0>(info.param) == LockMode::kGlobalMutex ? "Locking" : "");
                         });

// Writer records are few: none is lost to a thread that could not begin.
TEST(OutOfMemoryInAThread, LosesNoRecord) {
  Options options = test::SmallOptions();
  options.max_writers = 3;
  OwnedDict owned(options);
  bool failed = true;
  for (int64_t n = 0; failed; ++n) {
    for (int turn = 0; turn < 4; ++turn) {
      std::thread([&] {
        allocations_left = n;
        try {
          EXPECT_OK(owned->Set("k", "v"));
        } catch (const std::bad_alloc&) {
        }
        failed = allocations_left < 0;
        allocations_left = -1;
      }).join();
    }
  }
  EXPECT_TRUE(IsSound(*owned));
}

}  // namespace
}  // namespace segdict
