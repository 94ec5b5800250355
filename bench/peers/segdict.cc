// segdict, by its public interface, in an anonymous shared file.
#include <unistd.h>

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/peer.h"
#include "bench/segment.h"
#include "segdict/dict.h"

namespace segdict::bench {
namespace {

template <typename Shape>
class Segdict {
 public:
  static constexpr const char* kName = "segdict";
  static constexpr bool kShared = true;

  explicit Segdict(const Setup& setup) : Segdict(SegmentOptions(setup)) {}
  explicit Segdict(const Options& options)
      : options_(options),
        descriptor_(SharedFile(options.huge_pages)),
        dict_(Opened(Dict::Create(Descriptor(descriptor_), options))) {}
  ~Segdict() { close(descriptor_); }

  bool Get(std::string_view key, char* value) {
    ValueInfo info;
    return Done(dict_.Get(key, std::span(value, Shape::kValue), &info));
  }
  bool Set(std::string_view key, std::string_view value) { return Done(dict_.Set(key, value)); }
  bool Erase(std::string_view key) { return Done(dict_.Erase(key)); }

  size_t GetMany(std::span<const std::string_view> keys, char* values) {
    size_t found = 0;
    const absl::Status status = dict_.GetMany(keys, [&](size_t, const Entry* entry) {
      if (entry != nullptr) std::memcpy(values + Shape::kValue * found++, entry->value.data(), Shape::kValue);
    });
    return Done(status) ? found : 0;
  }

  bool Modify(std::string_view key, std::string_view value) {
    bool found = false;
    const absl::Status status = dict_.Update(key, [&](const Entry* entry) -> std::optional<std::string> {
      found = entry != nullptr;
      if (!found) return std::nullopt;
      Use(entry->value.data());
      return std::string(value);
    });
    return Done(status) && found;
  }

  // A mapping of its own with all its pages: those of the parent's are mapped anew at each first use.
  void AfterFork() { dict_ = Opened(Dict::Open(Descriptor(descriptor_), options_)); }

  std::optional<double> Bytes() { return static_cast<double>(SegmentBytes(descriptor_)); }

 private:
  static Dict Opened(absl::StatusOr<Dict> dict) {
    if (!dict.ok()) Fail(dict.status().ToString());
    return *std::move(dict);
  }
  static bool Done(const absl::Status& status) {
    if (status.ok()) [[likely]]
      return true;
    if (!absl::IsNotFound(status)) Fail(status.ToString());
    return false;
  }

  const Options options_;
  const int descriptor_;
  Dict dict_;
};
SEGDICT_BENCH_PEER(Segdict, U64, S16, S20, S64K);

// Every write takes the global lock.
template <typename Shape>
struct SegdictLock : Segdict<Shape> {
  static constexpr const char* kName = "segdict-lock";
  explicit SegdictLock(const Setup& setup) : Segdict<Shape>(WithLock(SegmentOptions(setup))) {}
  static Options WithLock(Options options) {
    options.lock_mode = LockMode::kGlobalMutex;
    return options;
  }
};
SEGDICT_BENCH_PEER(SegdictLock, S16);

template <typename Shape>
struct SegdictAged : Segdict<Shape> {
  static constexpr const char* kName = "segdict-aged";
  static constexpr unsigned kTurnovers = 5;
  using Segdict<Shape>::Segdict;
};
SEGDICT_BENCH_PEER(SegdictAged, S16);

// In groups with huge pages.
template <typename Shape>
struct SegdictHuge : Segdict<Shape> {
  static constexpr const char* kName = "segdict-huge";
  using Segdict<Shape>::Segdict;
};
SEGDICT_BENCH_PEER(SegdictHuge, S16);

}  // namespace
}  // namespace segdict::bench
