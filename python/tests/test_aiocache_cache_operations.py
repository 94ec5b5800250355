"""SharedMemoryCache of aiocache, an operation at a time, with the namespaces, serializers and plugins of aiocache."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

pytest.importorskip("aiocache", reason="an optional package")

import aiocache
from aiocache.base import BaseCache
from aiocache.plugins import HitMissRatioPlugin
from aiocache.serializers import JsonSerializer, NullSerializer, PickleSerializer, StringSerializer

from aiocache_caches import cache as cache
from aiocache_caches import sync
from conftest import run_python
from segdict.caches.aiocache import SharedMemoryCache
from segdict.shared_memory_dict.dict import SharedMemoryDict

HAS_ALIASES = hasattr(aiocache, "caches")  # until 0.12


# ---- Operations ----


def test_as_the_original_has_it(cache: SharedMemoryCache) -> None:
    assert isinstance(cache, BaseCache)
    assert SharedMemoryCache.NAME == "shared_memory"
    assert isinstance(cache._cache, SharedMemoryDict)
    assert isinstance(cache.serializer, NullSerializer)
    assert cache._handlers == {}
    assert cache.parse_uri_path("/some/path") == {}
    with pytest.raises(TypeError):
        SharedMemoryCache(unknown=1)


@sync
async def test_get_set_add_delete(cache: SharedMemoryCache) -> None:
    assert await cache.get("key") is None
    assert await cache.get("key", default=7) == 7
    assert await cache.set("key", "value") is True
    assert await cache.get("key") == "value"
    assert await cache.exists("key") is True
    with pytest.raises(ValueError, match="Key key already exists, use .set to update the value"):
        await cache.add("key", "other")
    assert await cache.get("key") == "value"
    assert await cache.delete("key") == 1
    assert await cache.delete("key") == 0
    assert await cache.exists("key") is False
    assert await cache.add("key", "other") is True
    assert await cache.get("key") == "other"


@pytest.mark.parametrize(
    "value", ["text", "", 1, 0, 2**70, 1.5, True, False, b"bytes", {"some": "dict"}, ["some", "list"], []]
)
@sync
async def test_values(cache: SharedMemoryCache, value: Any) -> None:
    assert await cache.set("key", value) is True
    assert await cache.get("key") == value
    assert type(await cache.get("key")) is type(value)
    assert await cache.delete("key") == 1


@sync
async def test_none_is_a_value_for_all_but_get(cache: SharedMemoryCache) -> None:
    await cache.set("key", None)
    assert await cache.exists("key") is True
    assert await cache.get("key", default=1) == 1
    with pytest.raises(ValueError, match="already exists"):
        await cache.add("key", 1)
    assert await cache.delete("key") == 1


@sync
async def test_many(cache: SharedMemoryCache) -> None:
    assert await cache.multi_set([("a", 1), ["b", [2]]]) is True
    assert await cache.multi_get(["b", "missing", "a", "b"]) == [[2], None, 1, [2]]
    assert await cache.multi_get([]) == []


def left(cache: SharedMemoryCache, key: str) -> Any:
    """Seconds that the key has left; None: for ever."""
    entry = cache._cache._read(key)
    assert entry is not None
    return entry[2]


@sync
async def test_times_to_live(cache: SharedMemoryCache) -> None:
    await cache.set("a", 1, ttl=0.1)
    await cache.add("b", 1, ttl=0.1)
    await cache.multi_set([("c", 1), ("d", 1)], ttl=0.1)
    await cache.set("replaced", 1, ttl=0.1)
    await cache.set("replaced", 2, ttl=60)
    await cache.set("removed", 1, ttl=0.1)
    await cache.set("removed", 2)
    await cache.set("zero", 1, ttl=0)
    await cache.set("extended", 1, ttl=0.1)
    assert await cache.expire("extended", 60) is True
    await cache.set("for ever", 1, ttl=0.1)
    assert await cache.expire("for ever", 0) is True
    await cache.set("too", 1, ttl=0.1)
    assert await cache.expire("too", None) is True
    await cache.set("shortened", 1)
    assert await cache.expire("shortened", 0.1) is True
    assert await cache.expire("missing", 1) is False
    assert await cache.multi_get(["a", "b", "c", "d", "shortened"]) == [1] * 5
    await asyncio.sleep(0.15)
    assert await cache.multi_get(["a", "b", "c", "d", "shortened"]) == [None] * 5
    assert await cache.multi_get(["replaced", "removed", "zero", "extended", "for ever", "too"]) == [2, 2, 1, 1, 1, 1]
    assert left(cache, "replaced") > 50
    assert left(cache, "removed") is None
    assert await cache.add("a", 2) is True
    assert await cache.delete("b") == 0
    assert await cache.expire("c", 1) is False
    assert cache._handlers == {}


@sync
async def test_default_time_to_live(name: str) -> None:
    cache = SharedMemoryCache(name=name, ttl=0.1)
    await cache.set("a", 1)
    await cache.set("b", 1, ttl=None)
    await asyncio.sleep(0.15)
    assert await cache.multi_get(["a", "b"]) == [None, 1]


@sync
async def test_increment(cache: SharedMemoryCache) -> None:
    assert await cache.increment("n") == 1
    assert await cache.increment("n") == 2
    assert await cache.increment("n", delta=2) == 4
    assert await cache.increment("n", delta=-5) == -1
    assert await cache.increment("other", delta=-3) == -3
    assert await cache.increment("n", delta=2**63) == 2**63 - 1
    assert await cache.increment("n") == 2**63
    assert await cache.increment("n", delta=-1) == 2**63 - 1
    assert await cache.increment("big", delta=2**64) == 2**64
    for value in ("5", 5.0, True):
        await cache.set("n", value)
        assert await cache.increment("n", delta=2) == int(value) + 2
    await cache.set("n", "5", ttl=60)
    assert await cache.increment("n") == 6
    assert left(cache, "n") > 50
    assert await cache.increment("n") == 7
    assert left(cache, "n") > 50
    for other in ("value", "", None, [1], b"\0", float("nan"), float("inf")):
        await cache.set("n", other)
        with pytest.raises(TypeError, match="Value is not an integer"):
            await cache.increment("n")


# ---- Keys ----


@sync
async def test_namespaces(name: str, cache: SharedMemoryCache) -> None:
    prefixed = SharedMemoryCache(name=name, namespace="prefix:")
    await prefixed.set("key", 1)
    assert await cache.get("prefix:key") == 1
    assert await prefixed.delete("key", namespace="another:") == 0
    assert await prefixed.get("key") == 1
    await cache.set("without", 1)
    await cache.set("with", 1, namespace="ut")
    assert await cache.clear(namespace="ut") is True
    assert await cache.multi_get(["without", "prefix:key"]) == [1, 1]
    assert await cache.get("with", namespace="ut") is None
    cache._cache[5] = "not a str"
    assert await cache.clear(namespace="prefix") is True
    assert await prefixed.get("key") is None
    assert cache._cache[5] == "not a str"
    assert await cache.clear() is True
    assert len(cache._cache) == 0


class Key(str, enum.Enum):
    A = "a"


@sync
async def test_keys_that_are_members_of_an_enum_are_their_values(cache: SharedMemoryCache) -> None:
    await cache.set(Key.A, 1)
    assert await cache.get("a") == 1
    assert await cache.increment(Key.A) == 2
    assert [type(key) for key in cache._cache] == [str]


@sync
async def test_key_builder(name: str) -> None:
    cache = SharedMemoryCache(name=name, key_builder=lambda key, namespace: f"<{key}>")
    await cache.set("a", 1)
    assert list(cache._cache.keys()) == ["<a>"]


# ---- Room ----


@sync
async def test_full(name: str) -> None:
    cache = SharedMemoryCache(name=name, size=1024)
    await cache.set("key", "value")
    with pytest.raises(ValueError, match="storage|room|full"):
        for i in range(10_000):
            await cache.set(str(i), "x" * 1000)
    assert await cache.get("key") == "value"
    await cache.clear()
    await cache.set("key", "value")


@sync
async def test_expired_entries_make_room(name: str) -> None:
    cache = SharedMemoryCache(name=name, capacity=100, value_bytes=1 << 16)
    for i in range(2000):
        await cache.set(str(i), "x" * 100, ttl=0.005)
        if i % 50 == 49:
            await asyncio.sleep(0.01)


@sync
async def test_sizes(name: str) -> None:
    cache = SharedMemoryCache(name=name, capacity=5000, value_bytes=4 << 20)
    for i in range(5000):
        await cache.set(str(i), "x" * 400)
    assert await cache.get("4999") == "x" * 400


# ---- What aiocache does with it ----


@sync
async def test_raw(cache: SharedMemoryCache) -> None:
    await cache.raw("setdefault", "key", "value")
    assert await cache.raw("get", "key") == "value"
    assert list(await cache.raw("keys")) == ["key"]


@sync
async def test_use_after_close(cache: SharedMemoryCache) -> None:
    await cache.set("key", 1)
    await cache.close()
    assert await cache.get("key") == 1
    async with cache as same:
        await same.set("key", 2)
    assert await cache.get("key") == 2


@pytest.mark.parametrize("serializer", [StringSerializer(), JsonSerializer(), PickleSerializer()])
@sync
async def test_serializers(cache: SharedMemoryCache, serializer: Any) -> None:
    cache.serializer = serializer
    value = {"a": [1, None]}
    await cache.set("key", value)
    assert await cache.get("key") == (str(value) if isinstance(serializer, StringSerializer) else value)
    assert type(cache._cache["key"]) is (bytes if isinstance(serializer, PickleSerializer) else str)
    await cache.add("other", value)
    await cache.multi_set([("third", value)])
    assert len({repr(one) for one in await cache.multi_get(["key", "other", "third"])}) == 1
    assert await cache.get("missing") is None


@sync
async def test_plugins(name: str) -> None:
    cache = SharedMemoryCache(name=name, plugins=[HitMissRatioPlugin()])
    await cache.set("key", 1)
    await cache.get("key")
    await cache.get("missing")
    assert cache.hit_miss_ratio == {"total": 2, "hits": 1, "hit_ratio": 0.5}


@pytest.mark.skipif(not HAS_ALIASES, reason="aiocache 1.0 has no aliases")
@sync
async def test_by_alias(name: str) -> None:
    aiocache.caches.set_config(
        {
            "default": {"cache": "segdict.caches.aiocache.SharedMemoryCache", "name": name, "size": 1024},
            "json": {
                "cache": "segdict.caches.aiocache.SharedMemoryCache",
                "name": name,
                "serializer": {"class": "aiocache.serializers.JsonSerializer"},
                "plugins": [{"class": "aiocache.plugins.TimingPlugin"}],
            },
        }
    )
    assert type(aiocache.caches.get("default")) is SharedMemoryCache
    await aiocache.caches.get("json").set("key", [1])
    assert await aiocache.caches.get("default").get("key") == "[1]"
    assert await aiocache.caches.get("json").get("key") == [1]


@pytest.mark.skipif(not HAS_ALIASES, reason="aiocache 1.0 has no aliases")
def test_by_the_name_of_the_original(name: str) -> None:
    run_python(
        """
import asyncio, sys
import segdict
segdict.install_as_shared_memory_dict()
from aiocache import caches
caches.set_config(
    {"default": {"cache": "shared_memory_dict.caches.aiocache.SharedMemoryCache", "name": sys.argv[1], "size": 1024}}
)

async def main():
    from segdict.caches.aiocache import SharedMemoryCache
    cache = caches.get("default")
    assert type(cache) is SharedMemoryCache
    await cache.set("key", "value")
    assert await cache.get("key") == "value"

asyncio.run(main())
""",
        name,
    )


@sync
async def test_decorators(cache: SharedMemoryCache) -> None:
    calls = []

    async def fn(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(0.1)
        return [x]

    # 0.12 makes the cache of the decorator's arguments.
    options: dict[str, Any] = {"cache": cache}
    if HAS_ALIASES:
        options = {"cache": SharedMemoryCache, "name": cache._name}
    cached = aiocache.cached(**options, ttl=60)(fn)
    assert [await cached(1), await cached(1)] == [[1], [1]]
    assert calls == [1]
    stampede = aiocache.cached_stampede(lease=5, **options)(fn)
    assert await asyncio.gather(*(stampede(2) for _ in range(5))) == [[2]] * 5
    assert calls == [1, 2]
