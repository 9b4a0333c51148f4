"""One mask out of several annotators': the yardsticks against which learning from them is held."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.errors import UserError


def majority(masks: Sequence[Labels]) -> Labels:
    """Give every pixel the class that most annotators gave it; of equally many, the lowest value.

    Parameters
    ----------
    masks
        Class values, all of one shape; at least one.
    """
    stack = _stacked(masks)
    values = np.unique(stack)
    votes = np.stack([np.count_nonzero(stack == value, axis=0) for value in values])
    chosen: Labels = values[votes.argmax(0)].astype(np.int32)
    return chosen


def staple(masks: Sequence[Labels]) -> Labels:
    """Weigh the annotators by how well they seem to agree with a hidden truth.

    Warfield, Zou and Wells, "Simultaneous truth and performance level estimation (STAPLE)", IEEE
    Transactions on Medical Imaging 2004, as SimpleITK computes it; of more than two classes, the form
    for several labels by Rohlfing, Russakoff and Maurer 2004, undecided pixels by majority.

    Parameters
    ----------
    masks
        Class values, all of one shape; at least one.

    Raises
    ------
    UserError
        If SimpleITK is not installed.
    """
    require_staple()
    import SimpleITK

    stack = _stacked(masks)
    values, indices = np.unique(stack, return_inverse=True)
    indices = indices.reshape(stack.shape).astype(np.uint16)
    if len(values) == 1 or (indices == indices[0]).all():
        agreed: Labels = stack[0]
        return agreed
    # SimpleITK says nothing about its types.
    library: Any = SimpleITK
    images = [library.GetImageFromArray(index) for index in indices]
    if len(values) == 2:
        chance = library.GetArrayFromImage(library.STAPLE(images, 1.0))
        likely: Labels = values[(chance >= 0.5).astype(np.intp)].astype(np.int32)
        return likely
    undecided = len(values)
    found = library.GetArrayFromImage(library.MultiLabelSTAPLE(images, undecided))
    decided = values[np.minimum(found, undecided - 1).astype(np.intp)].astype(np.int32)
    return np.where(found == undecided, majority(masks), decided)


def has_staple() -> bool:
    """Whether SimpleITK is installed."""
    return find_spec("SimpleITK") is not None


def require_staple() -> None:
    """Raise `UserError` if SimpleITK is not installed."""
    if not has_staple():
        raise UserError(
            "STAPLE is computed by SimpleITK, which is not installed: pip install "
            "'napari-noisyseg[staple]', or leave staple out of --methods"
        )


def _stacked(masks: Sequence[Labels]) -> Labels:
    if len({mask.shape for mask in masks}) != 1:
        raise UserError(
            "the annotators' masks of one image differ in size: give all its image's size"
        )
    return np.stack(masks)
