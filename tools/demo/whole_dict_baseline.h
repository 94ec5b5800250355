// The method of shared-memory-dict, to compare with: the segment holds the whole dict serialized. Each read parses all
// of it and looks one key up; each write parses all of it, changes one entry and serializes all of it.
//
// As fast as this method gets in plain C++: length-prefixed strings, one memcpy out of the segment and one into it, a
// hash map whose memory is reserved. The original pickles, and its lock does not cover a write as a whole; here no
// update is lost.
#ifndef SEGDICT_TOOLS_DEMO_WHOLE_DICT_BASELINE_H_
#define SEGDICT_TOOLS_DEMO_WHOLE_DICT_BASELINE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace segdict::demo {

// For a process and the children that it forks. The name is taken away as soon as the memory is mapped.
class WholeDict {
 public:
  using Map = std::unordered_map<std::string, std::string>;

  // The bytes that an entry takes.
  static size_t BytesFor(size_t key_length, size_t value_length) {
    return 2 * sizeof(uint32_t) + key_length + value_length;
  }

  // A POSIX shared memory object for entries of `capacity` bytes together, BytesFor each.
  static absl::StatusOr<WholeDict> Create(const std::string& name, size_t capacity);

  WholeDict(WholeDict&& other) noexcept
      : segment_(std::exchange(other.segment_, nullptr)), mapped_(other.mapped_), copy_(std::move(other.copy_)) {}
  WholeDict& operator=(WholeDict&&) = delete;
  ~WholeDict();

  // False if the key is not there.
  bool Get(const std::string& key, std::string* value);
  // RESOURCE_EXHAUSTED if it does not fit.
  absl::Status Set(const std::string& key, std::string_view value);
  // Replaces everything.
  absl::Status SetAll(const Map& map);

 private:
  // Serves in the order of arrival, so that the writers, who hold it nearly all the time, leave room for the readers.
  class Lock {
   public:
    void lock();
    void unlock();

   private:
    std::atomic<uint32_t> next_{0};
    std::atomic<uint32_t> serving_{0};
  };

  struct Segment {
    Lock lock;
    size_t length = 0;  // of what is serialized
    size_t entries = 0;
    size_t capacity = 0;
    char bytes[];
  };

  WholeDict(Segment* segment, size_t mapped) : segment_(segment), mapped_(mapped) {}
  // Both with the lock held.
  size_t CopyOut();
  absl::Status CopyIn(const Map& map);
  Map Parse(size_t entries) const;

  Segment* segment_;
  size_t mapped_;
  std::string copy_;  // of the serialized dict; kept, for its memory
};

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_WHOLE_DICT_BASELINE_H_
