// Every call of Dict with its documented statuses; G4, capacity is a promise.
#include "segdict/dict.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "segdict/typed_dict.h"
#include "tests/testing.h"

namespace segdict {
namespace {

using test::Bytes;
using test::IsSound;
using test::ManualClock;
using test::Must;
using test::OwnedDict;
using test::SmallOptions;
using test::Value;

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

std::string Key(uint64_t i) { return "key:" + std::to_string(i); }

// What an entry is, in memory that lasts.
struct Copy {
  std::string key, value;
  Type type;
  absl::Duration ttl;
  Version version;
  uint64_t order;
};

std::optional<Copy> Look(const Dict& dict, std::string_view key) {
  std::optional<Copy> copy;
  int visits = 0;
  absl::Status status = dict.Visit(key, [&](const Entry& e) {
    ++visits;
    copy = {std::string(e.key), std::string(e.value), e.type, e.ttl, e.version, e.order};
  });
  if (status.ok()) {
    EXPECT_EQ(visits, 1);
  } else {
    EXPECT_CODE(status, kNotFound);
    EXPECT_EQ(visits, 0);
  }
  return copy;
}

std::string Int64Bytes(int64_t number) {
  std::string bytes(sizeof(number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(number));
  return bytes;
}

// ---- In each shape of slots -------------------------------------------------------------------------------

struct Shape {
  uint32_t slot_size;
  bool ordered;
};

class Shapes : public ::testing::TestWithParam<Shape> {
 protected:
  static Options TheOptions() {
    Options options = SmallOptions();
    options.slot_size = GetParam().slot_size;
    options.ordered = GetParam().ordered;
    return options;
  }
  OwnedDict owned_{TheOptions()};
  Dict& dict_ = *owned_;
};

INSTANTIATE_TEST_SUITE_P(All, Shapes,
                         ::testing::Values(Shape{32, false}, Shape{64, false}, Shape{64, true}, Shape{128, false},
                                           Shape{128, true}),
                         [](const auto& info) {
                           return std::to_string(info.param.slot_size) + (info.param.ordered ? "Ordered" : "");
                         });

TEST_P(Shapes, GetInItsThreeForms) {
  ASSERT_OK(dict_.Set("k", "value", {.type = Type::kString}));
  std::string value = "before";
  EXPECT_OK(dict_.Get("k", &value));
  EXPECT_EQ(value, "value");
  EXPECT_EQ(Must(dict_.Get("k")), "value");
  char buffer[8] = "xxxxxxx";
  ValueInfo info;
  info.ttl = absl::Seconds(1);
  EXPECT_OK(dict_.Get("k", buffer, &info));
  EXPECT_EQ(info.length, 5u);
  EXPECT_EQ(info.type, Type::kString);
  EXPECT_EQ(info.ttl, absl::InfiniteDuration());
  EXPECT_EQ(info.version, Look(dict_, "k")->version);
  EXPECT_EQ(std::string_view(buffer, 7), "valuexx");

  EXPECT_CODE(dict_.Get("other", &value), kNotFound);
  EXPECT_CODE(dict_.Get("other"), kNotFound);
  EXPECT_CODE(dict_.Get("other", buffer, &info), kNotFound);
  EXPECT_EQ(info.length, 5u) << "left alone";
  EXPECT_EQ(dict_.Get("other").status().message(), "");
}

TEST_P(Shapes, GetIntoABufferThatIsTooSmallTellsTheRest) {
  for (const size_t size : {5u, 200u, 20'000u, 100'000u}) {
    const std::string value = Bytes(size, size);
    ASSERT_OK(dict_.Set("k", value, {.type = Type::kPickle}));
    const Version version = Look(dict_, "k")->version;
    std::string buffer(size, 'x');
    for (const size_t room : {size_t{0}, size - 1, size}) {
      ValueInfo info;
      info.ttl = absl::Seconds(1);
      const absl::Status status = dict_.Get("k", std::span<char>(buffer.data(), room), &info);
      EXPECT_EQ(status.code(), room < size ? absl::StatusCode::kOutOfRange : absl::StatusCode::kOk) << status;
      EXPECT_EQ(info.length, size);
      EXPECT_EQ(info.type, Type::kPickle);
      EXPECT_EQ(info.ttl, absl::InfiniteDuration());
      EXPECT_EQ(info.version, version);
      EXPECT_EQ(buffer.back(), room < size ? 'x' : value.back());
    }
    EXPECT_EQ(buffer, value);
  }
  ASSERT_OK(dict_.Set("empty", "", {.type = Type::kNone}));
  ValueInfo info;
  info.length = 7;
  EXPECT_OK(dict_.Get("empty", std::span<char>(), &info));
  EXPECT_EQ(info.length, 0u);
  EXPECT_EQ(info.type, Type::kNone);
}

TEST_P(Shapes, VisitShowsTheWholeEntry) {
  ASSERT_OK(dict_.Set("k", "v", {.type = static_cast<Type>(200)}));
  const std::optional<Copy> entry = Look(dict_, "k");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->key, "k");
  EXPECT_EQ(entry->value, "v");
  EXPECT_EQ(entry->type, static_cast<Type>(200));
  EXPECT_EQ(entry->ttl, absl::InfiniteDuration());
  EXPECT_EQ(entry->order != 0, GetParam().ordered);
  EXPECT_FALSE(Look(dict_, "other").has_value());
}

TEST_P(Shapes, VisitMayUseTheDict) {
  ASSERT_OK(dict_.Set("k", "v"));
  EXPECT_OK(dict_.Visit("k", [&](const Entry& entry) {
    EXPECT_OK(dict_.Set("k", std::string(300, 'w')));
    EXPECT_OK(dict_.Erase("k"));
    EXPECT_EQ(entry.value, "v");
  }));
  EXPECT_EQ(Value(dict_, "k"), std::nullopt);
}

TEST_P(Shapes, GetManyOfAnyNumber) {
  for (size_t i = 0; i < 1000; i += 2) ASSERT_OK(dict_.Set(Key(i), Bytes(i % 400, i), {.type = Type::kString}));
  for (const size_t count : {0u, 1u, 31u, 32u, 33u, 64u, 1000u}) {
    SCOPED_TRACE(count);
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back(Key((i * 7) % 1000));
    const std::vector<std::string_view> keys(names.begin(), names.end());
    size_t next = 0;
    EXPECT_OK(dict_.GetMany(keys, [&](size_t i, const Entry* entry) {
      ASSERT_EQ(i, next++);
      const uint64_t n = (i * 7) % 1000;
      ASSERT_EQ(entry != nullptr, n % 2 == 0);
      if (entry == nullptr) return;
      EXPECT_EQ(entry->key, keys[i]);
      EXPECT_EQ(entry->value, Bytes(n % 400, n));
      EXPECT_EQ(entry->type, Type::kString);
    }));
    EXPECT_EQ(next, count);
    const auto values = Must(dict_.GetMany(keys));
    ASSERT_EQ(values.size(), count);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(values[i], Value(dict_, keys[i]));
  }
}

TEST_P(Shapes, GetManyOfTheSameKeyAndWithWritesInTheVisit) {
  ASSERT_OK(dict_.Set("a", "1"));
  const std::vector<std::string_view> keys(40, "a");
  size_t hits = 0;
  EXPECT_OK(dict_.GetMany(keys, [&](size_t, const Entry* entry) {
    if (entry == nullptr) return;
    ++hits;
    EXPECT_OK(dict_.Erase("a"));
  }));
  EXPECT_EQ(hits, 1u);
}

TEST_P(Shapes, Contains) {
  ASSERT_OK(dict_.Set("inline", ""));
  ASSERT_OK(dict_.Set("block", Bytes(5000, 1)));
  EXPECT_TRUE(Must(dict_.Contains("inline")));
  EXPECT_TRUE(Must(dict_.Contains("block")));
  EXPECT_FALSE(Must(dict_.Contains("other")));
}

TEST_P(Shapes, SetAddsAndOverwrites) {
  EXPECT_OK(dict_.Set("k", "1"));
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_OK(dict_.Set("k", "2", {.type = Type::kJson}));
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_EQ(Value(dict_, "k"), "2");
  EXPECT_EQ(Look(dict_, "k")->type, Type::kJson);
  EXPECT_OK(dict_.Set("k", "3"));
  EXPECT_EQ(Look(dict_, "k")->type, Type::kBytes) << "an overwrite sets the type too";
}

TEST_P(Shapes, EverySizeOverEverySize) {
  const Stats stats = Must(dict_.GetStats());
  const uint64_t page = stats.page_bytes;
  const std::vector<uint64_t> sizes = {0,        1,    7,        8,        15,       16,           17,  31,   32,
                                       33,       39,   40,       47,       48,       49,           64,  96,   111,
                                       112,      113,  254,      255,      256,      257,          500, 1000, page / 2,
                                       page - 1, page, page + 1, 2 * page, 3 * page, 5 * page + 17};
  for (const uint64_t before : sizes) {
    for (const uint64_t after : sizes) {
      ASSERT_OK(dict_.Set("k", Bytes(before, 1)));
      ASSERT_EQ(Value(dict_, "k"), Bytes(before, 1)) << before;
      ASSERT_OK(dict_.Set("k", Bytes(after, 2)));
      ASSERT_EQ(Value(dict_, "k"), Bytes(after, 2)) << before << " -> " << after;
    }
  }
  EXPECT_TRUE(IsSound(dict_));
  ASSERT_OK(dict_.Erase("k"));
  EXPECT_TRUE(IsSound(dict_));
  EXPECT_EQ(Must(dict_.Verify()).blocks, 0u);
}

TEST_P(Shapes, SetPartsOfEverySizeAndCut) {
  const uint64_t page = Must(dict_.GetStats()).page_bytes;
  for (const std::string& key : {std::string("k"), Bytes(203, 3)}) {  // the longer one lies in the block, too
    for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{7}, uint64_t{8}, uint64_t{9}, uint64_t{40},
                                uint64_t{111}, uint64_t{127}, uint64_t{128}, uint64_t{129}, uint64_t{135},
                                uint64_t{1000}, page - 203, page - 1, page, page + 1, 3 * page, 5 * page + 17}) {
      SCOPED_TRACE(std::to_string(key.size()) + " " + std::to_string(size));
      const std::string value = Bytes(size, size);
      const std::string_view all = value;
      std::vector<std::vector<std::string_view>> cuts = {{all}, {"", all, std::string_view(), "", all.substr(size)}};
      for (const size_t header : {1u, 3u, 7u, 8u, 9u, 13u, 200u}) {
        if (header > size) continue;
        cuts.push_back({all.substr(0, header), all.substr(header)});
        cuts.push_back({all.substr(0, size - header), all.substr(size - header)});
        cuts.push_back({all.substr(0, header / 2), all.substr(header / 2, header - header / 2), all.substr(header)});
      }
      std::mt19937_64 random(size);
      for (const uint64_t longest : {uint64_t{1}, uint64_t{5}, uint64_t{30}, page / 3, 2 * page}) {
        if (size / longest > 5000) continue;
        auto& cut = cuts.emplace_back();
        for (size_t at = 0; at < size;) {
          cut.push_back(all.substr(at, random() % longest + 1));
          at += cut.back().size();
        }
      }
      for (const auto& parts : cuts) {
        ASSERT_OK(dict_.SetParts(key, parts, {.type = Type::kMsgpack}));
        ASSERT_EQ(Value(dict_, key), value) << parts.size() << " parts";
      }
      EXPECT_EQ(Look(dict_, key)->type, Type::kMsgpack);
      EXPECT_EQ(dict_.size(), 1u);
      EXPECT_TRUE(IsSound(dict_));
    }
    ASSERT_OK(dict_.SetParts(key, {}));
    EXPECT_EQ(Value(dict_, key), "") << "no parts";
    ASSERT_OK(dict_.Erase(key));
    EXPECT_EQ(Must(dict_.Verify()).blocks, 0u);
  }
}

TEST_P(Shapes, SetPartsThatAreTooLongTogether) {
  const uint64_t arena = Must(dict_.GetStats()).pages * Must(dict_.GetStats()).page_bytes;
  const std::string part = Bytes(1 << 20, 1);
  ASSERT_OK(dict_.Set("k", "v"));
  for (const std::string_view key : {"k", "other"}) {
    EXPECT_CODE(dict_.SetParts(key, std::vector<std::string_view>{"h", std::string_view(Bytes(arena, 1))}),
                kInvalidArgument);
    // More than 2^40 bytes, which no dict can take.
    EXPECT_CODE(dict_.SetParts(key, std::vector<std::string_view>(1 << 21, part)), kInvalidArgument);
  }
  const std::vector<std::string_view> parts = {"h", std::string_view(part).substr(0, 1000)};
  EXPECT_CODE(dict_.SetParts(std::string(65'536, 'k'), parts), kInvalidArgument);
  EXPECT_EQ(Value(dict_, "k"), "v");
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, KeysOfAnyLengthAndAnyBytes) {
  std::vector<std::string> keys = {
      "", std::string("\0", 1), std::string("a\0b", 3), std::string("a\0c", 3), std::string(3, '\0'), "\xff\xfe"};
  for (const size_t length : {1u,  7u,   8u,   15u,  16u,  17u,  24u,  32u,  33u,  39u,  40u,  41u,  47u,    48u,
                              49u, 103u, 104u, 105u, 111u, 112u, 113u, 255u, 256u, 511u, 512u, 513u, 65534u, 65535u}) {
    keys.push_back(Bytes(length, 5));
    std::string other = keys.back();
    other.back() = static_cast<char>(other.back() + 1);  // differs in the last byte alone
    keys.push_back(other);
  }
  for (const size_t value_length : {0u, 3u, 300u}) {
    SCOPED_TRACE(value_length);
    ASSERT_OK(dict_.Clear());
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_OK(dict_.Insert(keys[i], Bytes(value_length, i))) << i << ": " << keys[i].size() << " bytes";
    }
    ASSERT_EQ(dict_.size(), keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      EXPECT_EQ(Value(dict_, keys[i]), Bytes(value_length, i)) << i << ": " << keys[i].size() << " bytes";
    }
    EXPECT_TRUE(IsSound(dict_));
    std::set<std::string> seen;
    EXPECT_OK(dict_.ForEach([&](const Entry& entry) { return seen.emplace(entry.key).second; }));
    EXPECT_EQ(seen, std::set<std::string>(keys.begin(), keys.end()));
    for (size_t i = 0; i < keys.size(); i += 2) EXPECT_OK(dict_.Erase(keys[i]));
    for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(Value(dict_, keys[i]).has_value(), i % 2 == 1) << i;
  }
}

TEST_P(Shapes, AKeyThatIsTooLongIsRefusedByEveryWrite) {
  const std::string key(65'536, 'k');
  EXPECT_CODE(dict_.Set(key, "v"), kInvalidArgument);
  EXPECT_CODE(dict_.SetParts(key, std::vector<std::string_view>{"v"}), kInvalidArgument);
  EXPECT_CODE(dict_.Insert(key, "v"), kInvalidArgument);
  EXPECT_CODE(dict_.Replace(key, "v"), kInvalidArgument);
  EXPECT_CODE(dict_.Erase(key), kInvalidArgument);
  EXPECT_CODE(dict_.Take(key), kInvalidArgument);
  EXPECT_CODE(dict_.FetchAdd(key, 1, 0), kInvalidArgument);
  EXPECT_CODE(dict_.Touch(key, absl::Seconds(1)), kInvalidArgument);
  EXPECT_CODE(dict_.Get(key), kNotFound);
  EXPECT_FALSE(Must(dict_.Contains(key)));
  EXPECT_EQ(dict_.size(), 0u);
}

TEST_P(Shapes, AValueOfTheWholeArenaAndOneByteMore) {
  const Stats stats = Must(dict_.GetStats());
  const uint64_t arena = stats.pages * stats.page_bytes;
  EXPECT_GE(arena, uint64_t{1} << 20);
  for (size_t round = 0; round < 3; ++round) {
    // Something of every class first, so that the pages must change class.
    for (size_t i = 0; i < 100; ++i) ASSERT_OK(dict_.Set(Key(i), Bytes(200 + 97 * static_cast<size_t>(i), i)));
    ASSERT_OK(dict_.Clear());
    ASSERT_OK(dict_.Set("k", Bytes(arena, round)));
    EXPECT_EQ(Value(dict_, "k"), Bytes(arena, round));
    EXPECT_CODE(dict_.Set("other", Bytes(200, 1)), kResourceExhausted);
    EXPECT_CODE(dict_.Set("k", Bytes(arena + 1, 1)), kInvalidArgument);
    EXPECT_CODE(dict_.Insert("n", Bytes(2 * arena, 1)), kInvalidArgument);
    EXPECT_EQ(Value(dict_, "k"), Bytes(arena, round)) << "a refusal changes nothing";
    EXPECT_EQ(dict_.size(), 1u);
    EXPECT_TRUE(IsSound(dict_));
    ASSERT_OK(dict_.Set("k", ""));
  }
}

TEST_P(Shapes, SetMany) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
  size_t done = 99;
  EXPECT_OK(dict_.SetMany(pairs, {.type = Type::kString}, &done));
  EXPECT_EQ(done, 3u);
  EXPECT_EQ(Value(dict_, "a"), "3") << "in order";
  EXPECT_EQ(Look(dict_, "b")->type, Type::kString);

  const std::string too_long(65'536, 'k');
  pairs = {{"c", "4"}, {too_long, "5"}, {"d", "6"}};
  EXPECT_CODE(dict_.SetMany(pairs, {}, &done), kInvalidArgument);
  EXPECT_EQ(done, 1u);
  EXPECT_CODE(dict_.SetMany(pairs), kInvalidArgument);
  EXPECT_EQ(Value(dict_, "c"), "4");
  EXPECT_EQ(Value(dict_, "d"), std::nullopt) << "stops at the first error";

  EXPECT_OK(dict_.SetMany({}, {}, &done));
  EXPECT_EQ(done, 0u);
}

TEST_P(Shapes, InsertRefusesWhatIsThere) {
  EXPECT_OK(dict_.Insert("k", "1"));
  EXPECT_CODE(dict_.Insert("k", "2"), kAlreadyExists);
  EXPECT_CODE(dict_.Insert("k", Bytes(1000, 2)), kAlreadyExists);
  EXPECT_EQ(Value(dict_, "k"), "1");
  ASSERT_OK(dict_.Erase("k"));
  EXPECT_OK(dict_.Insert("k", "3"));
  EXPECT_EQ(Value(dict_, "k"), "3");
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, ReplaceNeedsWhatIsThere) {
  EXPECT_CODE(dict_.Replace("k", "1"), kNotFound);
  EXPECT_CODE(dict_.Replace("k", Bytes(1000, 1)), kNotFound);
  EXPECT_EQ(dict_.size(), 0u);
  ASSERT_OK(dict_.Set("k", "1"));
  EXPECT_OK(dict_.Replace("k", Bytes(1000, 2), {.type = Type::kPickle}));
  EXPECT_EQ(Value(dict_, "k"), Bytes(1000, 2));
  EXPECT_EQ(Look(dict_, "k")->type, Type::kPickle);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, EraseAndEraseMany) {
  EXPECT_CODE(dict_.Erase("k"), kNotFound);
  ASSERT_OK(dict_.Set("k", "v"));
  EXPECT_OK(dict_.Erase("k"));
  EXPECT_CODE(dict_.Erase("k"), kNotFound);
  EXPECT_EQ(dict_.size(), 0u);
  for (const char* key : {"a", "b", "c"}) ASSERT_OK(dict_.Set(key, Bytes(100, 1)));
  const std::vector<std::string_view> keys = {"a", "x", "c", "a"};
  EXPECT_EQ(Must(dict_.EraseMany(keys)), 2u);
  EXPECT_EQ(Must(dict_.EraseMany({})), 0u);
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_EQ(Value(dict_, "b"), Bytes(100, 1));
  const std::string too_long(65'536, 'k');
  EXPECT_CODE(dict_.EraseMany(std::vector<std::string_view>{"b", too_long}), kInvalidArgument);
  EXPECT_EQ(Value(dict_, "b"), Bytes(100, 1)) << "nothing was changed";
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, TakeErasesAndGives) {
  EXPECT_CODE(dict_.Take("k"), kNotFound);
  for (const size_t size : {0u, 10u, 1000u, 50'000u}) {
    ASSERT_OK(dict_.Set("k", Bytes(size, size)));
    EXPECT_EQ(Must(dict_.Take("k")), Bytes(size, size));
    EXPECT_EQ(Value(dict_, "k"), std::nullopt);
  }
  EXPECT_EQ(dict_.size(), 0u);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, CompareAndSet) {
  EXPECT_CODE(dict_.CompareAndSet("k", Version{}, "v"), kNotFound);
  ASSERT_OK(dict_.Set("k", "1"));
  const Version first = Look(dict_, "k")->version;
  EXPECT_EQ(Look(dict_, "k")->version, first) << "reading changes no version";

  const Version second = Must(dict_.CompareAndSet("k", first, Bytes(500, 2), {.type = Type::kJson}));
  EXPECT_NE(second, first);
  EXPECT_EQ(Look(dict_, "k")->version, second) << "the version that is returned is the entry's";
  EXPECT_EQ(Look(dict_, "k")->type, Type::kJson);
  EXPECT_EQ(Value(dict_, "k"), Bytes(500, 2));

  EXPECT_CODE(dict_.CompareAndSet("k", first, "3"), kAborted) << "stale";
  EXPECT_EQ(Value(dict_, "k"), Bytes(500, 2));
  const Version third = Must(dict_.CompareAndSet("k", second, "3"));
  ASSERT_OK(dict_.Set("k", "3"));
  EXPECT_CODE(dict_.CompareAndSet("k", third, "4"), kAborted) << "the same value, set again";

  const Version fourth = Look(dict_, "k")->version;
  ASSERT_OK(dict_.Erase("k"));
  EXPECT_CODE(dict_.CompareAndSet("k", fourth, "5"), kNotFound) << "gone";
  ASSERT_OK(dict_.Set("k", "3"));
  EXPECT_CODE(dict_.CompareAndSet("k", fourth, "5"), kAborted) << "gone and back, in the same slot perhaps";

  ASSERT_OK(dict_.Set("other", "x"));
  EXPECT_CODE(dict_.CompareAndSet("k", Look(dict_, "other")->version, "6"), kAborted) << "another key's";
  EXPECT_EQ(Value(dict_, "k"), "3");
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, FetchAdd) {
  EXPECT_CODE(dict_.FetchAdd("k", 1), kNotFound);
  EXPECT_EQ(dict_.size(), 0u);
  EXPECT_EQ(Must(dict_.FetchAdd("k", 5, 100)), 100);
  EXPECT_EQ(Value(dict_, "k"), Int64Bytes(105));
  EXPECT_EQ(Look(dict_, "k")->type, Type::kInt64);
  EXPECT_EQ(Must(dict_.FetchAdd("k", -205, 1)), 105) << "there already: initial does not count";
  EXPECT_EQ(Must(dict_.FetchAdd("k", 0)), -100);

  ASSERT_OK(dict_.Set("max", Int64Bytes(kMaxInt64 - 1), {.type = Type::kInt64}));
  EXPECT_EQ(Must(dict_.FetchAdd("max", 1)), kMaxInt64 - 1);
  EXPECT_CODE(dict_.FetchAdd("max", 1), kOutOfRange);
  EXPECT_EQ(Value(dict_, "max"), Int64Bytes(kMaxInt64)) << "left alone";
  ASSERT_OK(dict_.Set("min", Int64Bytes(kMinInt64), {.type = Type::kInt64}));
  EXPECT_CODE(dict_.FetchAdd("min", -1), kOutOfRange);
  EXPECT_CODE(dict_.FetchAdd("min", kMinInt64), kOutOfRange);
  EXPECT_EQ(Value(dict_, "min"), Int64Bytes(kMinInt64));
  EXPECT_EQ(Must(dict_.FetchAdd("min", kMaxInt64)), kMinInt64);
  EXPECT_EQ(Value(dict_, "min"), Int64Bytes(-1));
  EXPECT_CODE(dict_.FetchAdd("new", 1, kMaxInt64), kOutOfRange);
  EXPECT_EQ(Value(dict_, "new"), std::nullopt);

  ASSERT_OK(dict_.Set("bytes", Int64Bytes(1)));
  EXPECT_CODE(dict_.FetchAdd("bytes", 1), kFailedPrecondition) << "of another type";
  EXPECT_CODE(dict_.FetchAdd("bytes", 1, 7), kFailedPrecondition);
  EXPECT_EQ(Value(dict_, "bytes"), Int64Bytes(1));
  ASSERT_OK(dict_.Set("short", "1234567", {.type = Type::kInt64}));
  EXPECT_CODE(dict_.FetchAdd("short", 1), kFailedPrecondition) << "of another length";
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, FetchAddOfAValueInABlock) {
  // In slots of 32 bytes a long key pushes the number into a block.
  const std::string key = Bytes(300, 1);
  EXPECT_EQ(Must(dict_.FetchAdd(key, 1, 10)), 10);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Must(dict_.FetchAdd(key, 1)), 11 + i);
  EXPECT_TRUE(IsSound(dict_));
}

// What Update's function does besides is done once, if nobody else writes: whether the new value fits in its place,
// needs a block, or expires.
TEST_P(Shapes, UpdateCallsOnce) {
  ASSERT_OK(dict_.Set("k", "1"));
  int calls = 0;
  const auto append = [&](size_t bytes) {
    return [&calls, bytes](const Entry* entry) {
      ++calls;
      return std::optional<std::string>(std::string(entry->value) + std::string(bytes, 'x'));
    };
  };
  EXPECT_OK(dict_.Update("k", append(1)));
  EXPECT_EQ(calls, 1);
  EXPECT_OK(dict_.Update("k", append(200)));
  EXPECT_EQ(calls, 2);
  ASSERT_OK(dict_.Set("k", "1"));
  EXPECT_OK(dict_.Update("k", append(1), WriteOptions{.ttl = absl::Hours(1)}));
  EXPECT_EQ(calls, 3);
}

TEST_P(Shapes, KeyInsideTheBuffer) {
  ASSERT_OK(dict_.Set("12345678", "v"));
  char buffer[64] = "12345678";
  ValueInfo info;
  EXPECT_OK(dict_.Get(std::string_view(buffer, 8), buffer, &info));
  EXPECT_EQ(std::string_view(buffer, info.length), "v");
}

TEST_P(Shapes, Update) {
  int calls = 0;
  EXPECT_OK(dict_.Update("k", [&](const Entry* entry) -> std::optional<std::string> {
    ++calls;
    EXPECT_EQ(entry, nullptr);
    return std::nullopt;
  }));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(Value(dict_, "k"), std::nullopt) << "nullopt leaves it absent";

  EXPECT_OK(dict_.Update("k", [](const Entry*) { return std::optional<std::string>("1"); }));
  EXPECT_EQ(Value(dict_, "k"), "1") << "inserted";
  EXPECT_EQ(Look(dict_, "k")->type, Type::kBytes);

  ASSERT_OK(dict_.Set("k", Bytes(600, 1), {.type = Type::kMsgpack}));
  EXPECT_OK(dict_.Update("k", [&](const Entry* entry) {
    EXPECT_NE(entry, nullptr);
    EXPECT_EQ(entry->key, "k");
    EXPECT_EQ(entry->value, Bytes(600, 1));
    EXPECT_EQ(entry->type, Type::kMsgpack);
    EXPECT_EQ(entry->version, Look(dict_, "k")->version);
    EXPECT_EQ(entry->order, Look(dict_, "k")->order);
    return std::optional<std::string>(std::string(entry->value) + "!");
  }));
  EXPECT_EQ(Value(dict_, "k"), Bytes(600, 1) + "!");
  EXPECT_EQ(Look(dict_, "k")->type, Type::kMsgpack) << "the type stays";

  const Version version = Look(dict_, "k")->version;
  EXPECT_OK(dict_.Update("k", [](const Entry*) { return std::optional<std::string>(); }));
  EXPECT_EQ(Look(dict_, "k")->version, version) << "nullopt leaves everything";

  EXPECT_OK(dict_.Update(
      "k", [](const Entry*) { return std::optional<std::string>("2"); }, WriteOptions{.type = Type::kJson}));
  EXPECT_EQ(Look(dict_, "k")->type, Type::kJson);
  EXPECT_EQ(Value(dict_, "k"), "2");
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, UpdateRunsAgainIfTheEntryChangedMeanwhile) {
  Dict other = Must(Dict::Open(owned_.name.location()));
  ASSERT_OK(dict_.Set("k", "a"));
  int calls = 0;
  EXPECT_OK(dict_.Update("k", [&](const Entry* entry) {
    if (++calls == 1) {
      EXPECT_OK(other.Set("k", Bytes(777, 3)));
    }
    return std::optional<std::string>(std::string(entry->value) + "+");
  }));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Value(dict_, "k"), Bytes(777, 3) + "+");

  calls = 0;
  EXPECT_OK(dict_.Update("k", [&](const Entry* entry) {
    if (++calls == 1) {
      EXPECT_OK(other.Erase("k"));
    }
    return std::optional<std::string>(entry == nullptr ? "anew" : Bytes(5000, 1));
  }));
  EXPECT_EQ(Value(dict_, "k"), "anew");

  calls = 0;
  EXPECT_OK(dict_.Update("new", [&](const Entry* entry) {
    if (++calls == 1) {
      EXPECT_OK(other.Set("new", "theirs"));
    }
    return std::optional<std::string>(entry == nullptr ? "mine" : std::string(entry->value) + " and mine");
  }));
  EXPECT_EQ(Value(dict_, "new"), "theirs and mine");
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, WritesInUpdatesFunctionAreRefused) {
  ASSERT_OK(dict_.Set("k", "v"));
  EXPECT_OK(dict_.Update("k", [&](const Entry*) {
    EXPECT_CODE(dict_.Set("x", "y"), kFailedPrecondition);
    EXPECT_CODE(dict_.Set("k", "y"), kFailedPrecondition);
    EXPECT_CODE(dict_.Erase("k"), kFailedPrecondition);
    EXPECT_CODE(dict_.Clear(), kFailedPrecondition);
    EXPECT_CODE(dict_.Sweep(), kFailedPrecondition);
    EXPECT_CODE(dict_.Lock(), kFailedPrecondition);
    EXPECT_CODE(dict_.Update("x", [](const Entry*) { return std::optional<std::string>("1"); }), kFailedPrecondition);
    EXPECT_EQ(Value(dict_, "k"), "v") << "reads are possible";
    return std::optional<std::string>("w");
  }));
  EXPECT_EQ(Value(dict_, "k"), "w");
  EXPECT_EQ(dict_.size(), 1u);
  EXPECT_OK(dict_.Set("x", "y")) << "afterwards all is as before";
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, ForEachVisitsEachOnce) {
  std::map<std::string, std::string> expected;
  for (size_t i = 0; i < 900; ++i) {
    expected[Key(i)] = Bytes(i % 300, i);
    ASSERT_OK(dict_.Set(Key(i), expected[Key(i)], {.type = Type::kString}));
  }
  std::map<std::string, std::string> seen;
  EXPECT_OK(dict_.ForEach([&](const Entry& entry) {
    EXPECT_TRUE(seen.emplace(entry.key, entry.value).second) << entry.key << " came twice";
    EXPECT_EQ(entry.type, Type::kString);
    EXPECT_EQ(entry.ttl, absl::InfiniteDuration());
    EXPECT_EQ(entry.order != 0, GetParam().ordered);
    return true;
  }));
  EXPECT_EQ(seen, expected);

  int visits = 0;
  EXPECT_OK(dict_.ForEach([&](const Entry&) { return ++visits < 17; }));
  EXPECT_EQ(visits, 17) << "stops when told";
}

TEST_P(Shapes, ForEachMayUseTheDict) {
  for (size_t i = 0; i < 500; ++i) ASSERT_OK(dict_.Set(Key(i), "v"));
  std::set<std::string> seen;
  EXPECT_OK(dict_.ForEach([&](const Entry& entry) {
    EXPECT_TRUE(seen.emplace(entry.key).second);
    EXPECT_OK(dict_.Erase(entry.key));
    EXPECT_EQ(Must(dict_.Contains("key:0")), seen.count("key:0") == 0);
    return true;
  }));
  EXPECT_EQ(seen.size(), 500u) << "each was there until it was visited";
  EXPECT_EQ(dict_.size(), 0u);
  EXPECT_OK(dict_.ForEach([&](const Entry&) {
    ADD_FAILURE();
    return true;
  }));
  // Overwrites and additions meanwhile: those that were there come once all the same.
  for (size_t i = 0; i < 400; ++i) ASSERT_OK(dict_.Set(Key(i), "v"));
  seen.clear();
  int added = 0;
  EXPECT_OK(dict_.ForEach([&](const Entry& entry) {
    EXPECT_TRUE(seen.emplace(entry.key).second);
    EXPECT_OK(dict_.Set(entry.key, Bytes(300, 1)));
    if (added < 200) {
      EXPECT_OK(dict_.Set("new:" + std::to_string(added++), "n"));
    }
    return true;
  }));
  for (size_t i = 0; i < 400; ++i) EXPECT_EQ(seen.count(Key(i)), 1u);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, ClearSizeAndCapacity) {
  EXPECT_EQ(dict_.capacity(), 1000u);
  EXPECT_EQ(dict_.size(), 0u);
  for (size_t round = 0; round < 3; ++round) {
    for (size_t i = 0; i < 1000; ++i) ASSERT_OK(dict_.Set(Key(i), Bytes(i % 100, i)));
    EXPECT_EQ(dict_.size(), 1000u);
    EXPECT_OK(dict_.Clear());
    EXPECT_EQ(dict_.size(), 0u);
    EXPECT_EQ(Value(dict_, Key(7)), std::nullopt);
    EXPECT_TRUE(IsSound(dict_));
    EXPECT_EQ(Must(dict_.Verify()).blocks, 0u);
  }
}

TEST_P(Shapes, StatsAddUp) {
  constexpr uint64_t kEntries = 700;
  for (uint64_t i = 0; i < kEntries; ++i)
    ASSERT_OK(dict_.Set(Key(i), Bytes(i % 7 == 0 ? 40'000 / (i + 1) : i % 900, i)));
  const Stats stats = Must(dict_.GetStats());
  EXPECT_EQ(stats.capacity, 1000u);
  EXPECT_GE(stats.slots, 1334u) << "max_load is 0.75";
  EXPECT_EQ(stats.entries_live, kEntries);
  EXPECT_EQ(stats.entries_expired, 0u);
  EXPECT_DOUBLE_EQ(stats.load, static_cast<double>(kEntries) / static_cast<double>(stats.slots));
  EXPECT_GE(stats.groups_per_hit, 1.0);
  EXPECT_LT(stats.groups_per_hit, 1.2);
  EXPECT_GE(stats.groups_per_miss, 1.0);
  EXPECT_LT(stats.groups_per_miss, 1.5);
  EXPECT_EQ(stats.writers, 1u);
  EXPECT_EQ(stats.max_writers, 16u);
  EXPECT_EQ(stats.page_bytes, 16'384u);
  EXPECT_EQ(stats.recoveries, 0u);
  EXPECT_EQ(stats.segment_bytes, dict_.segment_bytes());
  EXPECT_GE(stats.segment_bytes, stats.slots * GetParam().slot_size + stats.pages * stats.page_bytes);
  uint64_t pages = 0, used = 0, last = ~uint64_t{0};
  for (const Stats::ArenaClass& c : stats.arena) {
    EXPECT_LT(c.block_bytes, last) << "the largest first";
    last = c.block_bytes;
    EXPECT_EQ(c.blocks_used + c.blocks_free, c.pages * (stats.page_bytes / c.block_bytes)) << c.block_bytes;
    pages += c.pages;
    used += c.blocks_used;
  }
  EXPECT_EQ(pages + stats.pages_free, stats.pages);
  EXPECT_EQ(used, Must(dict_.Verify()).blocks);
}

TEST_P(Shapes, TouchKeepsValueTypeAndPlace) {
  EXPECT_CODE(dict_.Touch("k", absl::Seconds(1)), kNotFound);
  // At these sizes the expiry word moves the value, or the key too, from the slot into a block and back.
  for (const size_t size : {0u,  1u,  7u,   8u,   9u,   15u,  31u,  32u,  39u,   40u,     41u,
                            47u, 48u, 103u, 104u, 111u, 112u, 255u, 256u, 5000u, 16'384u, 50'000u}) {
    for (const size_t key_length : {1u, 8u, 9u, 16u, 24u, 33u, 40u, 41u, 100u, 400u}) {
      SCOPED_TRACE("value " + std::to_string(size) + ", key " + std::to_string(key_length));
      const std::string key = Bytes(key_length, 3);
      ASSERT_OK(dict_.Set(key, Bytes(size, 1), {.type = Type::kJson}));
      const Copy before = *Look(dict_, key);
      ASSERT_OK(dict_.Touch(key, absl::Hours(1)));
      Copy now = *Look(dict_, key);
      EXPECT_EQ(now.value, before.value);
      EXPECT_EQ(now.type, Type::kJson);
      EXPECT_EQ(now.order, before.order);
      EXPECT_GT(now.ttl, absl::Minutes(50));
      EXPECT_LE(now.ttl, absl::Hours(1));
      ASSERT_OK(dict_.Touch(key, absl::Hours(2)));
      EXPECT_EQ(Look(dict_, key)->value, before.value);
      EXPECT_GT(Look(dict_, key)->ttl, absl::Minutes(110));
      ASSERT_OK(dict_.Touch(key, absl::InfiniteDuration()));
      now = *Look(dict_, key);
      EXPECT_EQ(now.value, before.value);
      EXPECT_EQ(now.ttl, absl::InfiniteDuration());
      ASSERT_OK(dict_.Touch(key, absl::Minutes(1)));
      ASSERT_TRUE(IsSound(dict_));
      ASSERT_EQ(Must(dict_.Take(key)), before.value);
    }
  }
  EXPECT_EQ(Must(dict_.Verify()).blocks, 0u);
}

// Every way of writing to an entry that is there, at sizes that lie in the slot and in a block.
TEST_P(Shapes, KeepTtl) {
  const WriteOptions keep{.type = Type::kString, .ttl = absl::Seconds(1), .keep_ttl = true};
  for (const size_t size : {0u, 9u, 40u, 200u, 5000u}) {
    SCOPED_TRACE(size);
    const std::string value = Bytes(size, 2);
    const auto expect = [&](absl::Duration least, absl::Duration most) {
      const Copy now = *Look(dict_, "k");
      EXPECT_EQ(now.value, value);
      EXPECT_EQ(now.type, Type::kString);
      EXPECT_GE(now.ttl, least);
      EXPECT_LE(now.ttl, most);
    };
    const std::string_view parts[] = {std::string_view(value).substr(0, size / 2),
                                      std::string_view(value).substr(size / 2)};
    const std::vector<std::function<absl::Status()>> writes = {
        [&] { return dict_.Set("k", value, keep); },
        [&] { return dict_.SetParts("k", parts, keep); },
        [&] { return dict_.Replace("k", value, keep); },
        [&] { return dict_.CompareAndSet("k", Look(dict_, "k")->version, value, keep).status(); },
        [&] {
          return dict_.Update(
              "k", [&](const Entry*) { return std::optional(value); }, keep);
        },
    };
    for (const auto& write : writes) {
      ASSERT_OK(dict_.Set("k", "old", {.ttl = absl::Hours(1)}));
      ASSERT_OK(write());
      expect(absl::Minutes(59), absl::Hours(1));
      ASSERT_OK(dict_.Set("k", "old"));
      ASSERT_OK(write());
      expect(absl::InfiniteDuration(), absl::InfiniteDuration());
    }
    // One that is not there, or has expired, gets the time that is given.
    ASSERT_OK(dict_.Erase("k"));
    ASSERT_OK(dict_.Set("k", value, keep));
    expect(absl::ZeroDuration(), absl::Seconds(1));
    ASSERT_OK(dict_.Set("k", "old", {.ttl = absl::ZeroDuration()}));
    ASSERT_OK(dict_.SetParts("k", parts, keep));
    expect(absl::ZeroDuration(), absl::Seconds(1));
  }
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, MoveToEnd) {
  ASSERT_OK(dict_.Set("a", "1"));
  if (!GetParam().ordered) {
    EXPECT_CODE(dict_.MoveToEnd("a"), kFailedPrecondition);
    return;
  }
  const std::string long_value = Bytes(5000, 1);
  ASSERT_OK(dict_.Set("b", long_value, {.type = Type::kJson, .ttl = absl::Hours(1)}));
  ASSERT_OK(dict_.Set("c", "3"));
  const auto keys = [&] {
    std::string all;
    EXPECT_OK(dict_.ForEachOrdered(Direction::kForward, [&](const Entry& entry) {
      all += entry.key;
      return true;
    }));
    return all;
  };
  EXPECT_EQ(keys(), "abc");
  ASSERT_OK(dict_.MoveToEnd("a"));
  EXPECT_EQ(keys(), "bca");
  ASSERT_OK(dict_.MoveToEnd("b"));
  EXPECT_EQ(keys(), "cab");
  const Copy b = *Look(dict_, "b");
  EXPECT_EQ(b.value, long_value);
  EXPECT_EQ(b.type, Type::kJson);
  EXPECT_GT(b.ttl, absl::Minutes(59));
  EXPECT_CODE(dict_.MoveToEnd("nothing"), kNotFound);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, TouchDoesNotCopyABlock) {
  // The value fills the arena: a copy would find no room.
  const Stats stats = Must(dict_.GetStats());
  const std::string value = Bytes(stats.pages * stats.page_bytes, 1);
  ASSERT_OK(dict_.Set("", value, {.ttl = absl::Hours(1)}));
  EXPECT_OK(dict_.Touch("", absl::Hours(5)));
  EXPECT_GT(Look(dict_, "")->ttl, absl::Hours(4));
  EXPECT_OK(dict_.Touch("", absl::InfiniteDuration()));
  EXPECT_EQ(Value(dict_, ""), value);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Shapes, ForEachOrdered) {
  const auto order = [&](Direction direction) {
    std::vector<std::string> keys;
    EXPECT_OK(dict_.ForEachOrdered(direction, [&](const Entry& entry) {
      keys.emplace_back(entry.key);
      return true;
    }));
    return keys;
  };
  if (!GetParam().ordered) {
    EXPECT_CODE(dict_.ForEachOrdered(Direction::kForward, [](const Entry&) { return true; }), kFailedPrecondition);
    return;
  }
  std::vector<std::string> expected;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < 800; ++i) expected.push_back(Key(i));
  std::shuffle(expected.begin(), expected.end(), random);
  for (const std::string& key : expected) ASSERT_OK(dict_.Set(key, "v"));
  EXPECT_EQ(order(Direction::kForward), expected);
  for (size_t i = 0; i < 800; i += 3) ASSERT_OK(dict_.Set(Key(i), Bytes(i % 200, i)));
  ASSERT_OK(dict_.Touch(Key(0), absl::Hours(1)));
  ASSERT_OK(dict_.Update(Key(1), [](const Entry*) { return std::optional<std::string>("u"); }));
  EXPECT_EQ(order(Direction::kForward), expected) << "an overwrite keeps the place";
  for (size_t i = 0; i < 800; i += 5) {
    ASSERT_OK(dict_.Erase(Key(i)));
    ASSERT_OK(dict_.Insert(Key(i), "again"));
    expected.erase(std::find(expected.begin(), expected.end(), Key(i)));
    expected.push_back(Key(i));
  }
  EXPECT_EQ(order(Direction::kForward), expected) << "erased and inserted goes last";
  std::reverse(expected.begin(), expected.end());
  EXPECT_EQ(order(Direction::kBackward), expected);

  int visits = 0;
  uint64_t last = ~uint64_t{0};
  EXPECT_OK(dict_.ForEachOrdered(Direction::kBackward, [&](const Entry& entry) {
    EXPECT_LT(entry.order, last);
    last = entry.order;
    return ++visits < 5;
  }));
  EXPECT_EQ(visits, 5);
  // What is erased before its turn does not come; what is overwritten comes with its new value.
  std::reverse(expected.begin(), expected.end());
  visits = 0;
  EXPECT_OK(dict_.ForEachOrdered(Direction::kForward, [&](const Entry& entry) {
    EXPECT_EQ(entry.key, expected[static_cast<size_t>(visits)]);
    EXPECT_EQ(entry.value == "new", visits == 1);
    if (visits++ == 0) {
      EXPECT_OK(dict_.Set(expected[1], "new"));
      EXPECT_OK(dict_.Erase(expected[2]));
      expected.erase(expected.begin() + 2);
    }
    return true;
  }));
  EXPECT_EQ(visits, 799);
}

// ---- Opening, closing, options ----------------------------------------------------------------------------

TEST(Dict, ImpossibleOptionsAreRefused) {
  const auto code = [](auto&& change) {
    Options options = SmallOptions();
    change(options);
    test::ScopedName name;
    return Dict::Create(name.location(), options).status().code();
  };
  using Code = absl::StatusCode;
  EXPECT_EQ(code([](Options&) {}), Code::kOk);
  EXPECT_EQ(code([](Options& o) { o.capacity = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.capacity = ~uint64_t{0}; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.capacity = (uint64_t{1} << 32) + 1, o.max_load = 1.0; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.value_bytes = ~uint64_t{0}; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.slot_size = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.slot_size = 48; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.slot_size = 256; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.slot_size = 32, o.ordered = true; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_load = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_load = -1; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_load = 1.01; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_load = std::numeric_limits<double>::quiet_NaN(); }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_load = 1e-300; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_writers = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_writers = 32'769; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Options& o) { o.max_writers = 32'768; }), Code::kOk);
  EXPECT_EQ(code([](Options& o) { o.read_only = true; }), Code::kInvalidArgument);
}

TEST(Dict, CloseEndsTheHandleAndItsCopies) {
  OwnedDict owned(SmallOptions());
  Dict dict = *owned;
  Dict other = Must(Dict::Open(owned.name.location()));
  ASSERT_OK(dict.Set("k", "1"));
  owned->Close();
  for (Dict& closed : {std::ref(*owned), std::ref(dict)}) {
    std::string value;
    ValueInfo info;
    const std::vector<std::string_view> keys = {"k"};
    EXPECT_CODE(closed.Get("k"), kFailedPrecondition);
    EXPECT_CODE(closed.Get("k", &value), kFailedPrecondition);
    EXPECT_CODE(closed.Get("k", std::span<char>(), &info), kFailedPrecondition);
    EXPECT_CODE(closed.Visit("k", [](const Entry&) {}), kFailedPrecondition);
    EXPECT_CODE(closed.GetMany(keys), kFailedPrecondition);
    EXPECT_CODE(closed.GetMany(keys, [](size_t, const Entry*) {}), kFailedPrecondition);
    EXPECT_CODE(closed.Contains("k"), kFailedPrecondition);
    EXPECT_CODE(closed.ForEach([](const Entry&) { return true; }), kFailedPrecondition);
    EXPECT_CODE(closed.ForEachOrdered(Direction::kForward, [](const Entry&) { return true; }), kFailedPrecondition);
    EXPECT_CODE(closed.Set("k", "2"), kFailedPrecondition);
    EXPECT_CODE(closed.SetParts("k", keys), kFailedPrecondition);
    EXPECT_CODE(closed.SetParts("k", std::vector<std::string_view>(200, "k")), kFailedPrecondition);
    EXPECT_CODE(closed.Insert("n", "2"), kFailedPrecondition);
    EXPECT_CODE(closed.Replace("k", "2"), kFailedPrecondition);
    EXPECT_CODE(closed.Erase("k"), kFailedPrecondition);
    EXPECT_CODE(closed.EraseMany(keys), kFailedPrecondition);
    EXPECT_CODE(closed.Take("k"), kFailedPrecondition);
    EXPECT_CODE(closed.CompareAndSet("k", Version{}, "2"), kFailedPrecondition);
    EXPECT_CODE(closed.FetchAdd("k", 1), kFailedPrecondition);
    EXPECT_CODE(closed.Update("k", [](const Entry*) { return std::optional<std::string>(); }), kFailedPrecondition);
    EXPECT_CODE(closed.Touch("k", absl::Seconds(1)), kFailedPrecondition);
    EXPECT_CODE(closed.Clear(), kFailedPrecondition);
    EXPECT_CODE(closed.Sweep(), kFailedPrecondition);
    EXPECT_CODE(closed.Lock(), kFailedPrecondition);
    EXPECT_CODE(closed.GetStats(), kFailedPrecondition);
    EXPECT_CODE(closed.Verify(), kFailedPrecondition);
    EXPECT_CODE(closed.Recover(), kFailedPrecondition);
    closed.Close();
  }
  EXPECT_EQ(Value(other, "k"), "1") << "other handles go on";
  EXPECT_OK(other.Set("k", "2"));
}

TEST(Dict, HandlesAndCopiesSeeTheSame) {
  OwnedDict owned(SmallOptions());
  Dict other = Must(Dict::Open(owned.name.location()));
  Dict copy = other;
  Dict moved = std::move(copy);
  ASSERT_OK(owned->Set("k", "1"));
  EXPECT_EQ(Value(other, "k"), "1");
  ASSERT_OK(moved.Set("k", "2"));
  EXPECT_EQ(Value(*owned, "k"), "2");
  copy = *owned;
  ASSERT_OK(copy.Set("j", "3"));
  EXPECT_EQ(other.size(), 2u);
  EXPECT_EQ(Must(other.GetStats()).writers, 2u) << "a record for each handle, not for each copy";
}

TEST(Dict, ReadOnlyHandlesReadAndRefuseToWrite) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v"));
  Options read_only;
  read_only.read_only = true;
  Dict reader = Must(Dict::Open(owned.name.location(), read_only));
  EXPECT_EQ(Value(reader, "k"), "v");
  EXPECT_TRUE(Must(reader.Contains("k")));
  EXPECT_EQ(reader.size(), 1u);
  EXPECT_TRUE(IsSound(reader));
  EXPECT_OK(reader.GetStats());
  EXPECT_CODE(reader.Set("k", "w"), kFailedPrecondition);
  EXPECT_CODE(reader.SetParts("k", std::vector<std::string_view>(200, "w")), kFailedPrecondition);
  EXPECT_CODE(reader.Insert("n", "w"), kFailedPrecondition);
  EXPECT_CODE(reader.Erase("k"), kFailedPrecondition);
  EXPECT_CODE(reader.Take("k"), kFailedPrecondition);
  EXPECT_CODE(reader.FetchAdd("k", 1), kFailedPrecondition);
  EXPECT_CODE(reader.Update("k", [](const Entry*) { return std::optional<std::string>("x"); }), kFailedPrecondition);
  EXPECT_CODE(reader.Touch("k", absl::Seconds(1)), kFailedPrecondition);
  EXPECT_CODE(reader.Clear(), kFailedPrecondition);
  EXPECT_CODE(reader.Sweep(), kFailedPrecondition);
  EXPECT_CODE(reader.Lock(), kFailedPrecondition);
  EXPECT_CODE(reader.Recover(), kFailedPrecondition);
  ASSERT_OK(owned->Set("k", "w"));
  EXPECT_EQ(Value(reader, "k"), "w") << "sees what others write";
}

TEST(Dict, RequestsToTheKernelChangeNothing) {
  Options options = SmallOptions();
  options.huge_pages = options.prefault = options.exclude_from_core_dumps = true;
  OwnedDict owned(options);
  ASSERT_OK(owned->Set("k", "v"));
  options.read_only = true;
  Dict reader = Must(Dict::Open(owned.name.location(), options));
  EXPECT_EQ(Value(reader, "k"), "v");
  EXPECT_GE(Must(reader.GetStats()).huge_page_bytes, -1);
}

// As many as the message of the refusal of one more says. In a folder that is not there: no room is asked for.
TEST(Dict, TheLargestCapacityIsTheOneThatIsDocumented) {
  for (const double max_load : {1.0, 0.9, 0.75, 1.0 / 3, 0.1}) {
    Options options;
    options.max_load = max_load;
    const auto most = static_cast<uint64_t>(static_cast<double>((uint64_t{1} << 32) - 1500) * max_load);
    options.capacity = most;
    EXPECT_CODE(Dict::Create(Path("/dev/shm/segdict-none/d"), options), kNotFound) << max_load;
    options.capacity = most + 1;
    const absl::Status status = Dict::Create(Path("/dev/shm/segdict-none/d"), options).status();
    EXPECT_CODE(status, kInvalidArgument) << max_load;
    EXPECT_NE(status.message().find("so " + std::to_string(most) + " entries"), std::string_view::npos) << status;
  }
}

TEST(Dict, ValueBytesForTellsBlocks) {
  Options options;
  options.value_bytes = 1 << 20;  // pages of 16 KiB
  EXPECT_EQ(Dict::ValueBytesFor(options, 16, 32), 0u);
  EXPECT_EQ(Dict::ValueBytesFor(options, 0, 48), 0u);
  EXPECT_GT(Dict::ValueBytesFor(options, 0, 49), 0u);
  EXPECT_GT(Dict::ValueBytesFor(options, 16, 25, /*with_ttl=*/true), 0u);
  EXPECT_EQ(Dict::ValueBytesFor(options, 16, 24, /*with_ttl=*/true), 0u);
  EXPECT_EQ(Dict::ValueBytesFor(options, 16, 16'384), 16'384u);
  EXPECT_EQ(Dict::ValueBytesFor(options, 16, 16'385), 32'768u);
  options.slot_size = 128;
  EXPECT_EQ(Dict::ValueBytesFor(options, 16, 96), 0u);
  EXPECT_GT(Dict::ValueBytesFor(options, 16, 97), 0u);
  options.ordered = true;
  EXPECT_GT(Dict::ValueBytesFor(options, 16, 89), 0u);
  options.slot_size = 32;
  options.ordered = false;
  EXPECT_EQ(Dict::ValueBytesFor(options, 8, 8), 0u);
  EXPECT_GT(Dict::ValueBytesFor(options, 8, 9), 0u);
  constexpr uint64_t kMost = ~uint64_t{0}, kLong = uint64_t{1} << 62;
  EXPECT_EQ(Dict::ValueBytesFor(options, kLong, kLong), 2 * kLong);
  for (const uint64_t length : {kLong + 1, kMost - 16'384, kMost - 8, kMost}) {
    EXPECT_EQ(Dict::ValueBytesFor(options, 8, length), kMost) << length;
    EXPECT_EQ(Dict::ValueBytesFor(options, length, 8), kMost) << length;
  }
  // Never less than the bytes, at most a third more than them beyond the granule.
  for (uint64_t size = 113; size < 100'000; size += 37) {
    const uint64_t counted = Dict::ValueBytesFor(options, 8, size);
    ASSERT_GE(counted, size);
    if (size <= 16'384 / 8) {
      ASSERT_LE(counted, size * 4 / 3 + 128) << size;
    }
  }
}

// ---- Expiry -----------------------------------------------------------------------------------------------

class Expiry : public ::testing::TestWithParam<uint32_t> {
 protected:
  Options TheOptions() {
    Options options = SmallOptions();
    options.slot_size = GetParam();
    options.clock = &clock_;
    return options;
  }
  ManualClock clock_;
  OwnedDict owned_{TheOptions()};
  Dict& dict_ = *owned_;
};

INSTANTIATE_TEST_SUITE_P(SlotSizes, Expiry, ::testing::Values(32, 64, 128));

TEST_P(Expiry, AMissAtExactlyTheDeadline) {
  const std::vector<size_t> sizes = {0, 4, 100, 40'000};
  for (const size_t size : sizes) ASSERT_OK(dict_.Set(Key(size), Bytes(size, 1), {.ttl = absl::Seconds(10)}));
  ASSERT_OK(dict_.Set("forever", "f"));
  const std::vector<std::string_view> keys = {"forever", "key:0", "key:4", "key:100", "key:40000"};
  const auto count = [&] {
    size_t n = 0;
    EXPECT_OK(dict_.ForEach([&](const Entry&) {
      ++n;
      return true;
    }));
    return n;
  };
  clock_.Advance(absl::Seconds(10) - absl::Nanoseconds(1));
  for (const size_t size : sizes) {
    EXPECT_EQ(Value(dict_, Key(size)), Bytes(size, 1));
    EXPECT_TRUE(Must(dict_.Contains(Key(size))));
    EXPECT_EQ(Look(dict_, Key(size))->ttl, absl::Nanoseconds(1));
    std::string buffer(size, ' ');
    for (const size_t room : {size, size / 2}) {
      ValueInfo info;
      const absl::Status status = dict_.Get(Key(size), std::span<char>(buffer.data(), room), &info);
      EXPECT_EQ(status.code(), room < size ? absl::StatusCode::kOutOfRange : absl::StatusCode::kOk);
      EXPECT_EQ(info.ttl, absl::Nanoseconds(1));
      EXPECT_EQ(info.length, size);
    }
  }
  EXPECT_EQ(count(), 5u);
  for (const auto& value : Must(dict_.GetMany(keys))) EXPECT_TRUE(value.has_value());

  clock_.Advance(absl::Nanoseconds(1));
  for (const size_t size : sizes) {
    EXPECT_EQ(Value(dict_, Key(size)), std::nullopt);
    std::string value;
    EXPECT_CODE(dict_.Get(Key(size), &value), kNotFound);
    std::string buffer(50'000, ' ');
    ValueInfo info;
    EXPECT_CODE(dict_.Get(Key(size), std::span<char>(buffer), &info), kNotFound);
    EXPECT_CODE(dict_.Get(Key(size), std::span<char>(), &info), kNotFound);
    EXPECT_FALSE(Must(dict_.Contains(Key(size))));
    EXPECT_FALSE(Look(dict_, Key(size)).has_value());
  }
  EXPECT_EQ(count(), 1u);
  const auto values = Must(dict_.GetMany(keys));
  EXPECT_TRUE(values[0].has_value());
  for (size_t i = 1; i < 5; ++i) EXPECT_FALSE(values[i].has_value());
  EXPECT_EQ(dict_.size(), 5u) << "not reclaimed yet";
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, AnExpiredEntryIsNotThere) {
  const std::string number = Int64Bytes(7);
  const WriteOptions options{.type = Type::kInt64, .ttl = absl::Seconds(10)};
  const auto expired = [&](std::string_view key) {
    EXPECT_OK(dict_.Set(key, number, options));
    const Version version = Look(dict_, key)->version;
    clock_.Advance(absl::Seconds(10));
    return version;
  };
  expired("a");
  EXPECT_CODE(dict_.Replace("a", "x"), kNotFound);
  expired("b");
  EXPECT_CODE(dict_.FetchAdd("b", 1), kNotFound);
  EXPECT_EQ(Must(dict_.FetchAdd("b", 1, 100)), 100) << "counts anew";
  EXPECT_EQ(Look(dict_, "b")->ttl, absl::InfiniteDuration()) << "the old entry's time is gone with it";
  expired("c");
  EXPECT_CODE(dict_.Touch("c", absl::Hours(1)), kNotFound);
  EXPECT_EQ(Value(dict_, "c"), std::nullopt);
  const Version version = expired("d");
  EXPECT_CODE(dict_.CompareAndSet("d", version, "x"), kNotFound);
  expired("e");
  EXPECT_CODE(dict_.Take("e"), kNotFound);
  expired("f");
  EXPECT_CODE(dict_.Erase("f"), kNotFound);
  expired("g");
  EXPECT_OK(dict_.Insert("g", "new", {.type = Type::kString}));
  EXPECT_EQ(Value(dict_, "g"), "new");
  EXPECT_EQ(Look(dict_, "g")->ttl, absl::InfiniteDuration());
  EXPECT_CODE(dict_.Insert("g", "again"), kAlreadyExists);
  expired("h");
  EXPECT_OK(dict_.Update("h", [](const Entry* entry) {
    EXPECT_EQ(entry, nullptr);
    return std::optional<std::string>("made");
  }));
  EXPECT_EQ(Look(dict_, "h")->type, Type::kBytes);
  EXPECT_EQ(Look(dict_, "h")->ttl, absl::InfiniteDuration());
  expired("i");
  const std::vector<std::string_view> keys = {"i", "g"};
  EXPECT_EQ(Must(dict_.EraseMany(keys)), 1u);
  expired("j");
  EXPECT_OK(dict_.Set("j", "set"));
  EXPECT_EQ(Value(dict_, "j"), "set");
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, TimeToLiveOfEachWrite) {
  ASSERT_OK(dict_.Set("k", "v", {.ttl = absl::Seconds(10)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(10));
  clock_.Advance(absl::Seconds(4));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(6)) << "what remains";
  EXPECT_OK(dict_.ForEach([](const Entry& entry) {
    EXPECT_EQ(entry.ttl, absl::Seconds(6));
    return true;
  }));
  ASSERT_OK(dict_.Update("k", [](const Entry* entry) {
    EXPECT_EQ(entry->ttl, absl::Seconds(6));
    return std::optional<std::string>(Bytes(500, 1));
  }));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(6)) << "Update keeps it";
  ASSERT_OK(dict_.Update(
      "k", [](const Entry*) { return std::optional<std::string>("w"); }, WriteOptions{.ttl = absl::Seconds(3)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(3)) << "unless told otherwise";
  ASSERT_OK(dict_.Set("k", "v"));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::InfiniteDuration()) << "Set without one ends it";
  ASSERT_OK(dict_.Touch("k", absl::Seconds(8)));
  ASSERT_OK(dict_.Replace("k", "r", {.ttl = absl::Seconds(5)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(5));
  ASSERT_OK(dict_.CompareAndSet("k", Look(dict_, "k")->version, "c", {.ttl = absl::Seconds(2)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(2));
  const std::string body = Bytes(300, 1);
  ASSERT_OK(dict_.SetParts("k", std::vector<std::string_view>{"head", body}, {.ttl = absl::Seconds(7)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(7));
  ASSERT_OK(dict_.SetParts("k", std::vector<std::string_view>{"a", "b"}, {.ttl = absl::Seconds(6)}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::Seconds(6));
  ASSERT_OK(dict_.SetParts("k", std::vector<std::string_view>{"head", body}));
  EXPECT_EQ(Look(dict_, "k")->ttl, absl::InfiniteDuration());

  EXPECT_EQ(Must(dict_.FetchAdd("n", 1, 0, {.ttl = absl::Seconds(9)})), 0);
  EXPECT_EQ(Look(dict_, "n")->ttl, absl::Seconds(9));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Must(dict_.FetchAdd("n", 1, 0, {.ttl = absl::Seconds(100)})), 1);
  EXPECT_EQ(Look(dict_, "n")->ttl, absl::Seconds(8)) << "FetchAdd keeps it";
}

TEST_P(Expiry, ZeroAndNegativeTimesToLive) {
  for (const absl::Duration ttl :
       {absl::ZeroDuration(), absl::Seconds(-1), -absl::InfiniteDuration(), absl::Hours(-24 * 365 * 300)}) {
    ASSERT_OK(dict_.Set("k", "v"));
    ASSERT_OK(dict_.Set("k", "w", {.ttl = ttl}));
    EXPECT_EQ(Value(dict_, "k"), std::nullopt) << ttl;
    ASSERT_OK(dict_.Set("k", "v"));
    ASSERT_OK(dict_.Touch("k", ttl));
    EXPECT_EQ(Value(dict_, "k"), std::nullopt) << ttl;
  }
}

TEST_P(Expiry, AtTheOriginOfTheClock) {
  clock_.Set(0);
  ASSERT_OK(dict_.Set("k", "v", {.ttl = absl::Nanoseconds(1)}));
  EXPECT_EQ(Value(dict_, "k"), "v");
  ASSERT_OK(dict_.Set("k", "v", {.ttl = absl::ZeroDuration()}));
  EXPECT_EQ(Value(dict_, "k"), std::nullopt) << "zero or less: expired at once";
  ASSERT_OK(dict_.Set("k", "v", {.ttl = absl::Seconds(-1)}));
  EXPECT_EQ(Value(dict_, "k"), std::nullopt);
}

TEST_P(Expiry, HugeTimesToLiveSaturate) {
  clock_.Set(kMaxInt64 / 2);
  for (const absl::Duration ttl :
       {absl::Nanoseconds(kMaxInt64), absl::Hours(24ll * 365 * 1'000'000), absl::Nanoseconds(kMaxInt64 / 2 + 100)}) {
    ASSERT_OK(dict_.Set("k", "v", {.ttl = ttl}));
    EXPECT_EQ(Value(dict_, "k"), "v");
    EXPECT_GT(Look(dict_, "k")->ttl, absl::Hours(24 * 365 * 100));
    EXPECT_OK(dict_.Touch("k", ttl));
    EXPECT_EQ(Value(dict_, "k"), "v");
  }
  clock_.Set(kMaxInt64 - 1);
  EXPECT_EQ(Value(dict_, "k"), "v");
}

TEST_P(Expiry, SweepReclaims) {
  for (size_t i = 0; i < 600; ++i) {
    ASSERT_OK(dict_.Set(Key(i), Bytes(i % 300, i), {.ttl = i % 3 == 0 ? absl::InfiniteDuration() : absl::Seconds(i)}));
  }
  EXPECT_EQ(Must(dict_.Sweep()), 0u) << "nothing has expired";
  clock_.Advance(absl::Seconds(300));
  uint64_t expired = 0;
  for (size_t i = 0; i <= 300; ++i) expired += i % 3 != 0 ? 1 : 0;
  Stats stats = Must(dict_.GetStats());
  EXPECT_EQ(stats.entries_expired, expired);
  EXPECT_EQ(stats.entries_live, 600 - expired);
  EXPECT_EQ(dict_.size(), 600u) << "size counts what is not reclaimed";

  // In steps: each looks at the next slots.
  uint64_t swept = 0;
  for (uint64_t at = 0; at < stats.slots; at += 100) {
    const uint64_t now = Must(dict_.Sweep(100));
    EXPECT_LE(now, 100u);
    swept += now;
  }
  EXPECT_EQ(swept, expired);
  EXPECT_EQ(dict_.size(), 600 - expired);
  EXPECT_EQ(Must(dict_.Sweep(0)), 0u);
  clock_.Advance(absl::Seconds(300));
  EXPECT_EQ(Must(dict_.Sweep(0)), 0u) << "a budget of none does nothing";
  EXPECT_GT(Must(dict_.Sweep()), 0u);
  EXPECT_EQ(dict_.size(), 200u);
  for (size_t i = 0; i < 600; i += 3) EXPECT_EQ(Value(dict_, Key(i)), Bytes(i % 300, i));
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, OneSweepOfAllSlotsReclaimsAll) {
  // Full groups, so that many keys lie outside of their home, and are moved there when something is erased.
  for (int round = 0; round < 5; ++round) {
    Options options = TheOptions();
    options.max_load = 1.0;
    OwnedDict full(options);
    for (uint64_t i = 0; i < 1000; ++i) ASSERT_OK(full->Set(Key(i), "v", {.ttl = absl::Seconds(i % 2 == 0 ? 1 : 50)}));
    ASSERT_GT(Must(full->GetStats()).displaced, 50u);
    clock_.Advance(absl::Seconds(1));
    EXPECT_EQ(Must(full->Sweep()), 500u);
    EXPECT_EQ(full->size(), 500u);
    EXPECT_TRUE(IsSound(*full));
  }
}

TEST_P(Expiry, WhatExpiredMakesRoomForEntries) {
  const uint64_t slots = Must(dict_.GetStats()).slots;
  uint64_t filled = 0;
  while (filled < slots && dict_.Set(Key(filled), "v", {.ttl = absl::Seconds(5)}).ok()) ++filled;
  EXPECT_EQ(filled, slots);
  EXPECT_CODE(dict_.Insert("new", "v"), kResourceExhausted);
  clock_.Advance(absl::Seconds(5));
  for (uint64_t i = 0; i < slots; ++i) ASSERT_OK(dict_.Insert("new:" + std::to_string(i), "v")) << i;
  EXPECT_EQ(dict_.size(), slots);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, WhatExpiredMakesRoomForValues) {
  const std::string value = Bytes(1000, 1);
  uint64_t filled = 0;
  while (dict_.Set(Key(filled), value, {.ttl = absl::Seconds(5)}).ok()) ++filled;
  EXPECT_GT(filled, 900u);
  EXPECT_CODE(dict_.Set("new", value), kResourceExhausted);
  clock_.Advance(absl::Seconds(5));
  for (uint64_t i = 0; i < filled; ++i) ASSERT_OK(dict_.Set("new:" + std::to_string(i), value)) << i;
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, WhatExpiredIsReclaimedAfterItsSetterHasDied) {
  const std::string value = Bytes(1000, 1);
  uint64_t filled = 0;
  test::SharedWords words;
  test::Child setter([&] {
    while (dict_.Set(Key(words[0]), value, {.ttl = absl::Seconds(5)}).ok()) ++words[0];
    words[1] = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(test::Await([&] { return words[1] != 0; }));
  setter.Kill();
  filled = words[0];
  EXPECT_GT(filled, 900u);
  EXPECT_EQ(dict_.size(), filled);
  EXPECT_CODE(dict_.Set("new", value), kResourceExhausted);
  clock_.Advance(absl::Seconds(5));
  for (uint64_t i = 0; i < filled; ++i) ASSERT_OK(dict_.Set("new:" + std::to_string(i), value)) << i;
  EXPECT_EQ(dict_.size(), filled);
  EXPECT_TRUE(IsSound(dict_));
}

TEST_P(Expiry, OrderedIterationPassesTheExpiredBy) {
  if (GetParam() == 32) return;
  Options options = TheOptions();
  options.ordered = true;
  OwnedDict ordered(options);
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_OK(ordered->Set(Key(i), "v", {.ttl = i % 2 == 0 ? absl::Seconds(1) : absl::InfiniteDuration()}));
  }
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(ordered->Insert(Key(0), "again"));
  std::vector<std::string> keys, expected;
  for (size_t i = 1; i < 100; i += 2) expected.push_back(Key(i));
  expected.push_back(Key(0));
  EXPECT_OK(ordered->ForEachOrdered(Direction::kForward, [&](const Entry& entry) {
    keys.emplace_back(entry.key);
    return true;
  }));
  EXPECT_EQ(keys, expected) << "what was inserted over an expired entry is the last";
  EXPECT_TRUE(IsSound(*ordered));
}

TEST(ExpiryByTheSystemsClock, TimePasses) {
  OwnedDict owned(SmallOptions());
  ASSERT_OK(owned->Set("k", "v", {.ttl = absl::Milliseconds(20)}));
  ASSERT_OK(owned->Set("long", "v", {.ttl = absl::Hours(1000)}));
  EXPECT_TRUE(test::Await([&] { return !*owned->Contains("k"); }));
  EXPECT_TRUE(Must(owned->Contains("long")));
}

TEST(ExpiryByTheSystemsClock, AClockOfOnesOwnMustBeUsedByAll) {
  ManualClock clock;
  OwnedDict plain(SmallOptions());
  Options options = SmallOptions();
  options.clock = &clock;
  OwnedDict special(options);
  EXPECT_CODE(Dict::Open(plain.name.location(), options), kFailedPrecondition);
  EXPECT_CODE(Dict::Open(special.name.location()), kFailedPrecondition);
  EXPECT_OK(Dict::Open(special.name.location(), options));
}

// ---- TypedDict --------------------------------------------------------------------------------------------

struct Point {
  int32_t x, y;
  bool operator==(const Point&) const = default;
};

TEST(Typed, BehavesAsDict) {
  OwnedDict owned(SmallOptions());
  TypedDict<uint64_t, Point> points(*owned);
  EXPECT_CODE(points.Get(1), kNotFound);
  EXPECT_CODE(points.Replace(1, {1, 2}), kNotFound);
  EXPECT_CODE(points.Take(1), kNotFound);
  EXPECT_CODE(points.Erase(1), kNotFound);
  EXPECT_OK(points.Insert(1, {1, 2}));
  EXPECT_CODE(points.Insert(1, {3, 4}), kAlreadyExists);
  EXPECT_EQ(Must(points.Get(1)), (Point{1, 2}));
  EXPECT_OK(points.Replace(1, {3, 4}));
  EXPECT_OK(points.Set(2, {5, 6}));
  EXPECT_TRUE(Must(points.Contains(2)));
  EXPECT_FALSE(Must(points.Contains(3)));
  EXPECT_OK(points.Update(2, [](const Point* now) { return std::optional<Point>({now->x + 1, now->y}); }));
  EXPECT_EQ(Must(points.Get(2)), (Point{6, 6}));
  EXPECT_OK(points.Update(3, [](const Point* now) {
    EXPECT_EQ(now, nullptr);
    return std::optional<Point>();
  }));
  EXPECT_FALSE(Must(points.Contains(3)));
  ASSERT_OK(points.dict().Set("another kind of key", "v"));
  std::map<uint64_t, Point> seen;
  EXPECT_OK(points.ForEach([&](const uint64_t& key, const Point& point) { return seen.emplace(key, point).second; }));
  EXPECT_EQ(seen, (std::map<uint64_t, Point>{{1, {3, 4}}, {2, {6, 6}}}));
  EXPECT_EQ(Must(points.Take(1)), (Point{3, 4}));
  EXPECT_OK(points.Erase(2));
  EXPECT_EQ(points.dict().size(), 1u);
}

TEST(Typed, AValueOfAnotherSizeIsRefusedAndKept) {
  OwnedDict owned(SmallOptions());
  TypedDict<uint64_t, Point> points(*owned);
  for (const size_t size : {0u, 4u, 7u, 9u, 1000u}) {
    TypedDict<uint64_t, std::array<char, 9>> nines(*owned);
    const uint64_t key = size;
    const std::string_view bytes(reinterpret_cast<const char*>(&key), sizeof(key));
    ASSERT_OK(owned->Set(bytes, Bytes(size, 1)));
    EXPECT_CODE(points.Get(key), kFailedPrecondition) << size;
    EXPECT_CODE(points.Take(key), kFailedPrecondition) << size;
    const auto never = [](const Point*) {
      ADD_FAILURE() << "called, although there is no Point to be told of";
      return std::optional<Point>({1, 2});
    };
    EXPECT_CODE(points.Update(key, never), kFailedPrecondition) << size;
    EXPECT_EQ(Value(*owned, bytes), Bytes(size, 1)) << "what is refused changes nothing";
  }
}

// Only the size of the last look counts.
TEST(Typed, AnUpdateLooksAgainAtAValueThatGetsAnotherSize) {
  OwnedDict owned(SmallOptions());
  TypedDict<uint64_t, Point> points(*owned);
  const uint64_t key = 1;
  const std::string_view bytes(reinterpret_cast<const char*>(&key), sizeof(key));
  ASSERT_OK(points.Set(key, {1, 2}));
  int calls = 0;
  const auto shorten = [&](const Point* now) {
    ++calls;
    std::thread([&] { EXPECT_OK(owned->Set(bytes, "short")); }).join();
    return std::optional<Point>({now->x + 1, now->y});
  };
  EXPECT_CODE(points.Update(key, shorten), kFailedPrecondition);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(Value(*owned, bytes), "short");
}

// Trivially copyable, and no more than that: neither made from nothing nor assigned.
struct Celsius {
  explicit constexpr Celsius(int16_t t) : tenths(t) {}
  bool operator==(const Celsius&) const = default;
  const int16_t tenths;
};

TEST(Typed, TypesNeedNoDefaultConstructor) {
  OwnedDict owned(SmallOptions());
  TypedDict<Celsius, Celsius> dict(*owned);
  EXPECT_OK(dict.Set(Celsius(1), Celsius(215)));
  EXPECT_EQ(Must(dict.Get(Celsius(1))), Celsius(215));
  EXPECT_OK(dict.Update(Celsius(1), [](const Celsius* now) -> std::optional<Celsius> {
    return Celsius(static_cast<int16_t>(now->tenths + 1));
  }));
  int seen = 0;
  EXPECT_OK(dict.ForEach([&](const Celsius& key, const Celsius& value) {
    EXPECT_EQ(key, Celsius(1));
    EXPECT_EQ(value, Celsius(216));
    return ++seen > 0;
  }));
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(Must(dict.Take(Celsius(1))), Celsius(216));
}

// ---- G4: capacity is a promise ----------------------------------------------------------------------------

class Capacity : public ::testing::TestWithParam<std::pair<uint64_t, double>> {};

std::vector<std::pair<uint64_t, double>> Capacities() {
  std::vector<std::pair<uint64_t, double>> all;
  for (const uint64_t capacity : {1u, 2u, 14u, 15u, 16u, 100u, 1000u, 10'007u}) {
    for (const double load : {0.5, 0.75, 1.0}) all.emplace_back(capacity, load);
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, Capacity, ::testing::ValuesIn(Capacities()), [](const auto& info) {
  return std::to_string(info.param.first) + "At" + std::to_string(static_cast<int>(info.param.second * 100));
});

TEST_P(Capacity, FitsAndTheFullDictLosesNothing) {
  const auto [capacity, load] = GetParam();
  Options options;
  options.capacity = capacity;
  options.max_load = load;
  options.max_writers = 2;
  OwnedDict owned(options);
  Dict& dict = *owned;
  EXPECT_EQ(dict.capacity(), capacity);
  for (uint64_t i = 0; i < capacity; ++i) ASSERT_OK(dict.Insert(Key(i), Key(i * 3))) << "the promised entry " << i;
  uint64_t filled = capacity;
  absl::Status status;
  for (; (status = dict.Insert(Key(filled), Key(filled * 3))).ok(); ++filled) {
    ASSERT_LT(filled, 3 * capacity + 100) << "more than there can be slots";
  }
  EXPECT_CODE(status, kResourceExhausted);
  EXPECT_EQ(filled, Must(dict.GetStats()).slots) << "refused before it was full";
  EXPECT_CODE(dict.Set("another", "v"), kResourceExhausted);
  EXPECT_CODE(dict.FetchAdd("another", 1, 1), kResourceExhausted);
  EXPECT_EQ(dict.size(), filled);
  EXPECT_OK(dict.Set(Key(0), "changed")) << "an overwrite needs no room";
  EXPECT_CODE(dict.Insert(Key(0), "v"), kAlreadyExists);
  EXPECT_EQ(Value(dict, Key(0)), "changed");
  for (uint64_t i = 1; i < filled; ++i) ASSERT_EQ(Value(dict, Key(i)), Key(i * 3)) << i;
  EXPECT_EQ(Value(dict, "another"), std::nullopt);
  EXPECT_TRUE(IsSound(dict));
  // One out, one in.
  for (uint64_t i = 1; i < std::min<uint64_t>(filled, 50); ++i) {
    ASSERT_OK(dict.Erase(Key(i)));
    ASSERT_OK(dict.Insert("other:" + std::to_string(i), "v"));
    ASSERT_CODE(dict.Insert("another", "v"), kResourceExhausted);
  }
  EXPECT_TRUE(IsSound(dict));
}

class Payload : public ::testing::TestWithParam<uint64_t> {
 protected:
  Options TheOptions(uint64_t capacity) const {
    Options options;
    options.capacity = capacity;
    options.value_bytes = GetParam();
    options.max_writers = 4;
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Bytes, Payload,
                         ::testing::Values(64, 1000, 4096, 100'000, (1 << 20) - 1, 1 << 20, (4 << 20) + 12'345));

TEST_P(Payload, OfOneSizeFits) {
  const Options options = TheOptions(GetParam() / 64 + 10);
  OwnedDict owned(options);
  Dict& dict = *owned;
  for (const uint64_t size : {49ull,     64ull,     65ull,     100ull,    129ull,     200ull,      500ull,  1000ull,
                              1025ull,   1400ull,   2049ull,   3000ull,   4095ull,    4096ull,     4097ull, 10'000ull,
                              16'384ull, 40'000ull, 65'536ull, 65'537ull, 200'000ull, 1'000'000ull}) {
    SCOPED_TRACE(size);
    const uint64_t each = Dict::ValueBytesFor(options, 12, size);
    const uint64_t count = options.value_bytes / each;
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_OK(dict.Set(Key(10'000'000 + i), Bytes(size, i))) << i << " of " << count;
    }
    for (uint64_t i = 0; i < count; i += count / 50 + 1) {
      ASSERT_EQ(Value(dict, Key(10'000'000 + i)), Bytes(size, i));
    }
    ASSERT_OK(dict.Clear());
  }
  EXPECT_TRUE(IsSound(dict));
}

// A size from `low` to `high`, each order of magnitude as probable as the others.
uint64_t LogUniform(std::mt19937_64& random, double low, double high) {
  std::uniform_real_distribution<double> exponent(std::log(low), std::log(high));
  return static_cast<uint64_t>(std::exp(exponent(random)));
}

TEST_P(Payload, OfAnyMixFitsAlsoAfterManyRounds) {
  constexpr int kRounds = 20;
  const uint64_t promised = GetParam();
  const Options options = TheOptions(promised / 64 + 10);
  OwnedDict owned(options);
  Dict& dict = *owned;
  std::mt19937_64 random(promised);
  struct Held {
    uint64_t id, size, counted;
  };
  std::vector<Held> held;
  uint64_t used = 0, next = 0;
  const auto key_of = [](uint64_t id) { return Key(1'000'000'000 + id); };
  // Each round prefers other sizes than the last, so that pages must change class.
  const double highest = static_cast<double>(std::max<uint64_t>(promised / 3, 70));
  for (int round = 0; round < kRounds; ++round) {
    const double low = round % 4 == 0 ? 49.0 : std::min(highest - 1, 49.0 * std::pow(3.0, random() % 6));
    const double high = std::max(low + 1, round % 2 == 0 ? highest : std::min(highest, low * 4));
    for (int misses = 0; misses < 30;) {
      const uint64_t size = LogUniform(random, low, high);
      const uint64_t id = next;
      const uint64_t counted = Dict::ValueBytesFor(options, key_of(id).size(), size);
      if (used + counted > promised) {
        ++misses;
        continue;
      }
      if (!held.empty() && random() % 4 == 0) {
        // An overwrite needs the new value's bytes while the old one is still there.
        Held& old = held[random() % held.size()];
        ASSERT_OK(dict.Set(key_of(old.id), Bytes(size, old.id)))
            << "round " << round << ", " << used << " of " << promised << " bytes in use, overwrite by " << size;
        used = used - old.counted + counted;
        old.size = size;
        old.counted = counted;
        continue;
      }
      ++next;
      ASSERT_OK(dict.Insert(key_of(id), Bytes(size, id)))
          << "round " << round << ", " << used << " of " << promised << " bytes in use, insert of " << size;
      held.push_back({id, size, counted});
      used += counted;
    }
    ASSERT_EQ(dict.size(), held.size());
    for (const Held& h : held) ASSERT_EQ(Value(dict, key_of(h.id)), Bytes(h.size, h.id)) << "round " << round;
    ASSERT_TRUE(IsSound(dict));
    std::shuffle(held.begin(), held.end(), random);
    for (size_t n = held.size() / 2; n > 0; --n) {
      ASSERT_OK(dict.Erase(key_of(held.back().id)));
      used -= held.back().counted;
      held.pop_back();
    }
  }
}

TEST(Refusal, WhenTheArenaIsFullNothingIsLost) {
  Options options = SmallOptions();
  options.value_bytes = 200'000;
  OwnedDict owned(options);
  std::map<std::string, std::string> model;
  std::mt19937_64 random(7);
  int refused = 0;
  for (size_t i = 0; i < 5000; ++i) {
    const std::string key = Key(random() % 400);
    const std::string value = Bytes(random() % 3000, i);
    const std::string_view parts[] = {std::string_view(value).substr(0, 5),
                                      std::string_view(value).substr(std::min<size_t>(5, value.size()))};
    const absl::Status status = i % 2 == 0 ? owned->Set(key, value) : owned->SetParts(key, parts);
    if (status.ok()) {
      model[key] = value;
    } else {
      ASSERT_CODE(status, kResourceExhausted);
      ++refused;
      if (random() % 2 == 0 && model.contains(key)) {
        ASSERT_OK(owned->Erase(key));
        model.erase(key);
      }
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_EQ(owned->size(), model.size());
  for (const auto& [key, value] : model) ASSERT_EQ(Value(*owned, key), value);
  EXPECT_TRUE(IsSound(*owned));
}

// ---- G4: churn does not age a dict. Counted from the table as it stands, not timed. -----------------------

struct Cost {
  double hit = 0, miss = 0;
};

// The cost at 85 % load, averaged over `dicts` dicts (each has a hash seed of its own), fresh and after each entry was
// replaced by another `turnovers` times.
std::pair<Cost, Cost> CostsOfChurn(uint64_t capacity, int dicts, int turnovers) {
  Cost fresh, aged;
  std::mt19937_64 random(42);
  const auto add = [&](const Dict& dict, Cost* cost) {
    const Stats stats = Must(dict.GetStats());
    cost->hit += stats.groups_per_hit / dicts;
    cost->miss += stats.groups_per_miss / dicts;
  };
  for (int d = 0; d < dicts; ++d) {
    Options options;
    options.capacity = capacity;
    options.max_load = 0.85;
    options.max_writers = 2;
    OwnedDict owned(options);
    const auto entries = static_cast<uint64_t>(0.85 * static_cast<double>(Must(owned->GetStats()).slots));
    std::vector<uint64_t> held;
    uint64_t next = 0;
    for (; next < entries; ++next) {
      EXPECT_OK(owned->Insert(Key(next), "v"));
      held.push_back(next);
    }
    add(*owned, &fresh);
    for (uint64_t i = 0; i < entries * static_cast<uint64_t>(turnovers); ++i) {
      uint64_t& victim = held[random() % held.size()];
      EXPECT_OK(owned->Erase(Key(victim)));
      victim = next++;
      EXPECT_OK(owned->Insert(Key(victim), "v"));
    }
    add(*owned, &aged);
    EXPECT_EQ(owned->size(), entries);
    EXPECT_TRUE(IsSound(*owned));
  }
  return {fresh, aged};
}

TEST(Churn, FiveTurnoversOfALargerDict) {
  const auto [fresh, aged] = CostsOfChurn(30'000, 2, 5);
  EXPECT_LE(aged.hit, 1.1 * fresh.hit) << "fresh " << fresh.hit;
  EXPECT_LE(aged.miss, 1.1 * fresh.miss) << "fresh " << fresh.miss;
  EXPECT_GT(fresh.miss, 1.05) << "so full that an aged table would show";
}

TEST(Churn, AHundredTurnoversOfSmallDicts) {
  const auto [fresh, aged] = CostsOfChurn(100, 30, 100);
  EXPECT_LE(aged.hit, 1.1 * fresh.hit) << "fresh " << fresh.hit;
  EXPECT_LE(aged.miss, 1.1 * fresh.miss) << "fresh " << fresh.miss;
  EXPECT_GT(fresh.miss, 1.05);
}

TEST(Churn, AnEmptiedDictIsAsFresh) {
  Options options = SmallOptions();
  options.max_load = 1.0;
  OwnedDict owned(options);
  for (size_t round = 0; round < 20; ++round) {
    for (size_t i = 0; i < 1000; ++i) ASSERT_OK(owned->Insert(Key(i + 1000 * round), Bytes(i % 90, i)));
    for (size_t i = 0; i < 1000; ++i) ASSERT_OK(owned->Erase(Key(i + 1000 * round)));
    const Stats stats = Must(owned->GetStats());
    EXPECT_EQ(stats.groups_per_miss, 1.0) << "a trace of what was erased";
    EXPECT_EQ(stats.max_reach, 0u);
  }
}

// A clock that calls a function once, when it is read next: in the middle of an operation.
class InterruptingClock : public Clock {
 public:
  int64_t Now() const override {
    if (const auto interrupt = std::exchange(next, nullptr)) interrupt();
    return now;
  }
  mutable std::function<void()> next;
  int64_t now = 1000;
};

// A value of several pages is erased, and its pages are used again, while a call copies it: then there is none.
TEST(Update, OfAValueThatIsErasedWhileItIsCopied) {
  InterruptingClock clock;
  const Options options = {.capacity = 20, .value_bytes = 60'000, .clock = &clock};
  OwnedDict dict(options);
  Dict other = Must(Dict::Open(dict.name.location(), options));
  ASSERT_OK(dict->Set("long", std::string(40'000, 'x'), {.ttl = absl::Hours(1)}));
  clock.next = [&] {
    EXPECT_OK(other.Erase("long"));
    for (int i = 0; i < 12; ++i) EXPECT_OK(other.Set("k" + std::to_string(i), std::string(3900, '\xff')));
  };
  bool absent = false;
  EXPECT_OK(dict->Update("long", [&](const Entry* entry) {
    absent = entry == nullptr;
    return std::nullopt;
  }));
  EXPECT_TRUE(absent);
}

// Time runs out between the look at the entry and its lock: what needs a live entry finds none.
TEST(Touch, OfAnEntryThatExpiresBeforeItIsLocked) {
  InterruptingClock clock;
  OwnedDict dict({.capacity = 20, .clock = &clock});
  ASSERT_OK(dict->Set("k", "v", {.ttl = absl::Nanoseconds(100)}));
  int reads = 0;
  std::function<void()> later = [&] {
    // The first read of the clock is the call's own expiry's, the second the lookup's.
    if (++reads == 3) clock.now += 100;
    clock.next = later;
  };
  clock.next = later;
  EXPECT_CODE(dict->Touch("k", absl::Hours(1)), kNotFound);
  EXPECT_GE(reads, 3);
}

// An entry lives longer, and then the time of its old expiry passes, while a lookup asks for the time: it was there all
// the time. Whichever of the lookup's looks at the clock it is.
TEST(Get, OfAnEntryThatIsExtendedMeanwhile) {
  for (const size_t length : {size_t{5}, size_t{1000}}) {
    for (int at = 1; at <= 3; ++at) {
      InterruptingClock clock;
      const Options options = {.capacity = 20, .value_bytes = 60'000, .clock = &clock};
      OwnedDict dict(options);
      Dict other = Must(Dict::Open(dict.name.location(), options));
      ASSERT_OK(dict->Set("k", std::string(length, 'v'), {.ttl = absl::Nanoseconds(100)}));
      int reads = 0;
      std::function<void()> interrupt = [&] {
        if (++reads == at) {
          EXPECT_OK(other.Touch("k", absl::Hours(1)));
          clock.now += 100;
        }
        clock.next = interrupt;
      };
      clock.next = interrupt;
      EXPECT_OK(dict->Get("k")) << "value of " << length << " bytes, read " << at << " of the clock";
    }
  }
}

TEST(Get, OfAKeyThatLiesInTheResult) {
  OwnedDict dict(SmallOptions());
  ASSERT_OK(dict->Set("key", std::string(1000, 'v')));
  std::string key_and_value = "key";
  EXPECT_OK(dict->Get(key_and_value, &key_and_value));
  EXPECT_EQ(key_and_value, std::string(1000, 'v'));
}

TEST(Dict, IsMovedByAssignment) {
  OwnedDict first(SmallOptions()), second(SmallOptions());
  ASSERT_OK(first->Set("k", "first"));
  ASSERT_OK(second->Set("k", "second"));
  first.dict = std::move(second.dict);
  EXPECT_EQ(Must(first->Get("k")), "second");
}

TEST(Dict, TellsWhatItWasMadeFor) {
  const OwnedDict plain(SmallOptions());
  Options options = SmallOptions();
  options.ordered = true;
  options.value_bytes = 123'456;
  const OwnedDict ordered(options);
  EXPECT_FALSE(plain.dict.ordered());
  EXPECT_TRUE(ordered.dict.ordered());
  EXPECT_EQ(ordered.dict.value_bytes(), 123'456u);
}

// The call is the parent's: the child has no writer that it could finish it with.
TEST(Update, WhoseFunctionForks) {
  OwnedDict dict(SmallOptions());
  ASSERT_OK(dict->Set("k", "v"));
  pid_t child = -1;
  const absl::Status status = dict->Update("k", [&](const Entry*) -> std::optional<std::string> {
    child = fork();
    return "w";
  });
  if (child == 0) _exit(absl::IsFailedPrecondition(status) ? 7 : 1);
  EXPECT_OK(status);
  int ended = 0;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 7) << ended;
  EXPECT_EQ(Must(dict->Get("k")), "w");
}

}  // namespace
}  // namespace segdict
