"""What makes bytes of a dict, and a dict of bytes.

A `SharedMemoryDict` stores entries one by one: it calls a serializer with the dict of one item, ``{key: value}``, that
is to be stored, and with the bytes that this made. The default, a `PickleSerializer`, is not even asked for values that
are str, int, float, bool, None, bytes or NumPy arrays, and gets other values alone.
"""

from __future__ import annotations

import json
import pickle
from typing import Any, Final, Protocol

from ..errors import DeserializationError, SerializationError

__all__ = [
    "NULL_BYTE",
    "DeserializationError",
    "JSONSerializer",
    "PickleSerializer",
    "SerializationError",
    "SharedMemoryDictSerializer",
]

NULL_BYTE: Final = b"\x00"


class SharedMemoryDictSerializer(Protocol):
    def dumps(self, obj: dict[Any, Any]) -> bytes: ...

    def loads(self, data: bytes) -> dict[Any, Any]: ...


class JSONSerializer:
    """JSON and a NUL byte, behind which `loads` looks at nothing. Safe to read, whoever wrote it."""

    def dumps(self, obj: dict[Any, Any]) -> bytes:
        try:
            return json.dumps(obj).encode() + NULL_BYTE
        except (ValueError, TypeError) as error:
            raise SerializationError(obj) from error

    def loads(self, data: bytes) -> dict[Any, Any]:
        text = data.split(NULL_BYTE, 1)[0]
        try:
            loaded: dict[Any, Any] = json.loads(text)
        except ValueError as error:
            raise DeserializationError(text) from error
        return loaded


class PickleSerializer:
    """pickle of the highest protocol. To unpickle can run any code: only for segments that nobody else can write to."""

    def dumps(self, obj: Any) -> bytes:
        try:
            return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)
        except pickle.PicklingError as error:
            raise SerializationError(obj) from error

    def loads(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)
        except pickle.UnpicklingError as error:
            raise DeserializationError(data) from error
