#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "src/table/claim.h"
#include "tests/crash/case.h"

namespace segdict::internal::crash {
namespace {

constexpr int64_t kLater = 9'000'000, kSoon = 2'000'000, kAfterSoon = 3'000'000;  // the clock begins at 1'000'000

// ---- Values and keys --------------------------------------------------------------------------------------

// What fits into the slot beside a short key.
std::string Inline(const TableShape& shape, char c) {
  return std::string(shape.slot_size == 32 ? 5 : shape.slot_size == 64 ? 20 : 85, c);
}
std::string Block(char c) { return std::string(300, c); }
std::string Chain(char c) { return std::string(3 * 4096 - 100, c); }

// How the key under test is stored: in the slot; in the slot, so that the value begins a word; in a block.
enum class KeyForm { kShort, kWord, kLong };
constexpr const char* kKeyForms[] = {"", "WordKey", "LongKey"};

std::string KeyNumber(const TableFixture& f, KeyForm form, int n) {
  if (form == KeyForm::kLong) return f.KeyOfHome(0, n, 200);
  std::string key = f.KeyOfHome(0, n);
  if (form == KeyForm::kShort) return key;
  for (size_t padding = 8 - key.size();; ++padding) {
    key = f.KeyOfHome(0, n, padding);
    if (key.size() % 8 == 0) return key;
    padding += 7 - key.size() % 8;
  }
}

// What the key is before the operation.
enum class Before { kAbsent, kInline, kBlock, kChain, kInlineTtl, kBlockTtl, kExpiredInline, kExpiredBlock };
constexpr const char* kBefores[] = {"Absent",    "Inline",   "Block",         "Chain",
                                    "InlineTtl", "BlockTtl", "ExpiredInline", "ExpiredBlock"};
constexpr bool IsExpired(Before b) { return b == Before::kExpiredInline || b == Before::kExpiredBlock; }
constexpr bool IsLive(Before b) { return b != Before::kAbsent && !IsExpired(b); }

void Put(TableFixture& f, Writer& w, const TableShape& shape, const std::string& key, Before before) {
  std::string value;
  int64_t expiry = kNever;
  switch (before) {
    case Before::kAbsent:
      return;
    case Before::kInline:
    case Before::kInlineTtl:
    case Before::kExpiredInline:
      value = Inline(shape, 'a');
      break;
    case Before::kBlock:
    case Before::kBlockTtl:
    case Before::kExpiredBlock:
      value = Block('a');
      break;
    case Before::kChain:
      value = Chain('a');
      break;
  }
  if (before == Before::kInlineTtl || before == Before::kBlockTtl) expiry = kLater;
  if (IsExpired(before)) expiry = kSoon;
  FIXTURE_CHECK(f.Set(w, key, value, expiry).ok());
  if (IsExpired(before)) f.clock().now = kAfterSoon;
}

// Inserts `count` keys of home 0: those that find no slot there are displaced.
void Crowd(TableFixture& f, Writer& w, int count, const std::string& value) {
  for (int i = 0; i < count; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), value).ok());
}

// Table::Mutate, compiled once for all decisions.
absl::Status Mutate(TableFixture& f, Writer& w, const std::string& key, bool wants_value, bool constant,
                    const std::function<Decision(const Current&)>& decide) {
  return f.table().Mutate(w, key, f.HashOf(key), wants_value, constant, decide);
}

// ---- Operations on one key --------------------------------------------------------------------------------

using KeyCall = std::function<absl::Status(TableFixture&, Writer&, const TableShape&, const std::string&)>;

struct KeyOperation {
  const char* name;
  bool (*applies)(Before);
  KeyCall run;
  bool ordered_only = false;
};

bool Always(Before) { return true; }
bool Present(Before b) { return b != Before::kAbsent; }
bool NotLive(Before b) { return !IsLive(b); }

// Mutate of a live entry: what its decision says of it.
template <class Decide>
KeyCall Changes(bool wants_value, Decide decide) {
  return [=](TableFixture& f, Writer& w, const TableShape& shape, const std::string& key) {
    std::string made;  // what the decision points at
    return Mutate(f, w, key, wants_value, /*constant=*/false, [&](const Current& now) {
      if (!now.live) return Decision::Return(absl::NotFoundError("none"));
      Decision d = decide(now, shape, &made);
      d.if_live = true;
      return d;
    });
  };
}

KeyCall Stores(std::string (*value)(const TableShape&), int64_t expiry) {
  return [=](TableFixture& f, Writer& w, const TableShape& shape, const std::string& key) {
    return f.Set(w, key, value(shape), expiry);
  };
}
std::string NewInline(const TableShape& shape) { return Inline(shape, 'b'); }
// Its last bytes, behind those that share a word with the key's, go into another word.
std::string NewLonger(const TableShape& shape) { return Inline(shape, 'b') + "xyz"; }
std::string NewBlock(const TableShape&) { return Block('b'); }
std::string NewChain(const TableShape&) { return Chain('b'); }

// A value in pieces that meet inside words and pages.
absl::Status SetParts(TableFixture& f, Writer& w, const std::string& key, size_t first, size_t second) {
  const std::string a(first, 'p'), b(second, 'q');
  const std::string_view pieces[] = {a, "xyz", b};
  const ValueInParts parts{pieces, a.size() + 3 + b.size()};
  return Mutate(f, w, key, false, true, [&](const Current&) { return Decision::Store(parts, 3, kNever); });
}

// Stores over the version that a lookup has just seen.
absl::Status CompareAndSet(TableFixture& f, Writer& w, const std::string& key, const std::string& value) {
  Version version;
  std::string buffer;
  const absl::Status seen = f.table().Get(key, &buffer, [&](const Current& now) { version = now.version; });
  if (!seen.ok()) return seen;
  return Mutate(f, w, key, false, true, [&](const Current& now) {
    if (!now.live || now.version != version) return Decision::Return(absl::FailedPreconditionError("changed"));
    Decision d = Decision::Store(value, 1, kNever);
    d.if_live = true;
    return d;
  });
}

Decision Increment(const Current& now, const TableShape&, std::string* made) {
  made->assign(now.value);
  ++(*made)[0];
  return Decision::Store(*made, 2, now.expiry);
}
Decision Grow(const Current& now, const TableShape&, std::string* made) {
  made->assign(now.value);
  made->append(400, 'g');
  return Decision::Store(*made, now.type, now.expiry);
}
Decision Touch(const Current& now, const TableShape&, std::string*) {
  Decision d = Decision::Store(now.value, now.type, kLater + 1);
  d.keep_value = true;
  return d;
}
Decision Persist(const Current& now, const TableShape&, std::string*) {
  Decision d = Decision::Store(now.value, now.type, kNever);
  d.keep_value = true;
  return d;
}
Decision KeepTtl(const Current& now, const TableShape& shape, std::string* made) {
  *made = Inline(shape, 'k');
  return Decision::Store(*made, 1, now.expiry);
}
Decision ToEnd(const Current& now, const TableShape&, std::string*) {
  Decision d = Decision::Store(now.value, now.type, now.expiry);
  d.keep_value = d.to_end = true;
  return d;
}

const std::vector<KeyOperation>& KeyOperations() {
  using F = TableFixture;
  using S = TableShape;
  using K = std::string;
  static const auto* const operations = new std::vector<KeyOperation>{
      {"SetInline", Always, Stores(NewInline, kNever)},
      {"SetLonger", Always, Stores(NewLonger, kNever)},
      {"SetBlock", Always, Stores(NewBlock, kNever)},
      {"SetChain", Always, Stores(NewChain, kNever)},
      {"SetInlineTtl", Always, Stores(NewInline, kLater)},
      {"SetBlockTtl", Always, Stores(NewBlock, kLater)},
      {"SetParts", Always, [](F& f, Writer& w, const S&, const K& key) { return SetParts(f, w, key, 301, 200); }},
      {"SetLongParts", Always, [](F& f, Writer& w, const S&, const K& key) { return SetParts(f, w, key, 4091, 5000); }},
      {"Insert", NotLive,
       [](F& f, Writer& w, const S& shape, const K& key) {
         const std::string value = Inline(shape, 'i');
         return Mutate(f, w, key, false, true, [&](const Current& now) {
           if (now.live) return Decision::Return(absl::AlreadyExistsError("there"));
           return Decision::Store(value, 1, kNever);
         });
       }},
      {"CompareAndSetInline", IsLive,
       [](F& f, Writer& w, const S& shape, const K& key) { return CompareAndSet(f, w, key, Inline(shape, 'c')); }},
      {"CompareAndSetBlock", IsLive,
       [](F& f, Writer& w, const S&, const K& key) { return CompareAndSet(f, w, key, Block('c')); }},
      {"CompareAndErase", IsLive,
       Changes(false, [](const Current&, const S&, std::string*) { return Decision::Erase(); })},
      {"FetchAdd", IsLive, Changes(true, Increment)},
      {"Update", IsLive, Changes(true, Grow)},
      {"Touch", IsLive, Changes(true, Touch)},
      {"Persist", IsLive, Changes(true, Persist)},
      {"KeepTtl", IsLive, Changes(false, KeepTtl)},
      {"Take", IsLive, Changes(true, [](const Current&, const S&, std::string*) { return Decision::Erase(); })},
      {"Erase", Present, [](F& f, Writer& w, const S&, const K& key) { return f.Erase(w, key); }},
      {"MoveToEnd", IsLive, Changes(true, ToEnd), /*ordered_only=*/true},
  };
  return *operations;
}

// ---- The product ------------------------------------------------------------------------------------------

struct NamedShape {
  const char* name;
  TableShape shape;
};
const NamedShape kShapes[] = {
    {"OneGroup", {.groups = 1}},
    {"TwoGroups", {.groups = 2}},
    {"ThreeGroups", {.groups = 3}},
    {"FiveGroups", {.groups = 5}},
    {"Narrow", {.groups = 3, .slot_size = 32}},
    {"NarrowOneGroup", {.groups = 1, .slot_size = 32}},
    {"Wide", {.groups = 3, .slot_size = 128}},
    {"Ordered", {.groups = 3, .ordered = true}},
    {"OrderedOneGroup", {.groups = 1, .ordered = true}},
    {"WideOrdered", {.groups = 2, .slot_size = 128, .ordered = true}},
    {"ThirteenGroups", {.groups = 13}},
};

// How many keys of its home were there before the key: it stands in the home group, or so many groups on.
struct Place {
  const char* name;
  int crowd;
  uint64_t groups;  // at least
};
constexpr Place kPlaces[] = {
    {"Home", 0, 1}, {"NextGroup", 15, 2}, {"TwoGroupsOn", 31, 3}, {"FourGroupsOn", 60, 5}, {"EightGroupsOn", 107, 13}};

Case OneKey(const NamedShape& shape, const Place& place, KeyForm form, Before before, const KeyOperation& operation) {
  const auto key = [=, crowd = place.crowd](const TableFixture& f) { return KeyNumber(f, form, crowd); };
  Case c{.name = std::string(shape.name) + "/" + place.name + "/" + kKeyForms[static_cast<int>(form)] +
                 kBefores[static_cast<int>(before)] + "/" + operation.name,
         .shape = shape.shape,
         .set_up =
             [=, shape = shape.shape, crowd = place.crowd](TableFixture& f, Writer& w) {
               Crowd(f, w, crowd, Inline(shape, 'c'));
               Put(f, w, shape, key(f), before);
             },
         .run = [=, shape = shape.shape, run = operation.run](TableFixture& f,
                                                              Writer& w) { return run(f, w, shape, key(f)); }};
  c.core = std::string_view(shape.name) == "ThreeGroups" && place.crowd <= 15 && form == KeyForm::kShort;
  if (std::string_view(operation.name) == "Erase" && IsExpired(before)) c.result = absl::StatusCode::kNotFound;
  return c;
}

// A key at home goes, and the displaced one takes its place.
Case PullsHome(const NamedShape& shape, const Place& place, KeyForm form, Before before) {
  return {.name = std::string(shape.name) + "/" + place.name + "/" + kKeyForms[static_cast<int>(form)] +
                  kBefores[static_cast<int>(before)] + "/EraseAtItsHome",
          .shape = shape.shape,
          .set_up =
              [=, shape = shape.shape, crowd = place.crowd](TableFixture& f, Writer& w) {
                Crowd(f, w, crowd, Inline(shape, 'c'));
                Put(f, w, shape, KeyNumber(f, form, crowd), before);
              },
          .run = [](TableFixture& f, Writer& w) { return f.Erase(w, f.KeyOfHome(0, 3)); }};
}

}  // namespace

std::vector<Case> ProductCases() {
  std::vector<Case> cases;
  for (const NamedShape& shape : kShapes) {
    for (const Place& place : kPlaces) {
      if (shape.shape.groups < place.groups) continue;
      // Far places where they are far, and nothing else there.
      if (shape.shape.groups == 13 && place.crowd != 107) continue;
      for (const KeyForm form : {KeyForm::kShort, KeyForm::kWord, KeyForm::kLong}) {
        for (int b = 0; b <= static_cast<int>(Before::kExpiredBlock); ++b) {
          const auto before = static_cast<Before>(b);
          for (const KeyOperation& operation : KeyOperations()) {
            if (!operation.applies(before) || (operation.ordered_only && !shape.shape.ordered)) continue;
            cases.push_back(OneKey(shape, place, form, before, operation));
          }
          if (place.crowd > 0 && before != Before::kAbsent) cases.push_back(PullsHome(shape, place, form, before));
        }
      }
    }
  }
  return cases;
}

std::vector<Case> SpecialCases() {
  const TableShape small{.groups = 1, .pages = 6};
  const TableShape three{.groups = 3};
  const TableShape ordered{.groups = 3, .ordered = true};
  std::vector<Case> cases;

  for (const TableShape& shape : {small, three, ordered}) {
    const std::string suffix = shape.groups == 1 ? "OneGroup" : shape.ordered ? "Ordered" : "";
    cases.push_back({.name = "Sweep" + suffix,
                     .shape = shape,
                     .set_up =
                         [=](TableFixture& f, Writer& w) {
                           for (int i = 0; i < 4; ++i) {
                             FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), i % 2 == 0 ? Block('a') : Inline(shape, 'a'),
                                                 i == 2 ? kLater : kSoon)
                                               .ok());
                           }
                           f.clock().now = kAfterSoon;
                         },
                     .run = [](TableFixture& f, Writer& w) { return f.table().Sweep(w, 45).status(); }});
    cases.push_back({.name = "LockedSection" + suffix,
                     .shape = shape,
                     .set_up = [=](TableFixture& f,
                                   Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Inline(shape, 'a')).ok()); },
                     .run =
                         [=](TableFixture& f, Writer& w) {
                           if (absl::Status status = f.table().LockGlobal(w); !status.ok()) return status;
                           FIXTURE_CHECK(f.table().LockGlobal(w).ok());  // once more: it is recursive
                           absl::Status status = f.Set(w, f.KeyOfHome(0, 0), Inline(shape, 'b'));
                           if (status.ok()) status = f.Set(w, f.KeyOfHome(0, 1), Block('b'));
                           f.table().UnlockGlobal(w);
                           f.table().UnlockGlobal(w);
                           return status;
                         },
                     .atomic = false});
    cases.push_back({.name = "ClaimAndRelease" + suffix,
                     .shape = shape,
                     .set_up = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), "a").ok()); },
                     .run =
                         [](TableFixture& f, Writer&) {
                           auto another =
                               ClaimWriter<Mem>(f.table().mutable_context(), f.table().recovery(), /*first=*/3);
                           if (!another.ok()) return another.status();
                           const absl::Status status = f.Set(**another, f.KeyOfHome(0, 0), Block('b'));
                           ReleaseWriter<Mem>(*std::move(another));
                           return status;
                         }});
    // Several at once of the same home, some of them displaced.
    cases.push_back({.name = "Clear" + suffix,
                     .shape = shape,
                     .set_up =
                         [=](TableFixture& f, Writer& w) {
                           Crowd(f, w, shape.groups == 1 ? 3 : 16, Inline(shape, 'a'));
                           FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 17), Block('a')).ok());
                           FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 18), Inline(shape, 'a'), kSoon).ok());
                           f.clock().now = kAfterSoon;
                         },
                     .run = [](TableFixture& f, Writer& w) { return f.table().Clear(w); },
                     .atomic = false});
    // Inserts into a home group that is full of others, one of them expired.
    for (const bool block : {false, true}) {
      cases.push_back(
          {.name = std::string("InsertReclaimsExpired") + (block ? "Block" : "Inline") + suffix,
           .shape = shape,
           .set_up =
               [=](TableFixture& f, Writer& w) {
                 for (int i = 0; i < 15; ++i) {
                   FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), block ? Block('a') : Inline(shape, 'a'),
                                       i == 4 || i == 9 ? kSoon : kNever)
                                     .ok());
                 }
                 f.clock().now = kAfterSoon;
               },
           .run = [=](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(0, 20), Inline(shape, 'n')); }});
    }
    // Every slot is taken. The block was filled before that is known.
    for (const bool block : {false, true}) {
      cases.push_back(
          {.name = std::string("InsertIntoFullTable") + (block ? "Block" : "Inline") + suffix,
           .shape = shape,
           .set_up = [=](TableFixture& f,
                         Writer& w) { Crowd(f, w, static_cast<int>(15 * shape.groups), Inline(shape, 'a')); },
           .run = [=](TableFixture& f,
                      Writer& w) { return f.Set(w, f.KeyOfHome(0, 100), block ? Block('n') : Inline(shape, 'n')); },
           .result = absl::StatusCode::kResourceExhausted});
    }
    // Every slot is taken, one of them in another home's group by an expired entry: swept before giving up.
    cases.push_back({.name = "InsertSweepsForRoom" + suffix,
                     .shape = shape,
                     .set_up =
                         [=](TableFixture& f, Writer& w) {
                           const int slots = static_cast<int>(15 * shape.groups);
                           for (int i = 0; i < slots; ++i) {
                             FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), Inline(shape, 'a'),
                                                 i == slots - 2 || i == slots / 2 ? kSoon : kNever)
                                               .ok());
                           }
                           f.clock().now = kAfterSoon;
                         },
                     .run = [](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(0, 100), Block('n')); }});
    // The value expires between decision and lock; then it is another decision.
    for (const bool block : {false, true}) {
      cases.push_back({.name = std::string("Expires") + (block ? "Block" : "Inline") + "Meanwhile" + suffix,
                       .shape = shape,
                       .set_up =
                           [=](TableFixture& f, Writer& w) {
                             FIXTURE_CHECK(
                                 f.Set(w, f.KeyOfHome(0, 0), block ? Block('a') : Inline(shape, 'a'), kSoon).ok());
                           },
                       .run =
                           [=](TableFixture& f, Writer& w) {
                             const std::string key = f.KeyOfHome(0, 0), value = block ? Block('b') : Inline(shape, 'b');
                             const absl::Status status = Mutate(f, w, key, true, false, [&](const Current& now) {
                               if (!now.live) return Decision::Return(absl::NotFoundError("none"));
                               f.clock().now = kAfterSoon;
                               Decision d = Decision::Store(value, 2, now.expiry);
                               d.if_live = true;
                               return d;
                             });
                             return status;
                           },
                       .result = absl::StatusCode::kNotFound,
                       .sets_clock = true});
    }
  }

  // All pages belong to one class and are nearly empty: another class needs one of them, whose blocks move away first.
  for (const bool long_keys : {false, true}) {
    const size_t padding = long_keys ? 100 : 0;
    const auto key = [=](const TableFixture& f, int i) {
      return f.KeyOfHome(static_cast<uint64_t>(i % 5), i / 5, padding);
    };
    const auto sparse = [=](TableFixture& f, Writer& w) {
      const int blocks = long_keys ? 24 : 36;  // of 405 or of 300 bytes, in three pages
      const std::string value = Block('a');
      for (int i = 0; i < blocks; ++i) FIXTURE_CHECK(f.Set(w, key(f, i), value).ok());
      for (int i = 0; i < blocks; ++i) {
        if (i % (blocks / 3) >= 2) FIXTURE_CHECK(f.Erase(w, key(f, i)).ok());
      }
    };
    const TableShape shape{.groups = 5, .pages = 3};
    const std::string suffix = long_keys ? "OfLongKeys" : "";
    cases.push_back(
        {.name = "SetEvacuatesAPage" + suffix, .shape = shape, .set_up = sparse, .run = [](TableFixture& f, Writer& w) {
           return f.Set(w, f.KeyOfHome(1, 19), std::string(2000, 'n'));
         }});
    cases.push_back(
        {.name = "OverwriteEvacuatesPages" + suffix,
         .shape = shape,
         .set_up = sparse,
         .run = [=](TableFixture& f, Writer& w) { return f.Set(w, key(f, 0), std::string(4096 + 100, 'n')); }});
  }
  // Pages of another class that are wholly empty.
  cases.push_back(
      {.name = "SetRetiresEmptyPages",
       .shape = {.groups = 2, .pages = 3},
       .set_up =
           [](TableFixture& f, Writer& w) {
             for (int i = 0; i < 25; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), Block('a')).ok());
             for (int i = 0; i < 25; ++i) FIXTURE_CHECK(f.Erase(w, f.KeyOfHome(0, i)).ok());
           },
       .run = [](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(0, 0), std::string(2 * 4096 + 9, 'n')); }});
  // No room: a chain that is given back in the middle, an evacuation that does not fit.
  cases.push_back({.name = "ChainIntoTooFewPages",
                   .shape = {.groups = 3, .pages = 4},
                   .set_up =
                       [](TableFixture& f, Writer& w) {
                         FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), std::string(2000, 'a')).ok());
                         FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 1), Block('a')).ok());
                       },
                   .run = [](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(1, 0), Chain('n')); },
                   .result = absl::StatusCode::kResourceExhausted});
  // No room until what expired is swept.
  cases.push_back({.name = "BlockSweepsForRoom",
                   .shape = {.groups = 3, .pages = 2},
                   .set_up =
                       [](TableFixture& f, Writer& w) {
                         for (int i = 0; i < 4; ++i) {
                           FIXTURE_CHECK(
                               f.Set(w, f.KeyOfHome(0, i), std::string(2000, 'a'), i >= 2 ? kSoon : kNever).ok());
                         }
                         f.clock().now = kAfterSoon;
                       },
                   .run = [](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(0, 0), Block('n')); }});
  // The chain that is there gives nothing back before the new one is whole.
  cases.push_back(
      {.name = "ChainByLongerChain",
       .shape = {.groups = 1, .pages = 7},
       .set_up = [](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Chain('a')).ok()); },
       .run = [](TableFixture& f, Writer& w) { return f.Set(w, f.KeyOfHome(0, 0), std::string(4 * 4096, 'n')); }});
  return cases;
}

// ---- Pairs ------------------------------------------------------------------------------------------------

namespace {

struct Scene {
  const char* name;
  TableShape shape;
  int crowd;  // keys of home 0 before the key
  Before before;
  bool tight = false;
};

}  // namespace

std::vector<Pair> Pairs() {
  const Scene scenes[] = {
      {"Inline", {.groups = 3}, 0, Before::kInline},
      {"Block", {.groups = 3}, 1, Before::kBlock},
      {"DisplacedInline", {.groups = 3}, 15, Before::kInline},
      {"DisplacedBlock", {.groups = 2}, 15, Before::kBlock},
      {"FarBlock", {.groups = 3, .ordered = true}, 31, Before::kBlock},
      {"Narrow", {.groups = 3, .slot_size = 32}, 15, Before::kInlineTtl},
      {"LastSlot", {.groups = 1}, 13, Before::kBlock},
      {"Expired", {.groups = 2}, 15, Before::kExpiredBlock},
      {"FewPages", {.groups = 3, .pages = 4}, 1, Before::kChain, /*tight=*/true},
  };
  struct Call {
    const char* name;
    std::function<absl::Status(TableFixture&, Writer&, const Scene&)> run;
    bool atomic = true;
  };
  const auto key = [](const TableFixture& f, const Scene& scene) { return f.KeyOfHome(0, scene.crowd); };
  const Call calls[] = {
      {"SetInline",
       [=](TableFixture& f, Writer& w, const Scene& s) {
         return f.Set(w, key(f, s), Inline(s.shape, static_cast<char>('f' + w.index)));
       }},
      {"SetBlock", [=](TableFixture& f, Writer& w,
                       const Scene& s) { return f.Set(w, key(f, s), Block(static_cast<char>('h' + w.index))); }},
      {"SetChain", [=](TableFixture& f, Writer& w,
                       const Scene& s) { return f.Set(w, key(f, s), Chain(static_cast<char>('j' + w.index))); }},
      {"Increment",
       [=](TableFixture& f, Writer& w, const Scene& s) { return Changes(true, Increment)(f, w, s.shape, key(f, s)); }},
      {"Touch",
       [=](TableFixture& f, Writer& w, const Scene& s) { return Changes(true, Touch)(f, w, s.shape, key(f, s)); }},
      {"Erase", [=](TableFixture& f, Writer& w, const Scene& s) { return f.Erase(w, key(f, s)); }},
      {"InsertBeside",
       [=](TableFixture& f, Writer& w, const Scene& s) {
         return f.Set(w, f.KeyOfHome(0, 60 + static_cast<int>(w.index)), Inline(s.shape, 'i'));
       }},
      {"InsertSame",
       [=](TableFixture& f, Writer& w, const Scene&) {
         return f.Set(w, f.KeyOfHome(0, 60), Block(static_cast<char>('p' + w.index)));
       }},
      {"EraseAtHome", [=](TableFixture& f, Writer& w, const Scene&) { return f.Erase(w, f.KeyOfHome(0, 0)); }},
      {"EraseAnotherAtHome", [=](TableFixture& f, Writer& w, const Scene&) { return f.Erase(w, f.KeyOfHome(0, 2)); }},
      {"SetElsewhere", [=](TableFixture& f, Writer& w,
                           const Scene& s) { return f.Set(w, f.KeyOfHome(s.shape.groups - 1, 70), Block('e')); }},
      {"Sweep", [=](TableFixture& f, Writer& w, const Scene&) { return f.table().Sweep(w, 45).status(); }},
      {"Clear", [=](TableFixture& f, Writer& w, const Scene&) { return f.table().Clear(w); }, /*atomic=*/false},
      {"LockedSet",
       [=](TableFixture& f, Writer& w, const Scene& s) {
         if (absl::Status status = f.table().LockGlobal(w); !status.ok()) return status;
         const absl::Status status = f.Set(w, key(f, s), Inline(s.shape, 'l'));
         f.table().UnlockGlobal(w);
         return status;
       }},
  };
  std::vector<Pair> pairs;
  for (const Scene& scene : scenes) {
    for (const Call& first : calls) {
      for (const Call& second : calls) {
        pairs.push_back({.name = std::string(scene.name) + "/" + first.name + "/" + second.name,
                         .shape = scene.shape,
                         .set_up =
                             [=](TableFixture& f, Writer& w) {
                               Crowd(f, w, scene.crowd, Inline(scene.shape, 'c'));
                               Put(f, w, scene.shape, key(f, scene), scene.before);
                             },
                         .first = [=](TableFixture& f, Writer& w) { return first.run(f, w, scene); },
                         .second = [=](TableFixture& f, Writer& w) { return second.run(f, w, scene); },
                         .atomic = first.atomic && second.atomic,
                         .tight = scene.tight,
                         .important = std::string_view(first.name) == "EraseAtHome" && scene.crowd >= 15});
      }
    }
  }
  return pairs;
}

}  // namespace segdict::internal::crash
