// A plugin that uses a shared segdict. See host.cc.
#include "segdict/dict.h"

extern "C" bool WriteOnce() {
  const segdict::Location name = segdict::Name("consumer-test-plugin");
  auto dict = segdict::Dict::OpenOrCreate(name, {.capacity = 10});
  return dict.ok() && dict->Set("greeting", "hello").ok() && segdict::Dict::Unlink(name).ok();
}
