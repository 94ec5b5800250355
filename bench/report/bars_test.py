"""The bars' arithmetic, and what they say when something was not measured."""

import unittest

from bench.report import bars
from bench.report.latency import Case, Latency
from bench.report.results import Cell, Failure, Results, Run

LINE, INDEPENDENT, MUTEX = ("line", "hardware"), ("line-independent", "hardware"), ("mutex", "hardware")


def run(group: str, medians: dict[tuple[str, str], float], name: str = "") -> Run:
    cells = [Cell(cell, peer, [median / 2, median, 3 * median]) for (cell, peer), median in medians.items()]
    return Run(name or group, group, 1, 3, 0.1, 0, cells)


def judge(name: str, results: Results) -> bars.Verdict:
    (bar,) = (bar for bar in bars.BARS if bar.name == name)
    return bar.judge(results)


class BarsTest(unittest.TestCase):
    def test_all_bars_are_there(self) -> None:
        names = [f"B{number}" for number in (*range(1, 13), 14)]
        self.assertEqual([bar.name for bar in bars.BARS], names)
        self.assertEqual([verdict.bar.split()[0] for verdict in bars.judge_all(Results())], names)

    def test_nothing_measured_holds_nothing(self) -> None:
        for verdict in bars.judge_all(Results()):
            self.assertEqual(verdict.word, "not measured")
            self.assertIn("not measured: ", str(verdict))

    def test_groups(self) -> None:
        self.assertLessEqual({"s16-1M", "s16-10M", "u64-1M", "server-100k"}, bars.groups_needed())

    def test_hardware(self) -> None:
        medians = {LINE: 200.0, INDEPENDENT: 10.0, ("get-dependent", "segdict"): 300.0, ("miss", "segdict"): 100.0}
        medians["getmany32", "segdict"] = 60.0
        results = Results(runs=[run("s16-1M", medians), run("s16-10M", medians, "s16-10M@segdict")])
        self.assertEqual(judge("B1", results).word, "holds")
        self.assertIn("1M: dependent get/line 1.50 x <= 1.5", judge("B1", results).figures)
        medians["miss", "segdict"] = 100.2
        results.runs[1] = run("s16-10M", medians, "s16-10M@segdict")
        verdict = judge("B1", results)
        self.assertEqual(verdict.word, "short")
        self.assertIn("10M: miss/line 0.501 x > 0.5", verdict.figures)

    def test_lines_are_of_the_same_run(self) -> None:
        other = run("s16-10M", {LINE: 1.0, INDEPENDENT: 1.0}, "s16-10M@lmdb")
        own = {LINE: 100.0, INDEPENDENT: 10.0, ("get-dependent", "segdict"): 150.0}
        results = Results(runs=[other, run("s16-10M", own, "s16-10M@segdict")])
        self.assertIn("10M: dependent get/line 1.50 x <= 1.5", judge("B1", results).figures)

    def test_no_ratio_over_two_runs(self) -> None:
        medians = {("get", "segdict"): 1.0, ("overwrite", "segdict"): 1.0}
        peers = {("get", "original"): 5000.0, ("overwrite", "original"): 5000.0}
        apart = [run("s16-10k", medians, "s16-10k@segdict"), run("s16-10k", peers, "s16-10k@original")]
        verdict = judge("B14", Results(runs=apart))
        self.assertEqual((verdict.word, verdict.missing), ("not measured", ("s16-10k was not measured in one run",)))
        self.assertEqual(judge("B14", Results(runs=[run("s16-10k", medians | peers)])).word, "holds")

    def test_an_absent_peer_never_holds(self) -> None:
        own = {("get", "segdict"): 1.0, ("overwrite", "segdict"): 1.0, ("churn", "segdict"): 1.0}
        results = Results(runs=[run("s16-1M", own)], absent={"lmdb": "not built in"})
        verdict = judge("B5", results)
        self.assertEqual(verdict.word, "not measured")
        self.assertIn("lmdb is absent", verdict.missing)

    def test_a_failed_benchmark(self) -> None:
        results = Results(
            runs=[run("s16-10k", {("get", "segdict"): 1.0, ("overwrite", "segdict"): 1.0})],
            failures=[Failure("s16-10k/get/original", "crashed")],
        )
        self.assertIn("s16-10k/get/original failed", judge("B14", results).missing)

    def test_short_is_short_although_something_is_missing(self) -> None:
        medians = {("get", "segdict"): 1.0, ("get", "original"): 900.0}
        verdict = judge("B14", Results(runs=[run("s16-10k", medians)]))
        self.assertEqual(verdict.word, "short")
        self.assertIn("get 900 x < 1000", verdict.figures)
        self.assertIn("get 900 x < 1000; not measured: no s16-10k/overwrite/segdict", str(verdict))

    def test_two_processes(self) -> None:
        medians: dict[tuple[str, str], float] = {}
        for cell, two in (("get", 110.0), ("overwrite", 117.0), ("churn", 125.0)):
            medians |= {(f"{cell}-1p", "segdict"): 100.0, (f"{cell}-2p", "segdict"): two}
        verdict = judge("B6", Results(runs=[run("s16-1M-processes", medians)]))
        self.assertEqual(verdict.word, "holds")
        self.assertEqual(verdict.figures[0], "get 1.82 x >= 1.8")

    def test_growth(self) -> None:
        medians = {LINE: 100.0, ("get-dependent", "segdict"): 210.0}
        results = Results(runs=[run(group, medians) for group in ("s16-10k", "s16-1M", "s16-10M")])
        self.assertEqual(judge("B9", results).word, "holds")
        results.runs[0].cells[1].ns_per_op = [210.4]
        self.assertIn("10k: dependent get 210.4 ns > 210", judge("B9", results).figures)

    def test_lock_mode(self) -> None:
        medians = {MUTEX: 10.0, ("overwrite", "segdict"): 100.0, ("overwrite", "segdict-lock"): 115.0}
        verdict = judge("B12", Results(runs=[run("s16-1M", medians)]))
        self.assertEqual((verdict.word, verdict.figures), ("holds", ("overwrite 115 ns <= 115",)))

    def test_memory(self) -> None:
        cells = [Cell("get", "segdict", [1.0], 92.0), Cell("get", "lmdb", [1.0], 200.0)]
        runs = [Run("s16-1M", "s16-1M", 1, 1, 0.1, 0, cells), Run("u64-1M", "u64-1M", 1, 1, 0.1, 0, cells)]
        verdict = judge("B10", Results(runs=runs))
        self.assertEqual(verdict.word, "short")
        self.assertEqual(verdict.figures, ("s16 entry 92.0 bytes <= 92", "u64 entry 92.0 bytes > 48"))

    def test_latency(self) -> None:
        names = ("all/quiet", "hot/quiet", "all/stopped", "hot/stopped", "hot/stopped-in-write")
        cases = [Case(name, 1000, 0, 0, [(100 if "quiet" in name else 300, 1000)]) for name in names]
        latency = Latency(10, 2, 0, 1, 1, cases)
        self.assertEqual(judge("B11", Results(latency=latency)).word, "holds")
        cases[-1] = Case(names[-1], 0, 0, 0, [])
        self.assertEqual(judge("B11", Results(latency=latency)).word, "not measured")
        cases[-1] = Case(names[-1], 1000, 1, 0, [(301, 1000)])
        self.assertEqual(judge("B11", Results(latency=latency)).word, "short")


if __name__ == "__main__":
    unittest.main()
