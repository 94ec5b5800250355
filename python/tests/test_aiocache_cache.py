"""SharedMemoryCache of aiocache: its operations, alone and between processes."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from conftest import run_python

aiocache = pytest.importorskip("aiocache")

from aiocache.base import BaseCache  # noqa: E402
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock  # noqa: E402
from aiocache.plugins import HitMissRatioPlugin  # noqa: E402
from aiocache.serializers import JsonSerializer, NullSerializer, PickleSerializer, StringSerializer  # noqa: E402

from segdict.caches.aiocache import SharedMemoryCache  # noqa: E402
from segdict.shared_memory_dict.dict import SharedMemoryDict  # noqa: E402

HAS_ALIASES = hasattr(aiocache, "caches")  # until 0.12


def sync(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine function, as a function."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def cache(name: str) -> SharedMemoryCache:
    return SharedMemoryCache(name=name, size=1 << 16)


def left(cache: SharedMemoryCache, key: str) -> Any:
    """Seconds that the key has left; None: for ever."""
    entry = cache._cache._read(key)
    assert entry is not None
    return entry[2]


class Point:
    """Equal to no other, as objects are unless their class says more."""

    def __init__(self, x: int) -> None:
        self.x = x


class Key(str, enum.Enum):
    A = "a"


# ---- One process ----


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


# ---- Optimistic locks ----


@pytest.mark.parametrize("value", ["text", 1, b"bytes", [1], {"a": 1}, Point(1), None, ""])
@sync
async def test_optimistic_lock(cache: SharedMemoryCache, value: Any) -> None:
    await cache.set("key", value)
    async with OptimisticLock(cache, "key") as lock:
        assert await lock.cas("new") is True
    assert await cache.get("key") == "new"
    await cache.set("key", value)
    async with OptimisticLock(cache, "key") as lock:
        await cache.set("key", "other")
        with pytest.raises(OptimisticLockError):
            await lock.cas("new")
    assert await cache.get("key") == "other"


@sync
async def test_optimistic_lock_of_what_went(cache: SharedMemoryCache) -> None:
    await cache.set("key", 1, ttl=0.1)
    async with OptimisticLock(cache, "key") as lock:
        await asyncio.sleep(0.15)
        with pytest.raises(OptimisticLockError):
            await lock.cas(2)
    assert await cache.exists("key") is False


@sync
async def test_optimistic_lock_of_a_missing_key_never_fails(cache: SharedMemoryCache) -> None:
    async with OptimisticLock(cache, "key") as lock:
        await cache.set("key", "conflict")
        await lock.cas("value")
    assert await cache.get("key") == "value"


@sync
async def test_cas_by_value_and_time_to_live(cache: SharedMemoryCache) -> None:
    await cache.set("key", "old", ttl=0.1)
    assert not await cache.set("key", "new", _cas_token="other")
    assert await cache.set("key", "new", _cas_token="old")
    await asyncio.sleep(0.15)
    assert await cache.get("key") == "new"
    async with OptimisticLock(cache, "key") as lock:
        assert lock._token == "new"
        assert lock._token == await cache._gets(cache.build_key("key"))
        assert lock._token != "old"
        await lock.cas("newer", ttl=0.1)
    await asyncio.sleep(0.15)
    assert await cache.get("key") is None
    assert not await cache.set("key", "new", _cas_token="newer")


def test_cas_of_arrays(cache: SharedMemoryCache) -> None:
    numpy = pytest.importorskip("numpy")

    @sync
    async def test() -> None:
        await cache.set("key", numpy.arange(10))
        async with OptimisticLock(cache, "key") as lock:
            await lock.cas(numpy.arange(5))
            with pytest.raises(OptimisticLockError):
                await lock.cas(numpy.arange(6))

    test()


# ---- Locks ----


@sync
async def test_redlock_in_one_process(cache: SharedMemoryCache) -> None:
    order: list[Any] = []

    async def work(number: int) -> None:
        async with RedLock(cache, "key", lease=5):
            order.append(number)
            if number == 0:
                assert await cache.exists("key-lock")
                await asyncio.sleep(0.2)
                order.append("released")

    await asyncio.gather(*(work(number) for number in range(4)))
    assert order == [0, "released", 1, 2, 3]
    assert await cache.exists("key-lock") is False
    assert RedLock._EVENTS.get("key-lock") is None


@sync
async def test_redlock_is_released_by_its_holder_alone(cache: SharedMemoryCache) -> None:
    await cache.set("key-lock", "value of another")
    assert await cache._redlock_release("key-lock", "value") == 0
    assert await cache.exists("key-lock") is True
    assert await cache._redlock_release("key-lock", "value of another") == 1
    assert await cache._redlock_release("key-lock", "value of another") == 0


# ---- More processes ----

CHILD = """
import asyncio, os, sys, time
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock
from segdict.caches.aiocache import SharedMemoryCache
cache = SharedMemoryCache(name=sys.argv[1], size=1 << 16)
def say(*words):
    print(*words, flush=True)
async def main():
    {}
asyncio.run(main())
"""


def child(code: str) -> str:
    return CHILD.format(textwrap.indent(textwrap.dedent(code), "    ").strip())


@contextlib.contextmanager
def running(code: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Runs the code in another process; here the first line of its output has been read."""
    process = subprocess.Popen(
        [sys.executable, "-c", child(code), name], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.close()


@sync
async def test_another_process_sees_it(cache: SharedMemoryCache, name: str) -> None:
    await cache.multi_set([("a", [1]), ("b", None)])
    await cache.set("c", 1, ttl=60)
    code = """
    say(await cache.multi_get(["a", "missing"]), await cache.exists("b"), 50 < cache._cache._read("c")[2] <= 60)
    await cache.set("d", "theirs", ttl=0.2)
    await cache.delete("a")
    """
    assert run_python(child(code), name).stdout == "[[1], None] True True\n"
    assert await cache.get("d") == "theirs"
    assert await cache.exists("a") is False


@sync
async def test_a_time_to_live_ends_for_all_though_its_setter_died(cache: SharedMemoryCache, name: str) -> None:
    code = """
    await cache.set("key", "value", ttl=0.5)
    await cache.set("kept", "value", ttl=0.5)
    say("ready")
    time.sleep(60)
    """
    with running(code, name) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Nobody's timer deletes the newer value.
        await cache.set("kept", "newer")
        assert await cache.get("key") == "value"
        await asyncio.sleep(0.6)
        assert await cache.exists("key") is False
        assert await cache.get("kept") == "newer"
        assert run_python(child('say(await cache.get("key"), await cache.get("kept"))'), name).stdout == "None newer\n"


@sync
async def test_increments_of_four_processes(cache: SharedMemoryCache, name: str) -> None:
    code = """
    say("ready")
    sys.stdin.readline()
    for i in range(5000):
        await cache.increment("fast")
        await cache.increment("slow")
        await cache.increment(f"made-{i % 100}", delta=i)
    say("done")
    """
    # What is too long for the fast way must not lose anything either.
    await cache.set("slow", 2**64)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(code, name)) for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
    assert await cache.get("fast") == 20_000
    assert await cache.get("slow") == 2**64 + 20_000
    assert sum(await cache.multi_get([f"made-{i}" for i in range(100)])) == 4 * sum(range(5000))


@sync
async def test_cas_of_four_processes(cache: SharedMemoryCache, name: str) -> None:
    code = """
    say("ready")
    sys.stdin.readline()
    done = 0
    while done < 300:
        async with OptimisticLock(cache, "list") as lock:
            try:
                await lock.cas((await cache.get("list")) + [os.getpid()])
                done += 1
            except OptimisticLockError:
                await asyncio.sleep(0)
    say("done")
    """
    await cache.set("list", [])
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(code, name)) for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
        entries = await cache.get("list")
        # A cas after a get that saw less than the token may not overwrite; the get comes after the token.
        assert sorted(entries) == sorted(process.pid for process in processes for _ in range(300))


@sync
async def test_only_one_process_adds(cache: SharedMemoryCache, name: str) -> None:
    code = """
    say("ready")
    sys.stdin.readline()
    won = 0
    for i in range(2000):
        try:
            await cache.add(str(i), os.getpid())
            won += 1
        except ValueError:
            pass
    say(won)
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(code, name)) for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        won = 0
        for process in processes:
            assert process.stdout is not None
            won += int(process.stdout.readline())
    assert won == 2000


HOLD = """
async with RedLock(cache, "key", lease={lease}):
    say("ready")
    await asyncio.sleep({hold})
    await cache.set("released", time.monotonic())
"""


@sync
async def test_redlock_waits_for_another_process(cache: SharedMemoryCache, name: str) -> None:
    with running(HOLD.format(lease=20, hold=0.7), name):
        async with RedLock(cache, "key", lease=20):
            passed = time.monotonic()
        assert 0 <= passed - await cache.get("released") < 0.5
    assert await cache.exists("key-lock") is False
    assert "key-lock" not in RedLock._EVENTS
    # The waiter did not take it: now it is free.
    async with RedLock(cache, "key", lease=20):
        assert await cache.exists("key-lock") is True


@sync
async def test_redlock_of_a_dead_process(cache: SharedMemoryCache, name: str) -> None:
    with running(HOLD.format(lease=1, hold=60), name) as process:
        process.kill()
        process.wait()
        assert await cache.exists("key-lock") is True
        before = time.monotonic()
        async with RedLock(cache, "key", lease=20):
            assert 0.2 < time.monotonic() - before < 3
    assert await cache.exists("key-lock") is False


@sync
async def test_a_waiter_waits_for_its_own_lease_at_most(cache: SharedMemoryCache, name: str) -> None:
    with running(HOLD.format(lease=20, hold=60), name):
        for lease in (0.3, 0, None):
            before = time.monotonic()
            async with RedLock(cache, "key", lease=lease):
                pass
            assert (lease or 0) <= time.monotonic() - before < (lease or 0) + 1
        assert await cache.exists("key-lock") is True


@sync
async def test_an_old_event_of_this_process_is_not_waited_for(cache: SharedMemoryCache, name: str) -> None:
    mine = RedLock(cache, "key", lease=0.1)
    await mine.__aenter__()
    await asyncio.sleep(0.15)
    event = RedLock._EVENTS["key-lock"]
    with running(HOLD.format(lease=20, hold=0.5), name):
        async with RedLock(cache, "key", lease=20):
            passed = time.monotonic()
        assert 0 <= passed - await cache.get("released") < 0.5
    assert RedLock._EVENTS["key-lock"] is event
    await mine.__aexit__(None, None, None)
    del RedLock._EVENTS["key-lock"]


@sync
async def test_many_waiters_here_and_elsewhere(cache: SharedMemoryCache, name: str) -> None:
    waiting = """
    say("ready")
    async def wait():
        async with RedLock(cache, "key", lease=20):
            assert await cache.get("result") == "result"
    await asyncio.gather(*(wait() for _ in range(20)))
    say("done")
    """

    async def wait() -> None:
        async with RedLock(cache, "key", lease=20):
            assert await cache.get("result") == "result"

    async with RedLock(cache, "key", lease=20):
        waiters = [asyncio.create_task(wait()) for _ in range(20)]
        with running(waiting, name) as process:
            await asyncio.sleep(0.3)
            assert not any(waiter.done() for waiter in waiters)
            await cache.set("result", "result")
            lock = await cache.get("key-lock")
            assert await cache._redlock_release("key-lock", lock) == 1
            RedLock._EVENTS.pop("key-lock").set()
            await asyncio.wait_for(asyncio.gather(*waiters), 2)
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"


@sync
async def test_threads_with_loops_of_their_own(cache: SharedMemoryCache) -> None:
    def elsewhere() -> float:
        async def wait() -> float:
            async with RedLock(cache, "key", lease=20):
                return time.monotonic()

        return asyncio.run(wait())

    async with RedLock(cache, "key", lease=20):
        others = [asyncio.get_running_loop().run_in_executor(None, elsewhere) for _ in range(3)]
        await asyncio.sleep(0.3)
        released = time.monotonic()
    for passed in await asyncio.wait_for(asyncio.gather(*others), 5):
        assert released <= passed < released + 1


@sync
async def test_one_process_computes_for_all(cache: SharedMemoryCache, name: str) -> None:
    code = """
    import aiocache
    options = {"cache": cache}
    if hasattr(aiocache, "caches"):
        options = {"cache": SharedMemoryCache, "name": sys.argv[1]}
    @aiocache.cached_stampede(lease=10, ttl=60, key_builder=lambda f, *args: "stampede", **options)
    async def slow():
        await cache.increment("computed")
        await asyncio.sleep(0.5)
        return "result"
    say("ready")
    sys.stdin.readline()
    say(*await asyncio.gather(*(slow() for _ in range(3))))
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(code, name)) for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "result result result\n"
    assert await cache.get("computed") == 1


def test_opened_before_fork(cache: SharedMemoryCache) -> None:
    async def parent() -> None:
        await cache.set("key", "parent's")
        # Held while the children are made, and inherited by them.
        await RedLock(cache, "key", lease=1).__aenter__()

    async def in_child(number: int) -> None:
        assert await cache.get("key") == "parent's"
        for _ in range(1000):
            await cache.increment("n")
        await cache.set(f"child-{number}", number, ttl=60)
        before = time.monotonic()
        async with RedLock(cache, "key", lease=20):
            assert time.monotonic() - before < 5

    asyncio.run(parent())
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio.run(in_child(number))
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4

    async def after() -> None:
        assert await cache.get("n") == 4000
        assert await cache.multi_get([f"child-{number}" for number in range(4)]) == [0, 1, 2, 3]

    asyncio.run(after())
