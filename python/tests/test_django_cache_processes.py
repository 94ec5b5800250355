"""The cache for Django in several threads and processes, some of which are killed, or forked from one another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django", reason="an optional package")

from conftest import run_python
from django_caches import Make, ttl
from django_caches import cache as cache
from django_caches import make as make
from segdict.caches.django import SharedMemoryCache

# ---- Threads ----


def test_threads(cache: SharedMemoryCache, make: Make) -> None:
    def work(one: int) -> None:
        mine = make(MAX_ENTRIES=50)
        for i in range(500):
            mine.set(f"{one}-{i}", i)
            assert mine.get(f"{one}-{i}", i) == i
            assert all(
                int(key.split("-")[1]) == value
                for key, value in mine.get_many([f"{one}-{j}" for j in range(i)]).items()
            )
            mine.get_or_set("shared", lambda: [one] * 10)
            mine.delete(f"{one}-{i // 2}")

    threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(cache.get("shared", [0]))) == 1
    assert len(cache._cache) <= 60
    assert cache._cache.verify() == []


def test_incr_from_threads(cache: SharedMemoryCache, make: Make) -> None:
    cache.set("n", 2**63 - 1500)  # grows beyond 64 bits on its way

    def work() -> None:
        mine = make()
        for _ in range(1000):
            mine.incr("n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 2**63 + 2500


def test_only_one_thread_adds(cache: SharedMemoryCache) -> None:
    start = threading.Barrier(8)
    added: list[bool] = []

    def work(one: int) -> None:
        for i in range(50):
            start.wait()
            added.append(cache.add(i, one))

    threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == 50


# ---- Processes ----

Start = Callable[..., "subprocess.Popen[str]"]
# For other interpreters: the cache of the name that is their first argument.
PRELUDE = """
import os, signal, sys, time
from django.conf import settings
settings.configure(CACHES={"default": {
    "BACKEND": "segdict.caches.django.SharedMemoryCache", "LOCATION": sys.argv[1], "OPTIONS": eval(sys.argv[2])}})
from django.core.cache import cache, caches
"""


def run_cache(name: str, code: str, *arguments: str, options: str = "{}", **more: Any) -> str:
    return str(run_python(PRELUDE + code, name, options, *arguments, **more).stdout)


@pytest.fixture
def start(name: str) -> Iterator[Start]:
    """Starts a process with the test's cache, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, options: str = "{}") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PRELUDE + code, name, options]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def let_go(workers: list[subprocess.Popen[str]]) -> list[str]:
    """Lets those that wait for a line go on, all at once; what they print."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    printed = [worker.communicate()[0] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    return printed


def test_other_processes_see_it(cache: SharedMemoryCache, name: str) -> None:
    cache.set("a", {"x": [1]})
    run_cache(name, "assert cache.get('a') == {'x': [1]}; cache.set('b', (1, None), 0.3); cache.set('c', 3, None)")
    assert cache.get("c") == 3
    time.sleep(0.4)
    assert cache.get("b") is None


def test_timeouts_outlive_their_process(cache: SharedMemoryCache, name: str) -> None:
    run_cache(name, "cache.set('a', 1, 1); cache.set('b', 1, 1000); os.kill(os.getpid(), 9)", check=False)
    assert cache.get("a") == 1
    assert 990 < ttl(cache, "b") < 1000
    time.sleep(1.1)
    assert cache.get_many(["a", "b"]) == {"b": 1}


def test_an_old_timeout_does_not_end_a_newer_value(cache: SharedMemoryCache, name: str) -> None:
    run_cache(name, "cache.set('a', 1, 0.3)")
    cache.set("a", 2, 100)
    time.sleep(0.5)
    assert cache.get("a") == 2


def test_incr_from_processes(cache: SharedMemoryCache, start: Start) -> None:
    cache.set("n", 0)
    let_go([start("sys.stdin.readline()\nfor _ in range(5000): cache.incr('n')") for _ in range(4)])
    assert cache.get("n") == 20_000


def test_only_one_process_adds(cache: SharedMemoryCache, start: Start) -> None:
    code = "sys.stdin.readline(); print(sum(cache.add(i, os.getpid()) for i in range(250)))"
    assert sum(map(int, let_go([start(code) for _ in range(4)]))) == 250


def test_workers_that_are_killed(make: Make, start: Start) -> None:
    """The cache goes on, full as it is."""
    options: dict[str, Any] = {"CAPACITY": 2000, "VALUE_BYTES": 1 << 20, "MAX_ENTRIES": 1000}
    cache = make(**options)
    code = """
print("ready", flush=True)
i = 0
while True:
    i += 1
    cache.set(i % 3000, "x" * (i * 37 % 3000))
    cache.get_many(range(100))
    cache.delete(i % 50)
    cache.add("n", 0)
    cache.add("v", i)
    try:
        cache.incr("n")
        cache.incr_version("v")
    except ValueError:
        pass  # the other one was faster, or it was dropped
"""
    for _ in range(6):
        workers = [start(code, repr(options)) for _ in range(2)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        time.sleep(0.2)
        for worker in workers:
            assert worker.poll() is None
            worker.kill()
            worker.wait()
    for i in range(3000):
        cache.set(i, "y" * (i % 3000))
        assert cache.get(i) == "y" * (i % 3000)
    assert cache._cache.verify() == []
    assert len(cache._cache) <= 1000


def test_forked_workers_of_a_preloaded_application(name: str) -> None:
    """As gunicorn --preload: the master opens the cache, its workers use it."""
    assert (
        run_cache(
            name,
            """
from django.core import signals
cache.set("n", 0)
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        for i in range(1000):
            cache.incr("n")
            cache.set((os.getpid(), i), "x" * 100, 60)
            signals.request_finished.send(sender=None)
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
child = os.fork()
if not child:
    os._exit(cache.get("n") != 4000)
assert os.waitpid(child, 0)[1] == 0
print(cache.get("n"))
""",
            options="{'MAX_ENTRIES': 100000, 'VALUE_BYTES': 8 << 20}",
        )
        == "4000\n"
    )


def test_the_end_of_a_reader_keeps_the_cache(cache: SharedMemoryCache, name: str) -> None:
    cache.set("a", 1)
    for _ in range(2):
        result = run_python(PRELUDE + "assert cache.get('a') == 1", name, "{}")
        assert result.stderr == ""
    assert os.path.exists(f"/dev/shm/sm_{name}")
    assert cache.get("a") == 1
