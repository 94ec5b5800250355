#include "python/binding/errors.h"

#include <cerrno>

#include "python/binding/interpreter.h"

namespace segdict::python {
namespace {

// Never freed: they live as long as the module, whose end nobody sees.
struct Errors {
  PyObject* full;
  PyObject* corrupt;
  PyObject* contention;
  PyObject* timeout;
  PyObject* read_only;
  PyObject* closed;
  PyObject* format;
  PyObject* deserialization;
};
Errors errors;

// A text that may name a file, in any bytes.
nb::object Text(const std::string& text) {
  return nb::steal(PyUnicode_DecodeFSDefaultAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

// FullError("exceeds available storage") from MemoryError(what is full).
void SetFull(PyObject* text) {
  PyErr_SetObject(PyExc_MemoryError, text);
  PyObject *type, *cause, *trace;
  PyErr_Fetch(&type, &cause, &trace);
  PyErr_NormalizeException(&type, &cause, &trace);
  PyErr_SetString(errors.full, "exceeds available storage");
  PyObject *full_type, *full, *full_trace;
  PyErr_Fetch(&full_type, &full, &full_trace);
  PyErr_NormalizeException(&full_type, &full, &full_trace);
  if (full != nullptr && cause != nullptr) {
    Py_INCREF(cause);
    PyException_SetContext(full, cause);
    PyException_SetCause(full, cause);  // takes the reference
  } else {
    Py_XDECREF(cause);
  }
  Py_XDECREF(type);
  Py_XDECREF(trace);
  PyErr_Restore(full_type, full, full_trace);
}

// Sets type(*arguments), made now: PyErr_SetObject would take a tuple for several arguments.
void SetMade(PyObject* type, PyObject* arguments) {
  PyObject* const error = arguments == nullptr ? nullptr : PyObject_CallObject(type, arguments);
  Py_XDECREF(arguments);
  if (error == nullptr) return;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error)), error);
  Py_DECREF(error);
}

void Set(const absl::Status& status, PyObject* text, PyObject* key) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return SetMade(PyExc_KeyError, PyTuple_Pack(1, key != nullptr ? key : Py_None));
    case absl::StatusCode::kResourceExhausted:
      return SetFull(text);
    case absl::StatusCode::kDataLoss:
      return PyErr_SetObject(errors.corrupt, text);
    case absl::StatusCode::kAborted:
      return PyErr_SetObject(errors.contention, text);
    case absl::StatusCode::kDeadlineExceeded:
      return PyErr_SetObject(errors.timeout, text);
    case absl::StatusCode::kInvalidArgument:  // a value that is too long for any dict of this size
      return SetFull(text);
    case absl::StatusCode::kOutOfRange:
      return PyErr_SetObject(PyExc_OverflowError, text);
    case absl::StatusCode::kFailedPrecondition:
      // The library's words are its interface here: it has one code for them.
      if (status.message().find("closed") != std::string::npos) return PyErr_SetObject(errors.closed, text);
      if (status.message().find("read-only") != std::string::npos) return PyErr_SetObject(errors.read_only, text);
      return PyErr_SetObject(PyExc_RuntimeError, text);
    default:
      return PyErr_SetObject(PyExc_RuntimeError, text);
  }
}

void SetOpen(const absl::Status& status, PyObject* text, PyObject* file) {
  // OSError(errno, text, filename) makes the subclass: FileNotFoundError and so on.
  const auto set = [&](int number) { SetMade(PyExc_OSError, Py_BuildValue("(iOO)", number, text, file)); };
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return set(ENOENT);
    case absl::StatusCode::kAlreadyExists:
      return set(EEXIST);
    case absl::StatusCode::kPermissionDenied:
      return set(EACCES);
    case absl::StatusCode::kResourceExhausted:
      return set(ENOSPC);
    case absl::StatusCode::kFailedPrecondition:
      return PyErr_SetObject(errors.format, text);
    case absl::StatusCode::kInvalidArgument:
      return PyErr_SetObject(PyExc_ValueError, text);
    default:
      return Set(status, text, nullptr);
  }
}

}  // namespace

void ImportErrors(nb::module_& module) {
  const auto get = [&module](const char* name) { return nb::object(module.attr(name)).release().ptr(); };
  errors = {.full = get("FullError"),
            .corrupt = get("CorruptError"),
            .contention = get("ContentionError"),
            .timeout = get("WaitTimeoutError"),
            .read_only = get("ReadOnlyError"),
            .closed = get("ClosedError"),
            .format = get("FormatError"),
            .deserialization = get("DeserializationError")};
}

void SetError(const absl::Status& status, PyObject* key) {
  if (PyErr_Occurred() != nullptr) return;
  const nb::object text = Text(std::string(status.message()));
  if (text.is_valid()) TakeInterpreter([&] { Set(status, text.ptr(), key); });
}

void Throw(const absl::Status& status, PyObject* key) {
  SetError(status, key);
  ThrowSet();
}

void ThrowSet() {
#if PY_VERSION_HEX < 0x030C0000
  // Else nanobind makes the exception's object, where its constructor may run.
  TakeInterpreter([] {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyErr_Restore(type, value, trace);
  });
#endif
  throw nb::python_error();
}

void Raise(PyObject* type, const std::string& text) {
  SetText(type, text);
  ThrowSet();
}

void ThrowOpen(const absl::Status& status, const std::string& where) {
  const nb::object text = Text(std::string(status.message()));
  const nb::object file = Text(where);
  if (text.is_valid() && file.is_valid() && PyErr_Occurred() == nullptr) {
    TakeInterpreter([&] { SetOpen(status, text.ptr(), file.ptr()); });
  }
  ThrowSet();
}

void SetUndecodable(const std::string& reason) {
  // The exception's own constructor takes the bytes; here there is a reason instead.
  SetText(errors.deserialization, reason);
}

}  // namespace segdict::python
