"""Many processes: every start method, unrelated interpreters, SIGKILL at random, exits that must not disturb others."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

import segdict
from conftest import run_python

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


def _count(d: D, rounds: int, me: int) -> int:
    for i in range(rounds):
        d.incr("n")
        d.update("list", lambda now: [*now[-20:], me])
        d[me, i % 7] = f"{me}:{i}" * (i % 30)
    return len(d["list"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool(make: Make, method: Any) -> None:
    """A handle is an argument like any other."""
    d = make()
    d.update({"n": 0, "list": []})
    context = multiprocessing.get_context(method)
    with context.Pool(4) as pool:
        pool.starmap(_count, [(d, 200, i) for i in range(8)])
    assert d["n"] == 1600
    assert len(d["list"]) == 21
    assert len(d) == 2 + 8 * 7
    assert d.verify() == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_objects(make: Make, method: Any) -> None:
    d = make(lock=True)
    d.update({"n": 0, "list": []})
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=_count, args=(d, 100, i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert d["n"] == 300


def test_fork_without_exec_in_the_middle(make: Make) -> None:
    """Parent and children go on with the handle that they share, also one that holds the lock."""
    d = make()
    d["n"] = 0
    children = []
    with d.lock():
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                try:
                    d.incr("n")  # not serialized by the section: that is the lock mode's
                    with d.lock():  # the parent holds it
                        d.incr("n")
                finally:
                    os._exit(0)
            children.append(pid)
        d["parent"] = 1
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert d["n"] == 8


def test_an_exit_disturbs_nobody(make: Make, name: str) -> None:
    """Readers and writers come and go, in every way; the segment stays, and nothing is printed."""
    d = make()
    d["k"] = 1
    for end in ("", "d.close()", "del d", "import os; os._exit(0)", "raise SystemExit", "import gc; gc.collect()"):
        code = f"import segdict; d = segdict.Dict({name!r}); d['k']; d['k'] = d['k'] + 1\n{end}"
        done = run_python(code)
        assert (done.stdout, done.stderr) == ("", "")
    assert d["k"] == 7
    code = f"""
import multiprocessing, segdict
d = segdict.Dict({name!r})
def work(d): d.incr("k")
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, [d, d, d])
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("", "")
    assert d["k"] == 10


WORKER = """
import os, random, sys, segdict
d = segdict.Dict(sys.argv[1], lock=sys.argv[3] == "lock")
rng = random.Random(int(sys.argv[2]))
print("ready", flush=True)
while True:
    key = f"key{rng.randrange(40)}"
    number = rng.randrange(1 << 30)
    what = rng.randrange(8)
    if what < 3:
        d[key] = (key, number, "x" * rng.randrange(300), number)
    elif what == 3:
        d.pop(key, None)
    elif what == 4:
        d.update(key, lambda now: now and (*now[:3], now[1]), default=None)
    elif what == 5:
        d.incr("n", initial=0)
    elif what == 6:
        with d.lock():
            d["in section"] = os.getpid()
            d["in section"] = None
    else:
        d.set(key, (key, number, "", number), ttl=rng.random() * 0.01)
"""


@pytest.mark.parametrize("mode", ["lock", "slots"])
def test_sigkill(make: Make, mode: str) -> None:
    """Workers die at random moments; what the survivors read is whole, and everything goes on."""
    d = make(value_bytes=1 << 20, lock=mode == "lock")
    rounds = int(os.environ.get("SEGDICT_KILL_ROUNDS", "40"))
    rng = random.Random(1)

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, d.name or "", str(rng.randrange(1 << 30)), mode],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    workers = [start() for _ in range(3)]
    try:
        for _ in range(rounds):
            time.sleep(rng.random() * 0.02)
            victim = workers.pop(0)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            victim.stdout.close()  # type: ignore[union-attr]  # a pipe, as was asked for
            d["n of the test"] = 1  # at once: nothing is locked
            for key, value in d.items():
                if isinstance(value, tuple):
                    assert (key, value[1]) == (value[0], value[3])
            workers.append(start())
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()  # type: ignore[union-attr]  # a pipe, as was asked for
    with d.lock():
        d["end"] = 1
    assert d.verify() == []
    d.sweep()
    assert len(d) == len(list(d))
    d.clear()
    assert len(d) == 0
    assert d.stats()["entries_live"] == 0


def test_racing_creators(name: str) -> None:
    """All get the same dict, however many make it at once."""
    code = f"""
import segdict, sys
sys.stdin.readline()
d = segdict.Dict({name!r}, 100)
assert d.incr("n", initial=0) > 0
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    time.sleep(0.5)
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]  # a pipe, as was asked for
        process.stdin.flush()  # type: ignore[union-attr]  # a pipe, as was asked for
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
    assert segdict.Dict(name)["n"] == 8
