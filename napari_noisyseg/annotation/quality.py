"""How good an annotation is, told without the truth, and which image to annotate next.

The measure is the *expected Dice*: the Dice between a mask and an unknown true mask of which only each
pixel's class probability is known. For class c, mask M and probability q,

    Dice_c = 2 sum_{k in M} q_kc / (|M| + sum_k q_kc),

the ratio of the expectations (Dice is a ratio; its own expectation has no closed form, and the
difference vanishes with the number of pixels). A mask without the class is right if there is no object
of it: the chance of that is taken from its likeliest pixels, not from the sum over a large background,
where any network leaves a little everywhere.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.contradiction import Contradiction

# So many of the likeliest pixels tell whether there is an object at all.
_SMALLEST_OBJECT = 16


class Move(NamedTuple):
    """Pixels of a mask that go from one class to another.

    Attributes
    ----------
    start, end
        The classes' indices.
    pixels
        How many move.
    left, gained
        Expected number of them that are truly of class `start`, and of class `end`.
    """

    start: int
    end: int
    pixels: int
    left: float
    gained: float

    @property
    def back(self) -> Move:
        """The move that undoes it."""
        return Move(self.end, self.start, self.pixels, self.gained, self.left)


@dataclass(frozen=True)
class ExpectedOverlap:
    """Sums of a mask and the class probabilities, from which expected Dice follow.

    Sums of slices add up to those of their image.

    Attributes
    ----------
    inside
        (classes,) float64: expected number of pixels of each class within the mask's own.
    marked
        (classes,) float64: pixels that the mask gives to each class.
    expected
        (classes,) float64: expected number of pixels of each class.
    present
        (classes,) float64, 0 to 1: probability that there is an object of each class.
    """

    inside: NDArray[np.float64]
    marked: NDArray[np.float64]
    expected: NDArray[np.float64]
    present: NDArray[np.float64]

    def __add__(self, other: ExpectedOverlap) -> ExpectedOverlap:
        return ExpectedOverlap(
            self.inside + other.inside,
            self.marked + other.marked,
            self.expected + other.expected,
            np.maximum(self.present, other.present),
        )

    @cached_property
    def dice(self) -> float:
        """Mean expected Dice of the objects' classes, 0 to 1; NaN for a mask of no pixel.

        Classes that are neither marked nor likely are left out; where none is left, it is the
        probability that there is no object at all.
        """
        if not self.pixels:
            return math.nan
        inside, marked, present = self.inside[1:], self.marked[1:], self.present[1:]
        there = (marked > 0) | (present >= 0.5)
        if not there.any():
            return float(1 - present.max(initial=0.0))
        total = np.maximum(marked + self.expected[1:], 1e-9)
        each = np.where(marked > 0, 2 * inside / total, 1 - present)
        return float(np.mean(each[there]))

    @property
    def pixels(self) -> int:
        """Number of pixels to which the mask gives a class."""
        return int(self.marked.sum())

    def moved(self, *moves: Move) -> ExpectedOverlap:
        """Return the overlap after pixels go from one class to another."""
        inside, marked = self.inside.copy(), self.marked.copy()
        for start, end, pixels, left, gained in moves:
            inside[start] -= left
            inside[end] += gained
            marked[start] -= pixels
            marked[end] += pixels
        return ExpectedOverlap(inside, marked, self.expected, self.present)


@dataclass(frozen=True)
class Quality:
    """How good an annotation of one image is thought to be, and how much is known of the image.

    Attributes
    ----------
    name
        The image's name.
    annotator
        Who annotated it; empty where the data name none.
    annotation
        Overlap of the annotation with what is believed to be true.
    model
        Overlap of the model's own mask with the model's probabilities.
    settled
        Share of the annotation's pixels that a person has settled, 0 to 1.
    """

    name: str
    annotator: str
    annotation: ExpectedOverlap
    model: ExpectedOverlap
    settled: float = 0.0

    @property
    def expected_dice(self) -> float:
        """Expected Dice of the annotation, 0 to 1; NaN where nothing is annotated."""
        return self.annotation.dice

    @property
    def certainty(self) -> float:
        """Expected Dice of the model's own mask, 0 to 1: how sure the model is of this image.

        NaN where it says nothing.
        """
        return self.model.dice

    @property
    def teaches(self) -> float:
        """How much a clean mask of the image should teach, 0 to 1.

        The geometric mean of two lacks: of the annotation (1 - `expected_dice`) and of the model
        (1 - `certainty`). Either alone misleads. An annotation that is wrong where the model is sure
        can be corrected by accepting the suspects, and the model learns nothing from it; where the
        model is unsure but nothing contradicts the annotation, training has the label already. Only
        where both fail does a person know what neither data nor model do. The model's uncertainty
        also stands for novelty: images unlike the clean ones are those that it is unsure of. What is
        not annotated at all, or not judged by the model, lacks all.
        """
        return math.sqrt(_lack(self.expected_dice) * _lack(self.certainty))


@dataclass(frozen=True)
class AnnotatorQuality:
    """What an annotator's masks are worth together.

    Attributes
    ----------
    annotator
        Who; empty where the data name none.
    images
        Number of annotations in which something is annotated.
    expected_dice
        Mean expected Dice over them, 0 to 1.
    worst
        The lowest of them.
    """

    annotator: str
    images: int
    expected_dice: float
    worst: float


def expected_overlap(
    found: Contradiction, chances: NDArray[np.float32]
) -> tuple[ExpectedOverlap, ExpectedOverlap]:
    """Overlap of the annotation of a slice with what is believed, and of the model's mask.

    Parameters
    ----------
    found
        What speaks against the labels.
    chances
        (1 or classes, height, width), the model's probabilities, 0 to 1, nan where not known.

    Returns
    -------
    annotation, model
        The annotation's is of the annotated pixels, the settled ones right; the model's of all whose
        probabilities are known.
    """
    annotated = found.given >= 0
    known = np.logical_and.reduce(np.isfinite(chances), axis=0)
    if not known.all():
        chances = np.where(known, chances, np.float32(0.5))
    wrong = sharpened(found.error)
    if len(chances) == 1:
        marked = found.given == 1
        return (
            _two_classes(marked, np.where(marked, 1 - wrong, wrong), annotated),
            _two_classes(chances[0] >= 0.5, sharpened(chances[0]), known),
        )
    own = np.zeros(found.given.shape, np.int16)
    highest = chances[0]
    for index, chance in enumerate(chances[1:], start=1):
        own = np.where(chance > highest, np.int16(index), own)
        highest = np.maximum(highest, chance)
    return (
        _overlap(found.given, _belief(found, wrong, chances), annotated),
        _overlap(own, map(sharpened, chances), known),
    )


def _lack(dice: float) -> float:
    return 1.0 if math.isnan(dice) else 1 - dice


def sharpened(chance: Any, power: float = 2) -> Any:
    """Return p^n / (p^n + (1 - p)^n), which multiplies the logit by n.

    Networks that are averaged over few steps are under-confident: a chance of one or two percent on
    every pixel of a large background would count as much as an object.
    """
    high = chance**power
    return high / (high + (1 - chance) ** power)


def _belief(
    found: Contradiction, wrong: NDArray[np.float32], chances: NDArray[np.float32]
) -> Iterator[NDArray[np.float32]]:
    """Probability of every class: what the label leaves goes to the others as the model has them."""
    right = np.zeros(found.given.shape, np.float32)
    for index, chance in enumerate(chances):
        right += chance * (found.given == index)
    share = wrong / np.maximum(1 - right, np.float32(1e-6))
    for index, chance in enumerate(chances):
        yield np.where(found.given == index, 1 - wrong, chance * share)


def _overlap(
    labels: NDArray[Any], belief: Iterable[NDArray[np.float32]], where: NDArray[np.bool_]
) -> ExpectedOverlap:
    """Sum up several classes; a settled or sure pixel has the belief 1."""
    sums = []
    everywhere = where.all()
    for index, chance in enumerate(belief):
        own = (labels == index) & where
        believed = chance if everywhere else chance * where
        inside = believed[own].sum(dtype=np.float64)
        sums.append((inside, own.sum(), believed.sum(dtype=np.float64), _presence(believed)))
    return ExpectedOverlap(*np.array(sums, np.float64).T)


def _two_classes(
    mask: NDArray[np.bool_], belief: NDArray[np.float32], where: NDArray[np.bool_]
) -> ExpectedOverlap:
    """Sum up an object and its background, where `belief` is the object's probability."""
    if not where.all():
        mask, belief = mask & where, belief * where
    total, marked = int(where.sum()), int(mask.sum())
    inside = float(belief[mask].sum(dtype=np.float64))
    expected = float(belief.sum(dtype=np.float64))
    background = (total - marked) - (expected - inside)
    return ExpectedOverlap(
        np.array([background, inside]),
        np.array([total - marked, marked], np.float64),
        np.array([total - expected, expected]),
        np.array([1.0, _presence(belief)]),
    )


def _presence(belief: NDArray[np.float32]) -> float:
    """Mean of the likeliest pixels, as many as the smallest object has; 0 without any pixel."""
    most = min(_SMALLEST_OBJECT, belief.size)
    if not most:
        return 0.0
    highest = belief.max(axis=1)
    if len(highest) > most:  # the likeliest pixels are in the rows with the highest maxima
        belief = belief[np.argpartition(highest, -most)[-most:]]
    return float(np.partition(belief.ravel(), -most)[-most:].mean())


def worst_first(qualities: Iterable[Quality]) -> list[Quality]:
    """Sort by expected Dice, those without one last; equal ones by name and annotator."""
    return sorted(qualities, key=lambda q: (_or_last(q.expected_dice), q.name, q.annotator))


def _or_last(dice: float) -> float:
    return math.inf if math.isnan(dice) else dice


def mean_dice(qualities: Iterable[Quality]) -> float:
    """Return the mean expected Dice of those that have one; NaN if none has."""
    found = [q.expected_dice for q in qualities if not math.isnan(q.expected_dice)]
    return float(np.mean(found)) if found else math.nan


def by_annotator(qualities: Iterable[Quality]) -> list[AnnotatorQuality]:
    """Sum up qualities by annotator, the least trusted first; who annotated nothing is left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for quality in qualities:
        if not math.isnan(quality.expected_dice):
            found[quality.annotator].append(quality.expected_dice)
    rows = [AnnotatorQuality(a, len(d), float(np.mean(d)), min(d)) for a, d in found.items()]
    return sorted(rows, key=lambda row: (row.expected_dice, row.annotator))


def propose_next(qualities: Iterable[Quality], count: int = 1) -> Sequence[str]:
    """Name the images whose clean masks should teach most, the best first.

    An image with several annotations counts by the one that lacks most; see `Quality.teaches`.
    """
    best: dict[str, float] = defaultdict(float)
    for quality in qualities:
        best[quality.name] = max(best[quality.name], quality.teaches)
    return heapq.nsmallest(count, best, key=lambda name: (-best[name], name))
