"""How plots are drawn: colours, names, axes.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, and every peer has a marker and a line style as
well. segdict is drawn thicker and on top.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.results import HARDWARE
from bench.report.text import figure as digits

SEGDICT, ORIGINAL = "segdict", "original"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#B8A800",
    "#000000",
    "#8C8C8C",
)

STYLES: dict[str, tuple[str, str, str]] = {  # peer: colour, marker, line
    SEGDICT: (BLUE, "o", "-"),
    "segdict-lock": (BLUE, "s", "--"),
    "segdict-huge": (BLUE, "D", ":"),
    "segdict-aged": (BLUE, "v", "-."),
    ORIGINAL: (BLACK, "X", "-"),
    "boost-concurrent_flat_map": (VERMILION, "s", "-"),
    "boost-concurrent_flat_map-inline": (VERMILION, "D", "--"),
    "boost-interprocess": (GREEN, "^", "-"),
    "lmdb": (PURPLE, "v", "-"),
    "libcuckoo": (ORANGE, "P", "-"),
    "onetbb": (SKY, "X", "-"),
    "absl-flat_hash_map": (YELLOW, "h", "-"),
    "phmap": (ORANGE, "d", "--"),
    "clht": (SKY, "p", "--"),
    "hash-sharedmem": (GREY, "*", "-"),
    "redis": (BLACK, "<", "--"),
    "memcached": (GREY, ">", "--"),
    HARDWARE: (BLACK, "", ":"),
}
NAMES = {  # shorter than the programs'
    "boost-concurrent_flat_map": "concurrent_flat_map",
    "boost-concurrent_flat_map-inline": "concurrent_flat_map, arrays",
    "absl-flat_hash_map": "flat_hash_map + Mutex",
    "boost-interprocess": "Boost.Interprocess",
    "onetbb": "oneTBB",
    "lmdb": "LMDB",
    "redis": "Redis *",
    "memcached": "memcached *",
    "hash-sharedmem": "Hash::SharedMem (Perl) *",
    ORIGINAL: "dict serialized whole",
    HARDWARE: "one random line of memory",
}


SETTINGS = {
    "svg.hashsalt": "segdict",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "legend.frameon": False,
}


def name_of(peer: str) -> str:
    return NAMES.get(peer, peer)


def style_of(peer: str) -> tuple[str, str, str]:
    return STYLES.get(peer, (GREY, ".", "-"))


def plain(value: float, _position: object = None) -> str:
    """Axis labels: 0.5, 20, 1,000."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def logarithmic(axis: Axis, label: Callable[[float, object], str], values: Iterable[float]) -> None:
    """Labels the axis at powers of ten, and between them if it does not have many."""
    values = list(values)
    short = max(values) < 100 * min(values)
    axis.set_major_locator(ticker.LogLocator(10, subs=(1, 2, 5) if short else (1,), numticks=15))
    axis.set_major_formatter(ticker.FuncFormatter(label))
    axis.set_minor_locator(ticker.NullLocator())


def duration(nanoseconds: float, _position: object = None) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"


def grid(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """As many axes as are asked for, in rows; sizes in inches."""
    rows = math.ceil(count / columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.remove()
    return figure, flat[:count]


def ranking(
    axes: Axes,
    values: dict[str, float],
    best_is_least: bool,
    limits: tuple[float, float],
    hollow: dict[str, float] | None = None,
) -> None:
    """A dot a peer, the best on top, its figure beside it. `hollow`: further values, as hollow dots."""
    ranked = sorted(values.items(), key=lambda item: item[1], reverse=best_is_least)
    for row, (peer, value) in enumerate(ranked):
        own = peer.startswith(SEGDICT)
        colour = BLUE if own else BLACK
        axes.plot([limits[0], value], [row, row], color=colour, linewidth=0.8, alpha=0.35)
        size = 7 if own else 5
        axes.plot([value], [row], "o", color=colour, markersize=size)
        rightmost, text = value, digits(value)
        if hollow and peer in hollow:
            axes.plot([hollow[peer]], [row], "o", color=colour, markersize=size, markerfacecolor="white")
            rightmost, text = max(value, hollow[peer]), f"{text}, {digits(hollow[peer])}"
        axes.annotate(
            text,
            (rightmost, row),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if own else "normal",
            color=colour,
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    axes.set_yticks(range(len(ranked)), [name_of(peer) for peer, _ in ranked])
    for label, (peer, _) in zip(axes.get_yticklabels(), ranked, strict=True):
        if peer.startswith(SEGDICT):
            label.set(fontweight="bold", color=BLUE)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.grid(axis="y", visible=False)


def limits(values: Iterable[float]) -> tuple[float, float]:
    """Of a logarithmic axis, with room for the figures on the right."""
    values = list(values)
    return min(values) / 1.5, max(values) * 3


def draw_lines(axes: Axes, lines: dict[str, list[tuple[int, float]]]) -> None:
    for peer, points in lines.items():
        colour, marker, style = style_of(peer)
        own = peer == SEGDICT
        axes.plot(
            *zip(*sorted(points), strict=True),
            style,
            marker=marker,
            color=colour,
            markersize=6 if own else 5,
            linewidth=2.6 if own else 1.2,
            zorder=3 if own else 2,
        )


def legend_below(figure: Figure, peers: Iterable[str]) -> None:
    handles = []
    for peer in peers:
        colour, marker, style = style_of(peer)
        width = 2.6 if peer == SEGDICT else 1.2
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle=style, linewidth=width, label=name_of(peer))
        )
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncol=4)


def keys_axis(axes: Axes, counts: Sequence[int]) -> None:
    axes.set_xscale("log")
    names = {1_000_000: "M", 1_000: "k"}
    texts = []
    for count in counts:
        size = next((size for size in names if count >= size), 1)
        texts.append(f"{count // size}{names.get(size, '')}")
    axes.set_xticks(counts, texts)
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("keys (log)")
