"""The plots, as SVG and PNG. Each shows what there is; one for which nothing was measured is not made.

The files depend on the results alone: no date, no random ids.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import pyplot, ticker
from matplotlib.figure import Figure

from bench.report import drawing
from bench.report.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, ORIGINAL, SEGDICT, SKY, VERMILION
from bench.report.results import HARDWARE, LINE, Results, keys_of, without_workers

OPERATIONS = {
    "get": "get",
    "get-dependent": "dependent get",
    "miss": "miss",
    "getmany32": "GetMany of 32, per key",
    "overwrite": "overwrite",
    "churn": "churn: erase + insert",
    "insert": "insert",
}
WITH_FEWER_KEYS = ("redis", "memcached", "hash-sharedmem")  # measured in the group server-100k


def _medians(results: Results, group: str, cell: str) -> dict[str, float]:
    """Peer: nanoseconds per operation."""
    return {measured.peer: measured.median for _, measured in results.of_group(group) if measured.cell == cell}


def operations(results: Results) -> Figure | None:
    """Nanoseconds per operation, by peer and operation."""
    shown: dict[str, dict[str, float]] = {}
    for cell in OPERATIONS:
        if values := _medians(results, "s16-1M", cell):
            shown[cell] = values
            servers = _medians(results, "server-100k", cell)
            values.update({peer: servers[peer] for peer in WITH_FEWER_KEYS if peer in servers})
    if not shown:
        return None
    tallest = max(map(len, shown.values()))
    figure, panels = drawing.grid(len(shown), 2, 5.4, 0.7 + 0.2 * tallest)
    line = _medians(results, "s16-1M", LINE).get(HARDWARE)
    everything = [value for values in shown.values() for value in values.values()]
    for (cell, values), axes in zip(shown.items(), panels, strict=True):
        if line:
            axes.axvline(line, color=VERMILION, linestyle=":", linewidth=1.4)
        drawing.ranking(axes, values, True, drawing.limits(everything))
        drawing.logarithmic(axes.xaxis, drawing.duration, everything)
        axes.set_title(OPERATIONS[cell], loc="left", fontweight="bold")
    if line:
        panels[0].annotate(
            "a dependent random\nline of memory",
            (line, 0),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=VERMILION,
        )
    figure.suptitle("Nanoseconds per operation: 1 million keys of 16 bytes, values of 32 bytes, one worker")
    if any(peer in values for values in shown.values() for peer in WITH_FEWER_KEYS):
        figure.supxlabel("* with 100,000 keys; Redis and memcached over a unix socket", fontsize=8)
    return figure


def sizes(results: Results) -> Figure | None:
    """Nanoseconds per operation against the number of keys, by peer."""
    groups = {
        keys: group
        for group in results.groups()
        if group.startswith("s16-") and group.count("-") == 1
        if (keys := keys_of(group)) is not None and keys >= 10_000
    }
    shown = [
        cell
        for cell in ("get", "get-dependent", "miss", "getmany32", "overwrite", "churn")
        if sum(bool(_medians(results, group, cell)) for group in groups.values()) >= 2
    ]
    if not shown:
        return None
    figure, panels = drawing.grid(len(shown), 3, 4.0, 3.4)
    used: list[str] = []
    for cell, axes in zip(shown, panels, strict=True):
        lines: dict[str, list[tuple[int, float]]] = {}
        for keys in sorted(groups):
            for peer, value in _medians(results, groups[keys], cell).items():
                if peer != ORIGINAL:
                    lines.setdefault(peer, []).append((keys, value))
        drawing.draw_lines(axes, {peer: points for peer, points in lines.items() if len(points) > 1})
        used += [peer for peer, points in lines.items() if len(points) > 1 and peer not in used]
        axes.set_yscale("log")
        axes.set_title(OPERATIONS[cell], loc="left", fontweight="bold")
        drawing.keys_axis(axes, sorted({count for points in lines.values() for count, _ in points}))
        axes.set_ylabel("ns per operation (log)")
        drawing.logarithmic(axes.yaxis, drawing.plain, (value for points in lines.values() for _, value in points))
    figure.suptitle("Nanoseconds per operation against the number of keys: 16-byte keys, 32-byte values, one worker")
    drawing.legend_below(figure, used)
    return figure


def mixes(results: Results) -> Figure | None:
    """Operations a second by mix and peer, by one worker and by two."""
    shown: dict[str, dict[str, float]] = {}
    by_two: dict[str, dict[str, float]] = {}
    for group in ("s16-1M-mixes", "ycsb-1M"):
        for _, cell in results.of_group(group):
            mix = without_workers(cell.cell)
            if mix.startswith(("mix", "ycsb")) and cell.workers <= 2:
                values = (shown if cell.workers == 1 else by_two).setdefault(mix, {})
                values[cell.peer] = cell.workers * 1e3 / cell.median
    if not shown:
        return None
    figure, panels = drawing.grid(len(shown), 2, 5.4, 0.7 + 0.2 * max(map(len, shown.values())))
    everything = [value for values in (*shown.values(), *by_two.values()) for value in values.values()]
    for (mix, values), axes in zip(sorted(shown.items()), panels, strict=True):
        drawing.ranking(axes, values, False, drawing.limits(everything), by_two.get(mix, {}))
        drawing.logarithmic(axes.xaxis, drawing.plain, everything)
        axes.set_title(_mix_title(mix), loc="left", fontweight="bold")
    figure.suptitle("Throughput of mixes, million operations a second: 1 million keys of 16 bytes, values of 32 bytes")
    if by_two:
        figure.supxlabel("filled: one thread; hollow: two threads together", fontsize=8)
    return figure


def _mix_title(cell: str) -> str:
    titles = {
        "ycsb-a": "YCSB A: 50 % read, 50 % update, zipf",
        "ycsb-b": "YCSB B: 95 % read, 5 % update, zipf",
        "ycsb-c": "YCSB C: read only, zipf",
        "ycsb-d": "YCSB D: 95 % read, 5 % insert, latest",
        "ycsb-e": "YCSB E: 95 % scan, 5 % insert",
        "ycsb-f": "YCSB F: 50 % read, 50 % read-modify-write, zipf",
    }
    if cell in titles:
        return titles[cell]
    share, _, order = cell.removeprefix("mix").partition("-")
    return f"{share} % get, {100 - int(share)} % overwrite, {order or 'uniform'}" if share.isdigit() else cell


LATENCY_CASES = {
    "quiet": ("no writer", BLACK, "-"),
    "writers": ("two writers", ORANGE, "--"),
    "stopped": ("one of the two stopped", BLUE, "-"),
    "stopped-in-write": ("stopped inside a write", VERMILION, "-."),
}


def latency(results: Results) -> Figure | None:
    """How long a get takes, on an axis of percentiles."""
    measured = results.latency
    if measured is None:
        return None
    sets = {"all": f"keys: all {measured.entries:,}", "hot": f"keys: {measured.hot_keys} hot ones"}
    figure, panels = drawing.grid(len(sets), 2, 5.0, 4.0)
    panels[1].sharey(panels[0])
    for (name, title), axes in zip(sets.items(), panels, strict=True):
        for case, (label, colour, line) in LATENCY_CASES.items():
            found = measured.find(f"{name}/{case}")
            if found is not None:
                inverse, nanoseconds = found.curve()
                axes.step(inverse, nanoseconds, line, where="post", color=colour, label=label, linewidth=1.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(10, numticks=12))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(_percentile))
        axes.yaxis.set_major_locator(ticker.LogLocator(10, numticks=12))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(drawing.duration))
        axes.axvline(1000, color=GREY, linewidth=1)
        axes.set_xlabel("percentile")
        axes.set_ylabel("one get (log)")
        axes.set_title(title, loc="left", fontweight="bold")
        axes.legend(loc="upper left")
    figure.suptitle("Latency of get beside writers that overwrite the same keys: 1 million entries")
    return figure


def _percentile(inverse: float, _position: object = None) -> str:
    """The axis is 1 / (1 - p): 1 is 0 %, 10 is 90 %, 100 is 99 %."""
    nines = round(math.log10(inverse))
    return f"{100 - 100 / 10**nines:.{max(nines - 2, 0)}f}"


def keys(results: Results) -> Figure | None:
    """The cost of an operation against the number of keys, beside the whole-dict method."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    wanted = [
        (SEGDICT, "get"),
        (SEGDICT, "get-dependent"),
        (SEGDICT, "overwrite"),
        (ORIGINAL, "get"),
        (ORIGINAL, "overwrite"),
        (HARDWARE, LINE),
    ]
    for group in results.groups():
        count = keys_of(group)
        if count is None or not group.startswith("s16-") or group.count("-") != 1:
            continue
        for peer, cell in wanted:
            if found := results.find(group, cell, peer):
                lines.setdefault((peer, cell), []).append((count, found[1].median))
    if not any(len(points) > 1 for points in lines.values()):
        return None
    names = {
        (SEGDICT, "get"): ("segdict: get", BLUE, "o", "-"),
        (SEGDICT, "get-dependent"): ("segdict: dependent get", SKY, "s", "-"),
        (SEGDICT, "overwrite"): ("segdict: overwrite", GREEN, "^", "-"),
        (ORIGINAL, "get"): ("dict serialized whole: get", VERMILION, "X", "-"),
        (ORIGINAL, "overwrite"): ("dict serialized whole: set", ORANGE, "P", "-"),
        (HARDWARE, LINE): ("one dependent random line over the same bytes", BLACK, ".", ":"),
    }
    figure, (axes,) = drawing.grid(1, 1, 10.0, 4.4)
    counts = sorted({count for points in lines.values() for count, _ in points})
    for key in wanted:
        if key not in lines:
            continue
        label, colour, marker, style = names[key]
        points = sorted(lines[key])
        axes.plot(*zip(*points, strict=True), style, marker=marker, color=colour, label=label)
        if key[0] == ORIGINAL and points[-1][0] < counts[-1]:
            (last, cost), end = points[-1], counts[-1]
            beyond = "in proportion to the keys: not measured" if key[1] == "overwrite" else None
            axes.plot([last, end], [cost, cost * end / last], ":", color=colour, linewidth=1, label=beyond)
    axes.set_yscale("log")
    drawing.keys_axis(axes, counts)
    axes.yaxis.set_major_locator(ticker.LogLocator(10, numticks=14))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(drawing.duration))
    axes.set_ylabel("one operation (log)")
    axes.set_title("Cost of an operation against the number of keys", loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def scaling(results: Results) -> Figure | None:
    """Operations a second against threads and processes."""
    shown: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for group, kind in (("s16-1M-threads", "threads"), ("s16-1M-processes", "processes")):
        for _, cell in results.of_group(group):
            if cell.peer != HARDWARE:
                points = shown.setdefault((kind, without_workers(cell.cell)), {}).setdefault(cell.peer, [])
                points.append((cell.workers, cell.workers * 1e3 / cell.median))
    shown = {panel: lines for panel, lines in shown.items() if any(len(points) > 1 for points in lines.values())}
    if not shown:
        return None
    figure, panels = drawing.grid(len(shown), 3, 4.0, 3.4)
    used: list[str] = []
    for ((kind, operation), lines), axes in zip(shown.items(), panels, strict=True):
        drawing.draw_lines(axes, lines)
        used += [peer for peer in lines if peer not in used]
        most = sorted({workers for points in lines.values() for workers, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(most, [str(workers) for workers in most])
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_yscale("log")
        drawing.logarithmic(axes.yaxis, drawing.plain, (value for points in lines.values() for _, value in points))
        axes.set_xlabel(kind)
        axes.set_ylabel("million operations a second (log)")
        axes.set_title(f"{OPERATIONS.get(operation, operation)}, {kind}", loc="left", fontweight="bold")
    figure.suptitle("Throughput of all workers together: 1 million keys of 16 bytes, values of 32 bytes")
    drawing.legend_below(figure, used)
    return figure


PLOTS: dict[str, Callable[[Results], Figure | None]] = {
    "operations": operations,
    "sizes": sizes,
    "mixes": mixes,
    "latency": latency,
    "keys": keys,
    "scaling": scaling,
}


METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def draw(results: Results, folder: pathlib.Path, kinds: Sequence[str] = tuple(METADATA)) -> list[pathlib.Path]:
    """Makes all plots for which there are results; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[pathlib.Path] = []
    with pyplot.rc_context(drawing.SETTINGS):
        for name, plot in PLOTS.items():
            figure = plot(results)
            if figure is None:
                continue
            for kind in kinds:
                files.append(folder / f"{name}.{kind}")
                figure.savefig(files[-1], bbox_inches="tight", metadata=METADATA[kind])
            pyplot.close(figure)
    return files
