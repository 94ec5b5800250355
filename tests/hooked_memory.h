// A Memory policy that tells a hook of every access: the shipped code over it can be counted, killed, stopped or
// scheduled.
#ifndef SEGDICT_TESTS_HOOKED_MEMORY_H_
#define SEGDICT_TESTS_HOOKED_MEMORY_H_

#include <cstdint>
#include <cstring>

#include "src/base/memory.h"

namespace segdict::internal {

enum class AccessKind {
  kLoad,
  kStore,
  kCommit,
  kCas,
  kFailedCas,
  kFetchAdd,
  kCopyOut,
  kCopyIn,
  kFutexWait,
  kFutexWake,
  kPause
};

struct Access {
  AccessKind kind;
  const void* address;
  size_t bytes;
  Site site;

  bool ChangesSegment() const {
    return kind == AccessKind::kStore || kind == AccessKind::kCommit || kind == AccessKind::kCas ||
           kind == AccessKind::kFetchAdd || kind == AccessKind::kCopyIn;
  }
};

// Before() may switch to another actor; After() sees what was done.
class AccessHook {
 public:
  virtual ~AccessHook() = default;
  virtual void Before(const Access&) {}
  virtual void After(const Access&) {}
  virtual void Prefetched(const void* /*address*/) {}

  // What a load gives that would give `latest`. Not `ordered`: a relaxed load.
  virtual uint64_t Loaded(const Word& /*word*/, uint64_t latest, bool /*ordered*/) { return latest; }
  // `to` has just been copied from the segment and may be changed.
  virtual void CopiedOut(char* /*to*/, const char* /*from*/, size_t /*bytes*/) {}
};

struct HookedMemory {
  // Of the calling thread; null: nothing is told.
  static thread_local AccessHook* hook;

  static uint64_t Load(const Word& word, Site site = Site::Here()) {
    const Access access{AccessKind::kLoad, &word, 8, site};
    Before(access);
    uint64_t value = RealMemory::Load(word);
    if (hook != nullptr) value = hook->Loaded(word, value, /*ordered=*/true);
    After(access);
    return value;
  }
  static uint64_t LoadOwn(const Word& word, Site = Site::Here()) {
    const uint64_t value = RealMemory::LoadOwn(word);
    return hook == nullptr ? value : hook->Loaded(word, value, /*ordered=*/false);
  }
  static void Store(Word& word, uint64_t value, Site site = Site::Here()) {
    const Access access{AccessKind::kStore, &word, 8, site};
    Before(access);
    RealMemory::Store(word, value);
    After(access);
  }
  static void Commit(Word& word, uint64_t value, Site site = Site::Here()) {
    const Access access{AccessKind::kCommit, &word, 8, site};
    Before(access);
    RealMemory::Commit(word, value);
    After(access);
  }
  static bool Cas(Word& word, uint64_t& expected, uint64_t desired, Site site = Site::Here()) {
    Access access{AccessKind::kCas, &word, 8, site};
    Before(access);
    const bool won = RealMemory::Cas(word, expected, desired);
    if (!won) access.kind = AccessKind::kFailedCas;
    After(access);
    return won;
  }
  static uint64_t FetchAdd(Word& word, uint64_t addend, Site site = Site::Here()) {
    const Access access{AccessKind::kFetchAdd, &word, 8, site};
    Before(access);
    const uint64_t value = RealMemory::FetchAdd(word, addend);
    After(access);
    return value;
  }
  // In two halves, so that an actor can be caught in the middle of a value.
  static void CopyOut(void* to, const void* from, size_t n, Site site = Site::Here()) {
    ForHalves(AccessKind::kCopyOut, from, n, site, [&](size_t at, size_t size) {
      char* const half = static_cast<char*>(to) + at;
      RealMemory::CopyOut(half, static_cast<const char*>(from) + at, size);
      if (hook != nullptr) hook->CopiedOut(half, static_cast<const char*>(from) + at, size);
    });
  }
  static void CopyIn(void* to, const void* from, size_t n, Site site = Site::Here()) {
    ForHalves(AccessKind::kCopyIn, to, n, site, [&](size_t at, size_t size) {
      RealMemory::CopyIn(static_cast<char*>(to) + at, static_cast<const char*>(from) + at, size);
    });
  }
  static void FutexWait(Word& word, uint64_t value, int64_t nanoseconds, Site site = Site::Here()) {
    const Access access{AccessKind::kFutexWait, &word, 8, site};
    Before(access);
    if (hook == nullptr) RealMemory::FutexWait(word, value, nanoseconds);
    After(access);
  }
  static void FutexWake(Word& word, Site site = Site::Here()) {
    const Access access{AccessKind::kFutexWake, &word, 8, site};
    Before(access);
    RealMemory::FutexWake(word);
    After(access);
  }
  static void Prefetch(const void* address) {
    RealMemory::Prefetch(address);
    if (hook != nullptr) hook->Prefetched(address);
  }
  static void Pause(Site site = Site::Here()) {
    const Access access{AccessKind::kPause, nullptr, 0, site};
    Before(access);
    After(access);
  }

 private:
  static void Before(const Access& access) {
    if (hook != nullptr) hook->Before(access);
  }
  static void After(const Access& access) {
    if (hook != nullptr) hook->After(access);
  }
  template <class Copy>
  static void ForHalves(AccessKind kind, const void* address, size_t n, Site site, Copy&& copy) {
    const size_t half = n >= 16 ? n / 2 / 8 * 8 : n;
    for (size_t at = 0; at < n || at == 0; at += half) {
      const size_t size = at == 0 ? half : n - half;
      const Access access{kind, static_cast<const char*>(address) + at, size, site};
      Before(access);
      if (size > 0) copy(at, size);
      After(access);
      if (at > 0 || half == n) break;
    }
  }
};

inline thread_local AccessHook* HookedMemory::hook = nullptr;

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_HOOKED_MEMORY_H_
