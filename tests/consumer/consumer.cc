// A program of another workspace that uses segdict as its users do: by the public header and the public label.

#include <iostream>
#include <string>

#include "segdict/dict.h"

namespace {

int Fail(const std::string& what, const absl::Status& status) {
  std::cerr << "consumer: " << what << ": " << status << '\n';
  return 1;
}

}  // namespace

int main() {
  const segdict::Location name = segdict::Name("consumer-test");
  segdict::Options options;
  options.capacity = 1000;
  options.value_bytes = 1 << 20;

  auto dict = segdict::Dict::OpenOrCreate(name, options);
  if (!dict.ok()) return Fail("open", dict.status());
  if (const absl::Status set = dict->Set("greeting", "hello"); !set.ok()) return Fail("set", set);
  std::string value;
  if (const absl::Status get = dict->Get("greeting", &value); !get.ok()) return Fail("get", get);
  if (value != "hello") return Fail("get", absl::InternalError("\"" + value + "\" is not \"hello\""));
  if (const absl::Status gone = segdict::Dict::Unlink(name); !gone.ok()) return Fail("unlink", gone);
  std::cout << "consumer: greeting = " << value << '\n';
  return 0;
}
