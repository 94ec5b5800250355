// The extension module segdict._core. What each of these does is said in segdict/_core.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/operators.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <functional>
#include <vector>

#include "python/binding/interpreter.h"
#include "python/binding/section.h"
#include "python/binding/table.h"

namespace segdict::python {
namespace {

using namespace nanobind::literals;  // NOLINT(google-build-using-namespace): 1 literal, "name"_a

Table* Self(PyObject* self) {
  if (!nb::inst_ready(self)) [[unlikely]] {
    PyErr_SetString(PyExc_RuntimeError, "this dict's __init__ was not called");
    return nullptr;
  }
  return nb::inst_ptr<Table>(self);
}

// Runs a slot's body: exceptions become Python errors.
template <class Result, class Body>
[[gnu::always_inline]] inline Result Guarded(Result failed, Body&& body) {
  try {
    return body();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    SetText(PyExc_RuntimeError, error.what());
  }
  return failed;
}

PyObject* Subscript(PyObject* self, PyObject* key) {
  Table* const table = Self(self);
  if (table == nullptr) return nullptr;
  return Guarded<PyObject*>(nullptr, [&] { return table->Subscript(key); });
}

int AssignSubscript(PyObject* self, PyObject* key, PyObject* value) {
  Table* const table = Self(self);
  if (table == nullptr) return -1;
  return Guarded(-1, [&] { return table->AssignSubscript(key, value); });
}

Py_ssize_t Length(PyObject* self) {
  Table* const table = Self(self);
  if (table == nullptr) return -1;
  return Guarded<Py_ssize_t>(-1, [&] { return table->Length(); });
}

int Contains(PyObject* self, PyObject* key) {
  Table* const table = Self(self);
  if (table == nullptr) return -1;
  return Guarded(-1, [&] { return table->Contains(key); });
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const Codec& codec = nb::inst_ptr<Table>(self)->codec();
  Py_VISIT(codec.dump.ptr());
  Py_VISIT(codec.load.ptr());
  return 0;
}

int ClearReferences(PyObject* self) {
  if (!nb::inst_ready(self)) return 0;  // nothing is there yet
  Codec& codec = nb::inst_ptr<Table>(self)->codec();
  codec.dump = nb::none();
  codec.load = nb::none();
  return 0;
}

PyType_Slot table_slots[] = {{Py_mp_subscript, reinterpret_cast<void*>(Subscript)},
                             {Py_mp_ass_subscript, reinterpret_cast<void*>(AssignSubscript)},
                             {Py_mp_length, reinterpret_cast<void*>(Length)},
                             {Py_sq_contains, reinterpret_cast<void*>(Contains)},
                             {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
                             {Py_tp_clear, reinterpret_cast<void*>(ClearReferences)},
                             {0, nullptr}};

// A section keeps its table, which may keep the section.
int TraverseSection(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<Section>(self)->table().ptr());
  return 0;
}

int ClearSection(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<Section>(self)->table() = nb::none();
  return 0;
}

PyType_Slot section_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(TraverseSection)},
                               {Py_tp_clear, reinterpret_cast<void*>(ClearSection)},
                               {0, nullptr}};

Table::What ToWhat(const std::string& what) {
  if (what == "keys") return Table::What::kKeys;
  if (what == "values") return Table::What::kValues;
  return Table::What::kItems;
}

void Init(Table* self, const std::string& kind, nb::handle where, const std::string& how, uint64_t capacity,
          uint64_t value_bytes, uint32_t slot_size, double max_load, uint32_t max_writers, bool ordered, uint32_t mode,
          int64_t group, bool lock, bool read_only, std::optional<double> wait_limit,
          std::vector<uint32_t> trusted_owners, bool huge_pages, bool prefault, bool exclude_from_core_dumps,
          bool native, bool pickle, nb::object dump, nb::object load) {
  Options options{.capacity = capacity,
                  .value_bytes = value_bytes,
                  .slot_size = slot_size,
                  .max_load = max_load,
                  .max_writers = max_writers,
                  .ordered = ordered,
                  .mode = mode,
                  .group = group,
                  .lock_mode = lock ? LockMode::kGlobalMutex : LockMode::kPerSlot,
                  .read_only = read_only};
  if (wait_limit.has_value() && std::isnan(*wait_limit)) {
    Raise(PyExc_ValueError, "wait_limit must be a number of seconds, not nan");
  }
  if (wait_limit.has_value()) options.wait_limit = absl::Seconds(*wait_limit);
  options.trusted_owners.assign(trusted_owners.begin(), trusted_owners.end());
  options.huge_pages = huge_pages;
  options.prefault = prefault;
  options.exclude_from_core_dumps = exclude_from_core_dumps;
  const Table::How mode_of_opening = how == "open"     ? Table::How::kOpen
                                     : how == "create" ? Table::How::kCreate
                                                       : Table::How::kOpenOrCreate;
  new (self) Table(ToLocation(kind, where), mode_of_opening, std::move(options),
                   {.native = native, .pickle = pickle, .dump = std::move(dump), .load = std::move(load)});
}

void Unlink(const std::string& kind, nb::handle where) {
  const Location location = ToLocation(kind, where);
  absl::Status status;
  {
    const Released released;
    status = Dict::Unlink(location);
  }
  if (!status.ok()) ThrowOpen(status, location.text());
}

nb::list ListSegments() {
  const absl::StatusOr<std::vector<SegmentInfo>> infos = Dict::List();
  if (!infos.ok()) Throw(infos.status());
  nb::list list = NewList();
  for (const SegmentInfo& info : *infos) {
    nb::dict d = NewDict();
    d["name"] = nb::steal(PyUnicode_DecodeFSDefault(info.name.c_str()));
    d["size"] = info.size;
    d["capacity"] = info.capacity;
    d["owner"] = info.owner;
    d["mode"] = info.mode;
    list.append(d);
  }
  return list;
}

// The library's exceptions and nanobind's types are one for the process: a second interpreter that takes them over, and
// ends, leaves the first without.
int RefuseOtherInterpreters(PyObject*) {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return 0;
  PyErr_SetString(PyExc_ImportError, "segdict can be imported by the main interpreter of a process only");
  return -1;
}

}  // namespace

// Named so for PyInit__core, which lets the refusal come first.
NB_MODULE(nanobind_core, m) {
  nb::set_leak_warnings(false);  // objects that live as long as the interpreter are no leak
  nb::module_ errors = nb::module_::import_("segdict.errors");
  ImportErrors(errors);

  nb::class_<Version>(m, "Token", "One state of one entry: equal tokens, unchanged entry.")
      .def(nb::self == nb::self)
      .def("__hash__", [](const Version& v) { return std::hash<uint64_t>()(v.slot * 0x9e3779b97f4a7c15 + v.seq); });

  nb::class_<Section>(m, "Section", nb::type_slots(section_slots),
                      "What lock() gives, for `with`; each thread needs one of its own.")
      .def("__enter__",
           [](nb::object self) {
             nb::cast<Section&>(self).Enter();
             return self;
           })
      .def(
          "__exit__", [](Section& self, nb::handle, nb::handle, nb::handle) { self.Exit(); }, "kind"_a = nb::none(),
          "value"_a = nb::none(), "trace"_a = nb::none());

  nb::class_<Table>(m, "Table", nb::type_slots(table_slots), nb::is_weak_referenceable())
      .def("__init__", &Init, "kind"_a, "where"_a.none(), "how"_a, nb::kw_only(), "capacity"_a = 0, "value_bytes"_a = 0,
           "slot_size"_a = 64, "max_load"_a = 0.75, "max_writers"_a = 128, "ordered"_a = false, "mode"_a = 0600,
           "group"_a = -1, "lock"_a = false, "read_only"_a = false, "wait_limit"_a = nb::none(),
           "trusted_owners"_a = std::vector<uint32_t>(), "huge_pages"_a = false, "prefault"_a = false,
           "exclude_from_core_dumps"_a = false, "native"_a = true, "pickle"_a = true, "dump"_a = nb::none(),
           "load"_a = nb::none())
      .def("get", &Table::Get, "key"_a.none(), "default"_a = nb::none(),
           "The value, or `default` if the key is not there.")
      .def("_read", &Table::Read, "key"_a.none())
      .def("_ttl", &Table::Ttl, "key"_a.none())
      .def("_get_many", &Table::GetMany, "keys"_a)
      .def("read_into", &Table::ReadInto, "key"_a.none(), "buffer"_a,
           "Copies a value of bytes into a writable buffer, and returns its length.\n\nKeyError if the key is not "
           "there, TypeError if the value is not bytes, ValueError if it is longer than the buffer;\nthe buffer then "
           "is as it was, unless somebody else overwrites or deletes it meanwhile.")
      .def("set", &Table::Set, "key"_a.none(), "value"_a.none(), "ttl"_a = nb::none(),
           "Sets the value, with a time to live in seconds; None: for ever; ``...``: an entry that is there keeps its "
           "own.")
      .def("add", &Table::Add, "key"_a.none(), "value"_a.none(), "ttl"_a = nb::none(),
           "Sets the value if the key is not there; whether it was so. Atomic.")
      .def("replace", &Table::Replace, "key"_a.none(), "value"_a.none(), "ttl"_a = nb::none(),
           "Sets the value if the key is there; whether it was so. Atomic.")
      .def("_delete", &Table::Delete, "key"_a.none())
      .def("_increment", &Table::Increment, "key"_a.none(), "delta"_a, "initial"_a = nb::none(), "ttl"_a = nb::none())
      .def("_compare_and_set", &Table::CompareAndSet, "key"_a.none(), "token"_a, "value"_a.none(), "ttl"_a = nb::none())
      .def("_compare_and_delete", &Table::CompareAndDelete, "key"_a.none(), "token"_a)
      .def("_move_to_end", &Table::MoveToEnd, "key"_a.none())
      .def("touch", &Table::Touch, "key"_a.none(), "ttl"_a = nb::none(),
           "Gives the entry another time to live, from now; whether it was there.")
      .def("_pop", &Table::Pop, "key"_a.none(), "default"_a.none())
      .def("popitem", &Table::PopItem,
           "Takes out an entry: the last inserted if the dict is ordered, any otherwise. O(n).")
      .def("clear", &Table::Clear, "Deletes what is there when it comes by, entry by entry.")
      .def("sweep", &Table::Sweep,
           "Reclaims all expired entries now, and returns how many. Never necessary: writers do it as they pass. O(n).")
      .def(
          "_entries",
          [](Table& self, const std::string& what, bool reverse) { return self.Entries(ToWhat(what), reverse); },
          "what"_a, "reverse"_a = false)
      .def("stats", &Table::GetStats, "Entries, load, lookup lengths, memory and writers, counted now. O(n).")
      .def("verify", &Table::Verify,
           "Checks every invariant of the memory; the violations, a sentence each (the first 100). O(n).")
      .def("recover", &Table::Recover,
           "Finishes or undoes now what dead writers left, and returns how many there were. Never necessary.")
      .def(
          "lock", [](nb::object self) { return Section(std::move(self)); },
          "A section: ``with d.lock():``.\n\nSerialized with all other sections, and with every write of handles with "
          "``lock=True``, in all processes. Reads are\nnot held up. May be entered again by the thread that is inside; "
          "if that dies, the lock is free again.")
      .def("close", &Table::Close,
           "Ends the use of this handle; the dict stays.\n\nCalls of other threads that are under way finish, or raise "
           "ClosedError and change nothing.")
      .def_prop_ro("closed", &Table::closed, "Whether this handle was closed.")
      .def("_limit_entries", &Table::LimitEntries, "bytes"_a)
      .def_prop_ro("capacity", &Table::capacity, "Entries that fit at least.")
      .def_prop_ro("value_bytes", &Table::value_bytes,
                   "Bytes for keys and values that do not fit into their slot, as promised when the dict was made.")
      .def_prop_ro("segment_bytes", &Table::segment_bytes, "Bytes of memory, all together.");

  m.def("unlink", &Unlink, "kind"_a, "where"_a);
  m.def("list_segments", &ListSegments,
        "The dicts in /dev/shm that this process may read: their name, size, capacity, owner and mode.");
  m.def(
      "value_bytes_for",
      [](size_t key_length, uint64_t value_length, uint64_t value_bytes, uint32_t slot_size, bool ordered,
         bool with_ttl) {
        return Dict::ValueBytesFor({.value_bytes = value_bytes, .slot_size = slot_size, .ordered = ordered}, key_length,
                                   value_length, with_ttl);
      },
      "key_length"_a, "value_length"_a, nb::kw_only(), "value_bytes"_a, "slot_size"_a = 64, "ordered"_a = false,
      "with_ttl"_a = false);
}

extern "C" NB_EXPORT PyObject* PyInit__core() {
  PyObject* const made = PyInit_nanobind_core();
  if (made == nullptr) return nullptr;
  auto* const definition = reinterpret_cast<PyModuleDef*>(made);
  // What the interpreter runs for each module that it makes of this definition; an empty slot is the last.
  static std::vector<PyModuleDef_Slot> slots = [definition] {
    std::vector<PyModuleDef_Slot> all = {{Py_mod_exec, reinterpret_cast<void*>(RefuseOtherInterpreters)}};
    for (const PyModuleDef_Slot* slot = definition->m_slots; slot->slot != 0; ++slot) all.push_back(*slot);
    all.push_back({0, nullptr});
    return all;
  }();
  definition->m_slots = slots.data();
  return made;
}

}  // namespace segdict::python
