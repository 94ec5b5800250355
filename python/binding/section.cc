#include "python/binding/section.h"

#include <atomic>

#include "absl/status/statusor.h"
#include "python/binding/errors.h"
#include "python/binding/table.h"

namespace segdict::python {
namespace {

// Of a thread, for the life of the process: the system gives its own number for one to the next when it has ended.
uint64_t ThisThread() {
  static std::atomic<uint64_t> last{0};
  thread_local const uint64_t mine = ++last;
  return mine;
}

}  // namespace

Section::~Section() {
  // Dropped while it is held, and not by its holder, who alone can let go: held until that thread ends.
  if (holder_ != ThisThread()) Abandon();
}

void Section::Abandon() {
  if (!held_.empty()) new std::vector<Dict::LockGuard>(std::exchange(held_, {}));
}

void Section::Enter() {
  if (!held_.empty() && holder_ != ThisThread()) {
    // Another thread of ours has it: each thread takes a section of its own.
    Raise(PyExc_RuntimeError, "this section is held by another thread; call lock() for each");
  }
  absl::StatusOr<Dict::LockGuard> guard = nb::cast<Table&>(table_).Lock();
  if (!guard.ok()) Throw(guard.status());
  // One that entered during the wait has ended inside: it can let go no more.
  if (holder_ != ThisThread()) Abandon();
  holder_ = ThisThread();
  held_.push_back(*std::move(guard));
}

void Section::Exit() {
  if (held_.empty()) Raise(PyExc_RuntimeError, "the section was not entered");
  if (holder_ != ThisThread()) Raise(PyExc_RuntimeError, "a section must be left by the thread that entered it");
  held_.pop_back();
}

}  // namespace segdict::python
