"""The masks of settled pixels in a data set on disk: found, and given to their examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.corrections import read_settled
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.images import is_litter, list_folder, list_images, read_mask
from napari_noisyseg.annotation.pairing import image_name, refuse_shared_names, sentence
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown, why

FOLDER = "noisy_settled"
"""The folder beside ``noisy_gt``."""


def attach_settled(examples: Sequence[Example], folder: Path) -> list[Example]:
    """Give noisy examples their settled pixels, by the image's name and the annotator.

    Parameters
    ----------
    examples
        The noisy examples of a data set, from files.
    folder
        Holds ``NAME.png`` or ``NAME.tif``; in a sub-folder per annotator where the examples have
        annotators. May be empty.

    Raises
    ------
    UserError
        If a file belongs to no example, so that nothing that was settled is lost unnoticed.
    """
    files = _files(folder, annotators=any(example.annotator for example in examples))
    result = []
    for example in examples:
        path = files.pop((example.annotator, example.name), None)
        if path is not None:
            mask = Path(example.label_origin)
            example = replace(example, read_settled=partial(_read_settled, path, mask))
        result.append(example)
    if files:
        raise UserError(
            sentence(
                "{folder} tells of settled pixels in masks that are not there ({files}): a file there "
                "bears its image's name, in the annotator's sub-folder if there are several; rename "
                "or remove it.",
                folder=folder,
                files=list(files.values()),
            )
        )
    return result


def _read_settled(path: Path, mask: Path) -> NDArray[np.uint8]:
    return read_settled(path, read_mask(mask).shape)


def _files(folder: Path, *, annotators: bool) -> dict[tuple[str, str], Path]:
    """Return the files by annotator and image name."""
    try:
        if all(is_litter(entry) for entry in folder.iterdir()):
            return {}
    except OSError as error:
        raise UserError(f"The folder {shown(folder)} cannot be read ({why(error)}).") from error
    images, folders = list_folder(folder)
    if images and annotators:
        raise UserError(
            f"{shown(images[0])} does not say whose annotation it settles: put it in the annotator's "
            f"sub-folder."
        )
    if folders and not annotators:
        raise UserError(
            f"{shown(folders[0])} is a folder among files that tell of settled pixels, but there are "
            f"no annotators: move its files to {shown(folder.name)}."
        )
    found: dict[tuple[str, str], Path] = {}
    groups = {"": images} if not annotators else {one.name: list_images(one) for one in folders}
    for annotator, paths in groups.items():
        refuse_shared_names(paths, what="settled")
        found |= {(annotator, image_name(path)): path for path in paths}
    return found
