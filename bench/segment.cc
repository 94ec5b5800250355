#include "bench/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segdict/dict.h"
#include "segdict/location.h"

namespace segdict::bench {

namespace {

// A file descriptor, or -1.
int HugeFile() {
  const int tmpfs = fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (tmpfs < 0) return -1;
  int file = -1;
  if (fsconfig(tmpfs, FSCONFIG_SET_STRING, "huge", "always", 0) == 0 &&
      fsconfig(tmpfs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    const int root = fsmount(tmpfs, FSMOUNT_CLOEXEC, 0);
    file = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    close(root);
  }
  close(tmpfs);
  return file;
}

}  // namespace

int SharedFile(bool huge_pages) {
  int file = huge_pages ? HugeFile() : -1;
  if (file < 0) file = memfd_create("segdict-bench", MFD_CLOEXEC);
  if (file < 0) Fail("no shared memory");
  return file;
}

Options SegmentOptions(const Setup& setup) {
  Options options;
  options.capacity = setup.capacity;
  options.slot_size = setup.key_size + setup.value_size <= 16 ? 32 : 64;
  options.max_load = setup.max_load;
  // Some more than the entries need: an overwrite takes the new block before it frees the old one.
  constexpr uint64_t kOverwrites = 64;
  options.value_bytes = (setup.capacity + kOverwrites) * Dict::ValueBytesFor(options, setup.key_size, setup.value_size);
  options.huge_pages = setup.huge_pages;
  options.prefault = true;
  return options;
}

uint64_t SegmentBytes(const Setup& setup) {
  Options options = SegmentOptions(setup);
  options.prefault = false;
  const int descriptor = SharedFile(/*huge_pages=*/false);
  if (const auto dict = Dict::Create(Descriptor(descriptor), options); !dict.ok()) Fail(dict.status().ToString());
  const uint64_t bytes = SegmentBytes(descriptor);
  close(descriptor);
  return bytes;
}

uint64_t SegmentBytes(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) Fail("fstat failed");
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace segdict::bench
