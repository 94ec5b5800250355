"""Which runs are planned, and how a group's benchmarks are chosen."""

import pathlib
import re
import unittest

from bench.report import benchmark, plan
from bench.report.benchmark import Name

NAMES = [
    Name.parse(text)
    for text in (
        "s16-1M/line/hardware",
        "s16-1M/get/segdict",
        "s16-1M/get/lmdb",
        "s16-10M/line/hardware",
        "s16-10M/get/segdict",
        "s16-10M/miss/segdict",
        "s16-10M/get/lmdb",
        "s16-1M-load85/get/segdict",
    )
]


class PlanTest(unittest.TestCase):
    def test_large_groups_are_run_a_peer_at_a_time(self) -> None:
        planned = plan.steps(NAMES, plan.FULL)
        self.assertEqual(
            [step.name for step in planned], ["s16-1M", "s16-10M@segdict", "s16-10M@lmdb", "s16-1M-load85"]
        )
        self.assertEqual([step.benchmarks for step in planned], [3, 3, 2, 1])

    def test_groups_that_are_asked_for(self) -> None:
        self.assertEqual([step.name for step in plan.steps(NAMES, plan.FULL, {"s16-1M"})], ["s16-1M"])
        quick = plan.steps(NAMES, plan.QUICK)
        self.assertIn("s16-1M", [step.name for step in quick])
        self.assertNotIn("s16-10M", [step.group for step in quick])

    def test_filters(self) -> None:
        def chosen(group: str, peer: str | None) -> list[str]:
            command = benchmark.command(pathlib.Path("bench"), group, peer, 3, 0.1, pathlib.Path("out"))
            (regex,) = (word.partition("=")[2] for word in command if "_filter=" in word)
            return [str(name) for name in NAMES if re.search(regex, str(name))]

        self.assertEqual(len(chosen("s16-1M", None)), 3)
        self.assertEqual(
            chosen("s16-10M", "segdict"), ["s16-10M/line/hardware", "s16-10M/get/segdict", "s16-10M/miss/segdict"]
        )


if __name__ == "__main__":
    unittest.main()
