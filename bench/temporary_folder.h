// TemporaryFolder: a private folder in /dev/shm, gone with the object; or with the process, however that ends.
#ifndef SEGDICT_BENCH_TEMPORARY_FOLDER_H_
#define SEGDICT_BENCH_TEMPORARY_FOLDER_H_

#include <sys/types.h>

#include <string>

namespace segdict::bench {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  pid_t janitor_;  // a process that waits for this one to go, and removes the folder
  int alive_;      // the janitor's sign that it has not gone
};

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_TEMPORARY_FOLDER_H_
