# Django has no types.
# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
"""What the tests of the cache for Django share; a test module has the fixtures by importing them as they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django", reason="an optional package")

from django.conf import settings  # type: ignore[import-not-found]  # Django has no types

from segdict.caches import django as module
from segdict.caches.django import SharedMemoryCache

if not settings.configured:
    settings.configure()

Make = Callable[..., SharedMemoryCache]


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


def ttl(cache: SharedMemoryCache, key: str, version: Any = None) -> Any:
    entry = cache._cache._read(cache._key(key, version))
    assert entry is not None
    return entry[2]
