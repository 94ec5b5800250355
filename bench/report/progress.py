"""What is shown while benchmarks run: a bar on a terminal, otherwise a line when a step begins and when it ends."""

import sys
import time

import rich.console
import rich.progress

from bench.report.text import duration


class Progress:
    """Progress through steps of which only guesses are known, in seconds; what was guessed wrong so far corrects the
    rest."""

    def __init__(self, guesses: list[float]) -> None:
        self._guesses = list(guesses)
        self._done = 0
        self._guessed = 0.0  # for the steps that are done
        self._spent = 0.0  # by the steps that are done
        self._step_started = self._started = time.monotonic()
        self._console = rich.console.Console(file=sys.stderr)
        self._bar: rich.progress.Progress | None = None
        if self._console.is_terminal:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.TextColumn("{task.fields[times]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0, times="")

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def add_step(self, guess: float) -> None:
        self._guesses.append(guess)

    def remaining(self) -> float:
        """Seconds until the last step ends, by all that is known."""
        pace = self._spent / self._guessed if self._guessed > 0 else 1.0
        rest = sum(self._guesses[self._done :]) * pace
        return max(rest - (time.monotonic() - self._step_started), 0.0)

    def begin(self, name: str) -> None:
        self._step_started = time.monotonic()
        self._name = name
        if self._bar is None:
            about = f"about {duration(self.remaining())} to go"
            self.say(f"[{self._done + 1}/{len(self._guesses)}] {name} ({about})")
        self.tick()

    def tick(self) -> None:
        if self._bar is None:
            return
        elapsed, remaining = time.monotonic() - self._started, self.remaining()
        self._bar.update(
            self._task,
            description=f"[{self._done + 1}/{len(self._guesses)}] {self._name}",
            completed=elapsed / (elapsed + remaining + 1e-9),
            times=f"{duration(elapsed)}, about {duration(remaining)} to go",
        )

    def end(self, note: str = "") -> None:
        seconds = time.monotonic() - self._step_started
        self._spent += seconds
        self._guessed += self._guesses[self._done]
        self._done += 1
        self.say(f"    {self._name}: {duration(seconds)}{', ' + note if note else ''}")

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
