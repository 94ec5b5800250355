"""What //bench:latency measured: for each case, how many gets took how many nanoseconds, exactly.

The percentiles are those of the counts themselves, not of the buckets of an HDR histogram. The counts are also written
as .hgrm files, the percentile distribution that HdrHistogram prints and its plotters read.
"""

import bisect
import functools
import itertools
import pathlib
from dataclasses import dataclass
from typing import Any

PERCENTILES = (50.0, 99.0, 99.9)


@dataclass
class Case:
    """The gets of one case. `histogram`: (nanoseconds, count), ascending."""

    name: str  # "<key set>/<case>"
    gets: int
    stops: int  # how often a writer was stopped
    writes: int  # by the writers, while gets were timed
    histogram: list[tuple[int, int]]

    @functools.cached_property
    def _cumulated(self) -> list[int]:
        return list(itertools.accumulate(count for _, count in self.histogram))

    def percentile(self, percent: float) -> int:
        """The smallest duration, in nanoseconds, that `percent` of the gets did not exceed."""
        total = self._cumulated[-1]
        # The rounding keeps 99.9 % of 1000 from becoming 999.0000000000001.
        index = bisect.bisect_left(self._cumulated, round(total * percent / 100, 6))
        return self.histogram[min(index, len(self.histogram) - 1)][0]

    @property
    def max(self) -> int:
        """In nanoseconds."""
        return self.histogram[-1][0]

    def curve(self) -> tuple[list[float], list[int]]:
        """For each duration that occurred: one over the part of the gets that took as long or longer, and itself."""
        total = self._cumulated[-1]
        longer = [1.0, *((total - below) / total for below in self._cumulated[:-1])]
        return [1 / part for part in longer], [nanoseconds for nanoseconds, _ in self.histogram]


@dataclass
class Latency:
    entries: int
    hot_keys: int
    reader_cpu: int
    writer_cpu: int
    rounds: int
    cases: list[Case]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Latency":
        cases = [
            Case(**{**case, "histogram": [(ns, count) for ns, count in case["histogram"]]}) for case in data["cases"]
        ]
        return cls(**{**data, "cases": cases})

    def find(self, name: str) -> Case | None:
        """The case, if it was measured: in a case without gets nothing was."""
        return next((case for case in self.cases if case.name == name and case.gets > 0), None)


def write_hgrm(case: Case, path: pathlib.Path) -> None:
    """Writes the case's percentile distribution, in nanoseconds."""
    total = sum(count for _, count in case.histogram)
    mean = sum(ns * count for ns, count in case.histogram) / total
    deviation = (sum(count * (ns - mean) ** 2 for ns, count in case.histogram) / total) ** 0.5
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    below = 0
    for nanoseconds, count in case.histogram:
        below += count
        inverse = f"{total / (total - below):14.2f}" if below < total else f"{'inf':>14}"
        lines.append(f"{nanoseconds:12.3f} {below / total:2.12f} {below:10d} {inverse}")
    lines += [
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]",
        f"#[Max     = {case.max:12.3f}, Total count    = {total:12d}]",
        "#[Buckets = 1, SubBuckets = 1]",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
