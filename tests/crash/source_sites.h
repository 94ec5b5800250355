// The places in the source that change a segment, found in the source's text.
#ifndef SEGDICT_TESTS_CRASH_SOURCE_SITES_H_
#define SEGDICT_TESTS_CRASH_SOURCE_SITES_H_

#include <string>
#include <vector>

namespace segdict::internal::crash {

// A call of a function of a Memory policy that stores. It may go over several lines; a Site names one of them.
struct SourceSite {
  std::string file;  // from src/ on
  int first_line, last_line;
  std::string text;  // of its first line
};

// All in the headers and sources below `root`/src, the policies' own folder (src/base) excepted: calls of Store,
// Commit, Cas, FetchAdd and CopyIn of whatever policy.
std::vector<SourceSite> FindSourceSites(const std::string& root);

// The lines there that change an atomic object, or copy into memory, without a policy.
std::vector<SourceSite> FindBareStores(const std::string& root);

}  // namespace segdict::internal::crash

#endif  // SEGDICT_TESTS_CRASH_SOURCE_SITES_H_
