// Giving the interpreter's lock away and taking it again, and calling into Python, where others may take it.
//
// When the interpreter ends, it ends the threads that are left (daemons) as they take its lock, by unwinding their
// stacks. Destructors and the library are not made for that (they would give references back without the lock): here
// such a thread waits for the end of the process. So no frame with a destructor may lie between these functions and the
// interpreter.
#ifndef SEGDICT_PYTHON_BINDING_INTERPRETER_H_
#define SEGDICT_PYTHON_BINDING_INTERPRETER_H_

#include <Python.h>
#include <unistd.h>

#include <utility>

namespace segdict::python {

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

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_INTERPRETER_H_
