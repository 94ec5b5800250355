"""Whole measurements with programs that only pretend: failures, crashes, hangs, and what is left of processes."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from contextlib import redirect_stderr
from unittest import mock

from bench.report import benchmark, measure, plan, process
from bench.report.results import Results

# A Google Benchmark program of four cells. BEHAVIOUR decides what goes wrong.
BENCH = """
    import json, os, re, sys
    behaviour = os.environ.get("BEHAVIOUR", "")
    names = ["s16-1M/line/hardware", "s16-1M/get/segdict", "s16-1M/get/lmdb", "s16-10M/get/segdict"]
    options = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    if "benchmark_list_tests" in options:
        print("bench: skipped clht: names no folder", file=sys.stderr)
        print("\\n".join(names))
        sys.exit()
    chosen = [name for name in names if re.search(options["benchmark_filter"], name)]
    if behaviour == "crash" and any("lmdb" in name for name in chosen):
        print("lmdb: no more space", file=sys.stderr)
        os.abort()
    entries = []
    for name in reversed(chosen):
        for repetition in range(int(options["benchmark_repetitions"])):
            entry = {"name": name, "run_type": "iteration", "ns_per_op": 10.0 + repetition, "bytes_per_entry": 80}
            if behaviour == "error" and "lmdb" in name:
                entry = {"name": name, "run_type": "iteration", "error_occurred": True, "error_message": "full"}
            entries.append(entry)
        entries.append({"name": name + "_median", "run_type": "aggregate", "ns_per_op": 11})
    with open(options["benchmark_out"], "w") as file:
        json.dump({"context": {}, "benchmarks": entries}, file)
"""
LATENCY = """
    import json
    case = {"name": "hot/quiet", "gets": 1, "stops": 0, "writes": 0, "histogram": [[40, 1]]}
    print(json.dumps({"entries": 1, "hot_keys": 1, "reader_cpu": 0, "writer_cpu": 0, "rounds": 1, "cases": [case]}))
"""


class MeasureTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in (("bench", BENCH), ("latency", LATENCY)):
            file = self.folder / name
            file.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}", encoding="utf-8")
            file.chmod(0o755)

    def measure(self, behaviour: str, groups: set[str] | None = None) -> Results:
        costs = self.folder / "costs.py"
        costs.write_text('print("2 passed, 0 failed")', encoding="utf-8")
        measurement = measure.Measurement(self.folder, costs, plan.FULL, self.folder / "out", "a test")
        with mock.patch.dict(os.environ, BEHAVIOUR=behaviour), redirect_stderr(io.StringIO()):
            return measurement.run(groups, with_latency=groups is None, with_costs=groups is None)

    def test_all_is_well(self) -> None:
        results = self.measure("")
        self.assertEqual([run.name for run in results.runs], ["s16-1M", "s16-10M@segdict"])
        found = results.find("s16-1M", "get", "segdict")
        assert found is not None
        self.assertEqual(found[1].ns_per_op, [10.0 + i for i in range(plan.FULL.repetitions)])
        self.assertEqual(found[1].bytes_per_entry, 80)
        self.assertEqual(results.failures, [])
        cells = [(cell.cell, cell.peer) for cell in results.runs[0].cells]
        self.assertEqual(cells, [("line", "hardware"), ("get", "segdict"), ("get", "lmdb")])
        self.assertEqual(results.absent, {"clht": "names no folder"})
        assert results.latency is not None
        self.assertEqual(results.latency.cases[0].histogram, [(40, 1)])
        self.assertEqual(results.costs, "2 passed, 0 failed\n")
        kept = json.loads((self.folder / "out" / "google-benchmark" / "s16-1M.json").read_text(encoding="utf-8"))
        self.assertIn("benchmarks", kept)

    def test_only_the_groups_that_are_asked_for(self) -> None:
        results = self.measure("", {"s16-1M"})
        self.assertEqual(results.groups(), ["s16-1M"])
        self.assertIsNone(results.latency)

    def test_a_benchmark_that_fails_is_named(self) -> None:
        results = self.measure("error")
        self.assertEqual([(f.name, f.reason) for f in results.failures], [("s16-1M/get/lmdb", "full")])
        self.assertIsNone(results.find("s16-1M", "get", "lmdb"))
        self.assertIsNotNone(results.find("s16-1M", "get", "segdict"))

    def test_after_a_crash_each_peer_is_tried_by_itself(self) -> None:
        results = self.measure("crash")
        self.assertEqual([f.name for f in results.failures], ["s16-1M", "s16-1M@lmdb"])
        self.assertIn("signal 6: lmdb: no more space", results.failures[0].reason)
        self.assertEqual([run.name for run in results.runs], ["s16-10M@segdict", "s16-1M@segdict"])


class ParseTest(unittest.TestCase):
    def test_names_with_more_parts(self) -> None:
        self.assertEqual(str(benchmark.Name.parse("s16-1M/get/segdict/manual_time")), "s16-1M/get/segdict")

    def test_skipped(self) -> None:
        text = "bench: skipped lmdb: not built in: no lmdb.h\nother\n"
        self.assertEqual(measure.skipped(text), {"lmdb": "not built in: no lmdb.h"})


def gone(pid: int) -> bool:
    """Whether the process ends within a few seconds: a killed one may take a moment."""
    for _ in range(100):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    # A shell that ignores SIGTERM, with a stopped child.
    STUBBORN = "trap '' TERM; sleep 60 & kill -STOP $!; echo $!; wait"

    def run_shell(self, script: str, limit: float) -> int:
        return process.run(["sh", "-c", script], limit, str(self.folder / "out"), str(self.folder / "err"))

    def pid(self) -> int:
        return int((self.folder / "out").read_text(encoding="ascii"))

    def test_status(self) -> None:
        self.assertEqual(self.run_shell("exit 3", 10), 3)
        self.assertEqual(self.run_shell("kill -SEGV $$", 10), -signal.SIGSEGV)

    def test_a_hanging_program_is_ended_with_its_children(self) -> None:
        with mock.patch.object(process, "GRACE_SECONDS", 0.2), self.assertRaises(process.TimedOut):
            self.run_shell(self.STUBBORN, 0.5)
        self.assertTrue(gone(self.pid()))

    def test_children_that_outlive_the_program_are_ended(self) -> None:
        self.assertEqual(self.run_shell("sleep 60 & echo $!", 10), 0)
        self.assertTrue(gone(self.pid()))

    def test_interrupted(self) -> None:
        program = (
            "from bench.report import process; process.interrupt_on_signals(); process.GRACE_SECONDS = 0.2; "
            f"process.run(['sh', '-c', {self.STUBBORN!r}], 60, {str(self.folder / 'out')!r}, '/dev/null')"
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            (self.folder / "out").write_text("", encoding="ascii")
            with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as child:
                while not (self.folder / "out").read_text(encoding="ascii").endswith("\n"):
                    time.sleep(0.05)
                self.assertTrue(alive(self.pid()))
                child.send_signal(number)
                child.wait(10)
            self.assertTrue(gone(self.pid()))


if __name__ == "__main__":
    unittest.main()
