"""One mask out of several annotators': the yardsticks against which learning from them is held."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.errors import UserError

_UNDECIDED = 1e-6
"""How near to 0.5 a chance is no decision: rounding alone would make it."""


def majority(masks: Sequence[Labels], ignore_value: int | None = None) -> Labels:
    """Give every pixel the class that most annotators gave it; of equally many, the lowest value.

    Parameters
    ----------
    masks
        Class values, all of one shape; at least one.
    ignore_value
        Value of pixels that an annotator left out: no vote. It stays where nobody voted.

    Raises
    ------
    UserError
        If the masks differ in size.
    """
    stack = _stacked(masks)
    values = np.unique(stack)
    votes = np.stack([np.count_nonzero(stack == value, axis=0) for value in values])
    votes[values == ignore_value] = 0
    chosen: Labels = values[votes.argmax(0)].astype(np.int32)
    if ignore_value is not None:
        chosen[~votes.any(0)] = ignore_value
    return chosen


def staple(masks: Sequence[Labels], ignore_value: int | None = None) -> Labels:
    """Weigh the annotators by how well they seem to agree with a hidden truth.

    Warfield, Zou and Wells, "Simultaneous truth and performance level estimation (STAPLE)", IEEE
    Transactions on Medical Imaging 2004, as SimpleITK computes it; of more than two classes, the form
    for several labels by Rohlfing, Russakoff and Maurer 2004. Undecided pixels, and those that an
    annotator left out, by majority.

    Parameters
    ----------
    masks
        Class values, all of one shape; at least one.
    ignore_value
        Value of pixels that an annotator left out.

    Raises
    ------
    UserError
        If SimpleITK is not installed, or the masks differ in size.
    """
    require_staple()
    import SimpleITK

    fused = majority(masks, ignore_value)
    stack = _stacked(masks)
    by_all = (stack != ignore_value).all(0)
    given = stack[:, by_all]
    if (given == given[:1]).all():
        return fused
    values, indices = np.unique(given, return_inverse=True)
    # SimpleITK says nothing about its types. Its images have two axes at least.
    library: Any = SimpleITK
    rows = indices.reshape(len(stack), 1, -1).astype(np.uint16)
    images = [library.GetImageFromArray(row) for row in rows]
    if len(values) == 2:
        chance = library.GetArrayFromImage(library.STAPLE(images, 1.0))[0]
        found, decided = chance > 0.5, abs(chance - 0.5) >= _UNDECIDED
    else:
        found = library.GetArrayFromImage(library.MultiLabelSTAPLE(images, len(values)))[0]
        decided = found < len(values)
    likely = values[np.where(decided, found, 0).astype(np.intp)]
    fused[by_all] = np.where(decided, likely, fused[by_all])
    return fused


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
