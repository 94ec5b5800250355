// Hostile segments, found by coverage: whatever bytes a segment holds, and whatever somebody writes into it meanwhile,
// no operation crashes, runs for ever or leaves the mapping, and what it returns is what dict.h says.
//
// An input is a list of bytes, each of which decides something:
//   first byte even: a segment of bases.h (which, in which state, which records are alive), patches, then a program
//   first byte odd:  2 bytes of program length, the program, then the segment's bytes; or a small empty one's with them
// A program is a list of operations, and of patches between them or in the middle of one (from a clock, a visit, a
// sleep). An end of the input reads as zeros and ends the program.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "segdict/clock.h"
#include "segdict/dict.h"
#include "src/base/hash.h"
#include "src/layout/arena_words.h"
#include "src/layout/header.h"
#include "src/layout/owned_word.h"
#include "src/layout/writer_record.h"
#include "src/sync/liveness.h"
#include "tests/fuzz/bases.h"

namespace segdict::internal {
namespace {

constexpr int kMaxOperations = 48;
constexpr size_t kMaxSegment = size_t{1} << 20;

#define FUZZ_CHECK(condition, what)                                                          \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: failed: %s: %s\n", __FILE__, __LINE__, #condition, what); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint64_t Number(int bytes) {
    uint64_t number = 0;
    for (int i = 0; i < bytes; ++i) number |= static_cast<uint64_t>(Byte()) << (8 * i);
    return number;
  }
  Input Take(size_t n) {
    n = std::min(n, size_);
    const Input taken(data_, n);
    data_ += n;
    size_ -= n;
    return taken;
  }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

// A segment in a memfd of its own, with a mapping for the one who does harm.
class Memory {
 public:
  explicit Memory(size_t size) : size_(size), fd_(memfd_create("segdict-fuzz", MFD_CLOEXEC)) {
    FUZZ_CHECK(fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(size)) == 0, "memfd");
    bytes_ = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    FUZZ_CHECK(bytes_ != MAP_FAILED, "mmap");
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    munmap(bytes_, size_);
    close(fd_);
  }
  char* bytes() { return bytes_; }
  size_t size() const { return size_; }
  int fd() const { return fd_; }

 private:
  size_t size_;
  int fd_;
  char* bytes_;
};

// Writers that live as long as this does: they hold their records' bytes and do nothing.
class Living {
 public:
  Living(int fd, uint32_t mask, uint32_t records) {
    mask &= (1u << std::min(records, 31u)) - 1;
    if (mask + 1 == 1u << records) mask &= mask - 1;  // one record stays free: without, every write waits for one
    if (mask == 0) return;
    fd_ = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
    for (uint32_t r = 0; r < 31; ++r) {
      if ((mask >> r & 1) == 0) continue;
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      lock.l_start = kLockRange + r;
      lock.l_len = 1;
      FUZZ_CHECK(fcntl(fd_, F_OFD_SETLK, &lock) == 0, "lock");
    }
  }
  Living(const Living&) = delete;
  Living& operator=(const Living&) = delete;
  ~Living() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  int fd_ = -1;
};

class Run : private Clock, private Blocking {
 public:
  // `geometry`: where patches go; null: anywhere.
  Run(Memory& memory, const Geometry* geometry, Input program)
      : memory_(memory), geometry_(geometry), input_(program) {}

  void Patches(int n) {
    for (int i = 0; i < n && !input_.empty(); ++i) Patch();
  }

  void Go(bool callers_clock) {
    const uint8_t flags = input_.Byte();
    Options options;
    if (callers_clock) options.clock = this;
    options.blocking = this;
    options.read_only = (flags & 7) == 7;
    options.lock_mode = (flags & 0x18) == 0x18 ? LockMode::kGlobalMutex : LockMode::kPerSlot;
    if ((flags & 0x20) != 0) options.wait_limit = absl::Microseconds(200);
    if ((flags & 0x40) != 0) now_ = 7'000'000;
    if ((flags & 0x80) != 0) options.prefault = true;
    sleeps_ = 0;
    auto dict = Dict::Open(Descriptor(memory_.fd()), options);
    Check(dict.status());
    if (!dict.ok()) return;
    dict_ = &*dict;
    for (int i = 0; i < kMaxOperations && !input_.empty(); ++i) {
      sleeps_ = 0;
      Operation();
    }
    dict_ = nullptr;
  }

 private:
  // ---- What happens in the middle of an operation ---------------------------------------------------------

  int64_t Now() const override {
    const_cast<Run*>(this)->Meanwhile();
    return now_;
  }
  bool Sleep(absl::FunctionRef<void()>) override {
    Meanwhile();
    return ++sleeps_ < 3;
  }
  void Meanwhile() {
    if (armed_ > 0 && --armed_ == 0) Patch();
  }

  // ---- Damage ---------------------------------------------------------------------------------------------

  // A word's place: in a region, if there are any.
  uint64_t Place() {
    const uint8_t region = input_.Byte();
    const uint64_t index = input_.Number(2);
    if (geometry_ == nullptr) return index * 8 % (memory_.size() & ~uint64_t{7});
    const Geometry& g = *geometry_;
    const auto within = [index](uint64_t from, uint64_t to) { return from + index * 8 % (to - from); };
    switch (region % 12) {
      case 0:
        return within(512, 704);
      case 1:
      case 2:
      case 3:  // the words of a journal, not what is reserved
        return g.records_at + index % g.shape.records * sizeof(WriterRecord) +
               index / g.shape.records % 40 * sizeof(Word);
      case 4:
      case 5:
        return within(g.groups_at, g.locks_at);
      case 6:
        return within(g.locks_at, g.locks_at + g.shape.groups * 8);
      case 7:
      case 8:  // the first words of a slot
        return g.slots_at + index % g.slots * g.shape.slot_size + index / g.slots % 4 * 8;
      case 9:
        return within(g.slots_at, g.slots_at + g.slots * g.shape.slot_size);
      case 10:
        return within(g.page_words_at, g.page_words_at + g.shape.pages * 8);
      default:
        return within(g.block_words_at, g.block_words_at + g.shape.pages * g.granules_per_page * 8);
    }
  }

  void Patch() {
    const uint8_t kind = input_.Byte();
    const uint64_t at = Place();
    auto& word = *reinterpret_cast<Word*>(memory_.bytes() + at);
    switch (kind % 11) {
      case 0:
        word ^= uint64_t{1} << (input_.Byte() & 63);
        break;
      case 1:
        word = input_.Byte();
        break;
      case 2:
        word = input_.Number(8);
        break;
      case 3:
        word = ~uint64_t{0} >> (input_.Byte() & 63);
        break;
      case 4: {  // somebody's lock
        const uint8_t owner = input_.Byte();
        word = owned::LockedBy((owner & 0x80) != 0 ? owned::Unlocked(0) : word.load(), owner & 7);
        break;
      }
      case 5: {
        const uint8_t byte = input_.Byte(), shift = (byte & 7) * 8;
        word = (word & ~(uint64_t{0xff} << shift)) | static_cast<uint64_t>(input_.Byte()) << shift;
        break;
      }
      case 6: {  // a block or page word
        const uint8_t a = input_.Byte();
        word =
            BlockWord{static_cast<BlockState>(a & 7), input_.Byte() & 31u, static_cast<uint32_t>(a >> 3), input_.Byte()}
                .Encode();
        break;
      }
      case 7: {
        const uint8_t a = input_.Byte();
        word = OpWord{static_cast<segdict::internal::Operation>(a % 5), static_cast<Outcome>(a / 5 % 3), (a & 64) != 0,
                      (a & 128) != 0}
                   .Encode();
        break;
      }
      case 8:
        word = reinterpret_cast<Word*>(memory_.bytes() + Place())->load();
        break;
      case 9:  // a slot's block reference, say: low and high half by themselves
        word = input_.Number(2) | input_.Number(2) << 32;
        break;
      default:
        word += static_cast<uint64_t>(static_cast<int8_t>(input_.Byte()));
    }
  }

  // ---- Operations -----------------------------------------------------------------------------------------

  void Operation() {
    Dict& d = *dict_;
    switch (input_.Byte() % 32) {
      case 0:
        Patch();
        break;
      case 1:
        armed_ = 1 + (input_.Byte() & 7);
        break;
      case 2: {
        std::string value;
        const absl::Status status = d.Get(Key(), &value);
        Check(status);
        if (status.ok()) Look(value);
        break;
      }
      case 3: {
        std::vector<char> buffer(input_.Byte());
        ValueInfo info;
        const absl::Status status = d.Get(Key(), buffer, &info);
        Check(status);
        if (status.ok()) {
          FUZZ_CHECK(info.length <= buffer.size(), "Get");
          Look({buffer.data(), info.length});
        }
        break;
      }
      case 4:
        Check(d.Visit(Key(), [&](const Entry& entry) { Visit(entry); }));
        break;
      case 5: {
        std::vector<std::string> keys;
        for (int n = 1 + (input_.Byte() & 63); n > 0; --n) keys.push_back(KeyOf(n));
        const std::vector<std::string_view> views(keys.begin(), keys.end());
        Check(d.GetMany(views, [&](size_t index, const Entry* entry) {
          FUZZ_CHECK(index < views.size(), "GetMany");
          if (entry != nullptr) Visit(*entry);
        }));
        break;
      }
      case 6:
        Check(d.Contains(Key()).status());
        break;
      case 7: {
        int left = 1 + input_.Byte();
        Check(d.ForEach([&](const Entry& entry) {
          Visit(entry);
          return --left > 0;
        }));
        break;
      }
      case 8:
      case 9:
        Check(d.ForEachOrdered((input_.Byte() & 1) != 0 ? Direction::kForward : Direction::kBackward,
                               [&](const Entry& entry) {
                                 Visit(entry);
                                 return true;
                               }));
        break;
      case 10:
      case 11:
      case 12: {
        const std::string key = Key();
        const WriteOptions options = How();
        Check(d.Set(key, Value(), options));
        break;
      }
      case 13: {
        const std::string key = Key(), a = Value(), b = Value();
        const std::string_view parts[] = {a, b, "end"};
        Check(d.SetParts(key, parts, How()));
        break;
      }
      case 14: {
        const std::string a = Key(), b = Key(), value = Value();
        const std::pair<std::string_view, std::string_view> pairs[] = {{a, value}, {b, "b"}};
        Check(d.SetMany(pairs, How()));
        break;
      }
      case 15:
      case 16: {
        const std::string key = Key();
        Check(d.Insert(key, Value(), How()));
        break;
      }
      case 17: {
        const std::string key = Key();
        Check(d.Replace(key, Value(), How()));
        break;
      }
      case 18:
      case 19:
        Check(d.Erase(Key()));
        break;
      case 20: {
        const std::string a = Key(), b = Key();
        const std::string_view keys[] = {a, b, a};
        Check(d.EraseMany(keys).status());
        break;
      }
      case 21: {
        const auto value = d.Take(Key());
        Check(value.status());
        if (value.ok()) Look(*value);
        break;
      }
      case 22: {
        const std::string key = Key();
        Check(d.CompareAndSet(key, version_, Value(), How()).status());
        break;
      }
      case 23:
        Check(d.CompareAndErase(Key(), version_));
        break;
      case 24: {
        const std::string key = Key();
        const auto addend = static_cast<int64_t>(input_.Byte());
        const bool initial = (input_.Byte() & 1) != 0;
        Check(d.FetchAdd(key, addend, initial ? std::optional<int64_t>(7) : std::nullopt, How()).status());
        break;
      }
      case 25: {
        int left = 3;
        const std::string key = Key();
        Check(d.Update(key, [&](const Entry* entry) -> std::optional<std::string> {
          if (entry != nullptr) Visit(*entry);
          if (--left < 0) return std::nullopt;
          return Value();
        }));
        break;
      }
      case 26: {
        const std::string key = Key();
        Check(d.Touch(key, absl::Nanoseconds(input_.Number(3))));
        break;
      }
      case 27:
        Check(d.MoveToEnd(Key()));
        break;
      case 28: {
        const uint8_t what = input_.Byte();
        if (what % 4 == 0) {
          Check(d.Clear());
        } else if (what % 4 == 1) {
          Check(d.Sweep(what / 4u).status());
        } else if (what % 4 == 2) {
          Check(d.Sweep().status());
        } else {
          now_ += 1'000'000;
        }
        break;
      }
      case 29:
        Check(d.Recover().status());
        break;
      case 30: {
        const uint8_t what = input_.Byte();
        if (what == 0xa5) {  // seldom: it reads the process's list of mappings
          Check(d.GetStats().status());
        } else {
          FUZZ_CHECK((what & 1) == 0 || d.size() <= ~uint64_t{0} >> 1, "size");
          Check(d.Verify().status());
        }
        break;
      }
      default: {
        auto lock = d.Lock();
        Check(lock.status());
        if (lock.ok()) Check(d.Set(Key(), "under the lock"));
      }
    }
  }

  std::string Key() {
    const uint8_t byte = input_.Byte();
    if (byte < 200) return KeyOf(byte % (kKeys + 4));
    if (byte < 210) return "";
    if (byte < 212) return std::string(byte == 211 ? 65'536 : 65'535, 'q');
    return std::string(1 + byte % 3, static_cast<char>('a' + byte % 16));
  }

  std::string Value() {
    const uint8_t byte = input_.Byte();
    const size_t size = byte < 64 ? byte : byte < 128 ? byte * 8u : byte < 250 ? byte * 32u : byte * 256u;
    return std::string(size, static_cast<char>(byte));
  }

  WriteOptions How() {
    const uint8_t byte = input_.Byte();
    WriteOptions options;
    options.type = static_cast<Type>(byte & 3);
    options.keep_ttl = (byte & 4) != 0;
    if ((byte & 8) != 0) options.ttl = absl::Microseconds(byte >> 4);
    return options;
  }

  void Look(std::string_view bytes) {
    for (const char byte : bytes) seen_ = seen_ + static_cast<uint8_t>(byte);
  }

  // In the course of a lookup or walk: all that is shown is there, the segment changes, the dict is used.
  void Visit(const Entry& entry) {
    Look(entry.key);
    Look(entry.value);
    version_ = entry.version;
    Meanwhile();
    if (nested_ || armed_ == 0 || armed_ % 2 == 0) return;
    nested_ = true;
    const std::string key(entry.key);
    Check(armed_ % 4 == 1 ? dict_->Erase(key) : dict_->Set(key, std::string(entry.value) + "longer"));
    nested_ = false;
  }

  static void Check(const absl::Status& status) {
    switch (status.code()) {
      case absl::StatusCode::kOk:
      case absl::StatusCode::kNotFound:
      case absl::StatusCode::kAlreadyExists:
      case absl::StatusCode::kAborted:
      case absl::StatusCode::kDataLoss:
      case absl::StatusCode::kResourceExhausted:
      case absl::StatusCode::kDeadlineExceeded:
      case absl::StatusCode::kCancelled:
      case absl::StatusCode::kInvalidArgument:
      case absl::StatusCode::kOutOfRange:
      case absl::StatusCode::kFailedPrecondition:
        return;
      default:
        FUZZ_CHECK(false, status.ToString().c_str());
    }
  }

  Memory& memory_;
  const Geometry* geometry_;
  Input input_;
  Dict* dict_ = nullptr;
  int64_t now_ = 1'000'000;
  int sleeps_ = 0;
  int armed_ = 0;  // events until the next patch in the middle of something
  bool nested_ = false;
  Version version_;
  volatile uint64_t seen_ = 0;
};

void RunPatched(Input input) {
  static auto* memories = new std::vector<std::unique_ptr<Memory>>;
  if (memories->empty()) {
    for (const Base& base : Bases()) memories->push_back(std::make_unique<Memory>(base.geometry.size));
  }
  const size_t which = input.Byte() % Bases().size();
  const Base& base = Bases()[which];
  Memory& memory = *(*memories)[which];
  const uint8_t state = input.Byte(), living = input.Byte(), patches = input.Byte();
  std::memcpy(memory.bytes(), base.states[state % base.states.size()].data(), memory.size());
  const Living alive(memory.fd(), living, base.geometry.shape.records);
  Run run(memory, &base.geometry, input);
  run.Patches(patches % 32);
  run.Go(base.callers_clock);
}

// The bytes as they are, or those of an empty dict of some small shape with them laid over it.
void RunRaw(Input input) {
  const uint8_t how = input.Byte(), living = input.Byte();
  FixedHeader fixed{};
  Geometry geometry;
  if ((how & 1) != 0) {
    constexpr uint32_t kGroups[] = {1, 2, 3, 5, 7, 11, 13, 23};
    const uint8_t a = input.Byte(), b = input.Byte();
    fixed.groups = kGroups[a & 7];
    fixed.slot_size = 32u << (a >> 3) % 3;
    fixed.ordered = fixed.slot_size == 32 ? 0 : a >> 7;
    fixed.records = 1 + (b & 7);
    fixed.pages = 1 + (b >> 3 & 7);
    fixed.page_size = (b & 0x80) != 0 ? 16384 : 4096;
    std::memcpy(fixed.magic, kMagic, sizeof(kMagic));
    fixed.format_version = kFormatVersion;
    fixed.header_size = kHeaderSize;
    fixed.fingerprint = kFingerprint;
    fixed.hash_id = kHashXxh3;
    fixed.clock_id = static_cast<uint32_t>(ClockKind::kCallers);
    fixed.seed = 42;
    fixed.hash_test = Hash("segdict", fixed.seed);
    fixed.capacity = 1;
    const Shape shape{fixed.groups, fixed.slot_size, fixed.records, fixed.page_size, fixed.pages};
    FUZZ_CHECK(Geometry::Compute(shape, &geometry), "geometry");
    fixed.segment_size = geometry.size;
    Seal(&fixed);
  }
  const Input program = input.Take(input.Number(2));
  const bool made = (how & 1) != 0;
  size_t size = input.size();
  if (made) {
    size = geometry.size;
  } else if ((how & 2) != 0 && input.size() >= sizeof(fixed)) {
    // As long as the header says, and with a checksum that is right.
    std::memcpy(&fixed, input.data(), sizeof(fixed));
    Seal(&fixed);
    if (fixed.segment_size <= kMaxSegment) size = std::max<size_t>(size, fixed.segment_size);
  }
  if (size == 0) return;
  Memory memory(std::max<size_t>(size, 8));
  const size_t at = !made ? 0 : (how & 2) != 0 ? 512 : geometry.records_at;
  std::memcpy(memory.bytes() + at, input.data(), std::min(input.size(), memory.size() - at));
  if (how % 4 != 0 && memory.size() >= sizeof(fixed)) {
    if (made || fixed.segment_size != 0) std::memcpy(memory.bytes(), &fixed, sizeof(fixed));
  }
  const Living alive(memory.fd(), living, made ? fixed.records : 1);
  Run run(memory, made ? &geometry : nullptr, program);
  run.Go(made || (how & 4) == 0);
}

}  // namespace
}  // namespace segdict::internal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  segdict::internal::Input input(data, size);
  if (input.Byte() % 2 == 0) {
    segdict::internal::RunPatched(input);
  } else {
    segdict::internal::RunRaw(input);
  }
  return 0;
}
