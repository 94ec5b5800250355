// Giving the interpreter's lock away and taking it again.
//
// When the interpreter ends, it ends the threads that are left (daemons) as they take its lock, by unwinding their
// stacks. Destructors and the library are not made for that: here such a thread waits for the end of the process.
#ifndef SEGDICT_PYTHON_BINDING_INTERPRETER_H_
#define SEGDICT_PYTHON_BINDING_INTERPRETER_H_

#include <Python.h>
#include <unistd.h>

namespace segdict::python {

// Calls `take`, which takes the lock.
template <class Take>
void TakeInterpreter(Take&& take) {
  try {
    take();
  } catch (...) {
    for (;;) pause();
  }
}

// Without the lock while it lives.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()) {}
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
  ~Released() {
    TakeInterpreter([this] { PyEval_RestoreThread(state_); });
  }

 private:
  PyThreadState* const state_;
};

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_INTERPRETER_H_
