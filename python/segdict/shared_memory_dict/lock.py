"""Whether writes are serialized, and the names that the module of this name of shared-memory-dict has.

With SHARED_MEMORY_USE_LOCK=1 in the environment, read when this module is imported, every write of every
`SharedMemoryDict` of this process is serialized with those of all processes that have it too, by a lock in the segment
itself: also of processes that are not related, and free again when its holder dies. ``with d.lock():`` takes the same
lock for several operations together, with or without the variable.

`Lock`, `_lock` and `lock` are what they are in the original, for programs that use them. This package does not: such a
lock holds up this process and those forked from it, and nobody else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

USE_LOCK = os.environ.get("SHARED_MEMORY_USE_LOCK") == "1"

if TYPE_CHECKING or not USE_LOCK:

    class Lock:
        """Locks nothing."""

        def acquire(self) -> None:
            pass

        def release(self) -> None:
            pass

else:
    from multiprocessing import Lock

_lock = Lock()

Function = TypeVar("Function", bound=Callable[..., Any])


def lock(function: Function) -> Function:
    """A decorator: runs the function while holding `_lock`."""

    @wraps(function)
    def locked(*args: Any, **kwargs: Any) -> Any:
        _lock.acquire()
        try:
            return function(*args, **kwargs)
        finally:
            _lock.release()

    return locked  # type: ignore[return-value]
