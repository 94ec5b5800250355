# mypy: disable-error-code="import-not-found,import-untyped,func-returns-value,unused-ignore"
"""The cache for Django: what Django's own tests (django_suite.py) do not see, above all several processes."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from django.conf import settings  # type: ignore[import-not-found]
from django.core.cache.backends.base import BaseCache, CacheKeyWarning  # type: ignore[import-not-found]

import segdict
from conftest import run_python
from segdict.caches import django as module
from segdict.caches.django import SharedMemoryCache
from segdict.shared_memory_dict.caches.django import SharedMemoryCache as shared_memory_dict_cache
from segdict.shared_memory_dict.dict import SharedMemoryDict

if not settings.configured:
    settings.configure()

Make = Callable[..., SharedMemoryCache]
Start = Callable[..., "subprocess.Popen[str]"]

# For other interpreters: the cache of the name that is their first argument.
PRELUDE = """
import os, signal, sys, time
from django.conf import settings
settings.configure(CACHES={"default": {
    "BACKEND": "segdict.caches.django.SharedMemoryCache", "LOCATION": sys.argv[1], "OPTIONS": eval(sys.argv[2])}})
from django.core.cache import cache, caches
"""


def run_cache(name: str, code: str, *arguments: str, options: str = "{}", **more: Any) -> str:
    return str(run_python(PRELUDE + code, name, options, *arguments, **more).stdout)


@pytest.fixture
def start(name: str) -> Iterator[Start]:
    """Starts a process with the test's cache, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, options: str = "{}") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PRELUDE + code, name, options]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def let_go(workers: list[subprocess.Popen[str]]) -> list[str]:
    """Lets those that wait for a line go on, all at once; what they print."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    printed = [worker.communicate()[0] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    return printed


@pytest.fixture
def make(name: str) -> Iterator[Make]:
    def make(params: dict[str, Any] | None = None, location: str = name, **options: Any) -> SharedMemoryCache:
        return SharedMemoryCache(location, {**(params or {}), "OPTIONS": options})

    yield make
    for mine in list(module._caches):
        if mine[0].startswith(name):
            module._caches.pop(mine).cleanup()


@pytest.fixture
def cache(make: Make) -> SharedMemoryCache:
    return make()


# ---- As shared-memory-dict's class ----


def test_is_made_of_a_shared_memory_dict(cache: SharedMemoryCache) -> None:
    assert isinstance(cache._cache, SharedMemoryDict)
    assert isinstance(cache, BaseCache)


def test_has_its_old_name() -> None:
    assert shared_memory_dict_cache is SharedMemoryCache


def test_arguments_have_their_names(name: str, make: Make) -> None:
    assert SharedMemoryCache(name=name, params={}).get("a") is None


@pytest.mark.parametrize("value", ["text", 1, 0.3, {"a": "dict"}, ["a", "list"], None, True, b"bytes", 2**70, (1, 2)])
def test_values(cache: SharedMemoryCache, value: Any) -> None:
    cache.set("a", value)
    assert cache.get("a", "default") == value
    assert type(cache.get("a")) is type(value)


@pytest.mark.parametrize("value", ["fake", ("fake",), {}, ("value", None)])
def test_entries_of_others_are_none(cache: SharedMemoryCache, value: Any) -> None:
    made = cache.make_key("a")
    cache._cache[made] = value
    assert cache.get("a") is None
    assert cache.add("a", 1)
    assert cache.get("a") == 1
    assert cache._cache[made] == value


def test_incr_of_what_is_no_int(cache: SharedMemoryCache) -> None:
    for value in ("1", 1.5, [1], None):
        cache.set("a", value)
        with pytest.raises(TypeError):
            cache.incr("a")
        with pytest.raises(TypeError):
            cache.decr("a")
        assert cache.get("a") == value


@pytest.mark.parametrize("size", [64, 1024, 100_000])
def test_memory_block_size(make: Make, size: int) -> None:
    """What fitted is there: as many bytes as it had, in one value or in many entries."""
    cache = make(MEMORY_BLOCK_SIZE=size)
    cache.set("a", "x" * size)
    assert cache.get("a") == "x" * size
    cache.clear()
    count = size // 50  # an entry of the original: a key of 5 and more, a tuple, a float
    for i in range(count):
        cache.set(str(i), i)
    assert cache.get_many([str(i) for i in range(count)]) == {str(i): i for i in range(count)}


def test_options_of_numbers_may_be_text(make: Make) -> None:
    cache = make(CAPACITY="2000", VALUE_BYTES=str(1 << 20), MAX_ENTRIES="500")
    assert cache._cache.capacity >= 2000
    assert cache._max_entries == 500


# ---- One operation ----


def test_errors_name_the_key(cache: SharedMemoryCache) -> None:
    for change in (cache.incr, cache.decr, cache.incr_version, cache.decr_version):
        with pytest.raises(ValueError, match="^Key 'mine' not found$"):
            change("mine")


def test_incr(cache: SharedMemoryCache) -> None:
    cache.set("a", 5, 1000)
    assert cache.incr("a", 0) == 5
    assert cache.incr("a", -7) == -2
    assert cache.decr("a", -3) == 1
    assert cache.incr("a", 2**70) == 2**70 + 1
    assert cache.decr("a", 2**70) == 1
    assert cache.incr("a", 2**63 - 1) == 2**63
    assert cache.get("a") == 2**63
    cache.set("a", True)
    assert cache.incr("a") == 2
    assert cache.incr("a", 0.5) == 2.5


def test_incr_keeps_the_timeout(cache: SharedMemoryCache) -> None:
    for value, delta in ((1, 1), (2**70, 1), (1, 2**70)):
        cache.set("a", value, 1000)
        cache.incr("a", delta)
        assert 990 < ttl(cache, "a") < 1000
        cache.set("a", value, None)
        cache.incr("a", delta)
        assert ttl(cache, "a") is None


def ttl(cache: SharedMemoryCache, key: str, version: Any = None) -> Any:
    entry = cache._cache._read(cache._key(key, version))
    assert entry is not None
    return entry[2]


def test_timeouts(make: Make) -> None:
    cache = make({"TIMEOUT": 70})
    cache.set("a", 1)
    assert 60 < ttl(cache, "a") <= 70
    for timeout, expected in ((100, 100), (0.5, 0.5), (40 * 86400, 40 * 86400), (None, None), (1e300, None)):
        assert cache.set("a", 1, timeout) is None
        assert ttl(cache, "a") == pytest.approx(expected, abs=1)
        assert cache.touch("a", 5)
        assert ttl(cache, "a") == pytest.approx(5, abs=1)
        assert cache.touch("a", timeout)
        assert ttl(cache, "a") == pytest.approx(expected, abs=1)
        cache.delete("a")
        assert cache.add("a", 1, timeout)
        assert ttl(cache, "a") == pytest.approx(expected, abs=1)
    assert cache.touch("a")
    assert 60 < ttl(cache, "a") <= 70
    for bad in ("soon", float("nan")):
        with pytest.raises((TypeError, ValueError)):
            cache.set("a", 1, bad)


def test_timeout_of_the_cache(make: Make) -> None:
    for_ever, never = make({"TIMEOUT": None}), make({"TIMEOUT": 0})
    for_ever.set("a", 1)
    assert ttl(for_ever, "a") is None
    never.set("b", 1)
    assert never.get("b") is None
    assert never.add("b", 1)
    assert never.get("b") is None


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_nothing_is_stored_that_has_expired(cache: SharedMemoryCache, timeout: float) -> None:
    assert cache.add("a", 1, timeout)
    assert len(cache._cache) == 0
    cache.set("a", 1)
    assert not cache.add("a", 2, timeout)
    assert cache.get("a") == 1
    cache.set("a", 2, timeout)
    assert "a" not in cache
    assert len(cache._cache) == 0
    cache.set("a", 1)
    assert cache.touch("a", timeout)
    assert "a" not in cache
    assert not cache.touch("a", timeout)


def test_what_has_expired_is_not_there(cache: SharedMemoryCache) -> None:
    cache.set_many({"a": 1, "b": 1, "c": 1}, 0.05)
    cache.set("d", 1, 0.05)
    time.sleep(0.1)
    assert cache.get("a") is None
    assert not cache.has_key("a")
    assert cache.get_many(["a", "b"]) == {}
    assert not cache.touch("a")
    assert not cache.delete("a")
    for change in (cache.incr, cache.incr_version):
        with pytest.raises(ValueError, match="not found"):
            change("b")
    assert cache.add("c", 2)
    assert cache.get_or_set("d", 2) == 2


def test_none_is_a_value(cache: SharedMemoryCache) -> None:
    cache.set("a", None)
    assert cache.get("a", 1) is None
    assert cache.get_many(["a", "b"]) == {"a": None}
    assert not cache.add("a", 1)
    assert cache.get_or_set("a", 1) is None
    assert cache.incr_version("a") == 2
    assert cache.get("a", 1, version=2) is None


def test_get_many_gives_the_keys_as_they_were_given(cache: SharedMemoryCache) -> None:
    cache.set_many({1: "one", "b": 2})
    assert cache.get_many([1, "1", "b", "c"]) == {1: "one", "1": "one", "b": 2}
    assert list(cache.get_many(["b", 1])) == ["b", 1]


def test_incr_version_keeps_the_timeout(cache: SharedMemoryCache) -> None:
    cache.set("a", 1, 1000)
    assert cache.incr_version("a", 3) == 4
    assert 990 < ttl(cache, "a", 4) < 1000
    assert cache.decr_version("a", 3, version=4) == 1
    cache.touch("a", None)
    cache.incr_version("a")
    assert ttl(cache, "a", 2) is None
    assert cache.incr_version("a", 0, version=2) == 2
    assert cache.get("a", version=2) == 1
    assert len(cache._cache) == 1


def test_get_or_set(cache: SharedMemoryCache) -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return 7

    assert cache.get_or_set("a", make, 100) == 7
    assert cache.get_or_set("a", make) == 7
    assert len(calls) == 1
    assert 90 < ttl(cache, "a") <= 100
    assert cache.get_or_set("b", make, 0) == 7


def test_unpicklable_values_change_nothing(cache: SharedMemoryCache) -> None:
    cache.set("a", 1)
    for store in (cache.set, cache.add):
        with pytest.raises(Exception, match="pickle|serialize"):
            store("b", threading.Lock())
    with pytest.raises(Exception, match="pickle|serialize"):
        cache.set("a", threading.Lock())
    assert cache.get_many(["a", "b"]) == {"a": 1}


# ---- Keys ----


def keys_to_try() -> list[Any]:
    class Sub(str):
        def __str__(self) -> str:
            return "another"

    return [
        "plain", "a:b", "", "x" * 245, "x" * 246, "x" * 247, "x" * 248, "x" * 250, "x" * 251, "a b", "a\tb", "\x7f",
        "a\0b", "\xa0", "é", "\u2028", "清", "清" * 250, "\ud800", 17, 1.5, True, None, ("a", 1), Sub("plain"), b"x",
    ]  # fmt: skip


@pytest.mark.parametrize("key", keys_to_try(), ids=lambda key: repr(key)[:20])
@pytest.mark.parametrize(
    "params",
    [
        {}, {"VERSION": 7}, {"KEY_PREFIX": "site"}, {"KEY_PREFIX": "my site"}, {"KEY_PREFIX": "x" * 240},
        {"VERSION": "v\n"}, {"KEY_PREFIX": "x" * 260}, {"KEY_PREFIX": "é"},
        {"KEY_FUNCTION": lambda key, prefix, version: f"{version}-{key}"},
    ],
)  # fmt: skip
def test_keys_are_made_and_checked_as_django_does(make: Make, key: Any, params: dict[str, Any]) -> None:
    cache = make(params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache.get("first")  # finds out how keys are made
    for version in (None, 3):
        with warnings.catch_warnings(record=True) as expected:
            warnings.simplefilter("always")
            made = cache.make_and_validate_key(key, version)
        for use in (
            cache._key,
            lambda key, version: cache.get(key, None, version),
            lambda k, v: cache.set(k, 1, 60, v),
        ):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                use(key, version)
            assert [str(w.message) for w in seen] == [str(w.message) for w in expected]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert cache._key(key, version) == "\0" + made
        assert cache._cache.get("\0" + made) == 1


def test_keys_follow_changes_of_the_cache(cache: SharedMemoryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set("a", 1)
    for name, value in (("version", 2), ("key_prefix", "p"), ("key_func", lambda key, prefix, version: key.upper())):
        setattr(cache, name, value)
        assert cache.get("a") is None
        cache.set("a", name)
        assert cache.get("a") == name
        assert cache._cache["\0" + cache.make_key("a")] == name
    monkeypatch.setattr(cache, "make_key", lambda key, version=None: "mine")
    cache.set("a", 1)
    assert cache._cache["\0mine"] == 1


def test_subclasses_make_and_check_keys(name: str, make: Make) -> None:
    class Liberal(SharedMemoryCache):
        def validate_key(self, key: Any) -> None:
            pass

    class Mine(SharedMemoryCache):
        def make_key(self, key: Any, version: Any = None) -> Any:
            return f"mine-{key}"

    class Strict(SharedMemoryCache):
        def validate_key(self, key: Any) -> None:
            raise ValueError(f"not {key}")

    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheKeyWarning)
        liberal = Liberal(name, {})
        liberal.set("a b", 1)
        assert liberal.get("a b") == 1
    mine = Mine(name, {})
    mine.set("a", 1)
    mine.set("a", 2)
    assert mine._cache["\0mine-a"] == 2
    strict = Strict(name, {})
    for _ in range(2):
        with pytest.raises(ValueError, match="not :1:a"):
            strict.get("a")


# ---- Full ----


def keys_of(cache: SharedMemoryCache, count: int) -> list[int]:
    return [i for i in range(count) if cache.has_key(i)]


def test_max_entries_drops_the_oldest(make: Make) -> None:
    cache = make(MAX_ENTRIES=30, CULL_FREQUENCY=3)
    for i in range(30):
        cache.set(i, i)
    assert keys_of(cache, 100) == list(range(30))
    cache.set(5, "again")  # no new entry
    assert keys_of(cache, 100) == list(range(30))
    cache.add(30, 30)
    assert keys_of(cache, 100) == list(range(10, 31))
    for i in range(31, 100):
        cache.set_many({i: i})
    assert keys_of(cache, 100) == list(range(99 - len(keys_of(cache, 100)) + 1, 100))
    assert 20 < len(cache._cache) <= 30


def test_max_entries_drops_what_has_expired_first(make: Make) -> None:
    cache = make(MAX_ENTRIES=30)
    for i in range(30):
        cache.set(i, i, 0.02 if i >= 20 else None)
    time.sleep(0.05)
    cache.set("new", 1)
    assert keys_of(cache, 30) == list(range(20))


def test_cull_frequency_0_drops_all(make: Make) -> None:
    cache = make(MAX_ENTRIES=30, CULL_FREQUENCY=0)
    for i in range(31):
        cache.set(i, i)
    assert keys_of(cache, 31) == [30]


@pytest.mark.parametrize("frequency", [1, 2, 1000])
def test_cull_frequencies(make: Make, frequency: int) -> None:
    cache = make(MAX_ENTRIES=40, CULL_FREQUENCY=frequency)
    for i in range(41):
        cache.set(i, i)
    kept = {1: 1, 2: 21, 1000: 41}[frequency]
    assert keys_of(cache, 41) == list(range(41 - kept, 41))


def test_culling_leaves_entries_of_others(make: Make) -> None:
    cache = make(MAX_ENTRIES=10, CULL_FREQUENCY=0)
    cache._cache["mine"] = 1
    for i in range(50):
        cache.set(i, i)
    assert cache._cache["mine"] == 1


@pytest.mark.parametrize("frequency", [0, 3])
def test_entries_of_others_do_not_count(make: Make, frequency: int) -> None:
    cache = make(MAX_ENTRIES=100, CAPACITY=1000, CULL_FREQUENCY=frequency)
    for i in range(150):
        cache._cache[f"mine{i}"] = i
    cache._cache.set("expired", 1, ttl=0.001)
    for i in range(100):
        cache.set(i, i)
        assert keys_of(cache, 100) == list(range(i + 1))
    cache.set(100, 100)
    assert keys_of(cache, 101) == list(range(100 - (67 if frequency else 0), 101))
    for i in range(150):
        del cache._cache[f"mine{i}"]
    for i in range(500):
        cache.set(i, i)
    assert len(cache._cache) <= 250
    cache.clear()
    for i in range(200):
        cache.set(i, i)
        assert len(cache._cache) <= 100


def test_a_cache_that_others_have_filled(make: Make) -> None:
    cache = make(CAPACITY=1000, VALUE_BYTES=1 << 20, MAX_ENTRIES=10**9)
    with pytest.raises(segdict.FullError):
        for i in range(10_000):
            cache._cache[f"mine{i}"] = "x" * 1000
    mine = len(cache._cache)
    with pytest.raises(segdict.FullError):
        cache.set("a", "x" * 1000)
    for i in range(20):
        del cache._cache[f"mine{i}"]
    for i in range(60):
        cache.set(i, "x" * 1000)
        assert cache.get(i) == "x" * 1000
    assert len(keys_of(cache, 60)) > 10
    assert sum(type(key) is str and key.startswith("mine") for key in cache._cache) == mine - 20


def test_many_entries_are_counted_now_and_then(make: Make) -> None:
    cache = make(MAX_ENTRIES=5000, CAPACITY=20_000)
    for i in range(12_000):
        cache.set(i, i)
        assert i % 500 or len(cache._cache) <= 5000
    assert len(cache._cache) > 3000


def test_capacity_is_the_limit_where_no_other_is_given(make: Make, name: str) -> None:
    assert make(CAPACITY=5000)._max_entries == 5000
    assert make(CAPACITY=5000, MAX_ENTRIES=70)._max_entries == 70
    assert make({"max_entries": 50}, CAPACITY=5000)._max_entries == 50
    blocks = make(location=name + "-b", MEMORY_BLOCK_SIZE=10_000)
    assert blocks._max_entries == blocks._cache.capacity
    assert make(location=name + "-c")._max_entries == 300


@pytest.mark.parametrize("frequency", [0, 1, 3, 1000])
@pytest.mark.parametrize("add", [False, True])
def test_a_full_cache_makes_room(make: Make, frequency: int, add: bool) -> None:
    cache = make(CAPACITY=3000, VALUE_BYTES=1 << 20, CULL_FREQUENCY=frequency, MAX_ENTRIES=3000)
    count = 2000
    for i in range(count):
        value = str(i) * 400
        if add:
            assert cache.add(i, value)
        else:
            cache.set(i, value)
        assert cache.get(i) == value
    left = keys_of(cache, count)
    if frequency:
        assert left == list(range(count - len(left), count))  # the oldest went
        assert len(left) >= 100
    assert cache.set_many({i: "x" * 1000 for i in range(count)}) == []
    assert cache._cache.verify() == []


def test_a_table_without_free_slots_makes_room(make: Make) -> None:
    cache = make(CAPACITY=100, VALUE_BYTES=1 << 20, MAX_ENTRIES=10**9)
    for i in range(5000):
        cache.set(i, i)
        assert cache.get(i) == i
    assert cache.incr(4999) == 5000


def test_values_of_all_sizes_fit_in_turn(make: Make) -> None:
    cache = make(CAPACITY=3000, VALUE_BYTES=1 << 20, MAX_ENTRIES=3000)
    for turn in range(3):
        for size in (10, 100, 1000, 10_000, 100_000, 600_000, 50):
            for i in range(3_000_000 // max(size, 2000)):
                cache.set(f"{size}-{i}", "x" * size)
                assert len(cache.get(f"{size}-{i}")) == size, turn
    assert cache._cache.verify() == []


@pytest.mark.parametrize(
    "value", ["x" * (4 << 20), b"x" * (4 << 20), ["x" * (4 << 20)]], ids=lambda v: type(v).__name__
)
def test_a_value_that_is_larger_than_the_cache(make: Make, value: Any) -> None:
    cache = make(CAPACITY=1000, VALUE_BYTES=1 << 20)
    cache.set_many({"other": 1, "old": "x" * 1000})
    with pytest.raises(segdict.FullError):
        cache.add("new", value)
    with pytest.raises(segdict.FullError):
        cache.set("old", value)
    assert "old" not in cache  # what was there before is not the value
    assert cache.set_many({"a": 1, "old": value, "b": 2}) == ["old"]
    assert cache.get_many(["other", "a", "b", "new", "old"]) == {"other": 1, "a": 1, "b": 2}  # and nothing else went


def test_an_overwrite_in_a_full_cache(make: Make) -> None:
    cache = make(CAPACITY=1000, VALUE_BYTES=1 << 20)
    size = 700_000
    for letter in "abc":
        cache.set("a", letter * size)
        assert cache.get("a") == letter * size


def test_too_many_writers_cost_no_entry(make: Make) -> None:
    """More threads that write than the dict is made for: to drop entries would not help."""
    cache = make()
    cache.set_many({"a": 1, "b": 1})
    leave = threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        try:
            cache.set("a", 1)
        except segdict.FullError as error:
            errors.append(error)
        leave.wait()

    threads = [threading.Thread(target=work) for _ in range(int(cache._cache.stats()["max_writers"]))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while not errors and time.monotonic() < end:
        time.sleep(0.01)
    leave.set()
    for thread in threads:
        thread.join()
    assert "writer records" in str(errors[0].__cause__)
    assert cache.get("b") == 1
    cache.set("a", 2)
    assert cache.get("a") == 2


# ---- The handle ----


def test_all_caches_of_a_process_share_a_handle(make: Make, name: str) -> None:
    cache = make()
    assert make({"KEY_PREFIX": "p"})._cache is cache._cache
    assert make(location=name + "-2")._cache is not cache._cache
    assert make(SERIALIZER="json")._cache is not cache._cache
    assert make(LOCK=True)._cache is not cache._cache


def test_the_end_of_a_request_keeps_the_cache(cache: SharedMemoryCache) -> None:
    cache.set("a", 1)
    cache.close()
    cache.close(signal="request_finished")
    assert cache.get("a") == 1


def test_a_segment_that_was_removed_is_made_again(make: Make) -> None:
    cache = make()
    cache.set("a", 1)
    cache._cache.shm.unlink()
    again = make()
    assert again.get("a") is None
    again.set("a", 2)
    assert make().get("a") == 2
    assert cache.get("a") == 1


def test_a_cache_that_was_closed_is_opened_again(make: Make) -> None:
    cache = make()
    cache.set("a", 1)
    cache._cache.cleanup()
    with pytest.raises(segdict.ClosedError):
        cache.get("a")
    assert make().get("a") == 1


def test_serializers(make: Make, name: str) -> None:
    json = make(location=name + "-json", SERIALIZER="json")
    json.set("a", {"b": [1, None]})
    assert json.get("a") == {"b": [1, None]}
    json.set("n", 1)
    assert json.incr("n") == 2
    with pytest.raises(segdict.SerializationError):
        json.set("a", {1, 2})

    none = make(location=name + "-none", SERIALIZER=None)
    none.set_many({"a": "text", "b": b"bytes", "c": 1.5, "d": None})
    with pytest.raises((TypeError, ValueError)):
        none.set("a", [1])
    assert none.get("a") == "text"

    for choice in ("segdict.serializers.JSON", "segdict.serializers.Json", segdict.JSON):
        other = make(location=name + "-json", SERIALIZER=choice)
        assert other.get("a") == {"b": [1, None]}

    pytest.importorskip("msgpack")
    msgpack = make(location=name + "-msgpack", SERIALIZER="msgpack")
    msgpack.set("a", {"b": [1, b"x"]})
    assert msgpack.get("a") == {"b": [1, b"x"]}


def test_a_cache_without_pickle_loads_none(make: Make) -> None:
    make().set("a", {1, 2})
    for choice in ("json", None):
        with pytest.raises(segdict.DeserializationError):
            make(SERIALIZER=choice).get("a")
    assert make().get("a") == {1, 2}


def test_lock(make: Make) -> None:
    cache = make(LOCK=True)
    cache.set("a", 1)
    with cache._cache.lock():
        late = threading.Thread(target=cache.incr, args=("a",))
        late.start()
        late.join(0.1)
        assert late.is_alive()
        assert make(LOCK=False).incr("a") == 2
    late.join()
    assert cache.get("a") == 3


def test_raw_memory_that_a_hook_made(make: Make, name: str) -> None:
    with open(f"/dev/shm/sm_{name}", "wb") as file:
        file.truncate(1024)
    cache = make()
    cache.set("a", 1)
    assert cache.get("a") == 1


# ---- Threads, coroutines and processes ----


def test_threads(cache: SharedMemoryCache, make: Make) -> None:
    def work(one: int) -> None:
        mine = make(MAX_ENTRIES=50)
        for i in range(500):
            mine.set(f"{one}-{i}", i)
            assert mine.get(f"{one}-{i}", i) == i
            assert all(
                int(key.split("-")[1]) == value
                for key, value in mine.get_many([f"{one}-{j}" for j in range(i)]).items()
            )
            mine.get_or_set("shared", lambda: [one] * 10)
            mine.delete(f"{one}-{i // 2}")

    threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(cache.get("shared", [0]))) == 1
    assert len(cache._cache) <= 60
    assert cache._cache.verify() == []


def test_incr_from_threads(cache: SharedMemoryCache, make: Make) -> None:
    cache.set("n", 2**63 - 1500)  # grows beyond 64 bits on its way

    def work() -> None:
        mine = make()
        for _ in range(1000):
            mine.incr("n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 2**63 + 2500


def test_only_one_thread_adds(cache: SharedMemoryCache) -> None:
    start = threading.Barrier(8)
    added: list[bool] = []

    def work(one: int) -> None:
        for i in range(50):
            start.wait()
            added.append(cache.add(i, one))

    threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == 50


def test_asynchronous_methods(cache: SharedMemoryCache) -> None:
    """They are all there, and none leaves the thread."""
    methods = [name for name in dir(BaseCache) if inspect.iscoroutinefunction(getattr(BaseCache, name))]
    assert methods
    for method in methods:
        assert getattr(SharedMemoryCache, method) is not getattr(BaseCache, method), method

    async def use() -> None:
        before = threading.active_count()
        await cache.aset("a", 1, 100)
        assert await cache.aget("a") == 1
        assert await cache.aget("b", "default", version=2) == "default"
        assert not await cache.aadd("a", 2)
        assert await cache.aadd("b", 2, timeout=None, version=2)
        assert await cache.atouch("a", 200)
        assert 190 < ttl(cache, "a") <= 200
        assert await cache.ahas_key("a")
        assert await cache.aincr("a", 5) == 6
        assert await cache.adecr("a", delta=2) == 4
        assert await cache.aincr_version("a") == 2
        assert await cache.adecr_version("a", version=2) == 1
        assert await cache.aset_many({"x": 1, "y": 2}, 60, version=3) == []
        assert await cache.aget_many(["x", "y", "z"], version=3) == {"x": 1, "y": 2}
        assert await cache.adelete_many(["x"], version=3) is None
        assert await cache.aget_or_set("y", 7, version=3) == 2
        assert await cache.aget_or_set("x", lambda: 8, 60, 3) == 8
        assert await cache.adelete("x", 3)
        await cache.aclose()
        await cache.aclear()
        assert not await cache.ahas_key("a")
        assert threading.active_count() == before

    asyncio.run(use())


def test_other_processes_see_it(cache: SharedMemoryCache, name: str) -> None:
    cache.set("a", {"x": [1]})
    run_cache(name, "assert cache.get('a') == {'x': [1]}; cache.set('b', (1, None), 0.3); cache.set('c', 3, None)")
    assert cache.get("c") == 3
    time.sleep(0.4)
    assert cache.get("b") is None


def test_timeouts_outlive_their_process(cache: SharedMemoryCache, name: str) -> None:
    run_cache(name, "cache.set('a', 1, 1); cache.set('b', 1, 1000); os.kill(os.getpid(), 9)", check=False)
    assert cache.get("a") == 1
    assert 990 < ttl(cache, "b") < 1000
    time.sleep(1.1)
    assert cache.get_many(["a", "b"]) == {"b": 1}


def test_an_old_timeout_does_not_end_a_newer_value(cache: SharedMemoryCache, name: str) -> None:
    run_cache(name, "cache.set('a', 1, 0.3)")
    cache.set("a", 2, 100)
    time.sleep(0.5)
    assert cache.get("a") == 2


def test_incr_from_processes(cache: SharedMemoryCache, start: Start) -> None:
    cache.set("n", 0)
    let_go([start("sys.stdin.readline()\nfor _ in range(5000): cache.incr('n')") for _ in range(4)])
    assert cache.get("n") == 20_000


def test_only_one_process_adds(cache: SharedMemoryCache, start: Start) -> None:
    code = "sys.stdin.readline(); print(sum(cache.add(i, os.getpid()) for i in range(250)))"
    assert sum(map(int, let_go([start(code) for _ in range(4)]))) == 250


def test_workers_that_are_killed(make: Make, start: Start) -> None:
    """The cache goes on, full as it is."""
    options: dict[str, Any] = {"CAPACITY": 2000, "VALUE_BYTES": 1 << 20, "MAX_ENTRIES": 1000}
    cache = make(**options)
    code = """
print("ready", flush=True)
i = 0
while True:
    i += 1
    cache.set(i % 3000, "x" * (i * 37 % 3000))
    cache.get_many(range(100))
    cache.delete(i % 50)
    cache.add("n", 0)
    cache.add("v", i)
    try:
        cache.incr("n")
        cache.incr_version("v")
    except ValueError:
        pass  # the other one was faster, or it was dropped
"""
    for _ in range(6):
        workers = [start(code, repr(options)) for _ in range(2)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        time.sleep(0.2)
        for worker in workers:
            assert worker.poll() is None
            worker.kill()
            worker.wait()
    for i in range(3000):
        cache.set(i, "y" * (i % 3000))
        assert cache.get(i) == "y" * (i % 3000)
    assert cache._cache.verify() == []
    assert len(cache._cache) <= 1000


def test_forked_workers_of_a_preloaded_application(name: str) -> None:
    """As gunicorn --preload: the master opens the cache, its workers use it."""
    assert (
        run_cache(
            name,
            """
from django.core import signals
cache.set("n", 0)
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        for i in range(1000):
            cache.incr("n")
            cache.set((os.getpid(), i), "x" * 100, 60)
            signals.request_finished.send(sender=None)
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
child = os.fork()
if not child:
    os._exit(cache.get("n") != 4000)
assert os.waitpid(child, 0)[1] == 0
print(cache.get("n"))
""",
            options="{'MAX_ENTRIES': 100000, 'VALUE_BYTES': 8 << 20}",
        )
        == "4000\n"
    )


def test_the_end_of_a_reader_keeps_the_cache(cache: SharedMemoryCache, name: str) -> None:
    cache.set("a", 1)
    for _ in range(2):
        result = run_python(PRELUDE + "assert cache.get('a') == 1", name, "{}")
        assert result.stderr == ""
    assert os.path.exists(f"/dev/shm/sm_{name}")
    assert cache.get("a") == 1
