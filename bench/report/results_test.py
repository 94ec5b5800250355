"""The data model: medians, quartiles, names, and results.json."""

import pathlib
import tempfile
import unittest

from bench.report.latency import Case, Latency
from bench.report.results import Cell, Failure, Results, Run, keys_of, workers_of


class ResultsTest(unittest.TestCase):
    def test_median_and_quartiles(self) -> None:
        cell = Cell("get", "segdict", [5.0, 1.0, 2.0, 4.0, 3.0])
        self.assertEqual(cell.median, 3)
        self.assertEqual(cell.quartiles, (2, 4))
        self.assertEqual(Cell("get", "segdict", [7.0]).quartiles, (7, 7))

    def test_names(self) -> None:
        for group, keys in (("s16-1M", 1_000_000), ("u64-10M", 10_000_000), ("s16-10k-load85", 10_000)):
            self.assertEqual(keys_of(group), keys)
        self.assertEqual(keys_of("s20x1K-1M"), 1_000_000)
        self.assertEqual(keys_of("s16x64K-10k"), 10_000)
        self.assertEqual(keys_of("s16-100"), 100)
        self.assertIsNone(keys_of("other"))
        self.assertEqual([workers_of(cell) for cell in ("get", "getmany32", "get-2t", "churn-4p")], [1, 1, 2, 4])

    def test_the_line_of_a_cell_is_of_its_own_run(self) -> None:
        lines = [Cell("line", "hardware", [100.0]), Cell("line-independent", "hardware", [10.0])]
        run = Run("s16-1M", "s16-1M", 1, 1, 0.1, 0, lines)
        self.assertIs(run.line_for("get-dependent"), lines[0])
        self.assertIs(run.line_for("get"), lines[1])
        self.assertIs(run.line_for("churn-2p"), lines[1])
        self.assertIsNone(Run("other", "other", 1, 1, 0.1, 0).line_for("get"))

    def test_json_keeps_everything(self) -> None:
        results = Results(
            machine={"processor": "any"},
            runs=[Run("s16-1M", "s16-1M", 1.5, 2, 0.1, 0.5, [Cell("get", "segdict", [1.0, 2.0], 87.5)])],
            latency=Latency(10, 2, 0, 1, 3, [Case("hot/quiet", 3, 0, 0, [(40, 2), (50, 1)])]),
            absent={"lmdb": "not installed"},
            failures=[Failure("s16-1M/get/lmdb", "no")],
        )
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "results.json"
            results.save(file)
            self.assertEqual(Results.load(file), results)


if __name__ == "__main__":
    unittest.main()
