"""./dev bench-python: the Python package beside others; a table, the bars and plots."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

from bench.python import peers, report
from bench.python.measure import Result, measure

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench-python", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no 100,000 keys: half a minute")
    parser.add_argument("--out", type=pathlib.Path, default=REPOSITORY / "bench-results" / "python", metavar="DIR")
    parser.add_argument("--from", type=pathlib.Path, dest="source", metavar="DIR", help="take the results of a folder")
    parser.add_argument("--docs", action="store_true", help="write the plot into docs/plots as well")
    options = parser.parse_args()
    if options.source:
        loaded = json.loads((options.source / "results.json").read_text())
        results = {group: [Result(**one) for one in found] for group, found in loaded.items()}
    else:
        sizes = [10, 100, 1_000, 10_000] + ([] if options.quick else [100_000])
        results = {
            "dicts": measure(peers.DICTS, sizes, options.quick),
            "django": measure(peers.CACHES, [1_000], options.quick),
        }
    options.out.mkdir(parents=True, exist_ok=True)
    serial = {group: [dataclasses.asdict(one) for one in found] for group, found in results.items()}
    (options.out / "results.json").write_text(json.dumps(serial, indent=1) + "\n")
    text = report.text(results)
    (options.out / "results.md").write_text(text)
    print(text)
    folders = [options.out] + ([REPOSITORY / "docs" / "plots"] if options.docs else [])
    for folder in folders:
        report.plot(results["dicts"], folder / "python.svg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
