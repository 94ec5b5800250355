// Counts what operations touch in a segment: a hook of the memory policy of the tests, so what is counted is the code
// that ships.
#ifndef SEGDICT_BENCH_COSTS_COUNTER_H_
#define SEGDICT_BENCH_COSTS_COUNTER_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/layout/geometry.h"
#include "tests/hooked_memory.h"

namespace segdict::bench {

// Sums over all operations. What is touched several times by one operation counts once in it: from the second time on
// it is in the cache. A writing thread's own record is read by it alone, so its lines count only as written.
struct Counts {
  uint64_t groups = 0;                // groups read
  uint64_t slots = 0;                 // slots read
  uint64_t lines_read = 0;            // cache lines read
  uint64_t lines_fetched = 0;         // cache lines that were prefetched in vain
  uint64_t lines_written = 0;         // cache lines written
  uint64_t shared_lines_written = 0;  // of these, the ones outside of the thread's own record
  uint64_t stores = 0;                // of a word: a copy counts its words
  uint64_t read_modify_writes = 0;    // a commit, which is an exchange on x86-64, included
  uint64_t futex_calls = 0;

  uint64_t Changes() const { return stores + read_modify_writes; }
};

class Counter : public internal::AccessHook {
 public:
  // `base`: of the segment; `own_record`: of the thread that writes.
  Counter(const internal::Geometry& geometry, const void* base, uint32_t own_record)
      : geometry_(geometry),
        base_(static_cast<const char*>(base)),
        own_record_at_(geometry.records_at + own_record * sizeof(internal::WriterRecord)) {}

  // Counts body() as one operation.
  template <class Body>
  void Count(Body&& body) {
    internal::HookedMemory::hook = this;
    body();
    internal::HookedMemory::hook = nullptr;
    EndOperation();
  }

  const Counts& counts() const { return counts_; }

  void After(const internal::Access& access) override {
    using internal::AccessKind;
    switch (access.kind) {
      case AccessKind::kLoad:
      case AccessKind::kCopyOut:
        Read(access);
        break;
      case AccessKind::kStore:
      case AccessKind::kCopyIn:
        counts_.stores += (access.bytes + 7) / 8;
        Write(access);
        break;
      case AccessKind::kCommit:  // an exchange, on x86-64
      case AccessKind::kCas:
      case AccessKind::kFailedCas:
      case AccessKind::kFetchAdd:
        ++counts_.read_modify_writes;
        Write(access);
        break;
      case AccessKind::kFutexWait:
      case AccessKind::kFutexWake:
        ++counts_.futex_calls;
        break;
      case AccessKind::kPause:
        break;
    }
  }
  void Prefetched(const void* address) override { Add(&fetched_, OffsetOf(address) / kLine); }

 private:
  static constexpr uint64_t kLine = 64;

  uint64_t OffsetOf(const void* address) const {
    return static_cast<uint64_t>(static_cast<const char*>(address) - base_);
  }
  bool IsOwn(uint64_t at) const { return at >= own_record_at_ && at < own_record_at_ + sizeof(internal::WriterRecord); }

  void Read(const internal::Access& access) {
    const uint64_t at = OffsetOf(access.address);
    if (IsOwn(at)) return;
    AddLines(&read_, at, access.bytes);
    if (at >= geometry_.groups_at && at < geometry_.locks_at) {
      Add(&groups_, (at - geometry_.groups_at) / sizeof(internal::Group));
    } else if (at >= geometry_.slots_at && at < geometry_.page_words_at) {
      Add(&slots_, (at - geometry_.slots_at) / geometry_.shape.slot_size);
    }
  }
  void Write(const internal::Access& access) {
    const uint64_t at = OffsetOf(access.address);
    AddLines(&(IsOwn(at) ? own_written_ : shared_written_), at, access.bytes);
  }

  static void Add(std::vector<uint64_t>* set, uint64_t number) {
    if (!Has(*set, number)) set->push_back(number);
  }
  static bool Has(const std::vector<uint64_t>& set, uint64_t number) {
    return std::find(set.rbegin(), set.rend(), number) != set.rend();
  }
  static void AddLines(std::vector<uint64_t>* lines, uint64_t at, uint64_t bytes) {
    for (uint64_t line = at / kLine; line * kLine < at + bytes; ++line) Add(lines, line);
  }

  bool IsWritten(uint64_t line) const { return Has(shared_written_, line) || Has(own_written_, line); }

  void EndOperation() {
    counts_.groups += groups_.size();
    counts_.slots += slots_.size();
    counts_.lines_read += read_.size();
    counts_.lines_written += own_written_.size() + shared_written_.size();
    counts_.shared_lines_written += shared_written_.size();
    for (const uint64_t line : fetched_) counts_.lines_fetched += Has(read_, line) || IsWritten(line) ? 0 : 1;
    for (auto* set : {&groups_, &slots_, &read_, &fetched_, &own_written_, &shared_written_}) {
      set->clear();
    }
  }

  internal::Geometry geometry_;
  const char* base_;
  uint64_t own_record_at_;
  Counts counts_;
  // Of the operation under way: groups and slots by number, lines by number. Small, so searched from end to end.
  std::vector<uint64_t> groups_, slots_, read_, fetched_, own_written_, shared_written_;
};

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_COSTS_COUNTER_H_
