"""For MODULE.bazel; Debian's Bazel 4 does not read this file."""

load("//bazel:benchmark_peers.bzl", "benchmark_peers")

def _benchmark_peers_impl(_):
    benchmark_peers()

benchmark_peers_extension = module_extension(implementation = _benchmark_peers_impl)
