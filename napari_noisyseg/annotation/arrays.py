"""Examples from arrays, for notebooks and the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noisyseg.annotation.axes import MIN_SIDE
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.mask_values import whole_values
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError

Arrays = Sequence[ArrayLike] | NDArray[Any]
"""Arrays one by one, one array with the pictures along its first axis, or one picture alone."""


def examples_from_arrays(images: Arrays, masks: Arrays, role: Role) -> list[Example]:
    """Make examples of images and masks.

    Parameters
    ----------
    images
        Each in the size of its mask, with channels first, last or none; any real dtype.
    masks
        Each (H, W), or (D, H, W) for a stack; bool or whole numbers.
    role
        The role of all of them.

    Raises
    ------
    UserError
        If numbers or sizes differ, sides are shorter than `MIN_SIDE`, or masks are no whole numbers.
    """
    images, masks = one_by_one(images, masks, f"{role} images", f"{role} masks")
    if len(images) != len(masks):
        raise UserError(
            f"{len(images)} {role} images but {len(masks)} {role} masks: give one mask per image"
        )
    return [
        _example(image, mask, role, number)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]


def one_by_one(first: Any, masks: Any, what: str, masks_what: str) -> tuple[Any, Any]:
    """Return images or predictions, and their masks, as two sequences.

    A mask (H, W) that is an array of its own makes both a single one.

    Raises
    ------
    UserError
        If one of them cannot be counted; `what` and `masks_what` name them.
    """
    if getattr(masks, "ndim", 0) == 2 and getattr(first, "ndim", 0) in (2, 3):
        return [first], [masks]
    for given, name in ((first, what), (masks, masks_what)):
        if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
            raise UserError(
                f"the {name} are {type(given).__name__}: give arrays, or a list of them"
            )
    return first, masks


def as_pixels(
    array: ArrayLike, where: str, *, spatial: tuple[int, ...] = (), channels: int | None = None
) -> Pixels:
    """Arrange one picture as (pages, channels, height, width).

    The channel axis is the one that the mask's shape `spatial` leaves over, or, without a mask, the
    one as long as `channels`; then there is one page.
    """
    pixels = np.asarray(array)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    if not (np.issubdtype(pixels.dtype, np.number) and np.isrealobj(pixels)):
        raise UserError(f"{where} holds {pixels.dtype}, not numbers: give an array of real numbers")
    axes = len(spatial) or 2
    if pixels.ndim == axes and spatial in ((), pixels.shape):
        return _paged(pixels[None])
    if pixels.ndim == axes + 1:
        last = pixels.shape[:-1] == spatial if spatial else pixels.shape[-1] == channels
        first = pixels.shape[1:] == spatial if spatial else pixels.shape[0] == channels
        if last:
            return _paged(np.moveaxis(pixels, -1, 0))
        if first:
            return _paged(pixels)
    wanted = f"a mask of shape {spatial}" if spatial else f"a model of {channels} channel(s)"
    size = "D, H, W" if axes == 3 else "H, W"
    raise UserError(
        f"{where} of shape {pixels.shape} does not fit {wanted}: give ({size}), ({size}, channels) "
        f"or (channels, {size})"
    )


def _paged(pixels: NDArray[Any]) -> Pixels:
    """Put the pages of (channels, [pages,] height, width) in front."""
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 3 else pixels.swapaxes(0, 1))


def as_labels(array: ArrayLike, where: str) -> Labels:
    """Arrange one mask (H, W) or (D, H, W), bool or whole numbers, as (pages, height, width) int32.

    Raises
    ------
    UserError
        If it has another shape, or values that are no whole numbers of at most 32 bits.
    """
    mask = np.asarray(array)
    if mask.ndim not in (2, 3) or (mask.ndim == 3 and mask.shape[-1] == 1):
        raise UserError(
            f"{where} has shape {mask.shape}: give a mask of shape (H, W), or (D, H, W) for a stack"
        )
    if mask.dtype.kind not in "biuf":
        raise UserError(f"{where} holds {mask.dtype} values: give bool or whole numbers")
    return whole_values(mask, where).reshape(-1, *mask.shape[-2:])


def _example(image: ArrayLike, mask: ArrayLike, role: Role, number: int) -> Example:
    where, mask_where = f"{role} image {number}", f"{role} mask {number}"
    labels = as_labels(mask, mask_where)
    if min(labels.shape[1:]) < MIN_SIDE:
        raise UserError(
            f"{mask_where} has shape {np.shape(mask)}, too small to learn from: each side needs at "
            f"least {MIN_SIDE} pixels"
        )
    pixels = as_pixels(image, where, spatial=np.shape(mask))
    return Example(
        name=f"{role}_{number:04d}",
        role=role,
        read_image=lambda: pixels,
        read_label=lambda: labels,
        origin=where,
        label_origin=mask_where,
    )
