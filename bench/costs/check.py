#!/usr/bin/env python3
"""Compares what each operation costs with costs.txt. Noise cannot touch these numbers: a rise is the code's doing.

usage: bench/costs/check.py [--update]

Builds, counts (counts.cc, instructions.cc; half a minute) and compares, operation by operation. A count that rises
fails; instructions may rise by 2 %. What falls is named, to be kept by --update, which writes costs.txt anew. Ends with
the line "N passed, M failed".
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys
from decimal import Decimal

import callgrind
import costs_file
from costs_file import Table

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = {"instructions": Decimal("0.02"), "library": Decimal("0.02")}  # by column; elsewhere none
OF_THE_BUILD = {"instructions", "calls", "library"}  # columns that are comparable only between equal builds


def bazel(*arguments: str) -> str:
    quiet = ["--ui_event_filters=-info", "--noshow_progress"]
    command = ["bazel", arguments[0], "--config=dev", *quiet, *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def measure() -> list[Table]:
    bazel("build", "//bench/costs:counts", "//bench/costs:instructions")
    programs = pathlib.Path(bazel("info", "bazel-bin"), "bench/costs")
    counted = subprocess.run([programs / "counts"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [
        costs_file.read_table("counts", "", counted.splitlines()),
        callgrind.measure(programs / "instructions"),
    ]


class Comparison:
    def __init__(self) -> None:
        self.passed = self.failed = self.fell = 0

    def compare(self, was: Table | None, now: Table) -> None:
        skipped: set[str] = set()
        if was is not None and was.built_by != now.built_by:
            skipped = OF_THE_BUILD & set(now.columns)
            print(f"skip  {', '.join(sorted(skipped))} of {len(now.rows)} operations: costs.txt has those of")
            print(f"      {was.built_by}; this build is of")
            print(f"      {now.built_by}")
        for operation in now.rows:
            if was is None or was.columns != now.columns or operation not in was.rows:
                self._fail(f"{now.name} of {operation} are not in costs.txt: add them by --update")
                continue
            self._compare_operation(operation, was, now, skipped)
        for operation in was.rows if was is not None else ():
            if operation not in now.rows:
                self._fail(f"{now.name} of {operation} are in costs.txt, but were not counted")

    def _compare_operation(self, operation: str, was: Table, now: Table, skipped: set[str]) -> None:
        risen, fallen = [], []
        for column in now.columns:
            before, after = was.value(operation, column), now.value(operation, column)
            slack = before * TOLERANCE.get(column, 0)
            change = f"{column} was {before}, is {after}"
            if column in skipped:
                continue
            if after > before + slack:
                risen.append(change)
            elif after < before - slack:
                fallen.append(change)
        if fallen:
            self.fell += 1
            print(f"fell  {operation}: {'; '.join(fallen)}")
        if risen:
            self._fail(f"{operation}: {'; '.join(risen)}")
        else:
            self.passed += 1

    def _fail(self, what: str) -> None:
        self.failed += 1
        print(f"FAIL  {what}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write costs.txt anew")
    update = parser.parse_args().update
    if shutil.which("valgrind") is None:
        sys.exit("check.py: valgrind is not installed; ./dev setup installs it")
    try:
        tables = measure()
    except subprocess.CalledProcessError as error:
        sys.exit(f"check.py: {error.cmd[0]} failed")
    if update:
        costs_file.write(tables)
        return 0
    kept = costs_file.read()
    comparison = Comparison()
    for table in tables:
        comparison.compare(kept.get(table.name), table)
    if comparison.fell:
        print(f"{comparison.fell} fell; keep that: bench/costs/check.py --update")
    if comparison.failed:
        print("if a rise is intended, say why in the commit that has it: bench/costs/check.py --update")
    print(f"{comparison.passed} passed, {comparison.failed} failed")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
