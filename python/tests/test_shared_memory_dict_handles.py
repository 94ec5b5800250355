"""SharedMemoryDict's handles: names and sizes, the segment, what closes them, their pickles, their subclasses."""

from __future__ import annotations

import copy
import errno
import glob
import operator
import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import segdict
from segdict import SharedMemoryDict
from segdict.errors import ClosedError, DeserializationError, FormatError, SerializationError
from segdict.shared_memory_dict import dict as module
from segdict.shared_memory_dict import hooks, lock, serializers, templates
from segdict.shared_memory_dict.serializers import JSONSerializer, PickleSerializer
from shared_memory_dicts import d as d
from shared_memory_dicts import make as make

# ---- Names and sizes ----


def test_the_names_of_the_modules() -> None:
    assert segdict.shared_memory_dict.SharedMemoryDict is SharedMemoryDict is module.SharedMemoryDict
    assert isinstance(module.DEFAULT_SERIALIZER, PickleSerializer)
    assert module.NOT_GIVEN is not None
    assert module.logger.name == module.__name__
    assert serializers.NULL_BYTE == b"\0"
    assert serializers.SerializationError is SerializationError
    assert serializers.DeserializationError is DeserializationError
    assert serializers.SharedMemoryDictSerializer is not None
    assert templates.MEMORY_NAME == "sm_{name}"
    assert callable(lock.Lock)
    assert callable(hooks.create_shared_memory)
    assert callable(hooks.free_shared_memory)


@pytest.mark.parametrize("wrong", ["a/b", "../x", "nul\0", "n" * 300])
def test_wrong_names(wrong: str) -> None:
    with pytest.raises((ValueError, OSError)):
        SharedMemoryDict(wrong, 1024)


@pytest.mark.parametrize("size", [0, -1, -(10**30)])
def test_wrong_sizes(name: str, size: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        SharedMemoryDict(name, size)
    assert not glob.glob(f"/dev/shm/*{name}")


@pytest.mark.parametrize("size", ["1024", 10.5, None, b"1"])
def test_sizes_that_are_no_ints(name: str, size: Any) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        SharedMemoryDict(name, size)
    assert not glob.glob(f"/dev/shm/*{name}")


def test_attaching_ignores_the_size(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024)
    d["a"] = 1
    for size in (1, 10**9, 0, -1, None, "?"):
        other = make(size)
        assert other["a"] == 1
        assert other.shm.size == d.shm.size
        other["long"] = "x" * 1000  # what the dict was made for counts
        with pytest.raises(ValueError, match="exceeds available storage"):
            other["a"] = "x" * 10_240


def test_sizes_of_ones_own(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024, capacity=5000)
    assert d.capacity == 5000
    for i in range(5000):
        d[i] = i
    d.shm.unlink()
    d = make(64, value_bytes=1 << 20)
    d["long"] = "x" * 1_000_000
    d.shm.unlink()
    d = make(1 << 30, capacity=10, value_bytes=0)
    assert d.segment_bytes < 1 << 20
    d["short"] = "x" * 35
    with pytest.raises(ValueError, match="exceeds available storage"):
        d["long"] = "x" * 100


def test_not_so_much_memory(name: str) -> None:
    with pytest.raises(OSError, match=r"(?s)takes \d+ bytes, .*size=30000000000; capacity= .*value_bytes=") as caught:
        SharedMemoryDict(name, 30_000_000_000, capacity=1000)
    assert caught.value.errno == errno.ENOSPC
    assert not glob.glob(f"/dev/shm/*{name}")


# ---- The segment ----


def test_the_segment(make: Callable[..., SharedMemoryDict], name: str) -> None:
    d = make(1024)
    shm = d.shm
    assert shm is d.shm
    assert shm.name == f"sm_{name}"
    info = os.stat(f"/dev/shm/sm_{name}")
    assert info.st_mode & 0o777 == 0o600
    assert shm.size == info.st_size == d.segment_bytes
    assert shm.buf is not None
    assert shm.buf is shm.buf
    assert shm.buf.readonly
    assert len(shm.buf) == shm.size
    assert bytes(shm.buf[:8]) == b"segdict\n"
    with pytest.raises(TypeError):
        shm.buf[0] = 1
    with pytest.raises(AttributeError):
        d.shm = None  # type: ignore[misc, assignment]  # read-only, which is what is tested
    d["key"] = "a value that is in the segment"
    assert b"a value that is in the segment" in bytes(shm.buf)
    part = shm.buf[8:16]
    shm.close()
    assert d.closed
    assert shm.buf is None
    assert len(part) == 8
    shm.close()
    shm.unlink()
    assert not os.path.exists(f"/dev/shm/sm_{name}")
    with pytest.raises(FileNotFoundError):
        shm.unlink()


def test_the_bytes_of_a_dict_that_was_replaced(make: Callable[..., SharedMemoryDict]) -> None:
    old = make(1024)
    old.shm.unlink()
    make(1024)["new"] = 1
    with pytest.raises(FileNotFoundError, match="unlinked"):
        old.shm.buf  # noqa: B018  (the access is what fails)
    old["old"] = 2
    assert old == {"old": 2}


def test_the_name_is_something_else(name: str) -> None:
    path = f"/dev/shm/sm_{name}"
    for content in (b"\1" + b"\0" * 5000, b"\0" * 5000 + b"\1", b"text" * 2000, b"x"):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(FormatError, match="is not a segdict segment"):
            SharedMemoryDict(name, 1024)
        with open(path, "rb") as file:
            assert file.read() == content
    os.unlink(path)
    os.mkdir(path)
    try:
        with pytest.raises((OSError, ValueError), match="directory"):
            SharedMemoryDict(name, 1024)
    finally:
        os.rmdir(path)
    os.symlink(__file__, path)
    with pytest.raises((OSError, ValueError), match="symbolic link"):
        SharedMemoryDict(name, 1024)
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(FormatError):
        SharedMemoryDict(name, 1024)


def test_a_segment_that_was_cut_off(d: SharedMemoryDict, name: str) -> None:
    d.cleanup()
    os.truncate(f"/dev/shm/sm_{name}", 5000)
    with pytest.raises(segdict.CorruptError, match="truncated"):
        SharedMemoryDict(name, 1024)
    assert os.stat(f"/dev/shm/sm_{name}").st_size == 5000


# ---- Closing ----


def test_after_closing(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024)
    d["a"] = 1
    d.cleanup()
    d.cleanup()
    for use in (
        lambda: d["a"],
        lambda: d.get("a"),
        lambda: "a" in d,
        lambda: len(d),
        lambda: list(d),
        lambda: d.keys(),
        lambda: d.items(),
        lambda: d == {},
        lambda: d | {},
        lambda: d.pop("a", None),
        lambda: d.popitem(),
        lambda: d.update(a=2),
        lambda: d.setdefault("a", 2),
        lambda: d.clear(),
        lambda: operator.setitem(d, "a", 2),
        lambda: operator.delitem(d, "a"),
    ):
        with pytest.raises(ClosedError, match="this dict was closed"):
            use()
    assert repr(d) == str(d) == "<closed SharedMemoryDict>"
    assert make(1024) == {"a": 1}


def test_cleanup_of_what_was_never_opened(name: str) -> None:
    half = SharedMemoryDict.__new__(SharedMemoryDict)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        half.cleanup()
        half.cleanup()
        del half
        with pytest.raises(ValueError, match="positive"):
            SharedMemoryDict(name, -1)


def test_the_handle_goes_with_its_last_reference(name: str) -> None:
    d = SharedMemoryDict(name, 1024)

    def mapped() -> bool:
        with open("/proc/self/maps") as maps:
            return f"sm_{name}" in maps.read()

    assert mapped()
    shm = d.shm
    del d
    assert not mapped()
    assert shm.buf is None
    shm.close()
    shm.unlink()


# ---- Pickles and subclasses ----


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_gives_the_same_dict(d: SharedMemoryDict, protocol: int) -> None:
    other = pickle.loads(pickle.dumps(d, protocol))
    assert type(other) is SharedMemoryDict
    other["a"] = 1
    assert d == {"a": 1}
    assert type(other._serializer) is PickleSerializer
    copied = copy.copy(d)
    copied["b"] = 2
    assert d == {"a": 1, "b": 2}
    d.cleanup()
    assert pickle.loads(pickle.dumps(d, protocol)) == {"a": 1, "b": 2}
    d.shm.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(d, protocol))


class Named(SharedMemoryDict):
    def __init__(self, name: str) -> None:
        super().__init__(name, 2048, serializer=JSONSerializer())
        self.title = name.upper()

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) or "nothing"


def test_classes_of_the_programs_own(name: str) -> None:
    d = Named(name)
    d["a"] = 0
    assert d["a"] == "nothing"
    other = pickle.loads(pickle.dumps(d))
    assert type(other) is Named
    assert other.title == name.upper()
    assert type(other._serializer) is JSONSerializer
    assert other["a"] == "nothing"


def test_passed_to_processes(d: SharedMemoryDict) -> None:
    import multiprocessing

    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        process = context.Process(target=operator.setitem, args=(d, method, os.getpid()))
        process.start()
        process.join(60)
        assert process.exitcode == 0
    assert d == dict.fromkeys(multiprocessing.get_all_start_methods(), os.getpid())
