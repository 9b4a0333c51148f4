"""How far a suspect may be believed, and which to settle first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.quality import ExpectedOverlap, Move, sharpened
from napari_noisyseg.annotation.suspect import Box, Suspect

# Quantile of a region that stands for its core.
_CORE = 0.75
# Sharper, and too much of what is corrected from .95 on is the network's own mistake.
_SHARPNESS = 1.5


def ranked(suspects: Iterable[Suspect], most: int | None = None) -> list[Suspect]:
    """Sort suspects by rank, the highest priority first; equal ones by name, page and place.

    Parameters
    ----------
    suspects
        From any number of images; read once. Memory holds `most` of them.
    most
        Keep so many; None for all.
    """
    if most is None:
        return sorted(suspects, key=_order)
    return heapq.nsmallest(most, suspects, key=_order)


def credibility(
    proposed: NDArray[np.float32], trust: NDArray[np.float32] | None, certainty: float
) -> float:
    """How far the proposal for a region may be believed as a whole, 0 to 1.

    Both witnesses must agree, so the weaker one counts at every pixel; at the region's outline both
    pass through one half by construction, so the upper quartile stands for the region; and a model
    that is unsure of the whole image is not believed in its parts. The product's logit is multiplied
    by 1.5: of proposals from .95 on, 96 to 98 in a hundred were right in trials with noise.

    Parameters
    ----------
    proposed
        (pixels,), the model's probability of the proposed class.
    trust
        (pixels,), in the given labels; None if none was learned.
    certainty
        Expected Dice of the model's own mask of the slice, 0 to 1.
    """
    agreed = proposed if trust is None else np.minimum(proposed, 1 - trust)
    return float(sharpened(certainty * float(np.quantile(agreed, _CORE)), _SHARPNESS))


def rises(overlap: ExpectedOverlap, moves: Sequence[Move]) -> list[float]:
    """By how much the expected Dice of a slice's annotation rises with each of its proposals.

    That of the annotation as it is, or half of that with all other proposals accepted, if it is more.
    The first alone is nothing for the spurious half of an object that is marked in the wrong place:
    where nothing else is marked, all marks are equally bad. The mean of both puts those that are wrong
    a little earlier.

    Parameters
    ----------
    overlap
        Of the annotation as it is.
    moves
        What each proposal changes; no pixel is in two of them.
    """
    best = overlap.moved(*moves)
    first, last = overlap.dice, best.dice
    return [
        max(overlap.moved(move).dice - first, (last - best.moved(move.back).dice) / 2)
        for move in moves
    ]


def priority(rise: float, share: float, credible: float) -> float:
    """Give what suspects are ranked by, 0 to 1: ``credible^3 sqrt(rise share)``.

    A person's time is lost on a proposal that is wrong, so it counts much that it can be believed. The
    rise of the Dice alone would put small objects first, on which models err most; the pixels alone
    would leave them to the end.

    Parameters
    ----------
    rise
        By how much the expected Dice of the slice's annotation rises when the proposal is accepted:
        see `rises`.
    share
        Pixels of the region over those of the slice.
    credible
        `credibility`.
    """
    return credible**3 * math.sqrt(max(rise, 0.0) * share)


def _order(suspect: Suspect) -> tuple[float, str, str, int, Box, int]:
    return (
        -suspect.priority,
        suspect.name,
        suspect.annotator,
        suspect.page,
        suspect.box,
        suspect.given,
    )
