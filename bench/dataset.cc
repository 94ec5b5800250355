#include "bench/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

namespace segdict::bench {
namespace {

// One to one on the numbers below 2^bits.
uint64_t Scramble(uint64_t x, unsigned bits) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  for (const uint64_t odd : {0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u}) {
    x = (x * odd + 0x2545f4914f6cdd1du) & mask;
    x ^= x >> (bits / 2);
  }
  return x;
}

char Letter(uint64_t five_bits) { return "abcdefghijklmnopqrstuvwxyz012345"[five_bits & 31]; }

void FillText(char* at, size_t size, std::mt19937_64& random) {
  for (size_t i = 0; i < size;)
    for (uint64_t bits = random(), letters = 0; letters < 12 && i < size; ++letters, bits >>= 5) at[i++] = Letter(bits);
}

// Distinct for distinct i: eight bytes hold i scrambled and a zero, longer ones 65 bits of letters and more letters.
void MakeKey(uint64_t i, char* at, size_t size, std::mt19937_64& random) {
  if (size == 8) {
    const uint64_t bits = Scramble(i + 1, 56);
    std::memcpy(at, &bits, 8);
    return;
  }
  uint64_t bits = Scramble(i, 64);
  for (size_t j = 0; j < 13; ++j, bits >>= 5) at[j] = Letter(bits);
  FillText(at + 13, size - 13, random);
}

std::vector<uint32_t> Shuffled(size_t n, std::mt19937_64& random) {
  std::vector<uint32_t> numbers(n);
  std::iota(numbers.begin(), numbers.end(), 0u);
  std::shuffle(numbers.begin(), numbers.end(), random);
  return numbers;
}

// Numbers below n, number k with a probability in proportion to 1 / (k + 1)^0.99: YCSB's method, by Gray et al.
class Zipf {
 public:
  explicit Zipf(size_t n) : n_(static_cast<double>(n)) {
    for (size_t i = 1; i <= n; ++i) zeta_ += 1 / std::pow(static_cast<double>(i), kTheta);
    eta_ = (1 - std::pow(2 / n_, 1 - kTheta)) / (1 - (1 + std::pow(0.5, kTheta)) / zeta_);
  }
  size_t operator()(std::mt19937_64& random) const {
    const double u = std::uniform_real_distribution<double>()(random);
    if (u * zeta_ < 1) return 0;
    if (u * zeta_ < 1 + std::pow(0.5, kTheta)) return 1;
    const double k = n_ * std::pow(eta_ * u - eta_ + 1, 1 / (1 - kTheta));
    return std::min(static_cast<size_t>(k), static_cast<size_t>(n_) - 1);
  }

 private:
  static constexpr double kTheta = 0.99;
  double n_, zeta_ = 0, eta_ = 0;
};

}  // namespace

Dataset::Dataset(size_t key_size, size_t value_size, size_t n)
    : key_size_(key_size), value_size_(value_size), n_(n), chained_(value_size >= key_size && value_size <= 64) {
  std::mt19937_64 random(n * 1000 + key_size);
  keys_.resize(2 * n * key_size);
  for (size_t i = 0; i < 2 * n; ++i) MakeKey(i, &keys_[i * key_size], key_size, random);
  fill_order_ = Shuffled(n, random);
  if (!chained_) {
    values_[0].resize((kWindows - 1) * kWindowStep + value_size);
    FillText(values_[0].data(), values_[0].size(), random);
    return;
  }
  values_[0].resize(n * value_size);
  const std::vector<uint32_t> cycle = Shuffled(n, random);
  for (size_t i = 0; i < n; ++i) {
    char* value = &values_[0][cycle[i] * value_size];
    std::memcpy(value, key(cycle[(i + 1) % n]), key_size);
    FillText(value + key_size, value_size - key_size, random);
  }
  values_[1] = values_[0];
  for (unsigned version = 0; version < 2; ++version)
    for (size_t i = 0; i < n; ++i) values_[version][(i + 1) * value_size - 1] = static_cast<char>('0' + version);
}

Script MakeScript(const Dataset& data, size_t key_size, const Mix& mix, size_t length) {
  std::mt19937_64 random(length + mix.set + mix.insert + mix.modify);
  std::uniform_int_distribution<size_t> uniform(0, data.size() - 1);
  const Zipf zipf(mix.choice == Mix::Choice::kUniform ? 1 : data.size());
  Script script;
  script.inserts = mix.insert != 0;
  script.actions.reserve(length);
  script.keys.reserve(length * key_size);
  size_t end = data.size();  // the keys before it are in the table
  for (size_t i = 0; i < length; ++i) {
    const uint64_t lot = random() % 1000;
    const Action action = lot < mix.set                             ? Action::kSet
                          : lot < mix.set + mix.insert              ? Action::kInsert
                          : lot < mix.set + mix.insert + mix.modify ? Action::kModify
                                                                    : Action::kGet;
    const size_t index = action == Action::kInsert             ? end++
                         : mix.choice == Mix::Choice::kUniform ? uniform(random)
                         : mix.choice == Mix::Choice::kZipf    ? zipf(random)
                                                               : end - 1 - zipf(random);
    script.actions.push_back(action);
    script.keys.append(data.key(index), key_size);
  }
  return script;
}

}  // namespace segdict::bench
