"""A cache of aiocache in shared memory: one for all processes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from typing import Any

from aiocache.base import BaseCache  # type: ignore[import-not-found, import-untyped, unused-ignore]
from aiocache.lock import RedLock  # type: ignore[import-not-found, import-untyped, unused-ignore]
from aiocache.serializers import NullSerializer  # type: ignore[import-not-found, import-untyped, unused-ignore]

from ..shared_memory_dict.dict import SharedMemoryDict

# RedLock, and nobody else, calls `_add` without a connection.
_BY_LOCK: Any = object()
_GONE: Any = object()

# The locks that were taken here: (name of the cache, key) -> process (a child inherits this), thread, RedLock's value.
_taken: dict[tuple[str, str], tuple[int, int, Any]] = {}


class SharedMemoryCache(BaseCache):  # type: ignore[misc, type-arg, unused-ignore]
    """A cache of aiocache (0.12 and 1.0) in shared memory: all processes that give it the same name share it.

    ::

        caches.set_config({"default": {"cache": "segdict.caches.aiocache.SharedMemoryCache", "size": 1024}})

        cache = SharedMemoryCache(name="sessions", capacity=100_000, value_bytes=64 << 20)  # or this

      name          of the segment. Whoever comes first makes it, with its own sizes
      size          bytes of content that fit at least (`segdict.SharedMemoryDict` says more); or, for larger caches,
      capacity      entries that fit at least, and
      value_bytes   bytes for the keys and values that do not fit into an entry
      serializer    NullSerializer by default: str, int, float, bool, None, bytes and arrays are stored as they are, all
                    other values by pickle. What is read is a copy: changing it changes nothing in the cache. Of
                    aiocache's other serializers the str or bytes that they make are stored
      namespace, key_builder, plugins, ttl, timeout: as in every cache of aiocache

    Every operation on a key is atomic for all processes, and none waits for I/O or for a lock that a dead process left.
    A time to live (in seconds, or fractions of them) is kept with the entry: it ends for every process, even if the one
    that set it is gone. If there is no room for an entry, ValueError is raised and the cache is as it was.

    `increment` keeps the time to live, and loses no count of any process. `clear()` empties the whole cache,
    ``clear(namespace=...)`` takes out the keys that begin with that. `raw` calls a method of the `SharedMemoryDict`.
    `close` leaves the cache usable, and its content. That stays until ``hooks.free_shared_memory(name)``.

    RedLock, `cached_stampede` and OptimisticLock of aiocache work across processes. Who waits for a RedLock goes on, at
    most 50 ms later, when another process releases it, or when its lease ends because that process died.
    """

    NAME = "shared_memory"

    def __init__(
        self,
        serializer: Any = None,
        name: str = "smc",
        size: int = 1024,
        *,
        capacity: int | None = None,
        value_bytes: int | None = None,
        **kwargs: Any,
    ) -> None:
        null: Any = NullSerializer
        super().__init__(serializer=serializer or null(), **kwargs)
        self._name = name
        self._cache = SharedMemoryDict(name, size, capacity=capacity, value_bytes=value_bytes)
        self._handlers: dict[str, asyncio.TimerHandle] = {}  # always empty: there are no timers

    @classmethod
    def parse_uri_path(cls, path: str) -> dict[str, Any]:
        return {}

    # aiocache 1.0 calls this, 0.12 the next one. In each the other is hidden by an attribute of the instance.
    def build_key(self, key: str, namespace: str | None = None) -> Any:
        return _plain(self._str_build_key(key, namespace))

    def _build_key(self, key: str, namespace: str | None = None) -> Any:
        return _plain(super()._build_key(key, namespace))  # type: ignore[misc, arg-type, unused-ignore]

    # ---- Reading ----

    async def _get(self, key: str, encoding: str | None = "utf-8", _conn: Any = None) -> Any:
        return self._cache.get(key)

    async def _gets(self, key: str, encoding: str | None = "utf-8", _conn: Any = None) -> Any:
        """A token for `_set`: equal to the value. None if the key is not there."""
        entry = self._cache._read(key)
        return None if entry is None else _Seen(entry[0], entry[1])

    async def _multi_get(self, keys: Iterable[str], encoding: str | None = "utf-8", _conn: Any = None) -> list[Any]:
        return [self._cache.get(key) for key in keys]

    async def _exists(self, key: str, _conn: Any = None) -> bool:
        return key in self._cache

    # ---- Writing ----

    async def _set(
        self, key: str, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> bool:
        if _cas_token is not None:
            return self._replace(key, value, ttl, _cas_token)
        self._store(key, value, ttl)
        return True

    def _store(self, key: str, value: Any, ttl: float | None) -> None:
        if ttl:
            self._cache.set(key, value, ttl)
        else:
            self._cache[key] = value

    def _replace(self, key: str, value: Any, ttl: float | None, token: Any) -> bool:
        while True:
            entry = self._cache._read(key)
            if entry is None or not _is(token, entry):
                return False
            if self._cache._compare_and_set(key, entry[1], value, ttl or None):
                return True

    async def _multi_set(self, pairs: Iterable[tuple[str, Any]], ttl: float | None = None, _conn: Any = None) -> bool:
        for key, value in pairs:
            self._store(key, value, ttl)
        return True

    async def _add(self, key: str, value: Any, ttl: float | None = None, _conn: Any = _BY_LOCK) -> bool:
        if self._cache.add(key, value, ttl or None):
            if _conn is _BY_LOCK:
                _taken[self._name, key] = _by_us(value)
            return True
        if _conn is _BY_LOCK and ttl:
            self._watch(key)
        raise ValueError(f"Key {key} already exists, use .set to update the value")

    async def _increment(self, key: str, delta: int, _conn: Any = None) -> int:
        if type(delta) is int and -(2**63) <= delta < 2**63:
            total = self._cache._increment(key, delta, 0)
            if total is not None:
                return total
        while True:
            entry = self._cache._read(key)
            if entry is None:
                if self._cache.add(key, delta):
                    return delta
                continue
            try:
                total = int(entry[0]) + delta
            except (ValueError, TypeError, OverflowError):
                raise TypeError("Value is not an integer") from None
            if self._cache._compare_and_set(key, entry[1], total, ...):
                return total

    async def _expire(self, key: str, ttl: float | None, _conn: Any = None) -> bool:
        return self._cache.touch(key, ttl or None)

    async def _delete(self, key: str, _conn: Any = None) -> int:
        return int(self._cache._delete(key))

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        if namespace:
            for key in self._cache._entries("keys"):
                if isinstance(key, str) and key.startswith(namespace):
                    self._cache._delete(key)
        else:
            self._cache.clear()
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: str | None = "utf-8", _conn: Any = None, **kwargs: Any
    ) -> Any:
        return getattr(self._cache, command)(*args, **kwargs)

    async def _close(self, *args: Any, _conn: Any = None, **kwargs: Any) -> None:
        """Nothing: aiocache wants a cache to be usable after it. The handle is closed with this object."""

    # ---- Locks ----

    async def _redlock_release(self, key: str, value: Any) -> int:
        if _taken.get((self._name, key)) == _by_us(value):
            _taken.pop((self._name, key), None)
        while True:
            entry = self._cache._read(key)
            if entry is None or not _is(value, entry):
                return 0
            if self._cache._compare_and_delete(key, entry[1]):
                return 1

    def _watch(self, key: str) -> None:
        """If somebody elsewhere has the lock, lets the RedLock that calls `_add` wait for that."""
        holder = self._cache.get(key, _GONE)
        if _taken.get((self._name, key)) != _by_us(holder):
            _Elsewhere(self._cache, key, holder).step_in()


class _Seen:
    """A value as it was read, with the state of its entry: that tells where values cannot be compared."""

    __slots__ = ("state", "value")

    def __init__(self, value: Any, state: Any) -> None:
        self.value = value
        self.state = state

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Seen):
            return self.state == other.state or _equal(self.value, other.value)
        return _equal(self.value, other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<token of {self.value!r}>"


class _Elsewhere:
    """Takes the place of the event that a RedLock waits for. Waits until the lock has another holder, or none.

    RedLock looks its event up right after `_add` failed. If the holder is in another process (or thread, with a loop of
    its own), there is none, or one that nobody will set here.
    """

    def __init__(self, table: SharedMemoryDict, key: str, holder: Any) -> None:
        self._table = table
        self._key = key
        self._holder = holder
        self._event: Any = None

    def step_in(self) -> None:
        events = _events()
        self._event = events.get(self._key)
        events[self._key] = self

    def wait(self) -> Coroutine[Any, Any, None]:
        # This is the look-up: what was there comes back, for its own waiters.
        events = _events()
        if events.get(self._key) is self:
            if self._event is None:
                del events[self._key]
            else:
                events[self._key] = self._event
        return self._poll()

    async def _poll(self) -> None:
        delay = 0.001
        while (now := self._table.get(self._key, _GONE)) is not _GONE and now == self._holder:
            await asyncio.sleep(delay)
            delay = min(1.5 * delay, 0.05)

    def set(self) -> None:
        if self._event is not None:
            self._event.set()


def _events() -> dict[str, Any]:
    return RedLock._EVENTS  # type: ignore[no-any-return, unused-ignore]


def _by_us(value: Any) -> tuple[int, int, Any]:
    return os.getpid(), threading.get_ident(), value


def _plain(key: Any) -> Any:
    """A str as such: members of an Enum and the like need their class to be read."""
    return str.__str__(key) if isinstance(key, str) else key


def _is(token: Any, entry: tuple[Any, Any, Any]) -> bool:
    """Whether the entry is, or is equal to, what a token of `_gets`, or a plain value, says."""
    return bool(_Seen(entry[0], entry[1]) == token)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except ValueError:  # arrays
        return False
