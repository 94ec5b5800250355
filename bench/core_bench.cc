// The engine against the memory it lives in: 16-byte keys, 32-byte values, inline, at 75 % load.
//
// What is timed: one process, one thread; keys and their order are made beforehand, pages are mapped beforehand. "Line"
// reads one cache line at a random place of a shared mapping as large as the table's; "Dependent" takes the next place,
// or key, from what the last one gave, so nothing overlaps; otherwise consecutive operations overlap as the processor
// can. Run with
// --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 and compare medians: memory latency drifts on
// shared machines.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "segdict/dict.h"

namespace {

using segdict::Dict;

constexpr size_t kKeyLength = 16, kValueLength = 32;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "core_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

// A dict of n entries. Keys are random, so walking them in the order of the array visits the table at random; the value
// of each begins with the key that comes next in an order of its own, one cycle through all.
struct Fixture {
  explicit Fixture(size_t n) : count(n) {
    const std::string name = "segdict-bench-" + std::to_string(getpid()) + "-" + std::to_string(n);
    auto made = Dict::Create(segdict::Name(name), {.capacity = n, .prefault = true});
    Check(made.status());
    Check(Dict::Unlink(segdict::Name(name)));
    dict = std::make_unique<Dict>(*std::move(made));
    std::mt19937_64 random(n);
    keys.resize(2 * n * kKeyLength);
    for (char& c : keys) c = static_cast<char>('a' + random() % 26);
    const std::vector<uint32_t> cycle = Shuffled(n, random);
    values.resize(n * kValueLength);
    for (size_t i = 0; i < n; ++i)
      std::memcpy(&values[cycle[i] * kValueLength], Key(cycle[(i + 1) % n]).data(), kKeyLength);
    for (size_t i = 0; i < n; ++i) Check(dict->Set(Key(i), Value(i)));
    // Lines of a mapping of the same size and kind, linked in one cycle.
    const size_t lines = dict->GetStats()->segment_bytes / 64;
    const int fd = memfd_create("lines", 0);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(lines * 64)) != 0) std::exit(1);
    memory =
        static_cast<uint64_t*>(mmap(nullptr, lines * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0));
    close(fd);
    random_lines = Shuffled(lines, random);
    for (size_t i = 0; i < lines; ++i) memory[random_lines[i] * size_t{8}] = random_lines[(i + 1) % lines];
  }

  static std::vector<uint32_t> Shuffled(size_t n, std::mt19937_64& random) {
    std::vector<uint32_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), 0u);
    std::shuffle(numbers.begin(), numbers.end(), random);
    return numbers;
  }
  std::string_view Key(size_t i) const { return {keys.data() + i * kKeyLength, kKeyLength}; }
  std::string_view Absent(size_t i) const { return Key(count + i); }
  std::string_view Value(size_t i) const { return {values.data() + i * kValueLength, kValueLength}; }

  size_t count;
  std::unique_ptr<Dict> dict;
  std::vector<char> keys;  // the second half are not in the dict
  std::vector<char> values;
  uint64_t* memory;
  std::vector<uint32_t> random_lines;
};

const Fixture& At(size_t n) {
  static std::unique_ptr<Fixture> fixtures[2];
  std::unique_ptr<Fixture>& fixture = fixtures[n > 1'000'000 ? 1 : 0];
  if (fixture == nullptr) fixture = std::make_unique<Fixture>(n);
  return *fixture;
}

size_t Keys(const benchmark::State& state) { return static_cast<size_t>(state.range(0)); }

void DependentLine(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  uint64_t at = 0;
  for (auto _ : state) at = f.memory[at * 8];
  benchmark::DoNotOptimize(at);
}

void IndependentLine(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  uint64_t sum = 0;
  size_t i = 0;
  for (auto _ : state) {
    sum += f.memory[f.random_lines[i] * size_t{8}];
    if (++i == f.random_lines.size()) i = 0;
  }
  benchmark::DoNotOptimize(sum);
}

void DependentGet(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  char value[kValueLength];
  std::memcpy(value, f.Key(0).data(), kKeyLength);
  size_t length = 0;
  for (auto _ : state) {
    char key[kKeyLength];
    std::memcpy(key, value, sizeof(key));
    if (!f.dict->Get({key, sizeof(key)}, value, &length).ok()) std::exit(2);
  }
}

void Get(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  char value[kValueLength];
  size_t length = 0, i = 0;
  for (auto _ : state) {
    if (!f.dict->Get(f.Key(i), value, &length).ok()) std::exit(2);
    if (++i == f.count) i = 0;
  }
}

void Miss(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  char value[kValueLength];
  size_t length = 0, i = 0;
  for (auto _ : state) {
    if (f.dict->Get(f.Absent(i), value, &length).ok()) std::exit(2);
    if (++i == f.count) i = 0;
  }
}

// Times a batch of 32; items a second are keys a second.
void GetMany32(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  std::string_view batch[32];
  size_t i = 0, bytes = 0;
  for (auto _ : state) {
    for (auto& key : batch) {
      key = f.Key(i);
      if (++i == f.count) i = 0;
    }
    Check(f.dict->GetMany(batch, [&](size_t, const segdict::Entry* entry) { bytes += entry->value.size(); }));
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(state.iterations() * 32);
}

void Overwrite(benchmark::State& state) {
  const Fixture& f = At(Keys(state));
  size_t i = 0;
  for (auto _ : state) {
    if (!f.dict->Set(f.Key(i), f.Value(i)).ok()) std::exit(2);
    if (++i == f.count) i = 0;
  }
}

BENCHMARK(DependentLine)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(IndependentLine)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(DependentGet)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(Get)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(Miss)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(GetMany32)->Arg(1'000'000)->Arg(10'000'000);
BENCHMARK(Overwrite)->Arg(1'000'000)->Arg(10'000'000);

}  // namespace

BENCHMARK_MAIN();
