// Values as bytes with a type (segdict/options.h). str, int, float, bool, None, bytes, bytearray, memoryview and NumPy
// arrays are stored as they are; everything else, or everything if the codec says so, by the dict's serializer.
//
//   kBytes     bytes, and buffers        kString     UTF-8                kNone     nothing
//   kInt64     8 bytes                   kDouble     8 bytes              kBool     1 byte
//   32 bigint  two's complement, little-endian        33 bytearray  its bytes
//   34 array   a header (segdict/_arrays.py) and the array's bytes, in its order
//   16 kPickle, 17 kJson, 18 kMsgpack, 35 (any other): what the serializer made
//
// Bit 7 of the type: the value begins with an item of keys.h, the key as it was set, after its length (4 bytes,
// little-endian).
#ifndef SEGDICT_PYTHON_BINDING_VALUES_H_
#define SEGDICT_PYTHON_BINDING_VALUES_H_

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "python/binding/interpreter.h"
#include "python/binding/keys.h"
#include "segdict/options.h"

namespace segdict::python {

inline constexpr uint8_t kBigInt = 32;
inline constexpr uint8_t kByteArray = 33;
inline constexpr uint8_t kArray = 34;
inline constexpr uint8_t kCarriesKey = 0x80;

// How one handle makes bytes of objects and back.
struct Codec {
  bool native = true;  // the types above are stored as they are
  bool pickle = true;  // keys may need a pickle, and entries that are pickles are read
  Owned dump;          // dump(key, value) -> (type, buffer), or (type, buffer, the key to store it under)
  Owned load;          // load(type, bytes) -> object
};

// A value on its way into the table.
class Value {
 public:
  Value() = default;
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  // False with the Python error set. `key` is the object that the value is stored under.
  bool Encode(PyObject* key, PyObject* value, const Codec& codec);
  // The key that dump wants instead; null if it did not say.
  PyObject* key() const { return key_.ptr(); }
  // After Encode: what the value has to carry of its key, if anything. False with the Python error set.
  bool Carry(const std::string& carried);

  // The value's bytes are head() followed by body(). They do not change while this lives, unless the program writes to
  // a buffer that it is storing.
  std::string_view head() const { return head_; }
  std::string_view body() const { return body_; }
  Type type() const { return static_cast<Type>(type_); }
  size_t size() const { return head_.size() + body_.size(); }
  // All of them in one piece.
  std::string_view Joined();

 private:
  bool EncodeNative(PyObject* value, bool* known);
  bool EncodeArray(PyObject* value, bool* known);
  bool EncodeBuffer(PyObject* value);

  uint8_t type_ = 0;
  std::string_view body_;
  std::string head_;
  char small_[8];
  std::string joined_;
  Owned owner_;  // of the body's bytes
  Owned key_;
  Buffer buffer_;
};

// The object of an entry's bytes; a new reference, or null with the Python error set. Inline for what is frequent.
PyObject* DecodeUnusual(uint8_t type, std::string_view bytes, const Codec& codec);
[[gnu::always_inline]] inline PyObject* DecodeValue(Type type, std::string_view bytes, const Codec& codec) {
  if (type == Type::kString) [[likely]]
    return PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr);
  if (type == Type::kInt64 && bytes.size() == 8) {
    int64_t number;
    __builtin_memcpy(&number, bytes.data(), 8);
    return PyLong_FromLongLong(number);
  }
  return DecodeUnusual(static_cast<uint8_t>(type), bytes, codec);
}

// What an entry carries of its key, and the rest of its value; false: the bytes are damaged.
bool SplitCarried(std::string_view bytes, std::string_view* carried, std::string_view* value);

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_VALUES_H_
