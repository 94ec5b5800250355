"""What SharedMemoryDict keeps, by each serializer, and what it refuses, which leaves it as it was."""

from __future__ import annotations

import datetime
import enum
import glob
import json
import operator
import os
import pickle
import threading
import uuid
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from segdict import SharedMemoryDict
from segdict.errors import DeserializationError, FullError, SerializationError
from segdict.shared_memory_dict.serializers import JSONSerializer, PickleSerializer
from shared_memory_dicts import Bomb
from shared_memory_dicts import d as d
from shared_memory_dicts import make as make


class Color(enum.Enum):
    RED = 1


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    def __hash__(self) -> int:
        return hash(self.x)


# ---- Keys and values ----

KEYS: list[Any] = [
    "a", "", "é€😀", "\ud800", 0, 1, -1, 2**70, 1.5, 2.0, float("inf"), None, True, b"", b"a", (), (1, "a"),
    (None, (2,)), frozenset({1, 2}), 1j, Color.RED, Point(3), Fraction(1, 3), datetime.date(2024, 2, 29),
    uuid.UUID(int=7), "k" * 70_000, 2.0**70, -0.0,
]  # fmt: skip  # a table
VALUES: list[Any] = [
    "", "text", "é€😀", "\ud800", 0, -1, 2**63 - 1, 2**63, -(2**200), 1.5, float("inf"), True, False, None, b"",
    b"bytes", bytearray(b"more"), [], [1, [2]], (), (1,), {}, {"a": {"b": 1}}, {1, 2}, frozenset({1}), 1j, Color.RED,
    Point(3), datetime.datetime(2024, 2, 29), Fraction(1, 3), len, int, "x" * 5000, b"x" * 5000,
]  # fmt: skip  # a table


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:20])
def test_any_key(d: SharedMemoryDict, key: Any) -> None:
    d["before"] = 0
    d[key] = "value"
    assert d[key] == "value"
    assert key in d
    assert list(d) == ["before", key]
    assert d == {"before": 0, key: "value"}
    del d[key]
    assert key not in d
    with pytest.raises(KeyError) as caught:
        d[key]
    assert caught.value.args == (key,)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_any_value(d: SharedMemoryDict, value: Any) -> None:
    d["key"] = value
    read = d["key"]
    assert type(read) is type(value)
    assert read == value
    assert d.get("key") == value
    assert d.setdefault("key", "other") == value
    assert d.pop("key") == value


def test_arrays(make: Callable[..., SharedMemoryDict]) -> None:
    np = pytest.importorskip("numpy", reason="an optional package")
    d = make(1 << 20)
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    d["array"] = array
    assert (d["array"] == array).all()
    assert d["array"].dtype == array.dtype


def test_equal_keys_are_one(d: SharedMemoryDict) -> None:
    d[1] = "int"
    d[1.0] = "float"
    assert len(d) == 1
    d[True] = "bool"
    assert d == {1: "bool"}
    assert d[Fraction(1)] == "bool"


# ---- Serializers ----


def test_json(make: Callable[..., SharedMemoryDict]) -> None:
    serializer = JSONSerializer()
    d = make(1024, serializer=serializer)
    assert d._serializer is serializer
    d["a"] = {"b": [1, (2, 3)], 4: None}
    assert d["a"] == {"b": [1, [2, 3]], "4": None}
    d["1"] = "one"
    d[1] = "int"
    d[None] = "none"
    d[2.5] = "float"
    d.update({True: "bool", 3: "three"})
    assert d.setdefault(4, "four") == "four"
    assert 1 not in d
    assert d.get(1) is None
    assert list(d) == ["a", "1", "null", "2.5", "true", "3", "4"]
    assert d["1"] == "int"
    assert d.setdefault(4, "five") == "five"  # 4 is not there, "4" is
    assert d["4"] == "five"
    for use in (lambda: d[1], lambda: d.pop(1), lambda: operator.delitem(d, 1)):
        with pytest.raises(KeyError):
            use()
    before = dict(d)
    for wrong in ({1, 2}, b"x", float, 1j):
        with pytest.raises(SerializationError, match="Failed to serialize data: "):
            d["a"] = wrong
    for key in ((1, 2), b"x", Color.RED, datetime.date(2024, 1, 1)):
        with pytest.raises(SerializationError, match="Failed to serialize data: "):
            d[key] = 1
    with pytest.raises(SerializationError):
        d.update({"x": 1, "1": 2, "y": {3}})
    assert d == before
    assert json.loads(json.dumps(dict(d))) == d


class Reversing:
    """Keeps the types of keys, as msgpack and others do."""

    def dumps(self, obj: dict[Any, Any]) -> bytes:
        assert isinstance(obj, dict)
        assert len(obj) == 1
        return repr(obj).encode()[::-1]

    def loads(self, data: bytes) -> Any:
        return eval(data[::-1].decode())


def test_a_serializer_of_the_programs_own(make: Callable[..., SharedMemoryDict]) -> None:
    serializer = Reversing()
    d = make(1024, serializer=serializer)
    assert d._serializer is serializer
    d["a"] = (1, [2])
    d[1] = "int"
    d[(2, "x")] = {"y"}
    assert d["a"] == (1, [2])
    assert d[1] == "int"
    assert d.setdefault(1, "other") == "int"
    assert d.setdefault(2, "two") == "two"
    assert d == {"a": (1, [2]), 1: "int", (2, "x"): {"y"}, 2: "two"}
    serializer_that_errs = Reversing()
    serializer_that_errs.dumps = lambda obj: 1 / 0  # type: ignore[method-assign]  # for this test alone
    other = make(1024, serializer=serializer_that_errs)
    with pytest.raises(ZeroDivisionError):
        other["a"] = 1
    assert other["a"] == (1, [2])
    odd = Reversing()
    odd.loads = lambda data: [data]  # type: ignore[method-assign]  # for this test alone
    with pytest.raises(DeserializationError):
        make(1024, serializer=odd)["a"]


class PickleOfProtocol4(PickleSerializer):
    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj, 4)


def test_a_pickle_of_the_programs_own(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(4096, serializer=PickleOfProtocol4())
    for key in (Color.RED, datetime.date(2024, 1, 1), "a", 1, (1, Color.RED)):
        d[key] = {key: [Point(1)]}
        assert d[key] == {key: [Point(1)]}
    assert list(d) == [Color.RED, datetime.date(2024, 1, 1), "a", 1, (1, Color.RED)]


def test_serializers_do_not_read_each_other(
    make: Callable[..., SharedMemoryDict], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGDICT_BOMB", str(tmp_path / "exploded"))
    by_pickle, by_json, by_other = make(), make(serializer=JSONSerializer()), make(serializer=Reversing())
    by_pickle["int"] = 1
    by_pickle["text"] = "native"
    assert by_json["int"] == by_other["int"] == 1
    assert by_json["text"] == "native"
    by_pickle["bomb"] = Bomb()
    by_pickle[Color.RED] = 1
    by_json["json"] = [1]
    by_other["other"] = [2]
    for reader, key in (
        (by_json, "bomb"),
        (by_other, "bomb"),
        (by_pickle, "json"),
        (by_other, "json"),
        (by_pickle, "other"),
        (by_json, "other"),
    ):
        with pytest.raises(DeserializationError, match="Failed to deserialize data"):
            reader[key]
        with pytest.raises(DeserializationError):
            reader.get(key)
        if reader is not by_pickle:
            with pytest.raises(DeserializationError):
                reader.items()
    with pytest.raises(DeserializationError, match="pickle"):
        by_json.keys()
    assert not (tmp_path / "exploded").exists()


def test_the_bytes_of_serializers() -> None:
    p, j = PickleSerializer(), JSONSerializer()
    data = {"a": [1, "é"]}
    assert p.dumps(data) == pickle.dumps(data, pickle.HIGHEST_PROTOCOL)
    assert p.loads(p.dumps(data) + b"garbage") == data
    assert j.dumps(data) == b'{"a": [1, "\\u00e9"]}\0'
    assert j.loads(j.dumps(data) + b"garbage") == data
    assert j.loads(b'{"a": 1}') == {"a": 1}
    with pytest.raises(DeserializationError, match="Failed to deserialize data: b'not json'"):
        j.loads(b"not json\0{}")
    with pytest.raises(DeserializationError, match="Failed to deserialize data: b'not pickle'"):
        p.loads(b"not pickle")
    with pytest.raises(SerializationError, match=r"Failed to serialize data: \{'a': \{1\}\}"):
        j.dumps({"a": {1}})
    with pytest.raises(AttributeError):
        p.loads(b"\x80\x05csegdict\nnothing_of_that_name\n.")
    for error in (SerializationError, DeserializationError):
        assert issubclass(error, ValueError)


# ---- What is refused ----


class _Unpicklable:
    def __reduce__(self) -> Any:
        return (_Unpicklable, None)  # arguments must be a tuple: PicklingError


def test_values_that_cannot_be_pickled(d: SharedMemoryDict) -> None:
    d["a"] = 1
    with pytest.raises(SerializationError, match="Failed to serialize data: {'a': ") as caught:
        d["a"] = _Unpicklable()
    assert isinstance(caught.value.__cause__, pickle.PicklingError)
    for value, expected in ((threading.Lock(), TypeError), ((i for i in ()), TypeError), (lambda: 0, Exception)):
        with pytest.raises(expected):
            d["a"] = value
        with pytest.raises(expected):
            d.setdefault("b", value)
    assert d == {"a": 1}


def test_keys_that_cannot_be(d: SharedMemoryDict, make: Callable[..., SharedMemoryDict]) -> None:
    by_json = make(serializer=JSONSerializer())
    for wrong in ([], {}, set(), (1, []), bytearray()):
        for use in (
            lambda wrong=wrong: d[wrong],
            lambda wrong=wrong: operator.setitem(d, wrong, 1),
            lambda wrong=wrong: operator.delitem(d, wrong),
            lambda wrong=wrong: wrong in d,
            lambda wrong=wrong: d.get(wrong),
            lambda wrong=wrong: d.pop(wrong, None),
            lambda wrong=wrong: d.setdefault(wrong, 1),
            lambda wrong=wrong: operator.setitem(by_json, wrong, 1),
        ):
            with pytest.raises(TypeError, match="unhashable"):
                use()
    assert len(d) == 0


def test_a_value_that_does_not_fit(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024)
    d["a"] = "small"
    for value in ("x" * 10_240, b"x" * 10_240, ["x" * 10_240], 1 << 100_000, "x" * 10_000_000):
        for use in (
            lambda value=value: operator.setitem(d, "a", value),
            lambda value=value: operator.setitem(d, "b", value),
            lambda value=value: d.update(a=value),
            lambda value=value: d.setdefault("c", value),
        ):
            with pytest.raises(ValueError, match=r"^exceeds available storage$") as caught:
                use()
            assert caught.value.__cause__ is not None
    assert d == {"a": "small"}
    assert d.verify() == []


def test_a_full_dict(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(64)
    n = 0
    with pytest.raises(ValueError, match=r"^exceeds available storage$") as caught:
        for n in range(10_000):
            d[n] = n
    assert isinstance(caught.value, FullError)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert d == {i: i for i in range(n)}
    d[0] = "overwritten"
    del d[1]
    d["new"] = 1
    assert len(d) == n
    assert d.verify() == []


def test_initial_content(make: Callable[..., SharedMemoryDict], name: str) -> None:
    with pytest.raises(SerializationError):
        make(1024, initial={"a": 1, "bad": _Unpicklable()})
    with pytest.raises(FullError):
        make(1024, initial={"a": "x" * 10_240})
    assert not glob.glob(f"/dev/shm/*{name}*")
    d = make(1024, initial=[("a", 1), ("b", [2])])
    assert d == {"a": 1, "b": [2]}
    assert os.stat(f"/dev/shm/sm_{name}").st_mode & 0o777 == 0o600
    assert make(1024, initial={"a": 5, "c": 6}) == {"a": 1, "b": [2]}
    d["c"] = 3
    assert list(d) == ["a", "b", "c"]
    assert d.verify() == []
    with pytest.raises(ValueError, match="exceeds available storage"):
        d["a"] = "x" * 10_240


# ---- Updates of which a part is refused ----


def test_update_takes_all_or_nothing(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024)
    d.update(a=1, b=[Point(2)], c="c" * 500)
    before = list(d.items())
    with pytest.raises(SerializationError):
        d.update({"a": 10, "new": 1, "b": [Point(20)], "bad": _Unpicklable()})
    assert list(d.items()) == before
    with pytest.raises(ValueError, match="exceeds available storage"):
        d.update({"c": "C" * 400, "b": 3, "new": 4, "big": "x" * 10_240})
    assert list(d.items()) == before
    with pytest.raises(TypeError):
        d.update([("a", 10), 3])
    with pytest.raises(TypeError, match="unhashable"):
        d.update([("a", 10), ([], 1)])
    assert list(d.items()) == before
    assert d.verify() == []


def test_update_of_json_takes_all_or_nothing(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024, serializer=JSONSerializer())
    d.update({"1": (1, 2), "b": [3]})
    before = list(d.items())
    with pytest.raises(FullError):
        d.update({1: (5, 6), "b": (7,), "new": 1, "big": "x" * 10_240})
    assert list(d.items()) == before


class _Person:
    """Compares by identity; pickles of it and of its copies differ in what they say once, and in the order of sets."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "value",
    [
        _Person(sort="name", name="x"),
        _Person(kind="kind"),
        [_Person(tags=("name",)), "name"],
        _Person(roles={f"role{i}" for i in range(50)} - {"role7"}, score=float("nan")),
        float("nan"),
        [bytearray(b"x"), {1, 2}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_update_takes_back_whatever_it_was(make: Callable[..., SharedMemoryDict], value: Any) -> None:
    d = make(4096)
    d["old"] = 1
    with pytest.raises(FullError):
        d.update({"old": value, "new": value, "big": "x" * 10_000_000})
    assert list(d.items()) == [("old", 1)]


def test_update_takes_back_times_to_live(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(4096)
    d["for ever"] = 1
    d.set("a", 1, ttl=60)
    with pytest.raises(FullError):
        d.update({"a": 2, "for ever": 2, "big": "x" * 10_000_000})
    value, _, ttl = d._read("a")  # type: ignore[misc]  # it is there, so not None
    assert value == 1
    assert 50 < ttl <= 60  # type: ignore[operator]  # likewise
    assert d._read("for ever")[2] is None  # type: ignore[index]  # likewise


class _OnlyOnce:
    """Cannot be read again."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_update_takes_back_what_others_have_not_changed(make: Callable[..., SharedMemoryDict], name: str) -> None:
    d = make(4096)
    d.update(a=1, b=2, c=3)

    class Meanwhile:
        def __reduce__(self) -> Any:
            d["a"] = "changed"
            del d["c"]
            return int, ()

    with pytest.raises(FullError):
        d.update({"a": 10, "b": 20, "c": 30, "odd": _OnlyOnce(), "m": Meanwhile(), "big": "x" * 10_000_000})
    assert {key: d[key] for key in d if key != "odd"} == {"a": "changed", "b": 2}
