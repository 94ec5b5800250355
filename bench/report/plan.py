"""Which runs there are: a group a run; groups of 10 million keys, whose tables do not fit side by side, a peer a run.

How long it all takes is held to a limit by the repetitions and the seconds of each, never by leaving a peer out.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from bench.report.benchmark import Name
from bench.report.results import HARDWARE, keys_of

SEPARATE_FROM = 10_000_000  # keys


@dataclass(frozen=True)
class Mode:
    repetitions: int
    min_time: float  # seconds a repetition
    latency_rounds: int
    groups: re.Pattern[str]  # that are run
    costs: bool  # whether costs are counted


FULL = Mode(repetitions=7, min_time=0.1, latency_rounds=20, groups=re.compile(""), costs=True)
# Not the groups that take long to fill.
QUICK = Mode(
    repetitions=3,
    min_time=0.04,
    latency_rounds=5,
    groups=re.compile("^(?!.*(10M|x1K|x64K|insert|load50|threads|ycsb))"),
    costs=False,
)


@dataclass(frozen=True)
class Step:
    """A run to come."""

    group: str
    peer: str | None  # None: all of the group's
    benchmarks: int  # how many
    peers: int  # how many
    repetitions: int

    @property
    def name(self) -> str:
        return f"{self.group}@{self.peer}" if self.peer else self.group

    def guess(self, min_time: float) -> float:
        """About how many seconds it takes: to fill the tables, then the repetitions. The first of them costs double."""
        fill = (keys_of(self.group) or 0) * (self.peers + 1) * 1.5e-6
        return fill + self.benchmarks * (self.repetitions + 1) * min_time * 1.3


def _step(group: str, peer: str | None, names: Collection[Name], repetitions: int) -> Step:
    chosen = [name for name in names if peer is None or name.peer in (peer, HARDWARE)]
    peers = {name.peer for name in chosen}
    return Step(group, peer, len(chosen), len(peers), repetitions)


def separately(group: str, names: Collection[Name], repetitions: int) -> list[Step]:
    """A run for each peer of the group; each measures the hardware as well."""
    names = [name for name in names if name.group == group]
    peers = list(dict.fromkeys(name.peer for name in names if name.peer != HARDWARE))
    return [_step(group, peer, names, repetitions) for peer in peers]


def steps(names: Collection[Name], mode: Mode, groups: Collection[str] | None = None) -> list[Step]:
    """The runs for these benchmarks. `groups`: only these; none: those of the mode."""
    planned: list[Step] = []
    for group in dict.fromkeys(name.group for name in names):
        if group not in groups if groups is not None else not mode.groups.search(group):
            continue
        if (keys_of(group) or 0) >= SEPARATE_FROM:
            planned += separately(group, names, mode.repetitions)
        else:
            planned.append(_step(group, None, [name for name in names if name.group == group], mode.repetitions))
    return planned
