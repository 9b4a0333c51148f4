"""The noise model: what a noisy outline says about the object, as far as a teacher can tell.

A teacher that has seen clean images alone gives every pixel of a noisy image a probability `p`. It
errs from image to image, but over many images its errors do not depend on where the noisy outline
runs. So the mean of `p` over all pixels that lie alike to a noisy outline tells how often such pixels
belong to the object: outside a triangle's edge often, outside its corners seldom. Held against what it
says of right masks, and multiplied with `p` itself by Bayes' rule, that gives the posterior of every
pixel: what is trained on, and how far the given label is believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, optimize, special
from torch import nn

Floats = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

SURE = 0.02
"""Probabilities are kept this far from 0 and 1: nobody's word is final."""
BAND = 0.25
"""Half the width of the band at the teacher's outline, as a share of the object's size."""
FITTED_PIXELS = 12_000
"""Pixels that the noise model is fitted on."""
FITTING_STEPS = 120
"""Steps of that fit."""
CALIBRATED_PIXELS = 1_000_000
"""Pixels at most that teachers are calibrated on, evenly spread over the images."""
_SPECK = 0.01
"""Objects below this share of the largest one's area have no outline of their own."""


@dataclass(frozen=True)
class Outline:
    """How pixels lie to the outline of a mask, relative to the size of the nearest object.

    Attributes
    ----------
    distance
        Signed distance (*spatial) to the outline, positive inside, over the object's size: the
        mean side of its box times sqrt(0.6).
    features
        (*spatial, 5), float32: what the noise model looks at. The distance, far and near; the
        distance in units of the ellipse with the object's second moments, which knows a corner from
        an edge; the mask blurred by 0.15 and 0.35 of the object's size.
    """

    distance: Floats
    features: Floats


def outline_of(mask: Mask) -> Outline:
    """Describe how every pixel lies to a mask's outline.

    All are far outside where the mask is empty, and far inside where it covers everything.
    """
    objects, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    areas = np.bincount(objects.ravel(), minlength=count + 1)
    areas[0] = 0
    small = (areas < _SPECK * areas.max()) & (areas > 0)
    if small.any():
        mask = mask & ~small[objects]
        objects, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    if not count:
        nothing = np.zeros(mask.shape, np.float32)
        return Outline(nothing - 9, _scaled(nothing - 9, nothing + 9, nothing, nothing))
    outside, places = ndimage.distance_transform_edt(~mask, return_indices=True)
    # Without a background, scipy would measure the distance to a corner of the image.
    full = np.full(mask.shape, 9.0 * max(mask.shape)) if mask.all() else None
    inside = ndimage.distance_transform_edt(mask) if full is None else full
    nearest = objects[tuple(places)]
    sides = [[part.stop - part.start for part in box] for box in ndimage.find_objects(objects)]
    sizes = np.concatenate([[1.0], np.sqrt(0.6) * np.mean(sides, 1)])
    distance = np.where(mask, inside - 0.5, 0.5 - outside) / sizes[nearest]
    blur = float(np.median(sizes[1:]))
    solid = mask.astype(np.float32)
    features = _scaled(
        distance,
        _ellipse_distance(objects, nearest, count),
        ndimage.gaussian_filter(solid, max(0.15 * blur, 0.3)),
        ndimage.gaussian_filter(solid, max(0.35 * blur, 0.3)),
    )
    return Outline(distance.astype(np.float32), features)


def _scaled(distance: Reals, ellipse: Reals, fine: Reals, coarse: Reals) -> Floats:
    """Bring the features to about -2 to 2."""
    parts = (
        3 * np.clip(distance, -1.5, 1),
        1.5 * np.clip(ellipse, 0, 3) - 1.5,
        3 * (fine - 0.5),
        4 * (coarse - 0.3),
        8 * np.clip(distance, -0.3, 0.3),
    )
    return np.stack(np.broadcast_arrays(*parts), -1).astype(np.float32)


def _ellipse_distance(
    objects: NDArray[np.int32], nearest: NDArray[np.int32], count: int
) -> NDArray[np.float64]:
    """Mahalanobis distance to the nearest object's centre by its own pixels, 1 at an ellipse's edge."""
    dimensions = objects.ndim
    where = [axis.astype(np.float64) for axis in np.indices(objects.shape, np.int32)]
    flat = objects.ravel()
    area = np.maximum(np.bincount(flat, minlength=count + 1), 1).astype(np.float64)
    centre = [np.bincount(flat, axis.ravel(), count + 1) / area for axis in where]
    away = [axis - middle[nearest] for axis, middle in zip(where, centre, strict=True)]
    own = [axis - middle[objects] for axis, middle in zip(where, centre, strict=True)]
    moments = np.empty((count + 1, dimensions, dimensions))
    for i in range(dimensions):
        for j in range(dimensions):
            moments[:, i, j] = np.bincount(flat, (own[i] * own[j]).ravel(), count + 1) / area
    # A pixel's own extent: without it a line would have no inverse.
    inverse = np.linalg.inv(moments + np.eye(dimensions) / 12)
    square = np.zeros(objects.shape)
    for i in range(dimensions):
        for j in range(dimensions):
            square += away[i] * away[j] * inverse[:, i, j][nearest]
    square = np.maximum(square, 0)
    distance: NDArray[np.float64] = np.sqrt(square / (dimensions + 2))
    return distance


@dataclass(frozen=True)
class Rater:
    """What a source of probabilities is worth, measured on known masks.

    Attributes
    ----------
    inside, outside
        Its mean probability on pixels of the object and beside it.
    """

    inside: float
    outside: float

    def rate(self, mean: Floats, usual: Floats | None, inside: Mask) -> Floats:
        """Turn the rater's mean probability into how often the object is there.

        If the rater's error on a pixel does not depend on whether the label is right, its mean over
        pixels that lie alike is ``r a + (1 - r) b``, with r what is asked for, a its mean where the
        object is there and b where it is not. Inside the outline a is what it usually says there,
        when the outline is right; outside, b is.

        Parameters
        ----------
        mean
            Its mean probability by the place in noisy masks, (*spatial).
        usual
            The same of masks that are right; None if there are none: `inside` and `outside` stand for
            it.
        inside
            Which pixels are inside the noisy outline.

        Returns
        -------
        ndarray
            (*spatial), float32, `SURE` to 1 - `SURE`.
        """
        least = 0.05
        present = np.maximum(self.inside if usual is None else usual, self.outside + least)
        absent = np.minimum(self.outside if usual is None else usual, self.inside - least)
        within = (mean - self.outside) / (present - self.outside)
        beside = (mean - absent) / np.maximum(self.inside - absent, least)
        rate: Floats = np.clip(np.where(inside, within, beside), SURE, 1 - SURE).astype(np.float32)
        return rate


def rater_of(
    chances: Sequence[Floats],
    objects: Sequence[NDArray[Any]],
    where: Callable[[Floats], Mask] | None = None,
) -> Rater:
    """Measure a rater by its probabilities and the truth: masks, or probabilities themselves."""
    inside = outside = np.zeros(2)
    for chance, truth in zip(chances, objects, strict=True):
        chosen = slice(None) if where is None else where(chance)
        p, t = chance[chosen].astype(np.float64), truth[chosen].astype(np.float64)
        inside = inside + np.array([(p * t).sum(), t.sum()])
        outside = outside + np.array([(p * (1 - t)).sum(), (1 - t).sum()])
    if min(inside[1], outside[1]) <= 0:
        return Rater(1.0, 0.0)
    return Rater(float(inside[0] / inside[1]), float(outside[0] / outside[1]))


def ambiguous(chances: Floats) -> Mask:
    """Where a teacher may well err: near its own outline, or where it is not sure."""
    objects = chances > 0.5
    band: Mask = (chances > 0.1) & (chances < 0.9)
    if objects.any():
        band |= np.abs(outline_of(objects).distance) <= BAND
    return band


@dataclass(frozen=True)
class Calibration:
    """Platt's scaling, ``sigmoid(slope logit p + offset)``, measured on images not trained on."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, chances: Floats) -> Floats:
        """Calibrate probabilities; float32, `SURE` to 1 - `SURE`."""
        raw = special.logit(np.clip(chances, 0.005, 0.995))
        scaled = special.expit(self.slope * raw + self.offset)
        clipped: Floats = np.clip(scaled, SURE, 1 - SURE).astype(np.float32)
        return clipped


def calibrate(chances: Sequence[Floats], masks: Sequence[Mask]) -> Calibration:
    """Fit a calibration by maximum likelihood, drawn a little towards leaving all as it is.

    Platt, "Probabilistic outputs for support vector machines", 1999. The pull towards slope 1 and
    offset 0 is worth a five-hundredth of the pixels.
    """
    pixels = sum(mask.size for mask in masks)
    if not pixels:
        return Calibration()
    step = max(1, pixels // CALIBRATED_PIXELS)
    raw = special.logit(np.clip(np.concatenate([p.ravel()[::step] for p in chances]), 0.005, 0.995))
    truth = np.concatenate([mask.ravel()[::step] for mask in masks]).astype(np.float64)
    if not 0 < truth.mean() < 1:
        return Calibration()

    def loss(both: NDArray[np.float64]) -> float:
        z = both[0] * raw + both[1]
        pull = 0.002 * ((both[0] - 1) ** 2 + both[1] ** 2)
        return float(np.mean(np.logaddexp(0, z) - truth * z) + pull)

    slope, offset = optimize.minimize(loss, [1.0, 0.0], method="L-BFGS-B").x
    return Calibration(float(np.clip(slope, 0.1, 10)), float(np.clip(offset, -8, 8)))


class MeanChance:
    """Mean of a teacher's probability over pixels that lie alike to noisy outlines.

    A small network (5, 16, 16, 1) fitted to the teacher's probabilities by cross-entropy.

    Parameters
    ----------
    features
        (pixels, 5), see `Outline`.
    chances
        The teacher's probabilities, (pixels,).
    weights
        How much each pixel counts, (pixels,).
    seed
        Of the network's first values.
    """

    def __init__(self, features: Floats, chances: Floats, weights: Floats, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = nn.Sequential(
                nn.Linear(features.shape[1], 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(),
                nn.Linear(16, 1),
            )  # fmt: skip
        x, target, weight = (torch.from_numpy(a) for a in (features, chances, weights))
        weight = weight / weight.sum().clamp_min(1e-9)
        optimizer = torch.optim.Adam(self._network.parameters(), 0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, FITTING_STEPS)
        for _ in range(FITTING_STEPS):
            logits = self._network(x)[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
            optimizer.zero_grad()
            (loss * weight).sum().backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def __call__(self, features: Floats) -> Floats:
        """Mean probability (*spatial), for features (*spatial, 5)."""
        flat = torch.from_numpy(features.reshape(-1, features.shape[-1]))
        chances: Floats = self._network(flat)[:, 0].sigmoid().numpy()
        return chances.reshape(features.shape[:-1])


class Sample:
    """Pixels of all images that the noise model is fitted on, as many of each image."""

    def __init__(self, images: int, seed: int) -> None:
        self._share = max(64, FITTED_PIXELS // max(images, 1))
        self._rng = np.random.default_rng([seed, 6])
        self._seed = seed
        self._parts: list[tuple[Floats, Floats, Floats, Mask]] = []

    def add(self, outline: Outline, chance: Floats, annotated: Mask, weight: float) -> None:
        """Take in an image: pixels of its `outline` where it is annotated, and how much they count."""
        places = np.flatnonzero(annotated)
        places = self._rng.choice(places, min(self._share, len(places)), replace=False)
        weights = np.full(len(places), weight, np.float32)
        features = outline.features.reshape(-1, outline.features.shape[-1])[places]
        band = ambiguous(chance).ravel()[places]
        self._parts.append((features, chance.ravel()[places], weights, band))

    def standard_error(self, mean: MeanChance, in_band: bool) -> float:
        """How far the mean itself may be off, because there are few images; infinite for one."""
        off = []
        for features, chance, _, band in self._parts:
            chosen = band if in_band else np.ones(len(band), bool)
            if chosen.any():
                off.append(float(np.mean(chance[chosen] - mean(features[chosen]))))
        return float(np.std(off) / math.sqrt(len(off) - 1)) if len(off) > 1 else math.inf

    def fit(self, in_band: bool) -> MeanChance | None:
        """Fit the mean, in the ambiguous band or everywhere; None without any image."""
        if not self._parts:
            return None
        features, chance, weight, band = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        # Where nothing is ambiguous, the band has nothing to say of its own.
        chosen = band if in_band and band.any() else slice(None)
        return MeanChance(features[chosen], chance[chosen], weight[chosen], self._seed)


def root(function: Callable[[float], float], wanted: float, reach: float = 60.0) -> float:
    """Solve ``function(x) = wanted`` for a rising function; the nearer end where there is none."""
    low, high = function(-reach) - wanted, function(reach) - wanted
    if low >= 0 or high <= 0:
        return -reach if abs(low) < abs(high) else reach
    return float(optimize.brentq(lambda x: function(x) - wanted, -reach, reach, xtol=1e-3))
