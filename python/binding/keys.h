// Keys as bytes: equal keys, equal bytes, in every process.
//
//   str                its UTF-8; so C++ finds d["user:17"] as Get("user:17"), and the other way round
//   everything else    0xF8 (never the first byte of UTF-8), then one item:
//
//   'N'                       None
//   's' length bytes          str (below the top)           'b' length bytes    bytes
//   'i' length bytes          int, two's complement, little-endian, as short as it can be
//   'f' 8 bytes               float that is no integer      'c' 8 + 8 bytes     complex that is no float
//   't' length items          tuple                         'S' length items    frozenset, items in the order of their
//   bytes 'p' length bytes          anything else: its pickle, made without a memo so that it does not depend on
//   identities
//
// Lengths are LEB128. As in a dict, 1, 1.0 and True are one key, and so is whatever equals a number and has its hash
// (Decimal, Fraction, NumPy's scalars, members of IntEnum); subclasses of str, bytes, tuple ... are keys as their
// contents. What is looked up by pickle is found if the pickle is the same: true for members of Enum, dates, UUIDs,
// Decimals (without the zeros at their ends), frozen dataclasses of such. A key that would be longer than the table
// takes (65,535 bytes) is looked up by a digest: 0xF9 and 32 bytes of BLAKE2b.
//
// Iteration gives the key that was set, not its canonical form: where the bytes do not tell (True, 1.0, a namedtuple,
// a digest), the value carries the key; see values.h.
#ifndef SEGDICT_PYTHON_BINDING_KEYS_H_
#define SEGDICT_PYTHON_BINDING_KEYS_H_

#include <nanobind/nanobind.h>

#include <string>
#include <string_view>

namespace segdict::python {

// A key on its way into the table. Refers to the object, which must outlive it.
class Key {
 public:
  Key() = default;
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  // False with the Python error set: TypeError for what cannot be hashed, or for what needs a pickle where `pickle` is
  // false.
  [[gnu::always_inline]] inline bool Encode(PyObject* key, bool pickle) {
    if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key) && PyUnicode_GET_LENGTH(key) <= kMaxLength)
        [[likely]] {
      view_ = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(key)),
               static_cast<size_t>(PyUnicode_GET_LENGTH(key))};
      return true;
    }
    return EncodeOther(key, pickle);
  }

  std::string_view view() const { return view_; }
  // What a value has to carry for DecodeItem to make the key again; empty if the bytes tell it.
  const std::string& carried() const { return carried_; }

 private:
  static constexpr Py_ssize_t kMaxLength = 65535;
  bool EncodeOther(PyObject* key, bool pickle);

  std::string_view view_;
  std::string bytes_;
  std::string carried_;
};

// The object of a key's bytes, or of what a value carries; a new reference. Null with the Python error set: the bytes
// are no key, or need a pickle where `pickle` is false.
PyObject* DecodeKey(std::string_view bytes, bool pickle);
PyObject* DecodeCarried(std::string_view item, bool pickle);

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_KEYS_H_
