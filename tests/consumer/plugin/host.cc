// Loads the plugin that is named, and has it write in a thread that ends when the plugin is unloaded: what the library
// does at a thread's end must then still be there.
#include <dlfcn.h>

#include <iostream>
#include <thread>

int main(int argc, char** argv) {
  bool written = false;
  std::thread([&] {
    void* const plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (plugin == nullptr) return;
    if (void* const write_once = dlsym(plugin, "WriteOnce"); write_once != nullptr) {
      written = reinterpret_cast<bool (*)()>(write_once)();
    }
    dlclose(plugin);
  }).join();
  std::cout << "plugin: " << (written ? "unloaded" : "it did not write") << '\n';
  return written ? 0 : 1;
}
