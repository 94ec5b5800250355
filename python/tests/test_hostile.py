"""segdict.Dict in hostile hands: damaged bytes, callbacks that strike back, odd keys and arguments."""

from __future__ import annotations

import decimal
import operator
import os
import pickle
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import segdict
from conftest import run_python
from segdict import _core

D = segdict.Dict[Any, Any]
Make = Callable[..., D]


def raw(name: str) -> Any:
    """A table that stores any type with any bytes: `raw(name)[key] = (type, bytes)`."""
    return _core.Table("name", name, "open", native=False, dump=lambda _, value: value, load=lambda *value: value)


def length(n: int) -> bytes:
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


# ---- Callbacks ----


class Stubborn:
    type = 40

    def dumps(self, value: Any) -> bytes:
        return b"x"

    def loads(self, data: bytes) -> Any:
        raise KeyError("of the serializer")


@pytest.mark.timeout(60)
def test_a_key_error_of_the_serializer_is_no_missing_key(make: Make) -> None:
    d = make(serializer=Stubborn())
    d["key"] = [1]
    reads: list[Callable[[], Any]] = [
        lambda: d["key"],
        lambda: d.get("key"),
        lambda: d.setdefault("key", 1),
        lambda: d.get_or_set("key", 1),
        lambda: d.pop("key", None),
        lambda: d.get_many(["key"]),
    ]
    for read in reads:
        with pytest.raises(KeyError, match="of the serializer"):
            read()
    assert "key" in d


def test_a_key_error_of_a_hash_is_no_missing_key(d: D) -> None:
    class Key:
        def __hash__(self) -> int:
            raise KeyError("of the key")

    with pytest.raises(KeyError, match="of the key"):
        d.get(Key())


class Interrupting(int):
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def test_ctrl_c_while_a_key_is_pickled(d: D) -> None:
    with pytest.raises(KeyboardInterrupt):
        d[Interrupting(1)] = "value"
    assert len(d) == 0


@pytest.mark.parametrize("made", [len, 1.5, 1 << 9999, "abc", None, object(), b"bytes"])
def test_an_int_that_makes_its_own_bytes(d: D, made: Any) -> None:
    class Evil(int):
        def to_bytes(self, *_: Any, **__: Any) -> Any:
            return made

        def __invert__(self) -> Any:
            return made

        def __ge__(self, _: object) -> Any:
            return made

        bit_length = __index__ = __int__ = __invert__

    for value in (2**70, -(2**70), 5):
        d[Evil(value)] = "value"
        assert d[value] == "value"
        assert d[(Evil(value),)[0]] == "value"


def test_a_handler_that_closes_the_dict_it_interrupts(make: Make) -> None:
    d = make(lock=True)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with d.lock():
            holding.set()
            done.wait()

    def handler(*_: object) -> None:
        d.close()
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        holding.wait()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError):
            d["key"] = b"x" * 200_000
    finally:
        signal.signal(signal.SIGALRM, before)
        done.set()
        thread.join()
    with pytest.raises(segdict.ClosedError):
        len(d)


def test_closed_for_all_while_a_call_is_under_way(d: D) -> None:
    class Closing:
        def __hash__(self) -> int:
            d.close()
            assert d.closed
            for use in (lambda: len(d), lambda: d.capacity, lambda: d["a"]):
                with pytest.raises(segdict.ClosedError):
                    use()
            return 1

        def __reduce__(self) -> Any:
            return int, ()

    with pytest.raises(segdict.ClosedError):
        d.get_many([Closing()])


def test_garbage_that_was_never_a_dict() -> None:
    code = """
import gc, segdict
class Careless(segdict.Dict):
    def __init__(self):
        self.me = self
for _ in range(300):
    Careless()
    junk = [b"x" * n for n in range(100, 400)]
gc.collect()
"""
    run_python(code)


# ---- Damaged bytes ----


@pytest.mark.parametrize(
    "dtype",
    ["M8[s/0]", "i8,(2,", "(1,", "i8,O", "O", "a", "T", "V0", "V9999999999", "(9,9)i8", "", "\xff", "[", "<M8[0s]",
     "<M8[99999999999s]", "i8\n"],
)  # fmt: skip  # a table
def test_damaged_arrays(d: D, name: str, dtype: str) -> None:
    """In a process of its own: some of these kill NumPy."""
    pytest.importorskip("numpy", reason="an optional package")
    head = struct.pack("<cBq", b"C", 1, 1) + dtype.encode("latin-1")
    size = (len(head) + 2 + 15) // 16 * 16
    raw(name)["short"] = (34, struct.pack("<H", size) + head.ljust(size - 2, b"\0") + bytes(8))
    raw(name)["long"] = (34, struct.pack("<H", size) + head.ljust(size - 2, b"\0") + bytes(800))
    code = """
import sys, segdict
d = segdict.Dict(sys.argv[1])
for key in ("short", "long"):
    try:
        d[key]
        raise AssertionError(key)
    except segdict.DeserializationError:
        pass
"""
    run_python(code, name)


def test_a_key_that_promises_more_than_it_has(make: Make, name: str) -> None:
    """Room is made for what is there: nested tuples of a million items each would be gigabytes."""
    d = make(value_bytes=8 << 20)
    n = 1 << 20
    item = (b"t" + length(n)) * 150 + b"N" * (n + 1000)
    raw(name)["key"] = (0x80 | 5, struct.pack("<I", len(item)) + item)
    code = """
import resource, sys, segdict
d = segdict.Dict(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    list(d)
except segdict.DeserializationError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python(code, name).stdout) < 200_000
    assert d.verify() == []


# ---- Keys ----


@pytest.mark.parametrize(
    "equal",
    [
        [decimal.Decimal("0.1"), decimal.Decimal("0.10"), decimal.Decimal("100e-3")],
        [decimal.Decimal("1e200000"), decimal.Decimal("10e199999")],
        [decimal.Decimal("-1e-30"), decimal.Decimal("-0.10e-29")],
    ],
    ids=repr,
)
def test_equal_decimals_are_one_key(d: D, equal: list[Any]) -> None:
    for key in equal:
        d[key] = str(key)
        assert [str(back) for back in d] == [str(key)]
        assert all(d[other] == str(key) for other in equal)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("key", ["1e999999999", "-7e99999999", "1e-999999999", "NaN", "Infinity"])
def test_decimals_that_no_memory_holds_as_an_int(d: D, key: str) -> None:
    d[decimal.Decimal(key)] = 1
    assert d[decimal.Decimal(key)] == 1
    assert decimal.Decimal("5e999999999") not in d
    assert [str(back) for back in d] == [str(decimal.Decimal(key))]


def test_numpy_complex_keys(d: D) -> None:
    numpy = pytest.importorskip("numpy", reason="an optional package")
    d[1 + 2j] = "a"
    d[3] = "b"
    assert d[numpy.complex64(1 + 2j)] == "a"
    assert d[numpy.complex64(3)] == "b"
    assert d[numpy.clongdouble(3)] == "b"


def test_keys_whose_conversions_fail(d: D) -> None:
    class Odd:
        def __float__(self) -> float:
            raise AttributeError("no number after all")

        def __reduce__(self) -> Any:
            return str, ("odd",)

    d[Odd()] = 1
    assert len(d) == 1


# ---- Arguments and what is said about them ----


def test_names_that_are_no_utf8(name: str, tmp_path: Any) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    places: list[dict[str, Any]] = [{"name": name + "\udcff"}, {"path": path}]
    for where in places:
        with pytest.raises(FileNotFoundError) as caught:
            segdict.Dict(**where)
        assert caught.value.filename == next(iter(where.values()))
    with open(path, "wb") as file:
        file.write(bytes(10_000))
    with pytest.raises(segdict.FormatError, match="\udcff"):
        segdict.Dict(path=path)


@pytest.mark.parametrize("where", [{"name": 5}, {"name": ["a"]}, {"fd": "x"}, {"fd": 1.5}], ids=repr)
def test_places_of_wrong_types(where: Any) -> None:
    with pytest.raises(TypeError):
        segdict.Dict(**where, capacity=10)


def test_errors_are_the_same_after_a_trip_to_another_process() -> None:
    for error in (segdict.SerializationError([5]), segdict.DeserializationError(b"x"), segdict.FullError("full")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (type(error), str(error))


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("repr fails")


class Sly:
    class Text(str):
        def __len__(self) -> int:
            raise ZeroDivisionError

    def __repr__(self) -> str:
        return Sly.Text("sly")


@pytest.mark.parametrize("serializer", [segdict.JSON, segdict.Msgpack()])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Shy(), "Shy, whose repr fails with RuntimeError"),
        (Sly(), "data: sly"),
        ([Shy()], "list, whose repr fails with RuntimeError"),
        ([object(), 10**5000], "list, whose repr fails with ValueError"),
        (["x" * 100_000, object()], "100[0-9]{3} characters"),
    ],
    ids=["object", "str", "list", "int", "long"],
)
def test_serialization_errors_of_what_cannot_be_shown(
    make: Make, serializer: segdict.Serializer, value: Any, shown: str
) -> None:
    d = make(serializer=serializer)
    with pytest.raises(segdict.SerializationError, match=shown) as info:
        d["key"] = value
    assert len(str(info.value)) < 2000
    assert len(d) == 0


def test_wait_limit_is_a_number(make: Make) -> None:
    with pytest.raises(ValueError, match="wait_limit"):
        make(wait_limit=float("nan"))


def test_numpy_numbers_as_sizes(make: Make) -> None:
    numpy = pytest.importorskip("numpy", reason="an optional package")
    d = make(numpy.int8(100), value_bytes=numpy.int32(1000))
    assert (d.capacity, d.value_bytes) == (100, 1000)


def test_touch_keeps_the_time_to_live(d: D) -> None:
    d.set("key", 1, ttl=50)
    assert d.touch("key", ...)
    left = d.ttl("key")
    assert left is not None
    assert left <= 50
    assert not d.touch("missing", ...)


def test_read_into_of_values_that_carry_their_key(d: D) -> None:
    for key in (1.0, "k" * 70_000, True):
        for value in (b"some bytes", bytearray(b"y" * 1000), b"z" * 100_000):
            d[key] = value
            buffer = bytearray(len(value))
            assert d.read_into(key, buffer) == len(value)
            assert buffer == value
            with pytest.raises(ValueError, match="buffer"):
                d.read_into(key, bytearray(len(value) - 1))
        d[key] = "text"
        with pytest.raises(TypeError):
            d.read_into(key, bytearray(1000))


# ---- The mapping ----


def test_a_time_to_live_is_told_without_the_value(d: D) -> None:
    d.set("unreadable", Unreadable(), ttl=100)
    assert 99 < (d.ttl("unreadable") or 0) <= 100
    d["key"] = ""
    assert d.ttl("key") is None
    d.set("key", b"x" * 1000, ttl=50)
    assert 49 < (d.ttl("key") or 0) <= 50
    with pytest.raises(KeyError, match="missing"):
        d.ttl("missing")


class Unreadable:
    def __reduce__(self) -> Any:
        return operator.truediv, (1, 0)


def test_get_many_of_long_and_short_values(d: D) -> None:
    values = {"a": b"x" * 100_000, "b": 1, ("c",): bytearray(65_536), "d": "y" * 65_535, "e": ["z" * 70_000]}
    d.update(values)
    found = d.get_many(["none", *values, "a"])
    assert found == values
    assert list(found) == list(values)


def test_read_into_leaves_the_buffer_of_what_it_refuses(d: D) -> None:
    d.update({"short": "text", "long": "text" * 1000, "bytes": b"x" * 1000, (True,): "carries"})
    buffer = bytearray(b"-" * 5000)
    for key in ("short", "long", (True,)):
        with pytest.raises(TypeError, match="not bytes"):
            d.read_into(key, buffer)
    with pytest.raises(KeyError):
        d.read_into("missing", buffer)
    assert buffer == b"-" * 5000
    assert d.read_into("bytes", buffer) == 1000
    assert buffer == b"x" * 1000 + b"-" * 4000
    with pytest.raises(ValueError, match="the value has 1000 bytes, the buffer 999"):
        d.read_into("bytes", bytearray(999))


def test_read_into_of_what_is_no_buffer(d: D) -> None:
    d["key"] = b"value"
    for wrong in (b"read-only", "text", memoryview(bytearray(10))[::2], 5):
        with pytest.raises(TypeError, match="writable, contiguous buffer"):
            d.read_into("key", wrong)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes have buffers since Python 3.12")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_read_into_of_a_buffer_that_fails(d: D, error: type[BaseException]) -> None:
    class Failing:
        def __buffer__(self, _: int) -> memoryview:
            raise error

    d["key"] = b"value"
    with pytest.raises(error):
        d.read_into("key", Failing())


def test_a_keyword_may_be_self(d: D) -> None:
    d.update({"a": 1}, self=2)
    assert d == {"a": 1, "self": 2}


def test_views(make: Make) -> None:
    d: Any = make(ordered=True)
    d.update(a=1, b=2)
    assert list(reversed(d.keys())) == ["b", "a"]
    assert (2 in d.values(), 3 in d.values()) == (True, False)


def test_what_goes_meanwhile_is_passed_by(make: Make) -> None:
    d = make()

    class Fleeting:
        """Equal to nothing; takes away what is to be compared next."""

        def __eq__(self, other: object) -> bool:
            d.clear()
            return False

    d.update(a=1, b=2, c=3)
    assert Fleeting() not in d.values()

    class Racing(segdict.Dict[Any, Any]):
        def __getitem__(self, key: Any, /) -> Any:
            raise KeyError(key)  # as if it had gone

    d.update(a=1)
    racing: Any = Racing(d.name)
    assert {} | racing == {"a": 1}
    assert d | racing == {"a": 1}
    d.update(racing)


def test_arrays_of_foreign_types(d: D) -> None:
    numpy = pytest.importorskip("numpy", reason="an optional package")
    for array in (numpy.zeros(3, "V0"), numpy.zeros(2, "V5"), numpy.zeros(2, "M8[25s]"), numpy.zeros(2, "m8")):
        d["key"] = array
        assert d["key"].dtype == array.dtype
        assert d["key"].shape == array.shape
