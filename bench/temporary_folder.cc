#include "bench/temporary_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "bench/table.h"

namespace segdict::bench {
namespace {

void Remove(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

// A process that reads from a pipe that nobody writes to: read ends when the last who could is gone, and then the
// folder goes too. Spawned, not forked: a fork would make the tables' pages copy-on-write.
pid_t StartJanitor(int pipe, char* path) {
  char shell[] = "/bin/sh", command[] = "-c", script[] = "read -r line; rm -rf -- \"$0\"";
  char* arguments[] = {shell, command, script, path, nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);  // not to be interrupted with the others
  pid_t janitor = -1;
  if (posix_spawn(&janitor, shell, &actions, &attributes, arguments, environ) != 0) Fail("cannot run /bin/sh");
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return janitor;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  char path[] = "/dev/shm/segdict-bench-XXXXXX";
  if (mkdtemp(path) == nullptr) Fail("no temporary folder in /dev/shm");
  path_ = path;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Fail("no pipe");
  alive_ = ends[1];
  janitor_ = StartJanitor(ends[0], path_.data());
  close(ends[0]);
}

TemporaryFolder::~TemporaryFolder() {
  kill(janitor_, SIGKILL);
  waitpid(janitor_, nullptr, 0);
  close(alive_);
  Remove(path_);
}

}  // namespace segdict::bench
