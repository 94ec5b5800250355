// Section: what a Table's lock() gives.
#ifndef SEGDICT_PYTHON_BINDING_SECTION_H_
#define SEGDICT_PYTHON_BINDING_SECTION_H_

#include <nanobind/nanobind.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "python/binding/interpreter.h"
#include "segdict/dict.h"

namespace segdict::python {

// `with table.lock():`, a section that is serialized with other such sections and the writes of lock mode. May be
// entered again by the thread that holds it.
class Section {
 public:
  explicit Section(nb::object table) : table_(std::move(table)) {}
  Section(Section&&) = default;
  ~Section();
  void Enter();
  void Exit();
  Owned& table() { return table_; }

 private:
  // Leaves the guards of a thread that is not this one alone.
  void Abandon();

  Owned table_;
  std::vector<Dict::LockGuard> held_;
  uint64_t holder_ = 0;
};

}  // namespace segdict::python

#endif  // SEGDICT_PYTHON_BINDING_SECTION_H_
