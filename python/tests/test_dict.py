"""segdict.Dict as a mapping, its atomic operations, its errors."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import fractions
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

import segdict
from conftest import run_python

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Level(enum.IntEnum):
    LOW = 1


Point = collections.namedtuple("Point", "x y")


# ---- Keys ----


@pytest.mark.parametrize(
    "key",
    [
        "", "a", "user:17", "é", "日本", "\udc80", "\0", "x" * 65535, "x" * 65536, "é" * 70000,
        b"", b"a", b"\xff\xfe", b"z" * 70000,
        0, 1, -1, 127, 128, -128, -129, 2**31, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 2**1000, -(2**1000),
        0.5, -0.25, math.inf, -math.inf, 1e-300, 1j, 1 + 2j,
        None, (), (1,), ("a", 1, None, (b"x", 0.5)), frozenset(), frozenset({1, "a", (2, 3)}),
        frozenset({frozenset({1}), frozenset()}),
        Colour.RED, datetime.date(2020, 1, 2), uuid.UUID(int=7), decimal.Decimal("0.1"), fractions.Fraction(1, 3),
        tuple(range(30000)),
    ],
    ids=lambda key: repr(key)[:30],
)  # fmt: skip
def test_keys_round_trip(d: D, key: Any) -> None:
    d[key] = "value"
    assert d[key] == "value"
    assert key in d
    (back,) = d
    assert back == key
    assert type(back) is type(key)
    del d[key]
    assert key not in d
    assert len(d) == 0


@pytest.mark.parametrize(
    "equal",
    [
        [1, 1.0, True, 1 + 0j, decimal.Decimal(1), fractions.Fraction(1), Level.LOW],
        [0, 0.0, -0.0, False, decimal.Decimal("-0")],
        [0.5, decimal.Decimal("0.5"), fractions.Fraction(1, 2), 0.5 + 0j],
        [10**30, decimal.Decimal(10**30)],
        [2**53, float(2**53)],
        [(1, 2), (1.0, True + 1), Point(1, 2)],
        [frozenset({1, 2}), frozenset({2.0, True})],
        ["red", type("S", (str,), {})("red")],
    ],
    ids=repr,
)
def test_equal_keys_are_one(d: D, equal: list[Any]) -> None:
    for key in equal:
        d[key] = repr(key)
        assert len(d) == 1
        assert all(d[other] == repr(key) for other in equal)


def test_different_keys_are_different(d: D) -> None:
    keys = [
        "1",
        b"1",
        1,
        ("1",),
        (1,),
        ((1,),),
        None,
        "None",
        frozenset({1}),
        1.5,
        "N",
        "i\x01\x01",
        (),
        frozenset(),
        "",
    ]
    for i, key in enumerate(keys):
        d[key] = i
    assert [d[key] for key in keys] == list(range(len(keys)))


def test_iteration_gives_the_key_that_was_set(d: D) -> None:
    for key in (True, 2.0, Level.LOW, Point(1, 2), decimal.Decimal(7)):
        d.clear()
        d[key] = [1]
        ((back, value),) = d.items()
        assert (type(back), back, value) == (type(key), key, [1])
        assert list(d.values()) == [[1]]
        assert d.popitem() == (key, [1])


def test_equal_keys_in_every_process(d: D, name: str) -> None:
    d[frozenset({"a", "b", ("c", 1)})] = 1
    d[datetime.date(2020, 1, 2)] = 2
    code = f"""
import datetime, segdict
d = segdict.Dict({name!r})
assert d[frozenset([("c", True), "b", "a"])] == 1 and d[datetime.date(2020, 1, 2)] == 2
"""
    for seed in ("1", "2", "3"):
        run_python(code, env={**os.environ, "PYTHONHASHSEED": seed})


def test_the_memo_of_pickle_does_not_matter(d: D) -> None:
    text = "some text"
    same, other = (Colour.RED, text, text), (Colour.RED, text, "".join(text.partition(" ")))
    assert pickle.dumps(same) != pickle.dumps(other)
    d[same] = 1
    assert d[other] == 1


def test_a_str_key_is_its_utf8(d: D) -> None:
    """So that programs in other languages find it: seen through a table whose keys are that."""
    d["größe"] = "m"
    path = f"/dev/shm/{d.name}"
    with open(path, "rb") as file:
        assert "größem".encode() in file.read()


@pytest.mark.parametrize("key", [[], {}, set(), (1, []), bytearray(b"x"), frozenset({1}) and {1: 2}], ids=repr)
def test_unhashable_keys(d: D, key: Any) -> None:
    d["here"] = 1
    for use in (d.__getitem__, d.__delitem__, d.get, d.__contains__, d.pop, d.delete):
        with pytest.raises(TypeError, match="unhashable type"):
            use(key)
    with pytest.raises(TypeError, match="unhashable type"):
        d[key] = 1
    assert d == {"here": 1}


def test_deep_keys_end_in_an_error(d: D) -> None:
    key: Any = ()
    for _ in range(10_000):
        key = (key,)
    with pytest.raises(RecursionError):
        d[key] = 1
    assert len(d) == 0


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
)  # fmt: skip
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
    np = pytest.importorskip("numpy")
    d = make(value_bytes=8 << 20)
    arrays = [
        np.arange(5), np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12).reshape(3, 4)), np.array(7),
        np.zeros((0, 3)), np.arange(20)[::2], np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), np.array([True]),
        np.array(["a", "bcd"]), np.array([b"x"]), np.array(["2020-01-01"], "M8[D]"), np.array([1 + 2j], "c8"),
        np.arange(4, dtype=">i4"), np.random.default_rng(1).random((500, 500)), np.zeros(3, "f2"),
    ]  # fmt: skip
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


# ---- A mapping ----


def test_is_a_mutable_mapping(d: D) -> None:
    assert isinstance(d, MutableMapping)
    with pytest.raises(TypeError):
        hash(d)


def test_views(d: D) -> None:
    d.update({"a": 1, "b": 2})
    assert d.keys() == {"a", "b"}
    assert d.keys() & {"a", "z"} == {"a"}
    assert sorted(d.values()) == [1, 2]
    assert d.items() == {("a", 1), ("b", 2)}
    assert ("a", 1) in d.items()
    assert ("a", 2) not in d.items()
    assert 2 in d.values()
    view = d.keys()
    d["c"] = 3
    assert len(view) == 3


def test_views_compare_what_has_not_expired(d: D) -> None:
    d["a"] = [1]
    d.set("x", 2, ttl=0.001)
    time.sleep(0.01)
    assert len(d) == 2
    same: list[tuple[Any, Any]] = [
        (d.keys(), {"a"}),
        (d.keys(), {"a": 0}.keys()),
        (d.keys(), d.keys()),
        (d.items(), {"a": [1]}.items()),
        (d.items(), d.items()),
    ]
    for view, other in same:
        for one, two in ((view, other), (other, view)):
            assert [one == two, one <= two, one >= two] == [True] * 3
            assert [one != two, one < two, one > two] == [False] * 3
    for more in (d.keys() < {"a", "b"}, {"a", "b"} > d.keys(), d.keys() > set(), set() <= d.keys()):
        assert more
    for different in (
        d.keys() == {"a", "x"},
        d.keys() >= {"a", "b"},
        d.keys() < {"b", "c"},
        d.items() == {"a": 2}.items(),
    ):
        assert not different
    assert d.keys() != ["a"]
    with pytest.raises(TypeError):
        assert d.keys() <= ["a"]  # type: ignore[operator]  # a wrong type on purpose
    with pytest.raises(TypeError, match="unhashable"):
        hash(d.keys())


def test_update_as_dict(d: D) -> None:
    d.update({"a": 1}, b=2)
    d.update([("c", 3)])
    d.update(default=4, ttl=5.0)  # items here; the words of update(key, fn) there
    assert d.delete_many(["default", "ttl"]) == 2
    d |= {"e": 5}
    assert d == {"a": 1, "b": 2, "c": 3, "e": 5}
    assert d | {"a": 9} == {"a": 9, "b": 2, "c": 3, "e": 5}
    assert {"a": 9} | d == {"a": 1, "b": 2, "c": 3, "e": 5}
    with pytest.raises(TypeError, match="at most 2"):
        d.update(1, 2, 3)


def test_order(make: Make) -> None:
    d = make(ordered=True)
    for key in ("c", "a", "b"):
        d[key] = key
    d["c"] = "again"
    assert list(d) == ["c", "a", "b"]
    assert list(reversed(d)) == ["b", "a", "c"]
    assert list(reversed(d.items())) == [("b", "b"), ("a", "a"), ("c", "again")]
    del d["a"]
    d["a"] = 1
    assert d.popitem() == ("a", 1)
    assert list(d.values()) == ["again", "b"]


def test_reversed_needs_order(d: D) -> None:
    with pytest.raises(TypeError, match="ordered=True"):
        reversed(d)


def test_empty_popitem(d: D) -> None:
    with pytest.raises(KeyError, match="empty"):
        d.popitem()


# ---- Atomic operations ----


def test_add_replace_delete(d: D) -> None:
    assert d.replace("k", 1) is False
    assert d.add("k", 1) is True
    assert d.add("k", 2) is False
    assert d.replace("k", 3) is True
    assert d.delete("k", expected=1) is False
    assert d.delete("k", expected=3) is True
    assert d.delete("k") is False


def test_incr(d: D) -> None:
    with pytest.raises(KeyError, match="n"):
        d.incr("n")
    assert d.incr("n", initial=10) == 11
    assert d.incr("n", 5) == 16
    assert d.decr("n", 20) == -4
    assert d.incr("f", 0.5, initial=1) == 1.5
    assert d.incr("f") == 2.5
    d["big"] = 2**63 - 1
    assert d.incr("big") == 2**63
    assert d.incr("big", -1) == 2**63 - 1
    assert d.incr(True, initial=0) == 1
    assert list(d.keys() - {"n", "f", "big"}) == [True]
    d["text"] = "x"
    with pytest.raises(TypeError):
        d.incr("text")
    assert d["text"] == "x"


def test_cas(d: D) -> None:
    with pytest.raises(KeyError):
        d.cas("k", None, 1)
    d["k"] = [1]
    assert d.cas("k", [2], [3]) is False
    assert d.cas("k", [1], [2]) is True
    entry = d.gets("k")
    assert entry is not None
    value, token = entry
    assert value == [2]
    assert d.cas("k", token, [3]) is True
    assert d.cas("k", token, [4]) is False
    assert d.delete("k", expected=token) is False
    assert d["k"] == [3]
    assert d.gets("nothing") is None
    assert d.gets("k") != d.gets("nothing")


def test_update_fn(d: D) -> None:
    with pytest.raises(KeyError):
        d.update("n", lambda n: n + 1)
    assert d.update("n", lambda n: n + 1, default=0) == 1
    with pytest.raises(ZeroDivisionError):
        d.update("n", lambda n: n // 0)


def test_update_runs_again(d: D) -> None:
    d["n"] = 1
    seen = []

    def double(n: int) -> int:
        seen.append(n)
        if len(seen) == 1:
            d["n"] = 10  # somebody was faster
        return n * 2

    assert d.update("n", double) == 20
    assert seen == [1, 10]


def test_get_or_set_and_setdefault(d: D) -> None:
    assert d.get_or_set("a", lambda: 1) == 1
    assert d.get_or_set("a", lambda: 1 // 0) == 1
    assert d.get_or_set("b", 2, ttl=100) == 2
    assert d.setdefault("a", 5) == 1
    assert d.setdefault("c", 6) == 6
    assert d.get_or_set("expired", 3, ttl=0) == 3
    assert "expired" not in d


def test_many(d: D) -> None:
    d.set_many({"a": 1, "b": [2], 3: None})
    d.set_many([("e", 5)], ttl=100)
    assert d.get_many(["a", "x", "b", 3]) == {"a": 1, "b": [2], 3: None}
    assert d.get_many(iter(["e"])) == {"e": 5}
    assert d.get_many([]) == {}
    assert d.delete_many(["a", "x", 3]) == 2
    assert set(d) == {"b", "e"}


def test_ttl(d: D) -> None:
    d.set("k", 1, ttl=100)
    assert 99 < d.ttl("k") <= 100  # type: ignore[operator]
    d.update("k", lambda n: n + 1)
    assert d.incr("k") == 3
    assert d.cas("k", 3, 4)
    d.set("k", 5, ttl=...)
    assert d.replace("k", 6, ttl=...)
    assert 98 < d.ttl("k") <= 100  # type: ignore[operator]
    assert d.touch("k", 1000)
    assert d.ttl("k") > 900  # type: ignore[operator]
    assert d.touch("k")
    assert d.ttl("k") is None
    d.set("k", 1, ttl=0.05)
    time.sleep(0.06)
    assert "k" not in d
    assert d.touch("k", 5) is False
    with pytest.raises(KeyError):
        d.ttl("k")
    for ttl in (0, -5):
        d.set("k", 1, ttl=ttl)
        assert d.get("k") is None
    assert d.add("k", 2, ttl=-1)
    assert "k" not in d
    d.sweep()
    assert len(d) == 0
    with pytest.raises(ValueError, match="nan"):
        d.set("k", 1, ttl=math.nan)
    with pytest.raises(TypeError):
        d.set("k", 1, ttl="soon")  # type: ignore[arg-type]


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


# ---- Errors, and the dict as it was ----


def test_missing(d: D) -> None:
    for use in (d.__getitem__, d.__delitem__, d.pop):
        with pytest.raises(KeyError) as error:
            use(("a", 1))
        assert error.value.args == (("a", 1),)
    assert d.get("a") is None
    assert d.get("a", 5) == 5
    assert d.pop("a", 6) == 6


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
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(segdict.ClosedError, match="closed"):
            use()
    assert make(None)["k"] == 1


def test_with_closes(make: Make) -> None:
    with make() as d:
        d["k"] = 1
    with pytest.raises(ValueError, match="closed"):
        d["k"]


def test_read_only(make: Make) -> None:
    make()["k"] = 1
    d = make(None, read_only=True)
    assert d["k"] == 1
    for use in (lambda: d.__setitem__("k", 2), lambda: d.__delitem__("k"), d.clear, lambda: d.incr("k")):
        with pytest.raises(segdict.ReadOnlyError, match="read-only"):
            use()


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
            segdict.Dict(name, 10, **options)  # type: ignore[arg-type]
    for capacity in (0, 2**60):
        with pytest.raises((ValueError, OSError)):
            segdict.Dict(name, capacity)
    with pytest.raises(ValueError, match="capacity is -1"):
        segdict.Dict(name, -1)
    for capacity in ("ten", 1.5):
        with pytest.raises(TypeError):
            segdict.Dict(name, capacity)  # type: ignore[arg-type]
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


# ---- Threads, signals, locks ----


def test_threads(d: D) -> None:
    d["n"] = 0

    def work() -> None:
        for i in range(2000):
            d.incr("n")
            d[f"{threading.get_ident()}-{i % 10}"] = "v" * (i % 90)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d["n"] == 16_000
    assert d.verify() == []


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


def test_lock_section(make: Make) -> None:
    d, e = make(), make(None)
    d["n"] = 0

    def work(handle: D) -> None:
        for _ in range(300):
            with handle.lock():
                n = handle["n"]
                time.sleep(0)
                handle["n"] = n + 1

    threads = [threading.Thread(target=work, args=(handle,)) for handle in (d, d, e)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d["n"] == 900
    with d.lock(), d.lock():  # recursive
        d["n"] = 1
    section = d.lock()
    with pytest.raises(RuntimeError, match="not entered"):
        section.__exit__(None, None, None)
    section.__enter__()
    thread = threading.Thread(target=lambda: errors.append(_error(lambda: section.__exit__(None, None, None))))
    errors: list[Any] = []
    thread.start()
    thread.join()
    assert "thread" in str(errors[0])
    section.__exit__(None, None, None)


def _error(use: Callable[[], Any]) -> BaseException:
    with pytest.raises(RuntimeError) as error:
        use()
    return error.value


HOLDER = """
import os, signal, sys, segdict
d = segdict.Dict(sys.argv[1])
with d.lock():
    print("held", flush=True)
    if sys.argv[2] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        sys.stdin.read()
"""


def _holder(name: str, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_waiting_lets_threads_run_and_ends_by_a_signal(make: Make) -> None:
    d = make(lock=True)
    holder = _holder(d.name, "wait")
    try:
        ticks = []
        ticking = threading.Event()

        def tick() -> None:
            while not ticking.is_set():
                ticks.append(1)
                time.sleep(0.001)

        def interrupt(*_: Any) -> None:
            raise InterruptedError

        thread = threading.Thread(target=tick)
        thread.start()
        old = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(InterruptedError):
            d["k"] = 1
        ticking.set()
        thread.join()
        signal.signal(signal.SIGALRM, old)
        assert len(ticks) > 20
        assert "k" not in d
        with pytest.raises(segdict.WaitTimeoutError):
            make(None, lock=True, wait_limit=0.05)["k"] = 1
        per_slot = make(None)
        per_slot["k"] = 2  # without the mode nobody waits
    finally:
        holder.kill()
        holder.wait()
    d["k"] = 3  # a dead holder's lock is free
    assert d["k"] == 3


def test_a_stopped_holder_can_be_waited_for(make: Make) -> None:
    d = make(lock=True)
    holder = _holder(d.name, "stop")
    threading.Timer(0.2, holder.send_signal, [signal.SIGCONT]).start()
    started = time.monotonic()
    d["k"] = 1
    assert time.monotonic() - started > 0.1
    holder.wait()
