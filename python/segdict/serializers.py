"""What becomes of values that are not stored as they are: how a `Dict` makes bytes of them and back.

A serializer has a `type` (the number stored with each value, so that a reader knows what it reads), `dumps` and
`loads`. `PICKLE` takes nearly everything but must not be used where somebody who is not trusted can write to the
segment: a pickle can run any code. A dict with another serializer never loads a pickle, whoever wrote it.
"""

from __future__ import annotations

import json
import pickle
from typing import Any, Protocol

from .errors import DeserializationError, SerializationError

PICKLE_TYPE = 16
JSON_TYPE = 17
MSGPACK_TYPE = 18
OTHER_TYPE = 35


class Serializer(Protocol):
    """`type`: 16 pickle, 17 JSON, 18 MessagePack, 35 anything else."""

    type: int

    def dumps(self, value: Any) -> Any: ...

    def loads(self, data: bytes) -> Any: ...


class Pickle:
    """pickle of the highest protocol (or a given one, for Pythons of different versions)."""

    type = PICKLE_TYPE

    def __init__(self, protocol: int = pickle.HIGHEST_PROTOCOL) -> None:
        self.protocol = protocol

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, self.protocol)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pickle, (self.protocol,)


class Json:
    """JSON in UTF-8: safe to read, whoever wrote it. Tuples come back as lists, keys of inner dicts as str."""

    type = JSON_TYPE

    def dumps(self, value: Any) -> bytes:
        try:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        except (ValueError, TypeError) as error:
            raise SerializationError(value) from error

    def loads(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise DeserializationError(data) from error


class Msgpack:
    """MessagePack (the package msgpack): safe to read, whoever wrote it. Tuples come back as lists, so they are
    refused as keys of inner dicts; keys of the other types stay what they are.
    """

    type = MSGPACK_TYPE

    def __init__(self) -> None:
        import msgpack  # type: ignore[import-untyped, unused-ignore]

        self._pack, self._unpack = msgpack.packb, msgpack.unpackb

    def dumps(self, value: Any) -> Any:
        try:
            data = self._pack(value)
            # msgpack packs more than it unpacks, and whoever finds that out here still has the value.
            self._unpack(data, strict_map_key=False)
        except (ValueError, TypeError, OverflowError) as error:
            raise SerializationError(value) from error
        return data

    def loads(self, data: bytes) -> Any:
        try:
            return self._unpack(data, strict_map_key=False)
        except Exception as error:  # msgpack's own exceptions have no common base but this
            raise DeserializationError(data) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Msgpack, ()


PICKLE = Pickle()
JSON = Json()
