// A process that is run one instruction at a time, or up to one instruction at full speed, and killed there.
//
// The tracer (ptrace(2)) forks the victim. Its memory is laid out like that of the tracer and of every other victim
// that the tracer forks, so an instruction has the same address in all of them. One victim is stepped from its call of
// Ready to its end; a moment that is worth it is noted as (instruction, how many times it was arrived at). Another
// victim that does the same goes there by a breakpoint: int3, written over the instruction in the victim's private copy
// of the code, put aside and back at each arrival. Nothing else in the victim is changed; between the arrivals it runs
// at full speed.
//
// So that each store is seen, also one of what was there already, the victim's mapping of the segment is
// write-protected while it is stepped: a store faults, is let through by itself, and the protection is put back. (Both
// by mprotect, which the tracer lets the victim call.)
//
// A string instruction (rep movsb) is arrived at once and interrupted after each of its iterations, also by single
// steps: `repetition` counts them.
//
// x86-64 only. One victim at a time.
#ifndef SEGDICT_TESTS_MACHINE_TRACER_H_
#define SEGDICT_TESTS_MACHINE_TRACER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>

#include "absl/functional/function_ref.h"
#include "src/base/descriptor.h"

namespace segdict::test {

// One execution of one instruction.
struct Moment {
  uint64_t pc = 0;
  uint64_t arrival = 0;     // from 1
  uint64_t repetition = 0;  // from 1

  // Where that is, for messages.
  std::string Describe() const;
};

class Victim {
 public:
  // Forks a process that runs `body` and ends with status 0; returns when it stands still in Ready.
  explicit Victim(absl::FunctionRef<void()> body);
  ~Victim() { Kill(); }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  // Called by the body: the calling thread, and no other, is traced from here on.
  static void Ready();
  // Why processes cannot be traced here; empty if they can.
  static std::string WhyNot();

  // Write-protects the file that the victim has open and mapped writable and shared, and returns a new descriptor of
  // it, for reading. None: there is none yet.
  internal::UniqueFd Guard();
  // Executes one instruction (a system call is one). False: the traced thread has ended.
  bool Step();
  // The instruction that Step executed last.
  const Moment& last() const { return last_; }
  // Whether it wrote to the guarded file's mapping.
  bool stored() const { return stored_; }
  // Whether Step is about to make a system call.
  bool AtSystemCall() const;
  // Runs until the instruction of `moment` has been executed. False: the victim has ended without coming there.
  bool RunTo(const Moment& moment);
  // Runs until the entry into the next system call, or the return from it. False: it has ended.
  bool NextSystemCall();
  // SIGKILL; returns when the process is gone.
  void Kill();

  // Whether it ended as it should have.
  bool succeeded() const { return ended_ && failure_.empty(); }
  const std::string& failure() const { return failure_; }

 private:
  bool Resume(int request);
  void Note(int status);
  uint64_t Pc() const;
  void SetPc(uint64_t pc);
  void Protect(int protection);

  pid_t process_ = -1;
  pid_t thread_ = -1;  // the traced one
  bool ended_ = false;
  std::string failure_;
  Moment last_;
  std::unordered_map<uint64_t, uint64_t> arrivals_;
  uint64_t guarded_ = 0, guarded_end_ = 0;  // addresses
  bool faulted_ = false;                    // stopped before a store there
  bool stored_ = false;
};

// The bytes of a file, and what they were when somebody last looked.
class Shadow {
 public:
  explicit Shadow(int fd);
  ~Shadow();
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;
  // Whether a byte has changed since the last call.
  bool Changed();

 private:
  char* map_;
  std::string seen_;
};

}  // namespace segdict::test

#endif  // SEGDICT_TESTS_MACHINE_TRACER_H_
