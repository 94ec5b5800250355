#include "tools/demo/corpus.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace segdict::demo {
namespace {

constexpr char kAptCommand[] = "apt-cache dumpavail";
constexpr std::string_view kNameField = "Package:";
constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kLongestName = 1000;

absl::Status Unusable(const std::string& source, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": ", why));
}

bool ReadAll(std::FILE* stream, std::string* text) {
  char buffer[1 << 16];
  size_t length;
  while ((length = std::fread(buffer, 1, sizeof(buffer), stream)) > 0) text->append(buffer, length);
  return std::ferror(stream) == 0;
}

absl::StatusOr<std::string> ReadFile(const std::string& file) {
  std::FILE* stream = std::fopen(file.c_str(), "rb");
  if (stream == nullptr) return Unusable(file, std::strerror(errno));
  std::string text;
  const bool whole = ReadAll(stream, &text);
  const int error = errno;
  std::fclose(stream);
  if (!whole) return Unusable(file, std::strerror(error));
  return text;
}

absl::StatusOr<std::string> ReadPackageIndex() {
  std::FILE* stream = ::popen(absl::StrCat(kAptCommand, " 2>/dev/null").c_str(), "r");
  if (stream == nullptr) return Unusable(kAptCommand, std::strerror(errno));
  std::string text;
  const bool whole = ReadAll(stream, &text);
  if (::pclose(stream) != 0 || !whole || text.empty()) {
    return Unusable(kAptCommand, "gave no packages; run apt-get update as root, or name a file with --corpus");
  }
  return text;
}

std::string_view Stripped(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

// Takes what is before `end` from the front of `text`, and `end` itself.
std::string_view TakeUntil(std::string_view end, std::string_view* text) {
  const std::string_view taken = text->substr(0, text->find(end));
  text->remove_prefix(std::min(taken.size() + end.size(), text->size()));
  return taken;
}

std::string_view NameOf(std::string_view stanza) {
  while (!stanza.empty()) {
    const std::string_view line = TakeUntil("\n", &stanza);
    if (line.starts_with(kNameField)) return Stripped(line.substr(kNameField.size()));
  }
  return {};
}

}  // namespace

absl::StatusOr<Corpus> Corpus::Load(const std::string& file) {
  absl::StatusOr<std::string> text = file.empty() ? ReadPackageIndex() : ReadFile(file);
  if (!text.ok()) return text.status();
  Corpus corpus;
  corpus.text_ = std::make_unique<const std::string>(*std::move(text));
  absl::Status status = corpus.Parse(file.empty() ? kAptCommand : file);
  if (!status.ok()) return status;
  return corpus;
}

absl::Status Corpus::Parse(const std::string& source) {
  std::unordered_map<std::string_view, size_t> index_of;
  std::string_view rest = *text_;
  while (!rest.empty()) {
    const std::string_view stanza = Stripped(TakeUntil("\n\n", &rest));
    if (stanza.empty()) continue;
    const std::string_view name = NameOf(stanza);
    // The demo's own keys have a slash; no package of Debian has.
    if (name.empty() || name.size() > kLongestName || name.find('/') != name.npos) {
      return Unusable(source, absl::StrCat("stanza ", packages_.size() + replaced_ + 1, " has no usable \"Package:\""));
    }
    const auto [at, is_new] = index_of.try_emplace(name, packages_.size());
    if (is_new) {
      packages_.push_back({std::string(name), stanza});
    } else {
      Package& earlier = packages_[at->second];
      stanza_bytes_ -= earlier.stanza.size();
      earlier.stanza = stanza;
      ++replaced_;
    }
    stanza_bytes_ += stanza.size();
  }
  if (packages_.size() < 2) return Unusable(source, "fewer than two packages; the two writers need one each");
  return absl::OkStatus();
}

}  // namespace segdict::demo
