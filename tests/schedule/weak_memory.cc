#include "tests/schedule/weak_memory.h"

namespace segdict::internal {

void WeakMemory::Reset() {
  for (const size_t index : touched_) {
    Location& location = words_[index];
    location.values.clear();
    location.seq_cst = 0;
    location.given.fill(0);
  }
  touched_.clear();
  for (Clock& clock : clocks_) clock.fill(0);
}

void WeakMemory::Stored(int t, const void* word, uint64_t before, uint64_t value, StoreOrder order,
                        const Clock* fence) {
  const size_t index = IndexOf(word), thread = static_cast<size_t>(t);
  Location& location = words_[index];
  if (location.values.empty()) {
    touched_.push_back(index);
    location.values.push_back({before, -1, 0, Clock{}});
  }
  const Value& last = location.values.back();
  Clock& mine = clocks_[thread];
  Value next{value, t, ++mine[thread], {}};
  switch (order) {
    case StoreOrder::kRelease:
    case StoreOrder::kSeqCst:
      next.clock = mine;
      break;
    case StoreOrder::kReadModifyWrite:
      Join(mine, last.clock);
      next.clock = mine;
      break;
    case StoreOrder::kRelaxedReadModifyWrite:
      next.clock = last.clock;
      break;
    case StoreOrder::kRelaxed:
      next.clock = *fence;
      break;
  }
  location.values.push_back(next);
  const size_t at = location.values.size() - 1;
  location.given[thread] = static_cast<uint32_t>(at);
  if (order == StoreOrder::kSeqCst || order == StoreOrder::kReadModifyWrite) location.seq_cst = at;
}

size_t WeakMemory::Floor(int t, const Location& location, bool seq_cst) const {
  const size_t thread = static_cast<size_t>(t);
  size_t floor = location.given[thread];
  if (seq_cst) floor = std::max(floor, location.seq_cst);
  const Clock& mine = clocks_[thread];
  for (size_t at = location.values.size() - 1; at > floor; --at) {
    const Value& value = location.values[at];
    if (mine[static_cast<size_t>(value.thread)] >= value.count) return at;
  }
  return floor;
}

int WeakMemory::Choices(int t, const void* word, bool seq_cst) const {
  const Location& location = words_[IndexOf(word)];
  if (location.values.empty()) return 1;
  return static_cast<int>(location.values.size() - Floor(t, location, seq_cst));
}

uint64_t WeakMemory::Loaded(int t, const void* word, uint64_t latest, int age, bool seq_cst, Clock* learned) {
  Location& location = words_[IndexOf(word)];
  if (location.values.empty()) return latest;
  const size_t at = location.values.size() - 1 - static_cast<size_t>(age);
  const Value& value = location.values[at];
  location.given[static_cast<size_t>(t)] = static_cast<uint32_t>(at);
  if (seq_cst) location.seq_cst = at;
  if (learned != nullptr) Join(*learned, value.clock);
  return value.value;
}

}  // namespace segdict::internal
