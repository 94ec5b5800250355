#include "tools/demo/status_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/time/clock.h"

namespace segdict::demo {
namespace {

constexpr absl::Duration kOnTerminal = absl::Milliseconds(250);
constexpr absl::Duration kElsewhere = absl::Seconds(3);
constexpr int kWidth = 79;  // a longer line would wrap, and stay

}  // namespace

StatusLine::StatusLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

void StatusLine::Begin(std::string_view text) {
  if (terminal_) Show(text);
}

void StatusLine::Update(std::string_view text) {
  if (absl::Now() - last_ >= (terminal_ ? kOnTerminal : kElsewhere)) Show(text);
}

void StatusLine::Clear() {
  if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

void StatusLine::Show(std::string_view text) {
  last_ = absl::Now();
  if (terminal_) {
    std::fprintf(stderr, "\r%.*s\033[K", std::min(kWidth, static_cast<int>(text.size())), text.data());
  } else {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  }
  std::fflush(stderr);
  shown_ = true;
}

}  // namespace segdict::demo
