"""Examples from arrays, for notebooks and the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError

Arrays = Sequence[ArrayLike] | NDArray[Any]
"""Arrays one by one, or one array with the pictures along its first axis."""


def examples_from_arrays(images: Arrays, masks: Arrays, role: Role) -> list[Example]:
    """Make examples of images and masks.

    Parameters
    ----------
    images
        Each (H, W), (H, W, channels) or (channels, H, W), any real dtype; or all in one array.
    masks
        Each (H, W), bool or whole numbers.
    role
        The role of all of them.

    Raises
    ------
    UserError
        If numbers or sizes differ, or masks are no whole numbers.
    """
    if len(images) != len(masks):
        raise UserError(
            f"{len(images)} {role} images but {len(masks)} {role} masks: give one mask per image"
        )
    return [
        _example(image, mask, role, number)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]


def as_pixels(
    array: ArrayLike, where: str, *, spatial: tuple[int, ...] = (), channels: int | None = None
) -> Pixels:
    """Arrange one picture as (1, channels, height, width).

    The channel axis is the one that the mask's shape `spatial` leaves over, or, without a mask, the
    one as long as `channels`.
    """
    pixels = np.asarray(array)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    if not (np.issubdtype(pixels.dtype, np.number) and np.isrealobj(pixels)):
        raise UserError(f"{where} holds {pixels.dtype}, not numbers: give an array of real numbers")
    if pixels.ndim == 2 and spatial in ((), pixels.shape):
        return pixels[None, None]
    if pixels.ndim == 3:
        last = pixels.shape[:2] == spatial if spatial else pixels.shape[2] == channels
        first = pixels.shape[1:] == spatial if spatial else pixels.shape[0] == channels
        if last:
            return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))[None]
        if first:
            return pixels[None]
    wanted = f"a mask of shape {spatial}" if spatial else f"a model of {channels} channel(s)"
    raise UserError(
        f"{where} of shape {pixels.shape} does not fit {wanted}: give (H, W), (H, W, channels) or "
        f"(channels, H, W)"
    )


def as_labels(array: ArrayLike, where: str) -> Labels:
    """Arrange one mask (H, W), bool or whole numbers, as (1, height, width) int32."""
    mask = np.asarray(array)
    if mask.ndim != 2:
        raise UserError(f"{where} has shape {mask.shape}: give a mask of shape (H, W)")
    if mask.dtype.kind not in "biu" and not (
        mask.dtype.kind == "f" and np.array_equal(mask, np.round(mask))
    ):
        raise UserError(f"{where} holds {mask.dtype} values: give bool or whole numbers")
    return mask.astype(np.int32)[None]


def _example(image: ArrayLike, mask: ArrayLike, role: Role, number: int) -> Example:
    where, mask_where = f"{role} image {number}", f"{role} mask {number}"
    labels = as_labels(mask, mask_where)
    pixels = as_pixels(image, where, spatial=labels.shape[1:])
    return Example(
        name=f"{role}_{number:04d}",
        role=role,
        read_image=lambda: pixels,
        read_label=lambda: labels,
        origin=where,
        label_origin=mask_where,
    )
