// What a call stored into the segment, store by store: enough to put the segment into the state after any of them.
//
// A process that dies after its i-th store leaves the segment as it is then, and nothing else: its private memory is
// gone, the kernel frees its locks. So the states that deaths leave need not be made by deaths: one run of the call
// yields them all. (That the kernel does its part is signal_test's to show.)
#ifndef SEGDICT_TESTS_CRASH_TRACE_H_
#define SEGDICT_TESTS_CRASH_TRACE_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "src/base/hash.h"
#include "tests/table_fixture.h"

namespace segdict::internal::crash {

// One store. Some bytes may be several words.
struct Change {
  struct OneWord {
    uint32_t at;  // in words from the segment's beginning
    uint64_t before, after;
  };
  Site site;
  std::vector<OneWord> words;
  int64_t clock;  // when it was done
};
using Trace = std::vector<Change>;

// The segment's words at some moment, and a hash of them by which equal states are known. Statistics do not count:
// nothing depends on them, and recoveries that are counted would make equal states differ.
class State {
 public:
  explicit State(TableFixture& fixture)
      : words_(fixture.regions().geometry().size / sizeof(uint64_t)), clock_(fixture.clock().now) {
    const auto* words = Words(fixture);
    for (size_t i = 0; i < words_.size(); ++i) words_[i] = words[i];
    counts_.assign(words_.size(), true);
    for (uint32_t r = 0; r < fixture.regions().geometry().shape.records; ++r) {
      const WriterRecord& record = fixture.regions().record(r);
      for (const Word* statistic : {&record.retries, &record.waits, &record.recoveries}) {
        counts_[static_cast<size_t>(reinterpret_cast<const uint64_t*>(statistic) - words)] = false;
      }
    }
  }

  void Apply(const Change& change) {
    for (const Change::OneWord& word : change.words) Put(word.at, word.after);
    clock_ = change.clock;
  }
  void Restore(TableFixture& fixture) const {
    std::memcpy(fixture.segment().base(), words_.data(), words_.size() * sizeof(uint64_t));
    fixture.clock().now = clock_;
  }
  uint64_t Fingerprint() const { return hash_ ^ Mix(static_cast<uint64_t>(clock_)); }

 private:
  static const uint64_t* Words(TableFixture& fixture) {
    return reinterpret_cast<const uint64_t*>(fixture.segment().base());
  }
  void Put(uint32_t at, uint64_t value) {
    if (counts_[at]) hash_ += Weight(at, value) - Weight(at, words_[at]);
    words_[at] = value;
  }
  static uint64_t Weight(uint32_t at, uint64_t value) { return Mix(value + Mix(at + 1)); }

  std::vector<uint64_t> words_;
  std::vector<bool> counts_;
  int64_t clock_;
  uint64_t hash_ = 0;  // of the difference from the state that this one was copied from: enough within one case
};

// Appends each store of the calling thread to a trace, for as long as it lives. Before access number `interrupt_at`
// (from 1), or after store number -`interrupt_at`, `interrupt` is called: what happens there is not of this call.
class Recorder : public AccessHook {
 public:
  Recorder(TableFixture& fixture, Trace* trace, int64_t interrupt_at = 0, std::function<void()> interrupt = nullptr)
      : fixture_(fixture),
        trace_(trace),
        interrupt_at_(interrupt_at),
        interrupt_(std::move(interrupt)),
        outer_(std::exchange(HookedMemory::hook, this)) {}
  ~Recorder() override { HookedMemory::hook = outer_; }

  void Before(const Access& access) override {
    if (++accesses_ == interrupt_at_) interrupt_();
    if (!access.ChangesSegment()) return;
    const char* const base = fixture_.segment().base();
    const auto begin = static_cast<size_t>(static_cast<const char*>(access.address) - base);
    now_ = {.site = access.site, .words = {}, .clock = 0};
    for (size_t at = begin / 8; at * 8 < begin + access.bytes; ++at) {
      now_.words.push_back({static_cast<uint32_t>(at), Read(at), 0});
    }
  }
  void After(const Access& access) override {
    if (!access.ChangesSegment()) return;
    for (Change::OneWord& word : now_.words) word.after = Read(word.at);
    now_.clock = fixture_.clock().now;
    trace_->push_back(std::move(now_));
    if (++stores_ == -interrupt_at_) interrupt_();
  }

  int64_t accesses() const { return accesses_; }
  int64_t stores() const { return stores_; }

 private:
  uint64_t Read(size_t at) const {
    return reinterpret_cast<const Word*>(fixture_.segment().base())[at].load(std::memory_order_relaxed);
  }

  TableFixture& fixture_;
  Trace* const trace_;
  const int64_t interrupt_at_;
  const std::function<void()> interrupt_;
  AccessHook* const outer_;
  Change now_;
  int64_t accesses_ = 0, stores_ = 0;
};

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_TRACE_H_
