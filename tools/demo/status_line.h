// The demo's progress, on stderr.
#ifndef SEGDICT_TOOLS_DEMO_STATUS_LINE_H_
#define SEGDICT_TOOLS_DEMO_STATUS_LINE_H_

#include <string_view>

#include "absl/time/time.h"

namespace segdict::demo {

// On a terminal one line that is written over, a few times a second; elsewhere a line every few seconds.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine() { Clear(); }

  // For a new step: shown at once, if on a terminal.
  void Begin(std::string_view text);
  // For how far it is: shown if the last was long enough ago.
  void Update(std::string_view text);
  // Takes the line away, before something else is written.
  void Clear();

 private:
  void Show(std::string_view text);

  const bool terminal_;
  bool shown_ = false;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_STATUS_LINE_H_
