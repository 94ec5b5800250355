// Where a segment lives.
#ifndef SEGDICT_LOCATION_H_
#define SEGDICT_LOCATION_H_

#include <string>
#include <string_view>
#include <utility>

namespace segdict {

// Names a segment: a POSIX shared memory name, a file path, or an open file descriptor. Made by the three functions
// below.
class Location {
 public:
  enum class Kind { kName, kPath, kDescriptor };

  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // the name or the path
  int descriptor() const { return descriptor_; }

 private:
  friend Location Name(std::string_view name);
  friend Location Path(std::string_view path);
  friend Location Descriptor(int descriptor);
  Location(Kind kind, std::string text, int descriptor)
      : kind_(kind), text_(std::move(text)), descriptor_(descriptor) {}

  Kind kind_;
  std::string text_;
  int descriptor_;
};

// A POSIX shared memory object, /dev/shm/<name>: 1 to 255 bytes without '/' or NUL, not starting with '.'.
inline Location Name(std::string_view name) { return {Location::Kind::kName, std::string(name), -1}; }

// A file on any filesystem that can map files shared and reserve space (tmpfs, ext4, xfs, btrfs ...). Whoever may
// truncate the file can kill its users by SIGBUS; only a sealed memfd is safe from that.
inline Location Path(std::string_view path) { return {Location::Kind::kPath, std::string(path), -1}; }

// An open file, read-write for writers; the library duplicates the descriptor and never closes the caller's. To create
// in it, it must be empty. A memfd made with MFD_ALLOW_SEALING is sealed against shrinking and growing by whoever
// creates a dict in it, or opens one by a descriptor that is open for writing.
inline Location Descriptor(int descriptor) { return {Location::Kind::kDescriptor, {}, descriptor}; }

}  // namespace segdict

#endif  // SEGDICT_LOCATION_H_
