#include "tests/machine/cases.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "src/layout/header.h"
#include "tests/machine/tracer.h"

namespace segdict::test {
namespace {

using Operation = std::function<void(Dict&)>;

// Values: in the slot, in a block, in a chain of pages.
std::string Inline(char c) { return std::string(20, c); }
std::string Block(char c) { return std::string(300, c); }
std::string LongBlock(char c) { return std::string(1000, c); }  // copied by rep movsb
std::string Chain(char c) { return std::string(kPageSize + 900, c); }

// A dict that is never destroyed: the operation is over when the process ends.
Dict& OpenForEver(const Location& location, const SegmentShape& shape, LockMode mode = LockMode::kPerSlot) {
  Options options = HandleOptions(shape);
  options.lock_mode = mode;
  return *new Dict(Must(Dict::Open(location, options)));
}

// Opens, claims a writer record by taking the global lock once, and does the operation: traced is that alone.
std::function<void(const Location&)> InDict(const SegmentShape& shape, Operation operation,
                                            LockMode mode = LockMode::kPerSlot) {
  return [=](const Location& location) {
    Dict& dict = OpenForEver(location, shape, mode);
    Require(dict.Lock().status());
    Victim::Ready();
    operation(dict);
  };
}

Case Make(const std::string& name, const SegmentShape& shape, Operation set_up, Operation operation) {
  return {.name = name, .shape = shape, .set_up = std::move(set_up), .run = InDict(shape, std::move(operation))};
}

// `count` keys of home group 0: from the 16th on they are displaced.
Operation Crowd(const SegmentShape& shape, int count, const std::string& value) {
  return [=](Dict& dict) {
    for (int i = 0; i < count; ++i) Require(dict.Set(KeyOfHome(shape, 0, i), value));
  };
}

Case Overwrite(const std::string& name, const std::string& from, const std::string& to,
               const SegmentShape& shape = {}) {
  const std::string key = KeyOfHome(shape, 0, 0);
  return Make("Overwrite" + name, shape, Crowd(shape, 1, from), [=](Dict& dict) { Require(dict.Set(key, to)); });
}

// One key more than a crowd.
Case Insert(const std::string& name, const std::string& value, int crowd, const SegmentShape& shape = {}) {
  const std::string key = KeyOfHome(shape, 0, crowd);
  return Make("Insert" + name, shape, Crowd(shape, crowd, Inline('c')),
              [=](Dict& dict) { Require(dict.Insert(key, value)); });
}

// Key number `which` of a crowd.
Case Erase(const std::string& name, const std::string& value, int crowd, int which, const SegmentShape& shape = {}) {
  const std::string key = KeyOfHome(shape, 0, which);
  return Make("Erase" + name, shape, Crowd(shape, crowd, value), [=](Dict& dict) { Require(dict.Erase(key)); });
}

const SegmentShape kUsual, kSmall{.groups = 1, .pages = 6}, kNarrow{.slot_size = 32}, kWide{.slot_size = 128},
    kOrdered{.ordered = true};

void AddOverwrites(std::vector<Case>* cases) {
  for (Case& c : std::vector<Case>{
           Overwrite("InlineByInline", Inline('a'), Inline('b')),
           Overwrite("InlineByBlock", Inline('a'), Block('b')),
           Overwrite("BlockByInline", Block('a'), Inline('b')),
           Overwrite("BlockByBlock", Block('a'), Block('b')),
           Overwrite("BlockByLongBlock", Block('a'), LongBlock('b')),
           Overwrite("BlockByChain", Block('a'), Chain('b')),
           Overwrite("ChainByChain", Chain('a'), Chain('b')),
           Overwrite("ChainByInline", Chain('a'), Inline('b')),
           Overwrite("Narrow", std::string(5, 'a'), Block('b'), kNarrow),
           Overwrite("NarrowInline", std::string(5, 'a'), std::string(4, 'b'), kNarrow),
           Overwrite("Wide", std::string(100, 'a'), std::string(90, 'b'), kWide),
           Overwrite("Ordered", Inline('a'), Block('b'), kOrdered),
           Overwrite("OrderedInline", Inline('a'), Inline('b'), kOrdered),
       }) {
    cases->push_back(std::move(c));
  }
  const std::string key = KeyOfHome(kUsual, 0, 0);
  const auto with_ttl = [key](const std::string& value) {
    return [=](Dict& dict) { Require(dict.Set(key, value, {.ttl = absl::Seconds(5)})); };
  };
  cases->push_back(Make("OverwriteKeepsTtl", kUsual, with_ttl(Inline('a')),
                        [=](Dict& dict) { Require(dict.Set(key, Inline('b'), {.keep_ttl = true})); }));
  cases->push_back(
      Make("Touch", kUsual, with_ttl(Block('a')), [=](Dict& dict) { Require(dict.Touch(key, absl::Seconds(9))); }));
  cases->push_back(Make("FirstTtl", kUsual, Crowd(kUsual, 1, Inline('a')), with_ttl(Inline('b'))));
  cases->push_back(Make("OverwriteExpired", kOrdered, with_ttl(Block('a')),
                        [=](Dict& dict) { Require(dict.Set(key, Block('b'))); }));
  cases->back().later = absl::Seconds(6);
  cases->push_back(Make("Replace", kUsual, Crowd(kUsual, 17, Block('a')),
                        [](Dict& dict) { Require(dict.Replace(KeyOfHome(kUsual, 0, 16), Inline('b'))); }));
  cases->push_back(Make("SetParts", kUsual, Crowd(kUsual, 1, Inline('a')), [=](Dict& dict) {
    const std::string body = Block('p');
    const std::string_view parts[] = {"head", body};
    Require(dict.SetParts(key, parts));
  }));
  cases->push_back(Make(
      "FetchAdd", kUsual, [=](Dict& dict) { Require(dict.FetchAdd(key, 1, 41).status()); },
      [=](Dict& dict) { Require(dict.FetchAdd(key, 1).status()); }));
  cases->push_back(Make(
      "FetchAddInserts", kUsual, [](Dict&) {}, [=](Dict& dict) { Require(dict.FetchAdd(key, 1, 41).status()); }));
  cases->push_back(Make("Update", kUsual, Crowd(kUsual, 1, Block('a')), [=](Dict& dict) {
    Require(dict.Update(
        key, [](const Entry* entry) { return std::optional<std::string>(std::string(entry->value) + "!"); }));
  }));
  cases->push_back(Make(
      "UpdateInserts", kUsual, [](Dict&) {},
      [=](Dict& dict) {
        Require(dict.Update(key, [](const Entry*) { return std::optional<std::string>(Inline('u')); }));
      }));
  const auto version_of = [=](Dict& dict) {
    Version version;
    Require(dict.Visit(key, [&](const Entry& entry) { version = entry.version; }));
    return version;
  };
  cases->push_back({.name = "CompareAndSet",
                    .shape = kUsual,
                    .set_up = Crowd(kUsual, 1, Block('a')),
                    .run = [=](const Location& location) {
                      Dict& dict = OpenForEver(location, kUsual);
                      Require(dict.Lock().status());
                      const Version version = version_of(dict);
                      Victim::Ready();
                      Require(dict.CompareAndSet(key, version, Block('b')).status());
                    }});
  cases->push_back({.name = "CompareAndErase",
                    .shape = kUsual,
                    .set_up = Crowd(kUsual, 1, Block('a')),
                    .run = [=](const Location& location) {
                      Dict& dict = OpenForEver(location, kUsual);
                      Require(dict.Lock().status());
                      const Version version = version_of(dict);
                      Victim::Ready();
                      Require(dict.CompareAndErase(key, version));
                    }});
}

void AddInsertsAndErases(std::vector<Case>* cases) {
  for (Case& c : std::vector<Case>{
           Insert("Inline", Inline('n'), 0),
           Insert("Block", Block('n'), 3),
           Insert("Chain", Chain('n'), 0),
           Insert("Displaced", Inline('n'), 15),
           Insert("DisplacedBlock", Block('n'), 16),
           Insert("OneGroup", Block('n'), 4, kSmall),
           Insert("Ordered", Inline('n'), 2, kOrdered),
           Erase("Inline", Inline('a'), 1, 0),
           Erase("Block", Block('a'), 1, 0, kSmall),
           Erase("Chain", Chain('a'), 1, 0),
           Erase("Ordered", Inline('a'), 17, 3, kOrdered),
           // A key at home goes; a displaced one is pulled home into its place.
           Erase("ThenPullHome", Inline('a'), 17, 3),
           Erase("ThenPullBlockHome", Block('a'), 17, 3),
           Erase("Displaced", Block('a'), 17, 16),
       }) {
    cases->push_back(std::move(c));
  }
  cases->push_back(Make("Take", kUsual, Crowd(kUsual, 2, Block('a')),
                        [](Dict& dict) { Require(dict.Take(KeyOfHome(kUsual, 0, 1)).status()); }));
  cases->push_back(Make(
      "InsertReclaimsExpired", kUsual,
      [](Dict& dict) {
        for (int i = 0; i < 15; ++i) {
          const auto ttl = i == 4 ? absl::Seconds(1) : absl::InfiniteDuration();
          Require(dict.Set(KeyOfHome(kUsual, 0, i), Block('a'), {.ttl = ttl}));
        }
      },
      [](Dict& dict) { Require(dict.Set(KeyOfHome(kUsual, 0, 20), Inline('n'))); }));
  cases->back().later = absl::Seconds(2);
  // Whole pages belong to one class and are nearly empty: another class gets one of them after its blocks were moved.
  const SegmentShape three_pages{.groups = 5, .pages = 3};
  cases->push_back(Make(
      "InsertEvacuatesAPage", three_pages,
      [=](Dict& dict) {
        const auto key = [&](uint64_t i) { return KeyOfHome(three_pages, i % 5, static_cast<int>(i / 5)); };
        for (uint64_t i = 0; i < 36; ++i) Require(dict.Set(key(i), Block('a')));
        for (uint64_t i = 0; i < 36; ++i) {
          if (i % 12 >= 2) Require(dict.Erase(key(i)));
        }
      },
      [=](Dict& dict) { Require(dict.Set(KeyOfHome(three_pages, 1, 9), std::string(2000, 'n'))); }));
}

// Operations that change several keys, one after the other.
void AddOfManyKeys(std::vector<Case>* cases) {
  cases->push_back(Make("SetMany", kUsual, Crowd(kUsual, 2, Inline('a')), [](Dict& dict) {
    const std::string keys[] = {KeyOfHome(kUsual, 0, 1), KeyOfHome(kUsual, 1, 0), KeyOfHome(kUsual, 0, 0)};
    const std::string block = Block('m');
    const std::pair<std::string_view, std::string_view> pairs[] = {{keys[0], "1"}, {keys[1], block}, {keys[2], "3"}};
    Require(dict.SetMany(pairs));
  }));
  cases->push_back(Make("EraseMany", kUsual, Crowd(kUsual, 17, Inline('a')), [](Dict& dict) {
    const std::string keys[] = {KeyOfHome(kUsual, 0, 1), KeyOfHome(kUsual, 0, 16)};
    const std::string_view views[] = {keys[0], keys[1]};
    Require(dict.EraseMany(views).status());
  }));
  cases->push_back(Make("Clear", kUsual, Crowd(kUsual, 17, Inline('a')), [](Dict& dict) { Require(dict.Clear()); }));
  cases->push_back(Make(
      "Sweep", kSmall,
      [](Dict& dict) {
        for (int i = 0; i < 4; ++i) {
          const auto ttl = i == 2 ? absl::Hours(1) : absl::Seconds(1);
          Require(dict.Set(KeyOfHome(kSmall, 0, i), i == 0 ? Inline('a') : Block('a'), {.ttl = ttl}));
        }
      },
      [](Dict& dict) { Require(dict.Sweep().status()); }));
  cases->back().later = absl::Seconds(2);
  cases->push_back(Make("MoveToEnd", kOrdered, Crowd(kOrdered, 4, Block('a')),
                        [](Dict& dict) { Require(dict.MoveToEnd(KeyOfHome(kOrdered, 0, 1))); }));
  cases->push_back(Make("LockedSection", kSmall, Crowd(kSmall, 1, Inline('a')), [](Dict& dict) {
    const absl::StatusOr<Dict::LockGuard> guard = dict.Lock();
    Require(guard.status());
    Require(dict.Set(KeyOfHome(kSmall, 0, 0), Inline('b')));
    Require(dict.Set(KeyOfHome(kSmall, 0, 1), Block('b')));
  }));
  cases->push_back({.name = "SetInLockMode",
                    .shape = kUsual,
                    .set_up = Crowd(kUsual, 1, Block('a')),
                    .run = InDict(
                        kUsual, [](Dict& dict) { Require(dict.Set(KeyOfHome(kUsual, 0, 0), Inline('b'))); },
                        LockMode::kGlobalMutex)});
}

// Writers that come and go.
void AddWriters(std::vector<Case>* cases) {
  cases->push_back({.name = "HandleComesAndGoes",
                    .shape = kUsual,
                    .set_up = Crowd(kUsual, 1, Inline('a')),
                    .run = [](const Location& location) {
                      Victim::Ready();
                      Dict dict = Must(Dict::Open(location, HandleOptions(kUsual)));
                      Require(dict.Set(KeyOfHome(kUsual, 0, 0), Inline('b')));
                    }});
  cases->push_back({.name = "ThreadComesAndGoes",
                    .shape = kUsual,
                    .set_up = Crowd(kUsual, 1, Inline('a')),
                    .run = [](const Location& location) {
                      Dict& dict = OpenForEver(location, kUsual);
                      Require(dict.Lock().status());
                      std::thread([&] {
                        Victim::Ready();
                        Require(dict.Set(KeyOfHome(kUsual, 0, 0), Inline('b')));
                      }).join();
                    }});
  // The first to open it after the machine was rebooted sets its clock.
  const SegmentShape own_clock{.groups = 1, .pages = 6, .own_clock = true};
  cases->push_back(
      {.name = "FirstOpenAfterAReboot",
       .shape = own_clock,
       .set_up =
           [=](Dict& dict) { Require(dict.Set(KeyOfHome(own_clock, 0, 0), Inline('a'), {.ttl = absl::Hours(1000)})); },
       .run =
           [=](const Location& location) {
             Victim::Ready();
             OpenForEver(location, own_clock);
           },
       .edit =
           [](std::string* bytes) {
             const uint64_t another_boot = 2;
             std::memcpy(bytes->data() + offsetof(internal::Header, boot_id), &another_boot, 8);
           }});
}

}  // namespace

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "an operation failed: %s\n", status.ToString().c_str());
  std::fflush(nullptr);
  _exit(1);
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  AddOverwrites(&cases);
  AddInsertsAndErases(&cases);
  AddOfManyKeys(&cases);
  AddWriters(&cases);
  return cases;
}

}  // namespace segdict::test
