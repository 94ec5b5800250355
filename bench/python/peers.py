"""What is measured: stores that are used like a dict, and Django's cache backends. Each is made empty and closed again.

A peer's operations are written as a program would write them; the loop around them is the same for all, and counted for
all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import segdict

_numbers = itertools.count()


def _name() -> str:
    return f"segdict-bench-{os.getpid()}-{next(_numbers)}"


@dataclasses.dataclass
class Store:
    """`read(keys)` and `write(keys)` do one operation for each key, in the form in which a program writes it."""

    read: Callable[[list[str]], None]
    write: Callable[[list[str]], None]
    fill: Callable[[dict[str, Any]], None]


VALUE = "small value"


def _subscripted(d: Any, fill: Callable[[dict[str, Any]], None] | None = None) -> Store:
    def read(keys: list[str]) -> None:
        for key in keys:
            d[key]

    def write(keys: list[str]) -> None:
        for key in keys:
            d[key] = VALUE

    return Store(read, write, fill or d.update)


@contextlib.contextmanager
def plain_dict(size: int) -> Iterator[Store]:
    yield _subscripted({})


@contextlib.contextmanager
def segdict_dict(size: int) -> Iterator[Store]:
    with segdict.Dict(_name(), size, value_bytes=1 << 20) as d:
        d.unlink()
        yield _subscripted(d)


@contextlib.contextmanager
def segdict_drop_in(size: int) -> Iterator[Store]:
    d = segdict.SharedMemoryDict(_name(), size * 40 + 1024)
    d.shm.unlink()
    yield _subscripted(d)
    d.cleanup()


@contextlib.contextmanager
def original(size: int) -> Iterator[Store]:
    import shared_memory_dict

    d = shared_memory_dict.SharedMemoryDict(_name(), size * 40 + 1024)
    yield _subscripted(d)
    d.shm.close()
    d.shm.unlink()


@contextlib.contextmanager
def ultra_dict(size: int) -> Iterator[Store]:
    import UltraDict

    d = UltraDict.UltraDict(name=_name(), buffer_size=1 << 20, full_dump_size=1 << 24, auto_unlink=True)
    yield _subscripted(d)
    d.close()


@contextlib.contextmanager
def manager(size: int) -> Iterator[Store]:
    with multiprocessing.Manager() as server:
        yield _subscripted(server.dict())


@contextlib.contextmanager
def _redis_server() -> Iterator[str]:
    folder = tempfile.mkdtemp()
    path = f"{folder}/redis"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not os.path.exists(path):
            if process.poll() is not None:
                raise FileNotFoundError("redis-server has ended")
            time.sleep(0.01)
        yield path
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@contextlib.contextmanager
def redis_server(size: int) -> Iterator[Store]:
    import redis

    with _redis_server() as path:
        client = redis.Redis(unix_socket_path=path, decode_responses=True)

        def read(keys: list[str]) -> None:
            for key in keys:
                client.get(key)

        def write(keys: list[str]) -> None:
            for key in keys:
                client.set(key, VALUE)

        yield Store(read, write, client.mset)
        client.close()


@contextlib.contextmanager
def disk_cache(size: int) -> Iterator[Store]:
    import diskcache

    folder = tempfile.mkdtemp(dir="/dev/shm")  # no disk: its best case
    with diskcache.Cache(folder) as cache:

        def fill(items: dict[str, Any]) -> None:
            with cache.transact():
                for key, value in items.items():
                    cache[key] = value

        yield _subscripted(cache, fill)
    shutil.rmtree(folder)


def _django(backend: str, location: str, **params: Any) -> Any:
    import django.conf

    if not django.conf.settings.configured:
        django.conf.settings.configure(USE_TZ=True)
    from django.utils.module_loading import import_string

    return import_string(backend)(location, params)


def _cache(cache: Any) -> Store:
    def read(keys: list[str]) -> None:
        for key in keys:
            cache.get(key)

    def write(keys: list[str]) -> None:
        for key in keys:
            cache.set(key, VALUE)

    return Store(read, write, cache.set_many)


@contextlib.contextmanager
def django_segdict(size: int) -> Iterator[Store]:
    options = {"CAPACITY": 2 * size, "VALUE_BYTES": 1 << 20, "MAX_ENTRIES": 2 * size}
    cache = _django("segdict.caches.django.SharedMemoryCache", _name(), OPTIONS=options)
    yield _cache(cache)
    cache._cache.shm.unlink()


@contextlib.contextmanager
def django_local_memory(size: int) -> Iterator[Store]:
    yield _cache(_django("django.core.cache.backends.locmem.LocMemCache", _name(), OPTIONS={"MAX_ENTRIES": 2 * size}))


@contextlib.contextmanager
def django_redis(size: int) -> Iterator[Store]:
    with _redis_server() as path:
        yield _cache(_django("django.core.cache.backends.redis.RedisCache", f"unix://{path}"))


DICTS = {
    "dict": plain_dict,
    "segdict.Dict": segdict_dict,
    "segdict.SharedMemoryDict": segdict_drop_in,
    "shared-memory-dict": original,
    "UltraDict": ultra_dict,
    "Manager().dict()": manager,
    "Redis": redis_server,
    "diskcache": disk_cache,
}
CACHES = {
    "segdict": django_segdict,
    "LocMemCache": django_local_memory,
    "Redis": django_redis,
}
