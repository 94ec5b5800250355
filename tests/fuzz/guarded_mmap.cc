// Linked with --wrap=mmap,--wrap=munmap: a file's shared mapping lies between inaccessible memory, so that every step
// out of it is a crash.
#include <sys/mman.h>

#include <map>

namespace {

constexpr size_t kGuard = size_t{16} << 20;

struct Area {
  void* begin;
  size_t size;
};

std::map<void*, Area>& Areas() {
  static auto* areas = new std::map<void*, Area>;
  return *areas;
}

}  // namespace

extern "C" {

void* __real_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* address, size_t length);

void* __wrap_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  // A single page is a writer's token of life, which nobody looks into.
  if (address != nullptr || (flags & MAP_SHARED) == 0 || length <= 4096) {
    return __real_mmap(address, length, protection, flags, fd, offset);
  }
  const Area area{
      __real_mmap(nullptr, length + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      length + 2 * kGuard};
  if (area.begin == MAP_FAILED) return MAP_FAILED;
  void* const at =
      __real_mmap(static_cast<char*>(area.begin) + kGuard, length, protection, flags | MAP_FIXED, fd, offset);
  if (at == MAP_FAILED) {
    __real_munmap(area.begin, area.size);
    return MAP_FAILED;
  }
  Areas()[at] = area;
  return at;
}

int __wrap_munmap(void* address, size_t length) {
  const auto found = Areas().find(address);
  if (found == Areas().end()) return __real_munmap(address, length);
  const Area area = found->second;
  Areas().erase(found);
  return __real_munmap(area.begin, area.size);
}
}
