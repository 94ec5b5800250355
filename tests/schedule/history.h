// The history of one key in one run, and whether it is linearizable. The clock is the scheduler's step.
#ifndef SEGDICT_TESTS_SCHEDULE_HISTORY_H_
#define SEGDICT_TESTS_SCHEDULE_HISTORY_H_

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace segdict::internal {

// The value of the key under test; none: it is not there.
using Entry = std::optional<std::string>;

struct Call {
  static constexpr int kPending = std::numeric_limits<int>::max();
  std::string name;  // for people
  // What the call does to the entry; what it then gives.
  std::function<Entry(Entry&)> effect;
  Entry gave;  // what it gave; of no account if it never came back
  int begin = 0;
  int end = kPending;
};

// Whether the calls can be put in an order that agrees with their times and with what each gave, from `entry` to
// `last`. Calls that never came back may be left out.
inline bool Linearizable(const std::vector<Call>& calls, std::vector<bool>& placed, const Entry& entry,
                         const Entry& last) {
  int first_end = Call::kPending;  // of those that are not placed: whatever begins later comes later
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!placed[i]) first_end = std::min(first_end, calls[i].end);
  }
  if (first_end == Call::kPending && entry == last) return true;
  for (size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    if (placed[i] || call.begin > first_end) continue;
    Entry next = entry;
    if (call.effect(next) != call.gave && call.end != Call::kPending) continue;
    placed[i] = true;
    if (Linearizable(calls, placed, next, last)) return true;
    placed[i] = false;
  }
  return false;
}

}  // namespace segdict::internal

#endif  // SEGDICT_TESTS_SCHEDULE_HISTORY_H_
