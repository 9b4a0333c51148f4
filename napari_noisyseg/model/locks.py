"""One process at a time in a run folder.

The operating system's lock on ``.lock`` decides: it goes when its process goes, however that ends.
``lock.json`` beside it says who holds it, for messages and for other computers, which may not see
the system's lock through a network file system. Where the file system has no locks, every process
that wants the folder puts its own claim there and looks for the claims of others.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import StorageError, open_regular, shown, why, write_file

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = ".lock"
"""The file that the operating system's lock is on; it stays, empty."""
HOLDER_NAME = "lock.json"
"""The file that says who holds the lock; there only while the run is in use."""
CLAIM_NAME = re.compile(r"\.lock-[0-9a-f]{8}\.json")
"""Names of the claims on file systems without locks."""

_LOGGER = logging.getLogger("napari_noisyseg")
_RECORD_LIMIT = 4096  # bytes; our own records have about 120
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_CLAIM_ROUNDS = 6
_MAKE_ATTEMPTS = 8
# Descriptors of the locks that this process holds, for `_forget_in_child`.
_held_descriptors: set[int] = set()


@dataclass(frozen=True)
class LockInfo:
    """Who holds a run folder.

    Attributes
    ----------
    pid
        The process.
    host
        The name of its computer.
    started
        When the process started, seconds since 1970: tells it from a later one of the same number.
    since
        When the lock was taken, local time, ISO 8601.
    """

    pid: int
    host: str
    started: float
    since: str

    @classmethod
    def of_this_process(cls) -> LockInfo:
        """Return what this process writes into the locks that it takes."""
        return cls(
            os.getpid(),
            socket.gethostname(),
            psutil.Process().create_time(),
            datetime.now().astimezone().isoformat(timespec="seconds"),
        )

    @classmethod
    def read(cls, path: Path) -> LockInfo | None:
        """Read a lock's record; None if there is none or it is not one of ours."""
        try:
            with open_regular(path, follow_links=False) as stream:
                record = json.loads(stream.read(_RECORD_LIMIT))
            info = cls(**record)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        sound = (
            type(info.pid) is int
            and 0 < info.pid < 2**32
            and isinstance(info.host, str)
            and isinstance(info.started, int | float)
            and isinstance(info.since, str)
        )
        return info if sound else None

    def write(self, path: Path) -> None:
        """Write the record; a link or FIFO that stands in its place is removed, never followed."""
        with suppress(OSError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                os.unlink(path)
        write_file(path, json.dumps(asdict(self), indent=1) + "\n")

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this computer."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs; on another computer that cannot be known: True."""
        if not self.is_here:
            return True
        try:
            process = psutil.Process(self.pid)
            # The number may have been given to a new process. The start time is computed from
            # the computer's clock, which may have been corrected a little since.
            same = abs(process.create_time() - self.started) < 2
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except (psutil.Error, OSError, OverflowError):
            return True


@contextmanager
def run_lock(folder: Path, *, make: bool = False) -> Iterator[LockInfo]:
    """Hold a run folder for this process, for as long as the ``with`` block lasts.

    The lock of a process of this computer that has died is taken over. Where the file system has
    no locks, a warning is logged and claims in the folder take their place.

    Parameters
    ----------
    folder
        The run folder.
    make
        Whether the folder is made again if it has gone, as that of a new run may: another
        process's trial of the same place removes what it finds empty.

    Yields
    ------
    LockInfo
        What was written about this process.

    Raises
    ------
    UserError
        If another process holds the folder, or one on another computer may, or the lock cannot be
        written; names the holder and what to do.
    """
    mine = LockInfo.of_this_process()
    holder_path = folder / HOLDER_NAME
    claim: Path | None = None
    descriptor: int | None = None
    try:
        try:
            descriptor = _lock(folder, make)
            if descriptor is None:
                claim = _claim(folder, mine)
            holder = LockInfo.read(holder_path)
            if holder is not None and holder.is_alive and not _is_own(holder, mine):
                raise _in_use(folder, holder)
            mine.write(holder_path)
        except StorageError as error:
            raise UserError(str(error)) from error
        yield mine
    finally:
        if os.getpid() == mine.pid:  # and not in a forked child that runs to the end of the block
            for path in (holder_path, claim):
                if path is not None and LockInfo.read(path) == mine:
                    with suppress(OSError):
                        os.unlink(path)
            if descriptor is not None:
                _held_descriptors.discard(descriptor)
                with suppress(OSError):
                    os.close(descriptor)  # which frees the lock


def _is_own(holder: LockInfo, mine: LockInfo) -> bool:
    """Say whether a record is this process's own, left because it could not be removed."""
    return (holder.pid, holder.host, holder.started) == (mine.pid, mine.host, mine.started)


def _in_use(folder: Path, holder: LockInfo | None) -> UserError:
    run = shown(folder)
    if holder is None or (holder.is_here and not holder.is_alive):
        # The holder has not yet written its record over its predecessor's.
        return UserError(f"{run} is in use by another process; wait for it or choose another run.")
    since = f"process {holder.pid} since {shown(holder.since[:25])}"
    if holder.is_here:
        return UserError(f"{run} is in use by {since}; wait for it or choose another run.")
    return UserError(
        f"{run} is in use by {since} on the computer {shown(holder.host[:80])}; wait for it, or, if"
        f" that process has ended, delete the file {HOLDER_NAME} there and try again."
    )


def _lock(folder: Path, make: bool) -> int | None:
    """Take the system's lock; return its descriptor, or None where there are no locks."""
    path = folder / LOCK_NAME
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    attempts = 0
    while True:
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            attempts += 1
            if make and isinstance(error, FileNotFoundError) and attempts < _MAKE_ATTEMPTS:
                continue
            raise UserError(
                f"{shown(path)} cannot be opened ({why(error)}); make its folder writable or choose"
                " another run."
            ) from error
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if not is_file:
                raise UserError(f"{shown(path)} is no regular file; remove it and try again.")
            if not _lock_descriptor(descriptor):
                raise _in_use(folder, LockInfo.read(folder / HOLDER_NAME))
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                _held_descriptors.add(descriptor)
                return descriptor
        except FileNotFoundError:
            pass  # removed between opening and locking: once more
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LOCKS:
                raise UserError(
                    f"{shown(path)} cannot be locked ({why(error)}); choose a run on another disk."
                ) from error
            _LOGGER.warning(
                "The file system of %s has no locks; do not start two processes on one run.",
                shown(folder),
            )
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_descriptor(descriptor: int) -> bool:
    """Lock an open file without waiting; return whether it was free."""
    try:
        if sys.platform == "win32":
            # One byte far behind the end, so that others can still read and copy the file.
            os.lseek(descriptor, 2**30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _claim(folder: Path, mine: LockInfo) -> Path:
    """Claim the folder where there are no locks.

    Each process writes its claim first and looks for others second, so that of two at once at
    least one sees the other. Who sees another withdraws and tries again a little later, each
    after a time of its own.
    """
    for _ in range(_CLAIM_ROUNDS):
        claim = folder / f".lock-{secrets.token_hex(4)}.json"
        mine.write(claim)
        rival = _rival(folder, claim)
        if rival is None:
            return claim
        os.unlink(claim)
        # Not from the random generators that a training depends on.
        time.sleep(0.05 + secrets.randbelow(400) / 1000)
    raise _in_use(folder, rival)


def _rival(folder: Path, claim: Path) -> LockInfo | None:
    for path in folder.iterdir():
        if CLAIM_NAME.fullmatch(path.name) and path.name != claim.name:
            info = LockInfo.read(path)
            if info is not None and info.is_alive:
                return info
            with suppress(OSError):
                os.unlink(path)
    return None


def _forget_in_child() -> None:
    """Close the locks in a forked child, which must not keep them when its parent is killed."""
    for descriptor in _held_descriptors:
        with suppress(OSError):
            os.close(descriptor)
    _held_descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
