// The public class over its handle: argument checks, private copies into the shapes that the API gives, decisions.
#include "segdict/dict.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/dict/handle.h"
#include "src/sync/fork.h"

namespace segdict {
namespace {

using internal::Current;
using internal::Decision;
using internal::DictHandle;
using internal::Writer;

// Without text, and made once: it is frequent.
inline absl::Status Missing() {
  static const absl::Status missing(absl::StatusCode::kNotFound, "");
  return missing;
}

absl::Status Changed() { return absl::AbortedError("the entry has changed, or was moved; look again"); }

absl::Status Closed() { return absl::FailedPreconditionError("this dict was closed"); }

absl::Status NotOrdered() {
  return absl::FailedPreconditionError("this dict does not keep the order of insertion; make it with Options::ordered");
}

Entry ToEntry(const DictHandle& handle, std::string_view key, const Current& current) {
  return {.key = key,
          .value = current.value,
          .type = static_cast<Type>(current.type),
          .ttl = handle.TtlOf(current.expiry),
          .version = current.version,
          .order = current.order};
}

Entry ToEntry(const DictHandle& handle, const internal::Table<internal::RealMemory>::Snapshot& s) {
  return {.key = s.key,
          .value = s.value,
          .type = static_cast<Type>(s.type),
          .ttl = handle.TtlOf(s.expiry),
          .version = s.version,
          .order = s.order};
}

absl::StatusOr<int64_t> ToInt64(const Current& now) {
  if (now.type != static_cast<uint8_t>(Type::kInt64) || now.value.size() != sizeof(int64_t)) {
    return absl::FailedPreconditionError("the value is no 64-bit integer");
  }
  int64_t number;
  std::memcpy(&number, now.value.data(), sizeof(number));
  return number;
}

// `store` for an entry that is or is not there: with the expiry that it has, or a new one.
Decision WithExpiry(Decision store, const Current& now, const WriteOptions& options) {
  if (options.keep_ttl && now.live) {
    store.expiry = now.expiry;
    store.if_live = true;
  }
  return store;
}

// Set, for any entry and value.
[[gnu::noinline]] absl::Status SetUnusual(DictHandle& handle, std::string_view key, uint64_t hash,
                                          std::string_view value, const WriteOptions& options) {
  return handle.Write([&](Writer& w) {
    const auto type = static_cast<uint8_t>(options.type);
    const int64_t expiry = handle.ExpiryOf(options.ttl);
    if (!options.keep_ttl) return handle.table().Set(w, key, hash, value, type, expiry);
    return handle.table().Mutate(w, key, hash, false, false, [&](const Current& now) {
      return WithExpiry(Decision::Store(value, type, expiry), now, options);
    });
  });
}

// Get into a buffer, for any entry.
[[gnu::noinline]] absl::Status GetUnusual(const DictHandle& handle, std::string_view key, uint64_t hash,
                                          std::span<char> buffer, ValueInfo* info) {
  const auto& table = handle.table();
  internal::Table<internal::RealMemory>::Lookup lookup;
  const internal::Read read = table.LookUp(key, table.context().Locate(hash), &lookup, [&](uint64_t bytes) -> char* {
    return bytes <= buffer.size() ? buffer.data() : nullptr;
  });
  if (read == internal::Read::kMissing || (read == internal::Read::kFound && lookup.expired)) return Missing();
  if (read != internal::Read::kFound || !lookup.copied) return table.Failed(read);
  const internal::SlotCopy& copy = lookup.found.copy;
  *info = {.length = static_cast<size_t>(copy.value_length),
           .type = static_cast<Type>(copy.Type()),
           .ttl = handle.TtlOf(copy.Expiry()),
           .version = {lookup.found.slot, internal::owned::Version(lookup.found.seq)}};
  if (info->length > buffer.size()) {
    return absl::OutOfRangeError(absl::StrCat("the value has ", info->length, " bytes, the buffer ", buffer.size()));
  }
  if (!copy.ValueInBlock()) copy.CopyInlineValue(buffer.data());
  return absl::OkStatus();
}

// Get into a buffer where the key lies, which the value would overwrite.
[[gnu::noinline]] absl::Status GetOverKey(const Dict& dict, std::string_view key, std::span<char> buffer,
                                          ValueInfo* info) {
  return dict.Get(std::string(key), buffer, info);
}

}  // namespace

Dict::Dict(std::shared_ptr<DictHandle> handle) : handle_(std::move(handle)) {}
Dict::Dict(const Dict&) = default;
Dict& Dict::operator=(const Dict&) = default;
Dict::Dict(Dict&&) noexcept = default;
Dict& Dict::operator=(Dict&&) noexcept = default;
Dict::~Dict() = default;

absl::StatusOr<Dict> Dict::Create(const Location& location, const Options& options) {
  absl::StatusOr<std::shared_ptr<DictHandle>> handle = DictHandle::Create(location, options);
  if (!handle.ok()) return handle.status();
  return Dict(*std::move(handle));
}

absl::StatusOr<Dict> Dict::Open(const Location& location, const Options& options) {
  absl::StatusOr<std::shared_ptr<DictHandle>> handle = DictHandle::Open(location, options);
  if (!handle.ok()) return handle.status();
  return Dict(*std::move(handle));
}

absl::StatusOr<Dict> Dict::OpenOrCreate(const Location& location, const Options& options) {
  // Somebody else may create or unlink between the two; each turn means that this happened once more.
  for (int tries = 0; tries < 1000; ++tries) {
    absl::StatusOr<Dict> dict = Open(location, options);
    const bool in_file = location.kind() == Location::Kind::kDescriptor && absl::IsFailedPrecondition(dict.status());
    if (!absl::IsNotFound(dict.status()) && !in_file) return dict;
    if (!in_file || internal::Segment::IsVacant(location)) {
      dict = Create(location, options);
      if (!absl::IsAlreadyExists(dict.status())) return dict;
    }
    // Not empty, or not any more: either somebody has just finished a dict there, or it is something else.
    if (in_file) return Open(location, options);
  }
  return absl::AbortedError("the segment was created and unlinked by others all the time; try again");
}

absl::Status Dict::Unlink(const Location& location) { return internal::Segment::Unlink(location); }

absl::StatusOr<std::vector<SegmentInfo>> Dict::List() {
  absl::StatusOr<std::vector<internal::Segment::Listed>> listed = internal::Segment::List();
  if (!listed.ok()) return listed.status();
  std::vector<SegmentInfo> infos;
  for (internal::Segment::Listed& l : *listed) {
    infos.push_back(
        {.name = std::move(l.name), .size = l.size, .capacity = l.capacity, .owner = l.owner, .mode = l.mode});
  }
  return infos;
}

uint64_t Dict::ValueBytesFor(const Options& options, size_t key_length, uint64_t value_length, bool with_ttl) {
  if (std::max<uint64_t>(key_length, value_length) > uint64_t{1} << 62) return ~uint64_t{0};  // sums would overflow
  const internal::SlotForm form =
      internal::SlotForm::Choose(options.slot_size / 8 - 1, key_length, value_length, with_ttl, options.ordered);
  const uint64_t bytes = form.BlockLength(key_length, value_length);
  if (!form.value_in_block) return 0;
  const uint32_t page = internal::PageSizeFor(options.value_bytes);
  const internal::SizeClasses classes(page);
  const uint32_t size_class = classes.ClassFor(bytes);
  if (size_class == 0) return std::max<uint64_t>(1, (bytes + page - 1) / page) * page;
  const uint32_t per_page = classes.per_page(size_class);
  return (page + per_page - 1) / per_page;
}

void Dict::Close() { handle_->Close(); }

// ---- Reading ----------------------------------------------------------------------------------------------

absl::Status Dict::Get(std::string_view key, std::string* value) const {
  if (handle_->closed()) [[unlikely]]
    return Closed();
  if (key.data() >= value->data() && key.data() <= value->data() + value->size()) [[unlikely]] {
    return Get(std::string(key), value);  // the value would overwrite the key
  }
  return handle_->table().Get(key, value, [value](const Current& current) {
    if (current.value.data() == value->data()) return;
    // From a slot, so it is short, and has just been stored by words.
    value->resize(current.value.size());
    internal::CopyByWords(value->data(), current.value.data(), current.value.size());
  });
}

absl::StatusOr<std::string> Dict::Get(std::string_view key) const {
  std::string value;
  absl::Status status = Get(key, &value);
  if (!status.ok()) return status;
  return value;
}

absl::Status Dict::Get(std::string_view key, std::span<char> buffer, ValueInfo* info) const {
  if (handle_->closed()) [[unlikely]]
    return Closed();
  if (key.data() < buffer.data() + buffer.size() && buffer.data() < key.data() + key.size()) [[unlikely]] {
    return GetOverKey(*this, key, buffer, info);
  }
  const auto& table = handle_->table();
  const uint64_t hash = table.context().HashOf(key);
  const internal::Probe probe = table.context().Locate(hash);
  table.Prefetch(probe);
  internal::Table<internal::RealMemory>::Sighting at;
  const internal::Read read = table.reader().ReadUsual(
      key, probe, &at, [&](size_t bytes) { return bytes <= buffer.size() ? buffer.data() : nullptr; });
  if (read == internal::Read::kMissing) return Missing();
  if (read != internal::Read::kFound) [[unlikely]]
    return GetUnusual(*handle_, key, hash, buffer, info);
  *info = {.length = internal::meta::PlainValueLength(at.meta),
           .type = static_cast<Type>(internal::meta::TypeOf(at.meta)),
           .version = {at.slot, internal::owned::Version(at.seq)}};
  return absl::OkStatus();
}

absl::Status Dict::Visit(std::string_view key, absl::FunctionRef<void(const Entry&)> visit) const {
  if (handle_->closed()) return Closed();
  std::string buffer;
  return handle_->table().Get(key, &buffer, [&](const Current& current) { visit(ToEntry(*handle_, key, current)); });
}

absl::Status Dict::GetMany(std::span<const std::string_view> keys,
                           absl::FunctionRef<void(size_t index, const Entry* entry)> visit) const {
  if (handle_->closed()) return Closed();
  std::string buffer;
  return handle_->table().GetMany(keys, &buffer, [&](size_t i, const Current* current) {
    if (current == nullptr) return visit(i, nullptr);
    const Entry entry = ToEntry(*handle_, keys[i], *current);
    visit(i, &entry);
  });
}

absl::StatusOr<std::vector<std::optional<std::string>>> Dict::GetMany(std::span<const std::string_view> keys) const {
  std::vector<std::optional<std::string>> values(keys.size());
  absl::Status status = GetMany(keys, [&](size_t i, const Entry* entry) {
    if (entry != nullptr) values[i].emplace(entry->value);
  });
  if (!status.ok()) return status;
  return values;
}

absl::StatusOr<bool> Dict::Contains(std::string_view key) const {
  char value[internal::kMaxSlotSize];  // all that is inline fits; of a longer one nothing is copied
  ValueInfo info;
  absl::Status status = Get(key, value, &info);
  if (status.ok() || absl::IsOutOfRange(status)) return true;
  if (absl::IsNotFound(status)) return false;
  return status;
}

absl::Status Dict::ForEach(absl::FunctionRef<bool(const Entry&)> visit) const {
  if (handle_->closed()) return Closed();
  return handle_->table().ForEach([&](const auto& snapshot) { return visit(ToEntry(*handle_, snapshot)); });
}

absl::Status Dict::ForEachOrdered(Direction direction, absl::FunctionRef<bool(const Entry&)> visit) const {
  if (handle_->closed()) return Closed();
  if (!handle_->table().context().ordered) return NotOrdered();
  return handle_->table().ForEachOrdered(direction,
                                         [&](const auto& snapshot) { return visit(ToEntry(*handle_, snapshot)); });
}

uint64_t Dict::size() const { return handle_->table().Size(); }
uint64_t Dict::capacity() const { return handle_->segment().fixed().capacity; }
uint64_t Dict::value_bytes() const { return handle_->segment().fixed().value_bytes; }
uint64_t Dict::segment_bytes() const { return handle_->segment().geometry().size; }
bool Dict::ordered() const { return handle_->table().context().ordered; }

// ---- Writing ----------------------------------------------------------------------------------------------

absl::Status Dict::Set(std::string_view key, std::string_view value, const WriteOptions& options) {
  auto& table = handle_->table();
  const uint64_t hash = table.Prepare(key);
  const auto type = static_cast<uint8_t>(options.type);
  // What is usual, before anything is set up for the rest.
  if (Writer* const writer = handle_->UsualWriter(); writer != nullptr && options.ttl == absl::InfiniteDuration())
      [[likely]] {
    writer->busy = true;
    const bool done = table.SetUsual(*writer, key, hash, value, type);
    writer->busy = false;
    if (done) [[likely]]
      return absl::OkStatus();
  }
  return SetUnusual(*handle_, key, hash, value, options);
}

absl::Status Dict::SetParts(std::string_view key, std::span<const std::string_view> parts,
                            const WriteOptions& options) {
  uint64_t length = 0;
  for (const std::string_view part : parts) length = std::min(length + part.size(), internal::kMaxValueLength + 1);
  if (char value[internal::kMaxSlotSize]; length <= sizeof(value)) {
    size_t joined = 0;
    for (const std::string_view part : parts) joined += part.copy(value + joined, part.size());
    return Set(key, {value, joined}, options);
  }
  const internal::ValueInParts value{parts, length};
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    const int64_t expiry = handle_->ExpiryOf(options.ttl);
    return handle_->table().Mutate(w, key, hash, false, !options.keep_ttl, [&](const Current& now) {
      return WithExpiry(Decision::Store(value, static_cast<uint8_t>(options.type), expiry), now, options);
    });
  });
}

absl::Status Dict::SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs,
                           const WriteOptions& options, size_t* done) {
  size_t set = 0;
  absl::Status status;
  for (const auto& [key, value] : pairs) {
    status = Set(key, value, options);
    if (!status.ok()) break;
    ++set;
  }
  if (done != nullptr) *done = set;
  return status;
}

absl::Status Dict::Insert(std::string_view key, std::string_view value, const WriteOptions& options) {
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    const int64_t expiry = handle_->ExpiryOf(options.ttl);
    return handle_->table().Mutate(w, key, hash, false, true, [&](const Current& now) {
      if (now.live) return Decision::Return(absl::AlreadyExistsError("the key is there already"));
      return Decision::Store(value, static_cast<uint8_t>(options.type), expiry);
    });
  });
}

absl::Status Dict::Replace(std::string_view key, std::string_view value, const WriteOptions& options) {
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    const int64_t expiry = handle_->ExpiryOf(options.ttl);
    return handle_->table().Mutate(w, key, hash, false, !options.keep_ttl, [&](const Current& now) {
      if (!now.live) return Decision::Return(Missing());
      Decision d = WithExpiry(Decision::Store(value, static_cast<uint8_t>(options.type), expiry), now, options);
      d.if_live = true;
      return d;
    });
  });
}

absl::Status Dict::Erase(std::string_view key) {
  auto& table = handle_->table();
  const uint64_t hash = table.PrepareErase(key);
  if (Writer* const writer = handle_->UsualWriter(); writer != nullptr) [[likely]] {
    writer->busy = true;
    const bool done = table.EraseUsual(*writer, key, hash);
    writer->busy = false;
    if (done) return absl::OkStatus();
  }
  return handle_->Write([&](Writer& w) { return handle_->table().Erase(w, key, hash); });
}

absl::StatusOr<uint64_t> Dict::EraseMany(std::span<const std::string_view> keys) {
  // One that is too long is refused before any other is gone.
  for (const std::string_view key : keys) {
    if (key.size() > internal::kMaxKeyLength) return Erase(key);
  }
  uint64_t erased = 0;
  for (const std::string_view key : keys) {
    absl::Status status = Erase(key);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    erased += status.ok() ? 1 : 0;
  }
  return erased;
}

absl::StatusOr<std::string> Dict::Take(std::string_view key) {
  std::string value;
  const uint64_t hash = handle_->table().Prepare(key);
  absl::Status status = handle_->Write([&](Writer& w) {
    return handle_->table().Mutate(w, key, hash, true, true, [&](const Current& now) {
      value.assign(now.value);
      return Decision::Erase(now.live ? absl::OkStatus() : Missing());
    });
  });
  if (!status.ok()) return status;
  return value;
}

absl::StatusOr<Version> Dict::CompareAndSet(std::string_view key, const Version& expected, std::string_view value,
                                            const WriteOptions& options) {
  Version version;
  const uint64_t hash = handle_->table().Prepare(key);
  absl::Status status = handle_->Write([&](Writer& w) {
    const int64_t expiry = handle_->ExpiryOf(options.ttl);
    return handle_->table().Mutate(
        w, key, hash, false, !options.keep_ttl,
        [&](const Current& now) {
          if (!now.live) return Decision::Return(Missing());
          if (now.version != expected) return Decision::Return(Changed());
          Decision d = WithExpiry(Decision::Store(value, static_cast<uint8_t>(options.type), expiry), now, options);
          d.if_live = true;
          return d;
        },
        &version);
  });
  if (!status.ok()) return status;
  return version;
}

absl::Status Dict::CompareAndErase(std::string_view key, const Version& expected) {
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    return handle_->table().Mutate(w, key, hash, false, true, [&](const Current& now) {
      if (!now.live) return Decision::Return(Missing());
      if (now.version != expected) return Decision::Return(Changed());
      return Decision::Erase();
    });
  });
}

absl::StatusOr<int64_t> Dict::FetchAdd(std::string_view key, int64_t addend, std::optional<int64_t> initial,
                                       const WriteOptions& options) {
  int64_t before = 0;
  char bytes[sizeof(int64_t)];
  const uint64_t hash = handle_->table().Prepare(key);
  absl::Status status = handle_->Write([&](Writer& w) {
    return handle_->table().Mutate(w, key, hash, true, false, [&](const Current& now) {
      int64_t expiry;
      if (now.live) {
        absl::StatusOr<int64_t> number = ToInt64(now);
        if (!number.ok()) return Decision::Return(number.status());
        before = *number;
        expiry = now.expiry;
      } else if (initial.has_value()) {
        before = *initial;
        expiry = handle_->ExpiryOf(options.ttl);
      } else {
        return Decision::Return(Missing());
      }
      int64_t sum;
      if (__builtin_add_overflow(before, addend, &sum)) {
        return Decision::Return(
            absl::OutOfRangeError(absl::StrCat(before, " + ", addend, " does not fit into 64 bits")));
      }
      std::memcpy(bytes, &sum, sizeof(sum));
      Decision d = Decision::Store({bytes, sizeof(bytes)}, static_cast<uint8_t>(Type::kInt64), expiry);
      d.if_live = now.live;
      return d;
    });
  });
  if (!status.ok()) return status;
  return before;
}

absl::Status Dict::Update(std::string_view key, absl::FunctionRef<std::optional<std::string>(const Entry*)> fn,
                          const std::optional<WriteOptions>& options) {
  std::optional<std::string> made;
  const uint64_t process = internal::ProcessGeneration();
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    return handle_->table().Mutate(w, key, hash, true, false, [&](const Current& now) {
      if (now.live) {
        const Entry entry = ToEntry(*handle_, key, now);
        made = fn(&entry);
      } else {
        made = fn(nullptr);
      }
      if (internal::ProcessGeneration() != process) {
        return Decision::Return(
            absl::FailedPreconditionError("Update's function forked: this call belongs to the parent process"));
      }
      if (!made.has_value()) return Decision::Return();
      uint8_t type = now.live ? now.type : 0;
      int64_t expiry = now.live ? now.expiry : internal::kNever;
      if (options.has_value()) {
        type = static_cast<uint8_t>(options->type);
        if (!now.live || !options->keep_ttl) expiry = handle_->ExpiryOf(options->ttl);
      }
      Decision d = Decision::Store(*made, type, expiry);
      d.if_live = now.live;
      return d;
    });
  });
}

absl::Status Dict::Touch(std::string_view key, absl::Duration ttl) {
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    const int64_t expiry = handle_->ExpiryOf(ttl);
    return handle_->table().Mutate(w, key, hash, true, false, [&](const Current& now) {
      if (!now.live) return Decision::Return(Missing());
      Decision d = Decision::Store(now.value, now.type, expiry);
      d.if_live = true;
      d.keep_value = true;
      return d;
    });
  });
}

absl::Status Dict::MoveToEnd(std::string_view key) {
  if (!handle_->table().context().ordered) return NotOrdered();
  const uint64_t hash = handle_->table().Prepare(key);
  return handle_->Write([&](Writer& w) {
    return handle_->table().Mutate(w, key, hash, true, false, [&](const Current& now) {
      if (!now.live) return Decision::Return(Missing());
      Decision d = Decision::Store(now.value, now.type, now.expiry);
      d.if_live = true;
      d.keep_value = true;
      d.to_end = true;
      return d;
    });
  });
}

absl::Status Dict::Clear() {
  return handle_->Write([&](Writer& w) { return handle_->table().Clear(w); });
}

absl::StatusOr<uint64_t> Dict::Sweep(uint64_t budget) {
  uint64_t swept = 0;
  absl::Status status = handle_->Write([&](Writer& w) {
    absl::StatusOr<uint64_t> result = handle_->table().Sweep(w, budget);
    if (result.ok()) swept = *result;
    return result.status();
  });
  if (!status.ok()) return status;
  return swept;
}

// ---- The global lock --------------------------------------------------------------------------------------

absl::StatusOr<Dict::LockGuard> Dict::Lock() {
  absl::StatusOr<Writer*> writer = handle_->Lock();
  if (!writer.ok()) return writer.status();
  return LockGuard(handle_, *writer, internal::ProcessGeneration());
}

Dict::LockGuard::~LockGuard() {
  // A forked child has a copy of the guard, but the lock is its parent's.
  if (writer_ != nullptr && process_ == internal::ProcessGeneration()) handle_->Unlock(*static_cast<Writer*>(writer_));
}

// ---- Looking after it -------------------------------------------------------------------------------------

absl::StatusOr<Stats> Dict::GetStats() const {
  if (handle_->closed()) return Closed();
  Stats stats = internal::Inspector<internal::RealMemory>(handle_->table()).CountStats();
  stats.capacity = capacity();
  stats.huge_page_bytes = handle_->segment().HugePageBytes();
  return stats;
}

absl::StatusOr<VerifyReport> Dict::Verify() const {
  if (handle_->closed()) return Closed();
  return internal::Inspector<internal::RealMemory>(handle_->table()).Verify(handle_->segment().fixed());
}

absl::StatusOr<uint32_t> Dict::Recover() {
  if (handle_->closed()) return Closed();
  if (handle_->segment().read_only())
    return absl::FailedPreconditionError("this dict was opened read-only; open it for writing");
  return handle_->RecoverDead();
}

}  // namespace segdict
