// The operations by the public API of the shipped build, for callgrind to count their instructions and system calls;
// see callgrind.py. Prints how it was built, then a line for each call of segdict_measured: operation and number of
// operations.
#include <gnu/libc-version.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bench/costs/operations.h"
#include "segdict/dict.h"

namespace {

bool seeded = false;

}  // namespace

// Takes the place of libc's. A dict draws its hash seed by it: this one is always the same, so the tables are too, and
// every run counts the same.
extern "C" ssize_t getrandom(void* buffer, size_t length, unsigned) {
  uint64_t seed = segdict::bench::kSeed;
  if (length != sizeof(seed)) return -1;
  std::memcpy(buffer, &seed, sizeof(seed));
  seeded = true;
  return sizeof(seed);
}

// What callgrind watches, by name. Not the last thing that it does is the call, so it is no jump.
extern "C" [[gnu::noinline]] void segdict_measured(void (*run)(void*), void* context) {
  run(context);
  asm volatile("" : : : "memory");
}

namespace segdict::bench {
namespace {

class DictTable {
 public:
  explicit DictTable(const Workload& workload) : dict_(Make(workload)) {}

  bool Set(std::string_view key, std::string_view value) { return dict_.Set(key, value).ok(); }
  bool SetInt64(std::string_view key, int64_t number) {
    return dict_.Set(key, {reinterpret_cast<const char*>(&number), sizeof(number)}, {.type = Type::kInt64}).ok();
  }
  bool Erase(std::string_view key) { return dict_.Erase(key).ok(); }
  bool Get(std::string_view key, std::string* value) { return dict_.Get(key, value).ok(); }
  bool GetMany(std::span<const std::string_view> keys, std::string*) {
    size_t seen = 0;
    const absl::Status status =
        dict_.GetMany(keys, [&](size_t, const Entry* entry) { seen += entry != nullptr ? 1 : 0; });
    return status.ok() && seen == keys.size();
  }
  bool FetchAdd(std::string_view key, int64_t addend) { return dict_.FetchAdd(key, addend).ok(); }

 private:
  static Dict Make(const Workload& workload) {
    const int memory = memfd_create("costs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    Require(memory >= 0, "memfd_create");
    absl::StatusOr<Dict> dict =
        Dict::Create(Descriptor(memory),
                     {.capacity = workload.keys, .value_bytes = workload.arena_bytes, .slot_size = workload.slot_size});
    close(memory);
    Require(dict.ok(), "Dict::Create");
    Require(seeded, "the seed is drawn by getrandom");
    return *std::move(dict);
  }

  Dict dict_;
};

// What instruction counts depend on besides the sources.
void PrintToolchain() {
#ifdef __clang__
  std::printf("Clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  std::printf("GCC %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
#ifdef ABSL_LTS_RELEASE_VERSION
  std::printf(", Abseil %d", ABSL_LTS_RELEASE_VERSION);
#endif
#if defined(__x86_64__)
  const char* const machine = "x86-64";
#elif defined(__aarch64__)
  const char* const machine = "AArch64";
#endif
  std::printf(", glibc %s, %s%s\n", gnu_get_libc_version(), machine,
#ifdef NDEBUG
              ""
#else
              ", with assertions"
#endif
  );
}

void Run() {
  PrintToolchain();
  for (const Workload& workload : kWorkloads) {
    DictTable table(workload);
    ForEachOperation(workload, table, [&](const char* operation, uint64_t calls, uint64_t keys_a_call, auto&& body) {
      auto all = [&] {
        for (uint64_t i = 0; i < calls; ++i) body(i);
      };
      segdict_measured([](void* context) { (*static_cast<decltype(all)*>(context))(); }, &all);
      std::printf("%s/%s\t%" PRIu64 "\n", workload.name, operation, calls * keys_a_call);
    });
  }
}

}  // namespace
}  // namespace segdict::bench

int main() { segdict::bench::Run(); }
