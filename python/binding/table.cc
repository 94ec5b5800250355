#include "python/binding/table.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "python/binding/interpreter.h"

namespace segdict::python {
namespace {

constexpr size_t kShort = 512;  // values that are copied to the stack first

// Sleeps without the interpreter's lock, and looks for signals (Ctrl-C) after each sleep.
class GilBlocking : public Blocking {
 public:
  bool Sleep(absl::FunctionRef<void()> sleep) override {
    if (taken_off == nullptr) {
      {
        const Released released;
        sleep();
      }
      return GoOn();
    }
    // Within a long copy.
    sleep();
    const Retaken retaken;
    return GoOn();
  }

 private:
  static bool GoOn() {
    return TakeInterpreter([] { return PyErr_CheckSignals(); }) == 0;
  }
};

Blocking* TheBlocking() {
  static auto* const blocking = new GilBlocking;
  return blocking;
}

// None: for ever. Ellipsis: as it is.
WriteOptions ToOptions(nb::handle ttl, Type type) {
  WriteOptions options{.type = type};
  if (ttl.is_none()) return options;
  if (ttl.ptr() == Py_Ellipsis) {
    options.keep_ttl = true;
    return options;
  }
  const double seconds = TakeInterpreter([&] { return PyFloat_AsDouble(ttl.ptr()); });
  if (seconds == -1 && PyErr_Occurred() != nullptr) ThrowSet();
  if (std::isnan(seconds)) Raise(PyExc_ValueError, "a time to live must be a number of seconds, not nan");
  options.ttl = absl::Seconds(seconds);
  return options;
}

}  // namespace

// A call under way: Close waits with unmapping until the last has ended.
class Use {
 public:
  explicit Use(Table& table) : table_(table) { ++table_.users_; }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    if (--table_.users_ == 0 && table_.closing_) table_.Close();
  }

 private:
  Table& table_;
};

namespace {

void Encode(Key& key, nb::handle object, const Codec& codec) {
  if (!key.Encode(object.ptr(), codec.pickle)) ThrowSet();
}

// Runs `body` without the interpreter's lock.
template <class Body>
auto Unlocked(Body&& body) {
  const Released released;
  return body();
}

// The same if it copies much.
template <class Body>
auto Copying(size_t bytes, Body&& body) {
  return bytes < kLongCopy ? body() : Unlocked(body);
}

nb::object Seconds(absl::Duration ttl) {
  if (ttl == absl::InfiniteDuration()) return nb::none();
  return nb::float_(absl::ToDoubleSeconds(ttl));
}

template <class... Items>
nb::object Tuple(const Items&... items) {
  PyObject* const tuple = TakeInterpreter([&] { return PyTuple_Pack(sizeof...(items), items.ptr()...); });
  if (tuple == nullptr) ThrowSet();
  return nb::steal(tuple);
}

// Throws if a value of this type and length cannot be read into a buffer of `room` bytes.
void CheckReadable(uint8_t type, size_t length, size_t room) {
  if (type != static_cast<uint8_t>(Type::kBytes) && type != kByteArray)
    Raise(PyExc_TypeError, "the value is not bytes");
  if (length > room) {
    Raise(PyExc_ValueError, absl::StrCat("the value has ", length, " bytes, the buffer ", room));
  }
}

}  // namespace

Location ToLocation(const std::string& kind, nb::handle where) {
  if (kind == "fd") {
    const int fd = TakeInterpreter([&] { return PyObject_AsFileDescriptor(where.ptr()); });
    if (fd < 0) ThrowSet();
    return Descriptor(fd);
  }
  PyObject* encoded = nullptr;
  if (TakeInterpreter([&] { return PyUnicode_FSConverter(where.ptr(), &encoded); }) == 0) ThrowSet();
  const nb::object text = nb::steal(encoded);
  const std::string bytes(PyBytes_AS_STRING(text.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(text.ptr())));
  return kind == "path" ? Path(bytes) : Name(bytes);
}

Table::Table(const Location& location, How how, Options options, Codec codec) : codec_(std::move(codec)) {
  options.blocking = TheBlocking();
  absl::StatusOr<Dict> dict = absl::UnknownError("");
  {
    const Released released;
    dict = how == How::kOpen     ? Dict::Open(location, options)
           : how == How::kCreate ? Dict::Create(location, options)
                                 : Dict::OpenOrCreate(location, options);
  }
  if (!dict.ok()) {
    ThrowOpen(dict.status(),
              location.kind() == Location::Kind::kDescriptor ? std::to_string(location.descriptor()) : location.text());
  }
  dict_ = *std::move(dict);
  ordered_ = dict_->ordered();
}

Dict& Table::dict() {
  if (closing_ || !dict_.has_value()) Throw(absl::FailedPreconditionError("this dict was closed"));
  return *dict_;
}

Owned Table::Decode(Type type, std::string_view bytes) {
  Owned value(DecodeValue(type, bytes, codec_));
  if (!value.is_valid()) ThrowSet();
  return value;
}

Owned Table::DecodeKeyOf(std::string_view key, Type type, std::string_view value) {
  Owned object;
  if ((static_cast<uint8_t>(type) & kCarriesKey) != 0) {
    std::string_view carried, rest;
    if (!SplitCarried(value, &carried, &rest)) {
      SetUndecodable("Failed to deserialize data: the value is shorter than the key that it carries");
      ThrowSet();
    }
    object = Owned(DecodeCarried(carried, codec_.pickle));
  } else {
    object = Owned(DecodeKey(key, codec_.pickle));
  }
  if (!object.is_valid()) ThrowSet();
  return object;
}

// ---- Reading ------------------------------------------------------------------------------------------------

PyObject* Table::Subscript(PyObject* key_object) {
  bool missing = false;
  PyObject* const value = Look(key_object, &missing);
  if (missing) SetError(absl::NotFoundError(""), key_object);
  return value;
}

PyObject* Table::Look(PyObject* key_object, bool* missing) {
  Key key;
  if (!key.Encode(key_object, codec_.pickle)) return nullptr;
  ValueInfo info;
  return Fetch(key.view(), &info, missing);
}

PyObject* Table::Fetch(std::string_view key, ValueInfo* info, bool* missing) {
  if (!dict_.has_value()) [[unlikely]] {
    SetError(absl::FailedPreconditionError("this dict was closed"), nullptr);
    return nullptr;
  }
  char buffer[kShort];
  const absl::Status status = dict_->Get(key, buffer, info);
  if (status.ok()) [[likely]]
    return DecodeValue(info->type, {buffer, info->length}, codec_);
  if (absl::IsOutOfRange(status)) return FetchLong(key, info, missing);
  *missing = absl::IsNotFound(status);
  if (!*missing) SetError(status, nullptr);
  return nullptr;
}

// Straight into the object that the value becomes, where that has its bytes as they are.
PyObject* Table::FetchLong(std::string_view key, ValueInfo* info, bool* missing) {
  const Use use(*this);
  for (;;) {
    const auto type = static_cast<uint8_t>(info->type);
    const size_t length = info->length;
    Owned object;
    std::unique_ptr<char[]> scratch;
    Buffer memory;
    char* to = nullptr;
    if (info->type == Type::kBytes) {
      object = Owned(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length)));
      if (!object.is_valid()) return nullptr;
      to = PyBytes_AS_STRING(object.ptr());
    } else if (type == kByteArray) {
      object = Owned(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length)));
      if (!object.is_valid()) return nullptr;
      to = PyByteArray_AS_STRING(object.ptr());
    } else if (type == kArray) {
      nb::object bytes = nb::steal(PyLong_FromSize_t(length));
      object = Owned(bytes.is_valid() ? CallModule("segdict._arrays", "buffer", bytes.ptr()) : nullptr);
      if (!object.is_valid()) return nullptr;
      if (!memory.Get(object.ptr(), PyBUF_WRITABLE)) return nullptr;
      to = memory.data();
    } else {
      scratch.reset(new char[length]);
      to = scratch.get();
    }
    const absl::Status status = Copying(length, [&] { return dict_->Get(key, {to, length}, info); });
    if (absl::IsOutOfRange(status)) continue;
    if (!status.ok()) {
      *missing = absl::IsNotFound(status);
      if (!*missing) SetError(status, nullptr);
      return nullptr;
    }
    if (scratch != nullptr) return DecodeValue(info->type, {to, info->length}, codec_);
    if (info->length != length || static_cast<uint8_t>(info->type) != type) continue;  // overwritten meanwhile
    if (type == kArray) return CallModule("segdict._arrays", "view", object.ptr());
    return object.release().ptr();
  }
}

int Table::Contains(PyObject* key_object) {
  Key key;
  if (!key.Encode(key_object, codec_.pickle)) return -1;
  const absl::StatusOr<bool> there = dict().Contains(key.view());
  if (there.ok()) return *there ? 1 : 0;
  SetError(there.status(), key_object);
  return -1;
}

Py_ssize_t Table::Length() { return static_cast<Py_ssize_t>(dict().size()); }

nb::object Table::Get(nb::handle key, nb::object fallback) {
  bool missing = false;
  PyObject* const value = Look(key.ptr(), &missing);
  if (value != nullptr) return nb::steal(value);
  if (!missing) ThrowSet();
  return fallback;
}

nb::object Table::Read(nb::handle key_object) {
  Key key;
  Encode(key, key_object, codec_);
  const Use use(*this);
  ValueInfo info;
  bool missing = false;
  const Owned value(Fetch(key.view(), &info, &missing));
  if (missing) return nb::none();
  if (!value.is_valid()) ThrowSet();
  const nb::object version = nb::cast(info.version);
  const nb::object ttl = Seconds(info.ttl);
  return Tuple(value, version, ttl);
}

nb::object Table::Ttl(nb::handle key_object) {
  Key key;
  Encode(key, key_object, codec_);
  ValueInfo info;
  const absl::Status status = dict().Get(key.view(), std::span<char>(), &info);
  if (!status.ok() && !absl::IsOutOfRange(status)) Throw(status, key_object.ptr());
  return Seconds(info.ttl);
}

nb::object Table::GetMany(nb::handle keys) {
  const Use use(*this);
  const Owned objects(TakeInterpreter([&] { return PySequence_List(keys.ptr()); }));
  if (!objects.is_valid()) ThrowSet();
  const auto object = [&](size_t i) { return PyList_GET_ITEM(objects.ptr(), static_cast<Py_ssize_t>(i)); };
  const auto n = static_cast<size_t>(PyList_GET_SIZE(objects.ptr()));
  std::vector<Key> encoded(n);
  std::vector<std::string_view> views(n);
  for (size_t i = 0; i < n; ++i) {
    Encode(encoded[i], object(i), codec_);
    views[i] = encoded[i].view();
  }
  Owned found(NewDict());
  bool failed = false;
  const auto put = [&](size_t i, const Entry* entry) {
    if (entry == nullptr || failed) return;
    const Owned value(DecodeValue(entry->type, entry->value, codec_));
    failed =
        !value.is_valid() || TakeInterpreter([&] { return PyDict_SetItem(found.ptr(), object(i), value.ptr()); }) != 0;
  };
  const absl::Status status = dict().GetMany(views, put);
  if (failed) ThrowSet();
  if (!status.ok()) Throw(status);
  return found;
}

uint64_t Table::ReadInto(nb::handle key_object, nb::handle buffer) {
  Key key;
  Encode(key, key_object, codec_);
  Buffer memory;
  if (!memory.Get(buffer.ptr(), PyBUF_WRITABLE)) {
    if (PyErr_ExceptionMatches(PyExc_BufferError) == 0 && PyErr_ExceptionMatches(PyExc_TypeError) == 0) ThrowSet();
    ClearError();
    Raise(PyExc_TypeError, "read_into needs a writable, contiguous buffer");
  }
  const Use use(*this);
  const std::span<char> to(memory.data(), memory.size());
  Dict& table = dict();
  // What cannot be read leaves the buffer as it is: so the value is looked at first, and copied a second time if it is
  // short.
  char bytes[kShort];
  ValueInfo info;
  absl::Status status = table.Get(key.view(), bytes, &info);
  const bool is_short = status.ok();
  for (bool copied = is_short;; copied = true) {
    if (!status.ok() && !absl::IsOutOfRange(status)) Throw(status, key_object.ptr());
    const auto type = static_cast<uint8_t>(info.type);
    if ((type & kCarriesKey) != 0) return ReadRest(key.view(), key_object, info.length, to);
    CheckReadable(type, info.length, to.size());
    if (copied) break;
    status = Copying(info.length, [&] { return table.Get(key.view(), to, &info); });
  }
  if (is_short) std::copy_n(bytes, info.length, to.data());
  return info.length;
}

// ReadInto for a value that carries its key.
uint64_t Table::ReadRest(std::string_view key, nb::handle key_object, size_t length, std::span<char> buffer) {
  std::string bytes;
  Type type{};
  Dict& table = dict();
  const auto take = [&](const Entry& entry) {
    type = entry.type;
    bytes.assign(entry.value);
  };
  const absl::Status status = Copying(length, [&] { return table.Visit(key, take); });
  if (!status.ok()) Throw(status, key_object.ptr());
  std::string_view carried, value = bytes;
  if ((static_cast<uint8_t>(type) & kCarriesKey) != 0 && !SplitCarried(bytes, &carried, &value)) {
    SetUndecodable("Failed to deserialize data: the value is shorter than the key that it carries");
    ThrowSet();
  }
  CheckReadable(static_cast<uint8_t>(static_cast<uint8_t>(type) & ~kCarriesKey), value.size(), buffer.size());
  value.copy(buffer.data(), value.size());
  return value.size();
}

// ---- Writing ------------------------------------------------------------------------------------------------

bool Table::EncodeEntry(PyObject* key_object, PyObject* value_object, Key* key, Value* value) {
  if (codec_.native || PyUnicode_Check(key_object)) [[likely]] {
    if (!key->Encode(key_object, codec_.pickle) || !value->Encode(key_object, value_object, codec_)) return false;
  } else {
    // A serializer that stores everything may know the value under another key: JSON has none but strings.
    if (!value->Encode(key_object, value_object, codec_)) return false;
    if (!key->Encode(value->key() != nullptr ? value->key() : key_object, codec_.pickle)) return false;
  }
  if (!value->Carry(key->carried())) return false;
  const uint64_t bytes = key->view().size() + value->size();
  if (bytes <= longest_) [[likely]]
    return true;
  SetError(absl::ResourceExhaustedError(absl::StrCat("no room for a value of ", bytes, " bytes in the arena of ",
                                                     longest_, " bytes that the dict was made with")),
           key_object);
  return false;
}

absl::Status Table::Store(const Key& key, const Value& value, const WriteOptions& options) {
  const Use use(*this);
  Dict& table = dict();
  if (value.head().empty() && value.size() < kLongCopy) [[likely]]
    return table.Set(key.view(), value.body(), options);
  const std::string_view parts[] = {value.head(), value.body()};
  return Copying(value.size(), [&] { return table.SetParts(key.view(), parts, options); });
}

int Table::AssignSubscript(PyObject* key_object, PyObject* value_object) {
  Key key;
  absl::Status status;
  if (value_object == nullptr) {
    if (!key.Encode(key_object, codec_.pickle)) return -1;
    const Use use(*this);
    status = dict().Erase(key.view());
  } else {
    Value value;
    if (!EncodeEntry(key_object, value_object, &key, &value)) return -1;
    status = Store(key, value, {.type = value.type()});
  }
  if (status.ok()) [[likely]]
    return 0;
  SetError(status, key_object);
  return -1;
}

void Table::Set(nb::handle key_object, nb::handle value_object, nb::handle ttl) {
  Key key;
  Value value;
  if (!EncodeEntry(key_object.ptr(), value_object.ptr(), &key, &value)) ThrowSet();
  const absl::Status status = Store(key, value, ToOptions(ttl, value.type()));
  if (!status.ok()) Throw(status, key_object.ptr());
}

bool Table::Add(nb::handle key, nb::handle value, nb::handle ttl) {
  return SetIf(key, value, ttl, &Dict::Insert, absl::StatusCode::kAlreadyExists);
}

bool Table::Replace(nb::handle key, nb::handle value, nb::handle ttl) {
  return SetIf(key, value, ttl, &Dict::Replace, absl::StatusCode::kNotFound);
}

bool Table::SetIf(nb::handle key_object, nb::handle value_object, nb::handle ttl, Write write,
                  absl::StatusCode refusal) {
  Key key;
  Value value;
  if (!EncodeEntry(key_object.ptr(), value_object.ptr(), &key, &value)) ThrowSet();
  const WriteOptions options = ToOptions(ttl, value.type());
  const Use use(*this);
  Dict& table = dict();
  const absl::Status status =
      Copying(value.size(), [&] { return (table.*write)(key.view(), value.Joined(), options); });
  if (status.code() == refusal) return false;
  if (!status.ok()) Throw(status, key_object.ptr());
  return true;
}

bool Table::Delete(nb::handle key_object) {
  Key key;
  Encode(key, key_object, codec_);
  const Use use(*this);
  const absl::Status status = dict().Erase(key.view());
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) Throw(status, key_object.ptr());
  return true;
}

nb::object Table::Increment(nb::handle key_object, int64_t delta, std::optional<int64_t> initial, nb::handle ttl) {
  Key key;
  Encode(key, key_object, codec_);
  if (!codec_.native || !key.carried().empty()) return nb::none();
  const WriteOptions options = ToOptions(ttl, Type::kInt64);
  const Use use(*this);
  const absl::StatusOr<int64_t> before = dict().FetchAdd(key.view(), delta, initial, options);
  if (before.ok()) return nb::int_(*before + delta);
  if (absl::IsOutOfRange(before.status())) return nb::none();
  // Of the failed preconditions only the value's type is for somebody else to deal with.
  if (absl::IsFailedPrecondition(before.status()) && dict_.has_value() &&
      before.status().message().find("64-bit") != std::string::npos) {
    return nb::none();
  }
  Throw(before.status(), key_object.ptr());
}

bool Table::CompareAndSet(nb::handle key_object, const Version& token, nb::handle value_object, nb::handle ttl) {
  Key key;
  Value value;
  if (!EncodeEntry(key_object.ptr(), value_object.ptr(), &key, &value)) ThrowSet();
  const WriteOptions options = ToOptions(ttl, value.type());
  const Use use(*this);
  Dict& table = dict();
  const absl::StatusOr<Version> version =
      Copying(value.size(), [&] { return table.CompareAndSet(key.view(), token, value.Joined(), options); });
  if (version.ok()) return true;
  if (absl::IsAborted(version.status()) || absl::IsNotFound(version.status())) return false;
  Throw(version.status(), key_object.ptr());
}

bool Table::CompareAndDelete(nb::handle key_object, const Version& token) {
  Key key;
  Encode(key, key_object, codec_);
  const Use use(*this);
  const absl::Status status = dict().CompareAndErase(key.view(), token);
  if (status.ok()) return true;
  if (absl::IsAborted(status) || absl::IsNotFound(status)) return false;
  Throw(status, key_object.ptr());
}

bool Table::Touch(nb::handle key_object, nb::handle ttl) {
  Key key;
  Encode(key, key_object, codec_);
  const WriteOptions options = ToOptions(ttl, Type::kBytes);
  const Use use(*this);
  if (options.keep_ttl) {
    const absl::StatusOr<bool> there = dict().Contains(key.view());
    if (!there.ok()) Throw(there.status(), key_object.ptr());
    return *there;
  }
  const absl::Status status = dict().Touch(key.view(), options.ttl);
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) Throw(status, key_object.ptr());
  return true;
}

nb::object Table::Pop(nb::handle key_object, nb::object fallback) {
  Key key;
  Encode(key, key_object, codec_);
  const Use use(*this);
  for (;;) {
    // Made before the entry goes: what cannot be read stays.
    ValueInfo info;
    bool missing = false;
    Owned value(Fetch(key.view(), &info, &missing));
    if (missing) return fallback;
    if (!value.is_valid()) ThrowSet();
    const absl::Status status = dict().CompareAndErase(key.view(), info.version);
    if (status.ok()) return value;
    if (!absl::IsAborted(status) && !absl::IsNotFound(status)) Throw(status, key_object.ptr());
  }
}

bool Table::MoveToEnd(nb::handle key_object) {
  Key key;
  Encode(key, key_object, codec_);
  const Use use(*this);
  const absl::Status status = dict().MoveToEnd(key.view());
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) Throw(status, key_object.ptr());
  return true;
}

nb::object Table::PopItem() {
  const Use use(*this);
  for (;;) {
    std::string key_bytes, bytes;
    Entry found;
    bool any = false;
    const auto take = [&](const Entry& entry) {
      any = true;
      found = entry;
      key_bytes.assign(entry.key);
      bytes.assign(entry.value);
      return false;
    };
    Dict& table = dict();
    absl::Status status =
        Unlocked([&] { return ordered_ ? table.ForEachOrdered(Direction::kBackward, take) : table.ForEach(take); });
    if (!status.ok()) Throw(status);
    if (!any) Raise(PyExc_KeyError, "popitem(): dictionary is empty");
    const Owned key = DecodeKeyOf(key_bytes, found.type, bytes);
    const Owned value = Decode(found.type, bytes);
    Owned pair = Tuple(key, value);
    status = dict().CompareAndErase(key_bytes, found.version);
    if (status.ok()) return pair;
    if (!absl::IsAborted(status) && !absl::IsNotFound(status)) Throw(status);
  }
}

void Table::Clear() {
  const Use use(*this);
  Dict& table = dict();
  const absl::Status status = Unlocked([&] { return table.Clear(); });
  if (!status.ok()) Throw(status);
}

uint64_t Table::Sweep() {
  const Use use(*this);
  Dict& table = dict();
  const absl::StatusOr<uint64_t> swept = Unlocked([&] { return table.Sweep(); });
  if (!swept.ok()) Throw(swept.status());
  return *swept;
}

// ---- As a whole ---------------------------------------------------------------------------------------------

nb::object Table::Entries(What what, bool reverse) {
  if (reverse && !ordered_)
    Raise(PyExc_TypeError, "this dict does not keep the order of insertion (ordered=True does)");
  struct Copy {
    std::string key, value;
    Type type;
  };
  const Use use(*this);
  std::vector<Copy> copies;
  const auto collect = [&](const Entry& entry) {
    // Keys alone need a value only if it carries the key.
    const bool carries = (static_cast<uint8_t>(entry.type) & kCarriesKey) != 0;
    copies.push_back({what == What::kValues ? std::string() : std::string(entry.key),
                      what == What::kKeys && !carries ? std::string() : std::string(entry.value), entry.type});
    return true;
  };
  Dict& table = dict();
  const Direction direction = reverse ? Direction::kBackward : Direction::kForward;
  const absl::Status status =
      Unlocked([&] { return ordered_ ? table.ForEachOrdered(direction, collect) : table.ForEach(collect); });
  if (!status.ok()) Throw(status);
  Owned entries(NewList());
  for (const Copy& copy : copies) {
    Owned entry;
    switch (what) {
      case What::kKeys:
        entry = DecodeKeyOf(copy.key, copy.type, copy.value);
        break;
      case What::kValues:
        entry = Decode(copy.type, copy.value);
        break;
      case What::kItems:
        entry = Tuple(DecodeKeyOf(copy.key, copy.type, copy.value), Decode(copy.type, copy.value));
        break;
    }
    if (PyList_Append(entries.ptr(), entry.ptr()) != 0) ThrowSet();
  }
  return entries;
}

nb::dict Table::GetStats() {
  const Use use(*this);
  Dict& table = dict();
  const absl::StatusOr<Stats> stats = Unlocked([&] { return table.GetStats(); });
  if (!stats.ok()) Throw(stats.status());
  nb::dict d = NewDict();
  d["capacity"] = stats->capacity;
  d["slots"] = stats->slots;
  d["entries_live"] = stats->entries_live;
  d["entries_expired"] = stats->entries_expired;
  d["load"] = stats->load;
  d["groups_per_hit"] = stats->groups_per_hit;
  d["groups_per_miss"] = stats->groups_per_miss;
  d["displaced"] = stats->displaced;
  d["max_reach"] = stats->max_reach;
  d["page_bytes"] = stats->page_bytes;
  d["pages"] = stats->pages;
  d["pages_free"] = stats->pages_free;
  d["writers"] = stats->writers;
  d["max_writers"] = stats->max_writers;
  d["retries"] = stats->retries;
  d["waits"] = stats->waits;
  d["recoveries"] = stats->recoveries;
  d["segment_bytes"] = stats->segment_bytes;
  d["huge_page_bytes"] = stats->huge_page_bytes;
  return d;
}

nb::list Table::Verify() {
  const Use use(*this);
  Dict& table = dict();
  const absl::StatusOr<VerifyReport> report = Unlocked([&] { return table.Verify(); });
  if (!report.ok()) Throw(report.status());
  nb::list errors = NewList();
  for (const std::string& error : report->errors) errors.append(nb::str(error.c_str(), error.size()));
  return errors;
}

uint32_t Table::Recover() {
  const Use use(*this);
  const absl::StatusOr<uint32_t> recovered = dict().Recover();
  if (!recovered.ok()) Throw(recovered.status());
  return *recovered;
}

void Table::Close() {
  closing_ = true;
  if (!dict_.has_value()) return;
  dict_->Close();
#ifndef Py_GIL_DISABLED
  if (users_ == 0) dict_.reset();
#endif
}

uint64_t Table::capacity() { return dict().capacity(); }
uint64_t Table::value_bytes() { return dict().value_bytes(); }
uint64_t Table::segment_bytes() { return dict().segment_bytes(); }

absl::StatusOr<Dict::LockGuard> Table::Lock() {
  const Use use(*this);
  return dict().Lock();
}

}  // namespace segdict::python
