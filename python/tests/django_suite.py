"""Runs Django's own tests of caches against segdict.caches.django.

    python python/tests/django_suite.py FOLDER [-k PATTERN]

They are taken from the source distribution of the Django that this interpreter has, which is downloaded into FOLDER
unless it is there. What runs:

  BaseCacheTests    what Django asks of each of its backends, as for LocMemCache
  the same again    through the asynchronous methods, which must never wait
  CacheUtils ...    the tests of the cache middleware and the like which are written for LocMemCache
  AsyncDummyCacheTests  of tests_async.py

What cannot pass stands in different.py, with the reason. The last line is "N passed, N failed".
"""

# Django has no types.
# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

import argparse
import copy
import glob
import inspect
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import different

BACKEND = "segdict.caches.django.SharedMemoryCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
LOCATION = f"segdict-suite-{os.getpid()}"


def source_of_tests(folder: str, version: str) -> str:
    """The sdist's path; downloads it if it is not there."""

    def found() -> list[str]:
        return glob.glob(os.path.join(glob.escape(folder), f"[dD]jango-{version}.tar.gz"))

    if not found():
        os.makedirs(folder, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-binary", ":all:", "--no-deps", f"Django=={version}", "--dest", folder],
            check=True,
            stdout=sys.stderr,
        )
    return found()[0]


def unpack(archive: str, to: str) -> None:
    """tests/cache of the sdist, as the package `cache`."""
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if parts[1:3] != ["tests", "cache"] or not member.isfile():
                continue
            path = os.path.join(to, *parts[2:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            with open(path, "wb") as target:
                shutil.copyfileobj(source, target)


def set_up(scratch: str) -> None:
    """Django with the settings that its tests of caches rely on; those of its runtests.py and test_sqlite.py."""
    import django
    from django.conf import settings

    sys.path.insert(0, scratch)
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        SECRET_KEY="for tests",
        DATABASES={"default": database, "other": dict(database)},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=False,
        LANGUAGE_CODE="en",
        INSTALLED_APPS=["cache"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    django.setup()


def ours(settings: dict[str, Any]) -> dict[str, Any]:
    """The same caches with this backend, none of them shared with another's tests."""
    caches = copy.deepcopy(settings)
    for cache in caches.values():
        cache["BACKEND"] = BACKEND
        cache["LOCATION"] = f"{LOCATION}-{cache.get('LOCATION', '')}"
    return caches


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Its result. It must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("an asynchronous method waits")


def through_twins(backend: type[Any]) -> type[Any]:
    """The backend with each method calling its asynchronous twin, which calls the real one."""

    def route(name: str) -> Callable[..., Any]:
        real = getattr(backend, name)
        twin = getattr(backend, "a" + name)
        inside = False

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return real(self, *args, **kwargs)
            inside = True
            try:
                return finish(twin(self, *args, **kwargs))
            finally:
                inside = False

        return method

    names = [name for name in dir(backend) if inspect.iscoroutinefunction(getattr(backend, "a" + name, None))]
    assert len(names) == 16, names
    return type("ThroughTwins", (backend,), {name: route(name) for name in names})


def classes() -> Iterator[type[unittest.TestCase]]:
    """The test classes, for our backend."""
    from cache import tests, tests_async
    from django.test import TestCase, override_settings

    from segdict.caches import django as backend

    location = f"{LOCATION}-base"
    base = override_settings(CACHES=tests.caches_setting_for_tests(BACKEND=BACKEND, LOCATION=location))
    yield base(type("BaseCacheTests", (tests.BaseCacheTests, TestCase), {}))

    backend.ThroughTwins = through_twins(backend.SharedMemoryCache)  # type: ignore[attr-defined, unused-ignore]  # an attribute of our own
    path = BACKEND.replace("SharedMemoryCache", "ThroughTwins")
    twins = override_settings(CACHES=tests.caches_setting_for_tests(BACKEND=path, LOCATION=location))
    yield twins(type("ThroughTwins", (tests.BaseCacheTests, TestCase), {}))

    for kind in vars(tests).values():
        caches = getattr(kind, "_overridden_settings", None) and kind._overridden_settings.get("CACHES")
        if caches and {cache.get("BACKEND") for cache in caches.values()} == {LOCMEM}:
            if issubclass(kind, tests.BaseCacheTests):
                continue  # the same as above, and what LocMemCache alone has
            yield override_settings(CACHES=ours(caches))(type(kind.__name__, (kind,), {}))

    dummy = tests_async.AsyncDummyCacheTests
    caches = dummy._overridden_settings["CACHES"]
    yield override_settings(CACHES=ours(caches))(type(dummy.__name__, (dummy,), {"tearDown": lambda self: clear()}))


def clear() -> None:
    from django.core.cache import cache

    cache.clear()


def tests_to_run(pattern: str) -> unittest.TestSuite:
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*"]
    suite = unittest.TestSuite()
    known = set()
    for kind in classes():
        kind.__module__ = "django_suite"
        for name in dir(kind):
            test = f"{kind.__name__}.{name}"
            if test in different.DJANGO:
                known.add(test)
                setattr(kind, name, None)
        suite.addTests(loader.loadTestsFromTestCase(kind))
    for test in sorted(different.DJANGO.keys() - known):
        print(f"note: different.py has {test}, which this Django has not")
    return suite


class Result(unittest.TextTestResult):  # type: ignore[type-arg, unused-ignore]  # generic for some versions of the stubs
    """Knows the tests that failed, however many of their subtests did."""

    def failed(self) -> set[str]:
        def name(test: Any) -> str:
            return str(getattr(test, "test_case", test).id())

        return {name(test) for test, _ in [*self.failures, *self.errors, *((t, "") for t in self.unexpectedSuccesses)]}


def main() -> int:
    parser = argparse.ArgumentParser(description="Django's tests of caches, for segdict.caches.django")
    parser.add_argument("folder", help="where source distributions are kept")
    parser.add_argument("-k", dest="pattern", default="", help="runs only tests whose name has this in it")
    arguments = parser.parse_args()

    import django

    archive = source_of_tests(arguments.folder, django.__version__)
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archive, scratch)
        set_up(scratch)
        from django.test.runner import DiscoverRunner
        from django.test.utils import setup_test_environment, teardown_test_environment

        print(f"Django {django.__version__}, Python {sys.version.split()[0]}", flush=True)
        setup_test_environment()
        runner = DiscoverRunner(verbosity=0, interactive=False)
        databases = runner.setup_databases(aliases={"default", "other"})
        try:
            suite = tests_to_run(arguments.pattern)
            result = unittest.TextTestRunner(
                sys.stdout,
                resultclass=Result,  # type: ignore[arg-type, unused-ignore]  # a class with the same interface
                warnings="default",
            ).run(suite)
        finally:
            runner.teardown_databases(databases)
            teardown_test_environment()
            for path in glob.glob(f"/dev/shm/sm_{LOCATION}*"):
                os.unlink(path)
    assert isinstance(result, Result)
    failed = len(result.failed())
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
