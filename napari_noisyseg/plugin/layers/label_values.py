"""The labels that training sees: one value for what is not annotated, the classes as painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import LARGEST_VALUE
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.marks import Zero, picture_sizes
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.layers.slice_uses import Use, by_combination

Used = Sequence[tuple[list[Pairing], list[Use]]]


@dataclass(frozen=True)
class Values:
    """How the labels of the layers become those that training sees.

    Attributes
    ----------
    ignore
        Label of pixels that are not annotated; None: there are none.
    dtype
        Smallest dtype that holds all labels.
    background
        A label that stands for the background in layers where 0 means not annotated, if these are
        mixed with layers where 0 is the background.
    """

    ignore: int | None
    dtype: np.dtype[Any]
    background: int | None = None

    def translate(self, labels: NDArray[Any], zero: Zero) -> NDArray[Any]:
        """Return a copy of a layer's labels as training sees them.

        Parameters
        ----------
        labels
            The labels.
        zero
            What 0 means among them.
        """
        copy = labels.astype(self.dtype)
        if zero == "unannotated" and self.ignore is not None:
            copy[labels == 0] = self.ignore
            if self.background is not None:
                copy[labels == self.background] = 0
        return copy

    def classes(self, values: frozenset[int], pairing: Pairing) -> frozenset[int]:
        """Return the classes among the labels of a layer."""
        if pairing.mark.zero == "background":
            return values
        return frozenset(0 if value == self.background else value for value in values - {0})

    def blank(self, size: tuple[int, int]) -> NDArray[Any]:
        """Return a slice on which nothing is annotated."""
        return np.full(size, 0 if self.ignore is None else self.ignore, self.dtype)


def choose_values(used: Used, contents: Contents, dimensions: int = 2) -> Values:
    """Choose the label of what is not annotated among those that nobody painted with."""
    by_zero: dict[str, set[int]] = {"background": set(), "unannotated": set()}
    for pairing, values in painted_values(used, contents):
        by_zero[pairing.mark.zero] |= values
    everything = by_zero["background"] | by_zero["unannotated"]
    largest, smallest = max(everything, default=0), min(everything, default=0)
    small = [v for v in range(255, 0, -1) if v not in everything]
    ignore = small[0] if small and largest < 256 else LARGEST_VALUE
    while ignore in everything and ignore > 0:
        ignore -= 1
    dtype = np.uint8 if max(ignore, largest) < 256 else np.uint16
    strange = by_zero["unannotated"] - by_zero["background"] - {0}
    background = None
    if by_zero["background"] and len(strange) == 1:
        background = strange.pop()
    return Values(
        ignore if _has_gaps(used, by_zero, dimensions) else None,
        np.dtype(dtype if smallest >= 0 and largest <= LARGEST_VALUE else np.int32),
        background,
    )


def painted_values(used: Used, contents: Contents) -> set[tuple[Pairing, frozenset[int]]]:
    """Return each annotation that counts, with the sets of labels on its slices."""
    return {
        (pairing, values)
        for _, slices in used
        for use, indices in by_combination(slices)
        for layers in (use.clean, use.noisy, use.test)
        for pairing in layers
        for values in contents.values(pairing, indices)
    }


def _has_gaps(used: Used, by_zero: dict[str, set[int]], dimensions: int) -> bool:
    """Whether any pixel may be without annotation.

    A layer says so, a volume has other slices, or pictures of several sizes are padded.
    """
    return (
        bool(by_zero["unannotated"])
        or any(bool(slices) and is_padded(group[0]) for group, slices in used)
        or (
            dimensions == 3 and any(bool(group[0].fit.leading and slices) for group, slices in used)
        )
    )


def is_padded(pairing: Pairing) -> bool:
    """Whether pictures of several sizes lie in the slices of the image."""
    return bool(picture_sizes(pairing.image))
