"""What the README of shared-memory-dict shows, typed into two interpreters.

As it stands there, but for the names of the prompts ('>>' is '>>>') and of a statement ('From' is 'from'); with
SEGDICT_ORIGINAL, the directory of its repository, it is looked up that it does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SESSION = [
    ("first", "from shared_memory_dict import SharedMemoryDict", None),
    ("first", "smd = SharedMemoryDict(name='tokens', size=1024)", None),
    ("first", "smd['some-key'] = 'some-value-with-any-type'", None),
    ("first", "smd['some-key']", "'some-value-with-any-type'"),
    ("second", "existing_smd = SharedMemoryDict(name='tokens', size=1024)", None),
    ("second", "existing_smd['some-key']", "'some-value-with-any-type'"),
    ("second", "existing_smd['new-key'] = 'some-value-with-any-type'", None),
    ("first", "smd['new-key']", "'some-value-with-any-type'"),
    ("second", "existing_smd.shm.close()", None),
    ("first", "smd.shm.close()", None),
    ("first", "smd.shm.unlink()", None),
    ("first", "del smd", None),
]

SERIALIZER = """
NULL_BYTE: Final = b"\\x00"


class JSONSerializer:
    def dumps(self, obj: dict) -> bytes:
        return json.dumps(obj).encode() + NULL_BYTE

    def loads(self, data: bytes) -> dict:
        data = data.split(NULL_BYTE, 1)[0]
        return json.loads(data)
"""
WITH_SERIALIZER = "smd = SharedMemoryDict(name='tokens', size=1024, serializer=JSONSerializer())"

DJANGO = """
CACHES = {
    'default': {
        'BACKEND': 'shared_memory_dict.caches.django.SharedMemoryCache',
        'LOCATION': 'memory',
        'OPTIONS': {'MEMORY_BLOCK_SIZE': 1024}
    }
}
"""

AIOCACHE = """
from aiocache import caches

caches.set_config({
    'default': {
        'cache': 'shared_memory_dict.caches.aiocache.SharedMemoryCache',
        'size': 1024,
    },
})
"""


class Shell:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-i", "-q", "-c", "import segdict; segdict.install_as_shared_memory_dict()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def enter(self, code: str) -> str:
        """What the interpreter prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if "\n" in code:
            code = f"exec({code!r})"
        self._process.stdin.write(f"{code}\nprint('~')\n")
        self._process.stdin.flush()
        printed = []
        for line in self._process.stdout:
            if line == "~\n":
                break
            printed.append(line)
        return "".join(printed)

    def leave(self) -> None:
        """Nothing but prompts may have been written to stderr."""
        _, errors = self._process.communicate(timeout=60)
        assert re.fullmatch(r"(>>> |\.\.\. |\s)*", errors), errors


@pytest.fixture
def shells() -> Iterator[tuple[Shell, Shell]]:
    names = ["tokens", "memory", "smc"]
    for name in names:
        if os.path.exists(f"/dev/shm/sm_{name}"):
            pytest.skip(f"/dev/shm/sm_{name} is in use")
    two = (Shell(), Shell())
    yield two
    try:
        for shell in two:
            shell.leave()
    finally:
        for name in names:
            if os.path.exists(f"/dev/shm/sm_{name}"):
                os.unlink(f"/dev/shm/sm_{name}")


def test_the_session(shells: tuple[Shell, Shell]) -> None:
    first, second = shells
    second.enter("from shared_memory_dict import SharedMemoryDict")
    for who, code, expected in SESSION:
        printed = {"first": first, "second": second}[who].enter(code)
        assert printed == (f"{expected}\n" if expected else ""), code
    assert not os.path.exists("/dev/shm/sm_tokens")
    assert first.enter("'smd' in globals()") == "False\n"


def test_the_serializer(shells: tuple[Shell, Shell]) -> None:
    for shell in shells:
        for code in ("import json", "from typing import Final", "from shared_memory_dict import SharedMemoryDict"):
            shell.enter(code)
        shell.enter(SERIALIZER)
        assert shell.enter(WITH_SERIALIZER) == ""
    first, second = shells
    first.enter("smd['a'] = (1, 2)")
    assert second.enter("smd['a']") == "[1, 2]\n"
    assert second.enter("smd") == "{'a': [1, 2]}\n"


def test_django(shells: tuple[Shell, Shell]) -> None:
    pytest.importorskip("django", reason="an optional package")
    for shell in shells:
        shell.enter(DJANGO)
        shell.enter("from django.conf import settings")
        shell.enter("settings.configure(CACHES=CACHES)")
        shell.enter("from django.core.cache import cache")
    first, second = shells
    first.enter("cache.set('key', {'a': [1]}, 60)")
    assert second.enter("cache.get('key')") == "{'a': [1]}\n"
    assert second.enter("type(cache._cache).__name__") == "'SharedMemoryDict'\n"


def test_aiocache(shells: tuple[Shell, Shell]) -> None:
    pytest.importorskip("aiocache", reason="an optional package")
    for shell in shells:
        shell.enter("import asyncio")
        shell.enter(AIOCACHE)
        shell.enter("cache = caches.get('default')")
    first, second = shells
    first.enter("asyncio.run(cache.set('key', {'a': [1]}))")
    assert second.enter("asyncio.run(cache.get('key'))") == "{'a': [1]}\n"


def test_it_is_what_the_readme_says() -> None:
    original = os.environ.get("SEGDICT_ORIGINAL")
    if not original:
        pytest.skip("SEGDICT_ORIGINAL is not set")
    text = Path(original, "README.md").read_text().replace("From aiocache", "from aiocache")
    typed = [re.sub(r" +#.*", "", line) for line in re.findall(r"^>>>? ([^#].*)$", text, re.MULTILINE)]
    assert [*(code for _, code, _ in SESSION), WITH_SERIALIZER] == typed
    for block in (DJANGO, AIOCACHE):  # the serializer there is another one since 0.7.2
        assert block.strip() in text
