"""What the package does, in a few seconds: beside shared-memory-dict, with four processes, one of which is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import segdict

KEYS = [f"user:{i}" for i in range(1000)]


def per_operation(operation: Callable[[str], Any], times: int) -> float:
    """Seconds, the median of five rounds."""
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for i in range(times):
            operation(KEYS[i * 7 % len(KEYS)])
        rounds.append((time.perf_counter() - started) / times)
    return median(rounds)


def beside_the_original() -> None:
    try:
        import shared_memory_dict
    except ImportError:
        print("shared-memory-dict is not installed: not compared")
        return
    name = f"segdict-demo-{os.getpid()}"
    original = shared_memory_dict.SharedMemoryDict(name + "-original", 1 << 17)
    ours = segdict.SharedMemoryDict(name, 1 << 17)
    try:
        for d in (original, ours):
            d.update({key: f"value of {key}" for key in KEYS})
        print(f"{len(KEYS)} keys, microseconds an operation   shared-memory-dict   segdict")
        for what, there, here in (
            ("get", original.__getitem__, ours.__getitem__),
            ("set", lambda key: original.__setitem__(key, "new"), lambda key: ours.__setitem__(key, "new")),
        ):
            slow, fast = per_operation(there, 100), per_operation(here, 20_000)
            print(f"  {what}   {slow * 1e6:42.1f} {fast * 1e6:9.2f}   {slow / fast:,.0f} times as fast")
    finally:
        for d in (original, ours):
            d.shm.close()
            d.shm.unlink()


def work(d: segdict.Dict[Any, Any], seconds: float, ready: Any) -> None:
    rng = random.Random(os.getpid())
    ready.release()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(100):
            key = rng.choice(KEYS)
            number = rng.randrange(1 << 30)
            d[key] = (key, number, "x" * (number % 100), number)
            d.incr("operations")
            value = d[rng.choice(KEYS)]
            if value[1] != value[3]:
                d.incr("torn")


def processes(seconds: float) -> bool:
    """Four processes on one dict; one is killed again and again. Whether all is as it must be."""
    d: segdict.Dict[Any, Any] = segdict.Dict(f"segdict-demo-{os.getpid()}", 2000, value_bytes=1 << 20)
    try:
        d.set_many({key: (key, 0, "", 0) for key in KEYS})
        d.update({"operations": 0, "torn": 0})
        context = multiprocessing.get_context("spawn")
        ready = context.Semaphore(0)

        def start(seconds: float) -> Any:
            process = context.Process(target=work, args=(d, seconds, ready), daemon=True)
            process.start()
            ready.acquire()
            return process

        workers = [start(seconds) for _ in range(3)]
        kills = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end - 0.5:
            victim = start(seconds)
            time.sleep(random.random() * 0.2)
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            kills += 1
            d["the next write"] = kills  # waits for nobody
        for worker in workers:
            worker.join()
        problems = d.verify()
        print(
            f"4 processes, {seconds:.0f} s: {d['operations']:,} rounds of set, incr and get; {kills} killed by SIGKILL;"
            f" {d['torn']} torn values; verify: {problems or 'ok'}"
        )
        return not problems and d["torn"] == 0
    finally:
        d.unlink()


def main() -> int:
    print("Python")
    beside_the_original()
    return 0 if processes(4.0) else 1


if __name__ == "__main__":
    sys.exit(main())
