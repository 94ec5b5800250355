"""Percentiles of exact counts."""

import pathlib
import tempfile
import unittest

from bench.report.latency import Case, write_hgrm


class LatencyTest(unittest.TestCase):
    def test_percentiles(self) -> None:
        case = Case("all/quiet", 1000, 0, 0, [(10, 500), (20, 490), (30, 9), (1000, 1)])
        self.assertEqual(case.percentile(0), 10)
        self.assertEqual(case.percentile(50), 10)
        self.assertEqual(case.percentile(50.1), 20)
        self.assertEqual(case.percentile(99), 20)
        self.assertEqual(case.percentile(99.9), 30)
        self.assertEqual(case.percentile(99.91), 1000)
        self.assertEqual(case.percentile(100), 1000)
        self.assertEqual(case.max, 1000)

    def test_curve(self) -> None:
        case = Case("all/quiet", 100, 0, 0, [(10, 90), (20, 9), (30, 1)])
        inverse, nanoseconds = case.curve()
        self.assertEqual(nanoseconds, [10, 20, 30])
        for found, expected in zip(inverse, [1, 10, 100], strict=True):
            self.assertAlmostEqual(found, expected)

    def test_hgrm(self) -> None:
        case = Case("all/quiet", 4, 0, 0, [(10, 3), (30, 1)])
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "case.hgrm"
            write_hgrm(case, file)
            lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(lines[2], ["10.000", "0.750000000000", "3", "4.00"])
        self.assertEqual(lines[3], ["30.000", "1.000000000000", "4", "inf"])
        self.assertIn("15.000,", lines[4])


if __name__ == "__main__":
    unittest.main()
