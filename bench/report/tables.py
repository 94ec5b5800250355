"""The Markdown tables: for each group a row a peer and a column a cell."""

import statistics

from bench.report import bars
from bench.report.results import HARDWARE, Cell, Results, Run
from bench.report.text import figure


def _order(cells: list[str]) -> list[str]:
    """The lines first, the rest as the program had them."""
    lines = [cell for cell in cells if cell.startswith("line") or cell == "mutex"]
    return lines + [cell for cell in cells if cell not in lines]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _ratio(run: Run, cell: Cell) -> str:
    line = run.line_for(cell.cell)
    return f" ({figure(cell.median / line.median)} x)" if line and line is not cell else ""


class _Group:
    def __init__(self, results: Results, group: str) -> None:
        self.name = group
        self.runs = [run for run in results.runs if run.group == group]
        found: dict[tuple[str, str], list[tuple[Run, Cell]]] = {}
        for run, cell in results.of_group(group):
            found.setdefault((cell.cell, cell.peer), []).append((run, cell))
        self.found = found
        self.peers = list(dict.fromkeys(peer for _, peer in found))
        if HARDWARE in self.peers:
            self.peers.remove(HARDWARE)
        self.cells = _order(list(dict.fromkeys(cell for cell, _ in found)))
        self.hardware = [cell for cell in self.cells if (cell, HARDWARE) in found]
        self.operations = [cell for cell in self.cells if cell not in self.hardware]

    def median_entry(self, cell: str, peer: str) -> str:
        if (cell, peer) not in self.found:
            return ""
        run, measured = self.found[cell, peer][0]
        return figure(measured.median) + _ratio(run, measured)

    def spread_entry(self, cell: str, peer: str) -> str:
        if (cell, peer) not in self.found:
            return ""
        low, high = self.found[cell, peer][0][1].quartiles
        return f"{figure(low)} to {figure(high)}"

    def bytes_of(self, peer: str) -> str:
        sizes = [c.bytes_per_entry for (_, p), [(_, c), *_] in self.found.items() if p == peer and c.bytes_per_entry]
        return figure(max(sizes)) if sizes else ""

    def hardware_text(self) -> str:
        """The hardware's own figures; a group that was measured in several runs has several."""
        texts = []
        for cell in self.hardware:
            medians = [measured.median for _, measured in self.found[cell, HARDWARE]]
            text = figure(statistics.median(medians))
            if len(medians) > 1:
                text += f" ({figure(min(medians))} to {figure(max(medians))} in {len(medians)} runs)"
            texts.append(f"{cell} {text} ns")
        return "; ".join(texts)

    def markdown(self) -> list[str]:
        run = self.runs[0]
        together = "each peer in a run of its own" if len(self.runs) > 1 else "all in one run"
        lines = [f"## {self.name}", ""]
        lines += [f"Median of {run.repetitions} repetitions of {run.min_time:g} s, interleaved, {together}. Hardware:"]
        lines += [self.hardware_text() + "." if self.hardware else "not measured.", ""]
        sizes = {peer: self.bytes_of(peer) for peer in self.peers}
        with_bytes = any(sizes.values())
        head = ["ns per operation (x line)", *self.operations] + (["bytes per entry"] if with_bytes else [])
        rows = [
            [peer, *(self.median_entry(cell, peer) for cell in self.operations)] + ([sizes[peer]] if with_bytes else [])
            for peer in self.peers
        ]
        lines += [*_table(head, rows), "", "<details><summary>p25 to p75</summary>", ""]
        rows = [[peer, *(self.spread_entry(cell, peer) for cell in self.operations)] for peer in self.peers]
        return [*lines, *_table(["ns per operation", *self.operations], rows), "", "</details>", ""]


def _latency(results: Results) -> list[str]:
    latency = results.latency
    if latency is None:
        return []
    rows = []
    for case in latency.cases:
        if case.gets == 0:
            continue
        values = [case.percentile(50), case.percentile(99), case.percentile(99.9), case.percentile(99.99), case.max]
        rows.append([case.name, *(f"{value:,}" for value in values), f"{case.gets:,}", str(case.stops or "")])
    head = ["ns", "p50", "p99", "p99.9", "p99.99", "max", "gets", "stops"]
    return [
        "## Latency of a get",
        "",
        f"{latency.entries:,} entries, s16. Keys: `all` of them, or {latency.hot_keys} `hot` ones. The reader has CPU "
        f"{latency.reader_cpu}, both writers share CPU {latency.writer_cpu}; {latency.rounds} rounds of all cases. "
        "Each duration includes the clock's own 20 ns or so.",
        "",
        *_table(head, rows),
        "",
    ]


def markdown(results: Results) -> str:
    lines = ["# Benchmark results", ""]
    lines += [f"* {name}: {text}" for name, text in results.machine.items()]
    loads = [run.load_average for run in results.runs]
    if loads:
        lines += [f"* load average when a run began: {min(loads):.1f} to {max(loads):.1f}"]
    lines += [
        "",
        "Wall nanoseconds per operation and worker: per key for getmany32, per pair of an erase and an insert for",
        "churn. In parentheses the ratio to the hardware's random cache line in the same run: the dependent one for",
        "get-dependent, the independent one for the rest.",
        "",
    ]
    rows = [[verdict.bar, verdict.word, verdict.details()] for verdict in bars.judge_all(results)]
    lines += ["## Bars", "", "| bar | | figures |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""]
    for group in results.groups():
        lines += _Group(results, group).markdown()
    lines += _latency(results)
    if results.costs:
        lines += ["## Costs, counted", "", "```", results.costs.rstrip("\n"), "```", ""]
    if results.absent:
        lines += ["## Not measured", "", *(f"* {name}: {why}" for name, why in sorted(results.absent.items())), ""]
    if results.failures:
        lines += ["## Failed", "", *(f"* {failure.name}: {failure.reason}" for failure in results.failures), ""]
    return "\n".join(lines)
