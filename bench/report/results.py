"""What was measured, and results.json, which holds all of it.

A *run* is one process of the benchmark program: all its repetitions are interleaved, so its cells were measured side
by side. Ratios are made only of cells of one run: what the machine did meanwhile met both. A ratio is that of the two
medians; repetitions cannot be paired, since Google Benchmark shuffles them.
"""

import json
import pathlib
import re
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from bench.report.latency import Latency

HARDWARE = "hardware"
LINE = "line"
LINE_INDEPENDENT = "line-independent"


@dataclass
class Cell:
    """One operation of one peer: a sample a repetition."""

    cell: str
    peer: str
    ns_per_op: list[float]  # wall nanoseconds per operation and worker
    bytes_per_entry: float | None = None

    @property
    def median(self) -> float:
        """In nanoseconds per operation."""
        return statistics.median(self.ns_per_op)

    @property
    def quartiles(self) -> tuple[float, float]:
        """25th and 75th percentile, in nanoseconds per operation."""
        if len(self.ns_per_op) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.ns_per_op, n=4, method="inclusive")
        return low, high

    @property
    def workers(self) -> int:
        return workers_of(self.cell)


@dataclass
class Run:
    """One process of the benchmark program."""

    name: str  # the group's, and the peer's if the run was for one alone
    group: str
    seconds: float
    repetitions: int
    min_time: float  # seconds a repetition
    load_average: float  # of the machine when the run began
    cells: list[Cell] = field(default_factory=list)

    def find(self, cell: str, peer: str) -> Cell | None:
        return next((c for c in self.cells if c.cell == cell and c.peer == peer), None)

    def line_for(self, cell: str) -> Cell | None:
        """The hardware line that a cell is held against: the dependent one if nothing of the cell can overlap."""
        return self.find(LINE if "dependent" in cell else LINE_INDEPENDENT, HARDWARE)


@dataclass
class Failure:
    name: str  # of the benchmark, the run or the program
    reason: str


@dataclass
class Results:
    machine: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    latency: Latency | None = None
    costs: str = ""  # what the check of exact counts printed
    absent: dict[str, str] = field(default_factory=dict)  # peer or cell: why it was not measured
    failures: list[Failure] = field(default_factory=list)

    def of_group(self, group: str) -> Iterator[tuple[Run, Cell]]:
        for run in self.runs:
            if run.group == group:
                yield from ((run, cell) for cell in run.cells)

    def find(self, group: str, cell: str, peer: str) -> tuple[Run, Cell] | None:
        return next(((r, c) for r, c in self.of_group(group) if c.cell == cell and c.peer == peer), None)

    def groups(self) -> list[str]:
        return list(dict.fromkeys(run.group for run in self.runs))

    def save(self, path: pathlib.Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: pathlib.Path) -> "Results":
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            machine=data["machine"],
            runs=[Run(**{**run, "cells": [Cell(**cell) for cell in run["cells"]]}) for run in data["runs"]],
            latency=Latency.from_json(data["latency"]) if data["latency"] else None,
            costs=data["costs"],
            absent=data["absent"],
            failures=[Failure(**failure) for failure in data["failures"]],
        )


def workers_of(cell: str) -> int:
    """How many threads or processes a cell has: "get-2t" and "get-2p" have two."""
    match = re.search(r"-(\d+)[tp]$", cell)
    return int(match[1]) if match else 1


def without_workers(cell: str) -> str:
    """The operation of a cell: of "get-2t" get."""
    return re.sub(r"-\d+[tp]$", "", cell)


def keys_of(group: str) -> int | None:
    """How many keys a group's tables hold: "s16-10k-load85" 10,000."""
    match = re.search(r"-(\d+)([kM]?)(?:-|$)", group)
    return int(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]] if match else None
