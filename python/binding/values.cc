#include "python/binding/values.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "python/binding/errors.h"
#include "python/binding/interpreter.h"

namespace segdict::python {
namespace {

// sys.modules["numpy"].ndarray, if the program has imported it; borrowed.
PyTypeObject* ArrayType() {
  static PyObject* type = nullptr;
  if (type == nullptr) {
    PyObject* const modules = PyImport_GetModuleDict();
    PyObject* const numpy = PyDict_GetItemString(modules, "numpy");
    if (numpy == nullptr) return nullptr;
    type = TakeInterpreter([&] { return PyObject_GetAttrString(numpy, "ndarray"); });
    if (type == nullptr) ClearError();  // half imported
  }
  return reinterpret_cast<PyTypeObject*>(type);
}

PyObject* CallArrays(const char* name, PyObject* argument) { return CallModule("segdict._arrays", name, argument); }

}  // namespace

bool Value::Encode(PyObject* key, PyObject* value, const Codec& codec) {
  bool known = false;
  if (codec.native && !EncodeNative(value, &known)) return false;
  if (!known) {
    if (!codec.dump.is_valid() || codec.dump.is_none()) {
      SetText(PyExc_TypeError, absl::StrCat("a value of type '", Py_TYPE(value)->tp_name,
                                            "' needs a serializer, and this dict has none"));
      return false;
    }
    const Owned made(Call(codec.dump.ptr(), key, value));
    if (!made.is_valid()) return false;
    const Py_ssize_t n = PyTuple_Check(made.ptr()) ? PyTuple_GET_SIZE(made.ptr()) : 0;
    if (n != 2 && n != 3) {
      SetText(PyExc_TypeError, "dump must return (type, buffer) or (type, buffer, key)");
      return false;
    }
    if (n == 3) key_ = nb::borrow(PyTuple_GET_ITEM(made.ptr(), 2));
    type_ = static_cast<uint8_t>(TakeInterpreter([&] { return PyLong_AsLong(PyTuple_GET_ITEM(made.ptr(), 0)); }));
    if (PyErr_Occurred() != nullptr || !EncodeBuffer(PyTuple_GET_ITEM(made.ptr(), 1))) return false;
  }
  return true;
}

bool Value::Carry(const std::string& carried) {
  if (carried.empty()) return true;
  if (carried.size() > std::numeric_limits<uint32_t>::max()) {
    SetText(PyExc_OverflowError, "a key that is stored beside its value has at most 4 GiB");
    return false;
  }
  const auto length = static_cast<uint32_t>(carried.size());
  char bytes[4];
  std::memcpy(bytes, &length, 4);
  head_.insert(0, carried);
  head_.insert(0, bytes, 4);
  type_ |= kCarriesKey;
  return true;
}

bool Value::EncodeNative(PyObject* value, bool* known) {
  *known = true;
  if (PyUnicode_CheckExact(value)) {
    Py_ssize_t n = 0;
    const char* const data = TakeInterpreter([&] { return PyUnicode_AsUTF8AndSize(value, &n); });
    if (data == nullptr) {
      ClearError();  // lone surrogates: for the serializer
      *known = false;
      return true;
    }
    type_ = static_cast<uint8_t>(Type::kString);
    body_ = {data, static_cast<size_t>(n)};
    return true;
  }
  if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
      if (number == -1 && PyErr_Occurred() != nullptr) return false;
      type_ = static_cast<uint8_t>(Type::kInt64);
      std::memcpy(small_, &number, 8);
      body_ = {small_, 8};
      return true;
    }
    owner_ = Owned(CallModule("segdict._keys", "int_to_bytes", value));
    if (!owner_.is_valid()) return false;
    type_ = kBigInt;
    body_ = {PyBytes_AS_STRING(owner_.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(owner_.ptr()))};
    return true;
  }
  if (PyFloat_CheckExact(value)) {
    const double number = PyFloat_AS_DOUBLE(value);
    type_ = static_cast<uint8_t>(Type::kDouble);
    std::memcpy(small_, &number, 8);
    body_ = {small_, 8};
    return true;
  }
  if (PyBytes_CheckExact(value)) {
    type_ = static_cast<uint8_t>(Type::kBytes);
    body_ = {PyBytes_AS_STRING(value), static_cast<size_t>(PyBytes_GET_SIZE(value))};
    return true;
  }
  if (PyBool_Check(value)) {
    type_ = static_cast<uint8_t>(Type::kBool);
    small_[0] = value == Py_True ? 1 : 0;
    body_ = {small_, 1};
    return true;
  }
  if (value == Py_None) {
    type_ = static_cast<uint8_t>(Type::kNone);
    return true;
  }
  if (PyByteArray_CheckExact(value)) {
    type_ = kByteArray;
    return EncodeBuffer(value);
  }
  if (PyMemoryView_Check(value)) {
    type_ = static_cast<uint8_t>(Type::kBytes);
    return EncodeBuffer(value);
  }
  if (PyTypeObject* const array = ArrayType(); array != nullptr && Py_TYPE(value) == array) {
    return EncodeArray(value, known);
  }
  *known = false;
  return true;
}

bool Value::EncodeArray(PyObject* value, bool* known) {
  const Owned made(CallArrays("encode", value));  // (header, buffer), or None for arrays of objects
  if (!made.is_valid()) return false;
  if (made.is_none()) {
    *known = false;
    return true;
  }
  type_ = kArray;
  PyObject* const header = PyTuple_GET_ITEM(made.ptr(), 0);
  head_.assign(PyBytes_AS_STRING(header), static_cast<size_t>(PyBytes_GET_SIZE(header)));
  return EncodeBuffer(PyTuple_GET_ITEM(made.ptr(), 1));
}

bool Value::EncodeBuffer(PyObject* value) {
  if (buffer_.Get(value, PyBUF_SIMPLE)) {
    body_ = {buffer_.data(), buffer_.size()};
    return true;
  }
  if (!PyMemoryView_Check(value)) return false;
  ClearError();  // not contiguous
  owner_ = Owned(TakeInterpreter([&] { return PyBytes_FromObject(value); }));
  if (!owner_.is_valid()) return false;
  body_ = {PyBytes_AS_STRING(owner_.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(owner_.ptr()))};
  return true;
}

std::string_view Value::Joined() {
  if (head_.empty()) return body_;
  joined_.reserve(size());
  joined_.assign(head_).append(body_);
  return joined_;
}

bool SplitCarried(std::string_view bytes, std::string_view* carried, std::string_view* value) {
  uint32_t length;
  if (bytes.size() < sizeof(length)) return false;
  std::memcpy(&length, bytes.data(), sizeof(length));
  bytes.remove_prefix(sizeof(length));
  if (length > bytes.size()) return false;
  *carried = bytes.substr(0, length);
  *value = bytes.substr(length);
  return true;
}

PyObject* DecodeUnusual(uint8_t type, std::string_view bytes, const Codec& codec) {
  if ((type & kCarriesKey) != 0) {
    std::string_view carried;
    if (!SplitCarried(bytes, &carried, &bytes)) {
      SetUndecodable("Failed to deserialize data: the value is shorter than the key that it carries");
      return nullptr;
    }
    return DecodeValue(static_cast<Type>(type & ~kCarriesKey), bytes, codec);
  }
  const auto size = static_cast<Py_ssize_t>(bytes.size());
  switch (type) {
    case static_cast<uint8_t>(Type::kBytes):
      return PyBytes_FromStringAndSize(bytes.data(), size);
    case static_cast<uint8_t>(Type::kDouble):
      if (size == 8) {
        double number;
        std::memcpy(&number, bytes.data(), 8);
        return PyFloat_FromDouble(number);
      }
      break;
    case static_cast<uint8_t>(Type::kBool):
      if (size == 1) return PyBool_FromLong(bytes[0]);
      break;
    case static_cast<uint8_t>(Type::kNone):
      if (size == 0) Py_RETURN_NONE;
      break;
    case kByteArray:
      return PyByteArray_FromStringAndSize(bytes.data(), size);
    default:
      break;
  }
  nb::object data = nb::steal(PyBytes_FromStringAndSize(bytes.data(), size));
  if (!data.is_valid()) return nullptr;
  if (type == kBigInt) return CallModule("segdict._keys", "int_from_bytes", data.ptr());
  if (type == kArray) return CallArrays("decode", data.ptr());
  if (codec.load.is_valid() && !codec.load.is_none()) {
    nb::object number = nb::steal(PyLong_FromLong(type));
    return number.is_valid() ? Call(codec.load.ptr(), number.ptr(), data.ptr()) : nullptr;
  }
  SetUndecodable("Failed to deserialize data: a value of type " + std::to_string(type) +
                 " needs a serializer, and this dict has none");
  return nullptr;
}

}  // namespace segdict::python
