// What the library's statuses are in Python.
#ifndef SEGDICT_PYTHON_BINDING_ERRORS_H_
#define SEGDICT_PYTHON_BINDING_ERRORS_H_

#include <nanobind/nanobind.h>

#include <string>

#include "absl/status/status.h"

namespace segdict::python {

namespace nb = nanobind;

// Remembers the exceptions of segdict/errors.py; once, when the module is imported.
void ImportErrors(nb::module_& errors);

// Sets the Python error that `status`, of an operation on an open dict, stands for; keeps one that is set already (a
// signal handler's, during a wait). `key` is what KeyError shows; null: the operation has none.
void SetError(const absl::Status& status, PyObject* key);

// The same, thrown.
[[noreturn]] void Throw(const absl::Status& status, PyObject* key = nullptr);
// The Python error that is set, thrown.
[[noreturn]] void ThrowSet();
// type(text), thrown. Not nanobind's exceptions, which make it where a daemon thread cannot be ended.
[[noreturn]] void Raise(PyObject* type, const std::string& text);

// For a status of making, opening or unlinking: an OSError where the operating system has a word for it.
[[noreturn]] void ThrowOpen(const absl::Status& status, const std::string& where);

// Sets `segdict.DeserializationError`-like errors: what a stored value cannot be made into an object for.
void SetUndecodable(const std::string& reason);

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_ERRORS_H_
