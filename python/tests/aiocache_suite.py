"""aiocache's own tests of its memory cache, run against SharedMemoryCache.

    python python/tests/aiocache_suite.py [options for pytest]

with aiocache (0.12 or 1.0), pytest, pytest-asyncio, pytest-mock and marshmallow installed, in the versions that
aiocache's requirements ask for. The tests are those of the directory SEGDICT_AIOCACHE_SOURCE (aiocache's repository, or
a source distribution), else of the source distribution of the aiocache that is installed, which pip downloads. They run
as they are; wherever they (or aiocache) name SimpleMemoryCache they get a SharedMemoryCache with a segment of its own.

Tests that expect what a cache in shared memory does not do are in different.py, each with the reason; with
SEGDICT_DIFFERENT=1 those run, and those alone.
"""

from __future__ import annotations

import collections
import fnmatch
import glob
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from types import ModuleType
from typing import Any

from different import AIOCACHE

TESTS = ["tests/acceptance", "tests/ut/backends/test_memory.py"]
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore:never awaited
    ignore:Unknown config option
xfail_strict = true
markers =
    memcached: tests requiring memcached backend
    redis: tests requiring redis backend
    valkey: tests requiring valkey backend
"""


# ---- As a plugin of pytest, in the process that runs the tests ----


class _InPlaceOfMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads aiocache.backends.memory with our class for its own."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "aiocache.backends.memory":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        self._origin = spec.loader
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module: ModuleType) -> None:
        self._origin.exec_module(module)  # type: ignore[union-attr]  # it has a loader
        for name in ("SimpleMemoryCache", "SimpleMemoryBackend"):
            if hasattr(module, name):
                setattr(module, name, _cache_class(name))


def _cache_class(name: str) -> type:
    from segdict.caches.aiocache import SharedMemoryCache

    numbers = itertools.count()

    class Cache(SharedMemoryCache):
        NAME = "memory"  # while aiocache makes its registry

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(name=f"{_segments()}-{next(numbers)}-{name}", **kwargs)

        def __setattr__(self, attribute: str, value: Any) -> None:
            # The tests put the content of a cache there.
            if attribute == "_cache" and type(value) in (dict, collections.OrderedDict):
                self._cache.clear()
                self._cache.update(value)
            else:
                super().__setattr__(attribute, value)

    Cache.__name__ = Cache.__qualname__ = name
    return Cache


def _segments() -> str:
    return f"aiocache-suite-{os.getpid()}"


_counts: dict[str, int] = {}


def _reason(item: Any) -> str | None:
    for what, reason in AIOCACHE.items():
        if what.startswith("@"):
            if item.get_closest_marker(what[1:]) is not None:
                return reason
        elif fnmatch.fnmatchcase(item.nodeid, what.replace("[", "[[]")):
            return reason
    return None


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    from aiocache.backends.memory import SimpleMemoryCache

    del SimpleMemoryCache.NAME
    reasons = {item: _reason(item) for item in items}
    needing = [item for item in items if str(reasons[item]).startswith("needs ")]
    different = [item for item in items if reasons[item] and item not in needing]
    others = [item for item in items if not reasons[item]]
    _counts.update(needing=len(needing), different=len(different))
    if os.environ.get("SEGDICT_DIFFERENT"):
        different, others = others, different
    config.hook.pytest_deselected(items=needing + different)
    items[:] = others


def pytest_terminal_summary(terminalreporter: Any) -> None:
    _counts.update({name: len(tests) for name, tests in terminalreporter.stats.items()})
    with open(os.environ["SEGDICT_COUNTS"], "w") as file:
        json.dump(_counts, file)


def pytest_unconfigure(config: Any) -> None:
    for path in glob.glob(f"/dev/shm/sm_{_segments()}-*"):
        os.unlink(path)


# ---- As a program ----


def _source(scratch: str) -> str:
    given = os.environ.get("SEGDICT_AIOCACHE_SOURCE")
    if given:
        return given
    wanted = f"aiocache=={version('aiocache')}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-binary", ":all:", "--no-deps", "-d", scratch, wanted],
        check=True,
    )
    (archive,) = glob.glob(f"{scratch}/*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(scratch)
    return archive[: -len(".tar.gz")]


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        source = _source(scratch)
        run = f"{scratch}/run"
        shutil.copytree(f"{source}/tests", f"{run}/tests")
        with open(f"{run}/pytest.ini", "w") as file:
            file.write(INI)
        counts_file = f"{scratch}/counts"
        here = os.path.dirname(os.path.abspath(__file__))
        environment = {**os.environ, "PYTHONPATH": here, "SEGDICT_COUNTS": counts_file}
        command = [sys.executable, "-m", "pytest", "-p", "aiocache_suite", "-q", *(sys.argv[1:] or ()), *TESTS]
        done = subprocess.run(command, cwd=run, env=environment)
        counts = {"error": 1}
        if os.path.exists(counts_file):
            with open(counts_file) as file:
                counts = json.load(file)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    print(
        f"aiocache {version('aiocache')}: {counts.get('different')} different (see different.py), "
        f"{counts.get('needing')} need a server, {counts.get('skipped', 0)} skipped"
    )
    print(f"{counts.get('passed', 0)} passed, {failed} failed")
    return 1 if failed or done.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
# The plugin is loaded before any conftest, and they import aiocache.
assert "aiocache" not in sys.modules
sys.meta_path.insert(0, _InPlaceOfMemory())
