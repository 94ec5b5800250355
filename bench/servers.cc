#include "bench/servers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <thread>

#include "bench/table.h"

namespace segdict::bench {
namespace {

std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

[[noreturn]] void Become(std::vector<std::string> arguments, pid_t parent) {
  std::vector<char*> pointers(arguments.size() + 1, nullptr);
  std::transform(arguments.begin(), arguments.end(), pointers.begin(), [](std::string& text) { return text.data(); });
  const int null = open("/dev/null", O_RDWR);
  for (int descriptor = 0; descriptor < 3; ++descriptor) dup2(null, descriptor);
  close_range(3, ~0U, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) execvp(pointers[0], pointers.data());
  _exit(127);
}

}  // namespace

Server::Server(const std::vector<std::string>& arguments, const std::function<bool(const std::string&)>& connect) {
  const std::string socket = folder_.path() + "/socket";
  std::vector<std::string> filled = arguments;
  for (std::string& argument : filled)
    argument = Replaced(Replaced(argument, "{folder}", folder_.path()), "{socket}", socket);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) Become(filled, parent);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!connect(socket)) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) Fail(arguments[0] + " does not start");
    if (std::chrono::steady_clock::now() > deadline) Fail(arguments[0] + " does not answer");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Server::~Server() {
  kill(pid_, SIGKILL);  // there is nothing that it should save
  waitpid(pid_, nullptr, 0);
}

std::string ProgramAbsence(const std::string& name, const std::string& debian_package) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((std::filesystem::path(folder) / name).c_str(), X_OK) == 0) return "";
  return name + " is not installed; Debian: " + debian_package;
}

}  // namespace segdict::bench
