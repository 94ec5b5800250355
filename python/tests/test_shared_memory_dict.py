"""SharedMemoryDict: that it behaves as a dict does, and as the class of that name of shared-memory-dict."""

from __future__ import annotations

import copy
import datetime
import enum
import errno
import glob
import json
import operator
import os
import pickle
import random
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

import segdict
from conftest import run_python
from segdict import SharedMemoryDict
from segdict.errors import ClosedError, DeserializationError, FormatError, FullError, SerializationError
from segdict.shared_memory_dict import dict as module
from segdict.shared_memory_dict import hooks, lock, serializers, templates
from segdict.shared_memory_dict.serializers import JSONSerializer, PickleSerializer


class Color(enum.Enum):
    RED = 1


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    def __hash__(self) -> int:
        return hash(self.x)


@pytest.fixture
def make(name: str) -> Iterator[Callable[..., SharedMemoryDict]]:
    made: list[SharedMemoryDict] = []

    def make(size: int = 65536, **options: Any) -> SharedMemoryDict:
        made.append(SharedMemoryDict(name, size, **options))
        return made[-1]

    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def d(make: Callable[..., SharedMemoryDict]) -> SharedMemoryDict:
    return make()


# ---- Names ----


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


# ---- As a dict ----

KEYS: list[Any] = [
    "a", "", "é€😀", "\ud800", 0, 1, -1, 2**70, 1.5, 2.0, float("inf"), None, True, b"", b"a", (), (1, "a"),
    (None, (2,)), frozenset({1, 2}), 1j, Color.RED, Point(3), Fraction(1, 3), datetime.date(2024, 2, 29),
    uuid.UUID(int=7), "k" * 70_000, 2.0**70, -0.0,
]  # fmt: skip

VALUES: list[Any] = [
    "", "text", "é€😀", "\ud800", 0, -1, 2**63 - 1, 2**63, -(2**200), 1.5, float("inf"), True, False, None, b"",
    b"bytes", bytearray(b"more"), [], [1, [2]], (), (1,), {}, {"a": {"b": 1}}, {1, 2}, frozenset({1}), 1j, Color.RED,
    Point(3), datetime.datetime(2024, 2, 29), Fraction(1, 3), len, int, "x" * 5000, b"x" * 5000,
]  # fmt: skip


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
    np = pytest.importorskip("numpy")
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


def test_order_is_that_of_insertion(d: SharedMemoryDict) -> None:
    for key in "zyxwv":
        d[key] = key.upper()
    d["z"] = "again"  # keeps its place
    del d["y"]
    d["y"] = "later"
    assert list(d) == ["z", "x", "w", "v", "y"]
    assert list(reversed(d)) == ["y", "v", "w", "x", "z"]
    assert list(d.keys()) == list(d)
    assert list(d.values()) == ["again", "X", "W", "V", "later"]
    assert list(d.items()) == list(zip(d.keys(), d.values()))
    assert repr(d) == str(d) == "{'z': 'again', 'x': 'X', 'w': 'W', 'v': 'V', 'y': 'later'}"
    assert d.popitem() == ("y", "later")
    assert d.popitem() == ("v", "V")


def test_views_are_snapshots(d: SharedMemoryDict) -> None:
    d["a"] = 1
    keys, values, items, iterator = d.keys(), d.values(), d.items(), iter(d)
    assert type(keys) is type({}.keys())
    assert type(values) is type({}.values())
    assert type(items) is type({}.items())
    d["b"] = 2
    assert list(keys) == list(iterator) == ["a"]
    assert list(values) == [1]
    assert list(items) == [("a", 1)]
    assert keys == {"a"}


def test_comparing(d: SharedMemoryDict, name: str) -> None:
    d.update(a=1, b=[2])
    other = SharedMemoryDict(name, 1)
    assert d == {"b": [2], "a": 1}
    assert {"b": [2], "a": 1} == d  # noqa: SIM300
    assert not d != {"b": [2], "a": 1}  # noqa: SIM202
    assert d != {"a": 1}
    assert d != 3
    assert d != None  # noqa: E711
    assert d == d
    assert d == other
    other["c"] = 3
    assert d == {"a": 1, "b": [2], "c": 3}


def test_merging(d: SharedMemoryDict, name: str) -> None:
    d.update(a=1, b=2)
    merged = d | {"b": 3}
    assert type(merged) is dict
    assert merged == {"a": 1, "b": 3}
    merged = {"b": 3, "c": 4} | d
    assert type(merged) is dict
    assert list(merged.items()) == [("b", 2), ("c", 4), ("a", 1)]
    assert type(d | SharedMemoryDict(name, 1)) is dict
    for wrong in (3, [("a", 1)], None):
        with pytest.raises(TypeError):
            d | wrong
        with pytest.raises(TypeError):
            wrong | d
    same = d
    same |= {"c": 5}
    assert same is d
    same |= [("d", 6)]
    assert d == {"a": 1, "b": 2, "c": 5, "d": 6}
    with pytest.raises(TypeError):
        d |= 3


def test_it_is_no_mapping(d: SharedMemoryDict) -> None:
    import collections.abc

    assert not isinstance(d, (collections.abc.Mapping, dict))
    assert not hasattr(d, "copy")
    assert not hasattr(d, "fromkeys")
    with pytest.raises(TypeError, match="unhashable"):
        hash(d)
    with pytest.raises(TypeError):
        {d}  # noqa: B018
    assert dict(d) == {}
    assert not d
    d[1] = 2
    assert d
    assert dict(d) == {**dict(d.items())} == {1: 2}


def test_get_pop_setdefault(d: SharedMemoryDict) -> None:
    assert d.get("a") is None
    assert d.get("a", 1) == 1
    assert d.get("a", default=1) == 1
    assert d.setdefault("a") is None
    assert d == {"a": None}
    assert d.setdefault("a", 1) is None
    assert d.get("a", 1) is None
    assert d.pop("a", 1) is None
    assert d.pop("a", 1) == 1
    assert d.pop("a", default=None) is None
    with pytest.raises(KeyError) as caught:
        d.pop("a")
    assert caught.value.args == ("a",)
    default: list[int] = []
    assert d.setdefault("b", default) is default
    assert d["b"] == []
    d.clear()
    assert len(d) == 0
    with pytest.raises(KeyError, match="dictionary is empty"):
        d.popitem()
    with pytest.raises(KeyError):
        del d["a"]


def test_update(d: SharedMemoryDict) -> None:
    d.update({"a": 1}, b=2)
    d.update([("c", 3), ("a", 4)])
    d.update(other=5)
    d.update()
    d.update(zip("xy", (6, 7)))
    assert list(d.items()) == [("a", 4), ("b", 2), ("c", 3), ("other", 5), ("x", 6), ("y", 7)]
    with pytest.raises(TypeError):
        d.update({}, {})  # type: ignore[call-arg]


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


def test_what_is_deprecated_says_where(d: SharedMemoryDict) -> None:
    d.update(a=1, b=2, c=3)
    for last in (True, False):
        with pytest.warns(DeprecationWarning, match="'move_to_end' method will be removed") as caught:
            d.move_to_end("a", last=last)
        assert caught[0].filename == __file__
        assert next(reversed(d)) == "a"
        with pytest.warns(DeprecationWarning, match="'last' parameter will be removed") as caught:
            assert d.popitem(last=last) == ("a", 1)
        assert caught[0].filename == __file__
        d["a"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d.popitem()
    with pytest.deprecated_call(), pytest.raises(KeyError):
        d.move_to_end("missing")


def test_like_a_dict_under_random_operations(make: Callable[..., SharedMemoryDict]) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    d, model = make(1 << 20), {}
    keys = [f"k{i}" for i in range(20)] + [1, 2.5, None, (1, 2), "long" * 20]

    def both(operation: Callable[[Any], Any]) -> None:
        outcomes = []
        for one in (d, model):
            try:
                outcomes.append(operation(one))
            except KeyError as error:
                outcomes.append(("KeyError", error.args))
        assert outcomes[0] == outcomes[1], seed

    for _ in range(4000):
        key = rng.choice(keys)
        value = rng.choice([None, rng.random(), "v" * rng.randrange(200), [key], {"n": rng.randrange(9)}])
        chosen = rng.randrange(10)
        if chosen < 4:
            d[key] = value
            model[key] = value
        elif chosen == 4:
            both(operator.itemgetter(key))
        elif chosen == 5:
            both(lambda one, key=key: one.pop(key))
        elif chosen == 6:
            both(lambda one, key=key, value=value: one.setdefault(key, value))
        elif chosen == 7:
            both(lambda one: one.popitem())
        elif chosen == 8:
            more = {rng.choice(keys): rng.randrange(100) for _ in range(3)}
            both(lambda one, more=more: one.update(more))
        elif key in model:
            with pytest.deprecated_call():
                d.move_to_end(key)
            model[key] = model.pop(key)
        assert len(d) == len(model), seed
    assert list(d.items()) == list(model.items()), seed
    assert repr(d) == repr(model), seed
    assert d.verify() == []


# ---- The handle ----


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


@pytest.mark.parametrize("wrong", ["a/b", "../x", "nul\0", "n" * 300])
def test_wrong_names(wrong: str) -> None:
    with pytest.raises((ValueError, OSError)):
        SharedMemoryDict(wrong, 1024)


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
        d.shm = None  # type: ignore[misc, assignment]
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
        old.shm.buf  # noqa: B018
    old["old"] = 2
    assert old == {"old": 2}


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


def test_update_of_json_takes_all_or_nothing(make: Callable[..., SharedMemoryDict]) -> None:
    d = make(1024, serializer=JSONSerializer())
    d.update({"1": (1, 2), "b": [3]})
    before = list(d.items())
    with pytest.raises(FullError):
        d.update({1: (5, 6), "b": (7,), "new": 1, "big": "x" * 10_240})
    assert list(d.items()) == before


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
    serializer_that_errs.dumps = lambda obj: 1 / 0  # type: ignore[method-assign]
    other = make(1024, serializer=serializer_that_errs)
    with pytest.raises(ZeroDivisionError):
        other["a"] = 1
    assert other["a"] == (1, [2])
    odd = Reversing()
    odd.loads = lambda data: [data]  # type: ignore[method-assign]
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


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["SEGDICT_BOMB"],)


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


# ---- Errors ----


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


def test_not_so_much_memory(name: str) -> None:
    with pytest.raises(OSError, match=r"(?s)takes \d+ bytes, .*size=30000000000; capacity= .*value_bytes=") as caught:
        SharedMemoryDict(name, 30_000_000_000, capacity=1000)
    assert caught.value.errno == errno.ENOSPC
    assert not glob.glob(f"/dev/shm/*{name}")


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


# ---- Concurrency of single operations ----


def test_move_to_end_never_hides_the_entry(d: SharedMemoryDict) -> None:
    d.update(a=[1], b=2)
    code = """if True:
        import sys, warnings
        from segdict import SharedMemoryDict
        warnings.simplefilter("ignore")
        d = SharedMemoryDict(sys.argv[1], 1)
        print("ready", flush=True)
        for _ in range(20000):
            d.move_to_end("a")
            d.move_to_end("b")
        """
    process = subprocess.Popen([sys.executable, "-c", code, d.shm.name[3:]], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    while process.poll() is None:
        for _ in range(500):
            assert d["a"] == [1]
            assert "b" in d
    process.stdout.close()
    assert process.returncode == 0
    assert list(d) == ["a", "b"]


def test_each_entry_is_taken_once(d: SharedMemoryDict) -> None:
    n = 2000
    d.update(zip(range(n), range(n)))
    code = """if True:
        import sys
        from segdict import SharedMemoryDict
        d = SharedMemoryDict(sys.argv[1], 1)
        taken = []
        try:
            while True:
                taken.append(d.popitem()[0] if sys.argv[2] == "popitem" else d.pop(len(taken)))
        except KeyError:
            pass
        if sys.argv[2] == "pop":
            taken = [key for key in range(2000) if d.pop(key, None) is not None] + taken
        print(taken)
        """
    name = d.shm.name[3:]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name, how], stdout=subprocess.PIPE)
        for how in ("pop", "popitem", "pop", "popitem")
    ]
    taken = [key for process in processes for key in json.loads(process.communicate(timeout=120)[0])]
    assert sorted(taken) == list(range(n))
    assert len(d) == 0


def test_setdefault_has_one_winner(d: SharedMemoryDict) -> None:
    code = """if True:
        import os, sys
        from segdict import SharedMemoryDict
        d = SharedMemoryDict(sys.argv[1], 1)
        print([d.setdefault(key, os.getpid()) for key in range(500)])
        """
    name = d.shm.name[3:]
    processes = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE) for _ in range(4)]
    seen = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert seen[0] == seen[1] == seen[2] == seen[3] == [d[key] for key in range(500)]


def test_a_dict_of_another_interpreter(d: SharedMemoryDict) -> None:
    run_python(
        "import sys; from segdict import SharedMemoryDict as D; d = D(sys.argv[1], 1); d[(1, 'a')] = {'x': [None]}",
        d.shm.name[3:],
    )
    assert d == {(1, "a"): {"x": [None]}}
