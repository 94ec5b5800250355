// TypedDict<K, V>: a Dict of trivially copyable keys and values.
#ifndef SEGDICT_TYPED_DICT_H_
#define SEGDICT_TYPED_DICT_H_

#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "segdict/dict.h"

namespace segdict {

// Keys and values are stored as their bytes (std::has_unique_object_representations is asked of keys, so that equal
// keys have equal bytes: no padding, no floating point). The bytes are those of this machine and compiler: for exchange
// between languages, serialize yourself. A thin view of a Dict, which stays usable beside it. All calls behave as those
// of Dict with the same name.
template <class K, class V>
class TypedDict {
  static_assert(std::is_trivially_copyable_v<K> && std::has_unique_object_representations_v<K>,
                "keys must be trivially copyable and without padding");
  static_assert(std::is_trivially_copyable_v<V>, "values must be trivially copyable");

 public:
  explicit TypedDict(Dict dict) : dict_(std::move(dict)) {}

  Dict& dict() { return dict_; }
  const Dict& dict() const { return dict_; }

  // NOT_FOUND if the key is not there; FAILED_PRECONDITION if what is there has another size than V.
  absl::StatusOr<V> Get(const K& key) const {
    std::array<char, sizeof(V)> value;
    ValueInfo info;
    absl::Status status = dict_.Get(Bytes(key), value, &info);
    if (absl::IsOutOfRange(status) || (status.ok() && info.length != sizeof(V))) return WrongSize();
    if (!status.ok()) return status;
    return std::bit_cast<V>(value);
  }
  absl::StatusOr<bool> Contains(const K& key) const { return dict_.Contains(Bytes(key)); }

  absl::Status Set(const K& key, const V& value, const WriteOptions& options = {}) {
    return dict_.Set(Bytes(key), Bytes(value), options);
  }
  absl::Status Insert(const K& key, const V& value, const WriteOptions& options = {}) {
    return dict_.Insert(Bytes(key), Bytes(value), options);
  }
  absl::Status Replace(const K& key, const V& value, const WriteOptions& options = {}) {
    return dict_.Replace(Bytes(key), Bytes(value), options);
  }
  absl::Status Erase(const K& key) { return dict_.Erase(Bytes(key)); }
  // A value of another size is FAILED_PRECONDITION, and stays.
  absl::StatusOr<V> Take(const K& key) {
    for (;;) {
      Version version;
      std::optional<V> value;
      absl::Status status = dict_.Visit(Bytes(key), [&](const Entry& entry) {
        version = entry.version;
        if (entry.value.size() == sizeof(V)) value.emplace(FromBytes<V>(entry.value));
      });
      if (!status.ok()) return status;
      if (!value.has_value()) return WrongSize();
      status = dict_.CompareAndErase(Bytes(key), version);
      if (status.ok()) return *value;
      if (!absl::IsAborted(status)) return status;
    }
  }

  // fn(const V* now) -> std::optional<V>: null if the key is not there; nullopt leaves everything as it is. A value of
  // another size is FAILED_PRECONDITION, and stays; fn is not called for it.
  template <class Fn>
  absl::Status Update(const K& key, Fn&& fn) {
    bool wrong_size = false;
    absl::Status status = dict_.Update(Bytes(key), [&](const Entry* entry) -> std::optional<std::string> {
      wrong_size = entry != nullptr && entry->value.size() != sizeof(V);
      if (wrong_size) return std::nullopt;
      std::optional<V> now;
      if (entry != nullptr) now.emplace(FromBytes<V>(entry->value));
      const std::optional<V> next = fn(now.has_value() ? static_cast<const V*>(&*now) : nullptr);
      if (!next.has_value()) return std::nullopt;
      return std::string(Bytes(*next));
    });
    return status.ok() && wrong_size ? WrongSize() : status;
  }

  // visit(const K&, const V&) -> bool. Entries of other sizes are passed by.
  template <class Visit>
  absl::Status ForEach(Visit&& visit) const {
    return dict_.ForEach([&](const Entry& entry) {
      if (entry.key.size() != sizeof(K) || entry.value.size() != sizeof(V)) return true;
      const K key = FromBytes<K>(entry.key);
      return static_cast<bool>(visit(key, FromBytes<V>(entry.value)));
    });
  }

 private:
  template <class T>
  static std::string_view Bytes(const T& object) {
    return {reinterpret_cast<const char*>(&object), sizeof(T)};
  }
  // By way of an array: nothing says that a T can be made from nothing.
  template <class T>
  static T FromBytes(std::string_view bytes) {
    std::array<char, sizeof(T)> array;
    std::memcpy(array.data(), bytes.data(), sizeof(T));
    return std::bit_cast<T>(array);
  }
  static absl::Status WrongSize() { return absl::FailedPreconditionError("the value that is there has another size"); }

  Dict dict_;
};

}  // namespace segdict

#endif  // SEGDICT_TYPED_DICT_H_
