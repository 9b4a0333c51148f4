"""Where results must not go: among the images and masks of a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from napari_noisyseg.annotation.folders import FOLDER_NAMES, DataFolders, layout_places
from napari_noisyseg.annotation.listing import IMAGE_SUFFIXES
from napari_noisyseg.annotation.pairing import sentence
from napari_noisyseg.errors import UserError


def refuse_inside(out: Path, folders: DataFolders) -> None:
    """Raise UserError if results would go into a folder of a data set, spoiling it.

    Parameters
    ----------
    out
        Folder that results go to; it need not be there yet.
    folders
        The data set, of which no folder may be missing.
    """
    refuse_output_in(out, [place for place in layout_places(folders).values() if place is not None])


def refuse_output_in(out: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError if a folder of results would spoil images or masks.

    So it would if it is, or lies in, one of the folders `inputs`, or a folder that the layout of
    data sets (`napari_noisyseg.annotation.folders`) takes for images or masks.
    """
    target = Path(os.path.realpath(out))
    for folder in inputs:
        if Path(os.path.realpath(folder)) in (target, *target.parents):
            raise UserError(
                sentence(
                    "{folder} holds images or masks that are read, so results in {out} would be "
                    "taken for such: choose another folder by --out.",
                    folder=folder,
                    out=out,
                )
            )
    # A link may bear the name as well as what it leads to.
    named = Path(os.path.abspath(out))
    for folder in (target, *target.parents, named, *named.parents):
        if _is_in_data_set(folder):
            raise UserError(
                sentence(
                    "{folder} belongs to a data set, so results in {out} would be taken for images "
                    "or masks: choose another folder by --out.",
                    folder=folder,
                    out=out,
                )
            )


def _is_in_data_set(folder: Path) -> bool:
    """Whether a folder bears a name of the layout, and there are images under a name of its role."""
    name = folder.name.casefold()
    if name not in FOLDER_NAMES:
        return False
    role = name.partition("_")[0]
    names = {one for one in FOLDER_NAMES if one.startswith(role)}
    with suppress(OSError):
        return any(
            _holds_images(one) for one in folder.parent.iterdir() if one.name.casefold() in names
        )
    return False


def _holds_images(folder: Path) -> bool:
    """Whether there are images in a folder, or in the sub-folders of annotators."""
    files = chain(folder.glob("*.*"), folder.glob("*/*.*"))
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)
