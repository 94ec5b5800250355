"""The files of segments in /dev/shm: what `SharedMemoryDict.shm` gives, and what to do with one that is no segdict."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import stat
import weakref
from collections.abc import Callable
from typing import Any

from .. import _core

DIRECTORY = "/dev/shm/"
# What a segment begins with that the original wrote: a pickle or JSON.
BY_ORIGINAL = (b"\x80", b"{")
_CHUNK = 1 << 20


class Segment:
    """A dict's segment, in the manner of multiprocessing.shared_memory.SharedMemory."""

    def __init__(self, owner: Any, name: str, size: int) -> None:
        self._owner: Callable[[], Any] = weakref.ref(owner)  # the dict keeps this, not the other way round
        self._name = name
        self._size = size
        self._identity: tuple[int, int] | None = None
        with contextlib.suppress(FileNotFoundError):  # unlinked since it was opened
            self._identity = _identity(os.stat(DIRECTORY + name, follow_symlinks=False))
        self._map: mmap.mmap | None = None
        self._buf: memoryview | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def size(self) -> int:
        """In bytes, of the whole segment; not the size that the dict was asked for."""
        return self._size

    @property
    def buf(self) -> memoryview | None:
        """The segment's bytes, read-only. None once the dict is closed."""
        owner = self._owner()
        if owner is None or owner.closed:
            return None
        if self._buf is None:
            fd = os.open(DIRECTORY + self._name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if _identity(os.fstat(fd)) != self._identity:
                    raise FileNotFoundError(errno.ENOENT, "the segment of this dict was unlinked", self._name)
                self._map = mmap.mmap(fd, self._size, prot=mmap.PROT_READ)
            finally:
                os.close(fd)
            self._buf = memoryview(self._map)
        return self._buf

    def close(self) -> None:
        """Closes the dict."""
        owner = self._owner()
        if owner is not None:
            owner.cleanup()

    def unlink(self) -> None:
        """Takes the name away, also if the dict is closed: processes that use it may go on, others do not find it any
        more. FileNotFoundError if it is gone."""
        _core.unlink("name", self._name)

    def __repr__(self) -> str:
        return f"<segment {self._name!r} of {self._size} bytes>"

    def _release(self) -> None:
        """Ends the use of `buf`; if a view of a part of it is still used, with that view."""
        view, self._buf, self._map = self._buf, None, None
        if view is not None:
            with contextlib.suppress(BufferError):
                view.release()


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _is_still(path: str, info: os.stat_result) -> bool:
    try:
        return _identity(os.stat(path, follow_symlinks=False)) == _identity(info)
    except FileNotFoundError:
        return False


def _open_own(path: str) -> tuple[int, os.stat_result] | None:
    """The file, if it is a regular one of this user."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (PermissionError, IsADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid():
        return fd, info
    os.close(fd)
    return None


def _is_zero(fd: int, size: int) -> bool:
    """Reads only what the file has memory for."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise
        chunk = os.pread(fd, _CHUNK, at)
        if chunk.count(0) != len(chunk):
            return False
        if not chunk:
            return True
        at += len(chunk)
    return True


def remove_if_zero(path: str) -> tuple[int, int] | None:
    """Removes the file if it is this user's and has nothing but zeros in it; None if it is gone then, or was before.
    Else which file it is.

    Raw memory that somebody made for a dict becomes one so: the next who does not find the name makes the dict. All who
    want to do that at once take turns, by a lock of the file, and all but the first see that the name is not this
    file's any more. A death in between leaves no name, or the zeros.
    """
    try:
        opened = _open_own(path)
        if opened is None:
            return _identity(os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return None
    fd, info = opened
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_still(path, info):
            if not _is_zero(fd, os.fstat(fd).st_size):
                return _identity(info)
            os.unlink(path)
        return None
    finally:
        os.close(fd)


def first_bytes(path: str) -> bytes:
    """How a file of this user begins; else nothing."""
    try:
        opened = _open_own(path)
    except FileNotFoundError:
        return b""
    if opened is None:
        return b""
    fd, _info = opened
    try:
        return os.pread(fd, 16, 0)
    finally:
        os.close(fd)


def with_original(path: str, replace: Callable[[bytes], int]) -> bool:
    """Reads what the original has in the file, and puts the nameless file that `replace` makes of it in its place.

    False: meanwhile another file has the name. PermissionError unless this user is the only one who can have written
    to it: what it has may be a pickle.
    """
    opened = _open_own(path)
    if opened is None or opened[1].st_mode & 0o022:
        if opened is not None:
            os.close(opened[0])
        raise PermissionError(
            errno.EACCES, "not imported: another user could have written to it, and to unpickle can run any code", path
        )
    fd, info = opened
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not _is_still(path, info):
            return False
        with open(fd, "rb", closefd=False) as file:
            data = file.read()
        if not data.startswith(BY_ORIGINAL):
            return False
        made = replace(data)
        try:
            aside = f"{DIRECTORY}.segdict-import-{secrets.token_hex(8)}"
            publish(made, aside)
            try:
                if not _is_still(path, info):
                    os.unlink(aside)
                    return False
                os.rename(aside, path)
            except BaseException:
                os.unlink(aside)
                raise
        finally:
            os.close(made)
        return True
    finally:
        os.close(fd)


def nameless() -> int:
    """A new file in /dev/shm that has no name, and so goes with the process if it gets none."""
    fd = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)  # whatever the umask
    return fd


def publish(fd: int, path: str) -> None:
    """Gives a nameless file a name. FileExistsError if it is taken."""
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With src_dir_fd this is linkat(AT_SYMLINK_FOLLOW); without, Python calls link, which does not follow.
        os.link(str(fd), path, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)
