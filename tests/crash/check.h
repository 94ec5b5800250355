// What must hold after a crash, however it was made.
#ifndef SEGDICT_TESTS_CRASH_CHECK_H_
#define SEGDICT_TESTS_CRASH_CHECK_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/table_fixture.h"

namespace segdict::internal::crash {

// Where a failure was, said only if there is one.
class Where {
 public:
  template <class Text>
  Where(Text text) : text_(std::move(text)) {}  // NOLINT(google-explicit-constructor): a lambda
  std::string operator()() const { return text_(); }
  friend std::ostream& operator<<(std::ostream& out, const Where& where) { return out << where(); }

 private:
  std::function<std::string()> text_;
};

// What the dict may contain: one of these as a whole; or else, of several calls that are not atomic, each key by
// itself.
struct Allowed {
  std::vector<const Model*> models;
  bool atomic = true;
};

std::optional<ModelValue> StateOf(const Model& model, const std::string& key);
std::string Describe(const std::optional<ModelValue>& state);

// What readers have; each entry once.
Model View(TableFixture& fixture, const Where& where);
void ExpectAllowed(const Model& view, const Allowed& allowed, const Where& where);
// Lookups one by one see what the visit of all of them saw.
void ExpectFound(TableFixture& fixture, const std::vector<std::string>& keys, const Model& view, const Where& where);

// Recovers whoever is dead.
void RecoverDead(TableFixture& fixture, const Where& where);

void ExpectSound(TableFixture& fixture, const Where& where);
// Everything can still be done: no lock is left, and in the emptied dict no slot, no reach, no block.
void ExpectUsable(TableFixture& fixture, Writer& w, const std::vector<std::string>& fresh_keys, const Where& where);

// While a writer is stopped in the middle of `key`: others insert, overwrite and erase keys of another home than
// `homes`; one that waits for the key meets its deadline, if it has to wait; one that gives its wait up, for a key
// beside it, leaves nothing.
void ExpectOthersGoOn(TableFixture& fixture, Writer& w, const std::set<uint64_t>& homes, const std::string& key,
                      const Where& where);

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_CHECK_H_
