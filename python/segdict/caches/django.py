"""A cache of Django in shared memory: one for all processes of a host, without a server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    DEFAULT_TIMEOUT,
    MEMCACHE_MAX_KEY_LENGTH,
    BaseCache,
    default_key_func,
)
from django.utils.module_loading import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import_string,
)

from .._core import Table
from .._dict import _codec
from ..errors import FullError
from ..serializers import JSON, PICKLE, Msgpack
from ..shared_memory_dict._segment import DIRECTORY, Segment
from ..shared_memory_dict.dict import DEFAULT_SERIALIZER, SharedMemoryDict
from ..shared_memory_dict.lock import USE_LOCK
from ..shared_memory_dict.templates import MEMORY_NAME

# In front of every key that a cache makes: whatever else is in the dict is no entry of it.
_MARK = "\0"

# What the caches of this process have opened: caches["default"] is a new object in each thread.
_caches: dict[Any, SharedMemoryDict] = {}

# What keys are made of, and by.
_KEY_ATTRIBUTES = frozenset({"key_prefix", "version", "key_func", "make_key", "validate_key", "make_and_validate_key"})
_KEY_METHODS = ("make_key", "validate_key", "make_and_validate_key")

# Instead of a length that keys may have.
_NOT_KNOWN = -2
_NO_KEY = -1

# The table's own operations, whatever a class of dicts makes of them.
_get = Table.get
_get_many = Table._get_many
_read = Table._read
_contains = Table.__contains__
_set = Table.set
_add = Table.add
_touch = Table.touch
_increment = Table._increment
_compare_and_set = Table._compare_and_set
_delete = Table._delete
_compare_and_delete = Table._compare_and_delete

# What the cause of a FullError says if a value is too long for all the room that there is, or just has none now.
_ASKED = re.compile(r"(\d+) bytes in the arena of (\d+) bytes")


class SharedMemoryCache(BaseCache):  # type: ignore[misc, unused-ignore]
    """A cache of Django in shared memory: all processes (of one user, on one host) whose LOCATION is the same share it.

    ::

        CACHES = {
            "default": {
                "BACKEND": "segdict.caches.django.SharedMemoryCache",
                "LOCATION": "my-site",
                "OPTIONS": {"MAX_ENTRIES": 10_000, "VALUE_BYTES": 64 << 20},
            }
        }

    TIMEOUT, KEY_PREFIX, VERSION and KEY_FUNCTION are as in every cache of Django. OPTIONS, all of them optional:

      MAX_ENTRIES        once there are so many, the expired and the oldest go; many writers may store some more until
                         they find out. 300; if CAPACITY or MEMORY_BLOCK_SIZE is given: as many as fit
      CULL_FREQUENCY     then 1 of so many goes; 0: all go. 3
      CAPACITY           entries that there is memory for. MAX_ENTRIES, but 1,000 at least and 100,000 at most
      VALUE_BYTES        bytes for keys and values. 8 MiB and 256 for each entry
      MEMORY_BLOCK_SIZE  instead of these two, as for shared-memory-dict: bytes of content that fit at least
      SERIALIZER         of values that are not str, int, float, bool, None, bytes or arrays: "pickle" (the default),
                         "json", "msgpack", an object as in `segdict.serializers` or the dotted path of one, or None:
                         refuses them. A cache without pickle never loads one
      LOCK               whether every write is serialized with those of all other such caches; by default if the
                         environment has SHARED_MEMORY_USE_LOCK=1. Nothing here needs it

    The sizes count for whoever comes first and makes the cache: all its memory is taken then. It may be opened before a
    fork. The content stays until `clear`, or until the segment is removed
    (``segdict.shared_memory_dict.hooks.free_shared_memory(location)``), or the host restarts.

    Every operation on one key is atomic for all processes and waits for no I/O; so the asynchronous methods call the
    others directly. An entry's timeout ends for all processes at once. `incr`, `decr` and `incr_version` keep it, and
    `incr` loses no count.

    A full cache drops expired entries and then the oldest, in the order of their insertion, until the new one fits. If
    that is larger than the whole cache, `set` and `add` raise `segdict.FullError` (a ValueError), and `set` drops the
    key's old value; `set_many` returns the key instead.
    """

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = params.get("OPTIONS", {})
        if "MAX_ENTRIES" not in options and "max_entries" not in params and "CAPACITY" in options:
            self._max_entries = int(options["CAPACITY"])
        self._cache = _open(name, options, self._max_entries)
        if "MAX_ENTRIES" not in options and "max_entries" not in params and "MEMORY_BLOCK_SIZE" in options:
            self._max_entries = self._cache.capacity
        self._uncounted = [0]  # entries that may be stored before they are counted again

    # ---- Keys ----

    # A key of at most _room printable characters without a space is made by putting _head before it.
    _head = ""
    _room = _NOT_KNOWN

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in _KEY_ATTRIBUTES:
            self._room = _NOT_KNOWN

    def _key(self, key: Any, version: Any) -> str:
        """make_and_validate_key, and the mark. `get` and `set` have the first lines of it."""
        if version is None and type(key) is str and len(key) <= self._room and key.isprintable() and " " not in key:
            return self._head + key
        return self._make_key(key, version)

    def _make_key(self, key: Any, version: Any) -> str:
        if self._room == _NOT_KNOWN:
            self._look_at_keys()
        return f"{_MARK}{self.make_and_validate_key(key, version=version)}"

    def _look_at_keys(self) -> None:
        """If keys are made and checked in Django's way, finds out what they begin with, and how long they may be."""
        self._room = _NO_KEY
        head = default_key_func("", self.key_prefix, self.version)
        if (
            self.key_func is default_key_func
            and not _KEY_ATTRIBUTES.intersection(vars(self)) - {"key_prefix", "version", "key_func"}
            and all(getattr(type(self), method) is getattr(BaseCache, method) for method in _KEY_METHODS)
            and head.isprintable()
            and " " not in head
        ):
            self._head = _MARK + head
            self._room = MEMCACHE_MAX_KEY_LENGTH - len(head)

    # ---- Reading ----

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        if version is None and type(key) is str and len(key) <= self._room and key.isprintable() and " " not in key:
            return _get(self._cache, self._head + key, default)
        return _get(self._cache, self._make_key(key, version), default)

    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        pairs = [(key, self._key(key, version)) for key in keys]
        found = _get_many(self._cache, [made for _, made in pairs])
        return {key: found[made] for key, made in pairs if made in found}

    def has_key(self, key: Any, version: Any = None) -> bool:
        return _contains(self._cache, self._key(key, version))

    # ---- Writing ----

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        if version is None and type(key) is str and len(key) <= self._room and key.isprintable() and " " not in key:
            made = self._head + key
        else:
            made = self._make_key(key, version)
        ttl = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        if ttl is not None and ttl <= 0:
            _delete(self._cache, made)
        else:
            self._store(_set, made, value, ttl)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        made = self._key(key, version)
        ttl = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        if ttl is not None and ttl <= 0:
            return not _contains(self._cache, made)
        return bool(self._store(_add, made, value, ttl))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        made = self._key(key, version)
        ttl = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        if ttl is not None and ttl <= 0:
            return _delete(self._cache, made)
        return _touch(self._cache, made, ttl)

    def delete(self, key: Any, version: Any = None) -> bool:
        return _delete(self._cache, self._key(key, version))

    def clear(self) -> None:
        """Empties the dict, of whatever is in it."""
        self._cache.clear()
        self._others = 0

    def set_many(self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        """Sets them one by one. Returns the keys of those that are larger than the cache."""
        failed = []
        for key, value in data.items():
            try:
                self.set(key, value, timeout=timeout, version=version)
            except FullError:
                failed.append(key)
        return failed

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        for key in keys:
            _delete(self._cache, self._key(key, version))

    def incr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        """Adds and returns the sum; the timeout stays. ValueError: the key is not there. TypeError: no int is there."""
        made = self._key(key, version)
        cache = self._cache
        if type(delta) is int and -(2**63) <= delta < 2**63:
            try:
                total = _increment(cache, made, delta)
            except KeyError:
                raise ValueError(f"Key '{key}' not found") from None
            if total is not None:
                return total
        # No integer of 64 bits.
        while True:
            entry = _read(cache, made)
            if entry is None:
                raise ValueError(f"Key '{key}' not found")
            value, token, _ = entry
            if not isinstance(value, int):
                raise TypeError(f"Expected an integer value but has: {value!r}")
            total = value + delta
            if self._store(_compare_and_set, made, token, total, ...):
                return total

    def decr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return self.incr(key, -delta, version=version)

    def incr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        """Moves the entry to version + delta, which is returned. It keeps its timeout."""
        if version is None:
            version = self.version
        old, new = self._key(key, version), self._key(key, version + delta)
        cache = self._cache
        while True:
            entry = _read(cache, old)
            if entry is None:
                raise ValueError(f"Key '{key}' not found")
            if old == new:
                return version
            value, token, ttl = entry
            self._store(_set, new, value, ttl)
            if _compare_and_delete(cache, old, token) or not _contains(cache, old):
                return version + delta
            # It was set again meanwhile: that value is to be moved.

    def decr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        return self.incr_version(key, -delta, version)

    def close(self, **kwargs: Any) -> None:
        """Nothing, at the end of each request: the cache is there for the next."""

    # ---- Room ----

    def _store(self, write: Callable[..., Any], made: str, *arguments: Any) -> Any:
        """Calls write(cache, made, *arguments); makes room for an entry before or, if need be, then."""
        uncounted = self._uncounted
        if uncounted[0] > 0:
            uncounted[0] -= 1
        else:
            self._count(made)
        try:
            return write(self._cache, made, *arguments)
        except FullError as error:
            return self._squeeze(error, write, made, arguments)

    # Entries that are not the cache's, when they were last looked for.
    _others = 0

    def _count(self, made: str) -> None:
        """Keeps to MAX_ENTRIES. To count costs nearly as much as to store, so it is not done each time."""
        count = len(self._cache) - self._others
        if count < self._max_entries:
            self._uncounted[0] = (self._max_entries - count) // 64
        elif not _contains(self._cache, made):
            keys, count = self._look_for_entries()
            if count >= self._max_entries:
                self._evict(keys, min(count, max(self._max_entries, 0)))

    def _look_for_entries(self) -> tuple[list[str], int]:
        """The keys of the cache's own entries, the oldest first, and how many it had before the expired were dropped.

        Whose those were is not known any more: they count as the cache's.
        """
        cache = self._cache
        expired = cache.sweep()
        keys = [key for key in cache._entries("keys") if type(key) is str and key.startswith(_MARK)]
        self._others = max(0, len(cache) - len(keys))
        return keys, len(keys) + expired

    def _evict(self, keys: list[str], count: int, at_least: int = 0) -> None:
        """Drops the oldest, unless enough had expired, so that `count` less 1 of CULL_FREQUENCY are left."""
        part = count // self._cull_frequency if self._cull_frequency else count
        keep = count - max(part, at_least)
        # Others who are at this too drop the same ones.
        for key in keys[: max(0, len(keys) - keep)]:
            _delete(self._cache, key)

    def _squeeze(self, error: FullError, write: Callable[..., Any], made: str, arguments: tuple[Any, ...]) -> Any:
        """Makes room, more and more, and calls `write` again until that works. What does not help costs no entry."""
        if write is _set:
            # Whatever comes of it: a value that is older than this must not stay.
            _delete(self._cache, made)
        if _is_hopeless(error):
            raise error
        for turn in range(32):
            try:
                return write(self._cache, made, *arguments)
            except FullError:
                keys, count = self._look_for_entries()
                if count == 0:
                    raise
                self._evict(keys, count, 1 << turn)
        return write(self._cache, made, *arguments)

    # ---- The same, for coroutines ----

    async def aget(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self.get(key, default, version)

    async def aget_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        return self.get_many(keys, version)

    async def ahas_key(self, key: Any, version: Any = None) -> bool:
        return self.has_key(key, version)

    async def aset(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        self.set(key, value, timeout, version)

    async def aadd(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return self.add(key, value, timeout, version)

    async def aget_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return self.get_or_set(key, default, timeout, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return self.touch(key, timeout, version)

    async def adelete(self, key: Any, version: Any = None) -> bool:
        return self.delete(key, version)

    async def aclear(self) -> None:
        self.clear()

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> list[Any]:
        return self.set_many(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        self.delete_many(keys, version)

    async def aincr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return self.incr(key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return self.decr(key, delta, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        return self.incr_version(key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        return self.decr_version(key, delta, version)

    async def aclose(self, **kwargs: Any) -> None:
        self.close(**kwargs)


def _is_hopeless(error: FullError) -> bool:
    """Whether to drop entries cannot help: the value is too long, or too many threads write."""
    cause = str(error.__cause__)
    asked = _ASKED.search(cause)
    return "never fit" in cause or "writer records" in cause or (asked is not None and int(asked[1]) > int(asked[2]))


# ---- Opening ----


class _Entries(SharedMemoryDict):
    """Another handle of a SharedMemoryDict, which stores values by one of segdict.serializers."""

    def __init__(self, name: str, serializer: Any, lock: bool) -> None:
        self._name = MEMORY_NAME.format(name=name)
        Table.__init__(self, "name", self._name, "open", lock=lock, **_codec(serializer))
        self._segment = Segment(self, self._name, self.segment_bytes)
        self._serializer = serializer or DEFAULT_SERIALIZER
        self._arguments = name, serializer, lock

    def __reduce__(self) -> tuple[Any, ...]:
        return _Entries, self._arguments


def _open(name: str, options: Mapping[str, Any], max_entries: int) -> SharedMemoryDict:
    """The dict of that name: the one that this process has open, if it still is the one that has the name."""
    choice = options.get("SERIALIZER", "pickle")
    lock = options.get("LOCK")
    mine = (name, choice if isinstance(choice, str) else id(choice), lock)
    there = _caches.get(mine)
    if there is not None and not there.closed and _has_name(there):
        return there
    sizes: dict[str, Any] = {
        option.lower(): int(options[option]) for option in ("CAPACITY", "VALUE_BYTES") if option in options
    }
    if "MEMORY_BLOCK_SIZE" not in options:
        sizes.setdefault("capacity", max(1000, min(max_entries, 100_000)))
        sizes.setdefault("value_bytes", (8 << 20) + 256 * sizes["capacity"])
    while True:
        cache = SharedMemoryDict(name, int(options.get("MEMORY_BLOCK_SIZE", 1024)), **sizes)
        if choice == "pickle" and lock is None:
            break
        try:
            cache = _Entries(name, _serializer(choice), USE_LOCK if lock is None else bool(lock))
            break
        except FileNotFoundError:
            pass  # it was removed meanwhile
    _caches[mine] = cache
    return cache


def _has_name(cache: SharedMemoryDict) -> bool:
    """Whether the file that has the dict's name is the dict's."""
    try:
        status = os.stat(DIRECTORY + cache.shm.name, follow_symlinks=False)
    except OSError:
        return False
    return cache.shm._identity == (status.st_dev, status.st_ino)


def _serializer(choice: Any) -> Any:
    if not isinstance(choice, str):
        return choice
    if choice == "pickle":
        return PICKLE
    if choice == "json":
        return JSON
    if choice == "msgpack":
        return Msgpack()
    found = import_string(choice)
    return found() if isinstance(found, type) else found
