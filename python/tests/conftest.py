"""What the tests share: names of segments that nobody else has, and that are gone afterwards."""

from __future__ import annotations

import glob
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import segdict

_numbers = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name of its own for each test; segments whose name begins with it (or with sm_ and it) go with the test."""
    mine = f"segdict-test-{os.getpid()}-{next(_numbers)}"
    yield mine
    for path in glob.glob(f"/dev/shm/{mine}*") + glob.glob(f"/dev/shm/sm_{mine}*"):
        os.unlink(path)


@pytest.fixture
def make(name: str) -> Iterator[Callable[..., segdict.Dict[Any, Any]]]:
    """Makes a dict of the test's name (or opens it again)."""
    made: list[segdict.Dict[Any, Any]] = []

    def make(capacity: int | None = 1000, **options: Any) -> segdict.Dict[Any, Any]:
        made.append(segdict.Dict(name, capacity, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def d(make: Callable[..., segdict.Dict[Any, Any]]) -> segdict.Dict[Any, Any]:
    return make()


def run_python(code: str, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `code` in another interpreter, which knows nothing of this one."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=check, text=True, capture_output=True, timeout=120, **options
    )
