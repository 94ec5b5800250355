"""SHARED_MEMORY_USE_LOCK, ``with d.lock()``, and the names of the module lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import run_python
from segdict import SharedMemoryDict

LOCKED = {**os.environ, "SHARED_MEMORY_USE_LOCK": "1"}
UNLOCKED = {name: value for name, value in os.environ.items() if name != "SHARED_MEMORY_USE_LOCK"}


class Other:
    """Another interpreter, which is told line by line what to do and says "done"."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        code = """if True:
            import sys
            from segdict import SharedMemoryDict
            d = SharedMemoryDict(sys.argv[1], 65536)
            print("done", flush=True)
            for line in sys.stdin:
                exec(line)
                print("done", flush=True)
            """
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.wait()

    def tell(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def do(self, what: str) -> None:
        self.tell(what)
        self.wait()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def others(name: str) -> Iterator[Any]:
    made: list[Other] = []

    def start(locked: bool) -> Other:
        made.append(Other(name, LOCKED if locked else UNLOCKED))
        return made[-1]

    yield start
    for one in made:
        one.end()


WRITES = [
    "d['a'] = 1",
    "del d['a']",
    "d.update(a=1, b=2)",
    "d.update({})",
    "d.setdefault('a', 1)",
    "d.pop('a', None)",
    "d.popitem()",
    "d.clear()",
    "d |= {'c': 1}",
    "d.move_to_end('a')",
]


@pytest.mark.parametrize("write", WRITES)
def test_every_write_waits_for_the_lock(name: str, others: Any, write: str) -> None:
    d = SharedMemoryDict(name, 65536)
    d["a"] = 0
    holder, writer, unlocked = others(True), others(True), others(False)
    holder.do("section = d.lock(); section.__enter__()")
    writer.tell(write)
    time.sleep(0.15)
    assert d == {"a": 0}
    assert d["a"] == 0  # reads wait for nobody
    unlocked.do("d['a'] = 5")  # who does not use the lock does not wait
    holder.do("section.__exit__()")
    writer.wait()


def test_a_section_is_recursive(name: str, others: Any) -> None:
    one, two = others(True), others(False)
    one.do("with d.lock(), d.lock(): d['a'] = 1; d.update(b=2); d.setdefault('c', d.pop('a'))")
    two.do("with d.lock(): d['d'] = 4")
    assert SharedMemoryDict(name, 1) == {"b": 2, "c": 1, "d": 4}


def test_the_lock_goes_with_its_holder(name: str, others: Any) -> None:
    one, two = others(True), others(True)
    one.do("d['a'] = 1; section = d.lock(); section.__enter__()")
    two.tell("d['a'] = 2")
    time.sleep(0.1)
    one.process.send_signal(signal.SIGKILL)
    begin = time.perf_counter()
    two.wait()
    assert time.perf_counter() - begin < 10
    assert SharedMemoryDict(name, 1) == {"a": 2}


def test_updates_are_seen_as_a_whole_by_others_that_lock(name: str) -> None:
    """Each process sets all keys to its number, at once: whoever has the lock sees one number only."""
    code = """if True:
        import sys
        from segdict import SharedMemoryDict
        d = SharedMemoryDict(sys.argv[1], 65536)
        mine = int(sys.argv[2])
        for turn in range(300):
            d.update({f"key{i}": mine for i in range(20)})
            with d.lock():
                seen = set(d.values())
            assert len(seen) == 1, seen
        """
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name, str(i)], stderr=subprocess.PIPE, env=LOCKED)
        for i in range(4)
    ]
    for process in processes:
        assert process.communicate(timeout=120)[1] == b""
        assert process.returncode == 0


@pytest.mark.parametrize("value", [None, "0", "1", "true", "11", ""])
def test_the_variable_and_the_names(value: str | None) -> None:
    environment = dict(UNLOCKED) if value is None else {**UNLOCKED, "SHARED_MEMORY_USE_LOCK": value}
    code = """if True:
        import multiprocessing, os
        from segdict.shared_memory_dict import lock
        os.environ["SHARED_MEMORY_USE_LOCK"] = "1"  # too late
        from segdict import SharedMemoryDict
        print(lock.USE_LOCK, lock.Lock == multiprocessing.Lock)
        calls = []
        class Counting:
            def acquire(self): calls.append("acquire")
            def release(self): calls.append("release")
        @lock.lock
        def function(*args, **kwargs):
            "Its text."
            calls.append((args, kwargs))
            if not args: raise KeyError
            return 7
        assert function(1) == 7
        lock._lock = Counting()
        assert function(1, a=2) == 7
        try: function()
        except KeyError: pass
        assert calls[1:] == ["acquire", ((1,), {"a": 2}), "release", "acquire", ((), {}), "release"], calls
        assert (function.__name__, function.__doc__) == ("function", "Its text.")
        lock.Lock().acquire(); lock.Lock().release if lock.USE_LOCK else lock.Lock().release()
        """
    assert run_python(code, env=environment).stdout == f"{value == '1'} {value == '1'}\n"
