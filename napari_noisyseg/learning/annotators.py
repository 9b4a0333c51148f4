"""Which annotators err alike: these share a noise model, others have one each.

A careless worker's outlines say nothing of a careful one's. But a noise model needs many images, and
most annotators draw few. So every mask is held against what the teachers say of its image, annotators
are put into a tree by how alike their masks are, and a branch is divided only where its annotators
differ by more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster import hierarchy

from napari_noisyseg.learning.noise_model import Floats, Mask

FEWEST = 5
"""Marked images that an annotator must have to be told from others; those with fewer are one group."""
CHANCE = 0.01
"""Probability of so large differences by chance, below which annotators are told apart."""

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
        The images of each group, in rising order; the groups by their first image. The tree is Ward's,
        by the mean ranks of both measures. Annotators of a branch differ if either measure does by the
        rank test of Kruskal and Wallis (1952) at the level `CHANCE`, halved for the two.
    """
    own: dict[str, list[int]] = {}
    for image, (name, _) in enumerate(origins):
        own.setdefault(name, []).append(image)
    samples = {name: _samples(origins, measures, images) for name, images in own.items()}
    units = [[name] for name in own if len(samples[name]) >= FEWEST]
    few = [name for name in own if len(samples[name]) < FEWEST]
    if few and (not units or sum(len(samples[name]) for name in few) >= FEWEST):
        units.append(few)
    elif few:  # nothing can be told of them: with those of whom most is known
        max(units, key=lambda unit: len(samples[unit[0]])).extend(few)
    groups = [list(range(len(units)))]
    if len(units) > 1:
        groups = _branches([np.concatenate([samples[name] for name in unit]) for unit in units])
    names = [[name for unit in group for name in units[unit]] for group in groups]
    return sorted(sorted(i for name in group for i in own[name]) for group in names if group)


def _branches(samples: Sequence[Measures]) -> list[list[int]]:
    """Divide samples, each (pictures, 2), into groups that do not differ within."""
    ranks = stats.rankdata(np.concatenate(samples), axis=0)
    means = [part.mean(0) for part in np.split(ranks, np.cumsum([len(s) for s in samples])[:-1])]
    open_branches = [hierarchy.to_tree(hierarchy.linkage(means, "ward"))]
    groups = []
    while open_branches:
        branch = open_branches.pop()
        members = branch.pre_order()
        if branch.is_leaf() or not _differ([samples[i] for i in members]):
            groups.append(members)
        else:
            open_branches += [branch.get_left(), branch.get_right()]
    return groups


def _differ(samples: Sequence[Measures]) -> bool:
    """Whether samples, each (pictures, 2), differ in either measure."""
    both = np.concatenate(samples)
    varied = [k for k in range(2) if np.ptp(both[:, k]) > 0]
    chances = [stats.kruskal(*(sample[:, k] for sample in samples)).pvalue for k in varied]
    return bool(chances) and 2 * min(chances) < CHANCE


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
