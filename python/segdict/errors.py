"""The exceptions of this package. Each also is the built-in one that fits, so that code may catch that instead."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """The base of this package's own exceptions."""


class FullError(Error, ValueError):
    """There is no room for the entry; the dict is as it was. Its cause, a MemoryError, says what is full."""


class ClosedError(Error, ValueError):
    """The dict was closed."""


class FormatError(Error, ValueError):
    """What has this name is no segdict, or one that cannot be opened like this."""


class CorruptError(Error, OSError):
    """The segment is damaged. Nothing was changed."""


class ContentionError(Error, RuntimeError):
    """The entry changed too often under this call; trying again is all there is to do."""


class WaitTimeoutError(Error, TimeoutError):
    """Another writer, probably a stopped one, was waited for longer than wait_limit."""


class ReadOnlyError(Error, TypeError):
    """A write through a handle that was opened read-only."""


def _shown(data: Any) -> str:
    try:
        text = str.__str__(repr(data))  # a plain one, if it was of a class with methods of its own
    except Exception as error:  # the failure to serialize is what is to be told
        return f"{type(data).__name__}, whose repr fails with {type(error).__name__}"
    return text if len(text) <= 1000 else f"{text[:1000]}... ({len(text)} characters)"


class SerializationError(ValueError):
    """A value cannot be serialized. The dict is as it was."""

    def __init__(self, data: Any) -> None:
        super().__init__(f"Failed to serialize data: {_shown(data)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return SerializationError.__new__, (type(self), *self.args)  # the text as it is


class DeserializationError(ValueError):
    """Stored bytes cannot be made into an object by this handle's serializer."""

    def __init__(self, data: Any) -> None:
        super().__init__(data if isinstance(data, str) else f"Failed to deserialize data: {_shown(data)}")
