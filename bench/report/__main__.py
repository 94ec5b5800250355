"""./dev bench: measures, and writes results.json, results.md, plots and Google Benchmark's JSON into a folder."""

import argparse
import pathlib
import re
import sys
import time

import rich.console
import rich.text

from bench.report import bars, plan, plots, process, tables
from bench.report.benchmark import list_names
from bench.report.latency import write_hgrm
from bench.report.measure import Measurement
from bench.report.results import Results
from bench.report.text import duration

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
COSTS = REPOSITORY / "bench" / "costs" / "check.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no huge tables, short repetitions: under 4 minutes")
    parser.add_argument("--bars", action="store_true", help="run only what the bars need, and print their verdicts")
    parser.add_argument("--group", type=re.compile, metavar="REGEX", help="run only groups that match, and no latency")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="where to write (default: bench-results)")
    parser.add_argument(
        "--from",
        type=pathlib.Path,
        metavar="DIR",
        dest="source",
        help="measure nothing: take the results of that folder",
    )
    parser.add_argument("--docs", action="store_true", help="write the plots into docs/plots as well, as SVG")
    parser.add_argument(
        "--programs",
        type=pathlib.Path,
        metavar="DIR",
        default=REPOSITORY / "bazel-bin" / "bench",
        help=argparse.SUPPRESS,
    )
    parser.add_argument("--build", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out = options.out or options.source or REPOSITORY / "bench-results"
    return options


def measure(options: argparse.Namespace) -> Results:
    mode = plan.QUICK if options.quick else plan.FULL
    groups: set[str] | None = None
    if options.bars:
        groups = set(bars.groups_needed())
    if options.group:
        if groups is None:
            groups = {name.group for name in list_names(options.programs / "bench")[0]}
        groups = {group for group in groups if options.group.search(group)}
    measurement = Measurement(options.programs, COSTS, mode, options.out, options.build)
    return measurement.run(
        groups, with_latency=not options.group, with_costs=mode.costs and not (options.group or options.bars)
    )


def write(results: Results, options: argparse.Namespace) -> None:
    (options.out / "results.md").write_text(tables.markdown(results), encoding="utf-8")
    if results.latency:
        folder = options.out / "latency"
        folder.mkdir(exist_ok=True)
        for case in results.latency.cases:
            if case.gets:
                write_hgrm(case, folder / f"{case.name.replace('/', '-')}.hgrm")
    plots.draw(results, options.out / "plots")
    if options.docs:
        plots.draw(results, REPOSITORY / "docs" / "plots", kinds=["svg"])


def print_verdicts(results: Results) -> None:
    console = rich.console.Console(highlight=False, soft_wrap=True)
    colours = {"holds": "green", "short": "red"}
    for verdict in bars.judge_all(results):
        text = rich.text.Text(str(verdict))
        text.highlight_words([f"{verdict.bar}: {verdict.word}"], colours.get(verdict.word, "yellow"))
        console.print(text)


def main() -> int:
    options = arguments()
    process.interrupt_on_signals()
    started = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results.load(options.source / "results.json") if options.source else measure(options)
    write(results, options)
    if options.bars or not options.group:
        print_verdicts(results)
    print(f"{options.out / 'results.md'}, results.json, plots: {duration(time.monotonic() - started)}")
    for failure in results.failures:
        print(f"failed: {failure.name}: {failure.reason}", file=sys.stderr)
    return 1 if results.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)
