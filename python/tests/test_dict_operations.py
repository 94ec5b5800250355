"""segdict.Dict beyond a mapping: atomic operations, times to live, lock sections."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import segdict

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


# ---- Atomic operations ----


def test_add_replace_delete(d: D) -> None:
    assert d.replace("k", 1) is False
    assert d.add("k", 1) is True
    assert d.add("k", 2) is False
    assert d.replace("k", 3) is True
    assert d.delete("k", expected=1) is False
    assert d.delete("k", expected=3) is True
    assert d.delete("k") is False


def test_incr(d: D) -> None:
    with pytest.raises(KeyError, match="n"):
        d.incr("n")
    assert d.incr("n", initial=10) == 11
    assert d.incr("n", 5) == 16
    assert d.decr("n", 20) == -4
    assert d.incr("f", 0.5, initial=1) == 1.5
    assert d.incr("f") == 2.5
    d["big"] = 2**63 - 1
    assert d.incr("big") == 2**63
    assert d.incr("big", -1) == 2**63 - 1
    assert d.incr(True, initial=0) == 1
    assert list(d.keys() - {"n", "f", "big"}) == [True]
    d["text"] = "x"
    with pytest.raises(TypeError):
        d.incr("text")
    assert d["text"] == "x"


def test_cas(d: D) -> None:
    with pytest.raises(KeyError):
        d.cas("k", None, 1)
    d["k"] = [1]
    assert d.cas("k", [2], [3]) is False
    assert d.cas("k", [1], [2]) is True
    entry = d.gets("k")
    assert entry is not None
    value, token = entry
    assert value == [2]
    assert d.cas("k", token, [3]) is True
    assert d.cas("k", token, [4]) is False
    assert d.delete("k", expected=token) is False
    assert d["k"] == [3]
    assert d.gets("nothing") is None
    assert d.gets("k") != d.gets("nothing")


def test_update_fn(d: D) -> None:
    with pytest.raises(KeyError):
        d.update("n", lambda n: n + 1)
    assert d.update("n", lambda n: n + 1, default=0) == 1
    with pytest.raises(ZeroDivisionError):
        d.update("n", lambda n: n // 0)


def test_update_runs_again(d: D) -> None:
    d["n"] = 1
    seen = []

    def double(n: int) -> int:
        seen.append(n)
        if len(seen) == 1:
            d["n"] = 10  # somebody was faster
        return n * 2

    assert d.update("n", double) == 20
    assert seen == [1, 10]


def test_get_or_set_and_setdefault(d: D) -> None:
    assert d.get_or_set("a", lambda: 1) == 1
    assert d.get_or_set("a", lambda: 1 // 0) == 1
    assert d.get_or_set("b", 2, ttl=100) == 2
    assert d.setdefault("a", 5) == 1
    assert d.setdefault("c", 6) == 6
    assert d.get_or_set("expired", 3, ttl=0) == 3
    assert "expired" not in d


def test_many(d: D) -> None:
    d.set_many({"a": 1, "b": [2], 3: None})
    d.set_many([("e", 5)], ttl=100)
    assert d.get_many(["a", "x", "b", 3]) == {"a": 1, "b": [2], 3: None}
    assert d.get_many(iter(["e"])) == {"e": 5}
    assert d.get_many([]) == {}
    assert d.delete_many(["a", "x", 3]) == 2
    assert set(d) == {"b", "e"}


def test_ttl(d: D) -> None:
    d.set("k", 1, ttl=100)
    assert 99 < d.ttl("k") <= 100  # type: ignore[operator]  # it is no None
    d.update("k", lambda n: n + 1)
    assert d.incr("k") == 3
    assert d.cas("k", 3, 4)
    d.set("k", 5, ttl=...)
    assert d.replace("k", 6, ttl=...)
    assert 98 < d.ttl("k") <= 100  # type: ignore[operator]  # it is no None
    assert d.touch("k", 1000)
    assert d.ttl("k") > 900  # type: ignore[operator]  # it is no None
    assert d.touch("k")
    assert d.ttl("k") is None
    d.set("k", 1, ttl=0.05)
    time.sleep(0.06)
    assert "k" not in d
    assert d.touch("k", 5) is False
    with pytest.raises(KeyError):
        d.ttl("k")
    for ttl in (0, -5):
        d.set("k", 1, ttl=ttl)
        assert d.get("k") is None
    assert d.add("k", 2, ttl=-1)
    assert "k" not in d
    d.sweep()
    assert len(d) == 0
    with pytest.raises(ValueError, match="nan"):
        d.set("k", 1, ttl=math.nan)
    with pytest.raises(TypeError):
        d.set("k", 1, ttl="soon")  # type: ignore[arg-type]  # a wrong type on purpose


def test_threads(d: D) -> None:
    d["n"] = 0

    def work() -> None:
        for i in range(2000):
            d.incr("n")
            d[f"{threading.get_ident()}-{i % 10}"] = "v" * (i % 90)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d["n"] == 16_000
    assert d.verify() == []


# ---- Lock sections ----


def test_lock_section(make: Make) -> None:
    d, e = make(), make(None)
    d["n"] = 0

    def work(handle: D) -> None:
        for _ in range(300):
            with handle.lock():
                n = handle["n"]
                time.sleep(0)
                handle["n"] = n + 1

    threads = [threading.Thread(target=work, args=(handle,)) for handle in (d, d, e)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d["n"] == 900
    with d.lock(), d.lock():  # recursive
        d["n"] = 1
    section = d.lock()
    with pytest.raises(RuntimeError, match="not entered"):
        section.__exit__(None, None, None)
    section.__enter__()
    thread = threading.Thread(target=lambda: errors.append(_error(lambda: section.__exit__(None, None, None))))
    errors: list[Any] = []
    thread.start()
    thread.join()
    assert "thread" in str(errors[0])
    section.__exit__(None, None, None)


def _error(use: Callable[[], Any]) -> BaseException:
    with pytest.raises(RuntimeError) as error:
        use()
    return error.value


HOLDER = """
import os, signal, sys, segdict
d = segdict.Dict(sys.argv[1])
with d.lock():
    print("held", flush=True)
    if sys.argv[2] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        sys.stdin.read()
"""


def _holder(name: str, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_waiting_lets_threads_run_and_ends_by_a_signal(make: Make) -> None:
    d = make(lock=True)
    holder = _holder(d.name, "wait")
    try:
        ticks = []
        ticking = threading.Event()

        def tick() -> None:
            while not ticking.is_set():
                ticks.append(1)
                time.sleep(0.001)

        def interrupt(*_: Any) -> None:
            raise InterruptedError

        thread = threading.Thread(target=tick)
        thread.start()
        old = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(InterruptedError):
            d["k"] = 1
        ticking.set()
        thread.join()
        signal.signal(signal.SIGALRM, old)
        assert len(ticks) > 20
        assert "k" not in d
        with pytest.raises(segdict.WaitTimeoutError):
            make(None, lock=True, wait_limit=0.05)["k"] = 1
        per_slot = make(None)
        per_slot["k"] = 2  # without the mode nobody waits
    finally:
        holder.kill()
        holder.wait()
    d["k"] = 3  # a dead holder's lock is free
    assert d["k"] == 3


def test_a_stopped_holder_can_be_waited_for(make: Make) -> None:
    d = make(lock=True)
    holder = _holder(d.name, "stop")
    threading.Timer(0.2, holder.send_signal, [signal.SIGCONT]).start()
    started = time.monotonic()
    d["k"] = 1
    assert time.monotonic() - started > 0.1
    holder.wait()
