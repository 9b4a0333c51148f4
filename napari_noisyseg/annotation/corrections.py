"""Who wins where: which pixels of a noisy annotation a person has settled, and what follows.

Beside an annotation lies a small mask of its size, uint8:

    0  as annotated: training decides how far to believe it
    1  settled: a person has looked at these pixels, and their labels are clean
    2  ignored: nobody can tell; training leaves them out

On disk it is a file of the same name as the image's in ``noisy_settled/`` beside ``noisy_gt/`` (in
the annotator's sub-folder, where there are such); an image without one has nothing settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import IntEnum
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import NOT_ANNOTATED
from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.annotation.examples import Example, Labels
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown


class Settled(IntEnum):
    """What a person has settled about a pixel; the values of the mask."""

    OPEN = 0
    """As annotated."""
    CLEAN = 1
    """The label was accepted, kept or drawn by a person who looked."""
    IGNORED = 2
    """The pixel is to be left out."""


def read_settled(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Read the mask of settled pixels.

    Parameters
    ----------
    path
        PNG or TIFF.
    shape
        (pages, height, width) that it must have, its annotation's.

    Returns
    -------
    numpy.ndarray
        (pages, height, width), uint8, `Settled` values.

    Raises
    ------
    UserError
        If it cannot be read, has another size or other values than 0, 1 and 2.
    """
    values = read_mask(path)
    if shape is not None and values.shape != shape:
        raise UserError(
            f"'{shown(path)}' has the shape {values.shape} but its mask {tuple(shape)}: it tells which "
            f"pixels of that mask are settled; put the right file there or remove it"
        )
    if strange := sorted({*np.unique(values).tolist()} - {*Settled}):
        raise UserError(
            f"'{shown(path)}' holds the value {strange[0]}, but settled pixels are 1, ignored ones 2 "
            f"and all others 0: correct it or remove it"
        )
    return values.astype(np.uint8)


def settled_file(settled: NDArray[np.uint8]) -> tuple[str, bytes]:
    """Encode a mask of settled pixels (pages, height, width).

    Returns
    -------
    suffix, content
        ``"png"`` for one page, ``"tif"`` for more, and the file's bytes.
    """
    small = settled.astype(np.uint8)
    if len(small) == 1:
        return "png", png_bytes(small[0])
    return "tif", tiff_bytes(small, axes="ZYX")


def split_settled(examples: Iterable[Example]) -> list[Example]:
    """Give what training learns from: for a noisy example with settled pixels also a clean one.

    The clean example has the labels of the settled pixels, and nothing else is annotated in it; the
    noisy one loses the ignored pixels. What is not annotated has the label
    `napari_noisyseg.annotation.classes.NOT_ANNOTATED`. Nothing is read here: that an image has no
    settled pixel shows when its clean example is read, and has no label at all.

    Parameters
    ----------
    examples
        Any; those without `Example.read_settled` come back as they are.

    Returns
    -------
    list of Example
        The settled parts last.
    """
    result: list[Example] = []
    parts: list[Example] = []
    for example in examples:
        if example.read_settled is None or example.read_label is None or example.role != Role.NOISY:
            result.append(example)
            continue
        reads: tuple[Callable[[], Labels], Callable[[], NDArray[np.uint8]]]
        reads = example.read_label, example.read_settled
        result.append(replace(example, read_label=partial(_noisy_part, *reads), read_settled=None))
        parts.append(
            replace(
                example,
                role=Role.CLEAN,
                read_label=partial(_clean_part, *reads),
                read_settled=None,
                settled_part=True,
            )
        )
    return [*result, *parts]


def _noisy_part(read_label: Callable[[], Labels], read: Callable[[], NDArray[np.uint8]]) -> Labels:
    return np.where(read() == Settled.IGNORED, np.int32(NOT_ANNOTATED), read_label())


def _clean_part(read_label: Callable[[], Labels], read: Callable[[], NDArray[np.uint8]]) -> Labels:
    return np.where(read() == Settled.CLEAN, read_label(), np.int32(NOT_ANNOTATED))
