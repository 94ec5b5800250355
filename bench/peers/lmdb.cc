// LMDB on tmpfs: memory-mapped B+tree, one writer at a time, readers never wait. Nothing is synced; a reader keeps its
// transaction and renews it for each lookup, so that it sees every commit.
#include "bench/peer.h"

#ifdef SEGDICT_BENCH_HAS_LMDB
#include <lmdb.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/temporary_folder.h"

namespace segdict::bench {
namespace {

void Check(int result) {
  if (result != MDB_SUCCESS) Fail(std::string("lmdb: ") + mdb_strerror(result));
}

template <typename Shape>
class Lmdb {
 public:
  static constexpr const char* kName = "lmdb";
  static constexpr bool kShared = true;

  explicit Lmdb(const Setup& setup) : map_size_((setup.capacity + 1000) * (Shape::kKey + Shape::kValue + 64) * 3) {
    Open();
  }
  ~Lmdb() {
    for (MDB_txn* reader : readers_) mdb_txn_abort(reader);
    mdb_env_close(env_);
  }

  bool Get(std::string_view key, char* value) {
    MDB_txn* txn = Reader();
    Check(mdb_txn_renew(txn));
    const bool found = GetIn(txn, key, value);
    mdb_txn_reset(txn);
    return found;
  }
  size_t GetMany(std::span<const std::string_view> keys, char* values) {
    MDB_txn* txn = Reader();
    Check(mdb_txn_renew(txn));
    size_t found = 0;
    for (const std::string_view key : keys) found += GetIn(txn, key, values + found * Shape::kValue);
    mdb_txn_reset(txn);
    return found;
  }
  bool Set(std::string_view key, std::string_view value) { return SetMany({{{key, value}}}); }
  bool SetMany(std::span<const std::pair<std::string_view, std::string_view>> pairs) {
    MDB_txn* txn;
    Check(mdb_txn_begin(env_, nullptr, 0, &txn));
    for (const auto& [key, value] : pairs) {
      MDB_val k = Bytes(key), v = Bytes(value);
      Check(mdb_put(txn, table_, &k, &v, 0));
    }
    Check(mdb_txn_commit(txn));
    return true;
  }
  bool Erase(std::string_view key) {
    MDB_txn* txn;
    Check(mdb_txn_begin(env_, nullptr, 0, &txn));
    MDB_val k = Bytes(key);
    const int result = mdb_del(txn, table_, &k, nullptr);
    if (result != MDB_NOTFOUND) Check(result);
    Check(mdb_txn_commit(txn));
    return result == MDB_SUCCESS;
  }

  // An environment of its own: one must not be taken through a fork. Walking over all entries maps all their pages.
  void AfterFork() {
    readers_.clear();
    Open();
    MDB_txn* txn = Reader();
    Check(mdb_txn_renew(txn));
    MDB_cursor* cursor;
    Check(mdb_cursor_open(txn, table_, &cursor));
    MDB_val key, value;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) Use(static_cast<const char*>(value.mv_data));
    mdb_cursor_close(cursor);
    mdb_txn_reset(txn);
  }

  std::optional<double> Bytes() {
    MDB_envinfo info;
    MDB_stat stat;
    Check(mdb_env_info(env_, &info));
    Check(mdb_env_stat(env_, &stat));
    return static_cast<double>((info.me_last_pgno + 1) * stat.ms_psize);
  }

 private:
  void Open() {
    Check(mdb_env_create(&env_));
    Check(mdb_env_set_maxreaders(env_, 1000));
    Check(mdb_env_set_mapsize(env_, (map_size_ + (1 << 20)) & ~size_t{4095}));
    Check(mdb_env_open(env_, (folder_.path() + "/data").c_str(),
                       MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOMETASYNC | MDB_WRITEMAP | MDB_NOTLS | MDB_NORDAHEAD, 0600));
    MDB_txn* txn;
    Check(mdb_txn_begin(env_, nullptr, 0, &txn));
    Check(mdb_dbi_open(txn, nullptr, Shape::kIntegers ? MDB_INTEGERKEY : 0, &table_));
    Check(mdb_txn_commit(txn));
    static std::atomic<uint64_t> opened;
    id_ = ++opened;
  }

  // This thread's transaction, reset.
  MDB_txn* Reader() {
    thread_local uint64_t id = 0;
    thread_local MDB_txn* txn = nullptr;
    if (id == id_) return txn;
    Check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
    mdb_txn_reset(txn);
    const std::scoped_lock lock(mutex_);
    readers_.push_back(txn);
    id = id_;
    return txn;
  }

  bool GetIn(MDB_txn* txn, std::string_view key, char* value) {
    MDB_val k = Bytes(key), v;
    const int result = mdb_get(txn, table_, &k, &v);
    if (result == MDB_NOTFOUND) return false;
    Check(result);
    std::memcpy(value, v.mv_data, Shape::kValue);
    return true;
  }

  static MDB_val Bytes(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

  TemporaryFolder folder_;
  const size_t map_size_;
  MDB_env* env_;
  MDB_dbi table_;
  uint64_t id_;
  std::mutex mutex_;
  std::vector<MDB_txn*> readers_;
};
SEGDICT_BENCH_PEER(Lmdb, U64, S16, S20);

}  // namespace
}  // namespace segdict::bench

#else
SEGDICT_BENCH_ABSENT_PEER(Lmdb, "lmdb", "not there when this was built; Debian: liblmdb-dev");
#endif
