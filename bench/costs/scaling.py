#!/usr/bin/env python3
"""Throughput against cores, modelled: prints Markdown. Counts and instructions are those of costs.txt; the times a core
needs for them are assumptions, given by options. docs/scaling.md explains the model in words.

The hottest entries, as many as fit, are in each core's own cache. An operation of a core that is alone takes
  instructions x ns_an_instruction, and for an entry that is not in the cache, lines read x ns_a_line.
Of what c cores do, a part w are overwrites; the cores are alike. That adds
  transfers  A line that a core would have in its cache was written by another since it was here last with probability
             (c-1)w / ((c-1)w + 1): it is fetched, ns_a_transfer. To be written it is taken from the others: the same
             once more, with probability (c-1)/c.
  waiting    An overwrite has the line to itself while it takes it and while the slot is locked, so overwrites of one
             entry queue: a closed network with a station an entry and c customers, solved by the approximate mean value
             analysis of Schweitzer and Bard. Gets do not queue; one that finds the slot locked reads the image in the
             writer's record, some lines more.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable
from decimal import Decimal

import costs_file

CORES = [1, 2, 4, 8, 16, 32, 64]
ZIPF = 0.99
IMAGE_LINES = 3  # of a record: the journal's, and an image of 56 bytes that may straddle two
GROUP_LINE_ENTRIES = 4 * 15 * 0.75  # groups in a cache line, slots a group, load
LOCK_LINE_ENTRIES = 8 * 15 * 0.75  # home locks in a cache line


@dataclasses.dataclass(frozen=True)
class Machine:
    ns_an_instruction: float
    ns_a_line: float
    ns_a_transfer: float
    ns_locked: float
    private_cache: int  # bytes


@dataclasses.dataclass(frozen=True)
class Work:
    """An operation's costs: instructions and shared lines written, and lines read."""

    instructions: float
    lines: float
    shared: float

    @staticmethod
    def of(tables: dict[str, costs_file.Table], operation: str) -> Work:
        counts, instructions = tables["counts"], tables["instructions"]
        return Work(
            float(instructions.value(operation, "instructions") + instructions.value(operation, "library")),
            float(counts.value(operation, "read")),
            float(counts.value(operation, "shared")),
        )


@dataclasses.dataclass(frozen=True)
class Popularity:
    """Keys in classes of about equal probability: (keys in the class, probability of each), the most popular first."""

    name: str
    classes: list[tuple[int, float]]

    @staticmethod
    def uniform(keys: int) -> Popularity:
        return Popularity("uniform", [(keys, 1 / keys)])

    @staticmethod
    def zipf(keys: int, exponent: float) -> Popularity:
        bounds = [*range(1, 201)]  # exactly at first, then in steps of a tenth
        while bounds[-1] < keys:
            bounds.append(min(keys, bounds[-1] + bounds[-1] // 10))
        weights = [rank**-exponent for rank in range(1, keys + 1)]
        total = sum(weights)
        classes = [(1, weights[0] / total)]
        for low, high in itertools.pairwise(bounds):
            classes.append((high - low, sum(weights[low:high]) / total / (high - low)))
        return Popularity(f"zipf {exponent}", classes)

    def cached(self, entries: float) -> list[float]:
        """The part of each class that is in a cache of so many entries."""
        parts = []
        for count, _ in self.classes:
            parts.append(max(0.0, min(1.0, entries / count)))
            entries -= count
        return parts

    def met(self, cores: int, entries_a_line: float = 1) -> float:
        """The probability that another core is at the same line, whose other entries are any ones."""
        others = (entries_a_line - 1) / sum(count for count, _ in self.classes)
        return sum(count * p * (1 - (1 - min(1.0, p + others)) ** (cores - 1)) for count, p in self.classes)


def throughput(machine: Machine, get: Work, overwrite: Work, w: float, keys: Popularity, cores: int) -> float:
    """Operations a nanosecond of all cores."""
    others = cores - 1
    refetched = others * w / (others * w + 1) * machine.ns_a_transfer
    taken = others / cores * machine.ns_a_transfer
    image = others / cores * machine.ns_a_transfer * IMAGE_LINES
    lines = (1 - w) * get.lines + w * overwrite.lines
    thinking = machine.ns_an_instruction * ((1 - w) * get.instructions + w * overwrite.instructions)
    thinking -= w * machine.ns_locked  # which is time at the entry
    stations = []  # of each class: entries, visits for writing and for reading, time that a write takes
    for (count, p), cached in zip(keys.classes, keys.cached(machine.private_cache / 64 / get.lines), strict=True):
        thinking += count * p * (cached * refetched + (1 - cached) * lines * machine.ns_a_line)
        stations.append((count, w * overwrite.shared * p, (1 - w) * p, machine.ns_locked + cached * taken))

    queues = [0.0] * len(stations)
    rate = cores / thinking
    for _ in range(10_000):
        cycle = thinking
        residences = [time * (1 + queue * others / cores) for queue, (*_, time) in zip(queues, stations, strict=True)]
        for residence, (count, writes, reads, time) in zip(residences, stations, strict=True):
            locked = min(1.0, rate * writes * time)
            cycle += count * (writes * residence + reads * locked * image)
        before, rate = rate, cores / cycle
        queues = [rate * station[1] * residence for residence, station in zip(residences, stations, strict=True)]
        if abs(rate - before) < 1e-9 * rate:
            return rate
    raise RuntimeError("no fixed point")


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def shared_lines(tables: dict[str, costs_file.Table]) -> str:
    counts = tables["counts"]
    workloads = list(dict.fromkeys(name.split("/")[0] for name in counts.rows))
    operations = list(dict.fromkeys(name.split("/")[1] for name in counts.rows))

    def lines(workload: str, operation: str) -> Decimal:
        name = f"{workload}/{operation}"
        return counts.value(name, "shared")

    return table(
        ["shared lines written", *workloads],
        ([o, *(f"{lines(workload, o):.2f}" for workload in workloads)] for o in operations),
    )


def meetings(popularities: list[Popularity]) -> str:
    lines = {"entry": 1.0, "group": GROUP_LINE_ENTRIES, "home lock": LOCK_LINE_ENTRIES}
    cases = list(itertools.product(popularities, lines))
    return table(
        ["cores", *(f"{p.name}, {line}" for p, line in cases)],
        ([str(c), *(f"{100 * p.met(c, lines[line]):.2g} %" for p, line in cases)] for c in CORES[1:]),
    )


def throughputs(machine: Machine, get: Work, overwrite: Work, popularities: list[Popularity]) -> str:
    mixes = {"gets": 0.0, "95/5": 0.05, "50/50": 0.5}
    cases = [(p, w) for p in popularities for w in mixes.values()]
    alone = [throughput(machine, get, overwrite, w, p, 1) for p, w in cases]

    def cells(cores: int) -> list[str]:
        rates = [throughput(machine, get, overwrite, w, p, cores) for p, w in cases]
        return [f"{1000 * r:.0f} ({r / one:.1f})" for r, one in zip(rates, alone, strict=True)]

    header = ["cores", *(f"{p.name}, {mix}" for p in popularities for mix in mixes)]
    return table(header, ([str(c), *cells(c)] for c in CORES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--ns-an-instruction", type=float, default=0.12)
    parser.add_argument("--ns-a-line", type=float, default=45, help="not in the cache; part of it overlaps")
    parser.add_argument("--ns-a-transfer", type=float, default=62, help="of a line between cores, and back")
    parser.add_argument("--ns-locked", type=float, default=40, help="a slot, by an overwrite")
    parser.add_argument("--private-cache", type=int, default=512 << 10, help="bytes of a core's own cache")
    options = vars(parser.parse_args())
    keys = options.pop("keys")
    machine = Machine(**options)
    tables = costs_file.read()
    get, overwrite = Work.of(tables, "s16/get"), Work.of(tables, "s16/overwrite")
    popularities = [Popularity.uniform(keys), Popularity.zipf(keys, ZIPF)]
    print(shared_lines(tables), meetings(popularities), sep="\n\n", end="\n\n")
    print(throughputs(machine, get, overwrite, popularities))


if __name__ == "__main__":
    main()
