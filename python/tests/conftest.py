"""What the tests share: names of segments that nobody else has and that go with their test, enums, interpreters."""

from __future__ import annotations

import enum
import glob
import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import segdict

_numbers = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name of its own for each test; segments whose name begins with it (or with sm_ and it) go with the test."""
    mine = f"segdict-test-{os.getpid()}-{next(_numbers)}"
    yield mine
    for path in glob.glob(f"/dev/shm/{mine}*") + glob.glob(f"/dev/shm/sm_{mine}*"):
        os.unlink(path)


@pytest.fixture
def make(name: str) -> Iterator[Callable[..., segdict.Dict[Any, Any]]]:
    """Makes a dict of the test's name (or opens it again)."""
    made: list[segdict.Dict[Any, Any]] = []

    def make(capacity: int | None = 1000, **options: Any) -> segdict.Dict[Any, Any]:
        made.append(segdict.Dict(name, capacity, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def d(make: Callable[..., segdict.Dict[Any, Any]]) -> segdict.Dict[Any, Any]:
    return make()


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Level(enum.IntEnum):
    LOW = 1


def run_python(code: str, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `code` in another interpreter, which knows nothing of this one."""
    return run([sys.executable, "-c", code, *arguments], check=check, **options)


def run(command: list[str], check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, text=True, capture_output=True, timeout=120, **options)


# Goes on in a root folder that has all that "/" has. What is mounted here is so for this process alone; "/" itself need
# not be a mount in a chroot, whose mounts are private already.
OPEN_ROOT = """
mount --make-rprivate / 2>/dev/null || true
mount -t tmpfs -o mode=755 none /mnt
for path in /*; do
  if [ -L "$path" ]; then cp -P "$path" /mnt
  elif [ -d "$path" ] && [ "$path" != /mnt ]; then mkdir "/mnt$path" && mount --rbind "$path" "/mnt$path"
  fi
done
exec chroot /mnt "$@"
"""


def run_python_of_others(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same for code that becomes another user: for whom a chroot's root folder is often closed. Needs root."""
    command = [sys.executable, "-c", code, *arguments]
    if not os.stat("/").st_mode & stat.S_IXOTH:
        command = ["unshare", "--mount", "--propagation=unchanged", "sh", "-ec", OPEN_ROOT, "sh", *command]
    return run(command)
