#include "tests/fuzz/bases.h"

#include <cstring>
#include <utility>

#include "src/base/hash.h"
#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

constexpr size_t kStates = 96;

// Keeps what the segment holds before each n-th access that changes it: what a writer leaves who dies there.
class Recorder : public AccessHook {
 public:
  Recorder(const char* base, size_t size, size_t stride, std::vector<std::string>* states)
      : base_(base), size_(size), stride_(stride), states_(states) {}
  void Before(const Access& access) override {
    if (access.ChangesSegment() && count_++ % stride_ == 0 && states_ != nullptr) states_->emplace_back(base_, size_);
  }
  size_t count() const { return count_; }

 private:
  const char* base_;
  size_t size_, stride_, count_ = 0;
  std::vector<std::string>* states_;
};

void Fill(TableFixture& f, Writer& w) {
  for (int i = 0; i < kKeys; ++i) {
    const size_t size = i % 5 == 0 ? 700 : i % 11 == 0 ? 9000 : i % 4 == 0 ? 8 : 10;
    (void)f.Set(w, KeyOf(i), std::string(size, static_cast<char>('a' + i % 26)), i % 3 == 0 ? 5'000'000 : kNever);
  }
}

// Every kind of change; erasures from the front make displaced keys come home, and pages go back to the pool.
void Change(TableFixture& f, Writer& w) {
  (void)f.Set(w, KeyOf(1), "in place");
  (void)f.Set(w, KeyOf(2), std::string(300, 'x'));
  (void)f.Set(w, KeyOf(5), std::string(900, 'y'), 9'000'000);
  (void)f.Set(w, "one more", std::string(200, 'z'));
  (void)f.Set(w, "short", "short");
  for (int i = 4; i < kKeys; i += 3) (void)f.Erase(w, KeyOf(i));
  (void)f.Set(w, "chain", std::string(9'500, 'c'));
  (void)f.Erase(w, "chain");
  if (f.table().LockGlobal(w).ok()) f.table().UnlockGlobal(w);
  f.clock().now = 6'000'000;
  (void)f.table().Sweep(w, 1000);
  (void)f.table().Clear(w);
}

Base Make(const TableShape& shape, bool fill, bool callers_clock) {
  Base base;
  size_t stride = 1;
  // Once to count the accesses, once to keep every so manieth state.
  for (const bool keep : {false, true}) {
    TableFixture f(shape);
    auto w = f.Claim();
    if (fill) Fill(f, *w);
    base.geometry = f.segment().geometry();
    base.callers_clock = callers_clock;
    if (keep) base.states.emplace_back(f.segment().base(), base.geometry.size);
    Recorder recorder(f.segment().base(), base.geometry.size, stride, keep ? &base.states : nullptr);
    HookedMemory::hook = &recorder;
    Change(f, *w);
    HookedMemory::hook = nullptr;
    stride = recorder.count() / kStates + 1;
    ReleaseWriter<Mem>(std::move(w));
  }
  if (!callers_clock) {
    for (std::string& state : base.states) {
      FixedHeader fixed;
      std::memcpy(&fixed, state.data(), sizeof(fixed));
      fixed.clock_id = static_cast<uint32_t>(ClockKind::kBoottime);
      Seal(&fixed);
      std::memcpy(state.data(), &fixed, sizeof(fixed));
    }
  }
  return base;
}

}  // namespace

std::string KeyOf(int i) { return "key" + std::to_string(i) + std::string(i % 7 == 0 ? 60 : 0, 'k'); }

void Seal(FixedHeader* fixed) { fixed->checksum = XXH3_64bits(fixed, offsetof(FixedHeader, checksum)); }

const std::vector<Base>& Bases() {
  static const auto* bases = new std::vector<Base>{
      Make({.groups = 5, .pages = 10, .records = 4}, true, true),
      Make({.groups = 2, .slot_size = 32, .pages = 8, .records = 3}, true, true),
      Make({.groups = 7, .slot_size = 128, .pages = 12, .records = 3, .ordered = true}, true, true),
      Make({.groups = 1, .pages = 1, .records = 1}, true, true),
      Make({.groups = 3, .pages = 4, .records = 2, .ordered = true}, true, true),
      Make({.groups = 3, .pages = 8, .records = 2}, true, false),
      Make({.groups = 2, .pages = 3, .records = 2}, false, true),
  };
  return *bases;
}

}  // namespace segdict::internal
