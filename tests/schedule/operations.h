// What actors do in schedules: the operations of the table on one key and beside it, and the states that they meet.
#ifndef SEGDICT_TESTS_SCHEDULE_OPERATIONS_H_
#define SEGDICT_TESTS_SCHEDULE_OPERATIONS_H_

#include <string>
#include <vector>

#include "tests/schedule/scheduler.h"

namespace segdict::internal {

inline std::string Short(char c) { return std::string(20, c); }  // in the slot
inline std::string Long(char c) { return std::string(200, c); }  // in a block

// On the key under test.
Actor Set(std::string value);
Actor Insert(std::string value);                           // if it is not there
Actor CompareAndSet(std::string from, std::string value);  // if it has that value
Actor Bump();                                              // its first byte + 1, as FetchAdd does
Actor Erase();
Actor Pop();                         // gives the value that was erased
Actor Touch();                       // a later expiry, the same value
Actor MoveToEnd();                   // REQUIRES: an ordered table
Actor Clear();                       // of the whole table
Actor LockedSet(std::string value);  // holding the global lock
Actor Get(int times = 1);
Actor Visit();  // of the whole table
// The same by one who sees reaches that are too far, as they may be for a while: to the end of the table.
Actor VisitToTheEnd();

// On others. Key number n of the same home.
Actor EraseOther(int n);  // a displaced key may be moved home
Actor SetOther(int n, std::string value);
Actor Sweep();

Actor Then(Actor a, Actor b);

// An operation under a name, and a state of the table in which it meets others.
struct NamedOperation {
  std::string name;
  Actor actor;
  std::string only = "";  // in the states that have this in their name: in others it has nothing to do
  bool all_keys = false;  // it visits every key
};
struct NamedState {
  std::string name;
  std::function<void(TableFixture&, Writer&)> set_up;
  bool ordered = false;
  bool many_keys = false;
};
std::vector<NamedOperation> Operations(char value);
std::vector<NamedState> States();

std::function<void(TableFixture&, Writer&)> Nothing();
std::function<void(TableFixture&, Writer&)> With(std::string value);
// Home group 0 is full of keys 1 to 15 of that home.
std::function<void(TableFixture&, Writer&)> FullHome();
// And the key under test is displaced.
std::function<void(TableFixture&, Writer&)> Displaced(std::string value);

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_SCHEDULE_OPERATIONS_H_
