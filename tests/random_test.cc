// Random operations against std::unordered_map. A failing sequence is cut down to a minimal one and printed.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/dict.h"
#include "src/base/descriptor.h"
#include "src/base/hash.h"
#include "src/layout/header.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::ManualClock;
using test::OwnedDict;

enum class Call {
  kGet,
  kSet,
  kInsert,
  kReplace,
  kErase,
  kTake,
  kFetchAdd,
  kUpdate,
  kTouch,
  kCompareAndSet,
  kStaleCompareAndSet,
  kAdvance,
  kSweep,
  kClear,
  kIterate,
  kGetMany,
  kVerify,
  kCount
};
constexpr const char* kNames[] = {"Get",
                                  "Set",
                                  "Insert",
                                  "Replace",
                                  "Erase",
                                  "Take",
                                  "FetchAdd",
                                  "Update",
                                  "Touch",
                                  "CompareAndSet",
                                  "StaleCompareAndSet",
                                  "Advance",
                                  "Sweep",
                                  "Clear",
                                  "Iterate",
                                  "GetMany",
                                  "Verify"};
static_assert(std::size(kNames) == static_cast<size_t>(Call::kCount));

struct Step {
  Call call;
  uint32_t key;
  uint32_t size;  // of the value; seconds to advance; budget of a sweep
  uint32_t seed;
  uint32_t ttl;  // seconds; 0: none

  std::string Text() const {
    std::ostringstream text;
    text << kNames[static_cast<size_t>(call)] << " key " << key << " size " << size << " seed " << seed << " ttl "
         << ttl;
    return text.str();
  }
};

struct TableShape {
  const char* name;
  Options options;
  uint32_t keys;
  uint32_t largest_value;
  bool one_home = false;    // all keys have the same home group
  bool last_home = false;   // ... the last one, from which probe sequences wrap around
  uint32_t key_length = 0;  // 0: short ones
};

std::string NumberBytes(int64_t number) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &number, 8);
  return bytes;
}

// A dict and its model, to which steps are applied until they disagree.
class Run {
 public:
  explicit Run(const TableShape& shape) : shape_(shape), owned_(WithClock(shape.options)), dict_(*owned_) {
    MakeKeys();
  }

  // What is wrong after this step; empty if nothing is.
  std::string Apply(const Step& step) {
    wrong_.clear();
    const std::string& key = keys_[step.key % keys_.size()];
    const std::string value = test::Bytes(step.size, step.seed);
    const absl::Duration ttl = step.ttl == 0 ? absl::InfiniteDuration() : absl::Seconds(step.ttl);
    const Type type = static_cast<Type>(step.seed % 5 == 2 ? 3 : step.seed % 5);  // kInt64 is FetchAdd's
    const WriteOptions options{.type = type, .ttl = ttl};
    Modeled* now = Find(key);
    switch (step.call) {
      case Call::kGet:
        Compare(key);
        break;
      case Call::kSet:
        if (step.seed % 3 == 0) {  // in parts: what is of the key's length, and the rest
          const size_t cut = std::min(key.size(), value.size());
          const std::string_view parts[] = {std::string_view(value).substr(0, cut),
                                            std::string_view(value).substr(cut)};
          Store(dict_.SetParts(key, parts, options), key, value, options);
        } else {
          Store(dict_.Set(key, value, options), key, value, options);
        }
        break;
      case Call::kInsert:
        if (now != nullptr) {
          Expect(dict_.Insert(key, value, options), absl::StatusCode::kAlreadyExists);
        } else {
          Store(dict_.Insert(key, value, options), key, value, options);
        }
        break;
      case Call::kReplace:
        if (now == nullptr) {
          Expect(dict_.Replace(key, value, options), absl::StatusCode::kNotFound);
        } else {
          Store(dict_.Replace(key, value, options), key, value, options);
        }
        break;
      case Call::kErase:
        Expect(dict_.Erase(key), now == nullptr ? absl::StatusCode::kNotFound : absl::StatusCode::kOk);
        model_.erase(key);
        break;
      case Call::kTake: {
        const absl::StatusOr<std::string> taken = dict_.Take(key);
        Expect(taken.status(), now == nullptr ? absl::StatusCode::kNotFound : absl::StatusCode::kOk);
        if (taken.ok() && now != nullptr && *taken != now->value) Wrong("Take gave another value");
        model_.erase(key);
        break;
      }
      case Call::kFetchAdd:
        FetchAdd(step, key, options, now);
        break;
      case Call::kUpdate: {
        std::optional<std::string> made;
        if (step.seed % 7 != 0) made = value;
        const bool with_options = step.seed % 3 == 0;
        const absl::Status status = dict_.Update(
            key,
            [&](const Entry* entry) {
              if ((entry == nullptr) != (now == nullptr)) {
                Wrong("Update saw the key there, or not there, against the model");
              } else if (entry != nullptr && entry->value != now->value) {
                Wrong("Update saw another value");
              }
              return made;
            },
            with_options ? std::optional<WriteOptions>(options) : std::nullopt);
        if (!made.has_value()) {
          Expect(status, absl::StatusCode::kOk);
        } else {
          WriteOptions stored = options;
          if (!with_options) {
            stored.type = now == nullptr ? Type::kBytes : now->type;
            stored.ttl = now == nullptr || now->expiry == kNever ? absl::InfiniteDuration()
                                                                 : absl::Nanoseconds(now->expiry - clock_.Now());
          }
          Store(status, key, value, stored);
        }
        break;
      }
      case Call::kTouch:
        if (now == nullptr) {
          Expect(dict_.Touch(key, ttl), absl::StatusCode::kNotFound);
        } else {
          const std::string same = now->value;
          Store(dict_.Touch(key, ttl), key, same, {.type = now->type, .ttl = ttl});
        }
        break;
      case Call::kCompareAndSet:
      case Call::kStaleCompareAndSet: {
        absl::Status status;
        // Another try if the token has gone stale although nobody changed the entry: the call itself moves entries,
        // also this one, if the arena is tight. What it made room for stays, so the next try finds it.
        Version version, before;
        for (int tries = 0; tries < 3; ++tries) {
          before = version;
          const absl::Status seen = dict_.Visit(key, [&](const Entry& entry) { version = entry.version; });
          Expect(seen, now == nullptr ? absl::StatusCode::kNotFound : absl::StatusCode::kOk);
          if (tries > 0 && version == before) Wrong("a token that is not stale was refused");
          const bool stale = step.call == Call::kStaleCompareAndSet;
          status = dict_.CompareAndSet(key, {version.slot, version.seq - (stale ? 1 : 0)}, value, options).status();
          if (stale || !absl::IsAborted(status)) break;
          Compare(key);
        }
        if (now == nullptr) {
          Expect(status, absl::StatusCode::kNotFound);
        } else if (step.call == Call::kStaleCompareAndSet) {
          Expect(status, absl::StatusCode::kAborted);
        } else {
          Store(status, key, value, options);
        }
        break;
      }
      case Call::kAdvance:
        clock_.Advance(absl::Seconds(step.size % 20));
        for (auto it = model_.begin(); it != model_.end();) {
          it = it->second.expiry != kNever && clock_.Now() >= it->second.expiry ? model_.erase(it) : std::next(it);
        }
        break;
      case Call::kSweep:
        if (!dict_.Sweep(step.size).ok()) Wrong("Sweep failed");
        if (step.seed % 2 == 0) {
          // Again until there is nothing: an erase may move an entry to a slot that was passed already.
          absl::StatusOr<uint64_t> swept = 1;
          while (swept.ok() && *swept > 0) swept = dict_.Sweep();
          if (!swept.ok()) Wrong("Sweep failed");
          if (dict_.size() != model_.size()) Wrong("after a full Sweep the size is not that of the model");
        }
        break;
      case Call::kClear:
        if (step.seed % 8 != 0) break;
        Expect(dict_.Clear(), absl::StatusCode::kOk);
        model_.clear();
        if (dict_.size() != 0) Wrong("not empty after Clear");
        break;
      case Call::kIterate:
        Iterate();
        break;
      case Call::kGetMany:
        GetMany();
        break;
      case Call::kVerify:
        Verify();
        break;
      case Call::kCount:
        break;
    }
    if (dict_.size() < model_.size()) Wrong("the size is less than the model's");
    if (wrong_.empty() && step.call != Call::kAdvance) Compare(key);
    return wrong_;
  }

  std::string Finish() {
    wrong_.clear();
    for (const std::string& key : keys_) Compare(key);
    Iterate();
    Verify();
    return wrong_;
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  struct Modeled {
    std::string value;
    Type type;
    int64_t expiry;
    uint64_t order;
  };

  Options WithClock(Options options) {
    options.clock = &clock_;
    return options;
  }

  void MakeKeys() {
    internal::FixedHeader header{};
    internal::UniqueFd fd(open(owned_.name.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (pread(fd.get(), &header, sizeof(header), 0) != sizeof(header)) std::abort();
    for (uint64_t i = 0; keys_.size() < shape_.keys; ++i) {
      std::string key = "k" + std::to_string(i);
      if (shape_.key_length > 0) key = test::Bytes(i % shape_.key_length, 9) + key;
      const uint64_t home = internal::Reduce(internal::Hash(key, header.seed), header.groups);
      if (shape_.last_home && home != header.groups - 1) continue;
      if (shape_.one_home && !shape_.last_home && home != 0) continue;
      keys_.push_back(std::move(key));
    }
  }

  void Wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }
  void Expect(const absl::Status& status, absl::StatusCode code) {
    if (status.code() != code) Wrong("returned " + status.ToString() + ", expected " + absl::StatusCodeToString(code));
  }

  Modeled* Find(const std::string& key) {
    const auto at = model_.find(key);
    return at == model_.end() ? nullptr : &at->second;
  }

  // The arena bytes that an entry counts for.
  uint64_t Counted(const std::string& key, uint64_t value, bool expires) const {
    return Dict::ValueBytesFor(shape_.options, key.size(), value, expires);
  }

  void Store(const absl::Status& status, const std::string& key, const std::string& value,
             const WriteOptions& options) {
    Modeled* now = Find(key);
    const bool expires = options.ttl != absl::InfiniteDuration();
    if (absl::IsResourceExhausted(status)) {
      // Nothing was changed; and it may be said only of what was not promised.
      uint64_t used = Counted(key, value.size(), expires);
      for (const auto& [k, m] : model_) used += Counted(k, m.value.size(), m.expiry != kNever);
      if (used <= shape_.options.value_bytes && (now != nullptr || model_.size() < shape_.options.capacity)) {
        Wrong("refused what was promised: " + status.ToString());
      }
      return;
    }
    if (absl::IsInvalidArgument(status)) {
      if (Counted(key, value.size(), expires) <= shape_.options.value_bytes) Wrong(status.ToString());
      return;
    }
    Expect(status, absl::StatusCode::kOk);
    const int64_t expiry = expires ? clock_.Now() + absl::ToInt64Nanoseconds(options.ttl) : kNever;
    if (now == nullptr) {
      model_[key] = {value, options.type, expiry, ++order_};
    } else {
      *now = {value, options.type, expiry, now->order};
    }
  }

  void FetchAdd(const Step& step, const std::string& key, const WriteOptions& options, Modeled* now) {
    std::optional<int64_t> initial;
    if (step.seed % 2 == 0) initial = step.seed;
    const absl::StatusOr<int64_t> before = dict_.FetchAdd(key, step.size, initial, options);
    if (now == nullptr && !initial.has_value()) return Expect(before.status(), absl::StatusCode::kNotFound);
    if (now != nullptr && (now->type != Type::kInt64 || now->value.size() != 8)) {
      return Expect(before.status(), absl::StatusCode::kFailedPrecondition);
    }
    int64_t expected = 0;
    if (now != nullptr) {
      std::memcpy(&expected, now->value.data(), 8);
    } else {
      expected = *initial;
    }
    if (before.ok() && *before != expected) Wrong("FetchAdd returned another number");
    WriteOptions stored{.type = Type::kInt64, .ttl = options.ttl};
    if (now != nullptr) {
      stored.ttl = now->expiry == kNever ? absl::InfiniteDuration() : absl::Nanoseconds(now->expiry - clock_.Now());
    }
    Store(before.status(), key, NumberBytes(expected + step.size), stored);
  }

  void CompareEntry(const Entry& entry, const Modeled& expected) {
    if (entry.value != expected.value) Wrong("another value than the model's");
    if (entry.type != expected.type) Wrong("another type than the model's");
    const absl::Duration ttl =
        expected.expiry == kNever ? absl::InfiniteDuration() : absl::Nanoseconds(expected.expiry - clock_.Now());
    if (entry.ttl != ttl) Wrong("another time to live than the model's");
    if ((entry.order != 0) != shape_.options.ordered) Wrong("a wrong insertion number");
  }

  void Compare(const std::string& key) {
    const Modeled* now = Find(key);
    const absl::Status status = dict_.Visit(key, [&](const Entry& entry) {
      if (now != nullptr) CompareEntry(entry, *now);
    });
    Expect(status, now == nullptr ? absl::StatusCode::kNotFound : absl::StatusCode::kOk);
    // Into a buffer, too, which is too small for every other value.
    const bool small = now != nullptr && now->value.size() % 2 != 0;
    std::string buffer(now == nullptr ? 0 : now->value.size() - (small ? 1 : 0), ' ');
    ValueInfo info;
    Expect(dict_.Get(key, std::span<char>(buffer), &info), now == nullptr ? absl::StatusCode::kNotFound
                                                           : small        ? absl::StatusCode::kOutOfRange
                                                                          : absl::StatusCode::kOk);
    if (now == nullptr) return;
    if (info.length != now->value.size()) Wrong("another length than the model's");
    CompareEntry({.key = key,
                  .value = small ? now->value : buffer,
                  .type = info.type,
                  .ttl = info.ttl,
                  .version = info.version,
                  .order = shape_.options.ordered ? uint64_t{1} : 0},
                 *now);
  }

  void Iterate() {
    size_t seen = 0;
    const auto visit = [&](const Entry& entry) {
      ++seen;
      const Modeled* now = Find(std::string(entry.key));
      if (now == nullptr) {
        Wrong("iteration shows a key that is not in the model");
      } else {
        CompareEntry(entry, *now);
      }
      return true;
    };
    Expect(dict_.ForEach(visit), absl::StatusCode::kOk);
    if (seen != model_.size()) Wrong("iteration shows another number of entries than the model has");
    if (!shape_.options.ordered) return;
    seen = 0;
    uint64_t last = 0;
    Expect(dict_.ForEachOrdered(Direction::kForward,
                                [&](const Entry& entry) {
                                  const Modeled* now = Find(std::string(entry.key));
                                  if (now != nullptr && now->order <= last) Wrong("out of order");
                                  if (now != nullptr) last = now->order;
                                  return visit(entry);
                                }),
           absl::StatusCode::kOk);
    if (seen != model_.size()) Wrong("ordered iteration shows another number of entries than the model has");
  }

  void GetMany() {
    const std::vector<std::string_view> keys(keys_.begin(), keys_.end());
    const auto values = dict_.GetMany(keys);
    Expect(values.status(), absl::StatusCode::kOk);
    if (!values.ok()) return;
    for (size_t i = 0; i < keys_.size(); ++i) {
      const Modeled* now = Find(keys_[i]);
      if ((*values)[i].has_value() != (now != nullptr) || (now != nullptr && *(*values)[i] != now->value)) {
        Wrong("GetMany differs from the model");
      }
    }
  }

  void Verify() {
    const auto sound = test::IsSound(dict_);
    if (!sound) Wrong(sound.message());
  }

  ManualClock clock_;
  const TableShape& shape_;
  OwnedDict owned_;
  Dict& dict_;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, Modeled> model_;
  uint64_t order_ = 0;
  std::string wrong_;
};

// What is wrong with a sequence, and at which step; null if nothing is.
std::optional<std::pair<size_t, std::string>> Try(const TableShape& shape, const std::vector<Step>& steps) {
  Run run(shape);
  for (size_t i = 0; i < steps.size(); ++i) {
    std::string wrong = run.Apply(steps[i]);
    if (!wrong.empty()) return std::make_pair(i, std::move(wrong));
  }
  std::string wrong = run.Finish();
  if (!wrong.empty()) return std::make_pair(steps.size(), std::move(wrong));
  return std::nullopt;
}

// Leaves out what can be left out for `fails` to stay true, in halves at first, then one by one.
template <class Fails>
std::vector<Step> Shrink(std::vector<Step> steps, Fails&& fails) {
  for (size_t chunk = steps.size() / 2; chunk > 0; chunk /= 2) {
    for (size_t at = 0; at + chunk <= steps.size();) {
      std::vector<Step> fewer(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(at));
      fewer.insert(fewer.end(), steps.begin() + static_cast<std::ptrdiff_t>(at + chunk), steps.end());
      if (fails(fewer)) {
        steps = std::move(fewer);
      } else {
        at += chunk;
      }
    }
  }
  return steps;
}

std::vector<Step> RandomSteps(const TableShape& shape, uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<Step> steps;
  while (steps.size() < count) {
    // Phases of growing and of shrinking, so that the table is full at times and nearly empty at others.
    const bool grow = steps.size() / 150 % 3 != 2;
    const uint64_t dice = random() % 100;
    Call call;
    if (dice < 40) {
      call = grow ? (dice < 25 ? Call::kSet : Call::kInsert) : (dice < 30 ? Call::kErase : Call::kTake);
    } else if (dice < 97) {
      constexpr Call kOthers[] = {Call::kGet,
                                  Call::kSet,
                                  Call::kReplace,
                                  Call::kErase,
                                  Call::kTake,
                                  Call::kFetchAdd,
                                  Call::kUpdate,
                                  Call::kTouch,
                                  Call::kTouch,
                                  Call::kCompareAndSet,
                                  Call::kStaleCompareAndSet,
                                  Call::kAdvance,
                                  Call::kSweep};
      call = kOthers[random() % std::size(kOthers)];
    } else {
      constexpr Call kRare[] = {Call::kClear, Call::kIterate, Call::kGetMany, Call::kVerify};
      call = kRare[random() % std::size(kRare)];
    }
    const uint64_t largest = random() % 3 == 0 ? shape.largest_value : std::min<uint64_t>(shape.largest_value, 60);
    steps.push_back({call, static_cast<uint32_t>(random() % shape.keys),
                     static_cast<uint32_t>(random() % (largest + 1)), static_cast<uint32_t>(random() % 1000),
                     static_cast<uint32_t>(random() % 3 == 0 ? 1 + random() % 60 : 0)});
  }
  return steps;
}

std::vector<TableShape> TableShapes() {
  const auto options = [](uint64_t capacity, uint64_t value_bytes, uint32_t slot_size, bool ordered,
                          double load = 1.0) {
    Options o;
    o.capacity = capacity;
    o.value_bytes = value_bytes;
    o.slot_size = slot_size;
    o.ordered = ordered;
    o.max_load = load;
    o.max_writers = 2;
    return o;
  };
  return {
      {.name = "OneGroup", .options = options(15, 50'000, 64, false), .keys = 25, .largest_value = 500},
      {.name = "TwoGroups", .options = options(30, 50'000, 64, false), .keys = 45, .largest_value = 500},
      {.name = "SmallSlots", .options = options(70, 100'000, 32, false), .keys = 100, .largest_value = 300},
      {.name = "LargeSlots", .options = options(70, 100'000, 128, false), .keys = 100, .largest_value = 600},
      {.name = "Ordered", .options = options(70, 100'000, 64, true), .keys = 100, .largest_value = 300},
      {.name = "OrderedLargeSlots", .options = options(40, 100'000, 128, true), .keys = 60, .largest_value = 300},
      {.name = "OneHome",
       .options = options(100, 50'000, 64, false),
       .keys = 130,
       .largest_value = 200,
       .one_home = true},
      {.name = "OneHomeOrdered",
       .options = options(100, 50'000, 64, true),
       .keys = 130,
       .largest_value = 200,
       .one_home = true},
      {.name = "WrapAround",
       .options = options(100, 50'000, 64, false),
       .keys = 120,
       .largest_value = 200,
       .last_home = true},
      {.name = "TinyArena", .options = options(60, 3'000, 64, false), .keys = 80, .largest_value = 3'000},
      {.name = "NoArena", .options = options(60, 0, 64, false), .keys = 80, .largest_value = 300},
      {.name = "Chains", .options = options(40, 300'000, 64, false), .keys = 50, .largest_value = 40'000},
      {.name = "LongKeys",
       .options = options(50, 100'000, 64, false),
       .keys = 70,
       .largest_value = 200,
       .key_length = 500},
      {.name = "Roomy", .options = options(400, 1 << 20, 64, false, 0.75), .keys = 400, .largest_value = 3'000},
  };
}

class Random : public ::testing::TestWithParam<TableShape> {};
INSTANTIATE_TEST_SUITE_P(All, Random, ::testing::ValuesIn(TableShapes()),
                         [](const auto& info) { return info.param.name; });

TEST_P(Random, OperationsAgreeWithAModel) {
  const TableShape& shape = GetParam();
  // Some seeds that are always the same, and some that never are.
  std::vector<uint64_t> seeds = {1, 2, 3, 4, 5, 6};
  for (int i = 0; i < 6; ++i) seeds.push_back(std::random_device()());
  for (const uint64_t seed : seeds) {
    std::vector<Step> steps = RandomSteps(shape, seed, 3000);
    const auto wrong = Try(shape, steps);
    if (!wrong.has_value()) continue;
    // Told at once: what follows takes time.
    std::cerr << "seed " << seed << ", step " << wrong->first << ": " << wrong->second << std::endl;
    steps.resize(std::min(steps.size(), wrong->first + 1));
    // Each dict has a hash seed of its own, so a sequence may fail only now and then.
    const std::vector<Step> minimal = Shrink(steps, [&](const std::vector<Step>& some) {
      return Try(shape, some).has_value() || Try(shape, some).has_value() || Try(shape, some).has_value();
    });
    std::string text;
    for (const Step& step : minimal) text += "\n  " + step.Text();
    FAIL() << "seed " << seed << ", step " << wrong->first << ": " << wrong->second << "\n"
           << minimal.size() << " steps that fail:" << text;
  }
}

TEST(Shrinking, FindsTheFewStepsThatMatter) {
  // As if a Set of key 3 and a later Erase of it were what fails.
  const auto fails = [](const std::vector<Step>& steps) {
    const auto set =
        std::find_if(steps.begin(), steps.end(), [](const Step& s) { return s.call == Call::kSet && s.key == 3; });
    return std::any_of(set, steps.end(), [](const Step& s) { return s.call == Call::kErase && s.key == 3; });
  };
  std::vector<Step> steps = RandomSteps(TableShapes()[0], 1, 3000);
  ASSERT_TRUE(fails(steps));
  steps = Shrink(steps, fails);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].call, Call::kSet);
  EXPECT_EQ(steps[1].call, Call::kErase);
  EXPECT_EQ(steps[0].key, 3u);
}

}  // namespace
}  // namespace segdict
