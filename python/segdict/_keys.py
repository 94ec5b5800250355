"""The rare cases of encoding keys (see python/binding/keys.h), for the extension module."""

from __future__ import annotations

import hashlib
import io
import operator
import pickle
from typing import Any

# One protocol for all Pythons that may share a dict: equal keys must have equal bytes.
_KEY_PROTOCOL = 4


def int_to_bytes(value: int) -> bytes:
    """Two's complement, little-endian, as short as it can be."""
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "little", signed=True)


def int_from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def equal_number(key: Any) -> int | float | None:
    """The int or float that is the same dict key as this number of another type, if there is one."""
    for convert in (operator.index, int, float):
        try:
            number: int | float = convert(key)
            if number == key and hash(number) == hash(key):
                return number
        except (TypeError, ValueError, ArithmeticError):
            continue
    return None


def pickle_key(key: Any) -> bytes:
    """A pickle that does not tell whether equal parts are the same object."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, _KEY_PROTOCOL)
    pickler.fast = True
    pickler.dump(key)
    return buffer.getvalue()


def unpickle_key(data: bytes) -> Any:
    return pickle.loads(data)


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
