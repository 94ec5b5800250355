// Dataset: the keys and values of a table of n entries, and the orders in which operations come, all made before
// anything is timed and the same in every run.
//
// Keys are distinct and look random, so that walking them in the order of the array visits a table at random. There are
// 2n: the first n are put into the table, the second n are absent (misses) or take the place of the first (churn). They
// are put in in yet another order, so that a peer that allocates entry by entry has its nodes scattered like any table
// with a past.
//
// Values come in two versions, so that an overwrite always changes something. Short ones begin with the key that is
// next in one random cycle through all n (Next), and end with the version. Long ones are windows of a small buffer, all
// different, so that reading the new value is cheap for everybody.
//
// Keys of more than eight bytes and all short values' fillings are letters and digits: servers want text.
#ifndef SEGDICT_BENCH_DATASET_H_
#define SEGDICT_BENCH_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace segdict::bench {

class Dataset {
 public:
  Dataset(size_t key_size, size_t value_size, size_t n);

  size_t size() const { return n_; }
  // Keys 0 to n-1 are those of the table, n to 2n-1 are not.
  const char* key(size_t i) const { return keys_.data() + i * key_size_; }
  const char* value(size_t i, unsigned version) const {
    return chained_ ? values_[version].data() + i * value_size_
                    : values_[0].data() + (i * 2 + version) % kWindows * kWindowStep;
  }
  // Values begin with the next key of the cycle.
  bool chained() const { return chained_; }
  // The order in which keys are put into the table: indices of the first n.
  const std::vector<uint32_t>& fill_order() const { return fill_order_; }

 private:
  static constexpr size_t kWindows = 8192, kWindowStep = 8;

  size_t key_size_, value_size_, n_;
  bool chained_;
  std::string keys_, values_[2];
  std::vector<uint32_t> fill_order_;
};

// A value that is as long as its key gives up its last byte to the version; keys of eight bytes end with a zero for it.
template <typename Shape>
void NextKey(const char* value, char* key) {
  __builtin_memcpy(key, value, Shape::kKey);
  if constexpr (Shape::kKey == Shape::kValue) key[Shape::kKey - 1] = 0;
}

// ---- Scripts: mixes of operations ------------------------------------------------------------------------------

enum class Action : uint8_t { kGet, kSet, kInsert, kModify };

// What a mix is made of: parts of a thousand; the rest are gets.
struct Mix {
  enum class Choice { kUniform, kZipf, kLatest };
  Choice choice = Choice::kUniform;
  unsigned set = 0, insert = 0, modify = 0;
};

// A sequence of operations, with its keys laid out in the order of use. Inserts take the absent keys one by one.
struct Script {
  std::vector<Action> actions;
  std::string keys;
  bool inserts = false;
  const char* key(size_t i, size_t key_size) const { return keys.data() + i * key_size; }
};

Script MakeScript(const Dataset& data, size_t key_size, const Mix& mix, size_t length);

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_DATASET_H_
