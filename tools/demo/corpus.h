// The demo's data: Debian's package index, one stanza a package.
#ifndef SEGDICT_TOOLS_DEMO_CORPUS_H_
#define SEGDICT_TOOLS_DEMO_CORPUS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace segdict::demo {

struct Package {
  std::string name;         // the field "Package:"
  std::string_view stanza;  // without the newline that ends it
};

// All packages, each name once: where stanzas share a name, the last one counts, as if they were set one after the
// other.
class Corpus {
 public:
  // Reads `file`, or what `apt-cache dumpavail` prints if `file` is empty.
  static absl::StatusOr<Corpus> Load(const std::string& file);

  size_t size() const { return packages_.size(); }
  const Package& operator[](size_t i) const { return packages_[i]; }
  auto begin() const { return packages_.begin(); }
  auto end() const { return packages_.end(); }

  uint64_t stanza_bytes() const { return stanza_bytes_; }
  uint64_t replaced() const { return replaced_; }  // stanzas that a later one of the same name replaced

 private:
  absl::Status Parse(const std::string& source);

  std::unique_ptr<const std::string> text_;  // what the stanzas point into
  std::vector<Package> packages_;
  uint64_t stanza_bytes_ = 0;
  uint64_t replaced_ = 0;
};

}  // namespace segdict::demo

#endif  // SEGDICT_TOOLS_DEMO_CORPUS_H_
