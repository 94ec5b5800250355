// Verify finds what no other test brings about: damage that is well-formed word by word.
#include <gtest/gtest.h>

#include <string>

#include "tests/table_fixture.h"

namespace segdict::internal {
namespace {

class VerifyTest : public testing::Test {
 protected:
  VerifyTest() {
    FIXTURE_CHECK(fixture_.Set(*writer_, key_, "value").ok());
    for (uint64_t s = 0; s < 15; ++s) {
      if (fixture_.regions().slot(s).words[0].load() != 0) slot_ = s;
    }
    FIXTURE_CHECK(slot_ < 15 && fixture_.Verify().ok());
  }

  // What is the matter with the table: the one finding that has `text`.
  void ExpectFinding(const std::string& text) {
    const VerifyReport report = fixture_.Verify();
    bool found = false;
    std::string all;
    for (const std::string& error : report.errors) {
      found = found || error.find(text) != std::string::npos;
      all += error + "\n";
    }
    EXPECT_TRUE(found) << all;
  }

  TableFixture fixture_{TableShape{.groups = 1}};
  std::unique_ptr<Writer> writer_ = fixture_.Claim();
  const std::string key_ = fixture_.KeyOfHome(0, 0);
  uint64_t slot_ = 15;
};

TEST_F(VerifyTest, AKeyInTwoSlots) {
  const uint64_t other = slot_ == 0 ? 1 : 0;
  Slot& from = fixture_.regions().slot(slot_);
  Slot& to = fixture_.regions().slot(other);
  for (uint32_t i = 0; i < fixture_.regions().geometry().slot_words; ++i) to.words[i].store(from.words[i].load());
  const auto& context = fixture_.table().context();
  context.SetTag(other, context.LoadTag(slot_));
  ExpectFinding("its key is also in slot");
}

TEST_F(VerifyTest, ATagOfAnotherKey) {
  const auto& context = fixture_.table().context();
  const uint32_t tag = context.LoadTag(slot_);
  context.SetTag(slot_, tag == 255 ? 254 : tag + 1);
  EXPECT_TRUE(absl::IsNotFound(fixture_.Get(key_, &writer_->scratch)));
  EXPECT_FALSE(fixture_.Verify().ok());
}

}  // namespace
}  // namespace segdict::internal
