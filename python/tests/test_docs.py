"""The documentation's sessions, run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import segdict

PYTHON = Path(__file__).parent.parent


@pytest.mark.parametrize("text", ["README.md"])
def test_sessions(text: str) -> None:
    result = doctest.testfile(str(PYTHON / text), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_help_has_all_of_it() -> None:
    """What an extension's method says without a docstring is its signature."""
    named = 0
    for kind in (segdict.Dict, segdict.SharedMemoryDict):
        for name in dir(kind):
            if name.startswith("_"):
                continue
            named += 1
            text = getattr(kind, name).__doc__ or ""
            assert re.sub(r"\A\w+\(.*\) -> .*", "", text).strip(), f"{kind.__name__}.{name} has no docstring"
    assert named > 50
    assert segdict.Token.__doc__
