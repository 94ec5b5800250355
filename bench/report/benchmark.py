"""One run of //bench:bench, which is a Google Benchmark program; see bench/main.cc."""

import dataclasses
import json
import pathlib
import subprocess

from bench.report.results import Cell, Failure

LIST_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, order=True)
class Name:
    """A benchmark: one operation of one peer in one group."""

    group: str
    cell: str
    peer: str

    @classmethod
    def parse(cls, text: str) -> "Name":
        group, cell, peer = text.split("/")[:3]
        return cls(group, cell, peer)

    def __str__(self) -> str:
        return f"{self.group}/{self.cell}/{self.peer}"


def list_names(binary: pathlib.Path) -> tuple[list[Name], str]:
    """All benchmarks that can run here, and what the program says on stderr about those that cannot."""
    listing = subprocess.run(
        [binary, "--benchmark_list_tests=true"], check=True, text=True, capture_output=True, timeout=LIST_SECONDS
    )
    return [Name.parse(line) for line in listing.stdout.splitlines() if line.count("/") >= 2], listing.stderr


def command(
    binary: pathlib.Path, group: str, peer: str | None, repetitions: int, min_time: float, out: pathlib.Path
) -> list[str]:
    """Runs a group, repetitions interleaved; with a `peer`, that one and the hardware alone."""
    peers = f"({peer}|hardware)(/|$)" if peer else ""
    return [
        str(binary),
        f"--benchmark_filter=^{group}/{'[^/]+/' + peers if peers else ''}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_repetitions={repetitions}",
        f"--benchmark_min_time={min_time}",
        f"--benchmark_out={out}",
        "--benchmark_out_format=json",
    ]


def parse(text: str) -> tuple[list[Cell], list[Failure]]:
    """The cells, and the benchmarks that failed, of Google Benchmark's JSON."""
    data = json.loads(text)
    cells: dict[tuple[str, str], Cell] = {}
    failures: dict[str, Failure] = {}
    for entry in data["benchmarks"]:
        if entry.get("run_type", "iteration") != "iteration":
            continue
        name = Name.parse(entry["name"])
        if entry.get("error_occurred"):
            failures.setdefault(str(name), Failure(str(name), entry.get("error_message", "no reason given")))
            continue
        cell = cells.setdefault((name.cell, name.peer), Cell(name.cell, name.peer, []))
        cell.ns_per_op.append(float(entry["ns_per_op"]))
        if "bytes_per_entry" in entry:
            cell.bytes_per_entry = float(entry["bytes_per_entry"])
    return list(cells.values()), list(failures.values())
