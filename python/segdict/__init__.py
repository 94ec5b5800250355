"""A dict in shared memory, for any number of processes: lock-free reads, atomic operations, safe against crashes.

`Dict` is the whole of it; `SharedMemoryDict` takes the place of the class of that name of shared-memory-dict.
"""

from ._core import Token, list_segments
from ._dict import Dict
from ._install import install_as_shared_memory_dict
from .errors import (
    ClosedError,
    ContentionError,
    CorruptError,
    DeserializationError,
    Error,
    FormatError,
    FullError,
    ReadOnlyError,
    SerializationError,
    WaitTimeoutError,
)
from .serializers import JSON, PICKLE, Json, Msgpack, Pickle, Serializer
from .shared_memory_dict.dict import SharedMemoryDict

__all__ = [
    "JSON",
    "PICKLE",
    "ClosedError",
    "ContentionError",
    "CorruptError",
    "DeserializationError",
    "Dict",
    "Error",
    "FormatError",
    "FullError",
    "Json",
    "Msgpack",
    "Pickle",
    "ReadOnlyError",
    "SerializationError",
    "Serializer",
    "SharedMemoryDict",
    "Token",
    "WaitTimeoutError",
    "install_as_shared_memory_dict",
    "list_segments",
]
