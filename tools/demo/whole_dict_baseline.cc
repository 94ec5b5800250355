#include "tools/demo/whole_dict_baseline.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <mutex>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace segdict::demo {
namespace {

void PutString(std::string_view text, std::string* out) {
  const auto length = static_cast<uint32_t>(text.size());
  out->append(reinterpret_cast<const char*>(&length), sizeof(length));
  out->append(text);
}

std::string_view TakeString(const char** at) {
  uint32_t length;
  std::memcpy(&length, *at, sizeof(length));
  const std::string_view text(*at + sizeof(length), length);
  *at += sizeof(length) + length;
  return text;
}

}  // namespace

// A ticket lock. Waiting is by futex: waiters are few, and woken all.
void WholeDict::Lock::lock() {
  const uint32_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
  uint32_t serving;
  while ((serving = serving_.load(std::memory_order_acquire)) != ticket) {
    syscall(SYS_futex, &serving_, FUTEX_WAIT, serving, nullptr, nullptr, 0);
  }
}

void WholeDict::Lock::unlock() {
  serving_.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &serving_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

absl::StatusOr<WholeDict> WholeDict::Create(const std::string& name, size_t capacity) {
  const std::string object = absl::StrCat("/", name);
  const int descriptor = shm_open(object.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make /dev/shm", object));
  const absl::Cleanup close_and_unlink = [&] {
    close(descriptor);
    shm_unlink(object.c_str());
  };
  const size_t length = sizeof(Segment) + capacity;
  if (const int error = posix_fallocate(descriptor, 0, static_cast<off_t>(length)); error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot reserve ", length, " bytes in /dev/shm for the baseline"));
  }
  void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (at == MAP_FAILED) return absl::ErrnoToStatus(errno, "cannot map the baseline's segment");
  auto* segment = new (at) Segment;
  segment->capacity = capacity;
  return WholeDict(segment, length);
}

WholeDict::~WholeDict() {
  if (segment_ != nullptr) munmap(segment_, mapped_);
}

bool WholeDict::Get(const std::string& key, std::string* value) {
  size_t entries;
  {
    const std::lock_guard guard(segment_->lock);
    entries = CopyOut();
  }
  Map map = Parse(entries);
  const auto found = map.find(key);
  if (found == map.end()) return false;
  *value = std::move(found->second);
  return true;
}

absl::Status WholeDict::Set(const std::string& key, std::string_view value) {
  const std::lock_guard guard(segment_->lock);
  Map map = Parse(CopyOut());
  map[key] = value;
  return CopyIn(map);
}

absl::Status WholeDict::SetAll(const Map& map) {
  const std::lock_guard guard(segment_->lock);
  return CopyIn(map);
}

size_t WholeDict::CopyOut() {
  copy_.assign(segment_->bytes, segment_->length);
  return segment_->entries;
}

WholeDict::Map WholeDict::Parse(size_t entries) const {
  Map map;
  map.reserve(entries);
  const char* at = copy_.data();
  const char* const end = at + copy_.size();
  while (at < end) {
    const std::string_view key = TakeString(&at);
    map.emplace(key, TakeString(&at));
  }
  return map;
}

absl::Status WholeDict::CopyIn(const Map& map) {
  copy_.clear();
  for (const auto& [key, value] : map) {
    PutString(key, &copy_);
    PutString(value, &copy_);
  }
  if (copy_.size() > segment_->capacity) return absl::ResourceExhaustedError("the baseline's segment is full");
  std::memcpy(segment_->bytes, copy_.data(), copy_.size());
  segment_->length = copy_.size();
  segment_->entries = map.size();
  return absl::OkStatus();
}

}  // namespace segdict::demo
