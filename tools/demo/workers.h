// The demo's writers and readers: what they do with the dict, and what they tell about it in shared memory.
//
//   key              value                                                       written by
//   <name>           the package's stanza, sealed with a version                 the package's writer
//   size/<name>      the stanza's length, kInt64                                 the package's writer
//   count/updates    how many updates there were, kInt64, by FetchAdd            both writers
#ifndef SEGDICT_TOOLS_DEMO_WORKERS_H_
#define SEGDICT_TOOLS_DEMO_WORKERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "segdict/dict.h"
#include "tools/demo/corpus.h"
#include "tools/demo/process.h"
#include "tools/demo/sealed_value.h"

namespace segdict::demo {

inline constexpr size_t kWriters = 2;
inline constexpr size_t kReaders = 2;
inline constexpr char kUpdatesKey[] = "count/updates";
std::string SizeKey(const Package& package);

// What a writer tells. It outlives the process: the next one goes on from here.
struct alignas(64) WriterBoard {
  std::atomic<uint64_t> position{0};       // of the update that it is at: each is one package
  std::atomic<uint64_t> updates{0};        // finished
  std::atomic<uint64_t> adds_started{0};   // to count/updates
  std::atomic<uint64_t> adds_finished{0};  // by now or in the past: a kill leaves one between the two for ever
  std::atomic<bool> in_call{false};        // of the dict
  std::atomic<int64_t> longest_call{0};    // nanoseconds; the parent sets it back to 0
};

struct alignas(64) ReaderBoard {
  std::atomic<uint64_t> reads{0};        // of packages
  std::atomic<uint64_t> small_reads{0};  // of the other keys
  std::atomic<uint64_t> wrong{0};        // among all of them
};

struct Board {
  WriterBoard writers[kWriters];
  ReaderBoard readers[kReaders];
  std::atomic<bool> stop{false};
  FirstProblem problem;
};

// What all processes of the demo have: the corpus by inheritance, the boards by shared memory.
struct World {
  const Corpus& corpus;
  std::string name;              // of the dict
  Shared<KeyVersions> versions;  // of each package
  Shared<Board> board;

  World(const Corpus& corpus, const std::string& name) : corpus(corpus), name(name), versions(corpus.size()) {}
};

// Writer `which` has the packages of the indices which, which + kWriters, ... It first sets each of them once, in
// order, then one after the other by chance.
uint64_t PackagesOf(const Corpus& corpus, size_t which);
size_t PackageAt(const Corpus& corpus, size_t which, uint64_t position);

// Both work until the board says stop, and return an exit status; what goes wrong is told on the board.
int RunWriter(const World& world, size_t which);
int RunReader(const World& world, size_t which);

// Reads a package and its size, and judges both. Returns what is wrong, or an empty string.
std::string CheckPackage(const Dict& dict, const World& world, size_t package, bool size_too, std::string* buffer);

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_WORKERS_H_
