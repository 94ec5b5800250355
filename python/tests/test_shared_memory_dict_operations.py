"""SharedMemoryDict's operations: those of a dict, each of them atomic between processes."""

from __future__ import annotations

import json
import operator
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from conftest import run_python
from segdict import SharedMemoryDict
from shared_memory_dicts import d as d
from shared_memory_dicts import make as make

# ---- As a dict ----


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
    assert {"b": [2], "a": 1} == d  # noqa: SIM300  (from this side too)
    assert not d != {"b": [2], "a": 1}  # noqa: SIM202  (!= is what is tested)
    assert d != {"a": 1}
    assert d != 3
    assert d != None  # noqa: E711  (the comparison is what is tested)
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
        {d}  # noqa: B018  (the hash is what fails)
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
        d.update({}, {})  # type: ignore[call-arg]  # too many on purpose


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


# ---- With other processes ----


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
