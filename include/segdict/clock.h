// The clock that entries expire by.
#ifndef SEGDICT_CLOCK_H_
#define SEGDICT_CLOCK_H_

#include <cstdint>

namespace segdict {

// A source of time for expiry: nanoseconds on a scale that all users of a segment share. Implementations must be
// thread-safe and must not go backwards. The library's own reads CLOCK_BOOTTIME; tests inject theirs through
// Options::clock.
class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since the scale's origin; never negative. About 20 ns; called only for entries that have an expiry,
  // also under locks of the dict: it must not throw and must not use the dict.
  virtual int64_t Now() const = 0;
};

}  // namespace segdict

#endif  // SEGDICT_CLOCK_H_
