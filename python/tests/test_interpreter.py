"""The interpreter and a Dict: threads that end at the wrong time, other interpreters, who holds its lock."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import segdict
from conftest import run_python

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


# ---- Threads ----


def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_section_of_a_thread_that_has_ended(d: D) -> None:
    """A later thread gets the ended one's number, but not its section."""
    section = d.lock()
    errors: list[BaseException] = []

    def enter() -> None:
        section.__enter__()

    def leave() -> None:
        try:
            section.__exit__(None, None, None)
        except RuntimeError as error:
            errors.append(error)

    in_thread(enter)
    for _ in range(5):
        in_thread(leave)
    assert len(errors) == 5
    with d.lock():
        d["a"] = 1


@pytest.mark.parametrize("way", ["slot", "method", "pickle", "iterator", "key", "ttl", "finalizer"])
def test_daemon_threads_at_the_interpreters_end(name: str, way: str) -> None:
    code = """
import sys, threading, time, segdict
d = segdict.Dict(sys.argv[1], 100, value_bytes=64 << 20)
d["a"] = b"x" * (1 << 20)
d["b"] = ["x" * (1 << 20)]
def slot():
    while True:
        d["a"]
        d["c"] = b"y" * (1 << 20)
def method():
    while True:
        d.get("a")
        d.set("c", b"y" * (1 << 20))
        list(d.items())
def pickle():
    while True:
        d["b"]
        d.get("b")
        d["c"] = {"y" * 100: d}
class Key:
    def __hash__(self): return sum(range(200))
    def __eq__(self, other): return isinstance(other, Key)
    def __reduce__(self): return Key, ()
class Seconds:
    def __float__(self): return float(sum(range(300)))
class Final:
    def __del__(self):
        for _ in range(10_000): pass
class Unhashable(Final):
    __hash__ = None
class Fragile(Final):
    def __init__(self): self.data = self
    def __reduce__(self): return Fragile, ()
def iterator():
    while True:
        d.get_many(k for k in ["a"] * 100)
def key():
    keys = [Key() for _ in range(100)]
    d[keys[0]] = 1
    while True:
        d.get_many(keys)
        d.get(keys[0])
        frozenset(keys) in d
        keys[0] in list(d)
def ttl():
    while True:
        d.set("z", 1, Seconds())
        d.touch("z", Seconds())
        d.ttl("z")
def finalizer():
    while True:
        try: d.get_many(iter([Unhashable()]))
        except TypeError: pass
        d["z"] = Fragile()
        d.get("z")
        d.pop("z")
        d.gets("b")
for _ in range(4):
    threading.Thread(target=globals()[sys.argv[2]], daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(3):
        run_python(code, name, way)


# Each is the occasion for a garbage collection, in which a finalizer loops until the interpreter ends. Python 3.12 and
# later collect only between their own instructions.
@pytest.mark.parametrize(
    "call",
    [
        "segdict._core.list_segments()",
        "d.touch('a', float('nan'))",
        "d.read_into('a', bytearray(10))",
        "section.__exit__()",
        "section.__exit__(None, None, None)",
        "empty.popitem()",
        "closed.get('a')",
        "empty.set('a', object)",
        "empty.get(threading.Thread)",
    ],
)
def test_a_collection_at_the_interpreters_end(name: str, call: str) -> None:
    code = """
import gc, sys, threading, time, segdict
from segdict import _core
gc.disable()
gc.set_threshold(1)
d = segdict.Dict(sys.argv[1], 100)
d["a"] = "text"
empty = segdict.Dict(sys.argv[1] + "-empty", 100, serializer=None)
closed = segdict.Dict(sys.argv[1], 100)
closed.close()
section = d.lock()
inside = False
class Final:
    def __init__(self): self.me = self
    def __del__(self):
        global inside
        if threading.current_thread() is thread:
            inside = True
            while True: pass
call = eval("lambda: " + sys.argv[2])
def run():
    try: raise ValueError
    except ValueError:  # an exception is made at once where another is being handled
        while True:
            gc.disable()
            x = Final()
            del x
            spare = [([], {}, (i,), (i, i), (i, i, i)) for i in range(200)]  # none is left over to be used again
            gc.enable()
            try: call()
            except Exception: pass
thread = threading.Thread(target=run, daemon=True)
thread.start()
while not inside: time.sleep(0.01)
"""
    for _ in range(4):
        run_python(code, name, call)


OTHER_INTERPRETER = """
import sys
try:
    import _interpreters as interpreters
    other = interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    other = interpreters.create()
run = getattr(interpreters, "exec", None) or interpreters.run_string
"""


def test_a_wait_in_a_process_with_another_interpreter(name: str) -> None:
    """Within a long copy, which has given the interpreter's lock away; and Ctrl-C ends it."""
    code = """
import signal, threading, segdict
d = segdict.Dict(sys.argv[1], 100, value_bytes=4 << 20, lock=True)
holding, done = threading.Event(), threading.Event()
def hold():
    with d.lock():
        holding.set()
        done.wait(60)
thread = threading.Thread(target=hold)
thread.start()
holding.wait()
def handler(*_): raise InterruptedError
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try: d["x"] = b"y" * (1 << 20)
except InterruptedError: print("interrupted")
threading.Timer(0.05, done.set).start()
d["x"] = b"y" * (1 << 20)
d["y"] = b"short"
print(len(d["x"]), len(d))
thread.join()
"""
    assert run_python(OTHER_INTERPRETER + code, name).stdout.split() == ["interrupted", str(1 << 20), "2"]


def test_another_interpreter_is_refused(name: str) -> None:
    code = """
import os, segdict
d = segdict.Dict(sys.argv[1], 100)
for _ in range(3):
    read, write = os.pipe()
    attempt = f"try: import segdict\\nexcept ImportError as error: text = str(error)\\nelse: text = 'imported'"
    run(other, f"{attempt}\\nimport os; os.write({write}, text.encode())")
    assert b"main interpreter" in os.read(read, 1000)
interpreters.destroy(other)
d["a"] = [1], 2.5
assert d["a"] == ([1], 2.5) and d.gets("a")[1] == d.gets("a")[1]
d.close()
try: d["a"]
except segdict.ClosedError: print("closed")
"""
    assert run_python(OTHER_INTERPRETER + code, name).stdout == "closed\n"


# ---- The interpreter's lock ----


LONG = b"x" * (32 << 20)

UNLOCKED: dict[str, Callable[[D], Any]] = {
    "get": lambda d: d["long"],
    "gets": lambda d: d.gets("long"),
    "pop": lambda d: d.pop("long"),
    "set": lambda d: d.set("long", LONG),
    "replace": lambda d: d.replace("long", LONG),
    "read_into": lambda d: d.read_into("long", bytearray(len(LONG))),
    "clear": lambda d: d.clear(),
    "sweep": lambda d: d.sweep(),
    "stats": lambda d: d.stats(),
    "keys": lambda d: list(d),
}


@pytest.mark.parametrize("call", UNLOCKED)
def test_others_go_on(make: Make, call: str) -> None:
    """During a long copy, and during what looks at the whole dict."""
    d = make(1_000_000, value_bytes=100 << 20)
    turns = 0
    stop = False

    def turn() -> None:
        nonlocal turns
        while not stop:
            turns += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(100)  # the lock is not taken from who has it, only given away
    thread = threading.Thread(target=turn)
    thread.start()
    try:
        for _ in range(100):
            d["long"] = LONG
            seen = turns
            UNLOCKED[call](d)
            if turns != seen:
                break
        else:
            pytest.fail("the interpreter's lock was kept")
    finally:
        stop = True
        sys.setswitchinterval(before)
        thread.join()


def test_a_dict_that_keeps_its_own_section_is_collected(name: str) -> None:
    for _ in range(3):
        d: Any = segdict.Dict(name, 100)
        d.section = d.lock()
        d.codec = d
        gone = weakref.ref(d)
        del d
        gc.collect()
        assert gone() is None
