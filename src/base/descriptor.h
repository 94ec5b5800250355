// An owned file descriptor, and system-call errors as absl::Status.
#ifndef SEGDICT_SRC_BASE_DESCRIPTOR_H_
#define SEGDICT_SRC_BASE_DESCRIPTOR_H_

#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace segdict::internal {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  // Lets go of the descriptor without closing it.
  int Release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// "<what>: <text of the error number>", under the status code that fits the error.
absl::Status SystemError(int error_number, std::string_view what);

// Calls again while the call fails with EINTR.
template <class Call>
auto NoEintr(Call&& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace segdict::internal

#endif  // SEGDICT_SRC_BASE_DESCRIPTOR_H_
