# Django has no types.
# mypy: disable-error-code="import-not-found,import-untyped,func-returns-value,unused-ignore"
"""The cache for Django, an operation at a time: what Django's own tests (django_suite.py) do not see."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import Any

import pytest

pytest.importorskip("django", reason="an optional package")

from django.core.cache.backends.base import BaseCache  # type: ignore[import-not-found]  # Django has no types

from django_caches import Make, ttl
from django_caches import cache as cache
from django_caches import make as make
from segdict.caches.django import SharedMemoryCache

# ---- Values ----


@pytest.mark.parametrize("value", ["text", 1, 0.3, {"a": "dict"}, ["a", "list"], None, True, b"bytes", 2**70, (1, 2)])
def test_values(cache: SharedMemoryCache, value: Any) -> None:
    cache.set("a", value)
    assert cache.get("a", "default") == value
    assert type(cache.get("a")) is type(value)


def test_none_is_a_value(cache: SharedMemoryCache) -> None:
    cache.set("a", None)
    assert cache.get("a", 1) is None
    assert cache.get_many(["a", "b"]) == {"a": None}
    assert not cache.add("a", 1)
    assert cache.get_or_set("a", 1) is None
    assert cache.incr_version("a") == 2
    assert cache.get("a", 1, version=2) is None


@pytest.mark.parametrize("value", ["fake", ("fake",), {}, ("value", None)])
def test_entries_of_others_are_none(cache: SharedMemoryCache, value: Any) -> None:
    made = cache.make_key("a")
    cache._cache[made] = value
    assert cache.get("a") is None
    assert cache.add("a", 1)
    assert cache.get("a") == 1
    assert cache._cache[made] == value


def test_unpicklable_values_change_nothing(cache: SharedMemoryCache) -> None:
    cache.set("a", 1)
    for store in (cache.set, cache.add):
        with pytest.raises(Exception, match="pickle|serialize"):
            store("b", threading.Lock())
    with pytest.raises(Exception, match="pickle|serialize"):
        cache.set("a", threading.Lock())
    assert cache.get_many(["a", "b"]) == {"a": 1}


def test_get_many_gives_the_keys_as_they_were_given(cache: SharedMemoryCache) -> None:
    cache.set_many({1: "one", "b": 2})
    assert cache.get_many([1, "1", "b", "c"]) == {1: "one", "1": "one", "b": 2}
    assert list(cache.get_many(["b", 1])) == ["b", 1]


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


# ---- Counting, versions ----


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


def test_incr_of_what_is_no_int(cache: SharedMemoryCache) -> None:
    for value in ("1", 1.5, [1], None):
        cache.set("a", value)
        with pytest.raises(TypeError):
            cache.incr("a")
        with pytest.raises(TypeError):
            cache.decr("a")
        assert cache.get("a") == value


def test_incr_keeps_the_timeout(cache: SharedMemoryCache) -> None:
    for value, delta in ((1, 1), (2**70, 1), (1, 2**70)):
        cache.set("a", value, 1000)
        cache.incr("a", delta)
        assert 990 < ttl(cache, "a") < 1000
        cache.set("a", value, None)
        cache.incr("a", delta)
        assert ttl(cache, "a") is None


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


# ---- Timeouts ----


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


# ---- Coroutines ----


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
