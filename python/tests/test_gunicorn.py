"""gunicorn with four real workers, which share counters and a cache under real requests."""

from __future__ import annotations

import concurrent.futures
import contextlib
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

pytest.importorskip("gunicorn", reason="an optional package")

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextlib.contextmanager
def _gunicorn(folder: str, log: Path, arguments: list[str], **environment: str) -> Iterator[str]:
    """A server of that example; its URL. It must end well, and say nothing of leaks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *arguments],
            cwd=EXAMPLES / folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()
    text = log.read_text()
    assert "Traceback" not in text, text
    assert "leaked" not in text, text


@pytest.fixture
def server(name: str, tmp_path: Path) -> Iterator[str]:
    arguments = ["--config", "gunicorn_config.py", "main:app"]
    with _gunicorn("gunicorn_counters", tmp_path / "log", arguments, COUNTERS=name) as url:
        yield url
    assert not os.path.exists(f"/dev/shm/{name}")  # on_exit has freed it


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)


def _until_all_answer(url: str, workers: int) -> list[Any]:
    """Answers, until each of so many workers has given one: some may start later than others."""
    answers: list[Any] = []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            answers += pool.map(_get, [url] * 100)
            if len({answer["pid"] for answer in answers}) == workers:
                return answers
    pytest.fail(f"of {workers} workers {len({answer['pid'] for answer in answers})} answered")


def test_workers_share_counters(server: str) -> None:
    answers = _until_all_answer(server + "/hit/page", 4)
    assert sorted(answer["count"] for answer in answers) == list(range(1, len(answers) + 1))
    assert _get(server + "/count/page") == {"count": len(answers)}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(_get, [server + "/limited/client"] * 60))
    assert sum(answer["allowed"] for answer in answers) == 25  # the limit, over all workers together


def test_a_killed_worker_takes_nothing_along(server: str) -> None:
    url, hits = server, 0
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


def test_django_project(name: str, tmp_path: Path) -> None:
    """Views of several workers count together, and show the page that one of them has made."""
    pytest.importorskip("django", reason="an optional package")
    with _gunicorn("django_project", tmp_path / "log", ["--workers", "3", "website:application"], CACHE=name) as url:
        answers = _until_all_answer(url + "/hits/front", 3)
        assert sorted(answer["hits"] for answer in answers) == list(range(1, len(answers) + 1))
        assert len({json.dumps(_get(url + "/slow")) for _ in range(20)}) == 1
