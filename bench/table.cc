#include "bench/table.h"

#include <cstdio>
#include <cstdlib>

namespace segdict::bench {

std::vector<PeerInfo>& Peers() {
  static auto* peers = new std::vector<PeerInfo>;
  return *peers;
}

void Fail(std::string_view what) {
  std::fprintf(stderr, "bench: %.*s\n", static_cast<int>(what.size()), what.data());
  std::fflush(nullptr);
  std::_Exit(1);
}

}  // namespace segdict::bench
