// What a peer is, and how to add one: a file in bench/peers, and its cc_library in bench/BUILD.bazel.
//
//   namespace segdict::bench {
//   namespace {
//
//   template <typename Shape>  // Shape::kKey, kValue: the sizes; kIntegers: uint64_t to uint64_t
//   class Mine {
//    public:
//     static constexpr const char* kName = "mine";
//     static constexpr bool kShared = false;             // true: forked processes see one table
//     explicit Mine(const Setup& setup);                 // empty; setup.capacity entries must fit
//     bool Get(std::string_view key, char* value);       // false: not there; else copies Shape::kValue bytes out
//     bool Set(std::string_view key, std::string_view value);  // inserts or overwrites; false: failed
//     bool Erase(std::string_view key);                  // false: was not there
//     // Optional:
//     size_t GetMany(std::span<const std::string_view> keys, char* values);  // the values of those that are there, one
//                                                        // after the other, in the order of keys; how many
//     bool SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs);  // to fill the table faster
//     bool Modify(std::string_view key, std::string_view value);  // reads and overwrites, atomically
//     void AfterFork();                                  // in a forked process, before it is used
//     std::optional<double> Bytes();                     // of memory; default: what the heap grew by
//     static std::string Absent();                       // why it cannot run here; empty if it can
//     static constexpr unsigned kTurnovers = 5;          // replace all keys so many times before anything is timed
//   };
//   SEGDICT_BENCH_PEER(Mine, U64, S16, S20, S64K);       // the shapes that it can hold
//
// Get, Set and Erase may be called by several threads at once. Use the library as its users would, at its best: look up
// without making a std::string, reserve room for all entries, copy values out under its lock.
// bench/peer_test.cc tests every peer that is registered; bench/cells.cc says in which groups it runs.
#ifndef SEGDICT_BENCH_PEER_H_
#define SEGDICT_BENCH_PEER_H_

#include <memory>
#include <string>

#include "bench/dataset.h"
#include "bench/shape.h"
#include "bench/table.h"
#include "bench/workload.h"

namespace segdict::bench {

template <typename Peer>
std::string AbsenceOf() {
  if constexpr (requires { Peer::Absent(); }) return Peer::Absent();
  return "";
}

template <template <typename> typename Peer, typename... Shapes>
bool RegisterPeer() {
  (Peers().push_back({.name = Peer<Shapes>::kName,
                      .key_size = Shapes::kKey,
                      .value_size = Shapes::kValue,
                      .shared = Peer<Shapes>::kShared,
                      .absent = AbsenceOf<Peer<Shapes>>,
                      .offers = TableOf<Peer<Shapes>, Shapes>::Offers,
                      .make = [](const Setup& setup, const Dataset& data) -> std::unique_ptr<Table> {
                        return std::make_unique<TableOf<Peer<Shapes>, Shapes>>(setup, data);
                      }}),
   ...);
  return true;
}

inline bool RegisterAbsentPeer(const char* name, const char* reason) {
  Peers().push_back({.name = name, .absent = [reason] { return std::string(reason); }});
  return true;
}

#define SEGDICT_BENCH_PEER(Peer, ...) \
  [[maybe_unused]] const bool registered_##Peer = ::segdict::bench::RegisterPeer<Peer, __VA_ARGS__>()

// In place of the above, where the peer's library is not there when it is built.
#define SEGDICT_BENCH_ABSENT_PEER(id, name, reason) \
  [[maybe_unused]] const bool registered_##id = ::segdict::bench::RegisterAbsentPeer(name, reason)

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_PEER_H_
