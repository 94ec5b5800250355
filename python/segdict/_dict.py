"""segdict.Dict: the table as a MutableMapping."""

from __future__ import annotations

import operator
import os
from abc import abstractmethod
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import _core
from .errors import DeserializationError
from .serializers import PICKLE, PICKLE_TYPE, Serializer

if TYPE_CHECKING:
    from types import EllipsisType

    from _typeshed import SupportsKeysAndGetItem
    from typing_extensions import Self

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_MISSING: Any = object()

# Attributes of a Dict that say how it is opened; the others are its subclass's.
_OWN = ("_serializer", "_place", "_handle")


def _codec(serializer: Serializer | None) -> dict[str, Any]:
    """What a Table needs to know of a serializer. Holds no reference to the dict: nothing keeps that alive."""
    if serializer is None:
        return {"native": True, "pickle": False}
    own = serializer.type
    if not 16 <= own < 128 or own in (32, 33, 34):
        raise ValueError(f"a serializer's type is 16 to 127 and none of 32 to 34, not {own}")
    dumps, loads = serializer.dumps, serializer.loads

    def dump(_key: Any, value: Any) -> tuple[int, Any]:
        return own, dumps(value)

    def load(type_: int, data: bytes) -> Any:
        if type_ != own:
            raise DeserializationError(
                f"Failed to deserialize data: the value is of type {type_}, this dict's serializer is for type {own}"
            )
        return loads(data)

    return {"native": True, "pickle": own == PICKLE_TYPE, "dump": dump, "load": load}


if TYPE_CHECKING:

    class _Table(_core.Table, MutableMapping[K, V]): ...

else:  # the extension's classes have one base; MutableMapping is registered below

    class _Table(_core.Table):
        __class_getitem__ = classmethod(GenericAlias)


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


class Dict(_Table[K, V]):
    """A dict in shared memory, for any number of processes and threads.

    ``Dict("sessions", capacity=100_000)`` attaches to the dict of that name, or makes it. Reads take no lock and wait
    for nobody; every operation on one key is atomic; a process that is killed at any moment leaves nothing locked or
    torn. The dict outlives its processes: `unlink` ends it.

    Keys are any hashable objects; equal keys of any process are one key (for objects that are pickled: if their pickles
    are equal). Values that are str, int, float, bool, None, bytes, bytearray, memoryview (read back as bytes) or NumPy
    arrays are stored as they are, all others by the serializer. Reads return a fresh object: changing it changes
    nothing in the dict, so write it back, or use `update(key, fn)`.

    Where it is: a name (as in /dev/shm), or ``path=`` of a file, or ``fd=`` of an open file (a memfd).

    What is made, if it is not there yet (ignored otherwise):
      capacity      entries that fit at least
      value_bytes   bytes for keys and values that do not fit into their slot (together 48 bytes, 40 if ordered, 8 less
                    with a ttl); the default is 64 for each entry and 1 MiB. An overwrite needs room for the new value
                    while the old one is there. All memory is taken at once.
      ordered       iteration in the order of insertion, for 8 bytes an entry; such iteration and `popitem` are
                    O(n log n)
      slot_size     32, 64 or 128 bytes; max_load, max_writers (threads that write, over all processes)
      mode, group   permissions and group of the file
    How this handle uses it:
      serializer    for all other values: PICKLE, JSON, Msgpack(), one of your own, or None: refuses them, and never
                    unpickles
      lock          every write is serialized with those of all other such handles, in all processes
      read_only     no writes; a file that this process may only read can be opened so
      wait_limit    seconds to wait for a writer that is stopped; None: for ever (Ctrl-C ends a wait)
      trusted_owners  ids of users, besides this one and root, whose dicts are opened
      huge_pages, prefault, exclude_from_core_dumps

    Times to live (ttl) are in seconds from now; None: for ever; zero or less: expired at once; ``...``: an entry that
    is there keeps its own. `len` counts expired entries until they are reclaimed, by `sweep` or by writers that need
    room.

    Raises, besides KeyError: FullError (ValueError), ClosedError (ValueError), ReadOnlyError (TypeError),
    WaitTimeoutError (TimeoutError), CorruptError (OSError); what pickle raises, or with another serializer
    SerializationError and DeserializationError (ValueError); on opening FileNotFoundError, FileExistsError,
    PermissionError, FormatError (ValueError), and OSError(ENOSPC) if memory is short. After any of them the dict is as
    it was.
    """

    def __init__(
        self,
        name: str | None = None,
        capacity: int | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        fd: int | None = None,
        value_bytes: int | None = None,
        ordered: bool = False,
        slot_size: int = 64,
        max_load: float = 0.75,
        max_writers: int = 128,
        mode: int = 0o600,
        group: int = -1,
        serializer: Serializer | None = PICKLE,
        lock: bool = False,
        read_only: bool = False,
        wait_limit: float | None = None,
        trusted_owners: Iterable[int] = (),
        huge_pages: bool = False,
        prefault: bool = False,
        exclude_from_core_dumps: bool = False,
        exclusive: bool = False,
    ) -> None:
        """Attaches to the dict, or makes it.

        Without a capacity it only attaches; with ``exclusive=True`` it only makes (FileExistsError otherwise).
        """
        places = [(kind, where) for kind, where in (("name", name), ("path", path), ("fd", fd)) if where is not None]
        if len(places) != 1:
            raise TypeError("exactly one of name, path and fd says where the dict is")
        kind, where = places[0]
        if kind == "path":
            where = os.path.abspath(os.fspath(cast("str", where)))
        if exclusive and capacity is None:
            raise TypeError("exclusive needs a capacity")
        capacity = None if capacity is None else operator.index(capacity)  # a plain int
        value_bytes = None if value_bytes is None else operator.index(value_bytes)
        for option, number in (("capacity", capacity), ("value_bytes", value_bytes)):
            if number is not None and not 0 <= number < 1 << 48:
                raise ValueError(f"{option} is {number}; a number from 0 to 2**48 - 1 is expected")
        how = "open" if capacity is None else "create" if exclusive else "open_or_create"
        handle: dict[str, Any] = {
            "lock": lock,
            "read_only": read_only,
            "wait_limit": wait_limit,
            "trusted_owners": list(trusted_owners),
            "huge_pages": huge_pages,
            "prefault": prefault,
            "exclude_from_core_dumps": exclude_from_core_dumps,
        }
        if capacity is not None and value_bytes is None:
            value_bytes = 64 * capacity + (1 << 20)
        super().__init__(
            kind,  # type: ignore[arg-type]
            where,
            how,  # type: ignore[arg-type]
            capacity=capacity or 0,
            value_bytes=value_bytes or 0,
            ordered=ordered,
            slot_size=slot_size,
            max_load=max_load,
            max_writers=max_writers,
            mode=mode,
            group=group,
            **handle,
            **_codec(serializer),
        )
        self._serializer = serializer
        self._place = (kind, where)
        self._handle = handle

    # ---- The handle ----

    @property
    def name(self) -> str | None:
        """The name it was opened by, if it was a name."""
        return cast("str", self._place[1]) if self._place[0] == "name" else None

    def unlink(self) -> None:
        """Takes the name (or path) away; handles stay usable, the memory is freed with the last."""
        _core.unlink(*self._place)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        kind, where = self._place
        if kind == "fd":
            raise TypeError("a dict that was opened by a descriptor cannot be pickled; give it a name or a path")
        others = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        return _reopen, (type(self), {kind: where, "serializer": self._serializer, **self._handle}), others or None

    def __repr__(self) -> str:
        kind, where = self._place
        state = "closed" if self.closed else f"{len(self)} of {self.capacity}"
        return f"<{type(self).__module__}.{type(self).__qualname__} {kind}={where!r} {state}>"

    # ---- Mapping ----

    if TYPE_CHECKING:

        def __getitem__(self, key: K, /) -> V: ...
        def __setitem__(self, key: K, value: V, /) -> None: ...
        def __delitem__(self, key: K, /) -> None: ...
        @overload
        def get(self, key: K, default: None = None) -> V | None: ...
        @overload
        def get(self, key: K, default: V | D) -> V | D: ...
        def get(self, key: K, default: Any = None) -> Any:
            """The value, or `default` if the key is not there."""

        def set(self, key: K, value: V, ttl: float | EllipsisType | None = None) -> None:
            """Sets the value, with a time to live."""

        def add(self, key: K, value: V, ttl: float | EllipsisType | None = None) -> bool:
            """Sets the value if the key is not there; whether it was so. Atomic."""

        def replace(self, key: K, value: V, ttl: float | EllipsisType | None = None) -> bool:
            """Sets the value if the key is there; whether it was so. Atomic."""

        def popitem(self) -> tuple[K, V]:
            """Takes out an entry: the last inserted if the dict is ordered, any otherwise. O(n)."""

    def __iter__(self) -> Iterator[K]:
        """The keys as they are now: a snapshot, weakly consistent with writers. O(n)."""
        return iter(self._entries("keys"))

    def __reversed__(self) -> Iterator[K]:
        return iter(self._entries("keys", True))

    def keys(self) -> KeysView[K]:
        """A view of the keys; each iteration is a snapshot. O(n)."""
        return _Keys(self)

    def values(self) -> ValuesView[V]:
        """A view of the values; each iteration is a snapshot. O(n)."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """A view of the pairs of keys and values; each iteration is a snapshot. O(n)."""
        return _Items(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        return bool(self.copy() == dict(other.items()))

    __hash__ = None  # type: ignore[assignment]  # as a dict's: compared by contents that change

    def copy(self) -> dict[K, V]:
        """A plain dict of what is there now."""
        return dict(self._entries("items"))

    def __or__(self, other: Mapping[K, V]) -> dict[K, V]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**self.copy(), **(other.copy() if isinstance(other, Dict) else other)}

    def __ror__(self, other: Mapping[K, V]) -> dict[K, V]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**other, **self.copy()}

    def __ior__(self, other: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]]) -> Self:
        self.update(other)
        return self

    def pop(self, key: K, default: V | D = _MISSING) -> V | D:
        """Takes the entry out and returns its value. Atomic: only one process gets it."""
        value = self._pop(key, _MISSING)
        if value is not _MISSING:
            return cast("V", value)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def setdefault(self, key: K, default: V | None = None) -> V:
        """The value; `default` is set first if the key is not there. Atomic."""
        while True:
            value = self.get(key, _MISSING)
            if value is not _MISSING:
                return cast("V", value)
            if self.add(key, cast("V", default)):
                return cast("V", default)

    def update(
        self, /, *args: Any, ttl: float | EllipsisType | None = ..., default: Any = _MISSING, **kwargs: Any
    ) -> Any:
        """``update(mapping_or_pairs, **items)``: sets them one by one, as dict.update does; so `ttl` and `default` are
        keys there (`set_many` takes a time to live).

        ``update(key, fn, default=..., ttl=...)``: atomically replaces the value by ``fn(value)`` and returns that. For
        a missing key fn gets `default`, or KeyError is raised without one. fn runs again if the entry changed
        meanwhile, and may use the dict. The time to live stays, unless one is given.
        """
        if len(args) == 2:
            if kwargs:
                raise TypeError(f"update(key, fn) got an unexpected keyword argument {next(iter(kwargs))!r}")
            return self._update(args[0], args[1], default, ttl)
        if len(args) > 2:
            raise TypeError(f"update expected at most 2 arguments, got {len(args)}")
        if ttl is not ...:
            kwargs["ttl"] = ttl
        if default is not _MISSING:
            kwargs["default"] = default
        for other in args:
            if isinstance(other, Dict):  # whose entries may go meanwhile
                for key, value in other.copy().items():
                    self[key] = value
            elif isinstance(other, Mapping):
                for key in other:
                    self[key] = other[key]
            elif hasattr(other, "keys"):
                for key in other.keys():  # noqa: SIM118  (what has keys() need not be a mapping)
                    self[key] = other[key]
            else:
                for key, value in other:
                    self[key] = value
        for name, value in kwargs.items():
            self[cast("K", name)] = value
        return None

    def _update(self, key: K, fn: Callable[[Any], V], default: Any, ttl: float | EllipsisType | None) -> V:
        while True:
            entry = self._read(key)
            if entry is not None:
                value = fn(entry[0])
                if self._compare_and_set(key, entry[1], value, ttl):
                    return value
                continue
            if default is _MISSING:
                raise KeyError(key)
            value = fn(default)
            if self.add(key, value, ttl):
                return value

    # ---- Beyond a mapping ----

    def delete(self, key: K, expected: Any = _MISSING) -> bool:
        """Deletes the key; whether it was there. With `expected`, a value or a token of `gets`, only if it is that."""
        if expected is _MISSING:
            return self._delete(key)
        while True:
            token = self._token_if(key, expected)
            if token is None:
                return False
            if self._compare_and_delete(key, token):
                return True
            if isinstance(expected, _core.Token):
                return False

    def gets(self, key: K) -> tuple[V, _core.Token] | None:
        """The value and a token for `cas` and `delete`: equal tokens, unchanged entry. None if the key is not there."""
        entry = self._read(key)
        return None if entry is None else entry[:2]

    def cas(self, key: K, expected: Any, value: V, ttl: float | EllipsisType | None = ...) -> bool:
        """Sets the value if the entry's is `expected`; whether it was so. Atomic. KeyError if the key is not there.

        `expected` is compared by ``==``; or is a token of `gets`, which may also fail because the dict itself moved the
        entry: look again then. The time to live stays, unless one is given.
        """
        while True:
            token = self._token_if(key, expected)
            if token is None:
                if key in self:
                    return False
                raise KeyError(key)
            if self._compare_and_set(key, token, value, ttl):
                return True
            if isinstance(expected, _core.Token):
                return False

    def _token_if(self, key: K, expected: Any) -> _core.Token | None:
        """The entry's token, if it has the expected value; or the token that is expected."""
        entry = self._read(key)
        if entry is None:
            return None
        if isinstance(expected, _core.Token):
            return expected
        return entry[1] if bool(entry[0] == expected) else None

    def incr(self, key: K, delta: Any = 1, initial: Any = None, ttl: float | None = None) -> Any:
        """Atomically adds and returns the sum. A missing key is KeyError, or counts from `initial`, with `ttl`.

        Any values that can be added; one atomic operation for ints of 64 bits.
        """
        if _is_int64(delta) and (initial is None or _is_int64(initial)):
            total = self._increment(key, delta, initial, ttl)
            if total is not None:
                return total
        while True:
            entry = self._read(key)
            if entry is None:
                if initial is None:
                    raise KeyError(key)
                total = initial + delta
                if self.add(key, total, ttl):
                    return total
            else:
                total = entry[0] + delta
                if self._compare_and_set(key, entry[1], total, ...):
                    return total

    def decr(self, key: K, delta: Any = 1, initial: Any = None, ttl: float | None = None) -> Any:
        """`incr` by the negative of `delta`."""
        return self.incr(key, -delta, initial, ttl)

    def ttl(self, key: K) -> float | None:
        """Seconds that the entry has left; None: for ever. KeyError if the key is not there."""
        return self._ttl(key)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Those of the keys that are there, with their values. Faster than single reads. Not one snapshot."""
        return self._get_many(keys)

    def set_many(self, items: Mapping[K, V] | Iterable[tuple[K, V]], ttl: float | EllipsisType | None = None) -> None:
        """Sets them one by one, in order; an error leaves those before it set."""
        pairs = items.items() if isinstance(items, Mapping) else items
        for key, value in pairs:
            self.set(key, value, ttl)

    def delete_many(self, keys: Iterable[K]) -> int:
        """How many were there."""
        return sum(self._delete(key) for key in keys)

    def get_or_set(self, key: K, default: V | Callable[[], V], ttl: float | None = None) -> V:
        """The value; a missing key gets `default` (called, if it can be) first, unless somebody else was faster."""
        while True:
            value = self.get(key, _MISSING)
            if value is not _MISSING:
                return cast("V", value)
            made = default() if callable(default) else default
            if self.add(key, made, ttl):
                return made
            if ttl is not None and ttl <= 0:
                return made


class _Compared:
    """A set-like view that compares what is there. Those of collections.abc ask `len` first, which counts what has
    expired.
    """

    @abstractmethod
    def _now(self) -> Any:
        """What is there, as a dict's own view."""

    def __eq__(self, other: object) -> bool:
        return bool(self._now() == other)

    def __lt__(self, other: Any) -> bool:
        return bool(self._now() < other)

    def __le__(self, other: Any) -> bool:
        return bool(self._now() <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(self._now() > other)

    def __ge__(self, other: Any) -> bool:
        return bool(self._now() >= other)

    __hash__ = None  # type: ignore[assignment]  # as a dict's: compared by contents that change


class _Keys(_Compared, KeysView[K]):
    def _now(self) -> Any:
        return dict.fromkeys(self).keys()

    def __reversed__(self) -> Iterator[K]:
        return iter(self._mapping._entries("keys", True))  # type: ignore[attr-defined]


class _Values(ValuesView[V]):
    """Reads all values at once: one key after the other might miss what is overwritten meanwhile."""

    def __contains__(self, value: object) -> bool:
        return any(value is other or value == other for other in self)

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping._entries("values"))  # type: ignore[attr-defined]

    def __reversed__(self) -> Iterator[V]:
        return iter(self._mapping._entries("values", True))  # type: ignore[attr-defined]


class _Items(_Compared, ItemsView[K, V]):
    def _now(self) -> Any:
        return dict(self).items()

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._entries("items"))  # type: ignore[attr-defined]

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._entries("items", True))  # type: ignore[attr-defined]


def _reopen(kind: type[Dict[Any, Any]], arguments: dict[str, Any]) -> Dict[Any, Any]:
    made = kind.__new__(kind)
    Dict.__init__(made, **arguments)  # a subclass's own may take anything
    return made


MutableMapping.register(Dict)
