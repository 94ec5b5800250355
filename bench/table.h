// Table: a filled table of some peer, as the harness sees it; and the list of all peers. The harness calls Run once for
// a whole timed loop, so that nothing virtual is inside it.
#ifndef SEGDICT_BENCH_TABLE_H_
#define SEGDICT_BENCH_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/dataset.h"

namespace segdict::bench {

// What a table is made for.
struct Setup {
  size_t key_size, value_size;
  size_t keys;              // that are in the table while it is measured
  size_t capacity = keys;   // that it must have room for
  double max_load = 0.75;   // of segdict, when `capacity` is reached
  bool huge_pages = false;  // for segdict and the hardware's lines
};

// What is timed.
enum class Op {
  kGet,           // independent lookups of present keys
  kGetDependent,  // each key comes out of the value before
  kMiss,          // lookups of absent keys
  kGetMany,       // batches of kBatch present keys, counted by the key
  kOverwrite,     // present keys get other values
  kChurn,         // a present key is erased and an absent one inserted, counted by the pair
  kInsert,        // an empty table is filled
  kScript,        // a mix
  kLine,          // hardware: a random cache line whose place comes out of the one before
  kLineIndependent,
  kMutex,  // hardware: lock and unlock of a robust process-shared mutex
};
constexpr size_t kBatch = 32;

// One worker's part of a timed loop: `count` operations on keys first to first + size - 1 (and, for churn and misses,
// the absent keys of the same numbers), beginning with number `from` of them, round and round.
struct Share {
  Op op;
  size_t first, size;
  uint64_t from, count;
  const Script* script = nullptr;  // for kScript: `from` is a position in it, and the keys are its own
  bool fresh = false;              // for kChurn: the table is made anew before it has seen much of it
};

class Table {
 public:
  virtual ~Table() = default;

  // Does the share; nanoseconds per operation. What is not to be timed is not: the table holds the same keys
  // afterwards. May run in several threads at once, or in forked processes if the peer is shared.
  virtual double Run(const Share& share) = 0;
  // In a forked process, before Run.
  virtual void AfterFork() {}
  // Memory for all entries, all told.
  virtual std::optional<double> Bytes() { return std::nullopt; }

  // Single operations, for the conformance test; as in peer.h.
  virtual bool Get(std::string_view, char*) { return false; }
  virtual bool Set(std::string_view, std::string_view) { return false; }
  virtual bool Erase(std::string_view) { return false; }
  virtual bool Modify(std::string_view, std::string_view) { return false; }
  virtual size_t GetMany(std::span<const std::string_view>, char*) { return 0; }
};

// A peer for one shape.
struct PeerInfo {
  std::string name;
  size_t key_size = 0, value_size = 0;  // 0: any
  bool shared = false;                  // forked processes see one table
  // Why it cannot run here; empty if it can.
  std::function<std::string()> absent = [] { return std::string(); };
  std::function<bool(Op)> offers = {};
  // A table with the first keys of `data`, each with version 0 of its value.
  std::function<std::unique_ptr<Table>(const Setup&, const Dataset& data)> make = {};
};
std::vector<PeerInfo>& Peers();

// Ends the process, which may be a worker's: measurements of wrong results are worth nothing.
[[noreturn]] void Fail(std::string_view what);

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_TABLE_H_
