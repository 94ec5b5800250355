"""Applies each mutant to a copy of the tree, and runs the suites until one kills it.

usage: python3 tests/mutants/run.py [--copies N] [--folder FOLDER] [NAME...]
       python3 tests/mutants/run.py --check

First every suite must pass on an unchanged copy: what fails anyway kills nothing. Then, mutant by mutant, as many at a
time as there are copies: the suite that is named for it, and if the mutant survives that, all others. A suite kills by
a failed test, by a crash, or by not ending; a mutant that does not compile is an error here. One line each, and last
`N passed, N failed`. With --check nothing is built: each mutant must find its place in the sources.
"""

import argparse
import queue
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from mutants import MUTANTS, SUITES, Mutant, Suite

# A suite that takes longer than this hangs: the longest takes two minutes on two quiet cores.
HANGS_AFTER_SECONDS = 1800


class BuildError(Exception):
    """The tree does not compile."""


def copy_tree(source: Path, to: Path) -> None:
    """Makes `to` what git has of `source`, and what it would have; files that are the same keep their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        capture_output=True,
    ).stdout
    names = {name for name in listed.decode().split("\0") if name and (source / name).is_file()}
    for name in names:
        target = to / name
        if not target.exists() or target.read_bytes() != (source / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target)
    for path in to.rglob("*"):
        if path.is_file() and not path.is_symlink() and str(path.relative_to(to)) not in names:
            path.unlink()


class Runner:
    """Builds and runs suites in the copy."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def bazel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bazel", *arguments], cwd=self.tree, capture_output=True, text=True, check=False)

    def fails(self, suite: Suite) -> str | None:
        """How the suite fails; None if it passes. Raises BuildError."""
        # What does not depend on the mutant is compiled once for all copies. A mutant may leave a variable unused.
        flags = [f"--disk_cache={self.tree.parent / 'objects'}", "--per_file_copt=.*@-Wno-error"]
        built = self.bazel("build", f"--config={suite.config}", *flags, suite.target)
        if built.returncode != 0:
            raise BuildError("\n".join(line for line in built.stderr.splitlines() if "error" in line)[:2000])
        folder = self.bazel("info", f"--config={suite.config}", "bazel-bin").stdout.strip()
        program = Path(folder) / suite.target.removeprefix("//").replace(":", "/")
        try:
            run = subprocess.run(
                [
                    "timeout",
                    "--kill-after=10",
                    str(HANGS_AFTER_SECONDS),
                    program,
                    "--gtest_fail_fast",
                    *suite.arguments,
                ],
                cwd=self.tree,
                env={"PATH": "/usr/bin:/bin", **dict(suite.environment)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise BuildError(str(error)) from error
        if run.returncode == 0:
            return None
        if run.returncode in (124, 137):
            return "does not end"
        output = run.stdout.decode(errors="replace")
        failed = [line for line in output.splitlines() if line.startswith("[  FAILED  ]") and "." in line]
        if failed:
            return failed[0].removeprefix("[  FAILED  ]").strip().split(",")[0].split(" (")[0]
        # A fixture that aborts says why on its last line.
        return f"ends with status {run.returncode}: {(output.splitlines() or [''])[-1][:100]}"


def apply(mutant: Mutant, text: str) -> str:
    """The mutated text of the mutant's file. Raises BuildError if it has no such place, or several."""
    for old, new in ((mutant.old, mutant.new), *mutant.also):
        if text.count(old) != 1:
            raise BuildError(f"{mutant.file} has {text.count(old)} times, instead of once: {old!r}")
        text = text.replace(old, new)
    return text


def killed_by(runner: Runner, mutant: Mutant) -> tuple[str, str] | None:
    """The suite that kills the mutant and how; None if it survives. Raises BuildError."""
    path = runner.tree / mutant.file
    original = path.read_text()
    path.write_text(apply(mutant, original))
    try:
        for name in [mutant.killer, *(name for name in SUITES if name != mutant.killer)]:
            if (how := runner.fails(SUITES[name])) is not None:
                return name, how
        return None
    finally:
        path.write_text(original)


def check(source: Path) -> int:
    """Whether each mutant can be applied. Prints those that cannot."""
    failed = 0
    for mutant in MUTANTS:
        try:
            apply(mutant, (source / mutant.file).read_text())
        except BuildError as error:
            failed += 1
            print(f"{mutant.name}: {error}")
    print(f"{len(MUTANTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run(source: Path, chosen: list[Mutant], copies: int, folder: Path) -> int:
    """Tries the chosen mutants, `copies` at a time."""
    runners = []
    for copy in range(copies):
        tree = folder.resolve() / f"tree{copy}"
        tree.mkdir(parents=True, exist_ok=True)
        copy_tree(source, tree)
        runners.append(Runner(tree))
    free: queue.Queue[Runner] = queue.Queue()
    for runner in runners:
        free.put(runner)
    failing = threading.Event()

    def fails_anyway(name: str) -> str | None:
        runner = free.get()
        try:
            return None if failing.is_set() else runner.fails(SUITES[name])
        finally:
            free.put(runner)

    def judge(mutant: Mutant) -> tuple[Mutant, bool, str]:
        runner = free.get()
        start = time.monotonic()
        try:
            killer = killed_by(runner, mutant)
            verdict = "survives" if killer is None else f"killed by {killer[0]}: {killer[1]}"
        except BuildError as error:
            killer = None
            verdict = f"cannot be tried: {error}"
        finally:
            free.put(runner)
        return mutant, killer is not None, f"{verdict} ({time.monotonic() - start:.0f} s)"

    passed = failed = 0
    try:
        with ThreadPoolExecutor(copies) as pool:
            names = list(dict.fromkeys(m.killer for m in chosen))
            for name, how in zip(names, pool.map(fails_anyway, names), strict=True):
                if how is not None:
                    failing.set()
                    print(f"{name} fails without a mutant: {how}")
                    return 1
            for done in as_completed([pool.submit(judge, mutant) for mutant in chosen]):
                mutant, killed, verdict = done.result()
                passed += killed
                failed += not killed
                print(f"{passed + failed:3}/{len(chosen)} {mutant.name:34} {verdict}", flush=True)
    finally:
        for runner in runners:
            runner.bazel("shutdown")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only see whether each mutant can be applied")
    parser.add_argument("--copies", type=int, default=2, help="how many mutants are tried at a time")
    parser.add_argument("--folder", type=Path, default=Path(".cache/mutants"), help="where the copies of the tree are")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants; without any, all")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if arguments.copies < 1:
        parser.error("--copies takes a number from 1")
    source = Path(__file__).resolve().parents[2]
    if arguments.check:
        return check(source)
    chosen = [m for m in MUTANTS if not arguments.names or m.name in arguments.names]
    return run(source, chosen, arguments.copies, arguments.folder)


if __name__ == "__main__":
    sys.exit(main())
