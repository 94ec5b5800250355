// The dicts that the soak makes, one after the other: their sizes, slots, modes.
#ifndef SEGDICT_TESTS_SOAK_SHAPE_H_
#define SEGDICT_TESTS_SOAK_SHAPE_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include "segdict/dict.h"
#include "tests/soak/board.h"

namespace segdict::soak {

struct Shape {
  enum class Locks { kNobody, kSome, kAll };

  uint64_t seats = 0;
  uint64_t entries_per_seat = 0;
  uint64_t bytes_per_seat = 0;
  bool named = false;  // or a memfd
  Locks locks = Locks::kNobody;
  bool wait_limits = false;  // some handles give up early
  Options options;

  // Sizes and slots take turns, so that a few shapes have all of them; the rest is chance. The seats' shares together
  // are what the dict promises, and its slots are hardly more: 85 to 95 % of them are in use most of the time.
  static Shape Choose(uint64_t epoch, uint64_t seats, std::mt19937_64& random) {
    const auto any = [&](uint64_t from, uint64_t to) { return from + random() % (to - from + 1); };
    Shape shape;
    shape.seats = seats;
    const uint64_t size = epoch % 3;
    const uint64_t entries = size == 0 ? any(6, 40) : size == 1 ? any(2000, 6000) : any(100, 400);
    shape.entries_per_seat = std::max<uint64_t>(1, entries / seats);
    constexpr uint32_t kSlotSizes[] = {64, 32, 128};
    Options& options = shape.options;
    options.slot_size = kSlotSizes[(epoch + epoch / 3) % 3];
    options.ordered = options.slot_size != 32 && random() % 2 == 0;
    options.capacity = seats * shape.entries_per_seat + kCounters;
    options.max_load = random() % 3 == 0 ? 0.95 : 1;
    shape.bytes_per_seat = shape.entries_per_seat * any(100, 900) + 24 * 1024;
    options.value_bytes = seats * shape.bytes_per_seat + kCounters * (seats + 2) * 2048;
    options.max_writers = static_cast<uint32_t>(random() % 2 == 0 ? seats + 2 : 128 + seats);
    shape.named = random() % 2 == 0;
    const uint64_t locks = any(0, 9);
    shape.locks = locks < 5 ? Locks::kNobody : locks < 8 ? Locks::kSome : Locks::kAll;
    shape.wait_limits = random() % 2 == 0;
    return shape;
  }

  bool LocksAt(uint64_t seat) const { return locks == Locks::kAll || (locks == Locks::kSome && seat % 2 == 0); }
  uint64_t WaitLimitAt(uint64_t seat) const { return wait_limits && seat % 3 == 0 ? 5 : 0; }
  uint64_t keys_per_seat() const { return entries_per_seat * 5 / 4 + 2; }

  std::string ToString() const {
    return std::to_string(options.capacity) + " entries in slots of " + std::to_string(options.slot_size) + ", " +
           std::to_string(options.value_bytes >> 10) + " KiB" + (options.ordered ? ", ordered" : "") +
           (locks == Locks::kAll    ? ", locks"
            : locks == Locks::kSome ? ", some lock"
                                    : "") +
           (wait_limits ? ", wait limits" : "") + (named ? "" : ", memfd");
  }
};

}  // namespace segdict::soak

#endif  // SEGDICT_TESTS_SOAK_SHAPE_H_
