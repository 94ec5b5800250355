// A small table in a memfd, over the hooked memory policy: for tests that work below the public classes.
#ifndef SEGDICT_TESTS_TABLE_FIXTURE_H_
#define SEGDICT_TESTS_TABLE_FIXTURE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "segdict/clock.h"
#include "segdict/options.h"
#include "src/segment/segment.h"
#include "src/sync/liveness.h"
#include "src/table/claim.h"
#include "src/table/inspect.h"
#include "src/table/table.h"
#include "tests/hooked_memory.h"

namespace segdict::internal {

using Mem = HookedMemory;

class ManualClock : public Clock {
 public:
  int64_t Now() const override { return now; }
  int64_t now = 1'000'000;
};

struct TableShape {
  uint64_t groups = 5;
  uint32_t slot_size = 64;
  uint64_t pages = 8;
  uint32_t page_size = 4096;
  uint32_t records = 4;
  bool ordered = false;
};

// What a dict should contain: value, type and expiry by key.
struct ModelValue {
  std::string value;
  uint8_t type = 0;
  int64_t expiry = kNever;
  bool operator==(const ModelValue&) const = default;
};
using Model = std::map<std::string, ModelValue>;

#define FIXTURE_CHECK(condition)                                                   \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

class TableFixture {
 public:
  // `liveness`: null for the real one.
  explicit TableFixture(const TableShape& shape, std::unique_ptr<Liveness> liveness = nullptr) : shape_(shape) {
    const int fd = memfd_create("segdict-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FIXTURE_CHECK(fd >= 0);
    FixedHeader fixed{};
    fixed.capacity = 1;
    fixed.groups = shape.groups;
    fixed.slot_size = shape.slot_size;
    fixed.records = shape.records;
    fixed.page_size = shape.page_size;
    fixed.pages = shape.pages;
    fixed.ordered = shape.ordered ? 1 : 0;
    fixed.clock_id = static_cast<uint32_t>(ClockKind::kCallers);
    fixed.seed = 42;
    auto segment = Segment::Create(Descriptor(fd), {}, fixed, [](Segment&) {});
    FIXTURE_CHECK(segment.ok());
    close(fd);
    segment_ = *std::move(segment);
    liveness_ = std::move(liveness);
    if (liveness_ == nullptr) {
      Segment* const mapped = segment_.get();
      liveness_ =
          MakeOfdLiveness([mapped] { return mapped->Reopen(); }, [mapped] { return mapped->QueryDescriptor(); });
    }
    table_ = std::make_unique<Table<Mem>>(Regions(segment_->base(), segment_->geometry()), fixed.seed, shape.ordered,
                                          liveness_.get(), &clock_);
  }

  Table<Mem>& table() { return *table_; }
  Segment& segment() { return *segment_; }
  Liveness& liveness() { return *liveness_; }
  ManualClock& clock() { return clock_; }
  Regions regions() const { return Regions(segment_->base(), segment_->geometry()); }

  std::unique_ptr<Writer> Claim(uint32_t first = 0) {
    auto writer = ClaimWriter<Mem>(table_->mutable_context(), table_->recovery(), first);
    FIXTURE_CHECK(writer.ok());
    Mem::Store((*writer)->record->thread, (*writer)->index + 1);  // as if each were a thread
    return *std::move(writer);
  }

  uint64_t HashOf(std::string_view key) const { return table_->context().HashOf(key); }
  uint64_t HomeOf(std::string_view key) const { return table_->context().Locate(HashOf(key)).home; }

  // The n-th key (from 0) whose home is `home`; `padding` bytes longer than the shortest.
  std::string KeyOfHome(uint64_t home, int n, size_t padding = 0) const {
    for (int i = 0;; ++i) {
      std::string key = "k" + std::to_string(i) + std::string(padding, '_');
      if (HomeOf(key) == home && n-- == 0) return key;
    }
  }

  absl::Status Set(Writer& w, std::string_view key, std::string_view value, int64_t expiry = kNever) {
    return table_->Set(w, key, HashOf(key), value, 0, expiry);
  }
  absl::Status Erase(Writer& w, std::string_view key) { return table_->Erase(w, key, HashOf(key)); }
  absl::Status Get(std::string_view key, std::string* value) const {
    return table_->Get(key, value, [&](const Current& current) {
      if (current.value.data() != value->data()) value->assign(current.value);
    });
  }

  // Everything that lives in the table.
  Model Contents() const {
    Model model;
    const absl::Status status = table_->ForEach([&](const Table<Mem>::Snapshot& s) {
      FIXTURE_CHECK(model.emplace(s.key, ModelValue{std::string(s.value), s.type, s.expiry}).second);  // each key once
      return true;
    });
    FIXTURE_CHECK(status.ok());
    return model;
  }

  VerifyReport Verify() const { return Inspector<Mem>(*table_).Verify(segment_->fixed()); }

 private:
  TableShape shape_;
  ManualClock clock_;
  std::unique_ptr<Segment> segment_;
  std::unique_ptr<Liveness> liveness_;
  std::unique_ptr<Table<Mem>> table_;
};

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_TABLE_FIXTURE_H_
