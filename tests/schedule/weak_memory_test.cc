// Litmus tests of the memory model: what C++ allows can be had, what it forbids cannot. Each program is given as its
// threads' accesses in one order of execution; all that its loads may give is collected.
#include "tests/schedule/weak_memory.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace segdict::internal {
namespace {

using Order = WeakMemory::StoreOrder;

// Two words, and the program's accesses; each load's choice comes from a list that all runs together exhaust.
class Litmus {
 public:
  void Store(int t, int word, uint64_t value, Order order = Order::kRelease, const WeakMemory::Clock* fence = nullptr) {
    const uint64_t before = words_[word];
    words_[word] = value;
    memory_.Stored(t, &words_[word], before, value, order, fence);
  }
  uint64_t Load(int t, int word, bool seq_cst = true, WeakMemory::Clock* learned = nullptr) {
    const int choices = memory_.Choices(t, &words_[word], seq_cst);
    if (at_ == chosen_.size()) chosen_.push_back({0, choices});
    chosen_[at_].second = choices;
    const int age = chosen_[at_++].first;
    return memory_.Loaded(t, &words_[word], words_[word], age, seq_cst,
                          learned == nullptr ? &memory_.clock(t) : learned);
  }
  WeakMemory& memory() { return memory_; }

  // What the program gives, over all choices of its loads.
  static std::set<std::string> AllOf(const std::function<std::string(Litmus&)>& program) {
    std::set<std::string> results;
    Litmus litmus;
    do {
      litmus.Begin();
      results.insert(program(litmus));
    } while (litmus.Next());
    return results;
  }

 private:
  void Begin() {
    words_[0] = words_[1] = 0;
    memory_.Reset();
    at_ = 0;
  }
  bool Next() {
    chosen_.resize(at_);
    while (!chosen_.empty() && chosen_.back().first + 1 == chosen_.back().second) chosen_.pop_back();
    if (chosen_.empty()) return false;
    ++chosen_.back().first;
    return true;
  }

  alignas(8) uint64_t words_[2] = {};
  WeakMemory memory_{words_, sizeof(words_)};
  std::vector<std::pair<int, int>> chosen_;
  size_t at_ = 0;
};

std::string Text(std::initializer_list<uint64_t> values) {
  std::string text;
  for (const uint64_t value : values) text += std::to_string(value);
  return text;
}
using Results = std::set<std::string>;
constexpr int kX = 0, kY = 1;

TEST(WeakMemory, ReleasedStoresMayStayUnseen) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    m.Store(0, kX, 2);
    return Text({m.Load(1, kX)});
  });
  EXPECT_EQ(results, (Results{"0", "1", "2"}));
}

TEST(WeakMemory, MessagePassing) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    m.Store(0, kY, 1);
    const uint64_t y = m.Load(1, kY), x = m.Load(1, kX);
    return Text({y, x});
  });
  EXPECT_EQ(results, (Results{"00", "01", "11"}));  // never y without x
}

TEST(WeakMemory, MessagePassingThroughAThird) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    const uint64_t seen = m.Load(1, kX);
    m.Store(1, kY, seen + 1);
    const uint64_t y = m.Load(2, kY), x = m.Load(2, kX);
    return Text({y, x});
  });
  EXPECT_FALSE(results.contains("20"));
  EXPECT_TRUE(results.contains("21") && results.contains("10") && results.contains("00") && results.contains("01"));
}

TEST(WeakMemory, Coherence) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    const uint64_t first = m.Load(1, kX, false), second = m.Load(1, kX, false);
    return Text({first, second});
  });
  EXPECT_EQ(results, (Results{"00", "01", "11"}));  // never back
}

TEST(WeakMemory, OwnStoresAreSeen) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    return Text({m.Load(0, kX)});
  });
  EXPECT_EQ(results, (Results{"1"}));
}

// Store buffering: each writes one word and reads the other.
TEST(WeakMemory, StoreBufferingByRelease) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    m.Store(1, kY, 1);
    const uint64_t y = m.Load(0, kY), x = m.Load(1, kX);
    return Text({y, x});
  });
  EXPECT_TRUE(results.contains("00"));
}
TEST(WeakMemory, NoStoreBufferingBySeqCst) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1, Order::kSeqCst);
    m.Store(1, kY, 1, Order::kSeqCst);
    const uint64_t y = m.Load(0, kY), x = m.Load(1, kX);
    return Text({y, x});
  });
  EXPECT_EQ(results, (Results{"11"}));  // in this order of execution
}

// Two readers of two independent writers.
TEST(WeakMemory, ReadersMayDisagreeByAcquire) {
  const auto program = [](bool seq_cst) {
    return Litmus::AllOf([seq_cst](Litmus& m) {
      m.Store(0, kX, 1);
      m.Store(1, kY, 1);
      const uint64_t x2 = m.Load(2, kX, seq_cst), y2 = m.Load(2, kY, seq_cst);
      const uint64_t y3 = m.Load(3, kY, seq_cst), x3 = m.Load(3, kX, seq_cst);
      return Text({x2, y2, y3, x3});
    });
  };
  EXPECT_TRUE(program(false).contains("1010"));
  EXPECT_FALSE(program(true).contains("1010"));  // a seq_cst load gave x: no later one gives an older value
}

TEST(WeakMemory, ReadModifyWritesReadTheNewestAndPassOn) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    m.Store(0, kY, 1);
    m.Store(1, kY, 2, Order::kReadModifyWrite);
    return Text({m.Load(1, kX)});
  });
  EXPECT_EQ(results, (Results{"1"}));
}

TEST(WeakMemory, RelaxedAdditionsPassOnWhatTheyReadFrom) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    m.Store(0, kY, 1);
    m.Store(1, kY, 2, Order::kRelaxedReadModifyWrite);
    const uint64_t y = m.Load(2, kY), x2 = m.Load(2, kX), x1 = m.Load(1, kX, false);
    return Text({y, x2, x1});
  });
  EXPECT_FALSE(results.contains("200") || results.contains("201"));  // the release sequence
  EXPECT_TRUE(results.contains("210"));                              // who added has acquired nothing
}

// A seqlock's fences: relaxed stores behind a release fence, relaxed loads before an acquire fence.
TEST(WeakMemory, Fences) {
  const auto results = Litmus::AllOf([](Litmus& m) {
    m.Store(0, kX, 1);
    const WeakMemory::Clock fence = m.memory().clock(0);
    m.Store(0, kY, 1, Order::kRelaxed, &fence);
    WeakMemory::Clock learned{};
    const uint64_t y = m.Load(1, kY, false, &learned);
    const uint64_t before = m.Load(1, kX, false);  // not behind the fence: learns by itself only
    WeakMemory::Join(m.memory().clock(1), learned);
    const uint64_t x = m.Load(1, kX, false);
    return Text({y, before, x});
  });
  EXPECT_FALSE(results.contains("100") || results.contains("110"));
  EXPECT_TRUE(results.contains("101") && results.contains("000"));
}

}  // namespace
}  // namespace segdict::internal
