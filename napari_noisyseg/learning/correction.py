"""Correcting one class of all noisy masks: the posterior of every pixel, given image and annotation.

Two sources speak of a pixel: a teacher, who has seen the image (its probability `p`), and the noisy
annotation, of which the noise model knows what it is worth at that place (`noise_model`). Where the
annotation is seen to be better than the teacher, as a whole, it is also followed as a whole, moved
and reshaped by the noise model: the expected outline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.noise_model import (
    FITTED_PIXELS,
    SURE,
    Floats,
    Mask,
    MeanChance,
    Outline,
    Rater,
    ambiguous,
    outline_of,
    rater_of,
    root,
)

Half = NDArray[np.float16]

SHARPNESS = 1.5
"""Factor of the logits of what is trained on: errors of single images average out over many."""
BEYOND_BAND = 0.5
"""How much the noise model counts where the teacher is sure: both know the object's middle."""
MOVED = 0.2
"""Change of the total area (its logarithm) that is believed by half; smaller ones are mere noise."""
AGREEING, SLOPE = 0.85, 0.03
"""Agreement of the expected outline with the teachers, over theirs, at which it is followed by half;
and how sharply."""
BELIEVED = 0.25
"""How much the noise model counts where a single given label is judged."""
MOST_FOLLOWED = 0.8
"""Largest share of the expected outline in what is trained on."""


@dataclass(frozen=True)
class Teachers:
    """What the teachers say of one class, and what they are worth on images they have not seen.

    Attributes
    ----------
    chances
        Of each teacher: its calibrated probabilities of all noisy images, each (*grid).
    band, overall
        What they are worth in the ambiguous band and everywhere.
    held_out
        Their mean Dice on held-out clean images; nan if unknown.
    """

    chances: Sequence[Sequence[Floats]]
    band: Rater
    overall: Rater
    held_out: float


@dataclass
class Correction:
    """The corrected masks of one class.

    Attributes
    ----------
    masks
        The noisy masks, each (*grid).
    annotated
        Where they say anything, each (*grid).
    seed
        Of the pixels that are looked at.
    check
        Called for every image; may raise, and then nothing has changed.
    posterior
        Probability of the class given image and annotation, each (*grid), float16.
    belief
        The same as far as a single given label is to be judged by it: the noise model, which knows
        no image, counts less, and the expected outline as far as it is followed; each (*grid), float16.
    expected
        The expected outlines by the noise model alone, each (*grid), float16.
    followed
        Share of the expected outline in what is trained on.
    total
        Number of pixels that belong to the class, over all masks.
    """

    masks: Sequence[Mask]
    annotated: Sequence[Mask]
    seed: int = 0
    check: Callable[[], None] = lambda: None
    posterior: list[Half] = field(default_factory=list)
    belief: list[Half] = field(default_factory=list)
    expected: list[Half] = field(default_factory=list)
    followed: float = 0.0
    total: float = 0.0

    def begin(self, teachers: Teachers) -> list[Half]:
        """Correct by the teachers; returns what is to be trained on, each (*grid), 0 to 1."""
        chances = [np.mean(parts, 0) for parts in zip(*teachers.chances, strict=True)]
        marked = sum(
            np.count_nonzero(m & a) for m, a in zip(self.masks, self.annotated, strict=True)
        )
        found = sum(float(p[a].sum()) for p, a in zip(chances, self.annotated, strict=True))
        total = shrunk_total(found, float(marked))
        logits, means = self._logits(chances, teachers.band, teachers.overall)
        raw = [2 * logit(np.clip(mean, 1e-4, 1 - 1e-4)) for mean in means]
        self.expected = _with_total(raw, self.annotated, total)
        self.followed = self._following(teachers)
        self.total = total
        return self._conclude(chances, logits)

    def go_on(self, chances: Sequence[Floats]) -> list[Half]:
        """Correct again by what the network that is trained says of all images by now.

        What its word is worth is measured against the last posterior, as expectation maximisation
        does. Returns what is to be trained on, each (*grid), 0 to 1.
        """
        chances = [np.clip(p, SURE, 1 - SURE) for p in chances]
        band = rater_of(chances, self.posterior, ambiguous)
        overall = rater_of(chances, self.posterior)
        logits, _ = self._logits(chances, band, overall)
        return self._conclude(chances, logits)

    def _logits(
        self, chances: Sequence[Floats], band: Rater, overall: Rater
    ) -> tuple[list[Floats], list[Floats]]:
        """Logits of teacher times noise model; and the noise model's means, everywhere."""
        sample = _Sample(len(chances), self.seed)
        bands, outlines = [], []
        for mask, annotated, chance in zip(self.masks, self.annotated, chances, strict=True):
            self.check()
            outline = outline_of(mask & annotated)
            bands.append(ambiguous(chance) & annotated)
            sample.add(outline, chance, annotated, bands[-1])
            outlines.append(outline.features.astype(np.float16))
        everywhere = sample.fit(everywhere=True)
        self.check()
        near = sample.fit(everywhere=False)
        prior = _log_odds(overall, sample.mean(everywhere=True))
        near_prior = _log_odds(band, sample.mean(everywhere=False))
        logits, means = [], []
        for features, chance, where in zip(outlines, chances, bands, strict=True):
            self.check()
            described = features.astype(np.float32)
            means.append(everywhere(described))
            beyond = _log_odds(overall, means[-1]) - prior
            added = np.where(
                where, _log_odds(band, near(described)) - near_prior, BEYOND_BAND * beyond
            )
            logits.append((logit(chance) + added).astype(np.float32))
        return logits, means

    def _following(self, teachers: Teachers) -> float:
        """How far the expected outline is to be followed.

        It is better than the teachers if it agrees with each of them as well as they agree with the
        truth (on held-out clean images) and with one another (here).
        """
        outlines = [outline > 0.5 for outline in self.expected]
        own = [[chance > 0.5 for chance in each] for each in teachers.chances]
        agreement = float(np.mean([_mean_dice(outlines, each) for each in own]))
        pairs = [_mean_dice(a, b) for i, a in enumerate(own) for b in own[:i]]
        theirs = float(np.mean(pairs)) if pairs else agreement
        known = theirs if math.isnan(teachers.held_out) else teachers.held_out
        relative = agreement / max(math.sqrt(known * theirs), 1e-6)
        return MOST_FOLLOWED * float(expit((relative - AGREEING) / SLOPE))

    def _conclude(self, chances: Sequence[Floats], logits: Sequence[Floats]) -> list[Half]:
        """Keep posterior and belief; give what is to be trained on."""
        self.belief = []
        for chance, z, outline in zip(chances, logits, self.expected, strict=True):
            own = logit(chance)
            drawn = logit(np.clip(outline.astype(np.float32), SURE, 1 - SURE))
            belief = own + BELIEVED * (z - own) + self.followed * drawn
            self.belief.append(expit(belief).astype(np.float16))
        self.posterior = _with_total(logits, self.annotated, self.total)
        sharp = _with_total([SHARPNESS * z for z in logits], self.annotated, self.total)
        share = np.float16(self.followed)
        return [(1 - share) * q + share * y for q, y in zip(sharp, self.expected, strict=True)]


class _Sample:
    """Pixels of all images that the noise model is fitted on, as many of each image."""

    def __init__(self, images: int, seed: int) -> None:
        self._share = max(64, FITTED_PIXELS // max(images, 1))
        self._rng = np.random.default_rng([seed, 6])
        self._seed = seed
        self._parts: list[tuple[Floats, Floats, Floats, Mask]] = []

    def add(self, outline: Outline, chance: Floats, annotated: Mask, band: Mask) -> None:
        places = np.flatnonzero(annotated)
        places = self._rng.choice(places, min(self._share, len(places)), replace=False)
        weight = np.full(len(places), reliance(chance, outline.distance), np.float32)
        features = outline.features.reshape(-1, outline.features.shape[-1])[places]
        self._parts.append((features, chance.ravel()[places], weight, band.ravel()[places]))

    def fit(self, *, everywhere: bool) -> MeanChance:
        features, chance, weight = self._chosen(everywhere)
        return MeanChance(features, chance, weight, self._seed)

    def mean(self, *, everywhere: bool) -> Floats:
        """Give the teacher's mean probability, an array of one."""
        _, chance, weight = self._chosen(everywhere)
        mean = np.average(chance, weights=weight) if weight.sum() > 0 else 0.5
        return np.array([mean], np.float32)

    def _chosen(self, everywhere: bool) -> tuple[Floats, Floats, Floats]:
        features, chance, weight, band = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        chosen = slice(None) if everywhere else band
        return features[chosen], chance[chosen], weight[chosen]


def shrunk_total(found: float, marked: float) -> float:
    """Give the pixels that belong to a class: as many as the teachers find, if that is clear.

    With l the logarithm of found over marked pixels, ``marked exp(l^3 / (l^2 + MOVED^2))``.
    """
    if marked <= 0 or found <= 0:
        return max(found, marked)
    change = math.log(found / marked)
    return marked * math.exp(change**3 / (change**2 + MOVED**2))


def reliance(chance: Floats, distance: Floats) -> float:
    """How far the teacher is to be relied on for an image: it tells the mask's middle from far away.

    Mean probability deep inside the noisy mask, less that in the farther half of the image; 0 to 1.
    """
    inside = distance > 0
    if not inside.any():
        return 0.5
    deep = chance[distance >= np.median(distance[inside])].mean()
    far = chance[distance <= np.median(distance)].mean()
    return float(np.clip(deep - far, 1e-3, 1))


def _log_odds(rater: Rater, mean: Floats) -> Floats:
    odds: Floats = logit(rater.without_blur(mean))
    return odds


def _with_total(logits: Sequence[Floats], annotated: Sequence[Mask], total: float) -> list[Half]:
    """Shift all logits alike, so that the probabilities of annotated pixels have a sum."""
    values = np.concatenate([z[a] for z, a in zip(logits, annotated, strict=True)])
    shift = root(lambda x: float(expit(values + x).sum()), total)
    return [expit(z + shift).astype(np.float16) for z in logits]


def _mean_dice(first: Sequence[Mask], second: Sequence[Mask]) -> float:
    return float(np.mean([dice(a, b) for a, b in zip(first, second, strict=True)]))
