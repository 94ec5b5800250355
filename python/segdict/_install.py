"""Lets programs that import shared_memory_dict have this package instead."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_THEIRS = "shared_memory_dict"
_OURS = "segdict.shared_memory_dict"


class _Alias(Loader):
    """Gives the module that there is under another name."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just set that of the other name


class _Finder(MetaPathFinder):
    """Finds shared_memory_dict and its modules when they are imported, not before: Django may be missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _THEIRS and not fullname.startswith(_THEIRS + "."):
            return None
        name = _OURS + fullname[len(_THEIRS) :]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                return None
            raise
        return ModuleSpec(fullname, _Alias(module), is_package=hasattr(module, "__path__"))


_finder = _Finder()


def install_as_shared_memory_dict() -> None:
    """Makes ``import shared_memory_dict``, and the import of any module in it, give the modules of this package.

    To be called at the program's start, for code that cannot be changed. May be called again. RuntimeError if the
    package shared-memory-dict itself has been imported already.
    """
    imported = sys.modules.get(_THEIRS)
    if imported is not None and imported is not sys.modules.get(_OURS):
        raise RuntimeError(
            f"shared_memory_dict was imported already, from {getattr(imported, '__file__', None)}: call "
            f"segdict.install_as_shared_memory_dict() before anything imports it"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
