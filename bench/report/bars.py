"""The bars: what segdict is to reach, and whether it does.

Each part of a bar is one figure with its threshold, made of medians of one run; see results.py. A bar holds if all of
its parts hold. If a part could not be measured the bar does not hold, whatever the others say. Figures are s16 (16-byte
keys, 32-byte values), 1 million keys and 75 % load unless they say otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.report.results import HARDWARE, LINE, LINE_INDEPENDENT, Results
from bench.report.text import figure

U64, S16, S16_10K, S16_10M, S20 = "u64-1M", "s16-1M", "s16-10k", "s16-10M", "s20x1K-1M"
LOAD85, PROCESSES, SERVER = "s16-1M-load85", "s16-1M-processes", "server-100k"
SEGDICT = "segdict"
FLAT_MAP, INLINE_FLAT_MAP = "boost-concurrent_flat_map", "boost-concurrent_flat_map-inline"


class NotMeasured(Exception):
    """Says which figure is not there, and why."""


class Found(NamedTuple):
    """A figure and its threshold, in the part's unit."""

    value: float
    limit: float


@dataclass(frozen=True)
class Part:
    label: str
    sense: str  # "<=" or ">="
    unit: str  # "x", "ns" or "bytes"
    group: str | None  # that must be run for it
    find: Callable[[Results], Found]

    def holds(self, found: Found) -> bool:
        return found.value <= found.limit if self.sense == "<=" else found.value >= found.limit

    def text(self, found: Found) -> str:
        """ "get 1.62 x >= 1.5" if it holds, "get 1.41 x < 1.5" if not."""
        sense = self.sense if self.holds(found) else {"<=": ">", ">=": "<"}[self.sense]
        value, limit = figure(found.value), f"{found.limit:.4g}"
        if not self.holds(found) and float(value.replace(",", "")) == float(limit):
            value = f"{found.value:.5g}"  # too close for three digits
        return f"{self.label} {value} {self.unit} {sense} {limit}"


@dataclass(frozen=True)
class Verdict:
    bar: str
    word: str  # "holds", "short" or "not measured"
    figures: tuple[str, ...]
    missing: tuple[str, ...]  # why a part was not measured

    def details(self) -> str:
        missing = ("not measured: " + ", ".join(self.missing),) if self.missing else ()
        return "; ".join(self.figures + missing)

    def __str__(self) -> str:
        return f"{self.bar}: {self.word}; {self.details()}"


@dataclass(frozen=True)
class Bar:
    name: str
    title: str
    parts: tuple[Part, ...]

    def judge(self, results: Results) -> Verdict:
        figures, missing, short = [], [], False
        for part in self.parts:
            try:
                found = part.find(results)
            except NotMeasured as reason:
                missing.append(str(reason))
                continue
            figures.append(part.text(found))
            short = short or not part.holds(found)
        word = "short" if short else "not measured" if missing else "holds"
        return Verdict(f"{self.name} {self.title}", word, tuple(figures), tuple(dict.fromkeys(missing)))


# ---- Finding figures -------------------------------------------------------------------------------------------------


def _why(results: Results, group: str, cell: str, peer: str) -> str | None:
    """Why there is no such cell, as far as that is known; None if there is one."""
    if results.find(group, cell, peer):
        return None
    name = f"{group}/{cell}/{peer}"
    if any(failure.name in (name, group, f"{group}@{peer}") for failure in results.failures):
        return f"{name} failed"
    if group not in results.groups():
        return f"{group} was not run"
    if peer in results.absent:
        return f"{peer} is absent"
    return f"no {name}"


def medians(results: Results, group: str, cells: Sequence[tuple[str, str]]) -> list[float]:
    """The medians of these cells and peers in one run of the group, in nanoseconds per operation."""
    for run in results.runs:
        if run.group == group:
            found = [cell for key in cells if (cell := run.find(*key))]
            if len(found) == len(cells):
                return [cell.median for cell in found]
    for key in cells:
        if reason := _why(results, group, *key):
            raise NotMeasured(reason)
    raise NotMeasured(f"{group} was not measured in one run")


def _part(
    label: str,
    group: str,
    cells: Sequence[tuple[str, str]],
    value: Callable[..., float],
    sense: str,
    limit: Callable[..., float],
    unit: str = "x",
) -> Part:
    """`value` and `limit` make figure and threshold of the medians of the cells."""

    def find(results: Results) -> Found:
        measured = medians(results, group, cells)
        return Found(value(*measured), limit(*measured))

    return Part(label, sense, unit, group, find)


def _at_most(label: str, group: str, above: tuple[str, str], below: tuple[str, str], limit: float) -> Part:
    """above / below <= limit."""
    return _part(label, group, (above, below), lambda a, b: a / b, "<=", lambda *_: limit)


def _faster(label: str, group: str, cell: str, peer: str, times: float) -> Part:
    """segdict is so many times as fast as the peer."""
    cells = ((cell, SEGDICT), (cell, peer))
    return _part(label, group, cells, lambda own, other: other / own, ">=", lambda *_: times)


def _scales(label: str, cell: str, times: float) -> Part:
    """Two processes do so many times as much as one."""
    cells = ((f"{cell}-1p", SEGDICT), (f"{cell}-2p", SEGDICT))
    return _part(label, PROCESSES, cells, lambda one, two: 2 * one / two, ">=", lambda *_: times)


def _memory(label: str, group: str, limit: float) -> Part:
    def find(results: Results) -> Found:
        sizes = [c.bytes_per_entry for _, c in results.of_group(group) if c.peer == SEGDICT and c.bytes_per_entry]
        if not sizes:
            raise NotMeasured(f"{group} was not run" if group not in results.groups() else f"no bytes in {group}")
        return Found(max(sizes), limit)

    return Part(label, "<=", "bytes", group, find)


def _latency(keys: str, case: str) -> Part:
    def find(results: Results) -> Found:
        quiet = results.latency.find(f"{keys}/quiet") if results.latency else None
        stopped = results.latency.find(f"{keys}/{case}") if results.latency else None
        if quiet is None or stopped is None:
            raise NotMeasured(f"no latency of {keys}/{case}")
        return Found(stopped.percentile(99.9) / quiet.percentile(99.9), 3)

    return Part(f"{keys} keys, {case.replace('-', ' ')}", "<=", "x", None, find)


# ---- The bars --------------------------------------------------------------------------------------------------------


def _near_hardware(keys: str, group: str) -> tuple[Part, ...]:
    line, independent = (LINE, HARDWARE), (LINE_INDEPENDENT, HARDWARE)
    return (
        _at_most(f"{keys}: dependent get/line", group, ("get-dependent", SEGDICT), line, 1.5),
        _at_most(f"{keys}: miss/line", group, ("miss", SEGDICT), line, 0.5),
        _at_most(f"{keys}: GetMany-32/independent line", group, ("getmany32", SEGDICT), independent, 6),
    )


def _growth(keys: str, group: str) -> Part:
    cells = (("get-dependent", SEGDICT), (LINE, HARDWARE))
    label = f"{keys}: dependent get"
    return _part(label, group, cells, lambda get, _: get, "<=", lambda _, line: 1.5 * line + 60, "ns")


def _lock_mode() -> Part:
    cells = (("overwrite", "segdict-lock"), ("overwrite", SEGDICT), ("mutex", HARDWARE))
    return _part("overwrite", S16, cells, lambda lock, *_: lock, "<=", lambda _, own, mutex: own + 1.5 * mutex, "ns")


BARS = (
    Bar("B1", "close to the hardware", _near_hardware("1M", S16) + _near_hardware("10M", S16_10M)),
    Bar("B2", "against boost::concurrent_flat_map", (
        _faster("get", S16, "get", FLAT_MAP, 1.5),
        _faster("dependent get", S16, "get-dependent", FLAT_MAP, 2),
        _faster("overwrite", S16, "overwrite", FLAT_MAP, 2.5),
        _faster("churn", S16, "churn", FLAT_MAP, 1.8),
        _faster("GetMany-32", S16, "getmany32", FLAT_MAP, 1.5),
        _faster("1 KiB get", S20, "get", FLAT_MAP, 1.6),
        _faster("miss", S16, "miss", FLAT_MAP, 0.9),
        _faster("inline arrays: get", S16, "get", INLINE_FLAT_MAP, 1),
        _faster("inline arrays: overwrite", S16, "overwrite", INLINE_FLAT_MAP, 1.3),
    )),
    Bar("B3", "u64 against boost::concurrent_flat_map", (
        _faster("get", U64, "get", FLAT_MAP, 0.9),
        _faster("GetMany-32", U64, "getmany32", FLAT_MAP, 0.9),
        _faster("overwrite", U64, "overwrite", FLAT_MAP, 0.9),
    )),
    Bar("B4", "against Boost.Interprocess", (
        _faster("get", S16, "get", "boost-interprocess", 5),
        _faster("overwrite", S16, "overwrite", "boost-interprocess", 7),
        _faster("churn", S16, "churn", "boost-interprocess", 7),
        _faster("two processes: get", PROCESSES, "get-2p", "boost-interprocess", 12),
        _faster("two processes: overwrite", PROCESSES, "overwrite-2p", "boost-interprocess", 12),
        _faster("two processes: churn", PROCESSES, "churn-2p", "boost-interprocess", 20),
    )),
    Bar("B5", "against LMDB, Redis and memcached", (
        _faster("LMDB: get", S16, "get", "lmdb", 10),
        _faster("LMDB: overwrite", S16, "overwrite", "lmdb", 25),
        _faster("LMDB: churn", S16, "churn", "lmdb", 20),
        *(
            _faster(f"{name}: {label}", SERVER, cell, peer, times)
            for name, peer in (("Redis", "redis"), ("memcached", "memcached"))
            for label, cell, times in (("get", "get", 400), ("set", "overwrite", 400), ("multi-get", "getmany32", 30))
        ),
    )),
    Bar("B6", "two processes over one", (
        _scales("get", "get", 1.8),
        _scales("overwrite", "overwrite", 1.7),
        _scales("churn", "churn", 1.6),
    )),
    Bar("B7", "five turnovers at 85 % load over fresh", tuple(
        _at_most(cell, LOAD85, (cell, "segdict-aged"), (cell, SEGDICT), 1.1)
        for cell in ("get", "get-dependent", "miss", "getmany32", "overwrite", "churn")
    )),
    Bar("B8", "the price of crash safety", (
        _at_most("overwrite/get", S16, ("overwrite", SEGDICT), ("get", SEGDICT), 1.25),
    )),
    Bar("B9", "cost against keys", (_growth("10k", S16_10K), _growth("1M", S16), _growth("10M", S16_10M))),
    Bar("B10", "memory", (_memory("s16 entry", S16, 92), _memory("u64 entry", U64, 48))),
    Bar("B11", "p99.9 of get beside a stopped writer, over none", (
        _latency("all", "stopped"),
        _latency("hot", "stopped"),
        _latency("hot", "stopped-in-write"),
    )),
    Bar("B12", "the lock mode", (_lock_mode(),)),
    Bar("B14", "against a dict that is serialized whole, 10,000 entries", (
        _faster("get", S16_10K, "get", "original", 1000),
        _faster("set", S16_10K, "overwrite", "original", 1000),
    )),
)  # fmt: skip


def groups_needed() -> frozenset[str]:
    return frozenset(part.group for bar in BARS for part in bar.parts if part.group)


def judge_all(results: Results) -> list[Verdict]:
    return [bar.judge(results) for bar in BARS]
