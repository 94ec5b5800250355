"""The examples, run as their heads say (gunicorn's is in test_gunicorn.py)."""

from __future__ import annotations

import doctest
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_rate_limiter() -> None:
    spec = importlib.util.spec_from_file_location("rate_limiter", EXAMPLES / "rate_limiter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = doctest.testmod(module)
    assert result.attempted >= 6
    assert result.failed == 0


def test_data_loader() -> None:
    pytest.importorskip("numpy", reason="an optional package")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "data_loader.py"), "200", "3", "3"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].rsplit(" ", 1)[1] == lines[2].rsplit(" ", 1)[1]  # later epochs decode nothing
    assert 200 <= int(lines[2].rsplit(" ", 1)[1]) <= 300


def test_demo() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py")], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    assert "0 torn values; verify: ok" in done.stdout
