// The timed loops, as templates over a peer: the compiler sees the loop and the peer together, as it would in a program
// that uses the peer.
//
// Every result is checked, by a branch that is never taken. Each value that is got is copied out to private memory, and
// the compiler is made to believe that somebody reads it. Wherever keys come from, they lie in the order in which they
// are used, so that fetching them costs every peer the same little.
#ifndef SEGDICT_BENCH_WORKLOAD_H_
#define SEGDICT_BENCH_WORKLOAD_H_

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/dataset.h"
#include "bench/table.h"

namespace segdict::bench {

template <typename Peer>
concept HasGetMany = requires(Peer peer, std::span<const std::string_view> keys, char* values) {
  { peer.GetMany(keys, values) } -> std::same_as<size_t>;
};
template <typename Peer>
concept HasSetMany = requires(Peer peer, std::span<const std::pair<std::string_view, std::string_view>> pairs) {
  { peer.SetMany(pairs) } -> std::same_as<bool>;
};
template <typename Peer>
concept HasModify = requires(Peer peer, std::string_view bytes) {
  { peer.Modify(bytes, bytes) } -> std::same_as<bool>;
};
template <typename Peer>
concept HasAfterFork = requires(Peer peer) {
  peer.AfterFork();
};
template <typename Peer>
concept HasBytes = requires(Peer peer) {
  { peer.Bytes() } -> std::convertible_to<std::optional<double>>;
};
template <typename Peer>
concept HasTurnovers = requires {
  Peer::kTurnovers;
};

// Nanoseconds that `body` took.
template <typename Body>
double Timed(Body&& body) {
  const auto from = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - from).count();
}

// To the compiler, somebody reads what `bytes` points to.
inline void Use(const char* bytes) { asm volatile("" : : "r"(bytes) : "memory"); }

template <typename Peer, typename Shape>
class TableOf final : public Table {
 public:
  TableOf(const Setup& setup, const Dataset& data) : setup_(setup), data_(data) {
    const size_t before = HeapBytes();
    Renew();
    heap_bytes_ = static_cast<double>(HeapBytes() - before);
    if constexpr (HasTurnovers<Peer>) {
      // There and back again, and at least as many turnovers as wanted.
      for (unsigned done = 0; done < Peer::kTurnovers; done += 2) {
        Replace(0, data_.size(), /*back=*/false);
        Replace(0, data_.size(), /*back=*/true);
      }
    }
  }

  static bool Offers(Op op) {
    switch (op) {
      case Op::kGetMany:
        return HasGetMany<Peer>;
      case Op::kLine:
      case Op::kLineIndependent:
      case Op::kMutex:
        return false;
      default:
        return true;
    }
  }

  double Run(const Share& share) override {
    switch (share.op) {
      case Op::kGet:
        return RunGet(share);
      case Op::kGetDependent:
        return RunGetDependent(share);
      case Op::kMiss:
        return RunMiss(share);
      case Op::kGetMany:
        if constexpr (HasGetMany<Peer>) return RunGetMany(share);
        break;
      case Op::kOverwrite:
        return RunOverwrite(share);
      case Op::kChurn:
        return RunChurn(share);
      case Op::kInsert:
        return RunInsert(share);
      case Op::kScript:
        return RunScript(share);
      default:
        break;
    }
    Fail("a peer was asked for what it does not offer");
  }

  void AfterFork() override {
    if constexpr (HasAfterFork<Peer>) peer_->AfterFork();
  }

  std::optional<double> Bytes() override {
    if constexpr (HasBytes<Peer>) return peer_->Bytes();
    return heap_bytes_;
  }

  bool Get(std::string_view key, char* value) override { return peer_->Get(key, value); }
  bool Set(std::string_view key, std::string_view value) override { return peer_->Set(key, value); }
  bool Erase(std::string_view key) override { return peer_->Erase(key); }
  bool Modify(std::string_view key, std::string_view value) override { return ModifyOne(key, value); }
  size_t GetMany(std::span<const std::string_view> keys, char* values) override {
    if constexpr (HasGetMany<Peer>) return peer_->GetMany(keys, values);
    return 0;
  }

 private:
  static constexpr size_t kFillBatch = 1000;

  static size_t HeapBytes() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }

  std::string_view Key(size_t i) const { return {data_.key(i), Shape::kKey}; }
  std::string_view Value(size_t i, unsigned version) const { return {data_.value(i, version), Shape::kValue}; }

  void Renew() {
    peer_.reset();
    peer_ = std::make_unique<Peer>(setup_);
    replaced_ = 0;
    const std::vector<uint32_t>& order = data_.fill_order();
    std::vector<std::pair<std::string_view, std::string_view>> batch;
    for (size_t done = 0; done < order.size(); done += batch.size()) {
      batch.clear();
      for (size_t i = done; i < std::min(done + kFillBatch, order.size()); ++i) {
        batch.emplace_back(Key(order[i]), Value(order[i], 0));
        __builtin_prefetch(batch.back().first.data());
        __builtin_prefetch(batch.back().second.data());
      }
      if (!Fill(batch)) Fail("a table cannot be filled");
    }
  }

  bool Fill(std::span<const std::pair<std::string_view, std::string_view>> batch) {
    if constexpr (HasSetMany<Peer>) return peer_->SetMany(batch);
    bool good = true;
    for (const auto& [key, value] : batch) good = peer_->Set(key, value) && good;
    return good;
  }

  double RunGet(const Share& share) {
    Peer& peer = *peer_;
    alignas(64) char value[Shape::kValue];
    size_t i = share.from % share.size;
    return PerOp(share.count, [&] {
      for (uint64_t n = share.count; n > 0; --n) {
        if (!peer.Get(Key(share.first + i), value)) Fail("get: a key is missing");
        Use(value);
        if (++i == share.size) i = 0;
      }
    });
  }

  double RunGetDependent(const Share& share) {
    if constexpr (Shape::kKey <= Shape::kValue) {
      Peer& peer = *peer_;
      alignas(64) char value[Shape::kValue];
      char key[Shape::kKey];
      std::copy_n(data_.key(share.first + share.from % share.size), Shape::kKey, key);
      return PerOp(share.count, [&] {
        for (uint64_t n = share.count; n > 0; --n) {
          if (!peer.Get({key, Shape::kKey}, value)) Fail("get-dependent: a key is missing");
          NextKey<Shape>(value, key);
        }
        Use(key);
      });
    }
    Fail("get-dependent: values are shorter than keys");
  }

  double RunMiss(const Share& share) {
    Peer& peer = *peer_;
    alignas(64) char value[Shape::kValue];
    size_t i = share.from % share.size;
    return PerOp(share.count, [&] {
      for (uint64_t n = share.count; n > 0; --n) {
        if (peer.Get(Key(data_.size() + share.first + i), value)) Fail("miss: an absent key was found");
        if (++i == share.size) i = 0;
      }
    });
  }

  double RunGetMany(const Share& share) {
    Peer& peer = *peer_;
    std::vector<char> values(kBatch * Shape::kValue);
    std::string_view keys[kBatch];
    size_t i = share.from % share.size;
    const uint64_t batches = (share.count + kBatch - 1) / kBatch;
    return PerOp(batches * kBatch, [&] {
      for (uint64_t n = batches; n > 0; --n) {
        for (std::string_view& key : keys) {
          key = Key(share.first + i);
          if (++i == share.size) i = 0;
        }
        if (peer.GetMany(keys, values.data()) != kBatch) Fail("getmany: a key is missing");
        Use(values.data());
      }
    });
  }

  // The first time round writes version 1, the second version 0, and so on.
  double RunOverwrite(const Share& share) {
    Peer& peer = *peer_;
    size_t i = share.from % share.size;
    unsigned version = share.from / share.size % 2 == 0;
    return PerOp(share.count, [&] {
      for (uint64_t n = share.count; n > 0; --n) {
        if (!peer.Set(Key(share.first + i), Value(share.first + i, version))) Fail("overwrite: no success");
        if (++i == share.size) i = 0, version ^= 1;
      }
    });
  }

  // Present key by present key gives way to the absent one of the same number; untimed, they come back.
  double RunChurn(const Share& share) {
    const size_t limit = share.fresh ? std::max<size_t>(share.size / 4, 1) : share.size;
    double nanoseconds = 0;
    size_t i = share.from % share.size;
    for (uint64_t left = share.count; left > 0;) {
      const size_t pairs = std::min<uint64_t>({left, limit, share.size - i});
      nanoseconds += Timed([&] { Replace(share.first + i, pairs, /*back=*/false); });
      Replace(share.first + i, pairs, /*back=*/true);
      i = (i + pairs) % share.size;
      left -= pairs;
      replaced_ += 2 * pairs;
      if (share.fresh && !HasTurnovers<Peer> && replaced_ >= share.size / 2) Renew();
    }
    return nanoseconds / static_cast<double>(share.count);
  }

  void Replace(size_t first, size_t pairs, bool back) {
    Peer& peer = *peer_;
    const size_t out = back ? data_.size() : 0, in = data_.size() - out;
    for (size_t i = first; i < first + pairs; ++i) {
      if (!peer.Erase(Key(out + i))) Fail("churn: a key is missing");
      if (!peer.Set(Key(in + i), Value(i, 0))) Fail("churn: no room");
    }
  }

  // From empty to full, as often as it takes.
  double RunInsert(const Share& share) {
    double nanoseconds = 0;
    uint64_t done = 0;
    for (; done < share.count; done += share.size) {
      Peer peer(setup_);
      nanoseconds += Timed([&] {
        for (size_t i = share.first; i < share.first + share.size; ++i)
          if (!peer.Set(Key(i), Value(i, 0))) Fail("insert: no room");
      });
    }
    return nanoseconds / static_cast<double>(done);
  }

  // A script that inserts starts from its beginning each time, because what it inserted goes again, untimed.
  double RunScript(const Share& share) {
    double nanoseconds = 0;
    const size_t length = share.script->actions.size();
    size_t i = share.script->inserts ? 0 : share.from % length;
    for (uint64_t left = share.count; left > 0;) {
      const size_t steps = std::min<uint64_t>(left, length - i);
      nanoseconds += Timed([&] { Perform(*share.script, i, steps); });
      for (size_t j = i; share.script->inserts && j < i + steps; ++j)
        if (share.script->actions[j] == Action::kInsert) peer_->Erase(ScriptKey(*share.script, j));
      i = (i + steps) % length;
      if (share.script->inserts) i = 0;
      left -= steps;
    }
    return nanoseconds / static_cast<double>(share.count);
  }

  static std::string_view ScriptKey(const Script& script, size_t i) {
    return {script.key(i, Shape::kKey), Shape::kKey};
  }

  void Perform(const Script& script, size_t first, size_t steps) {
    Peer& peer = *peer_;
    alignas(64) char value[Shape::kValue];
    size_t source = first % data_.size();
    for (size_t i = first; i < first + steps; ++i) {
      const std::string_view key = ScriptKey(script, i);
      bool good = false;
      switch (script.actions[i]) {
        case Action::kGet:
          good = peer.Get(key, value);
          Use(value);
          break;
        case Action::kSet:
        case Action::kInsert:
          good = peer.Set(key, Value(source, 1));
          break;
        case Action::kModify:
          good = ModifyOne(key, Value(source, 1));
          break;
      }
      if (!good) Fail("mix: an operation did not succeed");
      if (++source == data_.size()) source = 0;
    }
  }

  // Reads the value and puts another in its place; as one atomic operation where the peer has one.
  bool ModifyOne(std::string_view key, std::string_view value) {
    if constexpr (HasModify<Peer>) return peer_->Modify(key, value);
    alignas(64) char before[Shape::kValue];
    if (!peer_->Get(key, before)) return false;
    Use(before);
    return peer_->Set(key, value);
  }

  template <typename Body>
  static double PerOp(uint64_t count, Body&& body) {
    return Timed(std::forward<Body>(body)) / static_cast<double>(count);
  }

  const Setup setup_;
  const Dataset& data_;
  std::unique_ptr<Peer> peer_;
  double heap_bytes_ = 0;
  size_t replaced_ = 0;  // keys since the table was made; of use with Share::fresh only
};

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_WORKLOAD_H_
