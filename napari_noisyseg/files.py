"""The one way to write files: atomic, flushed to the disk, and never half there.

Every file that the program writes goes through `write_file`; a test forbids other ways. A reader,
or a run that is killed at any instant, therefore finds either the old file or the new one, whole.
"""

from __future__ import annotations

import errno
import hashlib
import math
import numbers
import os
import re
import secrets
import shutil
import stat
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from napari_noisyseg.errors import StoppedError, UserError

TEMPORARY_NAME = re.compile(r"\.noisyseg-[0-9a-f]{8}\.tmp")
"""Names of the temporary files beside a target; one left over is a killed process's."""

NAME_BYTES = 200
"""Longest name that `safe_name` returns, in UTF-8 bytes; room is left for suffixes (limit 255)."""

# Errors that a network file system or a failing disk may not repeat; the others stay as they are.
_WORTH_A_RETRY = {errno.EIO, errno.ESTALE, errno.EDQUOT}
if sys.platform == "win32":
    # A virus scanner or a spreadsheet holds the target for a moment.
    _WORTH_A_RETRY.add(errno.EACCES)
_RETRY_AFTER = 1.0  # seconds
# File systems that cannot flush say so with these; there is nothing better to do there.
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_BLOCK = 64 * 2**20  # bytes per write call; some systems refuse calls of more than 2 GiB

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EIO: "the disk reports an input/output error",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EFBIG: "the file is larger than the system allows",
}
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
LITTER = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle",
        "$recycle.bin", "system volume information", "lost+found", ".ds_store", ".directory",
        ".localized", ".snapshot",
    }
)  # fmt: skip
"""What operating systems, file managers and network drives leave in folders, in lower case."""
_FORBIDDEN = re.compile(r'[/\\<>:"|?*]' if sys.platform == "win32" else r"[/\\]")
# What starts a formula; the wide forms of the same characters do as well.
_FORMULA = "=+-@＝＋－＠"
_INNER_FORMULA = re.compile(rf"([;\t\r\n][\s\"]*)([{re.escape(_FORMULA)}])")


class StorageError(StoppedError):
    """A file could not be written: disk full, folder gone, permission taken away, disk failing."""


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path or name as one printable line of at most 120 characters, for messages.

    Line breaks, control characters, direction marks and undecodable bytes appear as escapes.
    """
    text = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in os.fspath(path)
    )
    return text if len(text) <= 120 else f"{text[:40]}...{text[-77:]}"


def path_text(path: Path) -> str | None:
    """Return a path as text for a file, whatever the locale; None where no text can say it."""
    try:
        str(path).encode()
        return str(path)
    except UnicodeEncodeError:  # in a locale such as C, every accent is an undecodable byte
        with suppress(UnicodeError):
            return os.fsencode(path).decode()
    return None


def text_path(text: str) -> Path:
    """Return the path that `path_text` wrote, as the present locale sees it."""
    try:
        os.fsencode(text)
        return Path(text)
    except UnicodeEncodeError:
        return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))


def why(error: OSError) -> str:
    """Return what the system said about an error, for the middle of a sentence."""
    return (error.strerror or "unknown error").lower()


def size_text(count: int) -> str:
    """Return a number of bytes for people: ``size_text(1_500_000)`` is ``"1.5 MB"``."""
    if count < 1000:
        return f"{count} bytes"
    scale = min(4, int(math.log10(count)) // 3)
    return f"{count / 1000**scale:.1f} {('', 'kB', 'MB', 'GB', 'TB')[scale]}"


def free_bytes(folder: Path) -> int:
    """Return the free space, in bytes, where `folder` is or would be made.

    Where the system cannot tell, `sys.maxsize`.
    """
    for place in (folder, *folder.absolute().parents):
        try:
            usage = shutil.disk_usage(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            break
        # Some network file systems report a size of nothing at all.
        return usage.free if usage.total else sys.maxsize
    return sys.maxsize


def open_regular(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device, which may hang for ever, is refused.

    Raises
    ------
    OSError
        If the file cannot be opened; with `errno.EINVAL` if it is no regular file.
    """
    # Looked at before it is opened, because opening a device may already do something, and again
    # afterwards, because another file may have taken its place in between.
    before = os.stat(path, follow_symlinks=follow_links)
    if stat.S_ISREG(before.st_mode):
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        if not follow_links:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def write_file(
    path: Path,
    content: bytes | bytearray | memoryview | str,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Write `content` to `path`, all or nothing.

    The content goes to a temporary file in the same folder, is flushed to the disk, and takes the
    target's place in one step; the folder is flushed as well. On any failure the temporary file
    is removed and the target is what it was.

    Parameters
    ----------
    path
        The file to write; its folder must exist. A regular file there is replaced.
    content
        Bytes, or text that is written as UTF-8.
    check
        Called with the temporary file's path before the target is replaced; what it raises goes
        to the caller.

    Raises
    ------
    StorageError
        If the disk, the folder or the system refuses; names the path, the reason, and the free
        space where that matters. Errors that may pass are tried once more after a second.
    UserError
        If `path` is a folder, a device or anything else that is no regular file.
    """
    data = memoryview(
        content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    ).cast("B")
    try:
        try:
            _replace(path, data, check)
        except OSError as error:
            if error.errno not in _WORTH_A_RETRY:
                raise
            time.sleep(_RETRY_AFTER)
            _replace(path, data, check)
    except OSError as error:
        raise StorageError(_sentence(path, len(data), error)) from error
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise StorageError(
            f"{shown(path)} could not be written: no file has such a name."
        ) from None


def _replace(path: Path, data: memoryview, check: Callable[[Path], object] | None) -> None:
    with suppress(FileNotFoundError):
        # Replacing a device (--out /dev/null, as root) would break the system.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError(f"{shown(path)} is there and is no regular file; choose another name.")
    descriptor, temporary = _create_temporary(path.parent)
    try:
        try:
            _write_out(descriptor, data)
        finally:
            os.close(descriptor)
        if check is not None:
            check(temporary)
        os.replace(temporary, path)
    except BaseException:  # an interrupt leaves no litter either
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(path.parent)


def _create_temporary(folder: Path) -> tuple[int, Path]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        temporary = folder / f".noisyseg-{secrets.token_hex(4)}.tmp"
        with suppress(FileExistsError):
            return os.open(temporary, flags, 0o666), temporary


def _write_out(descriptor: int, data: memoryview) -> None:
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written : written + _BLOCK])
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    if os.fstat(descriptor).st_size != len(data):
        raise OSError(errno.EIO, "the file is shorter than what was written to it")


def _flush_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return  # Windows, and folders that may be written but not read
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _WORTH_A_RETRY:
            raise
    finally:
        os.close(descriptor)


def _sentence(path: Path, count: int, error: OSError) -> str:
    folder = path.parent
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE) and not folder.is_dir():
        return f"{shown(path)} could not be written: its folder {shown(folder.name or folder)} is gone."
    reason = _REASONS.get(error.errno or 0) or shown(why(error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += f" ({size_text(count)} to write, {size_text(free_bytes(folder))} free)"
    return f"{shown(path)} could not be written: {reason}; what was there before is whole."


def remove_litter(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`.

    To be called only by who holds the folder's lock: another process may be writing.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY_NAME.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    os.unlink(entry.path)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV text; every line ends with a line feed.

    Real numbers are written so that reading them gives the same number again; None and NaN give
    an empty cell. Text that a spreadsheet would take for a formula gets an apostrophe before it; so does
    what would be one to a spreadsheet that splits at semicolons or tabs.
    """
    # Not by the csv module, which leaves a carriage return bare when lines end with a line feed.
    lines = (",".join(_cell(value) for value in row) for row in (header, *rows))
    return "".join(f"{line or chr(34) * 2}\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return "" if math.isnan(value) else repr(float(value))
    text = _INNER_FORMULA.sub(r"\1'\2", str(value))
    if text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(tuple(_FORMULA)):
        text = f"'{text}"
    if any(character in text for character in ',;"\t\r\n'):
        quoted = text.replace('"', '""')
        return f'"{quoted}"'
    return text


def safe_name(name: str) -> str:
    """Return `name` if it can be one component of a path, otherwise a name made from it.

    Spaces, accents, quotes and inner dots stay. Separators, control characters and undecodable
    bytes become underscores, leading dots and names that Windows reserves get an underscore in
    front, and names above `NAME_BYTES` are cut. A changed name ends with eight digits that
    depend on the original, so that two names stay two.
    """
    safe = "".join("_" if _unfit(character) else character for character in name)
    if sys.platform == "win32":
        safe = safe.rstrip(". ")
    if not safe.strip(". "):
        safe = "_"
    if safe.startswith(".") or safe.split(".")[0].strip().upper() in _RESERVED:
        safe = f"_{safe}"
    if safe == name and len(name.encode()) <= NAME_BYTES:
        return name
    cut = safe.encode()[: NAME_BYTES - 9].decode("utf-8", "ignore")
    return f"{cut}-{name_digest(name)}"


def _unfit(character: str) -> bool:
    # Control characters, line separators and halves of surrogate pairs (undecodable bytes).
    unfit = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return unfit or _FORBIDDEN.match(character) is not None


def name_digest(name: str) -> str:
    """Return eight hexadecimal digits that depend on every character of `name`."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
