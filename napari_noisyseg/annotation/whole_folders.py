"""Write a folder of files so that it appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from napari_noisyseg.annotation.listing import is_litter
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import name_digest, shown

Result = TypeVar("Result")


@contextmanager
def whole_folder(folder: Path, what: str) -> Iterator[Path]:
    """Give a hidden folder to write into, which becomes `folder` when the block has ended well.

    It lies beside the folder, or inside it where that is already there and empty.

    Parameters
    ----------
    folder
        The folder to make; it may be there already if nothing is in it.
    what
        What is written, for messages: ``"The sample data"``.

    Yields
    ------
    Path
        The hidden folder, there and empty. Whatever the block raises goes to the caller, and
        nothing is left behind.

    Raises
    ------
    UserError
        If the folder is not empty, is a file or cannot be made.
    StoppedError
        If the disk fails or is full; nothing is left behind.
    """
    there = refuse_taken(folder)
    # The hidden folder's name tells which target it is for, so that those of killed processes can
    # be removed without touching anybody else's.
    around = folder if there else folder.parent
    pattern = f".noisyseg-{name_digest(folder.absolute().name)}-{{}}.tmp"
    staging = around / pattern.format(secrets.token_hex(4))
    made = [one for one in (around, *around.parents) if not one.exists()]
    moved: list[Path] = []
    try:
        _make(staging, folder)  # before the work, which takes long
        yield staging
        if there:
            for part in sorted(staging.iterdir()):
                part.rename(folder / part.name)
                moved.append(folder / part.name)
            staging.rmdir()
        else:
            staging.rename(folder)
    except BaseException as error:  # an interrupt leaves nothing either
        _remove([staging, *moved])
        for one in made:
            with suppress(OSError):  # something else has moved in, or it was never made
                one.rmdir()
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(error, OSError | StoppedError) or not isinstance(cause, Exception):
            raise
        refuse_taken(folder)  # another process was faster: that is what to say
        raise StoppedError(
            f"{what} could not be written to {shown(folder)} ({_reason(cause)}), and nothing is left "
            "there: make room or choose another folder."
        ) from error
    _remove(list(around.glob(pattern.format("*"))))


def write_whole_folder(folder: Path, fill: Callable[[Path], Result], what: str) -> Result:
    """Fill a new or empty folder, all or nothing, by a function.

    Parameters
    ----------
    folder, what
        As for `whole_folder`, which says what is raised.
    fill
        Called with the hidden folder; writes the files.

    Returns
    -------
    Result
        What `fill` returns.
    """
    with whole_folder(folder, what) as home:
        result = fill(home)
    return result  # noqa: RET504 - the folder is in its place only now


def refuse_taken(folder: Path) -> bool:
    """Return whether the folder is there already, empty.

    Raises
    ------
    UserError
        If it is not empty or is a file: no place for anything new.
    """
    try:
        if not (folder.exists() or folder.is_symlink()):
            return False
        if not folder.is_dir():
            raise UserError(
                f"{shown(folder)} is not a folder: give the name of a new or empty folder."
            )
        taken = sorted(one.name for one in folder.iterdir() if not is_litter(one))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The folder {shown(folder)} cannot be used ({_reason(error)}): choose another one."
        ) from error
    if taken:
        raise UserError(
            f"The folder {shown(folder)} is not empty (it holds {shown(taken[0])}): give the name "
            "of a new or empty folder."
        )
    return True


def _make(staging: Path, folder: Path) -> None:
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"The folder {shown(folder)} cannot be made ({_reason(error)}): choose another one."
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _remove(paths: Sequence[Path]) -> None:
    """Remove what was made here, as far as the disk lets."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
