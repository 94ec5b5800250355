#include "python/binding/keys.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "python/binding/errors.h"
#include "python/binding/interpreter.h"

namespace segdict::python {
namespace {

constexpr char kOther = '\xf8';
constexpr char kDigest = '\xf9';
constexpr int kMaxDepth = 200;  // of tuples in tuples

void PutLength(size_t n, std::string* out) {
  for (; n >= 0x80; n >>= 7) out->push_back(static_cast<char>(n | 0x80));
  out->push_back(static_cast<char>(n));
}

void PutBytes(char kind, const char* data, size_t n, std::string* out) {
  out->push_back(kind);
  PutLength(n, out);
  out->append(data, n);
}

// The UTF-8 of a str; null if there are lone surrogates.
std::string_view Utf8(PyObject* text) {
  Py_ssize_t n = 0;
  const char* const data = TakeInterpreter([&] { return PyUnicode_AsUTF8AndSize(text, &n); });
  if (data == nullptr) ClearError();
  return {data, static_cast<size_t>(n)};
}

// The UTF-8 of a str; lone surrogates as if they were characters. A new bytes object, or null.
PyObject* SurrogateBytes(PyObject* text) { return PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"); }

// segdict._keys has the rare cases in Python. A new reference, or null with the error set.
PyObject* CallHelper(const char* name, PyObject* argument) { return CallModule("segdict._keys", name, argument); }

PyObject* CallHelper(const char* name, std::string_view bytes) {
  nb::object argument = nb::steal(PyBytes_FromStringAndSize(bytes.data(), static_cast<Py_ssize_t>(bytes.size())));
  return argument.is_valid() ? CallHelper(name, argument.ptr()) : nullptr;
}

// Appends the item of a bytes object that a helper made; null: it failed.
bool PutMade(char kind, const Owned& made, std::string* out) {
  if (!made.is_valid()) return false;
  if (!PyBytes_Check(made.ptr())) {
    SetText(PyExc_TypeError, absl::StrCat("bytes are expected, not '", Py_TYPE(made.ptr())->tp_name, "'"));
    return false;
  }
  PutBytes(kind, PyBytes_AS_STRING(made.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(made.ptr())), out);
  return true;
}

class Encoder {
 public:
  Encoder(bool pickle, std::string* out) : pickle_(pickle), out_(*out) {}

  // Whether the bytes tell all: decoding them gives an object of the same types.
  bool exact() const { return exact_; }

  bool Item(PyObject* key, int depth) {
    if (depth > kMaxDepth) {
      SetText(PyExc_RecursionError, "a key is nested too deeply");
      return false;
    }
    if (key == Py_None) {
      out_.push_back('N');
      return true;
    }
    if (PyUnicode_Check(key)) return Text(key);
    if (PyLong_Check(key)) {
      exact_ = exact_ && PyLong_CheckExact(key);
      return Int(key);
    }
    if (PyFloat_Check(key)) {
      exact_ = exact_ && PyFloat_CheckExact(key);
      return Float(PyFloat_AS_DOUBLE(key));
    }
    if (PyBytes_Check(key)) {
      exact_ = exact_ && PyBytes_CheckExact(key);
      PutBytes('b', PyBytes_AS_STRING(key), static_cast<size_t>(PyBytes_GET_SIZE(key)), &out_);
      return true;
    }
    if (PyTuple_Check(key)) return Tuple(key, depth);
    if (PyFrozenSet_Check(key)) return Set(key, depth);
    if (PyComplex_Check(key)) {
      const Py_complex value = PyComplex_AsCComplex(key);
      if (value.imag == 0) {
        exact_ = false;
        return Float(value.real);
      }
      exact_ = exact_ && PyComplex_CheckExact(key);
      out_.push_back('c');
      Double(value.real);
      Double(value.imag);
      return true;
    }
    return Other(key, depth);
  }

 private:
  bool Text(PyObject* key) {
    exact_ = exact_ && PyUnicode_CheckExact(key);
    const std::string_view utf8 = Utf8(key);
    if (utf8.data() == nullptr) return PutMade('s', Owned(SurrogateBytes(key)), &out_);
    PutBytes('s', utf8.data(), utf8.size(), &out_);
    return true;
  }

  bool Int(PyObject* key) {
    int overflow = 0;
    const long long small = PyLong_AsLongLongAndOverflow(key, &overflow);
    if (small == -1 && overflow == 0 && PyErr_Occurred() != nullptr) return false;
    if (overflow == 0) {
      char bytes[8];
      std::memcpy(bytes, &small, 8);
      size_t n = 8;
      // Drop bytes that only repeat the sign.
      while (n > 1 && ((bytes[n - 1] == 0 && (bytes[n - 2] & 0x80) == 0) ||
                       (bytes[n - 1] == -1 && (bytes[n - 2] & 0x80) != 0))) {
        --n;
      }
      PutBytes('i', bytes, n, &out_);
      return true;
    }
    return PutMade('i', Owned(CallHelper("int_to_bytes", key)), &out_);
  }

  bool Float(double value) {
    if (std::isfinite(value) && std::trunc(value) == value) {
      exact_ = false;  // comes back as an int
      nb::object integer = nb::steal(PyLong_FromDouble(value));
      return integer.is_valid() && Int(integer.ptr());
    }
    out_.push_back('f');
    Double(std::isnan(value) ? std::nan("") : value);
    return true;
  }

  void Double(double value) {
    char bytes[8];
    value += 0.0;  // no negative zero
    std::memcpy(bytes, &value, 8);
    out_.append(bytes, 8);
  }

  bool Tuple(PyObject* key, int depth) {
    exact_ = exact_ && PyTuple_CheckExact(key);
    const Py_ssize_t n = PyTuple_GET_SIZE(key);
    out_.push_back('t');
    PutLength(static_cast<size_t>(n), &out_);
    for (Py_ssize_t i = 0; i < n; ++i) {
      if (!Item(PyTuple_GET_ITEM(key, i), depth + 1)) return false;
    }
    return true;
  }

  bool Set(PyObject* key, int depth) {
    exact_ = exact_ && PyFrozenSet_CheckExact(key);
    std::vector<std::string> items;
    const Owned iterator(TakeInterpreter([&] { return PyObject_GetIter(key); }));
    if (!iterator.is_valid()) return false;
    const auto next_item = [&] { return TakeInterpreter([&] { return PyIter_Next(iterator.ptr()); }); };
    while (PyObject* const next = next_item()) {
      const Owned item(next);
      Encoder encoder(pickle_, &items.emplace_back());
      if (!encoder.Item(item.ptr(), depth + 1)) return false;
      exact_ = exact_ && encoder.exact();
    }
    if (PyErr_Occurred() != nullptr) return false;
    std::sort(items.begin(), items.end());
    out_.push_back('S');
    PutLength(items.size(), &out_);
    for (const std::string& item : items) out_ += item;
    return true;
  }

  // A number of another type is the int or float that it equals; the rest is pickled.
  bool Other(PyObject* key, int depth) {
    if (TakeInterpreter([&] { return PyObject_Hash(key); }) == -1) return false;  // "unhashable type"
    if (PyNumber_Check(key) != 0) {
      const Owned number(CallHelper("equal_number", key));
      if (!number.is_valid()) return false;
      if (!number.is_none()) {
        exact_ = false;
        return Item(number.ptr(), depth);
      }
    }
    if (!pickle_) {
      SetText(PyExc_TypeError,
              absl::StrCat("a key of type '", Py_TYPE(key)->tp_name, "' needs a pickle, which this dict refuses"));
      return false;
    }
    return PutMade('p', Owned(CallHelper("pickle_key", key)), &out_);
  }

  const bool pickle_;
  std::string& out_;
  bool exact_ = true;
};

class Decoder {
 public:
  Decoder(std::string_view bytes, bool pickle) : rest_(bytes), pickle_(pickle) {}

  // One item that is all there is.
  PyObject* All() {
    Owned item(Item(0));
    if (item.is_valid() && !rest_.empty()) return Bad();
    return item.release().ptr();
  }

 private:
  static PyObject* Bad() {
    if (PyErr_Occurred() == nullptr) SetUndecodable("Failed to deserialize data: its bytes are no key of this package");
    return nullptr;
  }

  bool Take(size_t n, std::string_view* taken) {
    if (n > rest_.size()) return false;
    *taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return true;
  }

  bool TakeLength(size_t* n) {
    *n = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      std::string_view byte;
      if (!Take(1, &byte)) return false;
      *n |= static_cast<size_t>(byte[0] & 0x7f) << shift;
      if ((byte[0] & 0x80) == 0) return true;
    }
    return false;
  }

  bool TakeDouble(double* value) {
    std::string_view bytes;
    if (!Take(8, &bytes)) return false;
    std::memcpy(value, bytes.data(), 8);
    return true;
  }

  PyObject* Item(int depth) {
    std::string_view kind, bytes;
    size_t n = 0;
    double real = 0, imaginary = 0;
    if (depth > kMaxDepth || !Take(1, &kind)) return Bad();
    switch (kind[0]) {
      case 'N':
        Py_RETURN_NONE;
      case 'f':
        return TakeDouble(&real) ? PyFloat_FromDouble(real) : Bad();
      case 'c':
        return TakeDouble(&real) && TakeDouble(&imaginary) ? PyComplex_FromDoubles(real, imaginary) : Bad();
      case 't':
      case 'S':
        return TakeLength(&n) && n <= rest_.size() ? Collection(kind[0], n, depth) : Bad();
      default:
        break;
    }
    if (!TakeLength(&n) || !Take(n, &bytes)) return Bad();
    const auto size = static_cast<Py_ssize_t>(bytes.size());
    switch (kind[0]) {
      case 's':
        return PyUnicode_DecodeUTF8(bytes.data(), size, "surrogatepass");
      case 'b':
        return PyBytes_FromStringAndSize(bytes.data(), size);
      case 'i':
        return size <= 8 ? SmallInt(bytes) : CallHelper("int_from_bytes", bytes);
      case 'p':
        if (pickle_) return CallHelper("unpickle_key", bytes);
        SetUndecodable("Failed to deserialize data: a key is a pickle, which this dict refuses");
        return nullptr;
      default:
        return Bad();
    }
  }

  static PyObject* SmallInt(std::string_view bytes) {
    if (bytes.empty()) return Bad();
    int64_t value = (bytes.back() & 0x80) != 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return PyLong_FromLongLong(value);
  }

  PyObject* Collection(char kind, size_t n, int depth) {
    // Room is made for what is there, not for what the length promises: it is wrong if the bytes are damaged.
    std::vector<Owned> made;
    for (size_t i = 0; i < n; ++i) {
      made.emplace_back(Item(depth + 1));
      if (!made.back().is_valid()) return nullptr;
    }
    Owned items(TakeInterpreter([&] { return PyTuple_New(static_cast<Py_ssize_t>(n)); }));
    if (!items.is_valid()) return nullptr;
    for (size_t i = 0; i < n; ++i) {
      PyTuple_SET_ITEM(items.ptr(), static_cast<Py_ssize_t>(i), made[i].release().ptr());
    }
    if (kind == 't') return items.release().ptr();
    return TakeInterpreter([&] { return PyFrozenSet_New(items.ptr()); });
  }

  std::string_view rest_;
  const bool pickle_;
};

}  // namespace

bool Key::EncodeOther(PyObject* key, bool pickle) {
  bool exact = true;
  if (PyUnicode_Check(key)) {
    exact = PyUnicode_CheckExact(key);
    view_ = Utf8(key);
    if (view_.data() == nullptr) {
      nb::object bytes = nb::steal(SurrogateBytes(key));
      if (!bytes.is_valid()) return false;
      bytes_.assign(PyBytes_AS_STRING(bytes.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.ptr())));
      view_ = bytes_;
    }
  } else {
    bytes_.assign(1, kOther);
    Encoder encoder(pickle, &bytes_);
    if (!encoder.Item(key, 0)) return false;
    exact = encoder.exact();
    view_ = bytes_;
  }
  const bool fits = view_.size() <= kMaxLength;
  if (exact && fits) [[likely]]
    return true;
  // A key that cannot be pickled is shown as the equal one that its bytes tell.
  if (!exact && PyFloat_CheckExact(key)) {
    const double value = PyFloat_AS_DOUBLE(key);
    carried_.assign(1, 'f').append(reinterpret_cast<const char*>(&value), sizeof(value));
  } else if (!exact && pickle && !PutMade('p', Owned(CallHelper("pickle_key", key)), &carried_)) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;  // Ctrl-C
    ClearError();
  }
  if (!fits && carried_.empty()) {
    if (PyUnicode_Check(key)) {
      PutBytes('s', view_.data(), view_.size(), &carried_);
    } else {
      carried_ = view_.substr(1);
    }
  }
  if (!fits) {
    nb::object digest = nb::steal(CallHelper("digest", view_));
    if (!digest.is_valid()) return false;
    bytes_.assign(1, kDigest);
    bytes_.append(PyBytes_AS_STRING(digest.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(digest.ptr())));
    view_ = bytes_;
  }
  return true;
}

PyObject* DecodeKey(std::string_view bytes, bool pickle) {
  if (!bytes.empty() && bytes[0] == kOther) return Decoder(bytes.substr(1), pickle).All();
  return PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogatepass");
}

PyObject* DecodeCarried(std::string_view item, bool pickle) { return Decoder(item, pickle).All(); }

}  // namespace segdict::python
