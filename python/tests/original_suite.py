"""shared-memory-dict's own tests, run against this package: once without SHARED_MEMORY_USE_LOCK, with 0, and with 1.

    SEGDICT_ORIGINAL=DIRECTORY python python/tests/original_suite.py [options for pytest]

with pytest, pytest-asyncio, Django and aiocache installed. DIRECTORY has its repository, of which only the tests are
used: they run as they are, with `install_as_shared_memory_dict` in force. Those in different.py are not run; with
SEGDICT_DIFFERENT=1 they are, and they alone, to see that they still differ.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from different import ORIGINAL

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
# The names that the tests use.
SEGMENTS = [f"/dev/shm/sm_{name}" for name in ("ut", "unit-tests", "smc")]

# ---- As a plugin of pytest ----

_counts: dict[str, int] = {}


def pytest_configure(config: Any) -> None:
    import segdict

    assert "shared_memory_dict" not in sys.modules
    segdict.install_as_shared_memory_dict()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    import shared_memory_dict

    import segdict

    assert shared_memory_dict is segdict.shared_memory_dict
    run, other = [], []
    for item in items:
        (other if item.nodeid in ORIGINAL else run).append(item)
    unknown = set(ORIGINAL) - {item.nodeid for item in items}
    assert not unknown, f"different.py names tests that there are not: {unknown}"
    if os.environ.get("SEGDICT_DIFFERENT"):
        run, other = other, run
    _counts["different"] = len(other)
    config.hook.pytest_deselected(items=other)
    items[:] = run


def pytest_terminal_summary(terminalreporter: Any) -> None:
    _counts.update({name: len(tests) for name, tests in terminalreporter.stats.items()})
    with open(os.environ["SEGDICT_COUNTS"], "w") as file:
        json.dump(_counts, file)


# ---- As a program ----


def run(original: str, scratch: str, mode: str | None, options: list[str]) -> dict[str, int]:
    where = f"{scratch}/{mode}"
    shutil.copytree(f"{original}/tests", f"{where}/tests")
    with open(f"{where}/pytest.ini", "w") as file:
        file.write(INI)
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "PYTHONPATH": here, "SEGDICT_COUNTS": f"{where}/counts"}
    environment.pop("SHARED_MEMORY_USE_LOCK", None)
    if mode is not None:
        environment["SHARED_MEMORY_USE_LOCK"] = mode
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "original_suite", "-q", *options, "tests"], cwd=where, env=environment
    )
    for path in SEGMENTS:
        if os.path.exists(path):
            os.unlink(path)
    counts = {}
    if os.path.exists(f"{where}/counts"):
        with open(f"{where}/counts") as file:
            counts = json.load(file)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    counts["failed"] = max(failed, 1 if done.returncode != 0 else 0)
    return counts


def main() -> int:
    original = os.environ.get("SEGDICT_ORIGINAL")
    if not original or not os.path.isdir(f"{original}/tests"):
        sys.exit("SEGDICT_ORIGINAL is not the directory of shared-memory-dict's repository")
    taken = [path for path in SEGMENTS if glob.glob(path)]
    if taken:
        sys.exit(f"the tests use these segments, and they are there already: {', '.join(taken)}")
    lines, passed, failed = [], 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for mode in (None, "0", "1"):
            counts = run(original, scratch, mode, sys.argv[1:])
            passed += counts.get("passed", 0)
            failed += counts["failed"]
            named = "without SHARED_MEMORY_USE_LOCK" if mode is None else f"SHARED_MEMORY_USE_LOCK={mode}"
            lines.append(
                f"{named}: {counts.get('passed', 0)} passed, {counts['failed']} failed, "
                f"{counts.get('skipped', 0)} skipped, {counts.get('different', 0)} not run (see different.py)"
            )
    print("\n".join(lines))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
