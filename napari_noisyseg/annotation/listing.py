"""Which files of a folder are images; what operating systems leave there is passed over."""

from __future__ import annotations

import os
from pathlib import Path

from napari_noisyseg.annotation.rasters import check_regular
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import LITTER, shown, why

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".tif", ".tiff", ".npy"}
)
"""Suffixes of image files, in lower case; upper case is accepted as well."""


def is_litter(path: Path) -> bool:
    """Tell whether an operating system left this file or folder, or it is hidden.

    Parameters
    ----------
    path
        A file or folder; only its name is looked at.
    """
    return path.name.startswith(".") or path.name.lower() in LITTER


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name.

    Parameters
    ----------
    folder
        The folder to look into.

    Returns
    -------
    list of Path
        At least one.

    Raises
    ------
    UserError
        If the folder is missing, no folder, unreadable or without images, or if it holds something
        else than images; the message names it.
    """
    images, folders = _listed(folder)
    if folders:
        raise UserError(
            f"{shown(folders[0])} is a folder among images: move it elsewhere or give the folder "
            "that holds the images."
        )
    if not images:
        raise UserError(f"The folder {shown(folder)} holds no images: put PNG or TIFF files in it.")
    return images


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the image files and the sub-folders of a folder, each sorted by name.

    Parameters
    ----------
    folder
        The folder to look into.

    Returns
    -------
    images, folders : list of Path
        At least one of the two is not empty.

    Raises
    ------
    UserError
        If the folder is missing, no folder, unreadable or empty, or if it holds something else
        than images and folders.
    """
    images, folders = _listed(folder)
    if not images and not folders:
        raise UserError(f"The folder {shown(folder)} is empty: put PNG or TIFF files in it.")
    return images, folders


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except FileNotFoundError as error:
        raise UserError(f"There is no folder {shown(folder)}: correct the path.") from error
    except NotADirectoryError as error:
        raise UserError(f"{shown(folder)} is not a folder: correct the path.") from error
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else "no folder can have this name"
        raise UserError(f"The folder {shown(folder)} cannot be read ({reason}).") from error
    images: list[Path] = []
    folders: list[Path] = []
    for entry in entries:
        if is_litter(entry):
            continue
        if entry.suffix.lower() in IMAGE_SUFFIXES:
            check_regular(entry)
            images.append(entry)
        elif os.path.isdir(entry):
            folders.append(entry)
        else:
            raise UserError(
                f"{shown(entry)} is no image file ({shown(entry.suffix) or 'no suffix'}): move it "
                "elsewhere, or save it as PNG, JPEG, BMP, TIFF or npy."
            )
    return images, folders
