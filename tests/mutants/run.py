"""Applies each mutant to a copy of the tree, and runs the suites until one kills it.

usage: python3 tests/mutants/run.py [--jobs N] [--copy FOLDER] [NAME...]

First every suite must pass on the unchanged copy: what fails anyway kills nothing. Then, mutant by mutant: the suite
that is named for it, and if the mutant survives that, all others. A suite kills by a failed test, by a crash, or by not
ending; a mutant that does not compile is an error here. One line each, and last `N passed, N failed`.
"""

import argparse
import shutil
import subprocess
import sys
import time
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

    def __init__(self, tree: Path, jobs: int) -> None:
        self.tree = tree
        self.jobs = jobs

    def bazel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bazel", *arguments], cwd=self.tree, capture_output=True, text=True, check=False)

    def fails(self, suite: Suite) -> str | None:
        """How the suite fails; None if it passes. Raises BuildError."""
        built = self.bazel("build", f"--config={suite.config}", f"--jobs={self.jobs}", suite.target)
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
        return f"ends with status {run.returncode}"


def killed_by(runner: Runner, mutant: Mutant) -> tuple[str, str] | None:
    """The suite that kills the mutant and how; None if it survives. Raises BuildError."""
    path = runner.tree / mutant.file
    original = path.read_text()
    mutated = original
    for old, new in ((mutant.old, mutant.new), *mutant.also):
        if mutated.count(old) != 1:
            raise BuildError(f"{mutant.file} has {mutated.count(old)} times, instead of once: {old!r}")
        mutated = mutated.replace(old, new)
    path.write_text(mutated)
    try:
        for name in [mutant.killer, *(name for name in SUITES if name != mutant.killer)]:
            if (how := runner.fails(SUITES[name])) is not None:
                return name, how
        return None
    finally:
        path.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="of the build")
    parser.add_argument("--copy", type=Path, default=Path(".cache/mutants/tree"), help="where the copy of the tree is")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants; without any, all")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [m for m in MUTANTS if not arguments.names or m.name in arguments.names]

    source = Path(__file__).resolve().parents[2]
    tree = arguments.copy.resolve()
    tree.mkdir(parents=True, exist_ok=True)
    copy_tree(source, tree)
    runner = Runner(tree, arguments.jobs)
    passed = failed = 0
    try:
        for name in dict.fromkeys(m.killer for m in chosen):
            how = runner.fails(SUITES[name])
            if how is not None:
                print(f"{name} fails without a mutant: {how}")
                return 1
        for number, mutant in enumerate(chosen, 1):
            start = time.monotonic()
            try:
                killer = killed_by(runner, mutant)
                verdict = "survives" if killer is None else f"killed by {killer[0]}: {killer[1]}"
            except BuildError as error:
                killer = None
                verdict = f"cannot be tried: {error}"
            passed += killer is not None
            failed += killer is None
            seconds = time.monotonic() - start
            print(f"{number:3}/{len(chosen)} {mutant.name:34} {verdict} ({seconds:.0f} s)", flush=True)
    finally:
        runner.bazel("shutdown")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
