"""What the tests of SharedMemoryDict share; a test module has the fixtures by importing them as they are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segdict import SharedMemoryDict


@pytest.fixture
def make(name: str) -> Iterator[Callable[..., SharedMemoryDict]]:
    made: list[SharedMemoryDict] = []

    def make(size: int = 65536, **options: Any) -> SharedMemoryDict:
        made.append(SharedMemoryDict(name, size, **options))
        return made[-1]

    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def d(make: Callable[..., SharedMemoryDict]) -> SharedMemoryDict:
    return make()


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["SEGDICT_BOMB"],)
