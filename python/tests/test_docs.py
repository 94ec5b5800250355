"""The documentation's sessions, run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PYTHON = Path(__file__).parent.parent


@pytest.mark.parametrize("text", ["README.md"])
def test_sessions(text: str) -> None:
    result = doctest.testfile(str(PYTHON / text), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0
