"""Write a folder of files so that it appears whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from napari_noisyseg.annotation.listing import is_litter
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import name_digest, shown, write_file

Result = TypeVar("Result")

_PARTS = ".parts.json"
"""In a hidden folder whose parts are moved one by one: their names."""


@contextmanager
def whole_folder(folder: Path, what: str) -> Iterator[Path]:
    """Give a hidden folder to write into, which becomes `folder` when the block has ended well.

    It lies beside the folder and takes its place in one step, with the mode of an empty folder that
    was there. Only where an empty folder cannot give way (another user's, a mount, a link, the current
    folder; Windows; what is around it cannot be written) its parts are moved there one by one; what a
    process leaves there that is killed meanwhile does not count as taken, and is cleared away.

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
    for left, parts in _half_moved(folder):
        _remove([*parts, left])
    made = [one for one in (folder.parent, *folder.parent.parents) if not one.exists()]
    ours: list[Path] = []
    try:
        ours.append(staging := _make_staging(folder, there))  # before the work, which takes long
        yield staging
        try:
            staging.rename(folder)  # an empty folder gives way, but not everywhere
        except OSError:
            if not there:
                raise
            refuse_taken(folder)
            _move_parts(staging, folder, ours)
    except BaseException as error:  # an interrupt leaves nothing either
        _remove(ours)
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
    _remove(_stagings(folder))


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
        ours = {part for _, parts in _half_moved(folder) for part in parts}
        found = (one for one in folder.iterdir() if not is_litter(one) and one not in ours)
        taken = sorted(one.name for one in found)
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


def _stagings(folder: Path) -> list[Path]:
    """Return all hidden folders for a folder, beside and inside it, also those of other processes."""
    pattern = _staging_name(folder, "*")
    return [*folder.parent.glob(pattern), *folder.glob(pattern)]


def _staging_name(folder: Path, ending: str) -> str:
    # It tells which target it is for, so that those of killed processes can be removed without
    # touching anybody else's.
    return f".noisyseg-{name_digest(folder.absolute().name)}-{ending}.tmp"


def _make_staging(folder: Path, there: bool) -> Path:
    name = _staging_name(folder, secrets.token_hex(4))
    if there and _may_give_way(folder):
        staging = folder.parent / name
        with suppress(OSError):
            staging.mkdir()
            try:
                shutil.copystat(folder, staging)
                if _owner(staging) == _owner(folder):
                    return staging
            except OSError:
                pass
            staging.rmdir()
    staging = (folder if there else folder.parent) / name
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"The folder {shown(folder)} cannot be made ({_reason(error)}): choose another one."
        ) from error
    return staging


def _may_give_way(folder: Path) -> bool:
    """Whether another folder may take the place of this one, which nobody would notice."""
    with suppress(OSError):
        return (
            os.access(folder, os.W_OK | os.X_OK)
            and not (folder.is_symlink() or os.path.ismount(folder) or folder.samefile(os.curdir))
            and not any(folder.iterdir())
        )
    return False


def _owner(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_uid, about.st_gid


def _move_parts(staging: Path, folder: Path, ours: list[Path]) -> None:
    """Move all into a folder that cannot be replaced; what was moved is added to `ours`."""
    names = sorted(part.name for part in staging.iterdir())
    write_file(staging / _PARTS, json.dumps(names))
    for name in names:
        (staging / name).rename(folder / name)
        ours.append(folder / name)
    _remove([staging])


def _half_moved(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the hidden folders of processes killed in `_move_parts`, with what these had moved."""
    for staging in _stagings(folder):
        with suppress(OSError, ValueError, TypeError):
            if staging.is_symlink() or not _is_own(staging):
                continue  # in a place that all may write to, its list could name anything
            names = json.loads((staging / _PARTS).read_text("utf-8"))
            if not all(name == Path(name).name != ".." for name in names):
                continue  # it leads out of the folder
            left = {part.name for part in staging.iterdir()}
            if left.intersection(names):  # else all were moved: the folder is whole
                yield staging, [folder / name for name in names if name not in left]


def _is_own(folder: Path) -> bool:
    """Whether this user made a folder; true where the system does not tell."""
    return not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()


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
