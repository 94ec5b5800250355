"""The rare cases of encoding keys (see python/binding/keys.h), for the extension module."""

from __future__ import annotations

import decimal
import hashlib
import io
import operator
import pickle
from typing import Any

# One protocol for all Pythons that may share a dict: equal keys must have equal bytes.
_KEY_PROTOCOL = 4

# A Decimal with more at its end is not made the int that it equals, which might take all memory.
_MOST_ZEROS = 100_000


def int_to_bytes(value: int) -> bytes:
    """Two's complement, little-endian, as short as it can be."""
    value = int.__index__(value)  # a subclass may have methods of its own
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "little", signed=True)


def int_from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def equal_number(key: Any) -> int | float | complex | decimal.Decimal | None:
    """The int, float or complex that is the same dict key as this number of another type, if there is one.

    For a Decimal that equals none of them: the one that stands for all its equals, if it is not that itself.
    """
    if isinstance(key, decimal.Decimal) and key.is_finite():
        return _equal_of_decimal(key)
    for convert in (operator.index, complex, int, float):
        try:
            number: int | float | complex = convert(key)
            if number == key and hash(number) == hash(key):
                return number
        except Exception:  # a type may raise anything for what it is not
            continue
    return None


def _equal_of_decimal(key: decimal.Decimal) -> int | float | decimal.Decimal | None:
    sign, digits, exponent = key.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(text)
    if not text or 0 <= exponent <= _MOST_ZEROS:
        return int(key)
    plain = decimal.Decimal(f"{'-' * sign}{text}e{exponent}")
    if exponent < 0:
        number = float(plain)
        if number == plain:
            return number
    return None if type(key) is decimal.Decimal and str(plain) == str(key) else plain


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
