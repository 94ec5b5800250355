// Server: a program that is started for a benchmark and reached over a unix socket in a private temporary folder. It is
// stopped with the object, and killed with the process.
#ifndef SEGDICT_BENCH_SERVERS_H_
#define SEGDICT_BENCH_SERVERS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "bench/temporary_folder.h"

namespace segdict::bench {

class Server {
 public:
  // Starts arguments[0], found by PATH; in the others, "{folder}" and "{socket}" stand for the folder and the socket's
  // path in it. Returns when connect() says that it answers; fails after ten seconds.
  Server(const std::vector<std::string>& arguments, const std::function<bool(const std::string& socket)>& connect);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  TemporaryFolder folder_;
  pid_t pid_;
};

// Why a program cannot be started; empty if it can.
std::string ProgramAbsence(const std::string& name, const std::string& debian_package);

}  // namespace segdict::bench

#endif  // SEGDICT_BENCH_SERVERS_H_
