"""SharedMemoryCache of aiocache in several processes: what each sees, that nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

pytest.importorskip("aiocache", reason="an optional package")

from aiocache.lock import RedLock

from aiocache_caches import answers_of_four, child, running, sync
from aiocache_caches import cache as cache
from conftest import run_python
from segdict.caches.aiocache import SharedMemoryCache


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
    answers = answers_of_four(code, name)
    assert [line for _, line in answers] == ["done"] * 4
    assert await cache.get("fast") == 20_000
    assert await cache.get("slow") == 2**64 + 20_000
    assert sum(await cache.multi_get([f"made-{i}" for i in range(100)])) == 4 * sum(range(5000))


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
    answers = answers_of_four(code, name)
    assert sum(int(line) for _, line in answers) == 2000


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
    answers = answers_of_four(code, name)
    assert [line for _, line in answers] == ["result result result"] * 4
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
