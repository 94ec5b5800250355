// Giving the interpreter's lock away and taking it again, and calling into Python, where others may take it.
//
// When the interpreter ends, it ends the threads that are left (daemons) as they take its lock, by unwinding their
// stacks. Destructors and the library are not made for that (they would give references back without the lock), and
// nanobind takes it for an exception and aborts: here such a thread waits for the end of the process. So no frame with
// a destructor, and none that is noexcept, may lie between these functions and the interpreter.
//
// Everything that may run the program's code takes the lock: its methods (__hash__, __float__, ...), imports, buffers,
// finalizers when a reference is given back, and, up to Python 3.11, the garbage collection for which a new tuple,
// list, dict or exception may be the occasion. What nanobind does by itself, before and after a call (errors for wrong
// arguments, say), is not in our hands.
#ifndef SEGDICT_PYTHON_BINDING_INTERPRETER_H_
#define SEGDICT_PYTHON_BINDING_INTERPRETER_H_

#include <nanobind/nanobind.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace segdict::python {

namespace nb = nanobind;

// Calls `body`, which may take the lock; throws nothing.
template <class Body>
auto TakeInterpreter(Body&& body) {
  try {
    return body();
  } catch (...) {
    for (;;) pause();
  }
}

// callable(first[, second]): a new reference, or null with the Python error set.
inline PyObject* Call(PyObject* callable, PyObject* first, PyObject* second = nullptr) {
  return TakeInterpreter([&] { return PyObject_CallFunctionObjArgs(callable, first, second, nullptr); });
}

// module.function(argument), likewise.
inline PyObject* CallModule(const char* module, const char* function, PyObject* argument) {
  return TakeInterpreter([&]() -> PyObject* {
    PyObject* const imported = PyImport_ImportModule(module);
    if (imported == nullptr) return nullptr;
    PyObject* const callable = PyObject_GetAttrString(imported, function);
    Py_DECREF(imported);
    if (callable == nullptr) return nullptr;
    PyObject* const result = PyObject_CallFunctionObjArgs(callable, argument, nullptr);
    Py_DECREF(callable);
    return result;
  });
}

// A reference that may be the last one to an object of the program.
class Owned : public nb::object {
 public:
  Owned() = default;
  // Takes a new reference, or null.
  explicit Owned(PyObject* made) : nb::object(made, nb::detail::steal_t()) {}
  Owned(nb::object&& other) noexcept : nb::object(std::move(other)) {}  // NOLINT(google-explicit-constructor)
  Owned(Owned&&) noexcept = default;
  Owned& operator=(Owned&& other) noexcept {
    std::swap(m_ptr, other.m_ptr);
    return *this;
  }
  ~Owned() { Reset(); }

  void Reset() {
    TakeInterpreter([this] { Py_XDECREF(std::exchange(m_ptr, nullptr)); });
  }
};

// The memory of an object of the program while it lives.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (view_.obj != nullptr) TakeInterpreter([this] { PyBuffer_Release(&view_); });
  }
  // Once at the most. False with the Python error set.
  bool Get(PyObject* object, int flags) {
    return TakeInterpreter([&] { return PyObject_GetBuffer(object, &view_, flags); }) == 0;
  }
  char* data() const { return static_cast<char*>(view_.buf); }
  size_t size() const { return static_cast<size_t>(view_.len); }

 private:
  Py_buffer view_{};
};

inline void SetText(PyObject* type, const std::string& text) {
  TakeInterpreter([&] { PyErr_SetString(type, text.c_str()); });
}

// Empty ones.
inline nb::list NewList() {
  PyObject* const made = TakeInterpreter([] { return PyList_New(0); });
  if (made == nullptr) throw nb::python_error();
  return nb::steal<nb::list>(made);
}
inline nb::dict NewDict() {
  PyObject* const made = TakeInterpreter(PyDict_New);
  if (made == nullptr) throw nb::python_error();
  return nb::steal<nb::dict>(made);
}

// The Python error goes, and its traceback with what the frames there hold.
inline void ClearError() {
  TakeInterpreter([] { PyErr_Clear(); });
}

// The state that this thread took off when it gave the lock away; null while it has the lock. PyGILState_Check does not
// tell: once the process has had another interpreter, it says that every thread has the lock.
inline constinit thread_local PyThreadState* taken_off = nullptr;

inline void GiveInterpreter() { taken_off = PyEval_SaveThread(); }
inline void TakeInterpreterBack() {
  TakeInterpreter([] { PyEval_RestoreThread(std::exchange(taken_off, nullptr)); });
}

// Without the lock while it lives.
class Released {
 public:
  Released() { GiveInterpreter(); }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
  ~Released() { TakeInterpreterBack(); }
};

// With the lock again while it lives, where it was given away.
class Retaken {
 public:
  Retaken() { TakeInterpreterBack(); }
  Retaken(const Retaken&) = delete;
  Retaken& operator=(const Retaken&) = delete;
  ~Retaken() { GiveInterpreter(); }
};

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_INTERPRETER_H_
