// Mounts and a user of its own for a test's child process.
#ifndef SEGDICT_TESTS_NAMESPACES_H_
#define SEGDICT_TESTS_NAMESPACES_H_

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "gtest/gtest.h"

namespace segdict::test {

// Mounts of its own for this process.
inline void EnterPrivateMounts() {
  ASSERT_EQ(unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)), 0)
      << "a mount namespace is needed: run as root, or allow user namespaces; " << strerror(errno);
  // In a chroot, "/" need not be a mount point (EINVAL): then it is for who made it to have made its mounts private.
  if (mount("none", "/", "none", MS_REC | MS_PRIVATE, nullptr) != 0) {
    ASSERT_EQ(errno, EINVAL) << strerror(errno);
  }
}

inline void MountTmpfs(const std::string& at, const std::string& options = "") {
  ASSERT_EQ(mount("none", at.c_str(), "tmpfs", 0, options.c_str()), 0) << at << ": " << strerror(errno);
}

// A root directory that others than root may pass, with the same /dev/shm and /proc: a chroot's own is often closed.
inline void EnterOpenRoot() {
  EnterPrivateMounts();
  MountTmpfs("/mnt", "mode=755");
  for (const char* const part : {"/mnt/dev", "/mnt/dev/shm", "/mnt/proc"}) ASSERT_EQ(mkdir(part, 0755), 0) << part;
  ASSERT_EQ(mount("/dev/shm", "/mnt/dev/shm", "none", MS_BIND, nullptr), 0) << strerror(errno);
  ASSERT_EQ(mount("/proc", "/mnt/proc", "none", MS_BIND | MS_REC, nullptr), 0) << strerror(errno);
  ASSERT_EQ(chroot("/mnt"), 0);
  ASSERT_EQ(chdir("/"), 0);
}

inline void BecomeUser(uid_t user) {
  ASSERT_EQ(geteuid(), 0u) << "these tests change the user: run them as root";
  struct stat root {};
  ASSERT_EQ(stat("/", &root), 0);
  if ((root.st_mode & S_IXOTH) == 0) EnterOpenRoot();
  ASSERT_EQ(setgroups(0, nullptr), 0);
  ASSERT_EQ(setresgid(user, user, user), 0);
  ASSERT_EQ(setresuid(user, user, user), 0);
}

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_NAMESPACES_H_
