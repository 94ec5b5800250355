"""What fitted into `size` bytes of shared-memory-dict fits here, whatever it was."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segdict import SharedMemoryDict, _core
from segdict.shared_memory_dict import _sizing
from segdict.shared_memory_dict.serializers import JSONSerializer, PickleSerializer

SIZES = [64, 256, 1024, 65536, 1 << 20]

# Entries, as many as are asked for; nothing of one is shared with another, or the pickle would mention it only once.
PICKLED: dict[str, Callable[[int], Any]] = {
    "small ints": lambda i: (i, None),
    "ints": lambda i: (i, i % 256),
    "odd keys": lambda i: ((None, (), "", b"", frozenset(), (None,), ((),), (True,))[i] if i < 8 else i - 8, None),
    "characters": lambda i: (chr(i + 1 if i < 0xD7FF else i + 0x2001), None) if i < 1_000_000 else (i, None),
    "short str": lambda i: (f"{i:x}", i),
    "30 and 30": lambda i: (f"key-{i:026}", f"value-{i:024}"),
    "100 bytes": lambda i: (i, i.to_bytes(100, "little")),
    "33 and nothing": lambda i: (f"{i:033}", None),
    "41 in all": lambda i: (f"{i:06}", f"{i:035}"),
    "lists": lambda i: (i, [i, i + 1, i + 2, i + 3]),
    "dicts": lambda i: (f"k{i}", {i: [float(i)]}),
    "floats": lambda i: (i + 0.5, i + 0.25),
    "whole floats": lambda i: (float(i), [i % 256]),
    "tuples": lambda i: ((*i.to_bytes(4, "big"), *[200] * 8), (None,)),
    "long tuples": lambda i: ((*i.to_bytes(4, "big"), *[200] * 500), None),
    "large ints": lambda i: (2**300 + i, 2**300 + i),
    "1025 bytes": lambda i: (i, i.to_bytes(1025, "little")),
    "5000 bytes": lambda i: (i, i.to_bytes(5000, "little")),
    "70000 bytes": lambda i: (i, i.to_bytes(70000, "little")),
}
JSONED: dict[str, Callable[[int], Any]] = {
    "digits": lambda i: (str(i), i % 10),
    "characters": lambda i: (chr(i + 35) if i < 57 else f"{i:x}", 0),
    "30 and 30": lambda i: (f"key-{i:026}", f"value-{i:024}"),
    "16 and 2": lambda i: (f"{i:016}", 10),
    "33 and 1": lambda i: (f"{i:033}", 1),
    "100": lambda i: (f"{i}", f"{i:0100}"),
    "escaped": lambda i: ("é" + chr(i + 0x1000) if i < 50_000 else str(i), "é" * 5),
    "nested": lambda i: (f"{i}", {"a": [i, {"b": None}]}),
    "5000": lambda i: (f"{i}", "x" * 5000),
}


@pytest.fixture
def filled(name: str) -> Iterator[Callable[..., SharedMemoryDict]]:
    made: list[SharedMemoryDict] = []

    def fill(size: int, content: dict[Any, Any], serializer: Any) -> SharedMemoryDict:
        made.append(SharedMemoryDict(name, size, serializer=serializer))
        for key, value in content.items():
            made[-1][key] = value
        return made[-1]

    yield fill
    for one in made:
        one.cleanup()


def most(size: int, entry: Callable[[int], Any], serializer: Any) -> dict[Any, Any]:
    """As many of the entries as the original takes; of thousands, nearly."""
    low, high = 0, size * 32 // len(serializer.dumps(dict(map(entry, range(64))))) + 1
    while len(serializer.dumps(dict(map(entry, range(high))))) <= size:
        low, high = high, 2 * high
    while high - low > 1 + low // 1000:
        middle = (low + high) // 2
        if len(serializer.dumps(dict(map(entry, range(middle))))) <= size:
            low = middle
        else:
            high = middle
    return dict(map(entry, range(low)))


MIXES = [
    pytest.param(size, entry, serializer(), id=f"{serializer.__name__[:-10]} {size} {what}")
    for serializer, entries in ((PickleSerializer, PICKLED), (JSONSerializer, JSONED))
    for size in SIZES
    for what, entry in entries.items()
]


@pytest.mark.parametrize(("size", "entry", "serializer"), MIXES)
def test_as_many_as_in_the_original(
    filled: Callable[..., SharedMemoryDict], size: int, entry: Callable[[int], Any], serializer: Any
) -> None:
    content = most(size, entry, serializer)
    d = filled(size, content, serializer)
    assert len(d) == len(content)
    assert len(content) <= d.capacity
    if len(content) < 10_000:
        assert d == content
    # And once more in their places, each needing room while the old one is there.
    for key, value in itertools.islice(content.items(), 100):
        d[key] = value
    assert len(d) == len(content)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer()], ids=["pickle", "json"])
def test_one_value_that_takes_all(filled: Callable[..., SharedMemoryDict], size: int, serializer: Any) -> None:
    for wrap in (lambda text: text, lambda text: [text]):
        empty = len(serializer.dumps({"k": wrap("")}))
        length = size - empty
        while len(serializer.dumps({"k": wrap("x" * length)})) > size:
            length -= 1  # the lengths of lengths
        d = filled(size, {}, serializer)
        for character in "abcd":
            d["k"] = wrap(character * length)
            assert d["k"] == wrap(character * length)
        d.shm.unlink()


@pytest.mark.parametrize("size", SIZES[2:])
def test_small_ones_give_way_to_a_large_one(filled: Callable[..., SharedMemoryDict], size: int) -> None:
    serializer = PickleSerializer()
    content = most(size, PICKLED["41 in all"], serializer)
    d = filled(size, content, serializer)
    for turn in range(3):
        for key in content:
            del d[key]
        d["large"] = f"{turn}" * (size - 50)
        del d["large"]
        d.update(content)
    assert len(d) == len(content)


@pytest.mark.parametrize("size", SIZES)
def test_ten_times_the_size_does_not_fit(filled: Callable[..., SharedMemoryDict], size: int) -> None:
    for serializer in (PickleSerializer(), JSONSerializer()):
        d = filled(size, {"a": 1}, serializer)
        with pytest.raises(ValueError, match="exceeds available storage"):
            d["a"] = "x" * 10 * size
        assert d == {"a": 1}
        d.shm.unlink()


def test_memory_is_as_documented(filled: Callable[..., SharedMemoryDict]) -> None:
    for size, serializer, limit in (
        (1024, PickleSerializer(), 240 << 10),
        (65536, PickleSerializer(), 28 * 65536),
        (1 << 20, PickleSerializer(), 23 << 20),
        (1 << 20, JSONSerializer(), 17 << 20),
    ):
        d = filled(size, {}, serializer)
        assert d.segment_bytes <= limit
        d.shm.unlink()


# ---- The arithmetic ----


def length_of_item(key: Any) -> int:
    """As python/binding/keys.h has it."""

    def leb(n: int) -> int:
        return max(1, (n.bit_length() + 6) // 7)

    def bytes_of(number: int) -> int:
        return (number if number >= 0 else ~number).bit_length() // 8 + 1

    if key is None:
        return 1
    if isinstance(key, (str, bytes)):
        n = len(key.encode() if isinstance(key, str) else key)
        return 1 + leb(n) + n
    if isinstance(key, float) and not key.is_integer():
        return 9
    if isinstance(key, (int, float)):
        return 1 + leb(bytes_of(int(key))) + bytes_of(int(key))
    return 1 + leb(len(key)) + sum(map(length_of_item, key))


def length_of_key(key: Any) -> int:
    return len(key.encode()) if isinstance(key, str) else 1 + length_of_item(key)


def length_of_value(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, (bool, float)):
        return 8
    if isinstance(value, int):
        return max(8, value.bit_length() // 8 + 1)
    if isinstance(value, (str, bytes)):
        return len(value.encode() if isinstance(value, str) else value)
    return len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


LENGTHS = [*range(140), 191, 192, 193, 255, 256, 257, 320, 321, 384, 385, 512, 513, 1024, 1025, 1344, 1345, 2048, 2049]
LENGTHS += [4096, 4097, 16384, 16385, 65536, 65537]
PICKLE_KEYS: list[Any] = [0, 127, 200, 65535, 2**31, -1, 2**62, 2**200, None, 1.5, 3.0, 2.0**40, 2.0**62]
PICKLE_KEYS += [kind(n) for n in [*range(80), 128, 255, 256, 1000] for kind in (lambda n: "k" * n, bytes)]
PICKLE_KEYS += [(200,) * n for n in [*range(80), 333, 500, 510, 511, 512]] + [
    tuple(range(128, 128 + n)) for n in range(60)
]
PICKLE_KEYS += [frozenset(range(128, 128 + n)) for n in range(0, 60, 7)] + [
    tuple(map(str, range(n))) for n in range(30)
]
PICKLE_VALUES: list[Any] = [None, 0, 2**40, 1.5, 2**100, (), [], {}, (None,), (1,), [1], [[]], ((1,),), {"a": 1}, {1}]
PICKLE_VALUES += ["v" * n for n in LENGTHS] + [["v" * n] for n in LENGTHS]


@pytest.mark.parametrize("value_bytes", [1000, 2 << 20, 8 << 20], ids=["4 KiB pages", "16 KiB pages", "64 KiB pages"])
def test_the_bound_of_an_entry(value_bytes: int) -> None:
    factor = _sizing._FACTOR[0] / _sizing._FACTOR[1]
    base: dict[Any, Any] = {f"other{i}": None for i in range(3)}  # so that the entry is one of many

    def check(key_length: int, value_length: int, original: int, what: Any) -> float:
        taken = _core.value_bytes_for(key_length, value_length, value_bytes=value_bytes, ordered=True)
        assert taken <= factor * original, what
        return taken / original

    worst = 0.0
    empty = len(pickle.dumps(base, pickle.HIGHEST_PROTOCOL))
    for key in PICKLE_KEYS:
        carried = 13 if isinstance(key, float) and key.is_integer() else 0
        key_length = length_of_key(key)
        of_key = len(pickle.dumps({**base, key: None}, pickle.HIGHEST_PROTOCOL)) - empty - 1
        for value in PICKLE_VALUES:
            # A key and a value have nothing in common here that the pickle could share.
            of_value = (
                len(pickle.dumps([base, value], pickle.HIGHEST_PROTOCOL))
                - len(pickle.dumps([base, 1], pickle.HIGHEST_PROTOCOL))
                + 2
            )
            worst = max(worst, check(key_length, carried + length_of_value(value), of_key + of_value, (key, value)))
    assert worst > 4  # or the factor is too large
    for n in [*range(200), 255, 256, 1020, 1023, 1024, 2045, 2048, 4096]:
        for text in LENGTHS:
            value = "v" * text
            original = len(json.dumps({"a": 0, "k" * n: value})) - len('{"a": 0}')
            check(n, len(json.dumps({"k" * n: value})) + 1, original, (n, text))


def test_the_bound_of_a_block() -> None:
    for value_bytes in (1000, 2 << 20, 8 << 20):
        for n in range(41, 70_000):
            taken = _core.value_bytes_for(0, n, value_bytes=value_bytes, ordered=True)
            assert taken == 64 if n <= 64 else taken < 2 * n


def test_the_smallest_keys() -> None:
    """The numbers of keys that have so short a pickle; found among all that could have one."""
    atoms: list[Any] = [None, True, False, ()]
    short: list[Any] = [*atoms, *range(70_000), *map(chr, range(0x3000)), *(bytes([i]) for i in range(256)), "", b""]
    short += [frozenset()] + [frozenset([atom]) for atom in atoms]
    short += [(one,) for one in [*atoms, *range(300)]] + list(itertools.product(atoms, atoms))
    short += (
        [(one, two) for one in atoms for two in range(300)] + [((one,),) for one in atoms] + [-1, 2**31, 1.5, 2**40]
    )
    counts: dict[int, int] = {}
    for key in short:
        n = len(pickle.dumps([key], pickle.HIGHEST_PROTOCOL)) - len(pickle.dumps([0], pickle.HIGHEST_PROTOCOL)) + 2
        counts[n] = counts.get(n, 0) + 1
    kinds, rest = _sizing._KEYS[16]
    for keys, cost in kinds:
        assert counts[cost - 1] <= keys
    assert rest == 6


def test_capacities() -> None:
    assert _sizing.capacity_for(1, 16) == 1
    assert _sizing.capacity_for(8, 16) == 4
    assert _sizing.capacity_for(11, 16) == 5
    for serializer in _sizing._KEYS:
        capacities = [_sizing.capacity_for(size, serializer) for size in range(1, 5000)]
        assert capacities == sorted(capacities)
    assert all(
        _sizing.value_bytes_for(size) >= _sizing.value_bytes_for(size - 1)
        for size in [*range(2, 3000), 228_000, 912_000]
    )
