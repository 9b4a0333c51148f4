"""Make the folders that results go to, and try them before any work is done."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import StorageError, free_bytes, shown, size_text, why, write_file

PROBE_NAME = ".noisyseg-probe"
"""A file that is written and removed again to see whether a folder can be written."""
_ATTEMPTS = 8


def make_folder(path: Path, *, needed_bytes: int = 0, keep: bool = True) -> None:
    """Make a folder with its parents where it is missing, and see that it can be written.

    After a refusal nothing is there that was not there before.

    Parameters
    ----------
    path
        The folder.
    needed_bytes
        Free space that will be needed, in bytes.
    keep
        Whether what was made stays; otherwise this is a trial, before work that takes long.

    Raises
    ------
    UserError
        If the folder cannot be made or written, or has too little space.
    """
    made: list[Path] = []
    try:
        for attempt in range(_ATTEMPTS):
            try:
                _make_missing(path, made)
                if not path.is_dir():
                    os.lstat(path)  # raises if it has gone
                    what = "a file, no folder" if os.path.exists(path) else "a link to nowhere"
                    raise UserError(f"{shown(path)} is {what}; choose another --out.")
                _probe(path)
                break
            except (FileNotFoundError, StorageError) as error:
                # Another process's trial may have removed, after its own end, what we both need.
                cause = error.__cause__ if isinstance(error, StorageError) else error
                if not isinstance(cause, FileNotFoundError) or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.01 * attempt)
        if (free := free_bytes(path)) < needed_bytes:
            raise UserError(
                f"{shown(path)} has {size_text(free)} free and about {size_text(needed_bytes)} will"
                " be needed; free some space or choose another --out."
            )
        if not keep:
            _remove(made)
    except BaseException as error:
        _remove(made)
        cause = error.__cause__ if isinstance(error, StorageError) else error
        if isinstance(cause, NotADirectoryError):
            file = next(place for place in path.parents if os.path.lexists(place))
            raise UserError(f"{shown(file)} is a file, no folder; choose another --out.") from error
        if isinstance(error, StorageError | OSError | ValueError):
            sentence = cannot("made or written", path, cause).removesuffix(".")
            raise UserError(f"{sentence}; choose another --out.") from error
        raise


def cannot(be_what: str, path: Path, error: BaseException | None) -> str:
    """Return a sentence that says why a folder cannot be made, read or written."""
    reason = why(error) if isinstance(error, OSError) else "no file can have such a name"
    return f"{shown(path)} cannot be {be_what}: {reason}."


def _make_missing(path: Path, made: list[Path]) -> None:
    """Make a folder and its parents; what was made is put into `made`, innermost first."""
    missing = []
    for folder in (path, *path.parents):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker, which is as good
            folder.mkdir()
            made.insert(0, folder)


def _remove(made: list[Path]) -> None:
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _probe(folder: Path) -> None:
    probe = folder / PROBE_NAME
    try:
        write_file(probe, b"0" * 4096)
    finally:
        with suppress(OSError):
            probe.unlink()
