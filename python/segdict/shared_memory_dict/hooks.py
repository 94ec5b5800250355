"""Making and freeing the segment of a dict in another process than those that use it, as in a server's master process.

For gunicorn, in its configuration::

    from segdict.shared_memory_dict.hooks import create_shared_memory, free_shared_memory

    def on_starting(server):
        create_shared_memory(name="sm", size=1024)

    def on_exit(server):
        free_shared_memory(name="sm")

What `create_shared_memory` makes is raw memory; the first `SharedMemoryDict` of that name makes a dict of it.
"""

from __future__ import annotations

import mmap
import os
import sys
from multiprocessing import shared_memory

from .templates import MEMORY_NAME

if sys.version_info < (3, 13):
    from _posixshmem import shm_open, shm_unlink  # type: ignore[import-not-found, unused-ignore]

__all__ = ["SharedMemory", "create_shared_memory", "free_shared_memory"]


class SharedMemory(shared_memory.SharedMemory):
    """multiprocessing.shared_memory.SharedMemory which Python's resource tracker never hears of.

    The tracker unlinks what a process has opened as soon as that process ends, though others use it, and says that it
    was leaked (python/cpython#82300).
    """

    if sys.version_info >= (3, 13):

        def __init__(self, name: str | None = None, create: bool = False, size: int = 0) -> None:
            super().__init__(name, create, size, track=False)

    else:
        # The base class would register the segment; that cannot be taken back, for the tracker knows a name only once
        # and others of this process may have registered it as well.
        def __init__(self, name: str, create: bool = False, size: int = 0) -> None:
            if not size >= 0:
                raise ValueError("'size' must be a positive integer")
            if create and size == 0:
                raise ValueError("'size' must be a positive number different from zero")
            flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
            self._name = "/" + name
            self._fd = shm_open(self._name, flags, mode=0o600)
            try:
                if create:
                    os.ftruncate(self._fd, size)
                self._size = os.fstat(self._fd).st_size
                self._mmap = mmap.mmap(self._fd, self._size)
            except BaseException:
                os.close(self._fd)
                self._fd = -1
                if create:
                    self.unlink()
                raise
            self._buf = memoryview(self._mmap)

        def unlink(self) -> None:
            shm_unlink(self._name)


def create_shared_memory(name: str, size: int) -> None:
    """Makes the segment of the dict `name`. FileExistsError if it is there."""
    SharedMemory(MEMORY_NAME.format(name=name), create=True, size=size)


def free_shared_memory(name: str) -> None:
    """Takes the segment away: processes that use the dict may go on, others do not find it any more."""
    segment = SharedMemory(MEMORY_NAME.format(name=name))
    segment.unlink()
