"""Measures stores side by side: rounds in turns, medians of the rounds, so that a disturbance is everybody's."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import random
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from bench.python.peers import VALUE, Store

ROUND = 0.02  # seconds that a round takes, about
ROUNDS = 15
SLOW_ROUNDS = 3  # of a store whose single operation takes longer than a round


@dataclasses.dataclass(frozen=True)
class Result:
    peer: str
    keys: int
    operation: str
    nanoseconds: float  # an operation, the loop around it included
    rounds: int


class _Operation:
    """One operation of one store, with as many keys a round as fill it."""

    def __init__(self, run: Callable[[list[str]], None], keys: list[str]) -> None:
        self._run = run
        count, taken = 1, 0.0
        while True:
            self._keys = _some(keys, count)
            taken = self._time()
            if taken >= ROUND / 2 or count >= 1_000_000:
                break
            count = max(count * 2, min(count * 20, int(count * ROUND / (taken + 1e-6))))
        self.slow = count == 1
        self.samples: list[float] = []

    def _time(self) -> float:
        started = time.perf_counter()
        self._run(self._keys)
        return time.perf_counter() - started

    def round(self) -> None:
        if self.slow and len(self.samples) >= SLOW_ROUNDS:
            return
        self.samples.append(self._time() / len(self._keys) * 1e9)


def _some(keys: list[str], count: int) -> list[str]:
    """`count` of the keys at random, as new objects: a program's keys are seldom the very objects that it stored."""
    rng = random.Random(1)
    return ["".join((key[:1], key[1:])) for key in rng.choices(keys, k=count)]


def measure(peers: Mapping[str, Any], sizes: list[int], quick: bool) -> list[Result]:
    results = []
    for size in sizes:
        keys = [f"key:{i}" for i in range(size)]
        items = dict.fromkeys(keys, VALUE)
        with contextlib.ExitStack() as open_stores:
            operations: dict[tuple[str, str], _Operation] = {}
            for peer, make in peers.items():
                try:
                    store: Store = open_stores.enter_context(make(size))
                except (ImportError, FileNotFoundError) as error:
                    print(f"{peer} is left out: {error}", file=sys.stderr)
                    continue
                store.fill(items)
                operations[peer, "get"] = _Operation(store.read, keys)
                operations[peer, "set"] = _Operation(store.write, keys)
                print(f"{size} keys: {peer} is ready", file=sys.stderr)
            gc.collect()
            gc.disable()
            for _ in range(5 if quick else ROUNDS):
                for operation in operations.values():
                    operation.round()
            gc.enable()
            for (peer, name), operation in operations.items():
                results.append(Result(peer, size, name, median(operation.samples), len(operation.samples)))
    return results
