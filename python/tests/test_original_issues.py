"""What users of shared-memory-dict reported, by the numbers of its issues: each as a test that would fail there."""

from __future__ import annotations

import os
import pickle
import re
import statistics
import subprocess
import sys
import time
from multiprocessing import shared_memory
from pathlib import Path

import pytest

import segdict
from conftest import run_python, run_python_of_others
from segdict import SharedMemoryDict
from segdict.shared_memory_dict.hooks import create_shared_memory

LOCKED = {**os.environ, "SHARED_MEMORY_USE_LOCK": "1"}


def test_13_a_reader_that_exits_takes_nothing_along(name: str) -> None:
    """#13: FileNotFoundError after another process, which only read, has ended."""
    d = SharedMemoryDict(name, 1024)
    d["a"] = 1
    code = "import sys; from segdict import SharedMemoryDict; print(SharedMemoryDict(sys.argv[1], 1024)['a'])"
    for _ in range(3):
        done = run_python(code, name)
        assert done.stdout == "1\n"
        assert done.stderr == ""
    assert os.path.exists(f"/dev/shm/sm_{name}")
    assert SharedMemoryDict(name, 1024) == {"a": 1}


def test_22_57_reading_does_not_cost_more_in_a_large_dict(name: str) -> None:
    """#22, #57: every read costs as much as the whole dict is large."""

    def cost(keys: int) -> float:
        d = SharedMemoryDict(f"{name}-{keys}", 1 << 20)
        d.update((f"key-{i}", i) for i in range(keys))
        read = [f"key-{i * keys // 100}" for i in range(100)]
        times = []
        for _ in range(101):
            begin = time.perf_counter()
            for key in read:
                d[key]
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    ratios = []
    for _ in range(5):
        ratios.append(cost(10_000) / cost(100))
        if ratios[-1] < 3:
            return
    pytest.fail(f"10,000 keys cost {ratios} times as much as 100")


INCREMENT = """if True:
    import sys, time
    from segdict import SharedMemoryDict
    d = SharedMemoryDict(sys.argv[1], 1024)
    d["ready-" + sys.argv[2]] = True
    while len(d) < 5:
        time.sleep(0.001)
    for _ in range(2000):
        with d.lock():
            d["count"] += 1
"""


@pytest.mark.parametrize("environment", [LOCKED, dict(os.environ)], ids=["USE_LOCK=1", "without"])
def test_23_63_unrelated_processes_share_the_lock(name: str, environment: dict[str, str]) -> None:
    """#23, #63: the lock is one of multiprocessing, which other programs do not have, and covers no write."""
    d = SharedMemoryDict(name, 1024)
    d["count"] = 0
    processes = [subprocess.Popen([sys.executable, "-c", INCREMENT, name, str(i)], env=environment) for i in range(4)]
    for process in processes:
        assert process.wait(120) == 0
    assert d["count"] == 4 * 2000


def test_23_63_a_single_write_is_within_the_lock(name: str) -> None:
    d = SharedMemoryDict(name, 1024)
    d["a"] = 0
    code = """if True:
        import sys
        from segdict import SharedMemoryDict
        d = SharedMemoryDict(sys.argv[1], 1024)
        print("ready", flush=True)
        d["a"] = 1
        """
    with d.lock():
        process = subprocess.Popen([sys.executable, "-c", code, name], env=LOCKED, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        assert d["a"] == 0
    process.communicate(timeout=60)
    assert d["a"] == 1


def test_23_no_write_is_lost_without_the_lock_either(name: str) -> None:
    """#23: two processes that write different keys lose each other's, for each writes back the whole dict."""
    code = """if True:
        import sys
        from segdict import SharedMemoryDict
        d = SharedMemoryDict(sys.argv[1], 65536)
        for i in range(500):
            d[f"{sys.argv[2]}-{i}"] = i
        """
    processes = [subprocess.Popen([sys.executable, "-c", code, name, str(i)]) for i in range(4)]
    for process in processes:
        assert process.wait(120) == 0
    assert len(SharedMemoryDict(name, 1)) == 4 * 500


def test_24_a_value_that_was_read_is_a_copy(name: str) -> None:
    """#24: changing a nested value changes nothing, and says nothing. The documented way does."""
    d = SharedMemoryDict(name, 1024)
    d["config"] = {"a": 1}
    d["config"]["a"] = 2
    assert d["config"] == {"a": 1}
    config = d["config"]
    config["a"] = 2
    d["config"] = config
    assert d["config"] == {"a": 2}
    text = re.sub(r"\s+", " ", SharedMemoryDict.__doc__ or "")
    assert 'What is read is a copy: ``d["a"].append(1)`` changes nothing in the dict' in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two other users")
def test_33_nothing_of_another_user_is_unpickled(name: str, tmp_path: Path) -> None:
    """#33: whoever makes /dev/shm/sm_<name> first can have the victim run any code."""
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(parent.stat().st_mode | 0o755)
    exploded = str(tmp_path / "exploded")

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (exploded,)

    victim = """if True:
        import os, sys
        from segdict import SharedMemoryDict
        os.setgid(65533); os.setuid(65533)
        for attach in (SharedMemoryDict, SharedMemoryDict.import_original):
            try:
                d = attach(sys.argv[1], 1024)
                print(d["a"])
            except PermissionError as error:
                print("refused:", error)
        """
    path = f"/dev/shm/sm_{name}"
    with open(path, "wb") as file:
        file.write(pickle.dumps({"a": Bomb()}))
    by_this_package = segdict.Dict(f"sm_{name}-2", 100, mode=0o666)
    by_this_package["a"] = Bomb()
    for segment in (name, f"{name}-2"):
        os.chmod(f"/dev/shm/sm_{segment}", 0o666)
        os.chown(f"/dev/shm/sm_{segment}", 65534, -1)
        done = run_python_of_others(victim, segment)
        assert done.stdout.count("refused: ") == 2
        assert "belongs to user 65534" in done.stdout
        assert not os.path.exists(exploded)


def test_53_memory_that_a_hook_has_made_is_an_empty_dict(name: str) -> None:
    """#53: the first read of memory that was made by create_shared_memory fails."""
    memory = shared_memory.SharedMemory(f"sm_{name}", create=True, size=1024)
    assert SharedMemoryDict(name, 1024) == {}
    memory.close()
    memory.unlink()
    create_shared_memory(name, 1024)
    code = "import sys; from segdict import SharedMemoryDict; print(SharedMemoryDict(sys.argv[1], 1024))"
    assert run_python(code, name).stdout == "{}\n"


FORKING = """
import multiprocessing, sys
from segdict import SharedMemoryDict
from segdict.shared_memory_dict.hooks import create_shared_memory, free_shared_memory

def work(name, key):
    SharedMemoryDict(name, 1024)[key] = 1

if __name__ == "__main__":
    name = sys.argv[1]
    create_shared_memory(name, 1024)
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        processes = [context.Process(target=work, args=(name, f"{method} {i}")) for i in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    print(len(SharedMemoryDict(name, 1024)))
    free_shared_memory(name)
"""


def test_55_no_warnings_of_leaks(name: str, tmp_path: Path) -> None:
    """#55: the resource tracker complains when a process ends that did everything right."""
    program = tmp_path / "program.py"
    program.write_text(FORKING)
    done = subprocess.run([sys.executable, str(program), name], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout == "6\n"
    assert not os.path.exists(f"/dev/shm/sm_{name}")
