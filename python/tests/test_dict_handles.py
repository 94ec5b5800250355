"""segdict.Dict's handles: how they are opened, what closes them, their pickles, their subclasses."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import segdict

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


# ---- Opening ----


def test_opening(make: Make, name: str, tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError):
        segdict.Dict(name)
    with pytest.raises(TypeError, match="exactly one"):
        segdict.Dict()
    with pytest.raises(TypeError, match="exactly one"):
        segdict.Dict(name, 10, path="/tmp/x")
    with pytest.raises(TypeError, match="capacity"):
        segdict.Dict(name, exclusive=True)
    for bad in ("", "a/b", "x" * 300, "."):
        with pytest.raises(ValueError, match="name"):
            segdict.Dict(bad, 10)
    for options in ({"slot_size": 48}, {"max_load": 0.0}, {"max_load": 2.0}, {"max_writers": 0}):
        with pytest.raises(ValueError, match="expected|is "):
            segdict.Dict(name, 10, **options)  # type: ignore[arg-type]  # wrong types on purpose
    for capacity in (0, 2**60):
        with pytest.raises((ValueError, OSError)):
            segdict.Dict(name, capacity)
    with pytest.raises(ValueError, match="capacity is -1"):
        segdict.Dict(name, -1)
    for capacity in ("ten", 1.5):
        with pytest.raises(TypeError):
            segdict.Dict(name, capacity)  # type: ignore[arg-type]  # a wrong type on purpose
    assert not os.path.exists(f"/dev/shm/{name}")
    make(exclusive=True)
    with pytest.raises(FileExistsError):
        make(exclusive=True)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"something else" * 1000)
    with pytest.raises(segdict.FormatError, match="foreign"):
        segdict.Dict(path=foreign)
    assert foreign.read_bytes() == b"something else" * 1000


def test_no_room(tmp_path: Any, name: str) -> None:
    with pytest.raises(OSError, match=r"No space|space|memory") as error:
        segdict.Dict(name, 10, value_bytes=200 << 30)
    assert error.value.errno == 28
    assert not os.path.exists(f"/dev/shm/{name}")


def test_path_and_descriptor(tmp_path: Any) -> None:
    d: D = segdict.Dict(path=tmp_path / "dict", capacity=10)
    d["k"] = 1
    assert segdict.Dict(path=tmp_path / "dict")["k"] == 1
    assert d.name is None
    d.unlink()
    assert not (tmp_path / "dict").exists()
    with pytest.raises(FileNotFoundError):
        d.unlink()
    fd = os.memfd_create("dict", os.MFD_ALLOW_SEALING)
    a: D = segdict.Dict(fd=fd, capacity=10)
    a["k"] = 2
    b: D = segdict.Dict(fd=fd)
    os.close(fd)
    assert b["k"] == 2
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(b)


def test_read_only(make: Make) -> None:
    make()["k"] = 1
    d = make(None, read_only=True)
    assert d["k"] == 1
    for use in (lambda: d.__setitem__("k", 2), lambda: d.__delitem__("k"), d.clear, lambda: d.incr("k")):
        with pytest.raises(segdict.ReadOnlyError, match="read-only"):
            use()


def test_stats_and_list(d: D) -> None:
    d.update({i: "x" * 100 for i in range(50)})
    stats = d.stats()
    assert stats["entries_live"] == 50
    assert stats["segment_bytes"] == d.segment_bytes == os.stat(f"/dev/shm/{d.name}").st_size
    assert d.capacity == 1000
    (mine,) = (info for info in segdict.list_segments() if info["name"] == d.name)
    assert mine["capacity"] == 1000
    assert mine["owner"] == os.getuid()
    assert d.recover() == 0


# ---- Closing ----


def test_closed(make: Make) -> None:
    d = make()
    d["k"] = 1
    lock = d.lock()
    d.close()
    d.close()
    assert d.closed
    assert "closed" in repr(d)
    uses: list[Callable[[], Any]] = [
        lambda: d["k"], lambda: d.__setitem__("k", 2), lambda: d.__delitem__("k"), lambda: "k" in d, lambda: len(d),
        lambda: list(d), lambda: d.get("k"), lambda: d.set("k", 1), lambda: d.get_many(["k"]), d.clear, d.stats,
        lambda: d.incr("k"), lambda: d.pop("k"), d.popitem, lambda: d.update("k", str), lock.__enter__, d.sweep,
        lambda: d.capacity, d.recover, d.verify, lambda: d.read_into("k", bytearray(1)),
    ]  # fmt: skip  # a table
    for use in uses:
        with pytest.raises(segdict.ClosedError, match="closed"):
            use()
    assert make(None)["k"] == 1


def test_with_closes(make: Make) -> None:
    with make() as d:
        d["k"] = 1
    with pytest.raises(ValueError, match="closed"):
        d["k"]


def test_close_while_others_work(make: Make) -> None:
    d = make(value_bytes=32 << 20)
    errors = []

    def work() -> None:
        try:
            while True:
                d["long"] = b"x" * 1_000_000
                d["long"]
                list(d.items())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    d.close()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [segdict.ClosedError] * 4


def test_garbage_collection(make: Make) -> None:
    import gc
    import weakref

    class Serializer:
        type = 40

        def dumps(self, value: Any) -> bytes:
            return b""

        def loads(self, data: bytes) -> Any:
            return self.dict

    serializer: Any = Serializer()
    d = segdict.Dict(make().name, serializer=serializer)
    serializer.dict = d  # a cycle
    gone = weakref.ref(d)
    del d, serializer
    gc.collect()
    assert gone() is None


# ---- Pickles and subclasses ----


def test_pickled_handles(make: Make) -> None:
    d = make(serializer=segdict.JSON, read_only=False)
    d["k"] = [1]
    again = pickle.loads(pickle.dumps(d))
    assert again["k"] == [1]
    again["k"] = 5
    assert d["k"] == 5
    d.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(d))


class Tagged(segdict.Dict[Any, Any]):
    def __init__(self, name: str, tag: str) -> None:
        super().__init__(name, 100, serializer=segdict.JSON, wait_limit=7.0)
        self.tag = tag


def test_pickled_handles_of_subclasses(name: str) -> None:
    d = Tagged(name, "t")
    d["k"] = [1]
    d.more = {"a": d.name}  # type: ignore[attr-defined]  # an attribute of nobody
    for again in (pickle.loads(pickle.dumps(d)), copy.copy(d), copy.deepcopy(d)):
        assert type(again) is Tagged
        assert again["k"] == [1]
        assert (again.tag, again.more) == ("t", {"a": d.name})
        again["k"] = [2]
        assert d["k"] == [2]
        d["k"] = [1]


def test_subclass_without_init(name: str) -> None:
    class Careless(segdict.Dict[Any, Any]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Careless()["k"]
    with pytest.raises((RuntimeError, TypeError)):
        Careless().get("k")
