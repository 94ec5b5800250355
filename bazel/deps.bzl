"""What segdict depends on, in WORKSPACE mode. With Bazel 8 and 9, MODULE.bazel says it instead.

A workspace that depends on segdict calls segdict_dependencies(); tests/consumer is an example. A repository that the
caller has defined before is left alone.
"""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load("//bazel:benchmark_peers.bzl", "benchmark_peers")
load("//bazel:debian_bazel.bzl", "debian_bazel_repositories")
load("//bazel:system_package.bzl", "system_package")

# Label in Abseil -> its pkg-config module.
_ABSL = {
    "absl/algorithm:container": "absl_algorithm_container",
    "absl/base:base": "absl_base",
    "absl/base:config": "absl_config",
    "absl/base:core_headers": "absl_core_headers",
    "absl/cleanup:cleanup": "absl_cleanup",
    "absl/container:btree": "absl_btree",
    "absl/container:fixed_array": "absl_fixed_array",
    "absl/container:flat_hash_map": "absl_flat_hash_map",
    "absl/container:flat_hash_set": "absl_flat_hash_set",
    "absl/container:inlined_vector": "absl_inlined_vector",
    "absl/debugging:failure_signal_handler": "absl_failure_signal_handler",
    "absl/debugging:symbolize": "absl_symbolize",
    "absl/flags:flag": "absl_flags",
    "absl/flags:parse": "absl_flags_parse",
    "absl/flags:usage": "absl_flags_usage",
    "absl/functional:any_invocable": "absl_any_invocable",
    "absl/functional:function_ref": "absl_function_ref",
    "absl/hash:hash": "absl_hash",
    "absl/memory:memory": "absl_memory",
    "absl/meta:type_traits": "absl_type_traits",
    "absl/numeric:bits": "absl_bits",
    "absl/numeric:int128": "absl_int128",
    "absl/random:random": "absl_random_random",
    "absl/status:status": "absl_status",
    "absl/status:statusor": "absl_statusor",
    "absl/strings:cord": "absl_cord",
    "absl/strings:str_format": "absl_str_format",
    "absl/strings:strings": "absl_strings",
    "absl/synchronization:synchronization": "absl_synchronization",
    "absl/time:time": "absl_time",
    "absl/types:optional": "absl_optional",
    "absl/types:span": "absl_span",
    "absl/types:variant": "absl_variant",
    "absl/utility:utility": "absl_utility",
}

_XXHASH_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "xxhash",
    srcs = ["xxhash.c"],
    hdrs = ["xxhash.h"],
    includes = ["."],
    visibility = ["//visibility:public"],
)
"""

def segdict_dependencies():
    """What the library itself needs."""
    debian_bazel_repositories()
    maybe(
        system_package,
        name = "com_google_absl",
        libraries = {label: [module] for label, module in _ABSL.items()},
        version = "20220623",
        urls = ["https://github.com/abseil/abseil-cpp/archive/refs/tags/20220623.1.tar.gz"],
        sha256 = "91ac87d30cc6d79f9ab974c51874a704de9c2647c40f6932597329a282217ba8",
        strip_prefix = "abseil-cpp-20220623.1",
    )
    maybe(
        system_package,
        name = "com_github_cyan4973_xxhash",
        libraries = {":xxhash": ["libxxhash"]},
        version = "0.8.0",
        urls = ["https://github.com/Cyan4973/xxHash/archive/refs/tags/v0.8.3.tar.gz"],
        sha256 = "aae608dfe8213dfd05d909a57718ef82f30722c392344583d3f39050c7f29a80",
        strip_prefix = "xxHash-0.8.3",
        archive_build_file = _XXHASH_BUILD,
    )

    # Only Abseil's archive asks for it.
    maybe(
        http_archive,
        name = "bazel_skylib",
        urls = ["https://github.com/bazelbuild/bazel-skylib/releases/download/1.3.0/bazel-skylib-1.3.0.tar.gz"],
        sha256 = "74d544d96f4a5bb630d465ca8bbcfe231e3594e5aae57e1edbf17a6eb3ca2506",
    )

def segdict_dev_dependencies():
    """What the tests and benchmarks need besides."""
    maybe(
        system_package,
        name = "com_google_googletest",
        # As upstream, gtest includes gmock, and gtest_main is the main function that knows both.
        libraries = {
            ":gtest": ["gmock"],
            ":gtest_main": ["gmock_main"],
        },
        version = "1.12",
        urls = ["https://github.com/google/googletest/archive/refs/tags/release-1.12.1.tar.gz"],
        sha256 = "81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2",
        strip_prefix = "googletest-release-1.12.1",
    )
    maybe(
        system_package,
        name = "com_github_google_benchmark",
        libraries = {
            ":benchmark": ["benchmark"],
            ":benchmark_main": ["-lbenchmark_main", "benchmark"],
        },
        version = "1.7",
        urls = ["https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz"],
        sha256 = "6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7",
        strip_prefix = "benchmark-1.7.1",
    )
    benchmark_peers()
