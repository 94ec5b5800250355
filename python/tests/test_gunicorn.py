"""gunicorn with four real workers, which share counters and a cache under real requests."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gunicorn")

EXAMPLE = Path(__file__).parent.parent / "examples" / "gunicorn_counters"


@pytest.fixture
def server(name: str, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = open(tmp_path / "log", "wb")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn_config.py", "--bind", f"127.0.0.1:{port}", "main:app"],
        cwd=EXAMPLE,
        env={**os.environ, "COUNTERS": name},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            _get(url + "/pid")
            break
        except OSError:
            time.sleep(0.05)
    try:
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
            log.close()
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text, text
    assert "leaked" not in text, text
    assert not os.path.exists(f"/dev/shm/{name}")  # on_exit has freed it


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)


def test_workers_share_counters(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, _ = server
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        pids = {answer["pid"] for answer in pool.map(_get, [url + "/hit/page"] * 400)}
    assert len(pids) == 4
    assert _get(url + "/count/page") == {"count": 400}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(_get, [url + "/limited/client"] * 60))
    assert sum(answer["allowed"] for answer in answers) == 25  # the limit, over all workers together


def test_a_killed_worker_takes_nothing_along(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, _ = server
    hits = 0
    for _ in range(5):
        os.kill(_get(url + "/pid")["pid"], signal.SIGKILL)
        for _ in range(40):
            try:
                _get(url + "/hit/other")
                hits += 1
            except OSError:
                time.sleep(0.05)  # the connection that the dead worker had taken
    count = _get(url + "/count/other")["count"]
    assert hits <= count <= hits + 5
