"""NumPy arrays as bytes, for the extension module: a header, then the array's bytes in its own order.

Header: its length (2 bytes, little-endian; a multiple of 16, itself included, so that the array is aligned), the order
(`C` or `F`), the number of dimensions, each dimension (8 bytes, little-endian), the dtype's string, zeros.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from .errors import DeserializationError

# What dtype.str is for the arrays that are stored. Nothing else gets to np.dtype, whose language of commas, brackets
# and quotients is not made for damaged bytes.
_DTYPE = re.compile(
    r"[<>|](?:[biufcSUV][1-9][0-9]{0,9}|[mM]8(?:\[(?:[1-9][0-9]{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)",
    re.ASCII,
)


def encode(array: Any) -> tuple[bytes, Any] | None:
    """(header, buffer of the elements); None for an array that needs a serializer (objects, fields, foreign types)."""
    dtype = array.dtype
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or not _DTYPE.fullmatch(dtype.str):
        return None
    if np.dtype(dtype.str) != dtype:  # a type of another package
        return None
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    flat = array.T if fortran else np.ascontiguousarray(array)
    head = struct.pack(f"<cB{array.ndim}q", b"F" if fortran else b"C", array.ndim, *array.shape) + dtype.str.encode()
    length = (len(head) + 2 + 15) // 16 * 16
    header = struct.pack("<H", length) + head.ljust(length - 2, b"\0")
    return header, flat.reshape(-1).view(np.uint8) if flat.size else b""


def buffer(length: int) -> Any:
    """Memory for an encoded array to be read into; then `view` makes the array of it without a copy."""
    return np.empty(length, np.uint8)


def view(data: Any) -> Any:
    """The array in the encoded bytes of `data`, which it keeps alive."""
    try:
        (length,) = struct.unpack_from("<H", data)
        order, ndim = struct.unpack_from("<cB", data, 2)
        shape = struct.unpack_from(f"<{ndim}q", data, 4)
        text = bytes(data[4 + 8 * ndim : length]).rstrip(b"\0").decode("ascii")
        if not _DTYPE.fullmatch(text) or order not in (b"C", b"F") or any(n < 0 for n in shape):
            raise ValueError
        dtype = np.dtype(text)
        flat = data[length:].view(dtype)
        return flat.reshape(shape[::-1]).T if order == b"F" else flat.reshape(shape)
    except (struct.error, ValueError, TypeError) as error:
        raise DeserializationError("Failed to deserialize data: the bytes are no array of this package") from error


def decode(data: bytes) -> Any:
    return view(np.frombuffer(bytearray(data), np.uint8))
