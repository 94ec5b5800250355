"""Runs what is planned and collects the results; what fails is noted, and the rest goes on."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from bench.report import benchmark, machine, process
from bench.report.latency import Latency
from bench.report.plan import Mode, Step, separately, steps
from bench.report.progress import Progress
from bench.report.results import Failure, Results, Run

LATENCY_GUESS = 1.6  # seconds a round
COSTS_GUESS = 45.0  # seconds
LEAST_LIMIT = 300.0  # seconds that any run may take, and more if it is expected to take more


def _limit(guess: float) -> float:
    return max(LEAST_LIMIT, 10 * guess)


def _last_words(path: pathlib.Path) -> str:
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def skipped(text: str) -> dict[str, str]:
    """What the benchmark program says it leaves out: lines "bench: skipped NAME: REASON" of its stderr."""
    found = {}
    for line in text.splitlines():
        if line.startswith("bench: skipped "):
            name, _, reason = line.removeprefix("bench: skipped ").partition(": ")
            found[name] = reason
    return found


class Measurement:
    """Measures with the programs bench and latency of the folder `programs`, and with the script `costs` if the mode
    asks for it, into the folder `out`."""

    def __init__(self, programs: pathlib.Path, costs: pathlib.Path, mode: Mode, out: pathlib.Path, build: str) -> None:
        self._costs = costs
        self._mode = mode
        self._out = out
        self._json = out / "google-benchmark"
        self._json.mkdir(parents=True, exist_ok=True)
        self._logs = out / "logs"
        self._logs.mkdir(exist_ok=True)
        self._programs = programs
        self.results = Results(machine=machine.describe(build))

    def run(self, groups: set[str] | None, with_latency: bool = True, with_costs: bool = True) -> Results:
        """Runs these groups; None: those of the mode."""
        # Copies: what is built meanwhile does not get into the middle of it.
        with tempfile.TemporaryDirectory(prefix="segdict-bench-") as folder:
            self._bench = pathlib.Path(shutil.copy2(self._programs / "bench", folder))
            self._latency = pathlib.Path(shutil.copy2(self._programs / "latency", folder))
            self._names, complaints = benchmark.list_names(self._bench)
            self.results.absent.update(skipped(complaints))
            queue = steps(self._names, self._mode, groups)
            guesses = [step.guess(self._mode.min_time) for step in queue]
            guesses += [self._mode.latency_rounds * LATENCY_GUESS] if with_latency else []
            guesses += [COSTS_GUESS] if with_costs else []
            with Progress(guesses) as progress:
                for name, reason in sorted(self.results.absent.items()):
                    progress.say(f"    skipped: {name}: {reason}")
                # A crash takes all peers of a run with it: then each is tried in a run of its own.
                while queue:
                    step = queue.pop(0)
                    progress.begin(step.name)
                    if not self._run_step(step, progress) and step.peer is None:
                        again = separately(step.group, self._names, step.repetitions)
                        for each in again:
                            progress.add_step(each.guess(self._mode.min_time))
                        queue += again
                    self._save()
                if with_latency:
                    self._run_latency(progress)
                if with_costs:
                    self._run_costs(progress)
        self._save()
        return self.results

    def _save(self) -> None:
        """After each step, so that an interrupted measurement is not for nothing."""
        self.results.save(self._out / "results.json")

    def _fail(self, progress: Progress, name: str, reason: str) -> None:
        self.results.failures.append(Failure(name, reason))
        progress.say(f"    FAILED: {name}: {reason}")

    def _run_program(self, command: list[str], name: str, guess: float, progress: Progress) -> str | None:
        """Runs it, with its output in the folder of logs. Returns what went wrong, or None."""
        out, err = self._logs / f"{name}.out", self._logs / f"{name}.err"
        try:
            status = process.run(command, _limit(guess), str(out), str(err), progress.tick)
        except process.TimedOut as reason:
            return str(reason)
        if status == 0:
            return None
        how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        return how + _last_words(err)

    def _run_step(self, step: Step, progress: Progress) -> bool:
        """Whether the program got to its end; single benchmarks may have failed."""
        file = self._json / f"{step.name}.json"
        file.unlink(missing_ok=True)
        load = os.getloadavg()[0]
        started = time.monotonic()
        problem = self._run_program(
            benchmark.command(self._bench, step.group, step.peer, step.repetitions, self._mode.min_time, file),
            step.name,
            step.guess(self._mode.min_time),
            progress,
        )
        if problem is None:
            try:
                cells, failures = benchmark.parse(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError) as error:
                problem = f"its JSON cannot be read: {error}"
        if problem is not None:
            self._fail(progress, step.name, problem)
            progress.end()
            return False
        for failure in failures:
            self._fail(progress, failure.name, failure.reason)
        cells.sort(key=lambda cell: self._names.index(benchmark.Name(step.group, cell.cell, cell.peer)))
        seconds = time.monotonic() - started
        self.results.runs.append(
            Run(step.name, step.group, seconds, step.repetitions, self._mode.min_time, load, cells)
        )
        progress.end(f"{len(cells)} benchmarks")
        return True

    def _run_latency(self, progress: Progress) -> None:
        progress.begin("latency")
        command = [str(self._latency), f"--rounds={self._mode.latency_rounds}"]
        problem = self._run_program(command, "latency", self._mode.latency_rounds * LATENCY_GUESS, progress)
        if problem is None:
            try:
                text = (self._logs / "latency.out").read_text(encoding="utf-8")
                self.results.latency = Latency.from_json(json.loads(text))
            except (ValueError, KeyError, TypeError) as error:
                problem = f"its JSON cannot be read: {error}"
        if problem is not None:
            self._fail(progress, "latency", problem)
        progress.end()

    def _run_costs(self, progress: Progress) -> None:
        progress.begin("costs")
        problem = self._run_program([sys.executable, str(self._costs)], "costs", COSTS_GUESS, progress)
        self.results.costs = (self._logs / "costs.out").read_text(encoding="utf-8", errors="replace")
        if problem is not None:
            self._fail(progress, "costs", problem)
        progress.end()
