// Prints what each operation touches in the segment, on average and exactly: the shipped table over the counting memory
// policy. One line an operation, columns separated by tabs, names first. Takes seconds.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bench/costs/counter.h"
#include "bench/costs/operations.h"
#include "src/base/prime.h"
#include "src/layout/arena_words.h"
#include "tests/table_fixture.h"

namespace segdict::bench {
namespace {

using internal::Current;
using internal::Decision;
using internal::kSlotsPerGroup;
using internal::TableFixture;
using internal::TableShape;
using internal::Writer;

// What Dict does with its table, with the table of the fixture.
class CountedTable {
 public:
  explicit CountedTable(const Workload& workload) : fixture_(ShapeOf(workload)), writer_(fixture_.Claim()) {
    Require(fixture_.segment().fixed().seed == kSeed, "the same seed as in instructions.cc");
  }

  Counter MakeCounter() { return Counter(fixture_.regions().geometry(), &fixture_.regions().header(), writer_->index); }

  bool Set(std::string_view key, std::string_view value) { return fixture_.Set(*writer_, key, value).ok(); }
  bool SetInt64(std::string_view key, int64_t number) {
    return Set(key, {reinterpret_cast<const char*>(&number), sizeof(number)});
  }
  bool Erase(std::string_view key) { return fixture_.Erase(*writer_, key).ok(); }
  bool Get(std::string_view key, std::string* value) { return fixture_.Get(key, value).ok(); }
  bool GetMany(std::span<const std::string_view> keys, std::string* value) {
    size_t seen = 0;
    const absl::Status status =
        fixture_.table().GetMany(keys, value, [&](size_t, auto found, auto&&...) { seen += found != nullptr ? 1 : 0; });
    return status.ok() && seen == keys.size();
  }
  bool FetchAdd(std::string_view key, int64_t addend) {
    int64_t number;
    const absl::Status status =
        fixture_.table().Mutate(*writer_, key, fixture_.HashOf(key), true, false, [&](const Current& now) {
          if (!now.live || now.value.size() != sizeof(number)) return Decision::Return(absl::NotFoundError(""));
          std::memcpy(&number, now.value.data(), sizeof(number));
          number += addend;
          Decision d = Decision::Store({reinterpret_cast<const char*>(&number), sizeof(number)}, now.type, now.expiry);
          d.if_live = true;
          return d;
        });
    return status.ok();
  }

 private:
  // As Dict::Create plans it for a capacity of `keys`.
  static TableShape ShapeOf(const Workload& workload) {
    constexpr uint32_t kPage = 65536;
    const uint64_t slots = (workload.keys * 4 + 2) / 3;
    return {.groups = internal::PrimeAtLeast((slots + kSlotsPerGroup - 1) / kSlotsPerGroup),
            .slot_size = workload.slot_size,
            .pages = workload.arena_bytes / kPage + internal::SizeClasses(kPage).count(),
            .page_size = kPage};
  }

  TableFixture fixture_;
  std::unique_ptr<Writer> writer_;
};

void Print(const char* workload, const char* operation, uint64_t operations, const Counts& c) {
  Require(operations > 0, "something was counted");
  std::printf("%s/%s", workload, operation);
  for (const uint64_t count : {c.groups, c.slots, c.lines_read, c.lines_fetched, c.lines_written,
                               c.shared_lines_written, c.stores, c.read_modify_writes}) {
    // Rounded up, in integers: the same everywhere, and nothing that is not none looks like it.
    const uint64_t part = (count * 10'000 + operations - 1) / operations;
    std::printf("\t%" PRIu64 ".%04" PRIu64, part / 10'000, part % 10'000);
  }
  std::printf("\n");
}

void Run() {
  std::printf("operation\tgroups\tslots\tread\tfetched\twritten\tshared\tstores\tRMW\n");
  for (const Workload& workload : kWorkloads) {
    CountedTable table(workload);
    ForEachOperation(workload, table, [&](const char* operation, uint64_t calls, uint64_t keys_a_call, auto&& body) {
      Counter counter = table.MakeCounter();
      for (uint64_t i = 0; i < calls; ++i) counter.Count([&] { body(i); });
      Print(workload.name, operation, calls * keys_a_call, counter.counts());
    });
  }
}

}  // namespace
}  // namespace segdict::bench

int main() { segdict::bench::Run(); }
