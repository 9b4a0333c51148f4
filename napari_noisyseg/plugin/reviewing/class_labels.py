"""From the labels of a layer to classes as training counts them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import IGNORED
from napari_noisyseg.plugin.layers.label_values import Values
from napari_noisyseg.plugin.layers.marks import Zero


@dataclass(frozen=True)
class ClassLabels:
    """The classes in one annotation layer.

    Attributes
    ----------
    classes
        The label of each class as training sees it, in order.
    labels
        The label of each class in this layer; None: the layer has none that could be written.
    zero
        What 0 means in the layer.
    values
        How training sees the layer's labels.
    """

    classes: tuple[int, ...]
    labels: tuple[int | None, ...]
    zero: Zero
    values: Values

    @classmethod
    def of(
        cls, classes: Sequence[int], zero: Zero, values: Values, present: frozenset[int]
    ) -> ClassLabels:
        """Find out how a layer writes the classes.

        Parameters
        ----------
        classes
            The labels that training sees; of two classes the background first.
        zero, values
            As in `ClassLabels`.
        present
            The labels that the layer holds.
        """
        known = tuple(classes) if len(classes) > 1 else (0, max([*classes, 1]))
        labels: list[int | None] = list(known)
        if zero == "unannotated":
            labels = [values.background if one == 0 else one for one in known]
        elif len(known) == 2 and known[1] not in present and (own := present - {0}):
            labels[1] = max(own)  # masks of 0 and 1 and masks of 0 and 255 mean the same
        return cls(known, tuple(labels), zero, values)

    def indices(self, labels: NDArray[Any]) -> NDArray[np.int16]:
        """Return the class index of each pixel, -1 where it is not annotated or of no class."""
        seen = self.values.translate(labels, self.zero)
        if len(self.classes) == 2:
            indices = (seen != self.classes[0]).astype(np.int16)
        else:
            table = np.asarray(self.classes)
            indices = np.searchsorted(table, seen).astype(np.int16)
            indices[table[np.minimum(indices, len(table) - 1)] != seen] = IGNORED
        if self.values.ignore is not None:
            indices[seen == self.values.ignore] = IGNORED
        return indices
