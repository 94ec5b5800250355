#include "python/binding/errors.h"

#include <cerrno>

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

void SetText(PyObject* type, const absl::Status& status) {
  const nb::object text = Text(std::string(status.message()));
  if (text.is_valid()) PyErr_SetObject(type, text.ptr());
}

// FullError("exceeds available storage") from MemoryError(what is full).
void SetFull(const absl::Status& status) {
  SetText(PyExc_MemoryError, status);
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

void SetOs(int number, const absl::Status& status, const std::string& where) {
  const nb::object text = Text(std::string(status.message()));
  const nb::object file = Text(where);
  if (!text.is_valid() || !file.is_valid()) return;
  // OSError(errno, text, filename) makes the subclass: FileNotFoundError and so on.
  PyObject* const error = PyObject_CallFunction(PyExc_OSError, "iOO", number, text.ptr(), file.ptr());
  if (error == nullptr) return;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error)), error);
  Py_DECREF(error);
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
  switch (status.code()) {
    case absl::StatusCode::kNotFound: {
      // Called, since PyErr_SetObject would take a tuple for several arguments.
      nb::object error = nb::steal(PyObject_CallOneArg(PyExc_KeyError, key != nullptr ? key : Py_None));
      if (error.is_valid()) PyErr_SetObject(PyExc_KeyError, error.ptr());
      return;
    }
    case absl::StatusCode::kResourceExhausted:
      return SetFull(status);
    case absl::StatusCode::kDataLoss:
      return SetText(errors.corrupt, status);
    case absl::StatusCode::kAborted:
      return SetText(errors.contention, status);
    case absl::StatusCode::kDeadlineExceeded:
      return SetText(errors.timeout, status);
    case absl::StatusCode::kInvalidArgument:  // a value that is too long for any dict of this size
      return SetFull(status);
    case absl::StatusCode::kOutOfRange:
      return SetText(PyExc_OverflowError, status);
    case absl::StatusCode::kFailedPrecondition:
      // The library's words are its interface here: it has one code for them.
      if (status.message().find("closed") != std::string::npos) return SetText(errors.closed, status);
      if (status.message().find("read-only") != std::string::npos) return SetText(errors.read_only, status);
      return SetText(PyExc_RuntimeError, status);
    default:
      return SetText(PyExc_RuntimeError, status);
  }
}

void Throw(const absl::Status& status, PyObject* key) {
  SetError(status, key);
  ThrowSet();
}

void ThrowOpen(const absl::Status& status, const std::string& where) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      SetOs(ENOENT, status, where);
      break;
    case absl::StatusCode::kAlreadyExists:
      SetOs(EEXIST, status, where);
      break;
    case absl::StatusCode::kPermissionDenied:
      SetOs(EACCES, status, where);
      break;
    case absl::StatusCode::kResourceExhausted:
      SetOs(ENOSPC, status, where);
      break;
    case absl::StatusCode::kFailedPrecondition:
      SetText(errors.format, status);
      break;
    case absl::StatusCode::kInvalidArgument:
      SetText(PyExc_ValueError, status);
      break;
    default:
      SetError(status, nullptr);
  }
  ThrowSet();
}

void SetUndecodable(const std::string& reason) {
  // The exception's own constructor takes the bytes; here there is a reason instead.
  PyErr_SetString(errors.deserialization, reason.c_str());
}

}  // namespace segdict::python
