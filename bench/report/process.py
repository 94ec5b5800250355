"""Child processes that leave nothing behind: each has a process group of its own, which is ended as a whole."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0  # for a group to end by itself, after SIGTERM


class TimedOut(Exception):
    """The child took longer than its limit, and was ended."""


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def end_group(child: subprocess.Popen[str]) -> None:
    """Ends the child and whatever it has started; also what is left of the group after the child's own end."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        _signal_group(child.pid, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


class _Interrupts:
    """SIGINT, SIGTERM and SIGHUP. While a child runs they wait for a moment at which it can be ended."""

    waiting = False  # while a child runs
    arrived = False

    def handle(self, _number: int, _frame: object) -> None:
        self.arrived = True
        if not self.waiting:
            self.check()

    def check(self) -> None:
        if self.arrived:
            self.arrived = False
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def interrupt_on_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP are a KeyboardInterrupt, before which the child that runs is ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupts.handle)


def run(command: Sequence[str], limit: float, output: str, errors: str, tick: Callable[[], None] = lambda: None) -> int:
    """Runs the command with its output in the files of those names; returns its exit status.

    Calls `tick` a few times a second. TimedOut after `limit` seconds. However this ends, nothing of the command's
    process group is left.
    """
    with open(output, "w", encoding="utf-8") as out, open(errors, "w", encoding="utf-8") as err:
        _interrupts.waiting = True
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, text=True
            )
            try:
                return _await(child, limit, tick)
            finally:
                end_group(child)
        finally:
            _interrupts.waiting = False
            _interrupts.check()


def _await(child: subprocess.Popen[str], limit: float, tick: Callable[[], None]) -> int:
    deadline = time.monotonic() + limit
    while True:
        try:
            return child.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            _interrupts.check()
            tick()
            if time.monotonic() >= deadline:
                raise TimedOut(f"took longer than {limit:.0f} s") from None
