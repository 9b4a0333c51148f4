"""From class values, as people write them into masks, to class indices, and what cannot be one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

IGNORED = -1
"""Class index of pixels that are not annotated."""

NOT_ANNOTATED = -1_999_999_937
"""Label of pixels that are not annotated, whatever value a data set has for such; in no file."""

MOST_CLASSES = 256
"""Most classes of one data set."""
LARGEST_VALUE = 65535
"""Largest value of a class: the largest that a mask in PNG can hold."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes
    ----------
    values
        The value of each class in masks, in the order of the class indices; background first.
    binary
        Whether masks of 0 and 1 and masks of 0 and 255 mean the same.
    ignore_value
        Mask value of pixels that are not annotated, if there is one.
    """

    values: tuple[int, ...]
    binary: bool = False
    ignore_value: int | None = None

    @classmethod
    def of(cls, found: Iterable[frozenset[int]], ignore_value: int | None = None) -> Classes:
        """Give the classes of masks that hold the values `found`, mask by mask."""
        sets = list(found)
        union = frozenset[int]().union(*sets)
        if all(two_valued(values) for values in sets):
            return cls((0, 255 if 255 in union else 1), True, ignore_value)
        return cls(tuple(sorted(union)), False, ignore_value)

    @property
    def mask_values(self) -> tuple[int, ...]:
        """Value of each class in masks that we write: the annotations' own, or 0 and 255."""
        return (0, 255) if self.binary else self.values

    def check(self, present: frozenset[int], where: str, source: str = "the clean masks") -> None:
        """Refuse a mask whose values are not those of the classes; the sentence names it."""
        if two_valued(present) if self.binary else present <= set(self.values):
            return
        known = {0, 1, 255} if self.binary else set(self.values)
        strange = sorted(present - known) or sorted(present)
        flag = "--set ignore_value=" if source == "the clean masks" else "--ignore-value "
        listed = ", ".join(map(str, self.values[:8])) + ", ..." * (len(self.values) > 8)
        words = "0 and 1 or 255" if self.binary else listed
        raise UserError(
            f"mask '{shown(where)}' has values ({', '.join(map(str, strange[:5]))}) that {source} "
            f"do not have ({words}): correct it, or say {flag}{strange[-1]} if that marks pixels "
            f"that are not annotated"
        )

    def indices(
        self, labels: Labels, where: str, source: str = "the clean masks"
    ) -> NDArray[np.int16]:
        """Turn class values into class indices, same shape, `IGNORED` = -1 where not annotated."""
        self.check(
            present_values(labels, where) - {self.ignore_value, NOT_ANNOTATED}, where, source
        )
        if self.binary:
            indices: NDArray[np.int16] = (labels != 0).astype(np.int16)
        else:
            indices = np.searchsorted(np.asarray(self.values), labels).astype(np.int16)
        indices[labels == NOT_ANNOTATED] = IGNORED
        if self.ignore_value is not None:
            indices[labels == self.ignore_value] = IGNORED
        return indices


def two_valued(values: frozenset[int]) -> bool:
    """Whether a mask's values are 0 and 1, or 0 and 255."""
    return values <= {0, 1} or values <= {0, 255}


def present_values(labels: NDArray[Any], where: str) -> frozenset[int]:
    """Distinct values of a mask; a `UserError` where there are too many for classes."""
    present = frozenset(int(value) for value in np.unique(labels))
    if len(present - {NOT_ANNOTATED}) > MOST_CLASSES + 1:
        raise UserError(
            f"mask '{shown(where)}' has {len(present)} different values: a mask holds one small whole "
            f"number per class; is it an image?"
        )
    return present
