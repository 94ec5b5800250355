"""The cache for Django when it is full: how much fits, what is dropped for new entries, and what never is."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

pytest.importorskip("django", reason="an optional package")

import segdict
from django_caches import Make
from django_caches import make as make
from segdict.caches.django import SharedMemoryCache


def keys_of(cache: SharedMemoryCache, count: int) -> list[int]:
    return [i for i in range(count) if cache.has_key(i)]


# ---- Numbers of entries ----


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


# ---- Memory ----


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
