"""SharedMemoryDict: the class of that name of shared-memory-dict, over a segdict."""

from __future__ import annotations

import errno
import logging
import operator
import os
import pickle
import re
import time
import warnings
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import DeserializationError, FormatError, SerializationError
from . import _segment, _sizing
from ._segment import Segment
from .lock import USE_LOCK
from .serializers import JSONSerializer, PickleSerializer, SharedMemoryDictSerializer
from .templates import MEMORY_NAME

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFAULT_SERIALIZER", "NOT_GIVEN", "SharedMemoryDict", "logger"]

NOT_GIVEN: Any = object()
DEFAULT_SERIALIZER = PickleSerializer()

logger = logging.getLogger(__name__)

# Types of stored values; python/binding/values.h has them all.
_PICKLE, _JSON, _OTHER = 16, 17, 35
_NAMES = {_PICKLE: "pickle", _JSON: "JSON", 18: "MessagePack", _OTHER: "a serializer of the program's own"}

# Threads that write at a time, over all processes. The original has no such limit.
_MAX_WRITERS = 256
# What fits into a slot is never too long.
_INLINE = 40
_OWN = ("_serializer", "_name", "_segment")

_NO_LOCK = nullcontext()


def _type_of(serializer: SharedMemoryDictSerializer) -> int:
    if type(serializer) is PickleSerializer:
        return _PICKLE
    return _JSON if type(serializer) is JSONSerializer else _OTHER


def _only_item(serializer: SharedMemoryDictSerializer, data: bytes) -> tuple[Any, Any]:
    loaded = serializer.loads(data)
    if not isinstance(loaded, dict) or len(loaded) != 1:
        raise DeserializationError(data)
    return next(iter(loaded.items()))


# What a Table needs to know of a serializer. Holds no reference to the dict.
def _codec(serializer: SharedMemoryDictSerializer) -> dict[str, Any]:
    own = _type_of(serializer)
    dumps, loads = serializer.dumps, serializer.loads

    def check(type_: int) -> None:
        if type_ != own:
            raise DeserializationError(
                f"Failed to deserialize data: the value was stored by {_NAMES.get(type_, f'type {type_}')}, "
                f"and this dict was opened for {_NAMES[own]}"
            )

    def dump_value(key: Any, value: Any) -> tuple[int, bytes]:
        try:
            return own, pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except pickle.PicklingError as error:
            raise SerializationError({key: value}) from error

    def load_value(type_: int, data: bytes) -> Any:
        check(type_)
        return loads(data)

    def dump_item(key: Any, value: Any) -> tuple[Any, ...]:
        data = dumps({key: value})
        return (own, data) if isinstance(key, str) else (own, data, _only_item(serializer, data)[0])

    def load_item(type_: int, data: bytes) -> Any:
        check(type_)
        return _only_item(serializer, data)[1]

    if own == _PICKLE:
        return {"native": True, "pickle": True, "dump": dump_value, "load": load_value}
    # Keys of classes are pickled besides, where the serializer says that it is one that pickles.
    pickles = isinstance(serializer, PickleSerializer)
    return {"native": False, "pickle": pickles, "dump": dump_item, "load": load_item}


# What a Table is made with.
def _options(
    size: int, serializer: SharedMemoryDictSerializer, capacity: int | None, value_bytes: int | None
) -> dict[str, Any]:
    size = operator.index(size)
    if size <= 0:
        raise ValueError(f"'size' must be a positive number, not {size}")
    return {
        "capacity": _sizing.capacity_for(size, _type_of(serializer)) if capacity is None else capacity,
        "value_bytes": _sizing.value_bytes_for(size) if value_bytes is None else value_bytes,
        "max_load": _sizing.MAX_LOAD,
        "max_writers": _MAX_WRITERS,
        "ordered": True,
    }


# A nameless file with a dict of that content.
def _fill(content: dict[Any, Any], serializer: SharedMemoryDictSerializer, options: dict[str, Any]) -> int:
    fd = _segment.nameless()
    try:
        table = _core.Table("fd", fd, "create", **options, **_codec(serializer))
        try:
            table._limit_entries(max(table.value_bytes, _INLINE))
            for key, value in content.items():
                table[key] = value
        finally:
            table.close()
        return fd
    except BaseException:
        os.close(fd)
        raise


# So nobody sees it without its content. FileExistsError if somebody else was faster.
def _make_with(
    content: dict[Any, Any], os_name: str, serializer: SharedMemoryDictSerializer, options: dict[str, Any]
) -> None:
    fd = _fill(content, serializer, options)
    try:
        _segment.publish(fd, _segment.DIRECTORY + os_name)
    finally:
        os.close(fd)


# Raises what tells more than "no space", if it is that.
def _explain(error: OSError, os_name: str, size: int) -> None:
    if error.errno != errno.ENOSPC:
        return
    asked = re.search(r"reserve (\d+) bytes", str(error))
    takes = f"{asked[1]} bytes" if asked else "more than there is"
    raise OSError(
        errno.ENOSPC,
        f"there is not so much shared memory: the dict takes {takes}, to have room for whatever fits into size={size}; "
        f"capacity= (entries) and value_bytes= ask for what you need",
        os_name,
    ) from error


def _reopen(kind: type[SharedMemoryDict], os_name: str, serializer: SharedMemoryDictSerializer) -> SharedMemoryDict:
    made = kind.__new__(kind)
    if not made._attach(os_name, serializer):
        raise FileNotFoundError(errno.ENOENT, "the dict is not there any more", os_name)
    return made


class _Done:
    """A write of `update`, and what it takes to take it back."""

    __slots__ = ("_at", "before", "key", "token", "value")

    def __init__(self, key: Any, value: Any, before: tuple[Any, _core.Token, float | None] | None) -> None:
        self.key = key
        self.value = value
        self.before = before
        self.token: _core.Token | None = None
        self._at = time.monotonic()

    def ttl(self) -> float | None:
        """What is left now of the time to live that the entry had."""
        if self.before is None or self.before[2] is None:
            return None
        return self.before[2] - (time.monotonic() - self._at)


def _same(a: Any, b: Any) -> bool:
    try:
        if a == b:
            return True
    except Exception:  # arrays
        pass
    try:
        return pickle.dumps(a) == pickle.dumps(b)
    except Exception:
        return False


class SharedMemoryDict(_core.Table):
    """A dict in shared memory, for any number of processes and threads, which takes the place of shared-memory-dict's.

    ``SharedMemoryDict(name="tokens", size=1024)`` attaches to the dict of that name, or makes it. Reads take no lock
    and wait for nobody; each operation on one key is atomic; the cost of an operation does not grow with the dict; a
    process that is killed leaves nothing locked or torn. The dict outlives its processes: ``d.shm.unlink()`` ends it.

    It behaves as a dict does, keeps the order of insertion, and compares equal to dicts; `keys`, `values`, `items` and
    iteration show what was there when they were called. What is read is a copy: ``d["a"].append(1)`` changes nothing
    in the dict, so write back what you changed: ``a = d["a"]; a.append(1); d["a"] = a``.

      name        of the segment, which is sm_<name> in /dev/shm, for this user alone (mode 0600)
      size        if the dict is made now: what shared-memory-dict can keep in so many bytes will fit, and some more,
                  unless it is objects or texts that have much in common: pickled all at once that is there but once,
                  here in each entry. There is room for as many entries as that can be, and for the longest: 23 bytes of
                  memory for each byte of `size` if that is 1 MiB, 28 if it is 64 KiB, and 240 KiB for 1,024; with
                  JSONSerializer three quarters. All is taken at once. Who knows what will be in the dict needs far
                  less, with
      capacity, value_bytes  instead of what follows from `size`: entries that fit at least, and bytes for those that
                  are longer than 40 bytes (`segdict.Dict` says more)
      serializer  how values are stored. By default str, int, float, bool, None, bytes and NumPy arrays as they are, all
                  others by pickle. Any other one is given ``{key: value}`` for each entry that is stored, and gives the
                  dict of one item back; with JSONSerializer keys thus become str, and nothing is ever unpickled
      initial     what is in the dict from its first moment, if it is made now; ignored, as size is, if it is there

    With SHARED_MEMORY_USE_LOCK=1 in the environment every write, `update` and `setdefault` as a whole, waits for those
    of all other processes that have it too. ``with d.lock():`` does the same for several operations.

    Raises ValueError if there is no room ("exceeds available storage"), SerializationError and DeserializationError
    (ValueError), and ClosedError (ValueError) once it is closed; on opening FormatError (ValueError) if the name is
    something else's, PermissionError if it is another user's, OSError(ENOSPC) if memory is short. After any of them the
    dict is as it was.
    """

    _serializer: SharedMemoryDictSerializer
    _name: str
    _segment: Segment

    def __init__(
        self,
        name: str,
        size: int,
        *,
        serializer: SharedMemoryDictSerializer = DEFAULT_SERIALIZER,
        initial: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
        capacity: int | None = None,
        value_bytes: int | None = None,
    ) -> None:
        os_name = MEMORY_NAME.format(name=name)
        content = None if initial is None else dict(initial)
        while not self._attach(os_name, serializer):
            options = _options(size, serializer, capacity, value_bytes)
            try:
                if content is None:
                    _core.Table("name", os_name, "create", **options).close()
                else:
                    _make_with(content, os_name, serializer, options)
            except FileExistsError:
                continue  # somebody else was faster
            except OSError as error:
                _explain(error, os_name, size)
                raise

    # Opens what is there; False if nothing is. Raw memory is taken away first.
    def _attach(self, os_name: str, serializer: SharedMemoryDictSerializer) -> bool:
        path = _segment.DIRECTORY + os_name
        seen = None
        while True:
            try:
                super().__init__("name", os_name, "open", lock=USE_LOCK, **_codec(serializer))
                self._segment = Segment(self, os_name, self.segment_bytes)
                break
            except FileNotFoundError:
                return False
            except FormatError as error:
                before, seen = seen, _segment.remove_if_zero(path)
                if seen is None or seen != before:
                    continue  # it may be a dict now, though it was raw memory when it was opened
                begin = _segment.first_bytes(path)
                if not begin.startswith(_segment.BY_ORIGINAL):
                    raise
                how = ", serializer=JSONSerializer()" if begin.startswith(b"{") else ""
                raise FormatError(
                    f"segment '{os_name}' was written by shared-memory-dict, not by this package: "
                    f"SharedMemoryDict.import_original({os_name[3:]!r}, <size>{how}) makes a dict of it; or remove it"
                ) from error
        self._limit_entries(max(self.value_bytes, _INLINE))
        self._serializer = serializer
        self._name = os_name
        return True

    @classmethod
    def import_original(
        cls,
        name: str,
        size: int,
        *,
        serializer: SharedMemoryDictSerializer = DEFAULT_SERIALIZER,
        capacity: int | None = None,
        value_bytes: int | None = None,
    ) -> Self:
        """The dict of that name, made of what shared-memory-dict has written there if that is what it is.

        `serializer` is the one that it was written with, and goes on to be the dict's. All who call it get the same
        dict; processes that still use shared-memory-dict go on with the old memory, and are better ended before.
        Refuses, with PermissionError, what another user could have written: it may be a pickle. If it cannot be read
        (DeserializationError), or does not fit, nothing is changed. FileNotFoundError if there is nothing.
        """
        made = cls.__new__(cls)
        os_name = MEMORY_NAME.format(name=name)

        def convert(data: bytes) -> int:
            content = serializer.loads(data)
            if not isinstance(content, dict):
                raise DeserializationError(f"Failed to deserialize data: a dict is expected, not {type(content)}")
            try:
                return _fill(content, serializer, _options(size, serializer, capacity, value_bytes))
            except OSError as error:
                _explain(error, os_name, size)
                raise

        path = _segment.DIRECTORY + os_name
        while True:
            try:
                if made._attach(os_name, serializer):
                    return made
                raise FileNotFoundError(errno.ENOENT, "there is nothing to import", os_name)
            except FormatError:
                if not _segment.first_bytes(path).startswith(_segment.BY_ORIGINAL):
                    raise
            _segment.with_original(path, convert)

    # ---- The handle ----

    @property
    def shm(self) -> Segment:
        """The dict's segment: name, size, buf, close() and unlink()."""
        return self._segment

    def cleanup(self) -> None:
        """Closes the dict, for this handle: the memory stays until `shm.unlink`. May be called again."""
        segment = self.__dict__.get("_segment")
        if segment is not None:
            segment._release()
            self.close()

    def __del__(self) -> None:
        self.cleanup()

    def __reduce__(self) -> tuple[Any, ...]:
        others = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        return _reopen, (type(self), self._name, self._serializer), others or None

    # Several operations as one, for those who want writes serialized.
    def _whole(self) -> AbstractContextManager[Any]:
        return self.lock() if USE_LOCK else _NO_LOCK

    # ---- As a dict ----

    def _copy(self) -> dict[Any, Any]:
        return dict(self._entries("items"))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries("keys"))

    def __reversed__(self) -> Iterator[Any]:
        return iter(self._entries("keys", True))

    def keys(self) -> KeysView[Any]:
        """The keys as they are now."""
        return dict.fromkeys(self._entries("keys")).keys()

    def values(self) -> ValuesView[Any]:
        """The values as they are now."""
        return self._copy().values()

    def items(self) -> ItemsView[Any, Any]:
        """The pairs of keys and values as they are now."""
        return self._copy().items()

    def __eq__(self, other: object) -> bool:
        return self._copy() == other

    def __ne__(self, other: object) -> bool:
        return self._copy() != other

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> dict[Any, Any]:
        return self._copy() | other  # type: ignore[no-any-return]

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return other | self._copy()  # type: ignore[no-any-return]

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        segment = self.__dict__.get("_segment")
        if segment is None or self.closed:
            return f"<closed {type(self).__name__}>"
        return repr(self._copy())

    def pop(self, key: Any, default: Any = NOT_GIVEN) -> Any:
        """Takes the entry out and returns its value. Atomic: only one process gets it."""
        with self._whole():
            value = self._pop(key, NOT_GIVEN)
        if value is not NOT_GIVEN:
            return value
        if default is NOT_GIVEN:
            raise KeyError(key)
        return default

    def popitem(self, last: bool | None = None) -> Any:
        """Takes out the entry that was inserted last. Atomic: only one process gets it. O(n log n)."""
        if last is not None:
            warnings.warn(
                "The 'last' parameter will be removed in future versions. "
                "The 'popitem' function now always returns last inserted.",
                DeprecationWarning,
                stacklevel=2,
            )
        with self._whole():
            return super().popitem()

    def move_to_end(self, key: Any, last: bool | None = True) -> None:
        """Makes the entry the last inserted. `last` is ignored."""
        warnings.warn(
            "The 'move_to_end' method will be removed in future versions. Use pop and reassignment instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        with self._whole():
            if not self._move_to_end(key):
                raise KeyError(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value; `default` is set first if the key is not there. Atomic."""
        with self._whole():
            while True:
                value = self.get(key, NOT_GIVEN)
                if value is not NOT_GIVEN:
                    return value
                if self.add(key, default):
                    return default
                if self._as_stored(key, default)[0] != key:
                    self[key] = default  # it is there as another key, under which it was not asked for
                    return default

    def update(self, other: Any = (), /, **kwds: Any) -> None:
        """Sets all of them, one after the other. If one cannot be set, those before it are taken back.

        Not taken back is what others have changed meanwhile, or what cannot be read again.
        """
        changes: dict[Any, Any] = {}
        changes.update(other, **kwds)
        done: list[_Done] = []
        with self._whole():
            try:
                for key, value in changes.items():
                    if len(changes) == 1:
                        self[key] = value
                        break
                    key, value = self._as_stored(key, value)
                    done.append(_Done(key, value, self._read(key)))
                    self[key] = value
                    done[-1].token = self._token(key)
            except BaseException:
                for one in reversed(done):
                    self._take_back(one)
                raise

    # Key and value as they will be read: another serializer than pickle may know other types.
    def _as_stored(self, key: Any, value: Any) -> tuple[Any, Any]:
        if type(self._serializer) is PickleSerializer:
            return key, value
        return _only_item(self._serializer, self._serializer.dumps({key: value}))

    # None if the entry cannot be read, or is gone.
    def _token(self, key: Any) -> _core.Token | None:
        try:
            entry = self._read(key)
        except Exception:
            return None
        return None if entry is None else entry[1]

    # Unless the entry has been changed since: what cannot be read may be anybody's.
    def _take_back(self, done: _Done) -> None:
        with suppress(Exception):  # what is to be taken back besides is, and why is what the caller is to see
            while True:
                entry = self._read(done.key)
                # The token is another one as well if the dict itself has moved the entry.
                if entry is None or not (entry[1] == done.token or _same(entry[0], done.value)):
                    return
                if done.before is None:
                    if self._compare_and_delete(done.key, entry[1]):
                        return
                elif self._compare_and_set(done.key, entry[1], done.before[0], done.ttl()):
                    return
