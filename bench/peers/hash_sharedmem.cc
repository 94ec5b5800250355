// Perl's Hash::SharedMem, on tmpfs: a perl process that has the data, times its own loops and reports. What is timed is
// what a Perl program sees, the loop around it included.
//
// The process is told by lines what to do, and answers each with a line.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "bench/peer.h"
#include "bench/temporary_folder.h"

namespace segdict::bench {
namespace {

constexpr const char* kProgram = R"(
use strict;
use Hash::SharedMem qw(shash_open shash_get shash_set shash_gset);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
my ($folder, $n, $key_size, $value_size) = @ARGV;
$| = 1;
my $h = shash_open("$folder/hash", "rwc");
sub bytes { read(STDIN, my $bytes, $_[0]) == $_[0] or exit 1; $bytes }
my (@keys, @values, @others);
for (1 .. $n) { push @keys, bytes($key_size); push @values, bytes($value_size); push @others, bytes($value_size) }
shash_set($h, $keys[$_], $values[$_]) for 0 .. $n - 1;
print "ready\n";
while (my $line = <STDIN>) {
  my ($what, $first, $count) = split ' ', $line;
  my $answer;
  if ($what eq 'get') {
    my $i = $first % $n;
    my $start = clock_gettime(CLOCK_MONOTONIC);
    for (1 .. $count) {
      my $value = shash_get($h, $keys[$i]);
      defined $value or die "a key is missing";
      $i = 0 if ++$i == $n;
    }
    $answer = (clock_gettime(CLOCK_MONOTONIC) - $start) * 1e9 / $count;
  } elsif ($what eq 'overwrite') {
    my $i = $first % $n;
    my $v = int($first / $n) % 2 ? \@values : \@others;
    my $start = clock_gettime(CLOCK_MONOTONIC);
    for (1 .. $count) {
      shash_set($h, $keys[$i], $v->[$i]);
      if (++$i == $n) { $i = 0; $v = $v == \@values ? \@others : \@values }
    }
    $answer = (clock_gettime(CLOCK_MONOTONIC) - $start) * 1e9 / $count;
  } elsif ($what eq 'get1') { my $value = shash_get($h, $first); $answer = defined $value ? "1$value" : "0" }
  elsif ($what eq 'set1') { shash_set($h, $first, $count); $answer = "1" }
  elsif ($what eq 'erase1') { $answer = defined shash_gset($h, $first, undef) ? "1" : "0" }
  print "$answer\n";
}
)";

class HashSharedMem final : public Table {
 public:
  HashSharedMem(const Setup& setup, const Dataset& data) : setup_(setup) {
    Start();
    for (size_t i = 0; i < data.size(); ++i) {
      Write({data.key(i), setup.key_size});
      Write({data.value(i, 0), setup.value_size});
      Write({data.value(i, 1), setup.value_size});
    }
    if (Ask("") != "ready") Fail("hash-sharedmem: perl did not get ready");
  }
  ~HashSharedMem() override {
    std::fclose(to_);
    std::fclose(from_);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  static bool Offers(Op op) { return op == Op::kGet || op == Op::kOverwrite; }
  static std::string Absent() {
    return std::system("perl -MHash::SharedMem -e 1 >/dev/null 2>&1") == 0
               ? ""
               : "Perl's Hash::SharedMem is not installed; Debian: libhash-sharedmem-perl";
  }

  double Run(const Share& share) override {
    const std::string what = share.op == Op::kGet ? "get" : "overwrite";
    return std::stod(Ask(what + " " + std::to_string(share.from) + " " + std::to_string(share.count) + "\n"));
  }

  bool Get(std::string_view key, char* value) override {
    const std::string answer = Ask("get1 " + std::string(key) + "\n");
    if (answer[0] == '0') return false;
    std::memcpy(value, answer.data() + 1, setup_.value_size);
    return true;
  }
  bool Set(std::string_view key, std::string_view value) override {
    return Ask("set1 " + std::string(key) + " " + std::string(value) + "\n") == "1";
  }
  bool Erase(std::string_view key) override { return Ask("erase1 " + std::string(key) + "\n") == "1"; }

 private:
  void Start() {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) Fail("no pipe");
    const std::string n = std::to_string(setup_.keys), key_size = std::to_string(setup_.key_size),
                      value_size = std::to_string(setup_.value_size);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(down[0], 0);
      dup2(up[1], 1);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent)
        execlp("perl", "perl", "-e", kProgram, folder_.path().c_str(), n.c_str(), key_size.c_str(), value_size.c_str(),
               nullptr);
      _exit(127);
    }
    close(down[0]);
    close(up[1]);
    to_ = fdopen(down[1], "w");
    from_ = fdopen(up[0], "r");
  }

  void Write(std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), to_) != bytes.size()) Fail("hash-sharedmem: perl does not listen");
  }

  std::string Ask(std::string_view line) {
    Write(line);
    std::fflush(to_);
    char answer[256];
    if (std::fgets(answer, sizeof(answer), from_) == nullptr) Fail("hash-sharedmem: perl does not answer");
    return {answer, std::strcspn(answer, "\n")};
  }

  const Setup setup_;
  TemporaryFolder folder_;
  pid_t pid_;
  FILE* to_;
  FILE* from_;
};

[[maybe_unused]] const bool registered = [] {
  Peers().push_back({.name = "hash-sharedmem",
                     .key_size = S16::kKey,
                     .value_size = S16::kValue,
                     .shared = false,
                     .absent = HashSharedMem::Absent,
                     .offers = HashSharedMem::Offers,
                     .make = [](const Setup& setup, const Dataset& data) -> std::unique_ptr<Table> {
                       return std::make_unique<HashSharedMem>(setup, data);
                     }});
  return true;
}();

}  // namespace
}  // namespace segdict::bench
