"""What the tests of aiocache's cache share; a test module has the fixture by importing it as it is called."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

pytest.importorskip("aiocache", reason="an optional package")

from segdict.caches.aiocache import SharedMemoryCache


def sync(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine function, as a function."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def cache(name: str) -> SharedMemoryCache:
    return SharedMemoryCache(name=name, size=1 << 16)


# ---- Other processes ----

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


def answers_of_four(code: str, name: str) -> list[tuple[int, str]]:
    """Runs the code in four processes, which wait until all are ready; the process and a line of what each says."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(code, name)) for _ in range(4)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = []
        for process in processes:
            assert process.stdout is not None
            answers.append((process.pid, process.stdout.readline().rstrip("\n")))
        return answers
