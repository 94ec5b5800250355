// Table: a segdict::Dict whose keys and values are Python objects. What segdict/_core.pyi declares; the classes that
// programs use (segdict.Dict, segdict.SharedMemoryDict) derive from it in Python.
//
// The interpreter's lock is kept for what takes less time than giving it away, and given away for gets and sets of
// kLongCopy bytes and more (but not by GetMany), for what looks at the whole dict and, by GilBlocking, for every sleep
// in which a call waits for another writer. Nothing here relies on the lock for its own consistency but `users_` and
// `dict_` of Close, which is why without that lock a closed dict stays mapped until its object goes; so it does in a
// child that was forked during another thread's call, which nobody ends there.
#ifndef SEGDICT_PYTHON_BINDING_TABLE_H_
#define SEGDICT_PYTHON_BINDING_TABLE_H_

#include <nanobind/nanobind.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "python/binding/errors.h"
#include "python/binding/interpreter.h"
#include "python/binding/keys.h"
#include "python/binding/values.h"
#include "segdict/dict.h"

namespace segdict::python {

inline constexpr size_t kLongCopy = 64 << 10;

// Where a segment is: "name", "path" or "fd", and the name, path or number.
Location ToLocation(const std::string& kind, nb::handle where);

class Table {
 public:
  enum class How { kOpen, kCreate, kOpenOrCreate };

  Table(const Location& location, How how, Options options, Codec codec);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // The slots of the mapping protocol: new references or null, 0 or -1; -1 and null with the Python error set.
  PyObject* Subscript(PyObject* key);
  int AssignSubscript(PyObject* key, PyObject* value);
  int Contains(PyObject* key);
  Py_ssize_t Length();

  nb::object Get(nb::handle key, nb::object fallback);
  // (value, token, remaining seconds or None), or None.
  nb::object Read(nb::handle key);
  // Seconds, or None: for ever.
  nb::object Ttl(nb::handle key);
  nb::object GetMany(nb::handle keys);
  uint64_t ReadInto(nb::handle key, nb::handle buffer);

  void Set(nb::handle key, nb::handle value, nb::handle ttl);
  bool Add(nb::handle key, nb::handle value, nb::handle ttl);
  bool Replace(nb::handle key, nb::handle value, nb::handle ttl);
  bool Delete(nb::handle key);
  // The new number; None: not to be done on a 64-bit integer.
  nb::object Increment(nb::handle key, int64_t delta, std::optional<int64_t> initial, nb::handle ttl);
  // False: the entry is not at the token any more, or gone.
  bool CompareAndSet(nb::handle key, const Version& token, nb::handle value, nb::handle ttl);
  bool CompareAndDelete(nb::handle key, const Version& token);
  bool Touch(nb::handle key, nb::handle ttl);
  bool MoveToEnd(nb::handle key);
  nb::object Pop(nb::handle key, nb::object fallback);
  nb::object PopItem();
  void Clear();
  uint64_t Sweep();

  enum class What { kKeys, kValues, kItems };
  nb::object Entries(What what, bool reverse);

  nb::dict GetStats();
  nb::list Verify();
  uint32_t Recover();

  void Close();
  bool closed() const { return closing_; }
  uint64_t capacity();
  uint64_t value_bytes();
  // Refuses entries of more bytes of key and value as not fitting, though the arena might have room for them.
  void LimitEntries(uint64_t bytes) { longest_ = bytes; }
  uint64_t segment_bytes();

  absl::StatusOr<Dict::LockGuard> Lock();

  Codec& codec() { return codec_; }

 private:
  friend class Use;
  // One that is gone from the dict is an error of the caller: ClosedError.
  Dict& dict();
  Owned Decode(Type type, std::string_view bytes);
  Owned DecodeKeyOf(std::string_view key, Type type, std::string_view value);
  // The values of keys, with *info: new references or null; null without a Python error: *missing.
  PyObject* Look(PyObject* key, bool* missing);
  PyObject* Fetch(std::string_view key, ValueInfo* info, bool* missing);
  PyObject* FetchLong(std::string_view key, ValueInfo* info, bool* missing);
  uint64_t ReadRest(std::string_view key, nb::handle key_object, size_t length, std::span<char> buffer);
  // False with the Python error set.
  bool EncodeEntry(PyObject* key_object, PyObject* value_object, Key* key, Value* value);
  absl::Status Store(const Key& key, const Value& value, const WriteOptions& options);
  using Write = absl::Status (Dict::*)(std::string_view key, std::string_view value, const WriteOptions& options);
  // False: the write was refused with that code.
  bool SetIf(nb::handle key, nb::handle value, nb::handle ttl, Write write, absl::StatusCode refusal);

  std::optional<Dict> dict_;
  Codec codec_;
  bool ordered_ = false;
  uint64_t longest_ = ~uint64_t{0};
  bool closing_ = false;
  uint32_t users_ = 0;  // calls under way that may give the interpreter's lock away
};

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_TABLE_H_
