"""Tables and plots of made-up results: what is there, and that it is the same each time."""

import pathlib
import tempfile
import unittest
from unittest import mock

from bench.report import plots, tables
from bench.report.latency import Case, Latency
from bench.report.results import Cell, Failure, Results, Run
from bench.report.text import duration, figure


def made_up() -> Results:
    def run(group: str, cells: list[tuple[str, str, float]], name: str = "") -> Run:
        samples = [Cell(cell, peer, [0.9 * ns, ns, 1.1 * ns]) for cell, peer, ns in cells]
        return Run(name or group, group, 1, 3, 0.1, 0.5, samples)

    lines = [("line", "hardware", 200.0), ("line-independent", "hardware", 10.0)]
    two = [("get", "segdict", 120.0), ("get-dependent", "segdict", 300.0), ("get", "lmdb", 1300.0)]
    cases = [Case(f"{keys}/{case}", 3, 0, 0, [(40, 2), (900, 1)]) for keys in ("all", "hot") for case in ("quiet",)]
    return Results(
        machine={"processor": "any"},
        runs=[
            run("s16-1M", lines + two),
            run("s16-10M", lines + two[:2], "s16-10M@segdict"),
            run("s16-10k", [("get", "segdict", 30.0), ("get", "original", 1e6)]),
            run("s16-1M-processes", [(f"get-{n}p", "segdict", 120.0) for n in (1, 2, 4)]),
            run("s16-1M-mixes", [("mix95-zipf", "segdict", 100.0), ("mix95-zipf", "lmdb", 1000.0)]),
        ],
        latency=Latency(1_000_000, 64, 0, 1, 3, cases),
        absent={"clht": "names no folder"},
        failures=[Failure("s16-1M/miss/lmdb", "no")],
    )


class TextTest(unittest.TestCase):
    def test_figures(self) -> None:
        values = {0.384: "0.38", 4.4249: "4.42", 38.14: "38.1", 127.4: "127", 1347: "1,350", 56_049: "56,000"}
        for value, text in values.items():
            self.assertEqual(figure(value), text)

    def test_durations(self) -> None:
        self.assertEqual([duration(s) for s in (4.2, 65, 3599.6)], ["4 s", "1 min 05 s", "60 min 00 s"])


class TablesTest(unittest.TestCase):
    def test_markdown(self) -> None:
        text = tables.markdown(made_up())
        self.assertIn("| segdict | 120 (12.0 x) | 300 (1.50 x) |", text)  # independent line, dependent line
        self.assertIn("| lmdb | 1,300 (130 x) |  |", text)
        self.assertIn("line 200 ns; line-independent 10.0 ns", text)
        self.assertIn("| segdict | 114 to 126 | 285 to 315 |", text)
        self.assertIn("| all/quiet | 40 | 900 |", text)
        self.assertIn("* clht: names no folder", text)
        self.assertIn("* s16-1M/miss/lmdb: no", text)

    def test_nothing_measured(self) -> None:
        self.assertIn("# Benchmark results", tables.markdown(Results()))


class PlotsTest(unittest.TestCase):
    def test_all_plots(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            files = plots.draw(made_up(), pathlib.Path(name))
            self.assertEqual({file.stem for file in files}, set(plots.PLOTS))
            self.assertEqual({file.suffix for file in files}, {".svg", ".png"})

    def test_the_same_each_time(self) -> None:
        one = {"operations": plots.operations}
        with tempfile.TemporaryDirectory() as name, mock.patch.object(plots, "PLOTS", one):
            folder = pathlib.Path(name)
            first, second = plots.draw(made_up(), folder / "1"), plots.draw(made_up(), folder / "2")
            for file, again in zip(first, second, strict=True):
                self.assertEqual(file.read_bytes(), again.read_bytes(), file.name)
                self.assertNotIn(b"dc:date", file.read_bytes())

    def test_nothing_measured(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            self.assertEqual(plots.draw(Results(), pathlib.Path(name)), [])


if __name__ == "__main__":
    unittest.main()
