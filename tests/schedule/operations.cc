#include "tests/schedule/operations.h"

#include <utility>

namespace segdict::internal {
namespace {

const Entry kYes = "yes";

using Effect = std::function<Entry(Entry&)>;

// An actor that makes one call on the key; `run(scheduler, writer)` gives what it gave.
template <class Run>
Actor OneCall(std::string name, Effect effect, Run run) {
  return [name = std::move(name), effect = std::move(effect), run = std::move(run)](Scheduler& s, int self) {
    const size_t call = s.Begin(name, effect);
    Entry gave = run(s, s.writer(self));
    s.End(call, std::move(gave));
  };
}

// Mutate of the key under test: `decide(now)`; what it gives is in `gave`, which each decision sets anew.
template <class Decide>
void Change(Scheduler& s, Writer& w, bool wants_value, Decide&& decide) {
  const absl::Status status =
      s.fixture().table().Mutate(w, s.key(), s.fixture().HashOf(s.key()), wants_value, false, decide);
  FIXTURE_CHECK(status.ok());
}

Effect Stores(std::string value) {
  return [value = std::move(value)](Entry& entry) {
    entry = value;
    return kYes;
  };
}

}  // namespace

Actor Set(std::string value) {
  return OneCall("set " + value.substr(0, 3), Stores(value), [value](Scheduler& s, Writer& w) {
    FIXTURE_CHECK(s.fixture().Set(w, s.key(), value).ok());
    return kYes;
  });
}

Actor Insert(std::string value) {
  const auto effect = [value](Entry& entry) {
    const Entry gives = entry ? Entry() : kYes;
    if (!entry) entry = value;
    return gives;
  };
  return OneCall("insert " + value.substr(0, 3), effect, [value](Scheduler& s, Writer& w) {
    Entry gave;
    Change(s, w, false, [&](const Current& now) {
      gave = now.live ? Entry() : kYes;
      return now.live ? Decision::Return() : Decision::Store(value, 0, kNever);
    });
    return gave;
  });
}

Actor CompareAndSet(std::string from, std::string value) {
  const auto effect = [from, value](Entry& entry) {
    const Entry gives = entry == from ? kYes : Entry();
    if (gives) entry = value;
    return gives;
  };
  return OneCall("compare and set " + value.substr(0, 3), effect, [from, value](Scheduler& s, Writer& w) {
    Entry gave;
    Change(s, w, true, [&](const Current& now) {
      const bool same = now.live && now.value == from;
      gave = same ? kYes : Entry();
      if (!same) return Decision::Return();
      Decision d = Decision::Store(value, 0, now.expiry);
      d.if_live = true;
      return d;
    });
    return gave;
  });
}

Actor Bump() {
  const auto effect = [](Entry& entry) {
    const Entry gives = entry;
    if (entry) ++(*entry)[0];
    return gives;
  };
  return OneCall("bump", effect, [](Scheduler& s, Writer& w) {
    Entry gave;
    std::string next;
    Change(s, w, true, [&](const Current& now) {
      gave.reset();
      if (!now.live) return Decision::Return();
      next = std::string(now.value);
      gave = next;
      ++next[0];
      Decision d = Decision::Store(next, 0, now.expiry);
      d.if_live = true;
      return d;
    });
    return gave;
  });
}

Actor Erase() {
  const auto effect = [](Entry& entry) {
    const Entry gives = entry ? kYes : Entry();
    entry.reset();
    return gives;
  };
  return OneCall("erase", effect, [](Scheduler& s, Writer& w) {
    const absl::Status status = s.fixture().Erase(w, s.key());
    FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
    return status.ok() ? kYes : Entry();
  });
}

Actor Pop() {
  const auto effect = [](Entry& entry) { return std::exchange(entry, std::nullopt); };
  return OneCall("pop", effect, [](Scheduler& s, Writer& w) {
    Entry gave;
    Change(s, w, true, [&](const Current& now) {
      gave = now.live ? Entry(std::string(now.value)) : Entry();
      return Decision::Erase();
    });
    return gave;
  });
}

// To the same value, kept where it is.
Actor Keep(std::string name, bool to_end) {
  const auto effect = [](Entry& entry) { return entry ? kYes : Entry(); };
  return OneCall(std::move(name), effect, [to_end](Scheduler& s, Writer& w) {
    Entry gave;
    Change(s, w, true, [&](const Current& now) {
      gave = now.live ? kYes : Entry();
      if (!now.live) return Decision::Return();
      Decision d = Decision::Store(now.value, now.type, to_end ? now.expiry : 90'000'000);
      d.if_live = d.keep_value = true;
      d.to_end = to_end;
      return d;
    });
    return gave;
  });
}
Actor Touch() { return Keep("touch", false); }
Actor MoveToEnd() { return Keep("move to end", true); }

Actor Clear() {
  const auto effect = [](Entry& entry) {
    entry.reset();
    return kYes;
  };
  return OneCall("clear", effect, [](Scheduler& s, Writer& w) {
    FIXTURE_CHECK(s.fixture().table().Clear(w).ok());
    return kYes;
  });
}

Actor LockedSet(std::string value) {
  return OneCall("locked set " + value.substr(0, 3), Stores(value), [value](Scheduler& s, Writer& w) {
    FIXTURE_CHECK(s.fixture().table().LockGlobal(w).ok());
    FIXTURE_CHECK(s.fixture().Set(w, s.key(), value).ok());
    s.fixture().table().UnlockGlobal(w);
    return kYes;
  });
}

Actor Get(int times) {
  const Actor once = OneCall(
      "get", [](Entry& entry) { return entry; },
      [](Scheduler& s, Writer&) {
        std::string value;
        const absl::Status status = s.fixture().Get(s.key(), &value);
        FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
        return status.ok() ? Entry(value) : Entry();
      });
  return [once, times](Scheduler& s, int self) {
    for (int i = 0; i < times; ++i) once(s, self);
  };
}

Actor Visit() {
  return OneCall(
      "visit", [](Entry& entry) { return entry; },
      [](Scheduler& s, Writer&) {
        Entry gave;
        const absl::Status status = s.fixture().table().ForEach([&](const Table<Mem>::Snapshot& entry) {
          if (entry.key != s.key()) return true;
          FIXTURE_CHECK(!gave.has_value());  // no key twice
          gave = entry.value;
          return true;
        });
        FIXTURE_CHECK(status.ok());
        return gave;
      });
}

Actor VisitToTheEnd() {
  return [visit = Visit()](Scheduler& s, int self) {
    s.SeesFarReaches(self);
    visit(s, self);
  };
}

Actor EraseOther(int n) {
  return [n](Scheduler& s, int self) {
    const absl::Status status = s.fixture().Erase(s.writer(self), s.key(n));
    FIXTURE_CHECK(status.ok() || absl::IsNotFound(status));
  };
}
Actor SetOther(int n, std::string value) {
  return [n, value](Scheduler& s, int self) { FIXTURE_CHECK(s.fixture().Set(s.writer(self), s.key(n), value).ok()); };
}
Actor Sweep() {
  return [](Scheduler& s, int self) { FIXTURE_CHECK(s.fixture().table().Sweep(s.writer(self), 30).ok()); };
}

Actor Then(Actor a, Actor b) {
  return [a, b](Scheduler& s, int self) {
    a(s, self);
    b(s, self);
  };
}

std::vector<NamedOperation> Operations(char value) {
  return {
      {"Set", Set(Short(value))},
      {"SetBlock", Set(Long(value))},
      {"Insert", Insert(Short(value))},
      {"InsertBlock", Insert(Long(value))},
      {"CompareAndSet", CompareAndSet(Short('a'), Short(value))},
      {"Bump", Bump()},
      {"Erase", Erase()},
      {"Pop", Pop()},
      {"Touch", Touch()},
      {"Clear", Clear(), "", true},
      {"LockedSet", LockedSet(Short(value))},
      {"EraseOther", EraseOther(3), "Displaced"},
      {"SetOther", SetOther(20, Long(value))},
      {"Sweep", Sweep(), "Expired"},
      {"MoveToEnd", MoveToEnd(), "Ordered"},
  };
}

std::function<void(TableFixture&, Writer&)> Nothing() {
  return [](TableFixture&, Writer&) {};
}
std::function<void(TableFixture&, Writer&)> With(std::string value) {
  return [value](TableFixture& f, Writer& w) { FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), value).ok()); };
}
std::function<void(TableFixture&, Writer&)> FullHome() {
  return [](TableFixture& f, Writer& w) {
    for (int i = 1; i <= 15; ++i) FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, i), "other").ok());
  };
}
std::function<void(TableFixture&, Writer&)> Displaced(std::string value) {
  return [value](TableFixture& f, Writer& w) {
    FullHome()(f, w);
    FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), value).ok());
  };
}

std::vector<NamedState> States() {
  const auto expired = [](TableFixture& f, Writer& w) {
    FIXTURE_CHECK(f.Set(w, f.KeyOfHome(0, 0), Long('a'), 2'000'000).ok());
    f.clock().now = 3'000'000;
  };
  return {
      {.name = "Absent", .set_up = Nothing()},
      {.name = "Short", .set_up = With(Short('a'))},
      {.name = "Block", .set_up = With(Long('a'))},
      {.name = "FullHome", .set_up = FullHome(), .many_keys = true},
      {.name = "Displaced", .set_up = Displaced(Short('a')), .many_keys = true},
      {.name = "DisplacedBlock", .set_up = Displaced(Long('a')), .many_keys = true},
      {.name = "Expired", .set_up = expired},
      {.name = "Ordered", .set_up = With(Short('a')), .ordered = true},
      {.name = "OrderedDisplacedBlock", .set_up = Displaced(Long('a')), .ordered = true, .many_keys = true},
  };
}

}  // namespace segdict::internal
