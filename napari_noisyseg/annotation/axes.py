"""Which axes of a file are pages, channels, rows and columns, decided by its mask or the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

MIN_SIDE = 8
"""Shortest side of an image in pixels; a smaller one is a mistake, not a picture."""

Sizes = tuple[int, int, int, int]
"""Pages, channels, height, width."""


def arranged(pixels: NDArray[Any], layout: str) -> NDArray[Any]:
    """Return a view with the axes (pages, channels, height, width), adding those that are missing.

    Parameters
    ----------
    pixels
        As many axes as `layout` has letters.
    layout
        P, C, Y and X in any order, P and C optional.
    """
    order = [layout.index(axis) for axis in "PCYX" if axis in layout]
    missing = tuple(index for index, axis in enumerate("PCYX") if axis not in layout)
    return np.expand_dims(pixels.transpose(order), missing)


def sizes_of(layout: str, shape: tuple[int, ...]) -> Sizes:
    """Return (pages, channels, height, width) of a shape that is read as `layout`."""
    size = dict(zip(layout, shape, strict=True))
    return size.get("P", 1), size.get("C", 1), size["Y"], size["X"]


def choose_layout(
    path: Path,
    raster: Raster,
    mask_shape: tuple[int, int, int] | None = None,
    channels: int | None = None,
    mask_path: Path | None = None,
) -> str:
    """Return the reading of the axes that fits the image's mask or the model's channels.

    Without either, an axis of two to four is taken for channels, a longer one for pages unless the
    file says otherwise.

    Parameters
    ----------
    path
        The image's file, for messages.
    raster
        What was read from it.
    mask_shape
        (pages, height, width) of the mask.
    channels
        Number of channels expected; it only decides between several readings.
    mask_path
        The mask's file, for messages.

    Raises
    ------
    UserError
        If no reading has the mask's size or sides of `MIN_SIDE` pixels, or several remain.
    """
    shape = raster.pixels.shape
    readings = {layout: sizes_of(layout, shape) for layout in raster.layouts}
    fitting = {layout: sizes for layout, sizes in readings.items() if min(sizes[2:]) >= MIN_SIDE}
    if not fitting:
        raise too_small(path, readings[raster.layouts[0]])
    if mask_shape is not None:
        turned = ", turned as its EXIF note says" if raster.turned else ""
        size = f"{_pictured(next(iter(fitting.values())))} (width x height{turned})"
        if len(fitting) > 1:
            size = _stated(shape)
        fitting = {name: n for name, n in fitting.items() if (n[0], *n[2:]) == mask_shape}
        if not fitting:
            mask = "its mask" if mask_path is None else f"its mask {_brief(mask_path)}"
            pages, height, width = mask_shape
            raise UserError(
                f"{_brief(path)} {size} but {mask} {_pictured((pages, 1, height, width))}: an "
                "image and its mask must have the same size."
            )
    if channels is not None and len(fitting) > 1:
        expected = {name: sizes for name, sizes in fitting.items() if sizes[1] == channels}
        if not expected and mask_shape is None:
            raise UserError(
                f"{shown(path)} {_stated(shape)}, which does not fit a model of {channels} "
                "channels: give images like those that it was trained on."
            )
        fitting = expected or fitting
    elif mask_shape is None:
        fitting = _likeliest(fitting)
    if "CYX" in fitting and "YXC" in fitting:
        raise UserError(
            f"{shown(path)} {_stated(shape)}, of which the first or the last axis may be the "
            "channels: save it as TIFF with one page per channel."
        )
    return next(iter(fitting))


def too_small(path: Path, sizes: Sizes) -> UserError:
    """Return the refusal of a picture with sides of a few pixels."""
    return UserError(
        f"{shown(path)} {_pictured(sizes)}, too few to learn from: each side needs at least "
        f"{MIN_SIDE}; replace or remove it."
    )


def _likeliest(readings: dict[str, Sizes]) -> dict[str, Sizes]:
    few = [layout for layout, sizes in readings.items() if 1 < sizes[1] <= 4]
    chosen = few[0] if few else next(iter(readings))
    return {chosen: readings[chosen]}


def _brief(path: Path) -> str:
    """Return the last folder and the name, for sentences that name two files."""
    return shown("/".join(path.parts[-2:]))


def _pictured(sizes: Sizes) -> str:
    pages, _, height, width = sizes
    size = f"{width} x {height} pixels"
    return f"is {size}" if pages == 1 else f"has {pages} pages of {size}"


def _stated(shape: tuple[int, ...]) -> str:
    return f"has the shape ({', '.join(map(str, shape))})"
