"""One region of an annotation that the training contradicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Top, left, bottom, right in pixels; bottom and right are just outside."""


class Kind(StrEnum):
    """What is wrong with the annotation in a region; the value is how to say it."""

    MISSING = "missing object"
    """Nothing is marked, where the model sees an object of its own."""
    TOO_SMALL = "too small at an edge"
    """A marked object goes on beyond its outline."""
    TOO_LARGE = "too large at an edge"
    """A marked object ends before its outline."""
    WRONG_CLASS = "wrong class"
    """An object is marked as another class than it is."""
    SPURIOUS = "spurious object"
    """An object is marked where the model sees none."""


@dataclass(frozen=True)
class Suspect:
    """A region of an annotation that is contradicted.

    Attributes
    ----------
    name, annotator
        The image or layer, and who annotated it; the annotator may be empty.
    page
        Slice of a stack, from 0.
    box
        Top, left, bottom, right in pixels; bottom and right are just outside.
    area
        Pixels.
    world_area
        Area in square `unit`.
    unit
        Unit of length of `world_area`; ``"px"`` where the spacing is not known.
    kind
        What is wrong.
    given, proposed
        Class indices: as annotated, and as proposed; 0 is background.
    trust
        Mean trust in the given labels, 0 to 1; NaN if none was learned.
    confidence
        Mean probability that the model gives the proposed class, 0 to 1.
    doubt
        Mean probability that the given label is wrong, 0 to 1, by trust and model together.
    credibility
        How far the proposal may be believed as a whole, 0 to 1: see `ranking.credibility`.
    gain
        By how much the expected Dice of the slice's annotation rises when the proposal is accepted
        (see `ranking.rises`), times `credibility`.
    priority
        What suspects are ranked by: see `ranking.priority`.
    packed
        The region within its box, rows of bits (`numpy.packbits`); see `mask`.
    """

    name: str
    annotator: str
    page: int
    box: Box
    area: int
    world_area: float
    unit: str
    kind: Kind
    given: int
    proposed: int
    trust: float
    confidence: float
    doubt: float
    credibility: float
    gain: float
    priority: float
    packed: bytes = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the box."""
        top, left, bottom, right = self.box
        return bottom - top, right - left

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as an index into a slice's array."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The region within its box, (height, width) bool; a new array."""
        height, width = self.shape
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=height * width)
        return bits.reshape(height, width).astype(bool)

    def overlap(self, other: Suspect) -> float:
        """Return how far two suspects are the same region, 0 to 1 (Jaccard index).

        0 for those of different images, slices, annotators or classes; what a list that follows a
        training needs to keep its place.
        """
        if self._place != other._place:
            return 0.0
        top, left = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        bottom, right = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        if bottom <= top or right <= left:
            return 0.0
        parts = [
            one.mask[top - one.box[0] : bottom - one.box[0], left - one.box[1] : right - one.box[1]]
            for one in (self, other)
        ]
        common = int((parts[0] & parts[1]).sum())
        return common / (self.area + other.area - common)

    @property
    def _place(self) -> tuple[str, str, int, int, int]:
        return self.name, self.annotator, self.page, self.given, self.proposed
