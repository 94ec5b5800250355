"""Tests of other projects that are not run here, or whose outcome is meant to differ, each with the reason."""

from __future__ import annotations

# test.mapping_tests of CPython, for segdict.Dict.
CPYTHON_MAPPING: dict[str, str] = {
    "test_copy": "copy() gives a plain dict: a second shared one would need a name",
    "test_fromkeys": "a shared dict has a name and a capacity, which fromkeys(keys) does not give",
    "test_eq": "its key, of a class inside a function, cannot be pickled and so is no key",
    "test_getitem": "its key, of a class inside a function, cannot be pickled and so is no key",
    "test_pop": "its key, of a class inside a function, cannot be pickled and so is no key",
    "test_repr": "repr tells name and capacity; what a dict may hold in shared memory is too long to show",
    "test_repr_deep": "repr does not show values",
    "test_setdefault": "setdefault returns a copy: changing it changes nothing in the dict",
}

# aiocache's own tests, for SharedMemoryCache (aiocache_suite.py). Patterns, but for brackets; "@": all with that mark.
AIOCACHE: dict[str, str] = {
    "@redis": "needs a Redis server",
    "@valkey": "needs a Valkey server",
    "@memcached": "needs a memcached server",
    **{
        f"tests/acceptance/test_serializers.py::TestNullSerializer::{test}[{value}]": (
            "expects the very object that was stored; what is read from shared memory is a copy"
        )
        for test in ("test_set_get_types", "test_add_get_types", "test_multi_set_multi_get_types")
        for value in ("2.0", "hi", "obj4", "obj5", "obj6")
    },
    **{
        f"tests/ut/backends/test_memory.py::TestSimpleMemory*::{test}": reason
        for reason, tests in {
            "expects calls of certain methods of a dict, in whose place it puts a mock; here each operation is one "
            "atomic call of another method": (
                "test_set_cas_token", "test_add", "test_add_existing", "test_increment",
                "test_increment_missing", "test_increment_typerror", "test_expire_missing", "test_delete_missing",
                "test_delete_non_truthy", "test_clear_namespace", "test_redlock_release_nokey",
            ),
            "expects that _gets calls _get; here it also reads the state of the entry": ("test_gets",),
            "expects that clear() makes a new dict": ("test_clear_no_namespace",),
            "expects a timer in this process for each time to live; here it is kept with the entry": (
                "test_set_cancel_previous_ttl_handle", "test_set_ttl_handle", "test_expire_no_handle_ttl",
                "test_expire_handle_ttl", "test_delete", "test_redlock_release",
            ),
            "expects the memory cache's name": ("test_name",),
            "is about the memory cache's option maxsize, the least recently used going first; here size, or capacity "
            "and value_bytes, limit the content, and nothing goes before its time": (
                "test_maxsize_enforcement", "test_eviction_order", "test_get_updates_recency", "test_add_eviction",
                "test_multi_set_eviction", "test_no_eviction_when_below_maxsize", "test_clear_resets_size",
                "test_ttl_doesnt_affect_eviction_order", "test_delete_updates_size", "test_increment_updates_recency",
                "test_lru_eviction_with_handlers",
            ),
        }.items()
        for test in tests
    },
}  # fmt: skip  # a table

# Django's tests of caches, for segdict.caches.django: Class.test.
DJANGO: dict[str, str] = {
    f"AsyncDummyCacheTests.{test}": "expects that nothing is stored, as is the dummy cache's way"
    for test in (
        "test_simple", "test_aadd", "test_aget_many", "test_adelete", "test_ahas_key", "test_aincr", "test_adecr",
        "test_data_types", "test_expiration", "test_unicode", "test_aincr_version", "test_adecr_version",
        "test_aget_or_set",
    )
}  # fmt: skip  # a table

# shared-memory-dict's own tests (original_suite.py).
ORIGINAL: dict[str, str] = {}
