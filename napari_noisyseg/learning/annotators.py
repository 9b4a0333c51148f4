"""Which annotators err alike: these share a noise model, others have one each.

A careless worker's outlines say nothing of a careful one's. But a noise model needs many images, and
most annotators draw few. So annotators are put together as long as nothing tells them apart: every
mask is held against what the teachers say of its image, and the two groups whose masks do that most
alike are joined, until all that are left differ by more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from napari_noisyseg.learning.noise_model import Floats, Mask

FEWEST = 5
"""Marked images that an annotator must have to be told from others; those with fewer are one group."""
CHANCE = 0.01
"""Probability of so large a difference by chance, anywhere among them, below which annotators are told
apart."""

Measures = NDArray[np.float64]


def agreement(chance: Floats, mask: Mask, annotated: Mask) -> tuple[float, float]:
    """Hold a noisy mask against a teacher's probabilities of its image.

    Parameters
    ----------
    chance
        (*grid), 0 to 1.
    mask, annotated
        The noisy mask, and where it says anything, each (*grid).

    Returns
    -------
    tuple of float
        Their soft Dice, and the logarithm of found over marked pixels: whether it is right, and on which
        side it errs. Both nan where nothing is marked.
    """
    marked = float(np.count_nonzero(mask & annotated))
    if not marked:
        return np.nan, np.nan
    found = float(chance[annotated].sum())
    shared = float(chance[mask & annotated].sum())
    return 2 * shared / (found + marked), float(np.log(max(found, 1.0) / marked))


def alike(
    origins: Sequence[tuple[str, str]], measures: Sequence[tuple[float, float]]
) -> list[list[int]]:
    """Put the images of annotators together who err alike.

    Parameters
    ----------
    origins
        Annotator and picture of each image. The pages of a picture tell as much as one image; those of
        the only picture count each.
    measures
        Of each image, see `agreement`.

    Returns
    -------
    list of list of int
        The images of each group, in rising order; the groups by their first image. Two groups differ if
        either measure does by a two-sided rank test (Mann and Whitney 1947) at the level `CHANCE`, with
        Bonferroni's correction for the two and for the pairs of annotators.
    """
    own: dict[str, list[int]] = {}
    for image, (name, _) in enumerate(origins):
        own.setdefault(name, []).append(image)
    samples = {name: _samples(origins, measures, images) for name, images in own.items()}
    few = [name for name in own if len(samples[name]) < FEWEST]
    groups = [[name] for name in own if name not in few] + [few] * bool(few)

    def likeness(one: list[str], other: list[str]) -> float:
        both = [np.concatenate([samples[name] for name in group]) for group in (one, other)]
        if min(map(len, both)) < FEWEST:
            return 1.0
        return 2 * float(np.min(stats.mannwhitneyu(*both).pvalue))

    left = dict(enumerate(groups))
    level = CHANCE / max(len(left) * (len(left) - 1) / 2, 1)
    pairs = {(i, j): likeness(left[i], left[j]) for j in left for i in range(j)}
    while pairs:
        (i, j), chance = max(pairs.items(), key=lambda pair: pair[1])
        if chance < level:
            break
        left[i] = left[i] + left.pop(j)
        pairs = {pair: p for pair, p in pairs.items() if not {i, j} & set(pair)}
        for k in left.keys() - {i}:
            pairs[min(i, k), max(i, k)] = likeness(left[i], left[k])
    return sorted(sorted(i for name in group for i in own[name]) for group in left.values())


def _samples(
    origins: Sequence[tuple[str, str]], measures: Sequence[tuple[float, float]], images: list[int]
) -> Measures:
    """Measures of an annotator's pictures that mark anything, (pictures, 2)."""
    by_page = len({picture for _, picture in origins}) == 1
    found: dict[object, list[tuple[float, float]]] = {}
    for image in images:
        if np.isfinite(measures[image]).all():
            found.setdefault(image if by_page else origins[image][1], []).append(measures[image])
    return np.array([np.mean(pages, 0) for pages in found.values()], float).reshape(-1, 2)
