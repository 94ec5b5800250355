// Waiting for what another writer holds: for as long as there is hope, and no longer.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "tests/crash/actor.h"
#include "tests/crash/check.h"
#include "tests/testing.h"

namespace segdict::internal::crash {
namespace {

std::string Inline(char c) { return std::string(20, c); }

// The owner of record 1 is dead. Not `adoptable`: another is recovering it at this moment.
class FirstIsDead : public Liveness {
 public:
  struct NoToken : Token {};
  explicit FirstIsDead(bool adoptable) : adoptable_(adoptable) {}
  absl::StatusOr<bool> IsAlive(uint32_t record) override { return record != 1; }
  absl::StatusOr<std::unique_ptr<Token>> TryClaim(uint32_t) override { return std::make_unique<NoToken>(); }
  absl::StatusOr<bool> TryAdopt(uint32_t, absl::FunctionRef<void()> recover) override {
    if (adoptable_) recover();
    return adoptable_;
  }

 private:
  const bool adoptable_;
};

// The last slot of all is in the hands of a stopped writer: others wait for it as long as there is hope, or give up.
TEST(Waiting, ForTheLastSlotInOtherHands) {
  TableFixture fixture({.groups = 3});
  auto w = fixture.Claim();
  for (int i = 0; i < 44; ++i) FIXTURE_CHECK(fixture.Set(*w, fixture.KeyOfHome(0, i), Inline('a')).ok());
  // For every store of an insert until it holds the slot.
  bool waited = false;
  for (int i = 1; !waited && !HasFailure(); ++i) {
    Actor other(i, SIGSTOP, [&](AccessHook* hook) {
      auto own = fixture.Claim(1);
      HookedMemory::hook = hook;
      FIXTURE_CHECK(fixture.Set(*own, fixture.KeyOfHome(1, 0), Inline('b')).ok());
      return 0;
    });
    ASSERT_TRUE(WIFSTOPPED(other.Wait())) << "it ended, and nobody ever waited";
    test::CountedBlocking gives_up(2), waits;
    w->blocking = &gives_up;
    const absl::Status status = fixture.Set(*w, fixture.KeyOfHome(2, 0), Inline('c'));
    if (status.ok()) {
      EXPECT_TRUE(fixture.Erase(*w, fixture.KeyOfHome(2, 0)).ok());
    } else {
      waited = true;
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_EQ(gives_up.Sleeps(), 2);
      w->blocking = &waits;
      const absl::Status full = fixture.Set(*w, fixture.KeyOfHome(2, 0), Inline('c'));
      EXPECT_TRUE(absl::IsResourceExhausted(full)) << full << ": not for ever";
      EXPECT_GT(waits.Sleeps(), 10);
    }
    other.Kill();
    w->blocking = nullptr;
    const Where where = [i] { return "killed after store " + std::to_string(i); };
    RecoverDead(fixture, where);
    ExpectSound(fixture, where);
    EXPECT_EQ(fixture.table().Size(), 44u) << i;
  }
}

// Its owner is dead, and another recovers it at this moment.
TEST(Waiting, ForAnotherThatRecovers) {
  TableFixture fixture({}, std::make_unique<FirstIsDead>(/*adoptable=*/false));
  auto w = fixture.Claim(0), dead = fixture.Claim(1);
  ASSERT_EQ(dead->index, 1u);
  ASSERT_TRUE(fixture.table().LockGlobal(*dead).ok());
  test::CountedBlocking gives_up(3);
  w->blocking = &gives_up;
  EXPECT_TRUE(absl::IsCancelled(fixture.table().LockGlobal(*w)));
  EXPECT_EQ(gives_up.Sleeps(), 3);
  EXPECT_EQ(w->global_depth, 0u);
  fixture.table().UnlockGlobal(*dead);
  EXPECT_TRUE(fixture.table().LockGlobal(*w).ok());
  fixture.table().UnlockGlobal(*w);
}

// A lock that goes from one to the next, all alive, and is lost to them each time: the limit is one on the whole wait.
TEST(Waiting, NoLongerThanTheDeadlineForALockThatOthersTakeInTurn) {
  TableFixture fixture({.records = 4});
  auto w = fixture.Claim(0), first = fixture.Claim(1), second = fixture.Claim(2);
  class TakesTurns : public Blocking {
   public:
    TakesTurns(TableFixture& f, Writer* holder, Writer* other) : fixture_(f), holder_(holder), other_(other) {
      FIXTURE_CHECK(fixture_.table().LockGlobal(*holder_).ok());
    }
    bool Sleep(absl::FunctionRef<void()>) override {
      if (++sleeps == 100) return false;
      fixture_.table().UnlockGlobal(*holder_);
      std::swap(holder_, other_);
      return fixture_.table().LockGlobal(*holder_).ok();
    }
    int sleeps = 0;

   private:
    TableFixture& fixture_;
    Writer *holder_, *other_;
  } takes_turns(fixture, first.get(), second.get());
  w->blocking = &takes_turns;
  w->deadline = 1;  // long ago
  const absl::Status status = fixture.table().LockGlobal(*w);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(takes_turns.sleeps, 1);
}

// A page is in another's hands, and what runs in the wait for it forks: the child does nothing more in the call.
TEST(Waiting, ForMemoryWithAFork) {
  TableFixture fixture({.pages = 2});
  auto w = fixture.Claim(0), other = fixture.Claim(1);
  const int64_t expiry = fixture.clock().now + 1;
  int entries = 0;
  while (fixture.Set(*w, fixture.KeyOfHome(0, entries), std::string(1500, 'a'), expiry).ok()) ++entries;
  fixture.clock().now = expiry;  // a sweep would find them all
  Word& page = fixture.regions().page_word(0);
  Mem::Store(page, PageWord::Decode(Mem::Load(page)).Next(PageState::kRetiring, other->index));
  struct Forks : Blocking {
    bool Sleep(absl::FunctionRef<void()>) override {
      if (child >= 0) return false;
      child = fork();
      return true;
    }
    pid_t child = -1;
  } forks;
  w->blocking = &forks;
  const absl::Status status = fixture.Set(*w, fixture.KeyOfHome(1, 0), std::string(100, 'b'));
  if (forks.child == 0) _exit(absl::IsFailedPrecondition(status) ? 0 : 1);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  int ended = 0;
  ASSERT_EQ(waitpid(forks.child, &ended, 0), forks.child);
  EXPECT_EQ(ended, 0);
  EXPECT_GT(entries, 0);
  EXPECT_EQ(fixture.table().Size(), static_cast<uint64_t>(entries));
}

// A dead holder is recovered however late the call is, also if it has lost the lock to others before.
TEST(Waiting, ForTheDeadNever) {
  TableFixture fixture({}, std::make_unique<FirstIsDead>(/*adoptable=*/true));
  auto w = fixture.Claim(0), dead = fixture.Claim(1);
  ASSERT_TRUE(fixture.table().LockGlobal(*dead).ok());
  w->deadline = 1;
  Word& lock = fixture.regions().header().global_lock;
  const absl::Status status =
      fixture.table().recovery().AwaitChange(*w, lock, Mem::Load(lock), {LockName::Kind::kGlobal, 0}, /*again=*/true);
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace segdict::internal::crash
