"""aiocache's OptimisticLock and RedLock over SharedMemoryCache, within a process and between processes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("aiocache", reason="an optional package")

from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock

from aiocache_caches import answers_of_four, running, sync
from aiocache_caches import cache as cache
from segdict.caches.aiocache import SharedMemoryCache

# ---- Optimistic locks ----


class Point:
    """Equal to no other, as objects are unless their class says more."""

    def __init__(self, x: int) -> None:
        self.x = x


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
    numpy = pytest.importorskip("numpy", reason="an optional package")

    @sync
    async def test() -> None:
        await cache.set("key", numpy.arange(10))
        async with OptimisticLock(cache, "key") as lock:
            await lock.cas(numpy.arange(5))
            with pytest.raises(OptimisticLockError):
                await lock.cas(numpy.arange(6))

    test()


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
    answers = answers_of_four(code, name)
    assert [line for _, line in answers] == ["done"] * 4
    entries = await cache.get("list")
    # A cas after a get that saw less than the token may not overwrite; the get comes after the token.
    assert sorted(entries) == sorted(pid for pid, _ in answers for _ in range(300))


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
