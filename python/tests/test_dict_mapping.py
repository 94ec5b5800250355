"""segdict.Dict as a mapping: which keys are equal, views, order, what is missing."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import math
import os
import pickle
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

import segdict
from conftest import Colour, Level, run_python

D = segdict.Dict[Any, Any]
Make = Callable[..., D]

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
)  # fmt: skip  # a table
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


def test_missing(d: D) -> None:
    for use in (d.__getitem__, d.__delitem__, d.pop):
        with pytest.raises(KeyError) as error:
            use(("a", 1))
        assert error.value.args == (("a", 1),)
    assert d.get("a") is None
    assert d.get("a", 5) == 5
    assert d.pop("a", 6) == 6
