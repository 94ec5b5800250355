"""Tables, the bars, and the plot of what was measured."""

from __future__ import annotations

import pathlib

import matplotlib
from bench.python.measure import Result
from matplotlib import pyplot, ticker

# segdict's colours are those of the C++ benchmark's plots.
COLOURS = {
    "dict": "#999999",
    "segdict.Dict": "#0072b2",
    "segdict.SharedMemoryDict": "#56b4e9",
    "shared-memory-dict": "#d55e00",
    "UltraDict": "#009e73",
    "Manager().dict()": "#cc79a7",
    "Redis": "#e69f00",
    "diskcache": "#000000",
}
# How many times as fast as the original it has to be, with so many keys.
BEFORE = {10: 6, 1_000: 350, 10_000: 4_000, 100_000: 80_000}


def duration(nanoseconds: float, _: object = None) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def _table(results: list[Result], operation: str) -> str:
    sizes = sorted({one.keys for one in results})
    peers = list(dict.fromkeys(one.peer for one in results))
    found = {(one.peer, one.keys): one.nanoseconds for one in results if one.operation == operation}
    lines = [f"| {operation} | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for peer in peers:
        cells = [duration(found[peer, size]) if (peer, size) in found else "" for size in sizes]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _bars(results: dict[str, list[Result]]) -> list[str]:
    found = {
        (group, one.peer, one.operation, one.keys): one.nanoseconds for group, ones in results.items() for one in ones
    }
    lines = []

    def judge(what: str, value: float, limit: float, at_most: bool) -> None:
        holds = value <= limit if at_most else value >= limit
        lines.append(f"- {'holds' if holds else 'SHORT'}: {what}: {value:,.3g} ({'<=' if at_most else '>='} {limit:,})")

    for size in sorted({one.keys for one in results["dicts"]}):
        for ours in ("segdict.Dict", "segdict.SharedMemoryDict"):
            for operation, limit in (("get", 4), ("set", 5)):
                plain = found["dicts", "dict", operation, size]
                mine = found["dicts", ours, operation, size]
                judge(f"{ours} {operation} / dict, {size:,} keys", mine / plain, limit, True)
                before = found.get(("dicts", "shared-memory-dict", operation, size))
                if before and size in BEFORE:
                    judge(f"{ours} {operation}, times as fast as shared-memory-dict, {size:,} keys", before / mine,
                          BEFORE[size], False)  # fmt: skip
            ultra = found.get(("dicts", "UltraDict", "get", size))
            if ultra:
                judge(f"{ours} get / UltraDict get, {size:,} keys", found["dicts", ours, "get", size] / ultra, 1, True)
    for peer, limit in (("LocMemCache", 1.3), ("Redis", 30.0)):
        for one in results["django"]:
            if one.peer == peer and one.operation == "get":
                mine = found["django", "segdict", "get", one.keys]
                judge(f"Django get, times as fast as {peer}", one.nanoseconds / mine, limit, False)
    return lines


def text(results: dict[str, list[Result]]) -> str:
    parts = [_table(results["dicts"], "get"), _table(results["dicts"], "set")]
    parts += ["Django's caches:", _table(results["django"], "get"), _table(results["django"], "set")]
    parts += ["\n".join(_bars(results))]
    return "\n\n".join(parts) + "\n"


def plot(results: list[Result], path: pathlib.Path) -> None:
    matplotlib.rcParams.update({"svg.hashsalt": "segdict", "svg.fonttype": "none", "font.size": 9})
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for axes, operation in zip(panels, ("get", "set")):
        for peer, colour in COLOURS.items():
            points = sorted(
                (one.keys, one.nanoseconds) for one in results if (one.peer, one.operation) == (peer, operation)
            )
            if points:
                ours = peer.startswith("segdict")
                axes.plot(*zip(*points), color=colour, marker="o", markersize=4, linewidth=2.4 if ours else 1.4,
                          label=peer, zorder=3 if ours else 2)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda keys, _: f"{keys:,.0f}"))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(duration))
        axes.set_title(operation, loc="left", fontweight="bold")
        axes.set_xlabel("keys")
        axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.suptitle("Time of one operation in Python, by the number of keys")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
