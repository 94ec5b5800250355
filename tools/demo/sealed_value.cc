#include "tools/demo/sealed_value.h"

#include <charconv>
#include <system_error>

#include "absl/strings/str_cat.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace segdict::demo {
namespace {

constexpr std::string_view kVersionField = "\nDemo-Version: ";
constexpr std::string_view kCheckField = "\nDemo-Check: ";
constexpr size_t kVersionDigits = 10;
constexpr size_t kCheckDigits = 16;
static_assert(kSealLength == kVersionField.size() + kVersionDigits + kCheckField.size() + kCheckDigits + 1);

uint64_t Check(std::string_view sealed, std::string_view name) {
  return XXH3_64bits_withSeed(sealed.data(), sealed.size(), XXH3_64bits(name.data(), name.size()));
}

template <class Number>
bool Parse(std::string_view digits, int base, Number* number) {
  const char* const end = digits.data() + digits.size();
  const auto [stopped_at, error] = std::from_chars(digits.data(), end, *number, base);
  return error == std::errc() && stopped_at == end;
}

}  // namespace

void Seal(const Package& package, uint32_t version, std::string* value) {
  value->assign(package.stanza).append(kVersionField);
  absl::StrAppend(value, absl::Dec(version, absl::kZeroPad10));
  value->append(kCheckField);
  absl::StrAppend(value, absl::Hex(Check(*value, package.name), absl::kZeroPad16), "\n");
}

std::optional<uint32_t> VersionOf(std::string_view value, const Package& package) {
  const size_t version_at = package.stanza.size() + kVersionField.size();
  const size_t check_at = version_at + kVersionDigits + kCheckField.size();
  if (value.size() != package.stanza.size() + kSealLength) return std::nullopt;
  uint32_t version = 0;
  uint64_t check = 0;
  const bool whole = value.starts_with(package.stanza) &&
                     value.substr(package.stanza.size()).starts_with(kVersionField) &&
                     Parse(value.substr(version_at, kVersionDigits), 10, &version) &&
                     Parse(value.substr(check_at, kCheckDigits), 16, &check) &&
                     check == Check(value.substr(0, check_at), package.name);
  if (!whole) return std::nullopt;
  return version;
}

const char* WhatIsWrong(const Package& package, const KeyVersions& versions, uint32_t done_before,
                        const std::string* value) {
  if (value == nullptr) return done_before == 0 ? nullptr : "is lost";
  const std::optional<uint32_t> version = VersionOf(*value, package);
  if (!version.has_value()) return "has a damaged value";
  if (*version < done_before) return "has a value that was replaced before";
  if (*version > versions.started.load(std::memory_order_acquire)) return "has a value that nobody has set";
  return nullptr;
}

}  // namespace segdict::demo
