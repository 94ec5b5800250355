"""segdict.Dict's values: that they come back as they were, by each serializer, and that none is stored in part."""

from __future__ import annotations

import datetime
import math
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import segdict
from conftest import Colour, Level

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


# ---- Values ----


@pytest.mark.parametrize(
    "value",
    [
        "", "text", "日本\0", "\udc80", "x" * 500, "é" * 1_000, "y" * 200_000,
        0, -1, 2**62, 2**63 - 1, -(2**63), 2**63, -(2**64), 10**100,
        0.1, math.inf, -0.0, True, False, None,
        b"", b"\0\xff", b"z" * 513, b"w" * 300_000, bytearray(b"mutable"), bytearray(100_000),
        [1, "two", None], {"a": {"b": (1, 2)}}, {1, 2}, Colour.GREEN, Level.LOW, datetime.datetime(2020, 1, 1),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip  # a table
def test_values_round_trip(d: D, value: Any) -> None:
    d["key"] = value
    assert d["key"] == value
    assert type(d["key"]) is type(value)
    assert d.get_many(["key"]) == {"key": value}
    assert list(d.values()) == [value]
    assert d.pop("key") == value


def test_nan(d: D) -> None:
    d["key"] = math.nan
    assert math.isnan(d["key"])


def test_buffers(d: D) -> None:
    d["view"] = memoryview(b"abcdef")[1:4]
    assert d["view"] == b"bcd"
    d["strided"] = memoryview(b"abcdef")[::2]
    assert d["strided"] == b"ace"
    into = bytearray(8)
    assert d.read_into("view", into) == 3
    assert into == b"bcd\0\0\0\0\0"
    with pytest.raises(ValueError, match="3 bytes, the buffer 2"):
        d.read_into("view", bytearray(2))
    with pytest.raises(TypeError):
        d.read_into("view", b"read-only")
    d["text"] = "text"
    with pytest.raises(TypeError, match="not bytes"):
        d.read_into("text", into)
    with pytest.raises(KeyError, match="nothing"):
        d.read_into("nothing", into)


def test_arrays(make: Make) -> None:
    np = pytest.importorskip("numpy", reason="an optional package")
    d = make(value_bytes=8 << 20)
    arrays = [
        np.arange(5), np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12).reshape(3, 4)), np.array(7),
        np.zeros((0, 3)), np.arange(20)[::2], np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), np.array([True]),
        np.array(["a", "bcd"]), np.array([b"x"]), np.array(["2020-01-01"], "M8[D]"), np.array([1 + 2j], "c8"),
        np.arange(4, dtype=">i4"), np.random.default_rng(1).random((500, 500)), np.zeros(3, "f2"),
    ]  # fmt: skip  # a table
    for array in arrays:
        d["array"] = array
        back = d["array"]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        assert back.flags.writeable
        back[...] = back  # nobody else's memory
    d["fortran"] = arrays[2]
    assert d["fortran"].flags.f_contiguous
    safe = segdict.Dict(d.name, serializer=None)
    assert (safe["array"] == arrays[-1]).all()
    fields = np.zeros(2, [("x", "i4"), ("y", "f8")])
    d["array"] = fields  # by pickle
    assert (d["array"] == fields).all()


def test_reads_are_copies(d: D) -> None:
    d["list"] = [1]
    d["list"].append(2)
    assert d["list"] == [1]
    assert d.update("list", lambda now: [*now, 2]) == [1, 2]
    assert d["list"] == [1, 2]


def test_full(make: Make) -> None:
    d = make(10, value_bytes=64 << 10, max_load=1.0)
    d["long"] = "x" * 10_000
    with pytest.raises(segdict.FullError, match="exceeds available storage") as error:
        d["long"] = b"y" * 1_000_000
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value.__cause__, MemoryError)
    assert d["long"] == "x" * 10_000
    before = None
    with pytest.raises(segdict.FullError, match="exceeds available storage"):
        for i in range(1000):
            before = d.copy()
            d[i] = i
    assert d == before
    assert len(d) >= 10
    assert d.verify() == []


# ---- Serializers ----


def test_without_a_serializer(make: Make) -> None:
    make()["pickled"] = {1, 2}
    d = make(serializer=None)
    with pytest.raises(TypeError, match="needs a serializer"):
        d["k"] = [1]
    with pytest.raises(TypeError, match="refuses"):
        d[Colour.RED] = 1
    with pytest.raises(segdict.DeserializationError, match="has none"):
        d["pickled"]
    d["k"] = "text"
    d[True] = 1
    assert set(d) == {"pickled", "k", 1}
    with pytest.raises(segdict.DeserializationError):
        d.pop("pickled")
    assert "pickled" in d  # what cannot be read stays


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/dev/shm/segdict-test-bomb",)


@pytest.mark.parametrize("serializer", [segdict.JSON, segdict.Msgpack(), None], ids=["json", "msgpack", "none"])
def test_safe_serializers_never_unpickle(make: Make, serializer: Any) -> None:
    writer = make()
    writer["k"] = Bomb()
    writer[Bomb] = 1  # a key that is a pickle
    writer[("x", Bomb)] = 2
    d = make(serializer=serializer)
    for read in (lambda: d["k"], lambda: d.get("k"), lambda: list(d), lambda: d.get_many(["k"]), d.popitem):
        with pytest.raises((segdict.DeserializationError, TypeError)):
            read()
    assert not os.path.exists("/dev/shm/segdict-test-bomb")


@pytest.mark.parametrize("serializer", [segdict.JSON, segdict.Msgpack()], ids=["json", "msgpack"])
def test_safe_serializers(make: Make, serializer: Any) -> None:
    d = make(serializer=serializer)
    d["k"] = {"a": [1, 2.5, None, "ü"]}
    assert make(None, serializer=serializer)["k"] == {"a": [1, 2.5, None, "ü"]}
    with pytest.raises(segdict.SerializationError, match="Failed to serialize data"):
        d["k"] = {"a": object()}
    assert d["k"] == {"a": [1, 2.5, None, "ü"]}
    with pytest.raises(segdict.DeserializationError, match=r"type 1[78]"):
        make(None)["k"]


def test_msgpack_reads_whatever_it_stores(make: Make) -> None:
    pytest.importorskip("msgpack", reason="an optional package")
    d = make(serializer=segdict.Msgpack())
    keys = {1: "int", None: "none", False: "bool", 2.5: "float", b"x": "bytes", "é": "str", -(2**63): "least"}
    d["k"] = keys
    d["in a list"] = [(keys,)]
    assert d["k"] == keys
    assert dict(d.items()) == {"k": keys, "in a list": [[keys]]}
    for never_read_again in ({(1, 2): 3}, [{"a": {(): 1}}]):
        with pytest.raises(segdict.SerializationError, match="Failed to serialize data"):
            d["k"] = never_read_again
    assert d.pop("k") == keys


def test_own_serializer(make: Make) -> None:
    class Own:
        type = 99

        def dumps(self, value: Any) -> bytes:
            return repr(value).encode()

        def loads(self, data: bytes) -> Any:
            return eval(data)

    d = make(serializer=Own())
    d["k"] = [1, (2,)]
    assert d["k"] == [1, (2,)]
    Own.type = 33
    with pytest.raises(ValueError, match="16 to 127"):
        make(serializer=Own())


def test_unpicklable_values(d: D) -> None:
    d["k"] = "old"
    for value in (lambda: 1, threading.Lock(), (i for i in ())):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            d["k"] = value
    assert d == {"k": "old"}
