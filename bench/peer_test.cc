// Every peer that is here, on every shape that it takes, does what bench/peer.h says and holds the same keys after each
// timed loop; and workers that die or hang are noticed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/dataset.h"
#include "bench/table.h"
#include "bench/workers.h"

namespace segdict::bench {

void PrintTo(const PeerInfo& peer, std::ostream* out) { *out << peer.name; }

namespace {

constexpr size_t kKeys = 300;

class PeerTest : public testing::TestWithParam<PeerInfo> {
 protected:
  void SetUp() override {
    if (const std::string reason = GetParam().absent(); !reason.empty()) GTEST_SKIP() << reason;
    data_ = std::make_unique<Dataset>(KeySize(), ValueSize(), kKeys);
    table_ =
        GetParam().make({.key_size = KeySize(), .value_size = ValueSize(), .keys = kKeys, .capacity = kKeys}, *data_);
  }

  size_t KeySize() const { return GetParam().key_size; }
  size_t ValueSize() const { return GetParam().value_size; }
  std::string_view Key(size_t i) const { return {data_->key(i), KeySize()}; }
  std::string_view Absent(size_t i) const { return Key(kKeys + i); }
  std::string_view Value(size_t i, unsigned version) const { return {data_->value(i, version), ValueSize()}; }

  // What the table has for the key; empty if nothing.
  std::string Got(std::string_view key) {
    std::string value(ValueSize(), '?');
    return table_->Get(key, value.data()) ? value : "";
  }
  void ExpectAll(unsigned version) {
    for (size_t i = 0; i < kKeys; ++i) {
      ASSERT_EQ(Got(Key(i)), Value(i, version)) << "key " << i;
      ASSERT_EQ(Got(Absent(i)), "") << "absent key " << i;
    }
  }

  std::unique_ptr<Dataset> data_;
  std::unique_ptr<Table> table_;
};
class BatchingPeerTest : public PeerTest {};
class MixingPeerTest : public PeerTest {};
class SharedPeerTest : public PeerTest {};

TEST_P(PeerTest, GetsWhatWasSet) { ExpectAll(0); }

TEST_P(PeerTest, Overwrites) {
  for (size_t i = 0; i < kKeys; ++i) ASSERT_TRUE(table_->Set(Key(i), Value(i, 1)));
  ExpectAll(1);
}

TEST_P(PeerTest, ErasesAndSetsAgain) {
  for (size_t i = 0; i < kKeys; i += 2) {
    ASSERT_TRUE(table_->Erase(Key(i)));
    ASSERT_FALSE(table_->Erase(Key(i)));
  }
  for (size_t i = 0; i < kKeys; ++i) ASSERT_EQ(Got(Key(i)), i % 2 == 0 ? "" : Value(i, 0)) << "key " << i;
  for (size_t i = 0; i < kKeys; i += 2) ASSERT_TRUE(table_->Set(Key(i), Value(i, 0)));
  ExpectAll(0);
}

TEST_P(BatchingPeerTest, GetsMany) {
  std::string values(kBatch * ValueSize(), '?');
  std::string_view keys[kBatch];
  for (size_t i = 0; i < kBatch; ++i) keys[i] = Key(7 * i);
  ASSERT_EQ(table_->GetMany(keys, values.data()), kBatch);
  for (size_t i = 0; i < kBatch; ++i) EXPECT_EQ(values.substr(i * ValueSize(), ValueSize()), Value(7 * i, 0));

  // Every third is absent.
  for (size_t i = 0; i < kBatch; i += 3) keys[i] = Absent(i);
  size_t found = table_->GetMany(keys, values.data());
  EXPECT_EQ(found, kBatch - (kBatch + 2) / 3);
  for (size_t i = kBatch; i-- > 0;) {
    if (i % 3 == 0) continue;
    EXPECT_EQ(values.substr(--found * ValueSize(), ValueSize()), Value(7 * i, 0));
  }
}

TEST_P(MixingPeerTest, Modifies) {
  ASSERT_TRUE(table_->Modify(Key(1), Value(1, 1)));
  ASSERT_FALSE(table_->Modify(Absent(1), Value(1, 1)));
  EXPECT_EQ(Got(Key(1)), Value(1, 1));
  EXPECT_EQ(Got(Absent(1)), "");
}

TEST_P(PeerTest, TimedLoopsLeaveTheKeys) {
  const Script script = MakeScript(*data_, KeySize(), {.choice = Mix::Choice::kLatest, .insert = 50}, 1000);
  for (const Op op : {Op::kGet, Op::kGetDependent, Op::kMiss, Op::kGetMany, Op::kChurn, Op::kInsert, Op::kScript}) {
    if (!GetParam().offers(op) || (op == Op::kGetDependent && !data_->chained())) continue;
    // Room for what the script inserts is not asked for above.
    if (op == Op::kScript) table_ = GetParam().make({KeySize(), ValueSize(), kKeys, 2 * kKeys}, *data_);
    EXPECT_GT(table_->Run({op, 0, kKeys, /*from=*/250, /*count=*/700, &script}), 0);
    ExpectAll(0);
  }
  // The first time round, version 1; then 250 keys of the second time.
  EXPECT_GT(table_->Run({Op::kOverwrite, 0, kKeys, /*from=*/0, /*count=*/kKeys}), 0);
  ExpectAll(1);
  EXPECT_GT(table_->Run({Op::kOverwrite, 0, kKeys, /*from=*/kKeys, /*count=*/250}), 0);
  for (size_t i = 0; i < kKeys; ++i) EXPECT_EQ(Got(Key(i)), Value(i, i < 250 ? 0 : 1)) << "key " << i;
}

TEST_P(SharedPeerTest, ForkedProcessesShareIt) {
  const Worked worked = RunWorkers(
      WorkerKind::kProcesses, 1, [&](unsigned) { table_->AfterFork(); },
      [&](unsigned) {
        for (size_t i = 0; i < kKeys; ++i)
          if (!table_->Set(Key(i), Value(i, 1))) return 0;
        return 1;
      });
  ASSERT_EQ(worked.error, "");
  ASSERT_EQ(worked.results, std::vector<double>{1});
  ExpectAll(1);
}

// Those for which `wanted` says true; the hardware is none.
template <typename Wanted>
std::vector<PeerInfo> PeersWith(Wanted wanted) {
  std::vector<PeerInfo> peers;
  std::copy_if(Peers().begin(), Peers().end(), std::back_inserter(peers),
               [&](const PeerInfo& peer) { return peer.make != nullptr && wanted(peer); });
  return peers;
}

std::string TestName(const testing::TestParamInfo<PeerInfo>& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name + "_" + std::to_string(info.param.key_size) + "_" + std::to_string(info.param.value_size);
}

bool Any(const PeerInfo&) { return true; }
bool Batching(const PeerInfo& peer) { return peer.offers(Op::kGetMany); }
bool Mixing(const PeerInfo& peer) { return peer.offers(Op::kScript); }
bool Shared(const PeerInfo& peer) { return peer.shared; }
INSTANTIATE_TEST_SUITE_P(All, PeerTest, testing::ValuesIn(PeersWith(Any)), TestName);
INSTANTIATE_TEST_SUITE_P(All, BatchingPeerTest, testing::ValuesIn(PeersWith(Batching)), TestName);
INSTANTIATE_TEST_SUITE_P(All, MixingPeerTest, testing::ValuesIn(PeersWith(Mixing)), TestName);
INSTANTIATE_TEST_SUITE_P(All, SharedPeerTest, testing::ValuesIn(PeersWith(Shared)), TestName);

// ---- Workers -----------------------------------------------------------------------------------------------------

void Nothing(unsigned) {}

TEST(Workers, GiveTheirResults) {
  for (const WorkerKind kind : {WorkerKind::kThreads, WorkerKind::kProcesses}) {
    const Worked worked = RunWorkers(kind, 3, Nothing, [](unsigned w) { return w + 0.5; });
    EXPECT_EQ(worked.error, "");
    EXPECT_EQ(worked.results, (std::vector<double>{0.5, 1.5, 2.5}));
  }
}

TEST(Workers, ThatDieAreNoticed) {
  const auto die = [](unsigned w) {
    if (w == 1) _exit(3);
  };
  EXPECT_NE(RunWorkers(WorkerKind::kProcesses, 2, die, [](unsigned) { return 0; }).error, "");
}

TEST(Workers, ThatHangAreNoticed) {
  const auto hang = [](unsigned w) {
    if (w == 1) std::this_thread::sleep_for(std::chrono::minutes(10));
  };
  EXPECT_NE(RunWorkers(
                WorkerKind::kProcesses, 2, hang, [](unsigned) { return 0; }, std::chrono::milliseconds(200))
                .error,
            "");
}

}  // namespace
}  // namespace segdict::bench
