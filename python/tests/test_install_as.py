"""install_as_shared_memory_dict, each time in an interpreter of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import run_python

BEGIN = "import segdict, sys; segdict.install_as_shared_memory_dict()\n"


def test_the_same_modules() -> None:
    code = (
        BEGIN
        + """if True:
        import importlib
        segdict.install_as_shared_memory_dict()
        assert sum(type(finder).__module__ == "segdict._install" for finder in sys.meta_path) == 1
        assert "shared_memory_dict" not in sys.modules
        import shared_memory_dict
        from shared_memory_dict import SharedMemoryDict
        from shared_memory_dict.dict import DEFAULT_SERIALIZER, NOT_GIVEN, logger
        import shared_memory_dict.hooks as hooks, shared_memory_dict.lock, shared_memory_dict.templates
        import shared_memory_dict.caches
        assert SharedMemoryDict is segdict.SharedMemoryDict
        for name in ("", ".dict", ".hooks", ".serializers", ".lock", ".templates", ".caches"):
            theirs = importlib.import_module("shared_memory_dict" + name)
            ours = importlib.import_module("segdict.shared_memory_dict" + name)
            assert theirs is ours is sys.modules["shared_memory_dict" + name]
            assert ours.__name__ == ours.__spec__.name == "segdict.shared_memory_dict" + name
        assert shared_memory_dict.dict is sys.modules["segdict.shared_memory_dict.dict"]
        assert hooks is sys.modules["segdict.shared_memory_dict.hooks"]
        assert importlib.reload(shared_memory_dict.templates) is shared_memory_dict.templates
        from unittest.mock import patch
        with patch("shared_memory_dict.hooks.SharedMemory") as mock:
            segdict.shared_memory_dict.hooks.create_shared_memory("x", 5)
        mock.assert_called_once_with("sm_x", create=True, size=5)
        try:
            import shared_memory_dict.nothing
        except ModuleNotFoundError as error:
            assert error.name == "shared_memory_dict.nothing", error.name
        else:
            assert False
        import importlib.util
        assert importlib.util.find_spec("shared_memory_dict.nothing") is None
        segdict.install_as_shared_memory_dict()
        print("good")
        """
    )
    done = run_python(code)
    assert done.stdout == "good\n"
    assert done.stderr == ""


def test_nothing_is_imported_early() -> None:
    code = (
        BEGIN
        + """if True:
        import shared_memory_dict, shared_memory_dict.caches
        print([name for name in ("django", "aiocache", "numpy") if name in sys.modules])
        """
    )
    assert run_python(code).stdout == "[]\n"


@pytest.mark.parametrize("cache", ["django", "aiocache"])
def test_caches(cache: str) -> None:
    pytest.importorskip(cache, reason="an optional package")
    code = (
        BEGIN
        + f"""if True:
        import importlib
        theirs = importlib.import_module("shared_memory_dict.caches.{cache}")
        assert "{"aiocache" if cache == "django" else "django"}" not in sys.modules
        assert theirs is sys.modules["segdict.shared_memory_dict.caches.{cache}"]
        from segdict.caches.{cache} import SharedMemoryCache
        assert theirs.SharedMemoryCache is SharedMemoryCache
        """
    )
    run_python(code)


def test_a_missing_cache_library_says_which() -> None:
    code = (
        BEGIN
        + """if True:
        class Without:
            def find_spec(self, name, path, target=None):
                if name.split(".")[0] == "django":
                    raise ModuleNotFoundError("No module named 'django'", name="django")
        sys.meta_path.insert(0, Without())
        try:
            import shared_memory_dict.caches.django
        except ModuleNotFoundError as error:
            print(error.name)
        """
    )
    assert run_python(code).stdout == "django\n"


def test_the_package_itself_was_imported_before(tmp_path: Path) -> None:
    package = tmp_path / "shared_memory_dict"
    package.mkdir()
    (package / "__init__.py").write_text("")
    code = """if True:
        import shared_memory_dict, segdict
        try:
            segdict.install_as_shared_memory_dict()
        except RuntimeError as error:
            print(error)
        import shared_memory_dict
        print(shared_memory_dict.__file__)
        """
    printed = run_python(code, env={**os.environ, "PYTHONPATH": str(tmp_path)}).stdout.splitlines()
    assert f"shared_memory_dict was imported already, from {package / '__init__.py'}" in printed[0]
    assert printed[1] == str(package / "__init__.py")


def test_installed_beside_the_package_itself(tmp_path: Path) -> None:
    package = tmp_path / "shared_memory_dict"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the wrong one')")
    code = BEGIN + "import shared_memory_dict; print(shared_memory_dict is segdict.shared_memory_dict)"
    assert run_python(code, env={**os.environ, "PYTHONPATH": str(tmp_path)}).stdout == "True\n"
