"""What SharedMemoryDict makes of segments that it did not make: raw memory, the original's, other users'."""

from __future__ import annotations

import contextlib
import glob
import json
import multiprocessing
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import time
from multiprocessing import shared_memory
from typing import Any
from unittest.mock import patch

import pytest

from conftest import run_python, run_python_of_others
from segdict import SharedMemoryDict
from segdict.errors import DeserializationError, FormatError, FullError
from segdict.shared_memory_dict import _segment, hooks
from segdict.shared_memory_dict.serializers import JSONSerializer
from shared_memory_dicts import Bomb

METHODS = multiprocessing.get_all_start_methods()


def raw(name: str, content: bytes, mode: int = 0o600) -> str:
    path = f"/dev/shm/sm_{name}"
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    return path


# ---- Raw memory ----


@pytest.mark.parametrize("size", [0, 1, 64, 4096, 100_000, 3 << 20])
def test_zeros_become_a_dict(name: str, size: int) -> None:
    raw(name, b"\0" * size)
    d = SharedMemoryDict(name, 1024)
    assert d == {}
    d["a"] = 1
    assert SharedMemoryDict(name, 1) == {"a": 1}


def test_a_sparse_file_is_not_read(name: str) -> None:
    with open(raw(name, b""), "r+b") as file:
        file.truncate(1 << 46)
    begin = time.perf_counter()
    assert SharedMemoryDict(name, 1024) == {}
    assert time.perf_counter() - begin < 10
    with open(raw(name + "-2", b""), "r+b") as file:
        file.seek(1 << 46)
        file.write(b"\1")
    with pytest.raises(FormatError):
        SharedMemoryDict(name + "-2", 1024)


def test_memory_of_the_hooks(name: str) -> None:
    hooks.create_shared_memory(name, 64)
    with pytest.raises(FileExistsError):
        hooks.create_shared_memory(name, 64)
    d = SharedMemoryDict(name, 1024)
    d["a"] = "x" * 1000
    with pytest.raises(FileExistsError):
        hooks.create_shared_memory(name, 64)
    hooks.free_shared_memory(name)
    assert d["a"] == "x" * 1000
    assert not glob.glob(f"/dev/shm/*{name}")
    with pytest.raises(FileNotFoundError):
        hooks.free_shared_memory(name)


def test_what_the_hooks_call(name: str) -> None:
    with patch("segdict.shared_memory_dict.hooks.SharedMemory") as mock:
        hooks.create_shared_memory(name, 64)
    mock.assert_called_once_with(f"sm_{name}", create=True, size=64)
    with patch("segdict.shared_memory_dict.hooks.SharedMemory") as mock:
        hooks.free_shared_memory(name)
    mock.assert_called_once_with(f"sm_{name}")
    mock.return_value.unlink.assert_called_once_with()


def test_memory_that_is_not_tracked(name: str) -> None:
    """By every process that ends: no warning, and the memory is still there."""
    code = """if True:
        import sys
        from multiprocessing import shared_memory
        from segdict.shared_memory_dict.hooks import SharedMemory
        memory = SharedMemory(sys.argv[1], create=True, size=10) if sys.argv[2] else SharedMemory(sys.argv[1])
        assert isinstance(memory, shared_memory.SharedMemory)
        assert memory.name == sys.argv[1] and memory.size >= 10 and bytes(memory.buf[:10]) == bytes(10), memory
        if sys.argv[2] == "unlink":
            memory.unlink()
        """
    for how, left in (("create", 1), ("", 1), ("", 1)):
        assert run_python(code, f"sm_{name}", how).stderr == ""
        assert len(glob.glob(f"/dev/shm/sm_{name}")) == left
    os.unlink(f"/dev/shm/sm_{name}")
    assert run_python(code, f"sm_{name}", "unlink").stderr == ""
    assert not glob.glob(f"/dev/shm/sm_{name}")
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            hooks.create_shared_memory(name, wrong)
    assert not glob.glob(f"/dev/shm/sm_{name}")


def test_memory_that_python_tracks(name: str) -> None:
    memory = shared_memory.SharedMemory(f"sm_{name}", create=True, size=64)
    d = SharedMemoryDict(name, 64)
    assert d == {}
    memory.close()
    memory.unlink()  # the name is the dict's now; and the tracker forgets it
    assert not glob.glob(f"/dev/shm/sm_{name}")


def enter(name: str, barrier: Any, rounds: int, who: int) -> None:
    for turn in range(rounds):
        barrier.wait(60)
        if who % 4 == 3:
            with contextlib.suppress(FileExistsError):
                hooks.create_shared_memory(f"{name}-{turn}", 64 + who)
        d = SharedMemoryDict(f"{name}-{turn}", 1024)
        d[who] = os.getpid()


@pytest.mark.parametrize("method", METHODS)
def test_all_come_into_the_same_dict(name: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    n, rounds = 8, 60
    for turn in range(0, rounds, 2):
        raw(f"{name}-{turn}", b"\0" * 64)
    barrier = context.Barrier(n)
    processes = [context.Process(target=enter, args=(name, barrier, rounds, who)) for who in range(n)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * n
    for turn in range(rounds):
        d = SharedMemoryDict(f"{name}-{turn}", 1)
        assert d == {who: process.pid for who, process in enumerate(processes)}, turn
        assert d.verify() == []
    assert not glob.glob("/dev/shm/.segdict-import-*")


def enter_all(name: str, rounds: int) -> None:
    for turn in range(rounds):
        SharedMemoryDict(f"{name}-{turn}", 1024)[os.getpid()] = turn


@pytest.mark.parametrize("method", METHODS)
def test_killed_while_taking_over(name: str, method: str) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    context = multiprocessing.get_context(method)
    rounds = 200
    for attempt in range(3):
        for turn in range(rounds):
            path = f"/dev/shm/sm_{name}-{turn}"
            if os.path.exists(path):
                os.unlink(path)
            raw(f"{name}-{turn}", b"\0" * 64)
        processes = [context.Process(target=enter_all, args=(name, rounds)) for _ in range(4)]
        for process in processes:
            process.start()
        while not SharedMemoryDict(f"{name}-{attempt}", 1024):
            pass
        for process in processes[:3]:
            time.sleep(rng.random() / 50)
            os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            process.join(120)
        assert processes[3].exitcode == 0, seed
        for turn in range(rounds):
            d = SharedMemoryDict(f"{name}-{turn}", 1024)
            assert d[processes[3].pid] == turn, seed
            assert d.verify() == [], seed
    assert not glob.glob("/dev/shm/.segdict-import-*")


def test_whoever_waited_looks_again(name: str) -> None:
    """The name may be another file's by the time that the lock is had."""
    import fcntl
    import threading

    path = raw(name, b"\0" * 64)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        results: list[SharedMemoryDict] = []
        thread = threading.Thread(target=lambda: results.append(SharedMemoryDict(name, 1024)))
        thread.start()
        time.sleep(0.2)
        os.unlink(path)
        winner = SharedMemoryDict(name, 1024)
        winner["a"] = 1
    thread.join(60)
    assert results[0] == {"a": 1}


# ---- The original's ----


def by_original(content: dict[Any, Any], size: int = 1024) -> bytes:
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return data + b"\0" * (size - len(data))


def test_a_dict_of_the_original_is_told_from_others(name: str) -> None:
    for content, how in (
        (by_original({"a": 1}), r"<size>\)"),
        (b'{"a": 1}\0', r"<size>, serializer=JSONSerializer\(\)\)"),
    ):
        path = raw(name, content)
        with pytest.raises(FormatError, match=rf"was written by shared-memory-dict.*import_original\('{name}', {how}"):
            SharedMemoryDict(name, 1024)
        with open(path, "rb") as file:
            assert file.read() == content


def test_importing(name: str) -> None:
    content = {"a": 1, 2: [3], (4,): {"five": None}, "x" * 300: "y" * 300}
    raw(name, by_original(content))
    d = SharedMemoryDict.import_original(name, 1024)
    assert list(d.items()) == list(content.items())
    assert stat.S_IMODE(os.stat(f"/dev/shm/sm_{name}").st_mode) == 0o600
    d["new"] = 1
    assert SharedMemoryDict(name, 1) == {**content, "new": 1}
    assert SharedMemoryDict.import_original(name, 1024) == {**content, "new": 1}  # it has been done
    assert d.verify() == []
    assert glob.glob("/dev/shm/.segdict-import-*") == []
    d.shm.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemoryDict.import_original(name, 1024)


def test_importing_json(name: str) -> None:
    raw(name, json.dumps({"a": [1], "b": None}).encode() + b"\0garbage of what was longer before}")
    d = SharedMemoryDict.import_original(name, 1024, serializer=JSONSerializer())
    assert list(d.items()) == [("a", [1]), ("b", None)]
    d["c"] = (1,)
    assert SharedMemoryDict(name, 1, serializer=JSONSerializer())["c"] == [1]


def test_importing_what_is_damaged_or_too_large(name: str) -> None:
    for content, expected in (
        (b"\x80\x05garbage" + b"\0" * 100, Exception),
        (pickle.dumps([1, 2]), DeserializationError),
        (b'{"a":', DeserializationError),
        (by_original({"a": "x" * 100_000}), FullError),
    ):
        path = raw(name, content)
        serializer = JSONSerializer() if content[:1] == b"{" else None
        with pytest.raises(expected):
            SharedMemoryDict.import_original(name, 1024, **({"serializer": serializer} if serializer else {}))
        with open(path, "rb") as file:
            assert file.read() == content
        os.unlink(path)
    assert glob.glob("/dev/shm/.segdict-import-*") == []
    raw(name, by_original({"a": "x" * 100_000}))
    assert SharedMemoryDict.import_original(name, 1024, value_bytes=1 << 20) == {"a": "x" * 100_000}


def test_importing_refuses_what_others_could_write(name: str, tmp_path: Any) -> None:
    os.environ["SEGDICT_BOMB"] = str(tmp_path / "exploded")
    for mode in (0o620, 0o602, 0o666):
        path = raw(name, by_original({"a": Bomb()}), mode)
        with pytest.raises(PermissionError, match="another user could have written"):
            SharedMemoryDict.import_original(name, 1024)
        os.unlink(path)
    assert not (tmp_path / "exploded").exists()


def import_it(name: str, barrier: Any) -> None:
    barrier.wait(60)
    d = SharedMemoryDict.import_original(name, 1024)
    d[os.getpid()] = 1


@pytest.mark.parametrize("method", METHODS)
def test_all_import_at_once(name: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    raw(name, by_original({"a": 1}))
    barrier = context.Barrier(6)
    processes = [context.Process(target=import_it, args=(name, barrier)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert SharedMemoryDict(name, 1) == {"a": 1, **{process.pid: 1 for process in processes}}
    assert glob.glob("/dev/shm/.segdict-import-*") == []


def test_a_write_by_the_original_is_read(name: str) -> None:
    """Its own code, if it is here."""
    original = os.environ.get("SEGDICT_ORIGINAL")
    if not original:
        pytest.skip("SEGDICT_ORIGINAL is not set")
    code = """if True:
        import sys
        from shared_memory_dict import SharedMemoryDict
        d = SharedMemoryDict(name=sys.argv[1], size=1024)
        d.update({"a": [1], 2: None})
        from multiprocessing import resource_tracker
        resource_tracker.unregister("/" + d.shm.name, "shared_memory")
        """
    subprocess.run([sys.executable, "-c", code, name], check=True, env={**os.environ, "PYTHONPATH": original})
    with pytest.raises(FormatError, match="import_original"):
        SharedMemoryDict(name, 1024)
    assert SharedMemoryDict.import_original(name, 1024) == {"a": [1], 2: None}


# ---- Other users' ----

as_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two other users")
NOBODY, OTHER = 65534, 65533


@as_another_user
@pytest.mark.parametrize("content", [b"\0" * 4096, by_original({"a": 1}), b"{}", b"garbage"])
def test_another_users_segment_is_refused(name: str, content: bytes) -> None:
    path = raw(name, content, 0o666)
    os.chown(path, NOBODY, -1)
    before = os.stat(path)
    for how in ("SharedMemoryDict(sys.argv[1], 1024)", "SharedMemoryDict.import_original(sys.argv[1], 1024)"):
        code = f"""if True:
            import os, sys
            from segdict import SharedMemoryDict
            if len(sys.argv) > 2:
                os.setgroups([])
                os.setgid({OTHER})
                os.setuid({OTHER})
            try:
                {how}
            except PermissionError as error:
                print(error)
            """
        for arguments in ((), ("drop",)):
            done = run_python_of_others(code, name, *arguments)
            assert f"belongs to user {NOBODY}, who is not trusted" in done.stdout
    with open(path, "rb") as file:
        assert file.read() == content
    assert os.stat(path).st_ino == before.st_ino


@as_another_user
def test_zeros_of_root_are_not_another_users_to_take(name: str) -> None:
    path = raw(name, b"\0" * 64, 0o666)
    code = f"""if True:
        import os, sys
        from segdict import SharedMemoryDict
        os.setgid({OTHER})
        os.setuid({OTHER})
        try:
            SharedMemoryDict(sys.argv[1], 1024)
        except ValueError as error:
            print(error)
        """
    assert "is not a segdict segment" in run_python_of_others(code, name).stdout
    assert os.path.getsize(path) == 64


# ---- The parts ----


def test_finding_zeros(tmp_path: Any) -> None:
    for content, expected in (
        (b"", True),
        (b"\0", True),
        (b"\0" * (3 << 20), True),
        (b"\0" * (3 << 20) + b"\1", False),
        (b"\1" + b"\0" * (3 << 20), False),
        (b"\0" * (1 << 20) + b"\1" + b"\0" * (1 << 20), False),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        with open(path, "rb") as file:
            assert _segment._is_zero(file.fileno(), len(content)) is expected
