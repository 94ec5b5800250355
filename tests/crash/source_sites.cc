#include "tests/crash/source_sites.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace segdict::internal::crash {
namespace {

struct Source {
  std::string file, text;
};

std::vector<Source> Read(const std::string& root) {
  std::vector<Source> sources;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           root + "/src", std::filesystem::directory_options::follow_directory_symlink)) {
    const std::string path = entry.path().string(), file = path.substr(root.size() + 1);
    const bool is_source = file.ends_with(".h") || file.ends_with(".cc");
    if (!is_source || file.starts_with("src/base/")) continue;
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    sources.push_back({file, text.str()});
  }
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) { return a.file < b.file; });
  return sources;
}

// Comments become blanks: lines stay where they are.
std::string WithoutComments(std::string text) {
  for (size_t at = text.find("//"); at != std::string::npos; at = text.find("//", at)) {
    for (; at < text.size() && text[at] != '\n'; ++at) text[at] = ' ';
  }
  return text;
}

// What `pattern` finds; it ends with the parenthesis that opens a call.
std::vector<SourceSite> Find(const std::string& root, const std::regex& pattern) {
  std::vector<SourceSite> sites;
  for (const Source& source : Read(root)) {
    const std::string text = WithoutComments(source.text);
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), none; match != none; ++match) {
      const auto begin = static_cast<size_t>(match->position());
      size_t end = begin + static_cast<size_t>(match->length());
      for (int depth = 1; depth > 0 && end < text.size(); ++end)
        depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
      const auto line = [&](size_t at) {
        return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'));
      };
      const size_t from = text.find_first_not_of(' ', text.rfind('\n', begin) + 1);
      sites.push_back({source.file, line(begin), line(end), text.substr(from, text.find('\n', begin) - from)});
    }
  }
  return sites;
}

}  // namespace

std::vector<SourceSite> FindSourceSites(const std::string& root) {
  // Of any policy, whatever its alias; two functions that are none's have the same names.
  return Find(root, std::regex(R"(\b(?!Decision\b|Dict\b)\w+\s*::\s*(Store|Commit|Cas|FetchAdd|CopyIn)\s*\()"));
}

std::vector<SourceSite> FindBareStores(const std::string& root) {
  return Find(root, std::regex(R"((\.|->)\s*(store|exchange|compare_exchange_\w+|fetch_\w+)\s*\()"));
}

}  // namespace segdict::internal::crash
