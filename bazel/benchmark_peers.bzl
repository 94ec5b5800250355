"""What segdict is compared with by the benchmark: each library is left out where it is not there."""

load("//bazel:optional_package.bzl", "optional_package")

def benchmark_peers():
    optional_package(
        name = "segdict_bench_boost",
        define = "SEGDICT_BENCH_HAS_CONCURRENT_FLAT_MAP",
        header = "boost/unordered/concurrent_flat_map.hpp",
        variable = "SEGDICT_BENCH_BOOST",
    )
    optional_package(
        name = "segdict_bench_clht",
        define = "SEGDICT_BENCH_HAS_CLHT",
        variable = "SEGDICT_BENCH_CLHT",
        srcs = ["src/clht_lb.c"],
        includes = [
            "include",
            "external/include",
        ],
        # Other variants of the table use these two; this one only includes them. Of atomic_ops.h, which clang does not
        # take, it uses one macro.
        files = {
            "unused/ssmem.h": "typedef void ssmem_allocator_t;",
            "unused/sspfd.h": "",
        },
        copts = [
            "-DDEFAULT",
            "-D_GNU_SOURCE",
            "-D_ATOMIC_OPS_H_INCLUDED_",
            "-DFAI_U64(at)=__sync_fetch_and_add(at,1)",
            "-O3",
            "-std=gnu89",
            "-w",
        ],
    )
    optional_package(
        name = "segdict_bench_hiredis",
        define = "SEGDICT_BENCH_HAS_HIREDIS",
        header = "hiredis/hiredis.h",
        linkopts = ["-lhiredis"],
    )
    optional_package(
        name = "segdict_bench_interprocess",
        define = "SEGDICT_BENCH_HAS_INTERPROCESS",
        header = "boost/interprocess/managed_shared_memory.hpp",
    )
    optional_package(
        name = "segdict_bench_libcuckoo",
        define = "SEGDICT_BENCH_HAS_LIBCUCKOO",
        header = "libcuckoo/cuckoohash_map.hh",
    )
    optional_package(
        name = "segdict_bench_libmemcached",
        define = "SEGDICT_BENCH_HAS_LIBMEMCACHED",
        header = "libmemcached/memcached.h",
        linkopts = ["-lmemcached"],
    )
    optional_package(
        name = "segdict_bench_lmdb",
        define = "SEGDICT_BENCH_HAS_LMDB",
        header = "lmdb.h",
        linkopts = ["-llmdb"],
    )
    optional_package(
        name = "segdict_bench_onetbb",
        define = "SEGDICT_BENCH_HAS_ONETBB",
        header = "oneapi/tbb/concurrent_hash_map.h",
        linkopts = ["-ltbb"],
    )
    optional_package(
        name = "segdict_bench_phmap",
        define = "SEGDICT_BENCH_HAS_PHMAP",
        header = "parallel_hashmap/phmap.h",
        variable = "SEGDICT_BENCH_PHMAP",
    )
