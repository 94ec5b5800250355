#include "tests/soak/oracle.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace segdict::soak {
namespace {

absl::Status Wrong(std::string_view key, const std::string& what) {
  return absl::DataLossError(absl::StrCat(std::string(key.substr(0, 12)), ": ", what));
}

std::string IdText(uint64_t id) {
  if (id == 0) return "nothing";
  return absl::StrCat("value ", NumberOf(id), " of ", LengthOf(id), " bytes");
}

bool Meet(uint64_t from, uint64_t to, uint64_t other_from, uint64_t other_to) {
  if (from == kNeverExpires || other_from == kNeverExpires) return from == other_from;
  return from <= other_to + Expected::kSlack && other_from <= to + Expected::kSlack;
}

}  // namespace

absl::Status Oracle::SetUp(std::mt19937_64& random) {
  for (uint64_t counter = 0; counter < kCounters; ++counter) {
    const absl::Status status =
        counter == 0 ? dict_.FetchAdd(CounterText(0), 0, 0).status()
                     : dict_.Set(CounterText(counter), board_.ValueOf(board_.counter_key(counter), MakeId(0, 8)));
    if (!status.ok()) return status;
  }
  const BoardHeader& header = board_.header();
  for (uint64_t seat = 0; seat < board_.seats(); ++seat) {
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < header.entries_per_seat; ++i) {
      const uint64_t key = seat * header.keys_per_seat + i;
      const std::string text = KeyText(key);
      const uint64_t id = MakeId(++board_.seat(seat).next_number, kShortestValue + random() % 300);
      bytes += Dict::ValueBytesFor(board_.sizing(), text.size(), LengthOf(id), /*with_ttl=*/true);
      if (bytes > header.bytes_per_seat) break;
      if (absl::Status status = dict_.Insert(text, board_.ValueOf(key, id)); !status.ok()) return status;
      KeyState& state = board_.key(key);
      state.id = id;
      state.newest = id;
      state.expires_from = state.expires_to = kNeverExpires;
    }
  }
  return absl::OkStatus();
}

absl::Status Oracle::Read(uint64_t key, Found* found) {
  const std::string text = KeyText(key);
  absl::Status result;
  for (;;) {
    const uint64_t before = Now();
    const absl::Status status = dict_.Visit(text, [&](const Entry& entry) {
      const uint64_t after = Now();
      const std::optional<uint64_t> id = board_.IdOf(key, entry.value);
      if (!id.has_value()) result = Wrong(text, "torn or of another key");
      found->id = id.value_or(0);
      if (entry.ttl == absl::InfiniteDuration()) return;
      const auto left = static_cast<uint64_t>(absl::ToInt64Nanoseconds(entry.ttl));
      found->expires_from = before + left;
      found->expires_to = after + left;
    });
    if (absl::IsAborted(status)) continue;
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    return result;
  }
}

absl::Status Oracle::Settle(Seat& seat) {
  const State state = static_cast<State>(seat.state.load());
  const Kind kind = static_cast<Kind>(seat.kind.load());
  if (state == State::kHappened || state == State::kRefused) {
    board_.Apply(seat);
  } else if (ChangesOwnKey(kind)) {
    const uint64_t key = seat.key;
    KeyState& now = board_.key(key);
    if (state == State::kInCall) {
      const Expected old = board_.ExpectedOf(key);
      Expected changed{.id = seat.new_id};
      const uint64_t ttl = seat.ttl, from = seat.before, dead = Now();
      if (ttl == kKeepsExpiry) {
        changed.expires_from = old.expires_from;
        changed.expires_to = old.expires_to;
      } else if (ttl != kNeverExpires) {
        changed.expires_from = from + ttl;
        changed.expires_to = dead + ttl;
      }
      Found found;
      if (absl::Status status = Read(key, &found); !status.ok()) return status;
      const uint64_t end = Now();
      const auto is = [&](const Expected& one) {
        return found.id == 0
                   ? !one.MustBeThere(from, end)
                   : found.id == one.id && Meet(found.expires_from, found.expires_to, one.expires_from, one.expires_to);
      };
      if (!is(old) && !is(changed)) {
        return Wrong(KeyText(key), absl::StrCat("after a death in ", kKindNames[seat.kind], " it is ", IdText(found.id),
                                                ", neither ", IdText(old.id), " nor ", IdText(changed.id)));
      }
      now.id = found.id;
      now.expires_from = found.expires_from;
      now.expires_to = found.expires_to;
    }
    now.done = now.started.load();
  }
  seat.state = static_cast<uint64_t>(State::kIdle);
  return absl::OkStatus();
}

absl::Status Oracle::ReadBehind(const Seat& seat) {
  const Kind kind = static_cast<Kind>(seat.kind.load());
  if (seat.state != static_cast<uint64_t>(State::kInCall) || !ChangesOwnKey(kind)) return absl::OkStatus();
  const uint64_t key = seat.key, id = board_.key(key).id, new_id = seat.new_id;
  const Expected old = board_.ExpectedOf(key);
  const uint64_t from = Now();
  Found found;
  if (absl::Status status = Read(key, &found); !status.ok()) return status;
  const uint64_t to = Now(), ttl = seat.ttl;
  const bool may_be_missing =
      new_id == 0 || !old.MustBeThere(from, to) || (ttl < kNeverExpires && to + Expected::kSlack >= seat.before + ttl);
  if (found.id == 0 ? may_be_missing : found.id == id || found.id == new_id) return absl::OkStatus();
  return Wrong(KeyText(key), absl::StrCat("while its writer is stopped in ", kKindNames[seat.kind], " it is ",
                                          IdText(found.id), ", neither ", IdText(id), " nor ", IdText(new_id)));
}

absl::Status Oracle::CheckSound() {
  const absl::StatusOr<uint32_t> recovered = dict_.Recover();
  if (!recovered.ok()) return recovered.status();
  recovered_ += *recovered;
  const absl::StatusOr<VerifyReport> report = dict_.Verify();
  if (!report.ok()) return report.status();
  if (!report->ok()) {
    std::string text = absl::StrCat(report->error_count, " errors by Verify:");
    for (const std::string& error : report->errors) absl::StrAppend(&text, "\n  ", error);
    return absl::DataLossError(text);
  }
  if (report->in_flight != 0) return absl::DataLossError(absl::StrCat(report->in_flight, " things are in flight"));
  if (report->entries != dict_.size()) {
    return absl::DataLossError(absl::StrCat(report->entries, " entries, but size() is ", dict_.size()));
  }
  const absl::StatusOr<Stats> stats = dict_.GetStats();
  if (!stats.ok()) return stats.status();
  uint64_t blocks = 0;
  for (const Stats::ArenaClass& c : stats->arena) blocks += c.blocks_used;
  if (blocks != report->blocks) {
    return absl::DataLossError(absl::StrCat(blocks, " blocks in use, but the entries have ", report->blocks));
  }
  return absl::OkStatus();
}

absl::Status Oracle::Check(bool cleared) {
  if (absl::Status status = CheckSound(); !status.ok()) return status;
  const uint64_t from = Now();
  std::vector<int> seen(board_.keys(), 0);
  uint64_t counters = 0;
  absl::Status result;
  const absl::Status status = dict_.ForEach([&](const Entry& entry) {
    const std::string_view text = entry.key;
    if (text.starts_with('c')) return ++counters, true;
    if (text.starts_with('f') && cleared) return true;
    const uint64_t key = std::strtoull(std::string(text.substr(std::min<size_t>(1, text.size()))).c_str(), nullptr, 10);
    if (key >= board_.keys() || text != KeyText(key)) {
      result = Wrong(text, "a key that nobody made");
      return false;
    }
    const std::optional<uint64_t> id = board_.IdOf(key, entry.value);
    const Expected expected = board_.ExpectedOf(key);
    const uint64_t now = Now();
    if (!id.has_value()) {
      result = Wrong(text, "torn or of another key");
    } else if (*id != expected.id) {
      result = Wrong(text, absl::StrCat(IdText(*id), " instead of ", IdText(expected.id)));
    } else if (++seen[key] > 1) {
      result = Wrong(text, "there twice");
    } else if (expected.MustBeGone(from, now)) {
      result = Wrong(text, "there although it has expired");
    } else if ((entry.ttl == absl::InfiniteDuration()) != (expected.expires_from == kNeverExpires)) {
      result = Wrong(text, "its time to live is another one");
    }
    return result.ok();
  });
  if (!status.ok()) return status;
  if (!result.ok()) return result;
  const uint64_t to = Now();
  for (uint64_t key = 0; key < seen.size() && !cleared; ++key) {
    const Expected expected = board_.ExpectedOf(key);
    if (seen[key] == 0 && expected.MustBeThere(from, to)) {
      return Wrong(KeyText(key), absl::StrCat("not there: ", IdText(expected.id)));
    }
    Found found;  // by a lookup, too
    if (absl::Status read = Read(key, &found); !read.ok()) return read;
    if (found.id != expected.id && !(found.id == 0 && !expected.MustBeThere(from, Now()))) {
      return Wrong(KeyText(key), absl::StrCat("looked up: ", IdText(found.id), " instead of ", IdText(expected.id)));
    }
  }
  if (!cleared && counters != kCounters) return absl::DataLossError("a counter is missing");
  return CheckCounters(cleared);
}

absl::Status Oracle::CheckCounters(bool cleared) {
  for (uint64_t counter = 0; counter < kCounters; ++counter) {
    const std::string text = CounterText(counter);
    const absl::StatusOr<std::string> value = dict_.Get(text);
    if (absl::IsNotFound(value.status()) && cleared) continue;
    if (!value.ok()) return value.status();
    uint64_t count = 0;
    if (counter == 0) {
      if (value->size() != sizeof(count)) return Wrong(text, "no number");
      std::memcpy(&count, value->data(), sizeof(count));
    } else {
      const std::optional<uint64_t> id = board_.IdOf(board_.counter_key(counter), *value);
      if (!id.has_value()) return Wrong(text, "torn or of another key");
      count = NumberOf(*id);
    }
    const uint64_t least = board_.Acknowledged(counter), most = board_.Begun(counter);
    if (count < least || count > most) {
      return Wrong(text, absl::StrCat("the count is ", count, ", not from ", least, " to ", most));
    }
    // From here on it is known exactly.
    board_.header().count_base[counter] = count;
    for (uint64_t seat = 0; seat < board_.seats(); ++seat) {
      board_.seat(seat).acknowledged[counter] = 0;
      board_.seat(seat).begun[counter] = 0;
    }
  }
  return absl::OkStatus();
}

absl::Status Oracle::FillToThePromise(std::mt19937_64& random) {
  const Options sizing = board_.sizing();
  const auto bytes_of = [&](std::string_view key, uint64_t length) {
    return std::max(Dict::ValueBytesFor(sizing, key.size(), length, false),
                    Dict::ValueBytesFor(sizing, key.size(), length, true));
  };
  if (const absl::StatusOr<uint64_t> swept = dict_.Sweep(); !swept.ok()) return swept.status();
  uint64_t bytes = 0;
  absl::Status status = dict_.ForEach([&](const Entry& entry) {
    bytes += bytes_of(entry.key, entry.value.size());
    return true;
  });
  if (!status.ok()) return status;
  for (uint64_t i = 0; dict_.size() < dict_.capacity(); ++i) {
    const std::string key = absl::StrCat("f", i);
    std::string value(random() % (random() % 8 == 0 ? 3 * board_.header().page_bytes : 1200), 'f');
    if (bytes + bytes_of(key, value.size()) > dict_.value_bytes()) value.resize(2);
    bytes += bytes_of(key, value.size());
    status = dict_.Insert(key, value);
    if (!status.ok()) {
      return absl::DataLossError(absl::StrCat("entry ", dict_.size() + 1, " of ", dict_.capacity(), " with ",
                                              value.size(), " bytes, which was promised: ", status.ToString()));
    }
  }
  return CheckSound();
}

absl::Status Oracle::ClearAll() {
  if (absl::Status status = dict_.Clear(); !status.ok()) return status;
  if (absl::Status status = CheckSound(); !status.ok()) return status;
  if (dict_.size() != 0) return absl::DataLossError(absl::StrCat(dict_.size(), " entries after Clear"));
  const absl::StatusOr<Stats> stats = dict_.GetStats();
  if (!stats.ok()) return stats.status();
  for (const Stats::ArenaClass& c : stats->arena) {
    if (c.blocks_used != 0) return absl::DataLossError(absl::StrCat(c.blocks_used, " blocks leaked"));
  }
  return absl::OkStatus();
}

}  // namespace segdict::soak
